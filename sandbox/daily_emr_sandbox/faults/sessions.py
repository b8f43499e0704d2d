"""Faults of sessions that stand in each other's way: real sessions of the application's role, with real locks."""

from __future__ import annotations

import contextlib
import threading
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import psycopg

from .base import Fault

if TYPE_CHECKING:
    from ..world import World

WAITED_S = 10.0
"""Real seconds: shorter waits are no finding."""
IDLE_S = 300.0
"""AWS seconds: a session that is idle in its transaction for less is no finding."""
VICTIMS = 3
WRITERS = 4
BLOCKED = """
SELECT count(DISTINCT pid) FROM pg_locks
WHERE NOT granted AND waitstart < clock_timestamp() - make_interval(secs => %s)"""
END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ANY(%s)"


class Blocking(Fault):
    """Sessions through the endpoint, each known by its application name."""

    waited_s = WAITED_S

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._sessions: dict[str, psycopg.Connection[Any]] = {}
        self._threads: list[threading.Thread] = []

    def break_(self) -> None:
        if not self._shows():
            self.mend()
            self._block()
            self.wait(self._shows, "sessions wait for locks")

    def mend(self) -> None:
        if not self._sessions:
            return
        if self.world.database.primary.running:
            with self.world.database.primary.connect("postgres") as session:
                session.execute(END, (list(self._sessions),))
        for thread in self._threads:
            thread.join()
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        self._threads.clear()

    @abstractmethod
    def _block(self) -> None: ...

    def _session(self, name: str) -> psycopg.Connection[Any]:
        self._sessions[name] = psycopg.connect(self.world.database_url, application_name=name)
        return self._sessions[name]

    def _beside(self, name: str, statement: str) -> None:
        """Execute a statement that will wait. Nothing of it stays, should it ever get through."""
        session = self._session(name)

        def run() -> None:
            with contextlib.suppress(psycopg.Error):  # somebody ended it: that is what it is for
                session.execute(statement)
                session.rollback()

        self._threads.append(threading.Thread(target=run, name=name, daemon=True))
        self._threads[-1].start()

    def _shows(self) -> bool:
        with self.world.database.primary.connect("postgres") as session:
            [(blocked,)] = session.execute(BLOCKED, (self.waited_s,)).fetchall()
        return bool(self._sessions) and bool(blocked >= VICTIMS)


class LockStorm(Blocking):
    name = "lock_storm"
    summary = "a migration waits for a report that is idle in its transaction, and every chart request waits behind it"

    def _block(self) -> None:
        self._session("emr-report").execute("SELECT count(*) FROM charts")
        self._beside("emr-migrate", "ALTER TABLE charts ADD COLUMN reviewed_at timestamptz")


class IdleInTransaction(Blocking):
    name = "idle_in_transaction"
    summary = "an import changed charts and is idle in its transaction, and everybody who writes to them waits"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.waited_s = max(WAITED_S, self.settings.scaled(IDLE_S))

    def _block(self) -> None:
        self._session("emr-import").execute("UPDATE charts SET updated_at = clock_timestamp() WHERE id = 'probe'")
        for number in range(WRITERS):
            self._beside(f"emr-clerk-{number}", "UPDATE charts SET updated_at = clock_timestamp() WHERE id = 'probe'")
