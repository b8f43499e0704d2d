"""An RDS instance with its events, and the server behind it, as far as a change of a database asks them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from ansible_collections.daily_emr.ops.plugins.module_utils._database_changes import SEES_ALL
from ansible_collections.daily_emr.ops.plugins.module_utils._database_queries import QUERIES
from ansible_collections.daily_emr.ops.plugins.module_utils._database_settled import WRITE_HERE
from ansible_collections.daily_emr.ops.plugins.modules import database_session, database_slot

from .world import Json, World, ago

FIRST, SECOND = "10.0.21.14", "10.0.22.31"
STARTED, COMPLETED = "Multi-AZ instance failover started.", "Multi-AZ instance failover completed"
ABANDONED = "Abandoning user requested failover since a failover recently occurred on the database instance."


class DatabaseWorld(World):
    """The world of the changes with one whole instance. It begins a walk when asked, and goes no further by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[datetime, str]] = []
        self.instance: Json = {
            "DBInstanceStatus": "available",
            "MultiAZ": True,
            "AvailabilityZone": "af-south-1a",
            "SecondaryAvailabilityZone": "af-south-1b",
            "AllocatedStorage": 100,
            "PendingModifiedValues": {},
            "LatestRestorableTime": ago(minutes=4),
            "DBParameterGroups": [{"DBParameterGroupName": "emr", "ParameterApplyStatus": "in-sync"}],
            "ReadReplicaDBInstanceIdentifiers": [],
            "Endpoint": {"Address": "127.0.0.1", "Port": 5432},
        }

    def say(self, message: str, at: datetime | None = None) -> None:
        self.events.append((at or datetime.now(UTC), message))

    def rds_DescribeDBInstances(self, _params: Json) -> Json:
        return {"DBInstances": [self.instance]}

    def rds_DescribeEvents(self, params: Json) -> Json:
        first = datetime.now(UTC) - timedelta(minutes=params["Duration"])
        return {"Events": [{"Date": at, "Message": message} for at, message in self.events if at >= first]}

    def rds_RebootDBInstance(self, params: Json) -> Json:
        assert params["ForceFailover"] is True
        self.instance["DBInstanceStatus"] = "rebooting"
        self.say(STARTED)
        return {}

    def rds_ModifyDBInstance(self, params: Json) -> Json:
        assert params["ApplyImmediately"] is True
        self.instance["PendingModifiedValues"] = {"AllocatedStorage": params["AllocatedStorage"]}
        return {}


class Postgres:
    """What the server knows. ``signals`` are the statements that arrived and change something, by function."""

    def __init__(self) -> None:
        self.signals: list[str] = []
        self.down = ""
        self.lose: str | None = None
        self.denied = False
        self.node: Json = {"in_recovery": False, "address": FIRST, "port": 5432, "started": "2026-11-01T00:00:00Z"}
        self.transactions: Json = {"writing": 1, "longest_s": 3.0, "longest_writing_s": 0.2}
        self.prepared = 0
        self.sees_all = True
        self.session: Json | None = None
        self.slot: Json | None = None
        self.connections = 0

    def connect(self, **_settings: Any) -> _Connection:
        self.connections += 1
        if self.down:
            raise psycopg.OperationalError(self.down)
        return _Connection(self)

    def answer(self, statement: str, values: Json) -> list[Json]:
        """The rows of one statement."""
        known: dict[str, list[Json]] = {
            QUERIES["node"]: [self.node],
            QUERIES["transactions"]: [self.transactions],
            QUERIES["prepared"]: [{"prepared": self.prepared}],
            SEES_ALL: [{"sees_all": self.sees_all}],
            WRITE_HERE: [{"node": self.node["address"]}],
        }
        if statement in known:
            return known[statement]
        if statement == database_session.LOOK:
            found = self._session_of(values)
            return [found] if found else []
        if statement == database_slot.LOOK:
            return [self.slot] if self.slot and values["slot"] == "old_reporting" else []
        return self._change(statement, values)

    def _session_of(self, values: Json) -> Json | None:
        same = self.session and all(self.session[name] == values[name] for name in ("pid", "backend_start"))
        return self.session if same else None

    def _change(self, statement: str, values: Json) -> list[Json]:
        if statement == database_slot.DROP:
            matches = self.slot and not self.slot["active"] and self.slot["position"] == values["position"]
            name = "pg_drop_replication_slot"
        else:
            found = self._session_of(values)
            matches = found and all(found[name] == values[name] for name in ("role", "statement_at"))
            name = "pg_cancel_backend" if statement == database_session.CANCEL else "pg_terminate_backend"
            assert statement in (database_session.CANCEL, database_session.TERMINATE)
        self.signals.append(name)
        if self.denied:
            raise psycopg.errors.InsufficientPrivilege("permission denied, with words that must not be shown")
        if not matches or self.lose == "before":
            return []
        if name == "pg_drop_replication_slot":
            self.slot = None
        elif name == "pg_terminate_backend":
            self.session = None
        else:
            assert self.session
            self.session |= {"state": "idle in transaction (aborted)", "victims": 0}
        return [{"sent": True}]


class _Connection:
    def __init__(self, server: Postgres) -> None:
        self._server = server
        self.broken = self.closed = False

    def execute(self, statement: str, values: Json | None = None) -> _Cursor:
        parts = [statement] if values else statement.split(";")
        before = len(self._server.signals)
        answers = [self._server.answer(part, values or {}) for part in parts]
        if self._server.lose and len(self._server.signals) > before:
            self.broken = True
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return _Cursor(answers)

    def close(self) -> None:
        self.closed = True


class _Cursor:
    def __init__(self, answers: list[list[Json]]) -> None:
        self._answers = answers

    def fetchone(self) -> Json | None:
        return self._answers[0].pop(0).copy() if self._answers[0] else None

    def nextset(self) -> None:
        self._answers.pop(0)
