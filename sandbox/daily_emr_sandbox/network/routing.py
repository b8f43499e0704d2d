"""The load balancer as it stands in the control plane, taken as one immutable picture.

The balancer's event loop must never wait for the mutex, so a thread takes this picture a few times a second and
hands it over. Times in it are divided by the time factor already, with floors where real work sets a limit.
"""

from __future__ import annotations

import fnmatch
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .waf import Request, WebAcl

if TYPE_CHECKING:
    from ..aws.server import AwsServer
    from ..settings import Settings

PROBE_INTERVAL_FLOOR_S = 0.3
PROBE_TIMEOUT_FLOOR_S = 1.0
IDLE_TIMEOUT_FLOOR_S = 2.0


@dataclass(frozen=True)
class Target:
    address: str
    port: int
    zone: str


@dataclass(frozen=True)
class HealthCheck:
    path: str
    interval_s: float
    timeout_s: float
    healthy: int
    """Consecutive successes that make an unhealthy target healthy."""
    unhealthy: int
    """Consecutive failures that make a target unhealthy."""
    codes: str
    """Matcher: "200", "200-299", "200,302"."""

    def accepts(self, status: int) -> bool:
        for part in self.codes.split(","):
            low, _, high = part.partition("-")
            if int(low) <= status <= int(high or low):
                return True
        return False


@dataclass(frozen=True)
class Group:
    arn: str
    dimension: str
    """`targetgroup/<name>/<id>`"""
    check: HealthCheck
    targets: tuple[Target, ...]
    draining: tuple[Target, ...]
    drain_s: float
    attached: bool
    """Used by a load balancer; else its targets are not probed."""


@dataclass(frozen=True)
class Rule:
    conditions: tuple[Mapping[str, Any], ...]
    actions: tuple[Mapping[str, Any], ...]

    def matches(self, request: Request) -> bool:
        return all(_condition(condition, request) for condition in self.conditions)


@dataclass(frozen=True)
class Snapshot:
    """One load balancer with the listener that serves, its rules in order (default last), groups and web ACL."""

    arn: str
    dimension: str
    """`app/<name>/<id>`"""
    zones: tuple[str, ...]
    shifted: frozenset[str]
    """Zones that a zonal shift moves traffic away from."""
    idle_timeout_s: float
    rules: tuple[Rule, ...]
    groups: Mapping[str, Group]
    web_acl: WebAcl | None

    def rule_for(self, request: Request) -> Rule | None:
        return next((rule for rule in self.rules if rule.matches(request)), None)


def take(settings: Settings, aws: AwsServer) -> Snapshot | None:
    """Picture of the sandbox's load balancer, None while there is none. Hold the mutex."""
    elb = aws.backend("elbv2")
    balancer = next((found for found in elb.load_balancers.values() if found.name == settings.prefix), None)
    if balancer is None:
        return None
    listeners = sorted(balancer.listeners.values(), key=lambda listener: (str(listener.port) != "443", listener.arn))
    rules = [rule for listener in listeners[:1] for rule in listener.rules.values()]
    rules.sort(key=lambda rule: (rule.priority == "default", 0 if rule.priority == "default" else int(rule.priority)))
    _attach(elb)
    factor, idle = settings.time_factor, float(balancer.attrs.get("idle_timeout.timeout_seconds", 60))
    return Snapshot(
        arn=balancer.arn,
        dimension=balancer.arn.partition(":loadbalancer/")[2],
        zones=tuple(subnet.availability_zone for subnet in balancer.subnets),
        shifted=frozenset(aws.shifted_zones(balancer.arn)),
        idle_timeout_s=max(idle / factor, IDLE_TIMEOUT_FLOOR_S),
        rules=tuple(Rule(tuple(rule.conditions), tuple(dict(item.data) for item in rule.actions)) for rule in rules),
        groups={arn: _group(group, factor) for arn, group in elb.target_groups.items()},
        web_acl=_web_acl(aws, balancer.arn),
    )


