"""What was not seen is never ok, and never a reason to change anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils import _health_findings as findings
from ansible_collections.daily_emr.ops.plugins.module_utils._decision import decide
from ansible_collections.daily_emr.ops.plugins.module_utils._http import Answer
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Readings

from tests.unit.web_service.readings import (
    BAD,
    NOW,
    OK,
    SERVICE,
    THRESHOLDS,
    TIMEOUT,
    deployed,
    healthy,
    stopped,
    task,
    users_fail,
    with_tasks,
)

TABLE = yaml.safe_load(
    (Path(__file__).resolve().parents[3] / "roles/app_outage/vars/causes.yml").read_text(encoding="utf-8")
)["app_outage_causes"]


def look(readings: Readings) -> tuple[dict[str, str], bool | None, str]:
    """Status of each observation, whether it is healthy, and the cause that is chosen."""
    evidence = findings.observe(readings, SERVICE, THRESHOLDS, NOW)
    state = findings.healthy(evidence)
    status = {item["name"]: item["status"] for item in evidence.observations}
    return status, state, decide(TABLE, evidence.observations, state).cause


def database_hangs(readings: Readings) -> None:
    """It accepts connections and answers none; tasks wait for it at every path but /livez."""
    with_tasks(readings, *(task(n, zone, ready=TIMEOUT, chart=TIMEOUT) for n, zone in ((1, "a"), (2, "b"))))
    users_fail(readings, TIMEOUT)


def database_hangs_after_a_release(readings: Readings) -> None:
    deployed(readings, BAD)
    with_tasks(readings, *(task(n, zone, BAD, ready=TIMEOUT, chart=TIMEOUT) for n, zone in ((1, "a"), (2, "b"))))
    users_fail(readings, TIMEOUT)


def tasks_out_of_reach(readings: Readings) -> None:
    """The usual security group: tasks admit only the load balancer. A release has just gone out, and it is fine."""
    deployed(readings, BAD)
    closed = Answer(None, "timeout", 3000)
    probes = (task(n, zone, BAD, live=closed, ready=closed, chart=closed) for n, zone in ((1, "a"), (2, "b")))
    with_tasks(readings, *probes)


def outside_of_the_network(readings: Readings) -> None:
    tasks_out_of_reach(readings)
    readings.values["database_accepts"] = readings.values["cache_accepts"] = False


def no_number_of_the_cpu(readings: Readings) -> None:
    readings.values["metrics"]["cpu_percent"] = None


def no_number_of_the_latency(readings: Readings) -> None:
    readings.values["metrics"]["p95_ms"] = None


@pytest.mark.parametrize(
    ("spoil", "unknown"),
    [
        (database_hangs, {"database_unreachable", "database_slow"}),
        (database_hangs_after_a_release, {"database_unreachable", "database_slow"}),
        (tasks_out_of_reach, {"reads_failing", "new_release_failing"}),
        (outside_of_the_network, {"database_unreachable", "cache_unreachable"}),
        (no_number_of_the_cpu, {"capacity_exhausted"}),
        (no_number_of_the_latency, {"latency_high"}),
    ],
)
def test_what_does_not_tell_is_unknown_and_no_cause_is_named(
    spoil: Callable[[Readings], None], unknown: set[str]
) -> None:
    readings = healthy()
    spoil(readings)

    status, state, cause = look(readings)

    assert {name for name in unknown if status[name] != "unknown"} == set()
    assert state is not True
    assert cause == ""


def test_a_task_that_is_dead_for_the_balancer_too_is_no_unknown() -> None:
    readings = healthy()
    tasks_out_of_reach(readings)
    for target in readings.values["targets"]:
        target["state"] = "unhealthy"

    assert look(readings)[0]["tasks_not_live"] == "finding"


def test_scaled_to_zero_is_named_also_from_outside_of_the_network() -> None:
    readings = healthy()
    readings.values["service"] |= {"desired": 0, "running": 0}
    with_tasks(readings)
    readings.values["targets"] = []
    readings.values["database_accepts"] = readings.values["cache_accepts"] = False
    users_fail(readings, Answer(503, "", 2))

    assert look(readings)[2] == "scaled_to_zero"


def test_a_release_whose_own_readiness_is_broken_is_its_own_fault() -> None:
    readings = healthy()
    deployed(readings, BAD)
    broken = Answer(500, "", 3)
    with_tasks(readings, *(task(n, zone, BAD, ready=broken, chart=broken) for n, zone in ((1, "a"), (2, "b"))))
    users_fail(readings, broken)

    assert look(readings)[0]["new_release_failing"] == "finding"


@pytest.mark.parametrize(
    ("stopped_at", "state"), [("2026-11-22T00:35:00Z", True), ("2026-11-22T01:25:00Z", False), (None, False)]
)
def test_only_a_kill_of_now_is_a_lack_of_memory(stopped_at: str | None, state: bool) -> None:
    readings = healthy()
    readings.values["stopped_tasks"] = [stopped("daily-emr-staging-web:2", "out of memory", 137)]
    readings.values["stopped_tasks"][0]["stopped_at"] = stopped_at

    assert look(readings)[1] is state


def test_a_raise_starts_from_the_minimum_where_kills_left_fewer_tasks() -> None:
    readings = healthy()
    readings.values["service"]["running"] = 1
    readings.values["capacity"]["minimum"] = 4

    assert findings.observe(readings, SERVICE, THRESHOLDS, NOW).subjects["capacity"] == 4


def test_what_the_application_says_is_reduced_to_a_class() -> None:
    hostile = {"status": "fail", "ms": 3, "reason": "Key (national_id)=(12345678) \x1b[2J"}
    readings = healthy()
    with_tasks(readings, task(1, "a", ready=Answer(503, "", 5, {"checks": {"database": hostile}}), chart=OK))

    assert [probe.reason("database") for probe in readings.values["task_probes"].values()] == ["error"]
