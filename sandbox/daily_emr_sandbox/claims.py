"""Stand-in of the claims service of the Social Health Authority: answers as slowly and as badly as told."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

from aiohttp import web

from .loop import LoopThread

if TYPE_CHECKING:
    from .settings import Settings


class Claims:
    """The HTTP service; its settings may be changed from any thread."""

    def __init__(self, settings: Settings, loop: LoopThread) -> None:
        self._settings, self._loop = settings, loop
        self._runner: web.AppRunner | None = None
        self.mend()

    def start(self) -> None:
        self._loop.run(self._start())

    def stop(self) -> None:
        if self._runner is not None:
            self._loop.run(self._runner.cleanup())
            self._runner = None

    def slow(self, *delays_s: float) -> None:
        """Each answer takes the next of these delays, in turn."""
        self._delays = itertools.cycle(delays_s)

    def fail(self, *statuses: int) -> None:
        """Each answer has the next of these statuses, in turn."""
        self._statuses = itertools.cycle(statuses)

    def mend(self) -> None:
        self.slow(0.0)
        self.fail(200)

    async def _start(self) -> None:
        application = web.Application()
        application.router.add_post("/eligibility", self._eligibility)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._settings.claims_address, self._settings.claims_port).start()

    async def _eligibility(self, _request: web.Request) -> web.Response:
        delay_s, status = next(self._delays), next(self._statuses)
        await asyncio.sleep(delay_s)
        return web.json_response({"eligible": True}, status=status)
