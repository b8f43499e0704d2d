"""The ECS API over this state: methods put on moto's response class. moto holds clusters and task definitions."""

from __future__ import annotations

import datetime as dt
from typing import Any

from moto.core.responses import ActionResult
from moto.ecs.responses import EC2ContainerServiceResponse

from . import rollout
from .describe import describe_deployment_record, describe_revision, describe_service, describe_task
from .errors import EcsError, find_service, invalid
from .images import revision_of
from .model import DEFAULT_CANARY, DEFAULT_CONFIGURATION, Revision, Service, Task
from .validate import check_configuration, check_count, check_load_balancers, check_network, check_shift

KEPT_ONLY = (
    "platformVersion", "propagateTags", "enableECSManagedTags", "enableExecuteCommand", "placementConstraints",
    "placementStrategy", "deploymentController", "availabilityZoneRebalancing", "capacityProviderStrategy",
)  # fmt: skip
"""Options that change nothing here and are described back."""

MAX_SERVICES, MAX_TASKS, MAX_ARNS = 10, 100, 20
"""Most names in one call of DescribeServices, DescribeTasks, and the reads of service deployments."""


class _Backends:
    """What `images` needs of the control plane, from inside a request."""

    def __init__(self, response: EC2ContainerServiceResponse) -> None:
        self._account, self._region = response.current_account, response.region

    def backend(self, service: str) -> Any:
        from moto.backends import get_backend

        return get_backend(service)[self._account][self._region]


def create_service(self: Any) -> ActionResult:
    backend, params = self.ecs_backend, self._get_params()
    cluster = backend._get_cluster(params.get("cluster") or "default")
    name = params["serviceName"]
    existing = backend.services.get(f"{cluster.name}:{name}")
    if existing and existing.status != "INACTIVE":
        raise invalid("Creation of service was not idempotent.")
    if not params.get("taskDefinition"):
        raise invalid("TaskDefinition can not be blank.")
    definition = backend.describe_task_definition(params["taskDefinition"])
    check_count(params.get("desiredCount"))
    check_network(_Backends(self), definition, params.get("networkConfiguration"))
    balancers = params.get("loadBalancers") or []
    check_load_balancers(_Backends(self), definition, balancers)
    if params.get("healthCheckGracePeriodSeconds") and not balancers:
        raise invalid("Health check grace period is only valid for services configured to use load balancers")
    configuration = _configuration(DEFAULT_CONFIGURATION, params.get("deploymentConfiguration"))
    check_shift(_Backends(self), configuration, balancers)
    service = Service(
        arn=f"{cluster.arn.replace(':cluster/', ':service/')}/{name}",
        name=name,
        cluster_name=cluster.name,
        cluster_arn=cluster.arn,
        desired_count=params.get("desiredCount") or 0,
        load_balancers=balancers,
        network_configuration=params.get("networkConfiguration") or {},
        deployment_configuration=configuration,
        grace_period_s=params.get("healthCheckGracePeriodSeconds") or 0,
        tags=params.get("tags") or [],
        options={key: params[key] for key in KEPT_ONLY if key in params},
        launch_type=params.get("launchType") or "FARGATE",
    )
    backend.services[f"{cluster.name}:{name}"] = service
    backend.tasks.setdefault(cluster.name, {})
    rollout.begin(service, revision_of(_Backends(self), service, definition.arn))
    return ActionResult({"service": describe_service(backend, service, tags=True)})


def update_service(self: Any) -> ActionResult:
    backend, params = self.ecs_backend, self._get_params()
    service = find_service(backend, params.get("cluster"), params["service"])
    if service.status != "ACTIVE":
        raise EcsError("ServiceNotActiveException", "Service was not ACTIVE.")
    # Everything is checked before anything is changed.
    wanted = params.get("taskDefinition")
    definition = backend.describe_task_definition(wanted or service.task_definition)
    if wanted and definition.status != "ACTIVE":
        raise EcsError("ClientException", f"TaskDefinition is inactive: {definition.arn}")
    check_count(params.get("desiredCount"))
    configuration = _configuration(service.deployment_configuration, params.get("deploymentConfiguration"))
    network = params.get("networkConfiguration") or service.network_configuration
    check_network(_Backends(self), definition, network)
    balancers = params.get("loadBalancers", service.load_balancers)
    check_load_balancers(_Backends(self), definition, balancers)
    check_shift(_Backends(self), configuration, balancers)
    if service.rollout and configuration.get("strategy", "ROLLING") != service.strategy:
        raise invalid("The deployment strategy can not be changed while a service deployment is in progress.")

    rolls = (
        bool(params.get("forceNewDeployment"))
        or definition.arn != service.task_definition
        or network != service.network_configuration
        or balancers != service.load_balancers
    )
    service.deployment_configuration = configuration
    service.network_configuration, service.load_balancers = network, balancers
    service.grace_period_s = params.get("healthCheckGracePeriodSeconds", service.grace_period_s)
    service.options |= {key: params[key] for key in KEPT_ONLY if key in params}
    if params.get("desiredCount") is not None:
        service.desired_count = params["desiredCount"]
    if rolls:
        rollout.begin(service, revision_of(_Backends(self), service, definition.arn))
    return ActionResult({"service": describe_service(backend, service, tags=False)})


