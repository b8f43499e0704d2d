"""How ECS moves the traffic of a deployment with two target groups, and when it lets the old tasks go.

The new tasks stand in the group that is free. ECS gives that group a share of the production listener rule (CANARY) or
all of it (BLUE_GREEN), waits, and only then stops the old tasks; until then a rollback is a change of weights. State of
moto's listener rules and of our own deployments only, no processes. Hold the mutex.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from .model import CLEAN_UP, RECONCILE_SERVICE, Deployment, Service, ServiceDeployment, Task

SCALE_UP, PRODUCTION_TRAFFIC_SHIFT, BAKE_TIME = "SCALE_UP", "PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME"
ALL = 100.0
"""Percent of the traffic."""


def advance(
    service: Service, tasks: Iterable[Task], healthy: Callable[[Task], bool], elb: Any, time_factor: float
) -> None:
    """Take the rollout of a service one stage further, when its time has come.

    Args:
        tasks: those that are not STOPPED.
        elb: moto's backend of the load balancers.
        time_factor: how much faster than AWS time goes here.
    """
    record = service.rollout
    if record is None or not service.shifts or record.stage == CLEAN_UP:
        return
    alive = [task for task in tasks if task.active]
    primary, old = service.primary, service.last_completed
    ready = [task for task in alive if task.deployment == primary.id and healthy(task)]
    if record.status == "ROLLBACK_IN_PROGRESS":
        if ready:
            _give(elb, service, primary, ALL)
            record.enter(CLEAN_UP)
    elif record.status == "IN_PROGRESS":
        serving = old is not None and any(task.deployment == old.id for task in alive)
        _forward(service, record, elb, time_factor, ready=len(ready), old=old if serving else None)


def _forward(
    service: Service, record: ServiceDeployment, elb: Any, time_factor: float, *, ready: int, old: Deployment | None
) -> None:
    primary, configuration = service.primary, record.configuration
    canary = configuration.get("canaryConfiguration") if old else None
    minutes = (time.monotonic() - record.stage_since) * time_factor / 60
    if record.stage == RECONCILE_SERVICE:
        # Another deployment may have been on its way.
        _give(elb, service, old or primary, ALL)
        record.enter(SCALE_UP)
    elif record.stage == SCALE_UP and ready >= service.desired_count:
        _give(elb, service, primary, canary["canaryPercent"] if canary else ALL)
        record.enter(PRODUCTION_TRAFFIC_SHIFT)
    elif record.stage == PRODUCTION_TRAFFIC_SHIFT and minutes >= (canary["canaryBakeTimeInMinutes"] if canary else 0):
        _give(elb, service, primary, ALL)
        record.enter(BAKE_TIME)
    elif record.stage == BAKE_TIME and (not old or minutes >= configuration.get("bakeTimeInMinutes", 0)):
        record.enter(CLEAN_UP)


def production_rule(elb: Any, arn: str) -> Any:
    """The listener rule with this ARN, None when there is none."""
    rules = (rule for balancer in elb.load_balancers.values() for rule in _rules(balancer))
    return next((rule for rule in rules if rule.arn == arn), None)


def forwarded(rule: Any) -> list[dict[str, Any]]:
    """The target groups of a rule with their weights, as moto holds them; empty when it divides nothing."""
    for action in rule.actions:
        if found := (action.data.get("ForwardConfig") or {}).get("TargetGroups"):
            return list(found)
    return []


def _rules(balancer: Any) -> list[Any]:
    return [rule for listener in balancer.listeners.values() for rule in listener.rules.values()]


def _give(elb: Any, service: Service, deployment: Deployment, percent: float) -> None:
    """Give the target group of a deployment this share of the traffic, and the other group the rest."""
    whole = 100 if percent == int(percent) else 1000
    share = round(percent * whole / 100)
    for entry in service.load_balancers:
        rule = production_rule(elb, entry["advancedConfiguration"]["productionListenerRule"])
        for group in forwarded(rule) if rule else []:
            group["Weight"] = share if group["TargetGroupArn"] == deployment.group else whole - share
