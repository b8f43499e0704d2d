"""Verification of a database: good many times in a row, with two real writes; anything else starts anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.changes.world import Json
from tests.unit.database.conftest import LiveDatabase
from tests.unit.web_service.conftest import Clock
from tests.unit.web_service.live import BALANCER, TASKS


def verify(live: LiveDatabase, **more: Any) -> Json:
    result = live.run("database_verified", **{"passes": 3, "interval": 30, "timeout": 300, **more})
    assert not result.get("failed"), result["msg"]
    return result


def test_a_good_database_is_verified_after_all_its_passes(live: LiveDatabase, clock: Clock) -> None:
    result = verify(live)
    assert (result["verified"], result["passes"], result["looks"]) == (True, 3, 3), result["failing"]
    assert clock.slept == pytest.approx([30, 30])
    assert live.server.of("write") == ["write"] * 3
    assert len(live.live.answers.charts) == 3
    assert live.world.mutations == []


def test_check_mode_does_not_look(live: LiveDatabase) -> None:
    result = live.run("database_verified", check=True, passes=3, interval=30, timeout=300)
    assert (result["verified"], result["looks"]) == (None, 0)
    assert (live.server.sessions, live.live.answers.requests) == ([], [])


def failing_write(live: LiveDatabase) -> None:
    live.server.failing["write"] = "25006"


# Each signal alone is enough; every other one is good.
BAD: dict[str, tuple[Callable[[LiveDatabase], object], str]] = {
    "the write is refused": (failing_write, "write_failing: read-only"),
    "no chart can be written": (
        lambda live: live.live.answers.at.update({(BALANCER, "POST /api/charts"): (503, {})}),
        "write_failing: 503",
    ),
    "a write is not there": (
        lambda live: live.live.answers.at.update({(BALANCER, "POST /api/charts"): (201, {"id": "gone"})}),
        "read_back_failing: 404",
    ),
    "the instance serves and is not available": (
        lambda live: live.world.database.update(status="backing-up"),
        "instance_status: backing-up",
    ),
    "the standby is gone": (lambda live: setattr(live.world, "multi_az", False), "standby_missing: no Multi-AZ"),
    "a task fails": (
        lambda live: live.live.answers.at.update({(TASKS["a"], "GET /api/charts/probe"): (500, {})}),
        "application_failing: 1 of 2",
    ),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.usefixtures("clock")
def test_one_bad_signal_is_enough(live: LiveDatabase, bad: str) -> None:
    spoil, why = BAD[bad]
    spoil(live)
    result = verify(live, timeout=60)
    assert (result["verified"], result["passes"]) == (False, 0)
    assert any(why in reason for reason in result["failing"]), result["failing"]


@pytest.mark.usefixtures("clock")
def test_the_node_before_must_not_be_the_primary_any_more(live: LiveDatabase) -> None:
    assert verify(live, node_before="10.0.9.9")["verified"] is True
    result = verify(live, node_before="10.0.3.17", timeout=60)
    assert result["verified"] is False
    assert result["failing"] == ["node_before: 10.0.3.17 is the primary still"]


@pytest.mark.parametrize("operation", ["DescribeDBInstances", "ListTasks", "GetMetricData"])
@pytest.mark.usefixtures("clock")
def test_what_cannot_be_seen_is_neither_good_nor_bad(live: LiveDatabase, operation: str) -> None:
    live.world.broken.add(operation)
    result = verify(live, timeout=60)
    assert (result["verified"], result["passes"]) == (None, 0)
    assert result["sentence"].startswith("Nobody can tell")


def test_one_bad_look_starts_the_count_anew(live: LiveDatabase, clock: Clock) -> None:
    clock.after(60, lambda: failing_write(live))
    clock.after(90, live.server.failing.clear)
    result = verify(live)
    assert (result["verified"], result["looks"]) == (True, 6)


@pytest.mark.usefixtures("clock")
def test_no_look_at_all_proves_nothing(live: LiveDatabase) -> None:
    assert live.run("database_verified", passes=0, interval=1, timeout=1)["refused"] is True