def _configuration(base: dict[str, Any], wanted: dict[str, Any] | None) -> dict[str, Any]:
    given = wanted or {}
    merged = {**base, **given}
    if merged.get("strategy") == "CANARY":
        merged["canaryConfiguration"] = {**DEFAULT_CANARY, **merged.get("canaryConfiguration", {})}
    elif "canaryConfiguration" not in given:
        merged.pop("canaryConfiguration", None)
    check_configuration(merged)
    return merged


def delete_service(self: Any) -> ActionResult:
    service = find_service(self.ecs_backend, self._get_param("cluster"), self._get_param("service"))
    if service.desired_count > 0 and not self._get_param("force", False):
        raise invalid("The service cannot be stopped while it is scaled above 0.")
    service.status, service.desired_count = "DRAINING", 0
    return ActionResult({"service": describe_service(self.ecs_backend, service, tags=False)})


def describe_services(self: Any) -> ActionResult:
    backend, names = self.ecs_backend, self._get_param("services", [])
    cluster = backend._get_cluster(self._get_param("cluster") or "default")
    if not names:
        raise invalid("Services cannot be empty.")
    if len(names) > MAX_SERVICES:
        raise invalid(f"Services cannot have more than {MAX_SERVICES} elements.")
    tags = "TAGS" in (self._get_param("include") or [])
    found, failures = [], []
    for name in names:
        service = backend.services.get(f"{cluster.name}:{name.rsplit('/', 1)[-1]}")
        if isinstance(service, Service):
            found.append(describe_service(backend, service, tags=tags))
        else:
            arn = f"{cluster.arn.replace(':cluster/', ':service/')}/{name.rsplit('/', 1)[-1]}"
            failures.append({"arn": arn, "reason": "MISSING"})
    return ActionResult({"services": found, "failures": failures})


def list_tasks(self: Any) -> ActionResult:
    backend = self.ecs_backend
    cluster = backend._get_cluster(self._get_param("cluster") or "default")
    tasks = [task for task in backend.tasks.get(cluster.name, {}).values() if isinstance(task, Task)]
    if name := self._get_param("serviceName"):
        service = find_service(backend, cluster.name, name)
        tasks = [task for task in tasks if task.service == service.name]
    if family := self._get_param("family"):
        tasks = [task for task in tasks if task.family == family]
    if started_by := self._get_param("startedBy"):
        tasks = [task for task in tasks if task.deployment == started_by]
    wanted = self._get_param("desiredStatus") or "RUNNING"
    arns = [task.arn for task in tasks if task.desired_status == wanted]
    page, more = _page(self, arns)
    return ActionResult({"taskArns": page, **more})


def describe_tasks(self: Any) -> ActionResult:
    backend, names = self.ecs_backend, self._get_param("tasks", [])
    cluster = backend._get_cluster(self._get_param("cluster") or "default")
    if not names:
        raise invalid("Tasks cannot be empty.")
    if len(names) > MAX_TASKS:
        raise invalid(f"Tasks cannot have more than {MAX_TASKS} elements.")
    tags = "TAGS" in (self._get_param("include") or [])
    found, failures = [], []
    for name in names:
        arn = f"{cluster.arn.replace(':cluster/', ':task/')}/{name.rsplit('/', 1)[-1]}"
        task = backend.tasks.get(cluster.name, {}).get(arn)
        if isinstance(task, Task):
            found.append(describe_task(task, tags=tags))
        else:
            failures.append({"arn": arn, "reason": "MISSING"})
    return ActionResult({"tasks": found, "failures": failures})


def stop_task(self: Any) -> ActionResult:
    backend = self.ecs_backend
    cluster = backend._get_cluster(self._get_param("cluster") or "default")
    arn = f"{cluster.arn.replace(':cluster/', ':task/')}/{self._get_param('task').rsplit('/', 1)[-1]}"
    task = backend.tasks.get(cluster.name, {}).get(arn)
    if not isinstance(task, Task):
        raise invalid("The referenced task was not found.")
    task.stop("UserInitiated", self._get_param("reason") or "Task stopped by user")
    return ActionResult({"task": describe_task(task, tags=False)})


