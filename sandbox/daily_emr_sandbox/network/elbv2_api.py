"""Target health as the ELBv2 API shows it: what the probes found, draining targets included."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.elbv2.exceptions import InvalidTargetError, TargetGroupNotFoundError
from moto.elbv2.responses import ELBV2Response

from . import targets


def _group(response: Any) -> Any:
    group = response.elbv2_backend.target_groups.get(response._get_param("TargetGroupArn"))
    if group is None:
        raise TargetGroupNotFoundError
    return group


def describe_target_health(self: Any) -> ActionResult:
    group = _group(self)
    wanted = self._get_param("Targets") or []
    draining = [entry for address, entry in group.deregistered_targets.items() if targets.healths(group).get(address)]
    entries = wanted or [*group.targets.values(), *draining]
    return ActionResult({"TargetHealthDescriptions": [_describe(group, entry) for entry in entries]})


def _describe(group: Any, entry: dict[str, Any]) -> dict[str, Any]:
    address = entry["Id"]
    known = group.targets.get(address) or group.deregistered_targets.get(address) or entry
    health = targets.health_of(group, address)
    shown = {"State": health.state, "Reason": health.reason, "Description": health.description}
    target = {"Id": address, "Port": int(known.get("Port") or group.port)}
    if zone := known.get("AvailabilityZone"):
        target["AvailabilityZone"] = zone
    return {
        "Target": target,
        "HealthCheckPort": str(target["Port"]),
        "TargetHealth": {key: value for key, value in shown.items() if value},
    }


def register_targets(self: Any) -> EmptyResult:
    group = _group(self)
    for target in self._get_param("Targets") or []:
        zone = target.get("AvailabilityZone", "all")
        targets.register(group, target["Id"], int(target.get("Port") or group.port), zone)
    return EmptyResult()


def deregister_targets(self: Any) -> EmptyResult:
    group = _group(self)
    named = [target["Id"] for target in self._get_param("Targets") or []]
    if any(address not in group.targets for address in named):
        raise InvalidTargetError
    for address in named:
        targets.deregister(group, address)
    return EmptyResult()


def install() -> None:
    """Put the overlay on moto's ELBv2. Harmless when done twice."""
    for action in (describe_target_health, register_targets, deregister_targets):
        setattr(ELBV2Response, action.__name__, action)
