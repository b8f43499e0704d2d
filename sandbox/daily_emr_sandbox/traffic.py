"""Clinicians at work: a small, steady stream of reads and writes through the edge, and a ledger of what was promised.

A write counts as acknowledged when its 201 arrived. Whatever happens to the system, an acknowledged write must be
in the database: the ledger looks there, past application and load balancer.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
import psycopg

from .app.journal import TENANT_HEADER
from .loop import LoopThread

if TYPE_CHECKING:
    from .postgres import DatabasePair
    from .settings import Settings

DECK = ("write",) * 2 + ("read",) * 4 + ("log_in", "appointments", "eligibility", "report")
"""Shares of the routes: dealt out again and again in another order, so that no route stays away for long."""
TENANTS = tuple(f"facility-{number}" for number in range(1, 9))
TIMEOUT_S = 5.0
IN_FLIGHT = 64
SLOW_S = 0.6
"""The latency that the users were promised (blueprint, section 5)."""
SLOW_OF = (2, 20)
"""So many slow ones among so many answers in a row are more than the one in twenty that may be slow."""
RECOVERED_AFTER = 30
"""Answers in a row without an error that end an outage, though it may hit one tenant only."""
ANSWERS = 20_000
"""Half an hour of them."""
DAY_RATE = 10.0
NIGHT_RATE = 1.0


@dataclass
class Ledger:
    """What the users saw, whichever route they asked."""

    requests: int = 0
    errors: int = 0
    acknowledged: list[str] = field(default_factory=list)
    last_ok_at: datetime | None = None
    last_error_at: datetime | None = None
    last_slow_at: datetime | None = None
    """When the answers were last slower than promised."""
    first_error_at: datetime | None = None
    """Start of the outage that is going on, else of the last one."""
    answers: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=ANSWERS))
    """When each of the last requests was answered, in seconds since the epoch, and whether well."""
    recovered_at: datetime | None = None
    """First good answer after the last outage; None while one is going on."""
    _good_in_a_row: int = RECOVERED_AFTER
    _good_since: datetime | None = None
    _slow: deque[bool] = field(default_factory=lambda: deque(maxlen=SLOW_OF[1]))

    def took(self, seconds: float, at: datetime) -> None:
        self._slow.append(seconds > SLOW_S)
        if sum(self._slow) >= SLOW_OF[0]:
            self.last_slow_at = at

    def good(self, at: datetime) -> None:
        self.requests += 1
        self.last_ok_at = at
        self._good_since = self._good_since or at
        self._good_in_a_row += 1
        if self._good_in_a_row == RECOVERED_AFTER:
            self.recovered_at = self._good_since

    def bad(self, at: datetime) -> None:
        self.requests += 1
        self.errors += 1
        self.last_error_at = at
        if self._good_in_a_row >= RECOVERED_AFTER:
            self.first_error_at, self.recovered_at = at, None
        self._good_in_a_row, self._good_since = 0, None

    @property
    def recovery_s(self) -> float | None:
        """How long the last outage was felt; None while one is going on, or when there was none."""
        if self.first_error_at is None or self.recovered_at is None:
            return None
        return (self.recovered_at - self.first_error_at).total_seconds()


class Traffic:
    """Sends `rate` requests per second, whether or not they are answered; the rate may be changed at any time."""

    def __init__(self, settings: Settings, loop: LoopThread, database: DatabasePair, rate: float = DAY_RATE) -> None:
        self._settings, self._loop, self._database, self.rate = settings, loop, database, rate
        self._ledger = Ledger()
        self._routes = _dealt(DECK)
        self._tenants = _dealt(TENANTS)
        self._known = deque((f"synthetic-{number}" for number in range(1, 201)), maxlen=200)
        self._planted = ""
        self._running: asyncio.Task[None] | None = None
        self._started_at = time.monotonic()

    def start(self) -> None:
        self._started_at = time.monotonic()
        self._loop.run(self._start())

    def stop(self) -> None:
        if self._running is not None:
            self._loop.run(self._end(self._running))
            self._running = None

    @property
    def acknowledged(self) -> int:
        return len(self._ledger.acknowledged)

    @property
    def errors(self) -> int:
        return self._ledger.errors

    @property
    def age_s(self) -> float:
        """For how many seconds there has been traffic."""
        return time.monotonic() - self._started_at

    def plant(self, value: str) -> None:
        """Use a synthetic patient value wherever real ones would be, so that tests can look where it must not be.

        It stands in the note of the probe chart and of every new chart, and in the query of every read.
        """
        with self._database.primary.connect() as session:
            session.execute("UPDATE charts SET note = %s WHERE id = 'probe'", (value,))
        self._planted = value

    def ledger(self) -> dict[str, Any]:
        """Counts, times and the number of acknowledged writes that are lost (None: the database cannot be asked)."""
        ledger = self._ledger
        promised = list(ledger.acknowledged)
        return {
            "requests": ledger.requests,
            "errors": ledger.errors,
            "acknowledged": len(promised),
            "lost": self._lost(promised),
            "last_ok_at": _text(ledger.last_ok_at),
            "last_error_at": _text(ledger.last_error_at),
            "last_slow_at": _text(ledger.last_slow_at),
            "first_error_at": _text(ledger.first_error_at),
            "recovered_at": _text(ledger.recovered_at),
            "recovery_seconds": ledger.recovery_s,
        }

    def answers(self) -> list[tuple[float, bool]]:
        """When each of the last requests was answered, in seconds since the epoch, and whether well."""
        return list(self._ledger.answers)

    def _lost(self, promised: list[str]) -> int | None:
        question = (
            "SELECT count(*) FROM unnest(%s::text[]) AS promised"
            " WHERE NOT EXISTS (SELECT FROM charts WHERE charts.id = promised)"
        )
        for node in (self._database.primary, self._database.standby):  # the standby while the primary is down
            try:
                with node.connect() as session:
                    [(lost,)] = session.execute(question, (promised,)).fetchall()
            except psycopg.OperationalError:
                continue
            return int(lost)
        return None

    async def _start(self) -> None:
        self._running = asyncio.create_task(self._run())

    @staticmethod
    async def _end(running: asyncio.Task[None]) -> None:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
        session = aiohttp.ClientSession(self._settings.edge_url, timeout=timeout, connector=connector)
        async with session, asyncio.TaskGroup() as requests:
            open_requests: set[asyncio.Task[None]] = set()
            while True:
                if len(open_requests) < IN_FLIGHT:
                    request = requests.create_task(self._counted(self._send(session, next(self._routes))))
                    open_requests.add(request)
                    request.add_done_callback(open_requests.discard)
                await asyncio.sleep(1 / self.rate)

    async def _counted(self, request: Any) -> None:
        started = time.monotonic()
        try:
            ok = await request
        except (aiohttp.ClientError, TimeoutError):
            ok = False
        at = datetime.now(UTC)
        self._ledger.took(time.monotonic() - started, at)
        self._ledger.answers.append((at.timestamp(), ok))
        (self._ledger.good if ok else self._ledger.bad)(at)

    async def _send(self, session: aiohttp.ClientSession, route: str) -> bool:
        tenant = next(self._tenants)
        headers = {TENANT_HEADER: tenant}
        if route == "write":
            return await self._write(session, tenant, headers | {"Idempotency-Key": uuid.uuid4().hex})
        method, path = {
            "read": ("GET", f"/api/charts/{random.choice(self._known)}"),
            "log_in": ("GET", "/login"),
            "appointments": ("GET", "/api/appointments"),
            "eligibility": ("POST", "/api/claims/eligibility"),
            "report": ("GET", "/api/reports"),
        }[route]
        query = {"patient": self._planted} if self._planted else None
        async with session.request(method, path, params=query, headers=headers) as answer:
            await answer.read()
            return answer.status == HTTPStatus.OK

    async def _write(self, session: aiohttp.ClientSession, tenant: str, headers: dict[str, str]) -> bool:
        chart = {"tenant": tenant, "note": self._planted or "synthetic note"}
        async with session.post("/api/charts", json=chart, headers=headers) as answer:
            if answer.status != HTTPStatus.CREATED:
                return False
            chart_id = (await answer.json())["id"]
        self._ledger.acknowledged.append(chart_id)
        self._known.append(chart_id)
        return True


def _dealt(deck: tuple[str, ...]) -> Iterator[str]:
    """The cards of a deck, shuffled anew each time it is used up."""
    while True:
        yield from random.sample(deck, len(deck))


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")
