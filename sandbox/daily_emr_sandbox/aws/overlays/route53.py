"""Route 53: a health check that follows an alarm keeps which one, and what holds while nobody knows its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.route53.models import HealthCheck
from moto.route53.responses import Route53

if TYPE_CHECKING:
    from ..server import AwsServer

BY_ALARM = "CLOUDWATCH_METRIC"
KEPT = ("AlarmIdentifier", "InsufficientDataHealthStatus")

_create_health_check = Route53.create_health_check
_update_health_check = Route53.update_health_check
_health_check_config = HealthCheck.health_check_config


def create_health_check(self: Any) -> ActionResult:
    known = set(self.backend.health_checks)
    answer = _create_health_check(self)
    (made,) = set(self.backend.health_checks) - known
    config = self._get_param("HealthCheckConfig")
    self.backend.health_checks[made].followed = {name: config[name] for name in KEPT if name in config}
    return answer


def update_health_check(self: Any) -> ActionResult:
    answer = _update_health_check(self)
    check = self.backend.get_health_check(self._get_param("HealthCheckId"))
    check.followed = getattr(check, "followed", {}) | {
        name: value for name in KEPT if (value := self._get_param(name)) is not None
    }
    return answer


def health_check_config(self: Any) -> dict[str, Any]:
    """One that follows an alarm asks no address."""
    config: dict[str, Any] = _health_check_config.fget(self)
    if self.type_ != BY_ALARM:
        return config
    plain = {name: config[name] for name in ("Type", "Inverted", "Disabled")}
    return {**plain, **self.followed}


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's Route 53. Harmless when done twice."""
    Route53.create_health_check = create_health_check
    Route53.update_health_check = update_health_check
    HealthCheck.health_check_config = property(health_check_config)
