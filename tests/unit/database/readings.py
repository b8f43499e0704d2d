"""Readings of a healthy database, and small changes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._database_sessions import Attempt
from ansible_collections.daily_emr.ops.plugins.module_utils._health_probes import TaskProbe
from ansible_collections.daily_emr.ops.plugins.module_utils._http import Answer
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import Trouble
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Readings

from tests.unit.web_service.readings import NOW, task

Json = dict[str, Any]
Spoil = Callable[[Readings], object]

GIB = 1024**3
DATABASE: Json = {
    "component": "emr-db",
    "instance": "daily-emr-staging-db",
    "instance_class": "db.m6g.large",
    "secret": "daily-emr/staging/DATABASE_URL",
    "name": "emr",
    "application_role": "emr_application",
    "slots": ["warehouse"],
    "read_only_flag": "read-only",
}
THRESHOLDS: Json = {
    "database_slow_ms": 500,
    "write_latency_ms": 500,
    "connections_percent": 85,
    "free_storage_percent": 15,
    "slot_retained_percent": 10,
    "victims": 3,
    "blocked_s": 10,
    "idle_transaction_s": 300,
    "failover_quiet_minutes": 30,
    "restorable_minutes": 10,
    "transaction_s": 60,
    "release_recent_minutes": 60,
    "probe_timeout_s": 3,
    "connections_per_task": 5,
}
BEGAN = "2026-11-22T01:00:00.123456+00:00"


def session(n: int, **more: Any) -> Json:
    """A row of Q2."""
    return {"state": "idle", "wait_event_type": "Client", "wait_event": "ClientRead", "role": "x", "n": n, **more}


def working(n: int, **more: Any) -> Json:
    return session(n, **{"state": "active", "wait_event_type": None, "wait_event": None, **more})


def blocker(pid: int, **more: Any) -> Json:
    """A row of Q4."""
    known = {"pid": pid, "backend_start": BEGAN, "role": "emr_application", "state": "active", "state_s": 20.0}
    return {**known, "transaction_s": 90.0, "victims": 1, **more}


def victim(pid: int, *blockers: int, **more: Any) -> Json:
    known = {"pid": pid, "backend_start": BEGAN, "role": "emr_application", "state": "active"}
    return {**known, "wanted": "AccessShareLock", "waited_s": 20.0, "blockers": list(blockers), **more}


def slot(name: str, *, active: bool = False, gib: float | None = 20.0) -> Json:
    retained = None if gib is None else gib * GIB
    return {"name": name, "type": "physical", "active": active, "wal_status": "reserved", "retained_bytes": retained}


def healthy() -> Readings:
    readings = Readings()
    probes = [task(1, "a"), task(2, "b")]
    readings.values = {
        "instance": {
            "status": "available",
            "multi_az": True,
            "zone": "af-south-1a",
            "standby_zone": "af-south-1b",
            "class": "db.m6g.large",
            "allocated_gib": 100,
            "restorable_at": "2026-11-22T01:27:00.000Z",
            "pending": [],
            "replicas": [],
            "address": "db.test",
            "port": 5432,
            "parameter_groups": [],
            "read_at": NOW,
        },
        "events": {"failovers": [], "read_at": NOW},
        "maintenance": [],
        "metrics": {
            "load": 0.4,
            "free_bytes": 60.0 * GIB,
            "write_latency_s": 0.004,
            "slot_bytes": 0.0,
            "transaction_ids": 2e8,
            "cpu_percent": 12.0,
            "io_balance_percent": 99.0,
            "byte_balance_percent": 99.0,
        },
        "secret": "2026-11-01T00:00:00Z",
        "capacity": {"minimum": 2, "maximum": 6, "suspended": False},
        "read_only": {"on": False, "changed_at": "2026-10-01T00:00:00Z"},
        "tasks": [{"id": probe.id} for probe in probes],
        "task_probes": {probe.id: probe for probe in probes},
        "targets": [{"state": "healthy"}, {"state": "healthy"}],
        "login": Attempt(None, True, 30.0),
        "write": Attempt(None, True, 4.0),
        "round_trips": [1.0, 1.0],
        "node": {"in_recovery": False, "address": "10.0.3.17", "port": 5432, "started": BEGAN, "version": "15.18"},
        "read_only_roles": [],
        "sessions": [session(10), working(1)],
        "busy": [{"statement": "-42", "n": 1}],
        "connections": {"used": 11, "maximum": 200, "reserved": 3},
        "connection_limit": 200,
        "blockers": [],
        "victims": [],
        "replicas": {"replicas": 0, "streaming": 0, "replay_bytes": None, "replay_lag_s": None},
        "slots": [slot("warehouse", active=True, gib=0.1)],
        "ages": {"transaction_ids": 200_000_000, "deadlocks": 0, "temp_bytes": 0, "checksum_failures": 0},
        "bloat": {"tables": 9, "live_rows": 100, "dead_rows": 3, "most_dead_rows": 2, "vacuumed_s": 60.0},
        "transactions": {"writing": 0, "longest_s": 0.2, "longest_writing_s": 0.0},
        "migrations": {"failed": 0},
        "replay": {"lag_s": None},
        "prepared": {"prepared": 0},
    }
    return readings


def setting(name: str, value: Any) -> Spoil:
    """Another value for a reading; of one that is a dictionary, for some of its keys."""

    def spoil(readings: Readings) -> None:
        known = readings.values[name]
        readings.values[name] = known | value if isinstance(known, dict) and isinstance(value, dict) else value

    return spoil


def together(*spoils: Spoil) -> Spoil:
    def spoil(readings: Readings) -> None:
        for one in spoils:
            one(readings)

    return spoil


def lost(*names: str) -> Spoil:
    """Readings that could not be had."""

    def spoil(readings: Readings) -> None:
        for name in names:
            readings.values.pop(name, None)
            readings.unread[name] = "no answer"

    return spoil


def with_probes(*probes: TaskProbe) -> Spoil:
    return together(
        lambda readings: readings.values.update(task_probes={probe.id: probe for probe in probes}),
        lambda readings: readings.values.update(tasks=[{"id": probe.id} for probe in probes]),
    )


def both(**answers: Answer) -> Spoil:
    """What both tasks answer."""
    return with_probes(task(1, "a", **answers), task(2, "b", **answers))


# What only a session tells.
INSIDE = ("node", "read_only_roles", "sessions", "busy", "connections", "connection_limit", "blockers", "victims")
INSIDE += ("replicas", "slots", "ages", "bloat", "transactions", "migrations", "replay", "prepared", "round_trips")


def shut_out(trouble: Trouble) -> Spoil:
    """Nobody gets in."""
    return together(
        lost(*INSIDE),
        setting("login", Attempt(trouble, False, 3000.0)),
        setting("write", Attempt(trouble, False, 3000.0)),
    )


def events(*found: tuple[str, str]) -> Spoil:
    return setting("events", {"failovers": [{"kind": kind, "at": at} for kind, at in found]})


def blocked(
    *, wanted: str = "AccessShareLock", waited_s: float = 20.0, count: int = 3, root: Json | None = None
) -> Spoil:
    """Sessions 2, 3, ... that wait for session 1."""
    victims = [victim(2, 1, wanted=wanted, waited_s=waited_s)]
    victims += [victim(number, 2, 1, waited_s=waited_s) for number in range(3, 2 + count)]
    return together(setting("victims", victims), setting("blockers", [root or blocker(1, victims=count)]))
