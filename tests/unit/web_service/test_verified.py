"""Verification: good many times in a row, on independent signals, with a real write; anything else starts anew."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.changes.world import Json, ago
from tests.unit.web_service.conftest import Clock, Live
from tests.unit.web_service.live import BALANCER, EDGE, TASKS

CHART, WRITE = "GET /api/charts/probe", "POST /api/charts"
Spoil = Callable[[Live], object]


def verify(live: Live, passes: int = 3, timeout: int = 300, **more: Any) -> Json:
    result = live.run("web_service_verified", passes=passes, interval=30, timeout=timeout, **more)
    assert not result.get("failed"), result["msg"]
    return result


def test_a_good_service_is_verified_after_all_its_passes(live: Live, clock: Clock) -> None:
    result = verify(live)
    assert (result["verified"], result["passes"], result["looks"]) == (True, 3, 3)
    assert result["sentence"] == "Good 3 times in a row, each time with a write."
    assert clock.slept == [30, 30]
    assert live.world.mutations == [("LookupEvents", item[1]) for item in live.world.mutations]


@pytest.mark.usefixtures("clock")
def test_each_look_writes_one_synthetic_chart_and_reads_it_back_through_the_edge(live: Live) -> None:
    verify(live)
    writes = live.answers.sent("POST")
    assert [(place, path, body) for place, _method, path, body, _headers in writes] == [
        (BALANCER, "/api/charts", {"tenant": "synthetic", "note": "verification"})
    ] * 3
    assert len({headers["Idempotency-Key"] for *_rest, headers in writes}) == 3
    read = [path for place, _method, path, *_rest in live.answers.sent("GET") if place == EDGE]
    assert {"/api/charts/c0", "/api/charts/c1", "/api/charts/c2"} <= set(read)


def test_check_mode_writes_nothing_and_verifies_nothing(live: Live) -> None:
    result = live.run("web_service_verified", check=True, passes=3, interval=30, timeout=300)
    assert (result["verified"], result["looks"], live.answers.requests) == (None, 0, [])


def lost_write(live: Live) -> None:
    """Acknowledged, and gone."""
    live.answers.at[BALANCER, WRITE] = (201, {"id": "gone"})


def other_chart(live: Live) -> None:
    live.answers.at[BALANCER, WRITE] = (201, {"id": "c9"})
    live.answers.at[EDGE, "GET /api/charts/c9"] = (200, {"id": "somebody else"})


def errors(live: Live) -> None:
    live.world.metric_values["target_5xx"] = [400.0]


# Each signal alone is enough; every other one is good.
BAD: dict[str, tuple[Spoil, str]] = {
    "writes fail": (lambda live: live.answers.at.update({(BALANCER, WRITE): (503, {})}), "write_failing: 503"),
    "a write is not there": (lost_write, "read_back_failing: 404"),
    "another chart comes back": (other_chart, "read_back_failing: 200"),
    "the edge fails": (lambda live: live.answers.at.update({(EDGE, CHART): (502, {})}), "edge_failing: 502"),
    "a task fails": (lambda live: live.answers.at.update({(TASKS["a"], CHART): (500, {})}), "reads_failing: 1 of 2"),
    "users get errors": (errors, "error_ratio_high: 44.4%"),
    "a target is unhealthy": (lambda live: live.world.unhealthy.add("a"), "1 healthy target in 1 zone"),
    "a deployment runs": (lambda live: live.world.deployed(2, ago(), source=1, status="IN_PROGRESS"), "is IN_PROGRESS"),
    "a task of another revision runs": (lambda live: live.world.tasks[0].update(revision=1), "tasks still run"),
    "the cache is down": (
        lambda live: [
            live.answers.at.update({(place, "GET /readyz"): (503, unready("cache"))}) for place in TASKS.values()
        ],
        "cache_unreachable: ",
    ),
}


def unready(name: str) -> Json:
    return {"status": "fail", "checks": {name: {"status": "fail", "ms": 2, "reason": "refused"}}}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.usefixtures("clock")
def test_one_bad_signal_is_enough(live: Live, bad: str) -> None:
    spoil, why = BAD[bad]
    spoil(live)
    result = verify(live)
    assert (result["verified"], result["passes"]) == (False, 0)
    assert any(why in reason for reason in result["failing"]), result["failing"]
    assert why in result["sentence"]


@pytest.mark.parametrize("operation", ["GetMetricData", "DescribeTargetHealth", "DescribeDBInstances", "ListTasks"])
@pytest.mark.usefixtures("clock")
def test_what_cannot_be_seen_is_neither_good_nor_bad(live: Live, operation: str) -> None:
    live.world.broken.add(operation)
    result = verify(live)
    assert (result["verified"], result["passes"]) == (None, 0)
    assert result["sentence"].startswith("Nobody can tell")


@pytest.mark.usefixtures("clock")
def test_a_revision_other_than_the_intended_one_is_bad(live: Live) -> None:
    assert verify(live, revision="daily-emr-sandbox-web:2")["verified"] is True
    result = verify(live, revision="daily-emr-sandbox-web:1")
    assert result["verified"] is False
    assert "not daily-emr-sandbox-web:1" in result["sentence"]


def test_a_task_that_ended_before_is_history_and_one_that_ends_now_is_not(live: Live, clock: Clock) -> None:
    live.world.stop("s1", 2, "Essential container in task exited", 1)
    assert verify(live)["verified"] is True
    clock.plan.clear()
    clock.now = 1000.0
    clock.after(30, lambda: live.world.stop("s2", 2, "Essential container in task exited", 1))
    result = verify(live)
    assert (result["verified"], result["looks"]) == (True, 5)
    assert "1 further task ended" in live.said[1]


def test_one_bad_look_starts_the_count_anew(live: Live, clock: Clock) -> None:
    clock.after(60, lambda: live.world.unhealthy.add("a"))
    clock.after(90, live.world.unhealthy.clear)
    result = verify(live)
    assert (result["verified"], result["looks"]) == (True, 6)


def test_it_gives_up_when_it_cannot_succeed_any_more(live: Live, clock: Clock) -> None:
    live.world.unhealthy.add("a")
    verify(live, passes=4, timeout=300)
    # At 210 s four looks 30 s apart still end at 300 s; at 240 s they do not.
    assert sum(clock.slept) == pytest.approx(210)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.usefixtures("clock")
def test_a_flapping_service_is_never_verified(live: Live, seed: int) -> None:
    """Good half of the time, but never so often in a row as is asked for."""
    chance = random.Random(seed)
    state = [chance.random() < 0.5 for _ in range(200)]
    wanted = longest(state) + 1
    looks = iter(state)

    def flap() -> tuple[int, Json]:
        return (200 if next(looks) else 500), {}

    live.answers.at[EDGE, CHART] = flap
    result = verify(live, passes=wanted, timeout=30 * 40)
    assert result["verified"] is False
    assert result["looks"] > 10


def longest(state: list[bool]) -> int:
    best = run = 0
    for good in state:
        run = run + 1 if good else 0
        best = max(best, run)
    return best
