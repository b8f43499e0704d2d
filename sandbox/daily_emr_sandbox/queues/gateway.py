"""The provider behind the workers: sends messages and stores exports as often as it is told, and remembers them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from aiohttp import web

from ..loop import LoopThread

if TYPE_CHECKING:
    from ..settings import Settings

USUAL_S = 0.4
ARRIVALS_KEPT = 50_000
TWICE = 2


class Gateway:
    """The HTTP service; its settings may be changed from any thread."""

    def __init__(self, settings: Settings, loop: LoopThread) -> None:
        self._place, self._loop = settings.gateway_address, loop
        self._runner: web.AppRunner | None = None
        self.sent: Counter[str] = Counter()
        """How often each reference was sent."""
        self._repeated: list[str] = []
        self.arrivals: deque[float] = deque(maxlen=ARRIVALS_KEPT)
        """When requests to send arrived, in seconds since the epoch."""
        self.mend()

    def start(self) -> None:
        self._loop.run(self._start())

    def stop(self) -> None:
        if self._runner is not None:
            self._loop.run(self._runner.cleanup())
            self._runner = None

    def slow(self, seconds: float) -> None:
        """Each message takes so long."""
        self.delay_s = seconds

    def fail(self, status: int) -> None:
        """Each message is refused with this status; 200 ends it."""
        self.status = status

    def fail_exports(self, status: int) -> None:
        """Each export is refused with this status; 200 ends it."""
        self.exports_status = status

    def mend(self) -> None:
        self.slow(USUAL_S)
        self.fail(200)
        self.fail_exports(200)

    def note(self, reference: str) -> None:
        """It was sent, or will be."""
        self.sent[reference] += 1
        if self.sent[reference] == TWICE:
            self._repeated.append(reference)

    def twice(self, queue: str) -> int:
        """How many jobs of a queue were sent more than once."""
        return sum(reference.startswith(f"{queue}-") for reference in list(self._repeated))

    def forget(self) -> None:
        self.sent.clear()
        self._repeated.clear()
        self.arrivals.clear()

    async def _start(self) -> None:
        application = web.Application()
        application.router.add_post("/messages", self._send)
        application.router.add_post("/exports", self._store)
        application.router.add_get("/messages/{reference}", self._look_up)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, *self._place).start()

    async def _send(self, request: web.Request) -> web.Response:
        self.arrivals.append(time.time())
        message = await request.json()
        delay_s, status = self.delay_s, self.status
        if status != web.HTTPOk.status_code:
            return web.json_response({"error": "refused"}, status=status)
        # Before it takes its time: what was taken will be sent, and whoever asks meanwhile must not send it once more.
        self.note(message["reference"])
        await asyncio.sleep(delay_s)
        return web.json_response({"sent": True})

    async def _store(self, request: web.Request) -> web.Response:
        export, status = await request.json(), self.exports_status
        if status != web.HTTPOk.status_code:
            return web.json_response({"error": "refused"}, status=status)
        self.note(export["reference"])
        return web.json_response({"stored": True})

    async def _look_up(self, request: web.Request) -> web.Response:
        known = request.match_info["reference"] in self.sent
        return web.json_response({"sent": known}, status=200 if known else 404)