def run_task(_self: Any) -> ActionResult:
    raise EcsError("UnsupportedFeatureException", "The sandbox runs tasks of services only: create a service.")


def list_service_deployments(self: Any) -> ActionResult:
    service = find_service(self.ecs_backend, self._get_param("cluster"), self._get_param("service"))
    records = list(reversed(service.service_deployments))
    if statuses := self._get_param("status"):
        records = [record for record in records if record.status in statuses]
    window = self._get_param("createdAt") or {}
    if after := _moment(window.get("after")):
        records = [record for record in records if record.created_at >= after]
    if before := _moment(window.get("before")):
        records = [record for record in records if record.created_at <= before]
    page, more = _page(self, records)
    keys = ("serviceDeploymentArn", "serviceArn", "clusterArn", "startedAt", "createdAt", "finishedAt",
            "status", "statusReason")  # fmt: skip
    briefs = []
    for record in page:
        full = describe_deployment_record(self.ecs_backend, service, record)
        brief = {key: full[key] for key in keys if key in full}
        briefs.append(brief | {"targetServiceRevisionArn": record.target.arn})
    return ActionResult({"serviceDeployments": briefs, **more})


def describe_service_deployments(self: Any) -> ActionResult:
    known = {record.arn: (service, record) for service in _services(self) for record in service.service_deployments}
    wanted = self._get_param("serviceDeploymentArns") or []
    if not wanted or len(wanted) > MAX_ARNS:
        raise invalid(f"serviceDeploymentArns must have between 1 and {MAX_ARNS} elements.")
    found = [describe_deployment_record(self.ecs_backend, *known[arn]) for arn in wanted if arn in known]
    failures = [{"arn": arn, "reason": "MISSING"} for arn in wanted if arn not in known]
    return ActionResult({"serviceDeployments": found, "failures": failures})


def describe_service_revisions(self: Any) -> ActionResult:
    known: dict[str, tuple[Service, Revision]] = {
        revision.arn: (service, revision) for service in _services(self) for revision in service.revisions
    }
    wanted = self._get_param("serviceRevisionArns") or []
    if not wanted or len(wanted) > MAX_ARNS:
        raise invalid(f"serviceRevisionArns must have between 1 and {MAX_ARNS} elements.")
    found = [describe_revision(*known[arn]) for arn in wanted if arn in known]
    failures = [{"arn": arn, "reason": "MISSING"} for arn in wanted if arn not in known]
    return ActionResult({"serviceRevisions": found, "failures": failures})


def stop_service_deployment(self: Any) -> ActionResult:
    arn, kind = self._get_param("serviceDeploymentArn"), self._get_param("stopType") or "ROLLBACK"
    if kind not in {"ROLLBACK", "ABORT"}:
        raise invalid(f"Unknown stop type {kind}: it is ROLLBACK or ABORT.")
    record = next((r for s in _services(self) for r in s.service_deployments if r.arn == arn), None)
    if record is None:
        raise EcsError("ServiceDeploymentNotFoundException", "The service deployment was not found.")
    if record.status not in {"PENDING", "IN_PROGRESS"}:
        raise EcsError("ConflictException", f"The service deployment is {record.status} and can not be stopped.")
    record.move("ROLLBACK_REQUESTED" if kind == "ROLLBACK" else "STOP_REQUESTED")
    return ActionResult({"serviceDeploymentArn": arn})


def _services(response: Any) -> list[Service]:
    return [service for service in response.ecs_backend.services.values() if isinstance(service, Service)]


def _page(response: Any, items: list[Any]) -> tuple[list[Any], dict[str, str]]:
    """The page that maxResults and nextToken name, 100 at most."""
    try:
        start = int(response._get_param("nextToken") or 0)
    except ValueError:
        raise invalid("Invalid token.") from None
    size = min(100, response._get_int_param("maxResults") or 100)
    more = {"nextToken": str(start + size)} if start + size < len(items) else {}
    return items[start : start + size], more


def _moment(value: Any) -> dt.datetime | None:
    if value is None or isinstance(value, dt.datetime):
        return value.replace(tzinfo=value.tzinfo or dt.UTC) if value else None
    return dt.datetime.fromtimestamp(float(value), dt.UTC)


OVERLAY = (
    create_service, update_service, delete_service, describe_services, list_tasks, describe_tasks, stop_task, run_task,
    list_service_deployments, describe_service_deployments, describe_service_revisions, stop_service_deployment,
)  # fmt: skip


def install() -> None:
    """Put the overlay on moto's ECS. Harmless when done twice."""
    for action in OVERLAY:
        setattr(EC2ContainerServiceResponse, action.__name__, action)
