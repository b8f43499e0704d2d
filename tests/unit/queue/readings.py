"""Readings of a healthy queue, of either kind, and small changes of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Readings

Json = dict[str, Any]
Spoil = Callable[[Readings], object]

NOW = "2026-11-22T01:30:00.000Z"
NOW_MS = 1795311000000
MIB = 1024**2
QUEUE: Json = {
    "component": "notifications",
    "name": "notifications",
    "kind": "bullmq",
    "prefix": "bull",
    "dead_letters": None,
    "replication_group": "daily-emr-staging-queues",
    "worker_cluster": "daily-emr-staging",
    "worker_service": "daily-emr-staging-notifications-worker",
    "worker_expected": 2,
    "worker_maximum": 6,
    "pool_per_worker": 2,
    "jobs_per_worker": 2,
    "database": "daily-emr-staging-db",
    "max_connections": None,
    "idempotent": True,
    "oldest_s": 60,
    "usual_job_ms": 400,
    "provider_rate": 40,
    "usual_concurrency": 0,
    "usual_rate": 0,
    "downstream_runbook": "",
    "circuit_flag": "",
}
CLAIMS: Json = {**QUEUE, "component": "claims", "downstream_runbook": "claims_api_outage", "circuit_flag": "queue-only"}
EXPORTS: Json = {
    **QUEUE,
    "component": "exports",
    "name": "daily-emr-staging-exports",
    "kind": "sqs",
    "dead_letters": "daily-emr-staging-exports-dead-letters",
    "worker_expected": 1,
}
THRESHOLDS: Json = {
    "look_s": 10,
    "drain_minutes": 30,
    "deep_jobs": 50,
    "failed_percent": 1,
    "class_failures": 20,
    "burst_percent": 10,
    "slow_factor": 4,
    "connections_percent": 80,
    "database_cpu_percent": 70,
    "memory_percent": 95,
    "engine_cpu_percent": 90,
    "failover_recent_minutes": 30,
    "quiet_minutes": 5,
}
SERVER: Json = {
    "role": "master",
    "uptime_s": 90000,
    "loading": False,
    "replicas": 1,
    "used_bytes": 8 * MIB,
    "limit_bytes": 64 * MIB,
    "policy": "noeviction",
    "evicted": 0,
    "clients": 9,
    "rejected_connections": 0,
    "read_only_errors": 0,
    "memory_errors": 0,
}
COUNTS: Json = {
    "wait": 2,
    "paused": 0,
    "active": 1,
    "delayed": 0,
    "prioritized": 0,
    "children": 0,
    "completed": 200,
    "failed": 0,
}


def state(at_ms: int, **more: Any) -> Json:
    """What one look says; counts and server may be given in part."""
    known: Json = {
        "at_ms": at_ms,
        "version": "bullmq:5.81.5",
        "layout": 5,
        "paused": False,
        "concurrency": None,
        "rate_max": None,
        "rate_ms": None,
        "counts": COUNTS | more.pop("counts", {}),
        "added": 1000,
        "completed_ever": 900,
        "failed_ever": 0,
        "server": SERVER | more.pop("server", {}),
    }
    return known | more


def failure(count: int, about: str = "code", *, minutes_ago: float = 1.0, **more: Any) -> Json:
    """A class of failures."""
    newest = NOW_MS - round(minutes_ago * 60_000)
    known = {"job": "send", "class": "TemplateError", "code": None, "about": about, "signature": f"s-{about}"}
    return {**known, "count": count, "oldest_ms": newest - 60_000, "newest_ms": newest, **more}


def healthy() -> Readings:
    readings = Readings()
    readings.values = {
        "group": {
            "status": "available",
            "clustered": False,
            "members": ["queues-001", "queues-002"],
            "roles": {"queues-001": "primary", "queues-002": "replica"},
            "address": "queues.test",
            "port": 6379,
        },
        "group_events": {"failovers": [], "read_at": NOW},
        "group_metrics": {"engine_cpu_percent": 4.0, "memory_percent": 12.0, "evictions": 0.0, "connections": 9.0},
        "jobs": {
            "first": state(NOW_MS),
            # Two arrive and two are done a second.
            "second": state(NOW_MS + 10_000, added=1020, completed_ever=920),
            "oldest_ms": 300,
            "due": 0,
            "failed_lately": 0,
            "completed_lately": 120,
            "active": {"sampled": 1, "unlocked": 0, "ages_ms": [100]},
            "stalled_lately": 0,
            "durations_ms": [400, 420, 380],
            "failures": [],
            "workers": 2,
            "window_s": 60.0,
        },
        "reached": {"word": ""},
        **_around(2),
    }
    return readings


def healthy_messages() -> Readings:
    readings = Readings()
    counts = {"in_flight": 1, "delayed": 0, "arn": "arn:q", "url": "http://q", "redrives_to": "arn:d"}
    readings.values = {
        "messages": {"visible": 3, **counts},
        "dead_letters": {"visible": 0, **counts, "redrives_to": None},
        "message_metrics": {"oldest_s": 2.0, "arrivals": 0.3, "completions": 0.3},
        "moves": [],
        "between_s": 10.0,
        **_around(1),
    }
    return readings


def _around(workers: int) -> Json:
    return {
        "service": {
            "status": "ACTIVE",
            "desired": workers,
            "running": workers,
            "tags": {},
            "deployment": {"rollout": "COMPLETED"},
        },
        "tasks": [{"id": str(number)} for number in range(workers)],
        "stopped": [],
        "capacity": None,
        "database": {"status": "available", "parameter_groups": ["emr"]},
        "CPU_of_the_database": 12.0,
        "connections_in_use": 14,
        "max_connections": 50,
        "circuit": {"on": False},
    }


def setting(name: str, value: Any) -> Spoil:
    """Another value for a reading; of one that is a dictionary, for some of its keys."""

    def spoil(readings: Readings) -> None:
        known = readings.values[name]
        readings.values[name] = known | value if isinstance(known, dict) and isinstance(value, dict) else value

    return spoil


def jobs(**more: Any) -> Spoil:
    """Other values in the two looks at the queue; first and second may be given in part."""

    def spoil(readings: Readings) -> None:
        found = copy.deepcopy(readings.values["jobs"])
        for name, value in more.items():
            if name not in ("first", "second"):
                found[name] = value
                continue
            part = found[name]
            for key, given in value.items():
                part[key] = part[key] | given if isinstance(given, dict) else given
        readings.values["jobs"] = found

    return spoil


def both(**more: Any) -> Spoil:
    """The same in both looks."""
    return jobs(first=more, second=more)


def waiting(depth: int, *, arrivals: float, completions: float, oldest_s: float = 1.0) -> Spoil:
    """So many jobs wait, arrive and are done a second."""
    counts = {"wait": depth}
    second = {"counts": counts, "added": 1000 + round(arrivals * 10), "completed_ever": 900 + round(completions * 10)}
    return jobs(first={"counts": counts}, second=second, oldest_ms=round(oldest_s * 1000))


def failing(*groups: Json, lately: int = 0) -> Spoil:
    return jobs(failures=list(groups), failed_lately=lately)


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
