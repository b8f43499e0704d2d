"""A live database with its application around it, healthy until a test breaks it."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
import psycopg
import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils import _clients
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform

from tests.unit.changes.conftest import Serve
from tests.unit.changes.world import P
from tests.unit.database.fake import Database
from tests.unit.database.readings import DATABASE, GIB, THRESHOLDS, Json
from tests.unit.web_service.conftest import Clock, Live
from tests.unit.web_service.live import LiveWire, LiveWorld, flag

METRICS = {
    "load": 0.4,
    "free_bytes": 60.0 * GIB,
    "write_latency_s": 0.004,
    "transaction_ids": 2e8,
    "cpu_percent": 12.0,
    "io_balance_percent": 99.0,
    "byte_balance_percent": 99.0,
}


class DatabaseWorld(LiveWorld):
    """With what only a diagnosis of the database reads."""

    def __init__(self) -> None:
        super().__init__()
        self.metric_values |= {name: [value] for name, value in METRICS.items()}
        self.multi_az = True
        self.events: list[Json] = []

    def rds_DescribeDBInstances(self, params: Json) -> Json:
        answer = super().rds_DescribeDBInstances(params)
        answer["DBInstances"][0] |= {
            "MultiAZ": self.multi_az,
            "SecondaryAvailabilityZone": "af-south-1b",
            "DBInstanceClass": "db.m6g.large",
            "AllocatedStorage": 100,
            "LatestRestorableTime": datetime.now(UTC),
        }
        return answer

    def rds_DescribeEvents(self, params: Json) -> Json:
        assert (params["SourceIdentifier"], params["SourceType"]) == (f"{P}-db", "db-instance")
        return {"Events": self.events}

    def rds_DescribePendingMaintenanceActions(self, _params: Json) -> Json:
        return {"PendingMaintenanceActions": []}


class LiveDatabase:
    """The database, and the two modules that read it."""

    def __init__(self, live: Live, database: Database) -> None:
        self.live, self.server = live, database
        self.world: Any = live.world
        self.database = {**DATABASE, "instance": f"{P}-db", "secret": "daily-emr/sandbox/DATABASE_URL"}
        login = {"user": "emr_runbook", "method": "passfile", "sslmode": "disable", "passfile": "/dev/null"}
        self.database["login"] = login

    def run(self, module: str, *, check: bool = False, **more: Any) -> Json:
        entry = importlib.import_module(f"ansible_collections.daily_emr.ops.plugins.modules.{module}").ENTRY
        given = {"environment": self.live.environment, "service": self.live.service, "database": self.database}
        checked = ArgumentSpecValidator(entry.argument_spec).validate({**given, "thresholds": THRESHOLDS, **more})
        assert not checked.error_messages, checked.error_messages
        self.said: list[str] = []
        context = Context(check_mode=check, progress=self.said.append)
        return perform(module, entry, checked.validated_parameters, context)


@pytest.fixture(scope="session")
def wire() -> LiveWire:
    """One botocore session for all tests: a new one reads every service model again."""
    return LiveWire(botocore.session.Session())


@pytest.fixture
def serve() -> Iterator[Serve]:
    made = Serve()
    yield made
    made.stop()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Database:
    made = Database()
    monkeypatch.setattr(psycopg, "connect", made.connect)
    return made


@pytest.fixture
def live(
    monkeypatch: pytest.MonkeyPatch, wire: LiveWire, serve: Serve, server: Database, tmp_path: Path
) -> Iterator[LiveDatabase]:
    world = wire.world = DatabaseWorld()
    monkeypatch.setattr(_clients, "session", lambda: wire.session)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as dependency:
        world.database["port"] = dependency.getsockname()[1]
        made = LiveDatabase(Live(world, tmp_path, serve), server)
        made.live.flags["items"].append({**flag(), "key": "read-only"})
        made.live.flags["totalCount"] = 2
        yield made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    found = importlib.import_module("ansible_collections.daily_emr.ops.plugins.modules.database_verified")
    monkeypatch.setattr(found, "monotonic", made.monotonic)
    monkeypatch.setattr(found, "sleep", made.sleep)
    return made
