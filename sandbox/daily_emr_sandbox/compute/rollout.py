"""What happens to a deployment over time: begin, fail, roll back, stop, complete. State only, no processes.

Wording and transitions are those of ECS rolling updates; `shift` has what is more where ECS moves the traffic. A
rollback makes the last completed deployment PRIMARY again, so its tasks that still run are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .deployments import completed
from .model import CLEAN_UP, RECONCILE_SERVICE, Deployment, Revision, Service, ServiceDeployment, Task, now, short_id


def begin(service: Service, revision: Revision) -> ServiceDeployment:
    """Make `revision` the primary deployment. A rollout that is still under way is superseded."""
    if running := service.rollout:
        running.move("STOPPED", "Service deployment stopped because a newer service deployment was started.")
        running.stopped_at = running.finished_at
    sources = [deployment.revision for deployment in service.deployments]
    for deployment in service.deployments:
        deployment.status, deployment.halted = "ACTIVE", False
    revision.group = service.next_group
    service.deployments.insert(0, Deployment(revision=revision, created_at=now()))
    service.revisions.append(revision)
    record = ServiceDeployment(
        arn=f"{service.arn.replace(':service/', ':service-deployment/')}/{short_id()}",
        target=revision,
        sources=sources,
        configuration=dict(service.deployment_configuration),
        created_at=now(),
        circuit_breaker="MONITORING" if service.breaker["enable"] else "DISABLED",
    )
    service.service_deployments.append(record)
    service.steady = False
    return record


def advance(service: Service, tasks: Iterable[Task], healthy: Callable[[Task], bool]) -> None:
    """Move the states of the service on; `tasks` are those that are not STOPPED (stopping ones included)."""
    remaining = list(tasks)
    record = service.rollout
    if record and record.status == "PENDING":
        record.move("IN_PROGRESS")
        record.started_at = record.updated_at
    elif record and record.status == "ROLLBACK_REQUESTED":
        roll_back(service, record, "Service deployment rolled back because it was stopped by the user.")
    elif record and record.status == "STOP_REQUESTED":
        abort(service, record)

    used = {task.deployment for task in remaining}
    service.deployments = [d for d in service.deployments if d.status == "PRIMARY" or d.id in used]
    primary = service.primary
    alive = [task for task in remaining if task.active]
    record = service.rollout
    shifting = record is not None and service.shifts and record.stage != CLEAN_UP
    if len(service.deployments) == 1 and not shifting and completed(service, alive, healthy):
        complete(service, primary)
    else:
        service.steady = False


def complete(service: Service, primary: Deployment) -> None:
    if primary.rollout_state != "COMPLETED" and not primary.halted:
        primary.roll("COMPLETED", f"ECS deployment {primary.id} completed.")
        service.last_completed = primary
        service.say(f"(deployment {primary.id}) deployment completed.")
        if record := service.rollout:
            if record.circuit_breaker == "MONITORING":
                record.circuit_breaker = "MONITORING_COMPLETE"
            rolled_back = record.status == "ROLLBACK_IN_PROGRESS"
            record.move("ROLLBACK_SUCCESSFUL" if rolled_back else "SUCCESSFUL")
    if not service.steady:
        service.steady = True
        service.say("has reached a steady state.")


def task_failed(service: Service, deployment: Deployment) -> None:
    """Count a task that did not start, or ended or failed its health checks before it was ever healthy."""
    if deployment.settled or deployment.rollout_state != "IN_PROGRESS":
        return
    deployment.failed_tasks += 1
    record = service.rollout
    if record is None or deployment is not service.primary:
        return
    record.failure_count = deployment.failed_tasks
    if not service.breaker["enable"] or deployment.failed_tasks < service.breaker_threshold:
        return
    service.say(f"(deployment {deployment.id}) deployment failed: tasks failed to start.")
    record.circuit_breaker = "TRIGGERED"
    deployment.roll("FAILED", "ECS deployment circuit breaker: tasks failed to start.")
    if record.status == "ROLLBACK_IN_PROGRESS":
        record.move("ROLLBACK_FAILED", "Service deployment rollback failed: tasks failed to start.")
    elif service.breaker["rollback"] and service.last_completed:
        roll_back(service, record, "Service deployment rolled back because of deployment circuit breaker.")
    else:
        deployment.halted = True
        record.move("STOPPED", "Service deployment failed because of deployment circuit breaker.")
        record.stopped_at = record.finished_at


def heed_alarms(service: Service, ringing: set[str]) -> None:
    """Roll the rollout back when one of its alarms rings; `ringing` are the names of all that do."""
    record = service.rollout
    alarms = record.configuration.get("alarms") if record else None
    if record is None or not alarms or not alarms["enable"] or record.status not in ("PENDING", "IN_PROGRESS"):
        return
    mine = sorted(ringing & set(alarms["alarmNames"]))
    if record.status == "PENDING":
        record.deaf = bool(mine)
    elif mine and not record.deaf and alarms["rollback"]:
        roll_back(service, record, f"Service deployment rolled back because of alarms: {', '.join(mine)}.")


def roll_back(service: Service, record: ServiceDeployment, reason: str) -> None:
    """Give the service back to its last completed deployment."""
    target, failed = service.last_completed, service.primary
    if target is None or target is failed:
        record.move("ROLLBACK_FAILED", "No completed deployment to roll back to.")
        return
    if failed.rollout_state == "IN_PROGRESS":
        failed.roll("FAILED", f"ECS deployment {failed.id} stopped.")
    failed.status = "ACTIVE"
    service.deployments = [target, *(d for d in service.deployments if d is not target)]
    target.status, target.failed_tasks, target.settled, target.halted = "PRIMARY", 0, False, False
    cause = "circuit breaker" if record.circuit_breaker == "TRIGGERED" else "stopped"
    target.roll("IN_PROGRESS", f"ECS deployment {cause}: rolling back to deploymentId {target.id}.")
    record.enter(RECONCILE_SERVICE)
    record.rollback = {"reason": reason, "startedAt": now(), "serviceRevisionArn": target.revision.arn}
    record.move("ROLLBACK_IN_PROGRESS", reason)
    service.say(f"(deployment {failed.id}) rolling back to deployment {target.id}.")


def abort(service: Service, record: ServiceDeployment) -> None:
    """StopServiceDeployment with ABORT: everything stays as it is."""
    primary = service.primary
    primary.halted = True
    primary.roll("FAILED", f"ECS deployment {primary.id} stopped.")
    record.move("STOPPED", "Service deployment stopped by the user.")
    record.stopped_at = record.finished_at
