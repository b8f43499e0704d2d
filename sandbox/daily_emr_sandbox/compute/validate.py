"""What ECS refuses, and moto would accept."""

from __future__ import annotations

from typing import Any

from .errors import EcsError, invalid
from .images import Backends
from .model import SHIFTING
from .shift import forwarded, production_rule

MAX_DESIRED = 5000
LEAST_MAXIMUM = 100
LONGEST_BAKE = 1440


def check_count(count: int | None) -> None:
    if count is not None and not 0 <= count <= MAX_DESIRED:
        raise invalid(f"desiredCount {count} is invalid: it must be between 0 and {MAX_DESIRED}.")


def check_configuration(configuration: dict[str, Any]) -> None:
    """Percentages must leave room for at least one step of a rolling update."""
    low, high = configuration["minimumHealthyPercent"], configuration["maximumPercent"]
    if low < 0 or high < LEAST_MAXIMUM:
        raise invalid("minimumHealthyPercent must be 0 or more and maximumPercent 100 or more.")
    if low >= high:
        raise invalid("maximumPercent must be greater than minimumHealthyPercent.")
    breaker = configuration["deploymentCircuitBreaker"]
    if breaker.get("rollback") and not breaker.get("enable"):
        raise invalid("Rollback of the deployment circuit breaker needs the circuit breaker to be enabled.")
    _check_strategy(configuration)


def _check_strategy(configuration: dict[str, Any]) -> None:
    strategy = configuration.get("strategy", "ROLLING")
    if strategy == "LINEAR":
        raise EcsError("UnsupportedFeatureException", "The sandbox deploys with ROLLING, BLUE_GREEN and CANARY only.")
    if strategy not in ("ROLLING", *SHIFTING):
        raise invalid(f"Unknown deployment strategy {strategy}.")
    canary = configuration.get("canaryConfiguration")
    if (canary is not None) != (strategy == "CANARY"):
        raise invalid("canaryConfiguration is valid with the strategy CANARY, and only with it.")
    if strategy == "BLUE_GREEN" and "bakeTimeInMinutes" not in configuration:
        raise invalid("bakeTimeInMinutes is required with the strategy BLUE_GREEN.")
    minutes = [configuration.get("bakeTimeInMinutes", 0), (canary or {}).get("canaryBakeTimeInMinutes", 0)]
    if not all(0 <= some <= LONGEST_BAKE for some in minutes):
        raise invalid(f"A bake time is between 0 and {LONGEST_BAKE} minutes.")
    tenths = (canary or {"canaryPercent": 1})["canaryPercent"] * 10
    if not 1 <= tenths <= 1000 or abs(tenths - round(tenths)) > 1e-6:  # noqa: PLR2004  # 0.1 to 100 percent
        raise invalid("canaryPercent is a multiple of 0.1 between 0.1 and 100.0.")


def check_network(aws: Backends, definition: Any, network: dict[str, Any] | None) -> None:
    if definition.network_mode != "awsvpc":
        raise invalid("The sandbox runs Fargate services: the task definition needs networkMode awsvpc.")
    if not network or "awsvpcConfiguration" not in network:
        raise invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    wanted = network["awsvpcConfiguration"].get("subnets") or []
    if not wanted:
        raise invalid("subnets can not be empty.")
    known = {subnet.id for subnet in aws.backend("ec2").describe_subnets()}
    if missing := [subnet for subnet in wanted if subnet not in known]:
        raise invalid(
            f"Error retrieving subnet information for {missing}: "
            f"The subnet ID '{missing[0]}' does not exist (ErrorCode: InvalidSubnetID.NotFound)"
        )


def check_shift(aws: Backends, configuration: dict[str, Any], balancers: list[dict[str, Any]]) -> None:
    """What a strategy that moves traffic needs. What is wrong with a rule AWS says later, by rolling back."""
    if configuration.get("strategy") not in SHIFTING:
        return
    if not balancers:
        raise invalid(f"The strategy {configuration['strategy']} needs a load balancer.")
    elb = aws.backend("elbv2")
    for entry in balancers:
        more = entry.get("advancedConfiguration") or {}
        if missing := {"alternateTargetGroupArn", "productionListenerRule", "roleArn"} - {
            key for key in more if more[key]
        }:
            raise invalid(f"advancedConfiguration needs {', '.join(sorted(missing))}.")
        groups = {entry["targetGroupArn"], more["alternateTargetGroupArn"]}
        if len(groups) == 1:
            raise invalid("alternateTargetGroupArn must differ from targetGroupArn.")
        if strange := groups - elb.target_groups.keys():
            raise invalid(f"Unable to find target group {strange.pop()}.")
        rule = production_rule(elb, more["productionListenerRule"])
        if rule is None or {one["TargetGroupArn"] for one in forwarded(rule)} != groups:
            raise invalid(
                "Invalid networking configuration. Both targetGroup and alternateTargetGroup must be associated with "
                "the productionListenerRule or testListenerRule."
            )


def check_load_balancers(aws: Backends, definition: Any, balancers: list[dict[str, Any]]) -> None:
    containers = {container["name"]: container for container in definition.container_definitions}
    groups = aws.backend("elbv2").target_groups
    for entry in balancers:
        name, port = entry.get("containerName"), entry.get("containerPort")
        if name not in containers:
            raise invalid(f"The container {name} does not exist in the task definition.")
        if port not in {mapping["containerPort"] for mapping in containers[name].get("portMappings", [])}:
            raise invalid(f"The container {name} did not have a container port {port} defined.")
        group = groups.get(entry.get("targetGroupArn"))
        if group is None:
            raise invalid(f"Unable to find target group {entry.get('targetGroupArn')}.")
        if group.target_type != "ip":
            raise invalid(
                f"The provided target group {group.arn} has target type {group.target_type}, "
                "which is incompatible with the awsvpc network mode."
            )
        if not group.load_balancer_arns:
            raise invalid(
                f"The target group with targetGroupArn {group.arn} does not have an associated load balancer."
            )
