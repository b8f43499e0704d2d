"""Application Auto Scaling: limits that are checked, and that move the service when it is outside them."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import TYPE_CHECKING, Any

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.core.responses import ActionResult

from ..errors import validation

if TYPE_CHECKING:
    from ..server import AwsServer

ECS_COUNT = ("ecs", "ecs:service:DesiredCount")

_register_scalable_target = ApplicationAutoScalingResponse.register_scalable_target


def install(aws: AwsServer) -> None:
    """Put the overlay on moto's Application Auto Scaling, for this server. Done again, the newest server counts."""

    def register_scalable_target(self: Any) -> Any:
        backend = self.applicationautoscaling_backend
        resource, dimension = self._get_param("ResourceId"), self._get_param("ScalableDimension")
        before = backend.targets.get(dimension, {}).get(resource)
        low, high = (_limit(self, name) for name in ("MinCapacity", "MaxCapacity"))
        if before is None and (low is None or high is None):
            raise validation("Both MinCapacity and MaxCapacity must be provided for a new scalable target.")
        low = before.min_capacity if low is None else low
        high = before.max_capacity if high is None else high
        if low < 0 or high < low:
            raise validation(f"Maximum capacity {high} cannot be less than minimum capacity {low}, nor that than 0.")
        answer = _register_scalable_target(self)
        if (self._get_param("ServiceNamespace"), dimension) == ECS_COUNT:
            _bring_inside(aws, backend, backend.targets[dimension][resource])
        return answer

    def describe_scaling_activities(self: Any) -> ActionResult:
        resource = self._get_param("ResourceId")
        found = [
            _described(aws, activity)
            for activity in reversed(_activities(self.applicationautoscaling_backend))
            if activity["ServiceNamespace"] == self._get_param("ServiceNamespace")
            and resource in (None, activity["ResourceId"])
        ]
        return ActionResult({"ScalingActivities": found[: self._get_int_param("MaxResults") or 50]})

    ApplicationAutoScalingResponse.register_scalable_target = register_scalable_target
    ApplicationAutoScalingResponse.describe_scaling_activities = describe_scaling_activities


def _limit(response: Any, name: str) -> int | None:
    value = response._get_int_param(name)
    return None if value is None else int(value)


def _activities(backend: Any) -> list[dict[str, Any]]:
    """On the backend, so that they go when the sandbox starts with an empty AWS."""
    kept: list[dict[str, Any]] = backend.__dict__.setdefault("sandbox_activities", [])
    return kept


def _service(aws: AwsServer, resource: str) -> Any:
    _, cluster, name = resource.split("/")
    return aws.backend("ecs").services.get(f"{cluster}:{name}")


def _bring_inside(aws: AwsServer, backend: Any, target: Any) -> None:
    """Move the desired count to the limit that it is beyond, unless that direction is suspended."""
    service, suspended = _service(aws, target.resource_id), target.suspended_state or {}
    if service is None:
        return
    desired = service.desired_count
    wanted = min(max(desired, target.min_capacity), target.max_capacity)
    direction = "DynamicScalingOutSuspended" if wanted > desired else "DynamicScalingInSuspended"
    if wanted == desired or suspended.get(direction):
        return
    service.desired_count = wanted
    limit = "minimum" if wanted > desired else "maximum"
    _activities(backend).append(
        {
            "ActivityId": str(uuid.uuid4()),
            "ServiceNamespace": target.service_namespace,
            "ResourceId": target.resource_id,
            "ScalableDimension": target.scalable_dimension,
            "Description": f"Setting desired count to {wanted}.",
            "Cause": f"{limit} capacity was set to {wanted}",
            "StartTime": dt.datetime.now(dt.UTC),
            "wanted": wanted,
        }
    )


def _described(aws: AwsServer, activity: dict[str, Any]) -> dict[str, Any]:
    """An activity is in progress until the service runs as many tasks; one that was overtaken is over as well."""
    service = _service(aws, activity["ResourceId"])
    if "EndTime" not in activity and service is not None:
        book = aws.backend("ecs").tasks.get(service.cluster_name, {}).values()
        running = sum(task.service == service.name and task.last_status == "RUNNING" for task in book)
        if running == activity["wanted"] or service.desired_count != activity["wanted"]:
            activity["EndTime"] = dt.datetime.now(dt.UTC)
    shown = {key: value for key, value in activity.items() if key != "wanted"}
    if "EndTime" in activity:
        message = f"Successfully set desired count to {activity['wanted']}. Change successfully fulfilled by ecs."
        return shown | {"StatusCode": "Successful", "StatusMessage": message}
    message = f"Successfully set desired count to {activity['wanted']}. Waiting for change to be fulfilled by ecs."
    return shown | {"StatusCode": "InProgress", "StatusMessage": message}
