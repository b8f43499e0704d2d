"""A database that psycopg seems to reach: rows by statement, troubles by statement, and everything it was asked."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from typing import Any

import psycopg
from ansible_collections.daily_emr.ops.plugins.module_utils import _database_queries as queries

Json = dict[str, Any]
STARTED = datetime(2026, 11, 19, 8, 0, 0, 123456, tzinfo=UTC)

ROWS: dict[str, list[Json]] = {
    "node": [{"in_recovery": False, "address": "10.0.3.17", "port": 5432, "started": STARTED, "version": "15.18"}],
    "read_only_roles": [],
    "sessions": [],
    "busy": [],
    "connections": [{"used": 11, "maximum": 200, "reserved": 3}],
    "blockers": [],
    "victims": [],
    "replicas": [{"replicas": 0, "streaming": 0, "replay_bytes": None, "replay_lag_s": None}],
    "slots": [],
    "ages": [{"transaction_ids": 2000, "deadlocks": 0, "temp_bytes": 0, "checksum_failures": 0}],
    "bloat": [{"tables": 3, "live_rows": 3, "dead_rows": 0, "most_dead_rows": 0, "vacuumed_s": None}],
    "transactions": [{"writing": 0, "longest_s": 0.0, "longest_writing_s": 0.0}],
    "migrations_kept": [{"kept": False}],
    "replay": [{"lag_s": None}],
    "prepared": [{"prepared": 0}],
}
BATCH = ";".join(queries.QUERIES.values())
NAMES = {statement: name for name, statement in queries.QUERIES.items()} | {
    queries.FAILED_MIGRATIONS: "migrations",
    queries.ROUND_TRIP: "round_trip",
    queries.WRITE: "write",
    queries.WRITE_AND_ROLL_BACK: "write and roll back",
    BATCH: "batch",
}


class Database:
    """What the server holds. failing: statement -> SQLSTATE; hanging: statements that are never answered."""

    def __init__(self) -> None:
        self.rows = ROWS | {"migrations": [{"failed": 0}], "round_trip": [{"?column?": 1}]}
        self.failing: dict[str, str] = {}
        self.hanging: set[str] = set()
        self.refusing: dict[str, psycopg.Error] = {}
        self.sessions: list[tuple[str, Json]] = []
        self.asked: list[tuple[str, str]] = []

    def connect(self, **options: Any) -> Connection:
        kind = "write" if "read_only=off" in options["options"] else "read"
        self.sessions.append((kind, options))
        if kind in self.refusing:
            raise self.refusing[kind]
        return Connection(self, kind)

    def of(self, kind: str) -> list[str]:
        """What the session that reads, or the one that writes, was asked."""
        return [name for asked, name in self.asked if asked == kind]


class Connection:
    """One session. A statement that hangs waits on a real socket, as libpq does."""

    def __init__(self, database: Database, kind: str) -> None:
        self._database, self._kind = database, kind
        self.broken = self.closed = False
        self._here, self._there = socket.socketpair()

    def fileno(self) -> int:
        return self._here.fileno()

    def execute(self, statement: str) -> Cursor:
        assert not self.closed
        assert not self.broken
        name = NAMES[statement]
        self._database.asked.append((self._kind, name))
        if name in self._database.hanging:
            self._here.recv(1)  # returns nothing once the connection is cut
            self.broken = True
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        names = list(queries.QUERIES) if name == "batch" else [name]
        for one in names:
            if state := self._database.failing.get(one):
                raise psycopg.errors.lookup(state)("Key (national_id)=(12345678) already exists")
        return Cursor([self._database.rows.get(one, []) for one in names])

    def close(self) -> None:
        self.closed = True
        self._here.close()
        self._there.close()


class Cursor:
    def __init__(self, results: list[list[Json]]) -> None:
        self._results = results

    def nextset(self) -> bool:
        self._results.pop(0)
        return bool(self._results)

    def fetchall(self) -> list[Json]:
        return self._results[0]

    def fetchone(self) -> Json:
        return self._results[0][0]
