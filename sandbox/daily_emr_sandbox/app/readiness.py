"""The deep check of /readyz: over connections of its own, so that it tells the pool's trouble from the server's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from . import cache, database
from .cache import Cache

CHECK_TIMEOUT_S = 2.0


class Check:
    """One dependency, probed by one thread at a time."""

    def __init__(
        self, probe: Callable[[], None], reason: Callable[[Exception], str], give_up: Callable[[], None]
    ) -> None:
        self._probe, self._reason, self._give_up = probe, reason, give_up
        self._running: threading.Thread | None = None
        self._turn = threading.Lock()
        self._result: dict[str, Any] = {}

    def run(self) -> dict[str, Any]:
        """Outcome of a probe that started now: {status, ms, reason}."""
        started = time.monotonic()
        with self._turn:
            if self._running is None or not self._running.is_alive():
                self._running = threading.Thread(target=self._measure, args=(started,), daemon=True)
                self._running.start()
            self._running.join(CHECK_TIMEOUT_S)
            if self._running.is_alive():
                self._give_up()
                return {"status": "fail", "ms": _ms(started), "reason": "timeout"}
            return self._result

    def _measure(self, started: float) -> None:
        try:
            self._probe()
        except Exception as error:  # noqa: BLE001 - the answer is its reason
            self._result = {"status": "fail", "ms": _ms(started), "reason": self._reason(error)}
        else:
            self._result = {"status": "ok", "ms": _ms(started), "reason": None}


class DatabaseProbe:
    """Keeps its connection: the time of a check is one round trip, not the seven of a log-in."""

    def __init__(self, connect: Callable[[], database.Session]) -> None:
        self._connect = connect
        self._session: database.Session | None = None

    def __call__(self) -> None:
        fresh = self._session is None
        session = self._session or self._connect()
        self._session = session
        try:
            session.execute("SELECT 1")
        except Exception:
            self._session = None
            session.close()
            if fresh:
                raise
            self()  # the kept connection was dead: what counts is whether a new one works

    def give_up(self) -> None:
        if (session := self._session) is not None:
            database.interrupt(session)


def database_check(connect: Callable[[], database.Session]) -> Check:
    probe = DatabaseProbe(connect)
    return Check(probe, database.reason, probe.give_up)


def cache_check(connect: Callable[[], Cache]) -> Check:
    def probe() -> None:
        connection = connect()
        try:
            connection.call("PING")
        finally:
            connection.close()

    return Check(probe, cache.reason, lambda: None)


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
