"""State as the ECS API shows it. Describing never changes anything."""

from __future__ import annotations

import datetime as dt
from typing import Any

from .model import Deployment, Revision, Service, ServiceDeployment, Task

PENDING = {"PROVISIONING", "PENDING", "ACTIVATING"}


def _given(**values: Any) -> dict[str, Any]:
    """The entries that have a value: the API leaves the others out."""
    return {key: value for key, value in values.items() if value is not None}


def _tasks(backend: Any, service: Service) -> list[Task]:
    book = backend.tasks.get(service.cluster_name, {}).values()
    return [task for task in book if isinstance(task, Task) and task.service == service.name]


def _counts(tasks: list[Task]) -> dict[str, int]:
    """Running and pending as ECS counts them: a task that is stopping counts as neither."""
    active = [task for task in tasks if task.active]
    running = sum(task.last_status == "RUNNING" for task in active)
    return {"runningCount": running, "pendingCount": sum(task.last_status in PENDING for task in active)}


def describe_service(backend: Any, service: Service, *, tags: bool) -> dict[str, Any]:
    tasks = _tasks(backend, service)
    current = service.rollout
    deployments = [_deployment(service, deployment, tasks) for deployment in service.deployments]
    revisions = [_revision_counts(deployment.revision, service, tasks) for deployment in service.deployments]
    return {
        "serviceArn": service.arn,
        "serviceName": service.name,
        "clusterArn": service.cluster_arn,
        "status": service.status,
        "desiredCount": service.desired_count,
        **_counts(tasks),
        "launchType": service.launch_type,
        "platformVersion": "1.4.0",
        "platformFamily": "Linux",
        "schedulingStrategy": service.scheduling_strategy,
        "deploymentController": {"type": "ECS"},
        "propagateTags": "NONE",
        "enableECSManagedTags": False,
        "enableExecuteCommand": False,
        **service.options,
        "taskDefinition": service.task_definition,
        "deploymentConfiguration": service.deployment_configuration,
        "loadBalancers": service.load_balancers,
        "networkConfiguration": service.network_configuration,
        "healthCheckGracePeriodSeconds": service.grace_period_s,
        "deployments": deployments,
        "events": service.events,
        "createdAt": service.created_at,
        **({"currentServiceDeployment": current.arn} if current else {}),
        "currentServiceRevisions": revisions,
        **({"tags": service.tags} if tags else {}),
    }


def _deployment(service: Service, deployment: Deployment, tasks: list[Task]) -> dict[str, Any]:
    own = [task for task in tasks if task.deployment == deployment.id]
    return {
        "id": deployment.id,
        "status": deployment.status,
        "taskDefinition": deployment.task_definition,
        "desiredCount": service.desired_count if deployment.status == "PRIMARY" else 0,
        **_counts(own),
        "failedTasks": deployment.failed_tasks,
        "createdAt": deployment.created_at,
        "updatedAt": deployment.updated_at,
        "launchType": service.launch_type,
        "platformVersion": "1.4.0",
        "platformFamily": "Linux",
        "networkConfiguration": deployment.revision.network_configuration,
        "rolloutState": deployment.rollout_state,
        "rolloutStateReason": deployment.rollout_reason,
    }


def _revision_counts(revision: Revision, service: Service, tasks: list[Task]) -> dict[str, Any]:
    counts = _counts([task for task in tasks if task.revision_arn == revision.arn])
    wanted = service.desired_count if service.primary.revision is revision else 0
    return {
        "arn": revision.arn,
        "requestedTaskCount": wanted,
        "runningTaskCount": counts["runningCount"],
        "pendingTaskCount": counts["pendingCount"],
    }


