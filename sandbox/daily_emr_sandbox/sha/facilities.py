"""Facilities that make claims: a few through the application, and a ledger of what it acknowledged."""

from __future__ import annotations

import asyncio
import random
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp

from ..app.journal import TENANT_HEADER
from ..loop import LoopThread
from ..traffic import TENANTS

if TYPE_CHECKING:
    from ..settings import Settings

RATE = 1.0
"""Claims per second when nothing is wrong."""
TIMEOUT_S = 5.0
KINDS = (
    # claim type, class, days until it is too late; as often as it stands here
    ("preauthorization", "preauth", 1),
    ("claim", "inpatient", 7),
    ("claim", "rest", 30),
    ("claim", "rest", 30),
)
FACILITIES = {f"FID-27-10421{number}-{number}": f"Synthetic facility {number}" for number in range(1, 9)}
DIAGNOSES = ("1A00", "5A11", "CA40", "1F40")
INTERVENTIONS = ("SHA-08-004", "SHA-01-001", "SHA-12-002")


class Facilities:
    """Sends `rate` claims per second through the edge; the rate may be changed at any time."""

    def __init__(self, settings: Settings, loop: LoopThread) -> None:
        self._settings, self._loop = settings, loop
        self.rate = RATE
        self.planted = ""
        """A synthetic patient value that stands in every claim from now on."""
        self.acknowledged: list[str] = []
        """Identifiers of the claims that the application promised to send."""
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._loop.run(self._start())

    def stop(self) -> None:
        if self._running is not None:
            self._loop.run(self._end(self._running))
            self._running = None

    def new(self) -> dict[str, Any]:
        """A claim as a facility sends it to the application."""
        claim_type, group, days = random.choice(KINDS)
        return {
            "facility": random.choice(list(FACILITIES)),
            "encounter": uuid.uuid4().hex,
            "type": claim_type,
            "class": group,
            "days": days,
            "patient": self.planted or "synthetic patient",
            "diagnosis": random.choice(DIAGNOSES),
            "intervention": random.choice(INTERVENTIONS),
        }

    async def _start(self) -> None:
        self._running = asyncio.create_task(self._run())

    @staticmethod
    async def _end(running: asyncio.Task[None]) -> None:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        session = aiohttp.ClientSession(self._settings.edge_url, timeout=timeout)
        async with session, asyncio.TaskGroup() as claims:
            while True:
                claims.create_task(self._send(session))
                await asyncio.sleep(1 / self.rate)

    async def _send(self, session: aiohttp.ClientSession) -> None:
        headers = {TENANT_HEADER: random.choice(TENANTS)}
        try:
            async with session.post("/api/claims", json=self.new(), headers=headers) as answer:
                if answer.status == HTTPStatus.ACCEPTED:
                    self.acknowledged.append((await answer.json())["claim"])
        except (aiohttp.ClientError, TimeoutError):
            return  # not acknowledged: the facility still has it
