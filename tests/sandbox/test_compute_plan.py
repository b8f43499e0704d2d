"""The rules of a rolling update, without processes: bounds are never crossed and every rollout ends."""

from __future__ import annotations

import math
from collections.abc import Callable

from daily_emr_sandbox.compute import rollout
from daily_emr_sandbox.compute.deployments import plan, surplus
from daily_emr_sandbox.compute.model import Revision, Service, Task, now
from hypothesis import assume, given
from hypothesis import strategies as st

HEALTHY = {"RUNNING"}


def revision(number: int) -> Revision:
    return Revision(f"arn:revision/{number}", f"arn:task-definition/web:{number}", [], [], {}, now())


def service(desired: int, low: int, high: int, *, enable: bool = True) -> Service:
    found = Service(
        arn="arn:aws:ecs:r:1:service/c/s", name="s", cluster_name="c", cluster_arn="arn:aws:ecs:r:1:cluster/c",
        desired_count=desired, load_balancers=[], network_configuration={}, grace_period_s=0, tags=[], options={},
        deployment_configuration={
            "minimumHealthyPercent": low, "maximumPercent": high,
            "deploymentCircuitBreaker": {"enable": enable, "rollback": True},
        },
    )  # fmt: skip
    rollout.begin(found, revision(1))
    return found


def task(owner: Service, number: int, status: str = "RUNNING", zone: str = "a") -> Task:
    primary = owner.primary
    return Task(
        id=str(number), arn=str(number), cluster_arn="", service=owner.name, deployment=primary.id,
        revision_arn=primary.revision.arn, task_definition_arn=primary.task_definition, family="web", container={},
        image_digest=None, zone=zone, subnet="", address="", cpu="256", memory="512", created_at=now(), starts_at=0,
        last_status=status,
    )  # fmt: skip


def healthy(one: Task) -> bool:
    return one.last_status in HEALTHY


def settle(owner: Service, tasks: list[Task], watch: Callable[[list[Task]], None]) -> None:
    """Play the scheduler until the rollout has ended."""
    for number in range(1000, 1200):
        rollout.advance(owner, tasks, healthy)
        if owner.primary.rollout_state == "COMPLETED":
            return
        step = plan(owner, tasks, healthy)
        gone = {id(one) for one, _ in step.stop}
        tasks[:] = [one for one in tasks if id(one) not in gone]
        tasks += [task(owner, number * 100 + n, "PENDING") for n in range(step.start)]
        watch(tasks)
        for one in tasks:
            one.last_status = "RUNNING"
    raise AssertionError("the rollout never ended")


@given(desired=st.integers(1, 12), low=st.integers(0, 100), high=st.integers(100, 300))
def test_a_rollout_stays_within_its_bounds_and_ends(desired: int, low: int, high: int) -> None:
    lower, upper = math.ceil(desired * low / 100), math.floor(desired * high / 100)
    assume(lower < upper)
    owner = service(desired, low, high)
    tasks = [task(owner, number) for number in range(desired)]
    rollout.advance(owner, tasks, healthy)
    rollout.begin(owner, revision(2))

    def within(current: list[Task]) -> None:
        assert sum(healthy(one) for one in current) >= lower
        assert len(current) <= upper

    settle(owner, tasks, within)
    assert len(tasks) == desired
    assert {one.deployment for one in tasks} == {owner.primary.id}


@given(before=st.integers(0, 9), after=st.integers(0, 9))
def test_scaling_reaches_the_desired_count_without_a_deployment(before: int, after: int) -> None:
    owner = service(before, 100, 200)
    tasks = [task(owner, number) for number in range(before)]
    rollout.advance(owner, tasks, healthy)
    owner.desired_count = after
    step = plan(owner, tasks, healthy)
    assert (step.start, len(step.stop)) == (max(0, after - before), max(0, before - after))
    assert len(owner.service_deployments) == 1


def test_a_sick_task_is_stopped_only_after_its_replacement_is_healthy() -> None:
    owner = service(2, 100, 200)
    tasks = [task(owner, 1), task(owner, 2)]
    rollout.advance(owner, tasks, healthy)
    tasks[0].condemned = "sick"
    step = plan(owner, tasks, healthy)
    assert (step.start, step.stop) == (1, [])
    tasks.append(task(owner, 3, "PENDING"))
    assert plan(owner, tasks, healthy).stop == []
    tasks[2].last_status = "RUNNING"
    assert plan(owner, tasks, healthy).stop == [(tasks[0], "sick")]


def test_scaling_in_takes_from_the_fullest_zone() -> None:
    owner = service(3, 100, 200)
    tasks = [task(owner, 1, zone="a"), task(owner, 2, zone="b"), task(owner, 3, zone="b")]
    assert surplus(tasks, 1, healthy) == [tasks[1]]


def test_one_healthy_task_ends_the_count_of_failures() -> None:
    owner = service(2, 100, 200)
    rollout.advance(owner, [], healthy)
    for _ in range(2):
        rollout.task_failed(owner, owner.primary)
    assert owner.primary.failed_tasks == 2
    owner.primary.settled = True
    rollout.task_failed(owner, owner.primary)
    assert owner.primary.rollout_state == "IN_PROGRESS"


def test_a_first_deployment_that_fails_has_nothing_to_roll_back_to() -> None:
    owner = service(2, 100, 200)
    rollout.advance(owner, [], healthy)
    for _ in range(3):
        rollout.task_failed(owner, owner.primary)
    assert owner.primary.rollout_state == "FAILED"
    assert owner.service_deployments[0].status == "STOPPED"
    assert plan(owner, [], healthy).start == 0


def test_a_rollback_that_fails_is_said_to_have_failed_and_is_tried_on() -> None:
    owner = service(2, 100, 200)
    rollout.advance(owner, [task(owner, 1), task(owner, 2)], healthy)
    rollout.begin(owner, revision(2))
    rollout.advance(owner, [], healthy)
    for _ in range(3):
        rollout.task_failed(owner, owner.primary)
    assert owner.rollout.status == "ROLLBACK_IN_PROGRESS"
    assert owner.primary.revision.task_definition.endswith(":1")
    for _ in range(3):
        rollout.task_failed(owner, owner.primary)
    assert owner.service_deployments[-1].status == "ROLLBACK_FAILED"
    assert plan(owner, [], healthy).start == 2
