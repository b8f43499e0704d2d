"""State of ECS services, deployments and tasks. Plain data, always touched under the mutex of the control plane.

The objects stand in moto's own dictionaries (`backend.services`, `backend.tasks`), so that the parts of moto
that look there (tags, scalable targets) see the same services.
"""

from __future__ import annotations

import datetime as dt
import math
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

DEFAULT_CONFIGURATION: dict[str, Any] = {
    "deploymentCircuitBreaker": {"enable": False, "rollback": False},
    "maximumPercent": 200,
    "minimumHealthyPercent": 100,
}
DEFAULT_CANARY = {"canaryPercent": 5.0, "canaryBakeTimeInMinutes": 10}
SHIFTING = ("BLUE_GREEN", "CANARY")
"""Strategies in which ECS moves the traffic between two target groups."""
RECONCILE_SERVICE, CLEAN_UP = "RECONCILE_SERVICE", "CLEAN_UP"
"""First and last lifecycle stage of such a deployment; only in the last one the old tasks are stopped."""
EVENTS_KEPT = 100
"""Events that DescribeServices returns at most."""


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def short_id() -> str:
    """Id in the form of ECS deployments: 19 digits."""
    return str(secrets.randbelow(9 * 10**18) + 10**18)


@dataclass
class Revision:
    """A service revision: what a deployment wants to run, image digests resolved."""

    arn: str
    task_definition: str
    images: list[dict[str, str]]
    load_balancers: list[dict[str, Any]]
    network_configuration: dict[str, Any]
    created_at: dt.datetime
    group: str | None = None
    """The one target group of its tasks, where the service has two; else they are in all groups of the service."""


@dataclass
class ServiceDeployment:
    """The record that ListServiceDeployments keeps of one rollout."""

    arn: str
    target: Revision
    sources: list[Revision]
    configuration: dict[str, Any]
    created_at: dt.datetime
    status: str = "PENDING"
    status_reason: str | None = None
    started_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None
    stopped_at: dt.datetime | None = None
    updated_at: dt.datetime | None = None
    rollback: dict[str, Any] | None = None
    failure_count: int = 0
    circuit_breaker: str = "DISABLED"
    deaf: bool = False
    """One of its alarms rang when it began: AWS then heeds none of them, so that a repair can be deployed."""
    stage: str = RECONCILE_SERVICE
    stage_since: float = field(default_factory=time.monotonic)

    def enter(self, stage: str) -> None:
        self.stage, self.stage_since, self.updated_at = stage, time.monotonic(), now()

    @property
    def ended(self) -> bool:
        return self.status in {"SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"}

    def move(self, status: str, reason: str | None = None) -> None:
        self.status, self.updated_at = status, now()
        self.status_reason = reason or self.status_reason
        if self.ended:
            self.finished_at = self.updated_at


@dataclass
class Deployment:
    """One entry of the `deployments` of a service."""

    revision: Revision
    created_at: dt.datetime
    id: str = field(default_factory=lambda: f"ecs-svc/{short_id()}")
    status: str = "PRIMARY"
    failed_tasks: int = 0
    settled: bool = False
    """At least one of its tasks became healthy: failures are no longer counted against the rollout."""
    rollout_state: str = "IN_PROGRESS"
    rollout_reason: str = ""
    updated_at: dt.datetime = field(default_factory=now)
    halted: bool = False
    """Stopped by ABORT: the scheduler replaces nothing and moves nothing until the next deployment."""
    backdated: bool = False
    """Written as history: its first tasks are as old as the deployment and start without the Fargate delay."""
    not_before: float = 0.0
    """Monotonic time before which no further task is started (throttling after repeated failures)."""

    def __post_init__(self) -> None:
        self.rollout_reason = self.rollout_reason or f"ECS deployment {self.id} in progress."

    def roll(self, state: str, reason: str) -> None:
        self.rollout_state, self.rollout_reason, self.updated_at = state, reason, now()

    @property
    def group(self) -> str | None:
        return self.revision.group

    @property
    def task_definition(self) -> str:
        return self.revision.task_definition