def _attach(elb: Any) -> None:
    """Give each target group the load balancers that forward to it now; moto only adds, and not on ModifyRule."""
    served: dict[str, list[str]] = {arn: [] for arn in elb.target_groups}
    for balancer in elb.load_balancers.values():
        rules = [rule for listener in balancer.listeners.values() for rule in listener.rules.values()]
        used = {arn for rule in rules for action in rule.actions for arn in _forwards(action.data)}
        for arn in used & served.keys():
            served[arn].append(balancer.arn)
    for arn, balancers in served.items():
        elb.target_groups[arn].load_balancer_arns = balancers


def _forwards(action: Mapping[str, Any]) -> list[str]:
    """Target groups of an action, of either shape."""
    groups = [entry["TargetGroupArn"] for entry in (action.get("ForwardConfig") or {}).get("TargetGroups", [])]
    return groups or [arn for arn in [action.get("TargetGroupArn")] if arn]


def _group(group: Any, factor: float) -> Group:
    check = HealthCheck(
        path=group.health_check_path or "/",
        interval_s=max(int(group.health_check_interval_seconds) / factor, PROBE_INTERVAL_FLOOR_S),
        timeout_s=max(int(group.health_check_timeout_seconds) / factor, PROBE_TIMEOUT_FLOOR_S),
        healthy=int(group.healthy_threshold_count),
        unhealthy=int(group.unhealthy_threshold_count),
        codes=(group.matcher or {}).get("HttpCode") or "200",
    )
    return Group(
        arn=group.arn,
        dimension=group.arn.rpartition(":")[2],
        check=check,
        targets=_targets(group.targets, group),
        draining=_targets(group.deregistered_targets, group),
        attached=bool(group.load_balancer_arns),
        drain_s=float(group.attributes["deregistration_delay.timeout_seconds"]) / factor,
    )


def _targets(entries: Mapping[str, Any], group: Any) -> tuple[Target, ...]:
    return tuple(
        Target(entry["Id"], int(entry.get("Port") or group.port), entry.get("AvailabilityZone", "all"))
        for entry in entries.values()
    )


def _web_acl(aws: AwsServer, balancer: str) -> WebAcl | None:
    backend = aws.backend("wafv2")
    found = next((acl for acl in backend.wacls.values() if balancer in acl.associated_resources), None)
    if found is None:
        return None
    return WebAcl(
        arn=found.arn,
        rules=[rule.to_dict() for rule in found.rules],
        default_action=found.default_action,
        metric=(found.visibility_config or {}).get("MetricName") or found.name,
        ip_sets={item.arn: list(item.addresses) for item in backend.ip_sets.values()},
    )


def _condition(condition: Mapping[str, Any], request: Request) -> bool:
    kind = condition["Field"]
    if kind == "query-string":
        pairs = [part.partition("=")[::2] for part in request.query.split("&")]
        wanted = condition["QueryStringConfig"]["Values"]
        return any(
            fnmatch.fnmatchcase(value, item["Value"]) and item.get("Key", key) == key
            for key, value in pairs
            for item in wanted
        )
    if kind == "source-ip":
        client = ipaddress.ip_address(request.client)
        return any(client in ipaddress.ip_network(item) for item in condition["SourceIpConfig"]["Values"])
    config: Mapping[str, Any] = next((value for key, value in condition.items() if key.endswith("Config")), {})
    patterns = config.get("Values") or condition.get("Values") or []
    if kind == "host-header":
        host = request.headers.get("host", "").partition(":")[0].lower()
        return any(fnmatch.fnmatchcase(host, pattern.lower()) for pattern in patterns)
    if kind == "http-header":
        value = request.headers.get(config["HttpHeaderName"].lower(), "")
        return any(fnmatch.fnmatchcase(value.lower(), pattern.lower()) for pattern in patterns)
    if kind == "http-request-method":
        return request.method in patterns
    return kind == "path-pattern" and any(fnmatch.fnmatchcase(request.path, pattern) for pattern in patterns)
