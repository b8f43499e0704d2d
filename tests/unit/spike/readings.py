"""Readings of a service that serves well, and of the same service in each kind of trouble."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._attribution import DIMENSIONS, Onset, change_point
from ansible_collections.daily_emr.ops.plugins.module_utils._request_log import (
    BAD_BY_ALL,
    CLIENT_ERRORS,
    requests_by,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._spike_readings import Period
from ansible_collections.daily_emr.ops.plugins.module_utils._traffic import Minute, Traffic
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Readings, iso

from tests.unit.changes.world import counted

Json = dict[str, Any]
Log = list[tuple[Json, int]]

NOW = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)
ONSET = NOW - timedelta(minutes=10)
OLD, NEW = "2026.47.1", "2026.48.0"
SERVICE = {"component": "emr-web"}
THRESHOLDS = {
    "error_ratio": 0.0144,
    "client_error_ratio": 0.1,
    "client_share": 0.3,
    "p95_ms": 600,
    "explains_share": 0.8,
    "min_requests": 50,
    "min_bad": 10,
    "min_signature": 3,
    "load_times": 1.5,
}
ROUTES = ("/api/charts/:id", "/api/appointments", "/api/claims/eligibility")
TASKS = (("t1", "af-south-1a"), ("t2", "af-south-1b"), ("t3", "af-south-1c"))


def request(status: int = 200, route: str = ROUTES[0], task: int = 0, release: str = OLD, **more: Any) -> Json:
    name, zone = TASKS[task]
    entry = {"status": status, "route": route, "task": name, "zone": zone, "release": release, "duration": 40}
    return {**entry, "revision": "3" if release == NEW else "2", "tenant": "3f01", **more}


def usual(each: int = 100, *tenants: str) -> Log:
    """Good requests of every route, task and tenant."""
    return [
        (request(route=route, task=task, tenant=tenant), each)
        for route in ROUTES
        for task in range(len(TASKS))
        for tenant in (tenants or ("3f01", "77aa", "b2c9"))
    ]


def bad(number: int, **said: Any) -> Log:
    """Bad requests, of every tenant unless one is named."""
    tenants = [said.pop("tenant")] if "tenant" in said else ["3f01", "77aa", "b2c9"]
    return [(request(**{"status": 500, "tenant": tenant, **said}), number) for tenant in tenants]


def spread(number: int) -> Log:
    """Bad requests of every route, task and tenant."""
    return [({**entry, "status": 500}, number) for entry, _each in usual()]


def minutes(rows: list[tuple[int, Json]], p95_ms: float = 40.0, end: datetime = NOW) -> Traffic:
    """Parts of a series as (minutes, codes), up to now."""
    codes = [part for length, part in rows for _ in range(length)]
    start = end - timedelta(minutes=len(codes))
    return Traffic([Minute(start + timedelta(minutes=n), part, p95_ms) for n, part in enumerate(codes)], 60)


GOOD = {"target_2xx": 290, "target_4xx": 10}


def period(start: datetime, onset: Onset | None = None, known_from: datetime = NOW - timedelta(minutes=90)) -> Period:
    """From start until now; what was changed from an hour before to five minutes after it is suspicious."""
    return Period(start, NOW, onset, known_from, start - timedelta(minutes=60), start + timedelta(minutes=5))


def readings(log: Log, during: Json, known: Log | None = None, p95_ms: float = 40.0, **values: Any) -> Readings:
    """Ten minutes of trouble after eighty of peace."""
    made = Readings()
    traffic = minutes([(80, GOOD), (10, during)], p95_ms)
    onset = change_point(traffic.points)
    made.values = {
        "traffic": traffic,
        "period": period(onset.at if onset else NOW - timedelta(minutes=15), onset, traffic.minutes[0].at),
        "balancer": {"arn": "arn:lb", "zones": {"afs1-az1": "af-south-1a", "afs1-az2": "af-south-1b"}},
        "no_logs": "",
        "history": [deployment(2, 4000)],
        "service": {"revision": "daily-emr-staging-web:3"},
        "forwards": [{"weights": {"daily-emr-staging-web": 1}}],
        "flags": [
            {"key": "sha-circuit", "tags": ["circuit:sha"], "on": False, "changed_at": "2026-01-01T00:00:00Z"},
            {"key": "no-reports", "tags": ["shed"], "on": False, "changed_at": "2026-01-01T00:00:00Z"},
            {"key": "new-chart-view", "tags": ["route:/api/charts"], "on": True, "changed_at": "2026-01-01T00:00:00Z"},
        ],
        "flag_changes": [],
        "secrets": {"daily-emr/staging/DATABASE_URL": "2026-11-01T00:00:00Z"},
        "events": [],
        "counted": {"per-client": counted_by(0, 0)},
        "bad": texts(counted(log, BAD_BY_ALL)),
        "client_errors": texts(counted(log, CLIENT_ERRORS)),
        "known_bad": texts(counted(known or [], BAD_BY_ALL)),
        **{f"requests_by_{name}": texts(counted(log, requests_by(name))) for name in DIMENSIONS},
        **values,
    }
    if not onset:
        del made.values["known_bad"]
    return made


def counted_by(most: int, others: int, per_minute: float = 0.0) -> Json:
    """What a rate-based rule counted: samples of the first client and of the others."""
    return {"samples": most + others, "clients": 1 + others, "most": most, "most_per_minute": per_minute}


def texts(rows: list[Json]) -> list[Json]:
    """As Insights gives them."""
    return [{name: str(value) for name, value in row.items()} for row in rows]


def deployment(revision: int, minutes_ago: float, status: str = "SUCCESSFUL") -> Json:
    at = iso(ONSET - timedelta(minutes=minutes_ago))
    return {"arn": f"arn:d{revision}", "revision": f"daily-emr-staging-web:{revision}", "created_at": at} | {
        "status": status
    }


def errors(count: int, own: int = 0, **codes: int) -> Json:
    return {"target_2xx": 290 - count, "target_4xx": 10, "target_5xx": count - own, "elb_5xx": own, **codes}


def healthy() -> Readings:
    return readings(usual(), GOOD)


def bad_canary() -> Readings:
    log = [*usual(), *[(request(release=NEW, route=route), 100) for route in ROUTES]]
    log += [entry for route in ROUTES for entry in bad(80, release=NEW, route=route)]
    forwards = [{"weights": {"daily-emr-staging-web": 90, "daily-emr-staging-web-canary": 10}}]
    return readings(log, errors(24), forwards=forwards, history=[deployment(3, 4), deployment(2, 4000)])


def bad_release_everywhere() -> Readings:
    """Every task runs it, so the log has nothing to compare it with."""
    log = [({**entry, "release": NEW, "revision": "3"}, count) for entry, count in [*usual(), *spread(20)]]
    return readings(log, errors(50), history=[deployment(3, 2), deployment(2, 4000)])


def bad_flag() -> Readings:
    changed = iso(ONSET - timedelta(seconds=40))
    log = [*usual(), *[entry for task in range(3) for entry in bad(20, task=task)]]
    return readings(log, errors(20), flag_changes=[{"key": "new-chart-view", "at": changed}])


def bad_task() -> Readings:
    return readings([*usual(), *[entry for route in ROUTES for entry in bad(20, route=route, task=2)]], errors(20))


def bad_zone() -> Readings:
    more: Log = [(request(route=route, task=2) | {"task": "t4"}, 300) for route in ROUTES]
    failing: Log = [
        (entry | {"task": task}, count)
        for route in ROUTES
        for task in ("t3", "t4")
        for entry, count in bad(20, route=route, task=2)
    ]
    return readings([*usual(), *more, *failing], errors(36))


def bad_tenant() -> Readings:
    log = [
        *usual(),
        *[entry for n, route in enumerate(ROUTES) for entry in bad(60, route=route, task=n, tenant="e0e0")],
    ]
    return readings(log, errors(20))


def provider_fails() -> Readings:
    failing = {"status": 504, "route": ROUTES[2], "dependency": "sha"}
    log = [*usual(), *[entry for task in range(3) for entry in bad(20, task=task, **failing)]]
    return readings(log, errors(20))


def balancer_fails() -> Readings:
    return readings(usual(), errors(20, own=19, elb_504=19))


def everything_fails_alike() -> Readings:
    return readings([*usual(), *spread(20)], errors(50))


def more_load() -> Readings:
    during = {"target_2xx": 800, "target_4xx": 10, "target_5xx": 40}
    return readings([*usual(), *spread(20)], during)


def slow_route() -> Readings:
    log = [({**entry, "duration": 2400 if entry["route"] == ROUTES[1] else 40}, count) for entry, count in usual()]
    return readings(log, GOOD, p95_ms=2400.0)


def all_slow() -> Readings:
    return readings([({**entry, "duration": 2400}, count) for entry, count in usual()], GOOD, p95_ms=2400.0)


def login_refused() -> Readings:
    log = [*usual(), *[(request(401, route="/login", task=task), 100) for task in range(3)]]
    return readings(log, {"target_2xx": 200, "target_4xx": 100})


def silent_log() -> Readings:
    return readings([], errors(20))


def log_without_names() -> Readings:
    return readings([({"status": 200, "duration": 40}, 3000), ({"status": 500, "duration": 40}, 200)], errors(20))


def crawler() -> Readings:
    during = {"target_2xx": 800, "target_4xx": 10, "target_5xx": 40}
    return readings([*usual(), *spread(20)], during, counted={"per-client": counted_by(100, 5, 400.0)})


def many_busy_clients() -> Readings:
    return readings(usual(), GOOD, counted={"per-client": counted_by(60, 40, 400.0)})


def busy_client() -> Readings:
    return readings(usual(), GOOD, counted={"per-client": counted_by(100, 0, 60.0)})


def few_at_night() -> Readings:
    made = readings(usual(1), {"target_2xx": 3})
    made.values["traffic"] = minutes([(80, {"target_2xx": 3}), (10, {"target_2xx": 2, "target_5xx": 1})])
    return made


# Each with the observations that are findings, and whether it is healthy.
CASES: list[tuple[Callable[[], Readings], set[str], bool | None]] = [
    (healthy, set(), True),
    (
        bad_canary,
        {"release_explains", "newest_release_explains", "task_explains", "zone_explains", "deployment_near_onset"}
        | {"traffic_divided", "new_error_signature"},
        False,
    ),
    (bad_release_everywhere, {"unexplained", "deployment_near_onset", "new_error_signature"}, False),
    (bad_flag, {"route_explains", "flag_near_onset", "new_error_signature"}, False),
    (bad_task, {"task_explains", "zone_explains", "new_error_signature"}, False),
    (bad_zone, {"zone_explains", "new_error_signature"}, False),
    (bad_tenant, {"tenant_explains", "new_error_signature"}, False),
    (
        provider_fails,
        {"dependency_explains", "dependency_has_breaker", "route_explains", "new_error_signature"},
        False,
    ),
    (balancer_fails, {"balancer_generates"}, False),
    (everything_fails_alike, {"unexplained", "new_error_signature"}, False),
    (more_load, {"unexplained", "load_up", "new_error_signature"}, False),
    (slow_route, {"latency_high", "latency_without_errors", "slow_route"}, False),
    (all_slow, {"latency_high", "latency_without_errors"}, False),
    (login_refused, {"client_errors_surge"}, True),
    (silent_log, {"no_logs"}, False),
    (log_without_names, {"new_error_signature"}, False),
    (crawler, {"unexplained", "load_up", "client_dominates", "new_error_signature"}, False),
    (many_busy_clients, set(), True),
    (busy_client, set(), True),
    (few_at_night, {"low_traffic"}, None),
]