def describe_deployment_record(backend: Any, service: Service, record: ServiceDeployment) -> dict[str, Any]:
    tasks = _tasks(backend, service)
    return _given(
        serviceDeploymentArn=record.arn,
        serviceArn=service.arn,
        clusterArn=service.cluster_arn,
        createdAt=record.created_at,
        startedAt=record.started_at,
        finishedAt=record.finished_at,
        stoppedAt=record.stopped_at,
        updatedAt=record.updated_at,
        sourceServiceRevisions=[_revision_counts(source, service, tasks) for source in record.sources],
        targetServiceRevision=_revision_counts(record.target, service, tasks),
        status=record.status,
        statusReason=record.status_reason,
        lifecycleStage=record.stage if service.shifts and not record.ended else None,
        deploymentConfiguration=record.configuration,
        rollback=record.rollback,
        deploymentCircuitBreaker={
            "status": record.circuit_breaker,
            "failureCount": record.failure_count,
            "threshold": service.breaker_threshold,
        },
    )


def describe_revision(service: Service, revision: Revision) -> dict[str, Any]:
    resolved = [
        {
            "targetGroupArn": revision.group,
            "productionListenerRule": entry["advancedConfiguration"]["productionListenerRule"],
        }
        for entry in revision.load_balancers
        if revision.group and "advancedConfiguration" in entry
    ]
    return {
        **({"resolvedConfiguration": {"loadBalancers": resolved}} if resolved else {}),
        "serviceRevisionArn": revision.arn,
        "serviceArn": service.arn,
        "clusterArn": service.cluster_arn,
        "taskDefinition": revision.task_definition,
        "launchType": service.launch_type,
        "platformVersion": "1.4.0",
        "platformFamily": "Linux",
        "loadBalancers": revision.load_balancers,
        "networkConfiguration": revision.network_configuration,
        "containerImages": revision.images,
        "guardDutyEnabled": False,
        "createdAt": revision.created_at,
    }


def describe_task(task: Task, *, tags: bool) -> dict[str, Any]:
    attachment_status = "DELETED" if task.last_status == "STOPPED" else "ATTACHED"
    pulled = task.started_at and task.started_at - dt.timedelta(seconds=2)
    container = _given(
        containerArn=task.container_arn,
        taskArn=task.arn,
        name=task.container["name"],
        image=task.container["image"],
        imageDigest=task.image_digest,
        lastStatus="STOPPED" if task.last_status == "DEPROVISIONING" else task.last_status,
        exitCode=task.exit_code,
        reason=task.container_reason,
        healthStatus="UNKNOWN",
        networkInterfaces=[{"attachmentId": task.attachment, "privateIpv4Address": task.address}],
        cpu=str(task.container.get("cpu", 0)),
    )
    interface = {
        "subnetId": task.subnet,
        "networkInterfaceId": f"eni-{task.id[:17]}",
        "privateIPv4Address": task.address,
    }
    return _given(
        taskArn=task.arn,
        clusterArn=task.cluster_arn,
        taskDefinitionArn=task.task_definition_arn,
        group=f"service:{task.service}",
        startedBy=task.deployment,
        lastStatus=task.last_status,
        desiredStatus=task.desired_status,
        healthStatus="UNKNOWN",
        availabilityZone=task.zone,
        connectivity="CONNECTED" if task.started_at else None,
        connectivityAt=task.started_at,
        cpu=task.cpu,
        memory=task.memory,
        launchType="FARGATE",
        platformVersion="1.4.0",
        platformFamily="Linux",
        createdAt=task.created_at,
        pullStartedAt=pulled,
        pullStoppedAt=task.started_at,
        startedAt=task.started_at,
        stoppingAt=task.stopping_at,
        stoppedAt=task.stopped_at,
        executionStoppedAt=task.stopped_at if task.exit_code is not None else None,
        stopCode=task.stop_code,
        stoppedReason=task.stopped_reason,
        attachments=[
            {
                "id": task.attachment,
                "type": "ElasticNetworkInterface",
                "status": attachment_status,
                "details": [{"name": name, "value": value} for name, value in interface.items()],
            }
        ],
        containers=[container],
        overrides={"containerOverrides": [{"name": task.container["name"]}]},
        version=1,
        tags=task.tags if tags else None,
    )
