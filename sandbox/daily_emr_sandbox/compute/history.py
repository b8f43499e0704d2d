"""Write the past of a service: a back door for the seed, so that "last known good" is real from the first second."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from . import rollout
from .images import Backends, revision_of
from .model import Deployment, Service, now


@dataclass(frozen=True)
class Past:
    """A successful service deployment in the past."""

    task_definition: str
    """Family:revision or ARN, registered already."""
    ago_s: float
    """Seconds between its end and now, of the wall clock."""
    took_s: float = 180.0


def seed_history(aws: Backends, cluster: str, service: str, pasts: list[Past]) -> None:
    """Give a service its past, oldest first. Hold the mutex; no task of the service may have been started yet.

    The last entry becomes the current deployment: completed then, its first tasks are as old as it is and
    start at once. Its task definition must be the one the service was created with.

    Raises:
        ValueError: no entry, or the last one is not what the service runs.
    """
    backend = aws.backend("ecs")
    found: Service = backend.services[f"{cluster}:{service}"]
    arns = [backend.describe_task_definition(past.task_definition).arn for past in pasts]
    if not pasts or arns[-1] != found.task_definition:
        raise ValueError(f"the history of {service} must end with the task definition it runs: {found.task_definition}")
    found.deployments, found.service_deployments, found.revisions, found.events = [], [], [], []
    for past, arn in zip(pasts, arns, strict=True):
        record = rollout.begin(found, revision_of(aws, found, arn))
        finished = now() - dt.timedelta(seconds=past.ago_s)
        started = finished - dt.timedelta(seconds=past.took_s)
        record.created_at = record.started_at = record.target.created_at = started
        record.circuit_breaker = "MONITORING_COMPLETE" if found.breaker["enable"] else "DISABLED"
        record.status, record.finished_at, record.updated_at = "SUCCESSFUL", finished, finished
        deployment: Deployment = found.primary
        deployment.created_at, deployment.updated_at, deployment.backdated = started, finished, True
        deployment.rollout_state = "COMPLETED"
        deployment.rollout_reason = f"ECS deployment {deployment.id} completed."
        found.deployments = [deployment]
    found.last_completed = found.primary
    found.created_at = found.service_deployments[0].created_at
