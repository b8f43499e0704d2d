"""Target health as both sides see it: the balancer writes it, ECS and DescribeTargetHealth read it.

It stands on moto's target group objects, so it lives and dies with them. Hold the mutex.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DESCRIPTIONS = {
    "Elb.RegistrationInProgress": "Target registration is in progress",
    "Elb.InitialHealthChecking": "Initial health checks in progress",
    "Target.Timeout": "Request timed out",
    "Target.FailedHealthChecks": "Health checks failed",
    "Target.NotRegistered": "Target is not registered to the target group",
    "Target.NotInUse": "Target group is not configured to receive traffic from the load balancer",
    "Target.DeregistrationInProgress": "Target deregistration is in progress",
}


@dataclass(frozen=True)
class TargetHealth:
    """State and reason of one target, in the words of ELB."""

    state: str = "initial"
    """initial | healthy | unhealthy | draining | unused"""
    reason: str | None = "Elb.RegistrationInProgress"
    detail: str | None = None

    @property
    def description(self) -> str | None:
        return self.detail or (DESCRIPTIONS.get(self.reason) if self.reason else None)


UNUSED = TargetHealth("unused", "Target.NotRegistered")


def healths(group: Any) -> dict[str, TargetHealth]:
    """Health of the targets of a group by address, as the balancer last saw it."""
    found: dict[str, TargetHealth] = group.__dict__.setdefault("sandbox_health", {})
    return found


def health_of(group: Any, address: str) -> TargetHealth:
    if address in group.targets:
        if not group.load_balancer_arns:
            return TargetHealth("unused", "Target.NotInUse")
        found = healths(group).get(address, TargetHealth())
        return TargetHealth() if found.state in {"draining", "unused"} else found
    if address in group.deregistered_targets and healths(group).get(address):
        return TargetHealth("draining", "Target.DeregistrationInProgress")
    return UNUSED


def register(group: Any, address: str, port: int, zone: str) -> None:
    """Register an address; `zone` is kept, because loopback has none."""
    group.deregistered_targets.pop(address, None)
    healths(group)[address] = TargetHealth()
    group.targets[address] = {"Id": address, "Port": port, "AvailabilityZone": zone}


def deregister(group: Any, address: str) -> None:
    if target := group.targets.pop(address, None):
        group.deregistered_targets[address] = target
