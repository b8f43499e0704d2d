"""Waiting until a change has taken effect: by revisions and targets, never by what the SDK calls stable."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.unit.changes.world import ago
from tests.unit.web_service.conftest import Clock, Live

OLD, NEW = "daily-emr-sandbox-web:1", "daily-emr-sandbox-web:2"
Spoil = Callable[[Live], object]


def roll_out(live: Live, revision: int) -> None:
    """Every task is a new one of this revision, and the deployment has ended."""
    live.world.deployments[0]["status"] = "SUCCESSFUL"
    live.world.revision = revision
    for task in live.world.tasks:
        task |= {"revision": revision, "startedAt": ago()}


def test_a_settled_service_is_not_waited_for(live: Live, clock: Clock) -> None:
    result = live.run("web_service_settled", revision=NEW, timeout=900)
    assert (result["settled"], result["changed"], clock.slept) == (True, False, [])
    assert result["seen"] == f"2 tasks of {NEW}, 2 healthy targets in 2 zones"


def test_either_target_group_may_have_the_tasks(live: Live, clock: Clock) -> None:
    live.alternate()
    result = live.run("web_service_settled", revision=NEW, timeout=900)
    assert (result["settled"], clock.slept) == (True, [])
    assert result["seen"] == f"2 tasks of {NEW}, 2 healthy targets in 2 zones"


def test_it_waits_through_a_rollout_and_tells_each_change_once(live: Live, clock: Clock) -> None:
    live.world.deployed(1, ago(), source=2, status="IN_PROGRESS")
    live.world.revision = 1
    clock.after(100, lambda: roll_out(live, 1))
    result = live.run("web_service_settled", revision=OLD, timeout=900)
    assert result["settled"] is True
    assert result["seconds"] == pytest.approx(105)
    assert len(live.said) == 2
    assert f"the deployment of {OLD} is IN_PROGRESS" in live.said[0]


def desired_nothing(live: Live) -> None:
    live.world.desired, live.world.tasks = 0, []


def hidden_rollout(live: Live) -> None:
    """The service moves already, and the list of deployments does not say so yet."""
    live.world.rollout = "IN_PROGRESS"


# What the waiter ServicesStable would let pass, and other things that are not settled.
SPOILT: dict[str, tuple[Spoil, str]] = {
    "rolled back to the old revision": (lambda live: roll_out(live, 1), f"the service asks for {OLD}, not {NEW}"),
    "nothing runs": (desired_nothing, "0 of 0 tasks run"),
    "a task of another revision is left": (lambda live: live.world.tasks[0].update(revision=1), f"still run {OLD}"),
    "a rollback runs": (
        lambda live: live.world.deployed(2, ago(), source=1, status="ROLLBACK_IN_PROGRESS"),
        "is ROLLBACK_IN_PROGRESS",
    ),
    "the rollout is not listed yet": (hidden_rollout, f"the rollout of {NEW} is IN_PROGRESS"),
    "a target is unhealthy": (lambda live: live.world.unhealthy.add("a"), "1 healthy target in 1 zone"),
    "all targets are in one zone": (
        lambda live: live.world.tasks[1].update(zone="af-south-1a"),
        "2 healthy targets in 1 zone",
    ),
    "the targets cannot be read": (
        lambda live: live.world.broken.add("DescribeTargetHealth"),
        "could not read the targets",
    ),
    "the deployments cannot be read": (
        lambda live: live.world.broken.add("ListServiceDeployments"),
        "could not read the history",
    ),
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_time_up_says_what_is_missing(live: Live, clock: Clock, spoilt: str) -> None:
    spoil, why = SPOILT[spoilt]
    spoil(live)
    result = live.run("web_service_settled", revision=NEW, timeout=60)
    assert (result["failed"], result["changed"], result["refused"]) == (True, False, False)
    assert why in result["msg"]
    assert sum(clock.slept) == pytest.approx(60)
    assert live.world.mutations == []


@pytest.mark.usefixtures("clock")
def test_tasks_that_were_there_before_are_not_the_new_ones(live: Live) -> None:
    since = ago(minutes=1).isoformat()
    result = live.run("web_service_settled", tasks_started_after=since, timeout=60)
    assert "2 old tasks still run" in result["msg"]
    live.world.tasks[0]["startedAt"] = ago()
    assert "1 old task still run" in live.run("web_service_settled", tasks_started_after=since, timeout=60)["msg"]
    live.world.tasks[1]["startedAt"] = ago()
    assert live.run("web_service_settled", tasks_started_after=since, timeout=60)["settled"] is True


def test_the_time_is_aws_sized(live: Live, clock: Clock) -> None:
    live.environment["time_factor"] = 30.0
    live.world.unhealthy.add("a")
    live.run("web_service_settled", timeout=900)
    assert sum(clock.slept) == pytest.approx(timedelta(seconds=30).total_seconds())
