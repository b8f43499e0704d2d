"""What ECS refuses, and moto would accept."""

from __future__ import annotations

from typing import Any

from .errors import invalid
from .images import Backends

MAX_DESIRED = 5000
LEAST_MAXIMUM = 100


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