@dataclass
class Service:
    """One ECS service. Attribute names that moto reads (arn, name, tags, desired_count, ...) are moto's."""

    arn: str
    name: str
    cluster_name: str
    cluster_arn: str
    desired_count: int
    load_balancers: list[dict[str, Any]]
    network_configuration: dict[str, Any]
    deployment_configuration: dict[str, Any]
    grace_period_s: int
    """healthCheckGracePeriodSeconds, as on AWS (not divided by the time factor)."""
    tags: list[dict[str, str]]
    options: dict[str, Any]
    """Everything kept only to be described: launchType, platformVersion, propagateTags, ..."""
    created_at: dt.datetime = field(default_factory=now)
    status: str = "ACTIVE"
    deployments: list[Deployment] = field(default_factory=list)
    service_deployments: list[ServiceDeployment] = field(default_factory=list)
    """Oldest first."""
    revisions: list[Revision] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    last_completed: Deployment | None = None
    steady: bool = False
    task_sets: list[Any] = field(default_factory=list)
    scheduling_strategy: str = "REPLICA"
    launch_type: str = "FARGATE"

    @property
    def physical_resource_id(self) -> str:
        """The name under which moto's tagging API asks for the ARN."""
        return self.arn

    @property
    def primary(self) -> Deployment:
        return next(deployment for deployment in self.deployments if deployment.status == "PRIMARY")

    @property
    def rollout(self) -> ServiceDeployment | None:
        """The service deployment that is under way."""
        return next((record for record in reversed(self.service_deployments) if not record.ended), None)

    @property
    def target_groups(self) -> list[str]:
        return [entry["targetGroupArn"] for entry in self.load_balancers if "targetGroupArn" in entry]

    @property
    def strategy(self) -> str:
        return str(self.deployment_configuration.get("strategy", "ROLLING"))

    @property
    def shifts(self) -> bool:
        """Whether ECS moves the traffic of its deployments between two target groups."""
        return self.strategy in SHIFTING

    @property
    def next_group(self) -> str | None:
        """Target group of the next deployment: with ROLLING the one in use, else the other one."""
        used = self.last_completed.group if self.last_completed else None
        if not self.shifts:
            return used
        entry = self.load_balancers[0]
        first, other = str(entry["targetGroupArn"]), str(entry["advancedConfiguration"]["alternateTargetGroupArn"])
        return first if self.last_completed is None or used == other else other

    @property
    def task_definition(self) -> str:
        return self.primary.task_definition

    @property
    def breaker(self) -> dict[str, bool]:
        return self.deployment_configuration["deploymentCircuitBreaker"]  # type: ignore[no-any-return]

    @property
    def breaker_threshold(self) -> int:
        """Failed tasks that trip the circuit breaker: half of the desired count, at least 3, at most 200."""
        return min(200, max(3, math.ceil(self.desired_count / 2)))

    def say(self, message: str) -> None:
        """Add an event, newest first, in the wording of ECS."""
        event = {"id": str(uuid.uuid4()), "createdAt": now(), "message": f"(service {self.name}) {message}"}
        self.events.insert(0, event)
        del self.events[EVENTS_KEPT:]


@dataclass
class Task:
    """One task of a service: what DescribeTasks shows, and the process behind it."""

    id: str
    arn: str
    cluster_arn: str
    service: str
    deployment: str
    revision_arn: str
    task_definition_arn: str
    family: str
    container: dict[str, Any]
    image_digest: str | None
    zone: str
    subnet: str
    address: str
    cpu: str
    memory: str
    created_at: dt.datetime
    starts_at: float
    """Monotonic time when the container may start."""
    last_status: str = "PROVISIONING"
    desired_status: str = "RUNNING"
    pid: int | None = None
    started_at: dt.datetime | None = None
    running_since: float = 0.0
    was_healthy: bool = False
    condemned: str | None = None
    """Reason why it must be replaced though its process runs."""
    stopping_at: dt.datetime | None = None
    kill_at: float = 0.0
    terminated: bool = False
    """SIGTERM was sent."""
    stopped_at: dt.datetime | None = None
    stopped_monotonic: float = 0.0
    deprovisioned_at: float = 0.0
    stop_code: str | None = None
    stopped_reason: str | None = None
    exit_code: int | None = None
    container_reason: str | None = None
    tags: list[dict[str, str]] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    """Target groups that it is registered in."""
    attachment: str = field(default_factory=lambda: str(uuid.uuid4()))
    container_arn: str = ""

    @property
    def task_arn(self) -> str:
        return self.arn

    @property
    def active(self) -> bool:
        return self.desired_status == "RUNNING"

    def stop(self, code: str, reason: str) -> None:
        """Mark for stopping; the scheduler takes it out of the target group, then ends the process."""
        if self.active:
            self.desired_status, self.stop_code, self.stopped_reason, self.stopping_at = "STOPPED", code, reason, now()


@dataclass(frozen=True)
class TaskView:
    """What other parts of the sandbox may know of a task."""

    id: str
    arn: str
    service: str
    address: str
    zone: str
    revision: int
    task_definition: str
    pid: int | None
    status: str
    """lastStatus of ECS."""
    active: bool
    """ECS wants it to run."""
    started_at: dt.datetime | None

    @classmethod
    def of(cls, task: Task) -> TaskView:
        return cls(
            id=task.id,
            arn=task.arn,
            service=task.service,
            address=task.address,
            zone=task.zone,
            revision=int(task.task_definition_arn.rsplit(":", 1)[1]),
            task_definition=task.task_definition_arn,
            pid=task.pid,
            status=task.last_status,
            active=task.active,
            started_at=task.started_at,
        )
