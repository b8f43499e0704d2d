"""Decide what a service needs next. Pure: reads the state, returns a plan, touches nothing.

Rolling update as ECS does it: never fewer healthy tasks than minimumHealthyPercent, never more tasks than
maximumPercent, and one algorithm for rollout, rollback, scaling and replacement.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .model import CLEAN_UP, Deployment, Service, ServiceDeployment, Task

FREE_FAILURES = 3
"""Failed tasks in a row before ECS starts further ones more slowly."""


@dataclass
class Plan:
    """Tasks to start for the primary deployment, and tasks to stop with the reason that ECS gives."""

    start: int = 0
    stop: list[tuple[Task, str]] = field(default_factory=list)


def plan(service: Service, tasks: Iterable[Task], healthy: Callable[[Task], bool]) -> Plan:
    """Next step of a service.

    Args:
        tasks: tasks of this service that are not stopped or stopping.
        healthy: whether a task is RUNNING and, behind a load balancer, healthy in every target group.
    """
    primary = service.primary
    if primary.halted:
        return Plan()
    if service.shifts and (record := service.rollout):
        return _beside(service, record, list(tasks), healthy)
    wanted = service.desired_count
    lower = math.ceil(wanted * service.deployment_configuration["minimumHealthyPercent"] / 100)
    upper = max(math.floor(wanted * service.deployment_configuration["maximumPercent"] / 100), wanted)

    alive = list(tasks)
    good = [task for task in alive if task.deployment == primary.id and not task.condemned]
    old = [task for task in alive if task.deployment != primary.id]
    condemned = [task for task in alive if task.deployment == primary.id and task.condemned]
    result = Plan()

    room = max(0, upper - len(alive))
    need = max(0, wanted - len(good))
    result.start = min(need, room)

    healthy_good = [task for task in good if healthy(task)]
    healthy_old = [task for task in old if healthy(task)]
    for task in old:
        if task not in healthy_old and (task.condemned or task.last_status != "RUNNING"):
            result.stop.append((task, scaling_reason(task.deployment)))
    spare = len(healthy_good) + len(healthy_old) - (lower if wanted else 0)
    for task in healthy_old[: max(0, spare)]:
        result.stop.append((task, scaling_reason(task.deployment)))
    if len(healthy_good) >= wanted:
        stopping = [task for task, _ in result.stop]
        result.stop += [(task, scaling_reason(task.deployment)) for task in old if task not in stopping]
    if condemned and (len(healthy_good) >= wanted or (need and not room)):
        result.stop += [(task, task.condemned or "") for task in condemned]
    result.stop += [(task, scaling_reason(primary.id)) for task in surplus(good, len(good) - wanted, healthy)]
    return result


def _beside(service: Service, record: ServiceDeployment, alive: list[Task], healthy: Callable[[Task], bool]) -> Plan:
    """Next step of a deployment beside the old tasks, which stay as they are until the traffic has moved for good."""
    primary, kept = service.primary, service.last_completed
    own = [task for task in alive if task.deployment == primary.id]
    good = [task for task in own if not task.condemned]
    old = [task for task in alive if task.deployment != primary.id]
    if record.stage != CLEAN_UP:
        # Of a deployment that this one took the place of.
        aside = {kept.id} if kept and kept is not primary else set()
        if record.status == "ROLLBACK_IN_PROGRESS":
            aside |= {task.deployment for task in old}
        old = [task for task in old if task.deployment not in aside]
    result = Plan(start=max(0, service.desired_count - len(good)))
    result.stop = [(task, scaling_reason(task.deployment)) for task in old]
    result.stop += [(task, task.condemned) for task in own if task.condemned]
    result.stop += [
        (task, scaling_reason(primary.id)) for task in surplus(good, len(good) - service.desired_count, healthy)
    ]
    return result


def surplus(tasks: list[Task], count: int, healthy: Callable[[Task], bool]) -> list[Task]:
    """Tasks to give up when scaling in: unhealthy first, then from the fullest zone, oldest first."""
    left, chosen = list(tasks), []
    for _ in range(max(0, count)):
        crowd = Counter(task.zone for task in left)
        victim = min(left, key=lambda task: (healthy(task), -crowd[task.zone], task.created_at))
        left.remove(victim)
        chosen.append(victim)
    return chosen


def scaling_reason(deployment: str) -> str:
    return f"Scaling activity initiated by (deployment {deployment})"


def zone_for(tasks: Iterable[Task], zones: list[str]) -> str:
    """Zone for the next task: the one with the fewest tasks, first in order when equal."""
    crowd = Counter(task.zone for task in tasks)
    return min(zones, key=lambda zone: crowd[zone])


def completed(service: Service, tasks: Iterable[Task], healthy: Callable[[Task], bool]) -> bool:
    """Whether the primary deployment has all its tasks healthy and nothing else of the service still runs."""
    alive = list(tasks)
    own = [task for task in alive if task.deployment == service.primary.id]
    return len(own) == len(alive) == service.desired_count and all(healthy(task) and not task.condemned for task in own)


def throttle_s(deployment: Deployment) -> float:
    """Seconds (of AWS) to wait before the next start after repeated failures, as the ECS scheduler does."""
    beyond = deployment.failed_tasks - FREE_FAILURES
    return min(15.0 * 2**beyond, 900.0) if beyond >= 0 else 0.0
