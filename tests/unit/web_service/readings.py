"""Readings of a healthy service, and of the same service with each named fault."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._health_probes import TaskProbe
from ansible_collections.daily_emr.ops.plugins.module_utils._http import Answer
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Readings

NOW = "2026-11-22T01:30:00Z"
GOOD, BAD = "daily-emr-staging-web:2", "daily-emr-staging-web:3"
SERVICE = {"component": "emr-web"}
THRESHOLDS = {
    "error_ratio": 0.05,
    "p95_ms": 600,
    "database_slow_ms": 500,
    "release_recent_minutes": 60,
    "flag_recent_hours": 24,
    "good_after_hours": 24,
    "min_healthy_targets": 2,
    "min_zones": 2,
    "probe_timeout_s": 3,
    "cpu_percent": 90,
}
OK = Answer(200, "", 4)
ERROR = Answer(500, "", 6)
TIMEOUT = Answer(None, "timeout", 3000)
BLOCKED = Answer(403, "", 2)


def ready(database: str = "", cache: str = "", ms: int = 3) -> Answer:
    """What /readyz says, with the reason why a dependency fails."""

    def check(reason: str) -> dict[str, Any]:
        return {"status": "fail" if reason else "ok", "ms": ms, "reason": reason or None}

    body = {"status": "ok", "checks": {"database": check(database), "cache": check(cache)}}
    return Answer(503 if database or cache else 200, "", 5, body)


def task(number: int, zone: str, revision: str = GOOD, **answers: Answer) -> TaskProbe:
    given = {"live": OK, "ready": ready(), "chart": OK, **answers}
    return TaskProbe(f"t{number}", zone, revision, "2026-11-19T08:00:00Z", **given)


def deployment(revision: str, status: str, created: str, finished: str | None) -> dict[str, Any]:
    return {
        "arn": f"arn:{revision}:{created}",
        "status": status,
        "created_at": created,
        "finished_at": finished,
        "revision": revision,
        "from": [],
        "waits_at_hook": False,
    }


def stopped(revision: str, reason: str, *exit_codes: int) -> dict[str, Any]:
    code = "EssentialContainerExited" if exit_codes else "TaskFailedToStart"
    return {
        "id": f"s{revision}{reason}",
        "revision": revision,
        "zone": "a",
        "stopped_at": NOW,
        "code": code,
        "exit_codes": list(exit_codes),
        "reason": reason,
    }


def target(zone: str, reason: str = "") -> dict[str, Any]:
    state = "unhealthy" if reason else "healthy"
    return {"address": f"10.0.0.{ord(zone)}", "zone": zone, "state": state, "reason": reason}


def healthy() -> Readings:
    readings = Readings()
    tasks = [task(1, "a"), task(2, "b")]
    readings.values = {
        "history": [deployment(GOOD, "SUCCESSFUL", "2026-11-19T08:00:00Z", "2026-11-19T08:05:00Z")],
        "service": {"revision": GOOD, "desired": 2, "running": 2, "read_at": NOW},
        "tasks": [{"id": probe.id} for probe in tasks],
        "task_probes": {probe.id: probe for probe in tasks},
        "stopped_tasks": [],
        "targets": [target("a"), target("b")],
        "balancer": {"arn": "arn:lb", "zones": {"afs1-az1": "a", "afs1-az2": "b"}},
        "shift": {"id": None, "away_from": None, "until": None},
        "capacity": {"minimum": 2, "maximum": 6, "suspended": False},
        "database": {"status": "available", "schema_version": "13"},
        "database_accepts": True,
        "cache": {"status": "available"},
        "cache_accepts": True,
        "secrets": {"daily-emr/staging/DATABASE_URL": "2026-11-01T00:00:00Z"},
        "proven": [GOOD],
        "last_known_good": {
            "revision": GOOD,
            "registered": True,
            "digest": "sha256:" + "a" * 64,
            "image_present": True,
            "missing_secrets": [],
            "schema_compat": "12-14",
        },
        "metrics": {"requests": 900.0, "errors": 0.0, "p95_ms": 40.0, "cpu_percent": 30.0, "window_s": 180.0},
        "flags": [
            {"key": "new-chart-view", "tags": ["route:/api/charts"], "on": False, "changed_at": "2026-11-01T00:00:00Z"}
        ],
        "acl": {},
        "blocked": {"block-scanners": {"routes": {}, "samples": 0}},
        "changes": [],
        "edge": OK,
        "balancer_probe": OK,
    }
    return readings


def with_tasks(readings: Readings, *probes: TaskProbe) -> None:
    readings.values["task_probes"] = {probe.id: probe for probe in probes}
    readings.values["tasks"] = [{"id": probe.id} for probe in probes]


def users_fail(readings: Readings, answer: Answer) -> None:
    readings.values["edge"] = readings.values["balancer_probe"] = answer


def deployed(readings: Readings, revision: str, status: str = "SUCCESSFUL") -> None:
    """A new release, ten minutes ago."""
    readings.values["service"]["revision"] = revision
    finished = "2026-11-22T01:22:00Z" if status == "SUCCESSFUL" else None
    readings.values["history"].insert(0, deployment(revision, status, "2026-11-22T01:20:00Z", finished))


def bad_release_crash(readings: Readings) -> None:
    deployed(readings, BAD, "IN_PROGRESS")
    readings.values["stopped_tasks"] = [stopped(BAD, "exited", 1), stopped(BAD, "exited", 1)]


def bad_release_errors(readings: Readings) -> None:
    deployed(readings, BAD)
    with_tasks(readings, task(3, "a", BAD, chart=ERROR), task(4, "b", BAD, chart=ERROR))
    users_fail(readings, ERROR)


def rollback_image_deleted(readings: Readings) -> None:
    bad_release_errors(readings)
    readings.values["last_known_good"]["image_present"] = False


def wedged_tasks(readings: Readings) -> None:
    with_tasks(readings, task(1, "a", chart=TIMEOUT), task(2, "b", chart=TIMEOUT))
    users_fail(readings, TIMEOUT)


def scaled_to_zero(readings: Readings) -> None:
    readings.values["service"] |= {"desired": 0, "running": 0}
    with_tasks(readings)
    users_fail(readings, Answer(503, "", 2))


def bad_flag(readings: Readings) -> None:
    readings.values["flags"][0] |= {"on": True, "changed_at": "2026-11-22T01:25:00Z"}
    with_tasks(readings, task(1, "a", chart=ERROR), task(2, "b", chart=ERROR))
    users_fail(readings, ERROR)


def broken_secret(readings: Readings) -> None:
    readings.values["secrets"] = {"daily-emr/staging/DATABASE_URL": "2026-11-22T01:20:00Z"}
    failing = {"ready": ready(database="auth"), "chart": ERROR}
    with_tasks(readings, task(5, "a", **failing), task(6, "b", **failing))
    users_fail(readings, ERROR)


def zone_impaired(readings: Readings) -> None:
    with_tasks(readings, task(1, "a", ready=ready(database="timeout"), chart=TIMEOUT), task(2, "b"))


def waf_block(readings: Readings) -> None:
    readings.values["blocked"] = {"block-scanners": {"routes": {"/api/": 40}, "samples": 40}}
    users_fail(readings, BLOCKED)


def database_down(readings: Readings) -> None:
    failing = {"ready": ready(database="refused"), "chart": ERROR}
    with_tasks(readings, task(1, "a", **failing), task(2, "b", **failing))
    readings.values["database_accepts"] = False
    users_fail(readings, ERROR)


def slow_database(readings: Readings) -> None:
    slow = {"ready": ready(ms=1800), "chart": TIMEOUT}
    with_tasks(readings, task(1, "a", **slow), task(2, "b", **slow))
    users_fail(readings, TIMEOUT)


def cache_down(readings: Readings) -> None:
    failing = {"ready": ready(cache="refused")}
    with_tasks(readings, task(1, "a", **failing), task(2, "b", **failing))
    readings.values["cache_accepts"] = False


def out_of_capacity(readings: Readings) -> None:
    readings.values["metrics"] |= {"cpu_percent": 99.0, "p95_ms": 2400.0}


def balancer_cannot_reach_tasks(readings: Readings) -> None:
    readings.values["targets"] = [target("a", "Target.Timeout"), target("b", "Target.Timeout")]
    users_fail(readings, Answer(504, "", 10000))


def edge_down(readings: Readings) -> None:
    readings.values["edge"] = Answer(None, "refused", 2)


FAULTS: dict[str, tuple[Callable[[Readings], None], str]] = {
    "bad_release_crash": (bad_release_crash, "release_crashes"),
    "bad_release_errors": (bad_release_errors, "bad_release"),
    "rollback_image_deleted": (rollback_image_deleted, "bad_release"),
    "wedged_tasks": (wedged_tasks, "wedged_tasks"),
    "scaled_to_zero": (scaled_to_zero, "scaled_to_zero"),
    "bad_flag": (bad_flag, "bad_flag"),
    "broken_secret": (broken_secret, "broken_secret"),
    "zone_impaired": (zone_impaired, "zone_impaired"),
    "waf_block": (waf_block, "rule_blocks_users"),
    "database_down": (database_down, "database_unreachable"),
    "slow_database": (slow_database, "slow_database"),
    "cache_down": (cache_down, "cache_unreachable"),
    "out_of_capacity": (out_of_capacity, "out_of_capacity"),
    "balancer_cannot_reach_tasks": (balancer_cannot_reach_tasks, "balancer_cannot_reach_tasks"),
    "edge_down": (edge_down, "edge_down"),
}


def broken(fault: str) -> Readings:
    readings = copy.deepcopy(healthy())
    FAULTS[fault][0](readings)
    return readings
