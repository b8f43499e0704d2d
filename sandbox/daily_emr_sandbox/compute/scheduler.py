"""The ECS service scheduler: a thread that makes real processes follow the state of the services.

Each round, under the mutex: look at the processes, move tasks and rollouts on, start and stop what
`deployments.plan` says. Only this thread starts processes: PR_SET_PDEATHSIG follows the thread that forked.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..network import targets
from ..usage import Usage
from . import ecs_api, rollout, shift
from .awslogs import LogDriver, check_logging
from .deployments import plan, throttle_s, zone_for
from .images import StartError, resolve_image, resolve_secrets
from .model import Deployment, Service, Task, TaskView, now
from .processes import Processes

if TYPE_CHECKING:
    from ..aws.server import AwsServer
    from ..settings import Settings

logger = logging.getLogger(__name__)

ROUND_S = 0.1
DEPROVISIONING_S = 10.0
"""Seconds on AWS in which the network interface of an ended task goes; it has a stop code, and no stoppedAt yet."""
FARGATE_START_S = 40.0
"""Seconds on AWS from RunTask to a started container: network interface, pull, start."""
STOPPED_VISIBLE_S = 3600.0
"""Stopped tasks are visible for an hour. Not divided by the time factor: evidence stays as long as on AWS."""
FIRST_TASK_HOST = 20
LAST_TASK_HOST = 250


class EcsScheduler:
    """Runs the tasks of every ECS service of one sandbox.

    Args:
        settings: network, zones, time factor and log folder.
        aws: the control plane (mutex, backends).
        command: what a task runs after the interpreter, `-m module` or a file, unless `commands` has its family.
    """

    def __init__(
        self, settings: Settings, aws: AwsServer, *, command: tuple[str, ...] = ("-m", "daily_emr_sandbox.app")
    ) -> None:
        self.settings = settings
        self.aws = aws
        self.environment_of_zone: Callable[[str], Mapping[str, str]] = lambda _zone: {}
        """Set by the world: variables that depend on the zone, such as DATABASE_PATH."""
        self.environment_of_family: dict[str, Callable[[], Mapping[str, str]]] = {}
        """Set by the world: more variables of the tasks of a family."""
        self.commands: dict[str, tuple[str, ...]] = {}
        """Set by the world: what tasks of a family run instead of `command`, with the program."""
        self._command = self.program(*command)
        self._processes = Processes(settings.logs_dir)
        self.usage = Usage(settings, aws)
        self._logs = LogDriver(aws, settings.logs_dir)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ecs-scheduler", daemon=True)
        self._next_host = FIRST_TASK_HOST
        ecs_api.install()

    @staticmethod
    def program(*arguments: str) -> tuple[str, ...]:
        """Command of a program in Python."""
        return (sys.executable, "-P", *arguments)

    def start(self) -> None:
        self._logs.start()
        self._thread.start()

    def stop(self) -> None:
        """End the scheduler and every task process; returns when they are gone."""
        self._logs.stop()
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def tasks(self) -> list[TaskView]:
        """Tasks that are not STOPPED, in the order of their start."""
        with self.aws.mutex:
            return [TaskView.of(task) for task in self._all_tasks() if task.last_status != "STOPPED"]

    def kill(self, task_id: str, signal: int) -> None:
        """Send a signal to the process of a task.

        Raises:
            LookupError: no running process of that task.
        """
        self._processes.send(task_id, signal)

    # One round.

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self.aws.mutex:
                    self._round()
            except Exception:
                logger.exception("a round of the ECS scheduler failed; the next one tries again")
            self._stop.wait(ROUND_S)
        # Here, and not in stop(): what this thread started gets SIGKILL when it ends.
        self._processes.end_all()

    def _all_tasks(self) -> Iterator[Task]:
        for cluster in self.aws.backend("ecs").tasks.values():
            yield from (task for task in cluster.values() if isinstance(task, Task))

    def _round(self) -> None:
        backend = self.aws.backend("ecs")
        for service in list(backend.services.values()):
            if isinstance(service, Service) and service.status != "INACTIVE":
                book = backend.tasks.setdefault(service.cluster_name, {})
                tasks = [task for task in book.values() if task.service == service.name]
                self._serve(service, book, tasks)
                self._forget(book, tasks)
        self.usage.sample(backend)

    def _serve(self, service: Service, book: dict[str, Task], tasks: list[Task]) -> None:
        for task in tasks:
            if task.last_status != "STOPPED":
                self._move(service, task)
        remaining = [task for task in tasks if task.last_status != "STOPPED"]
        healthy = self._healthy
        if service.rollout:
            rollout.heed_alarms(service, self._ringing())
        rollout.advance(service, remaining, healthy)
        shift.advance(service, remaining, healthy, self.aws.backend("elbv2"), self.settings.time_factor)
        if service.status == "DRAINING":
            if not remaining:
                service.status = "INACTIVE"
            service.desired_count = 0
        alive = [task for task in remaining if task.active]
        step = plan(service, alive, healthy)
        for task, reason in step.stop:
            task.stop("ServiceSchedulerInitiated", reason)
        if stopped := [task for task, _ in step.stop]:
            names = " ".join(f"(task {task.id})" for task in stopped)
            service.say(f"has stopped {len(stopped)} running tasks: {names}.")
        primary = service.primary
        if step.start and time.monotonic() >= primary.not_before:
            started = [self._start(service, primary, book) for _ in range(step.start)]
            names = " ".join(f"(task {task.id})" for task in started)
            service.say(f"has started {len(started)} tasks: {names}.")

    def _forget(self, book: dict[str, Task], tasks: list[Task]) -> None:
        limit = time.monotonic() - STOPPED_VISIBLE_S
        for task in tasks:
            if task.last_status == "STOPPED" and task.stopped_monotonic < limit:
                del book[task.arn]

    # Life of one task.

    def _start(self, service: Service, deployment: Deployment, book: dict[str, Task]) -> Task:
        definition = self.aws.backend("ecs").describe_task_definition(deployment.task_definition)
        subnets = self._subnets(service)
        alive = [task for task in book.values() if task.service == service.name and task.active]
        zone = zone_for(alive, list(subnets))
        delay = 0.0 if deployment.backdated else FARGATE_START_S / self.settings.time_factor
        task_id = uuid.uuid4().hex
        arn = f"{service.cluster_arn.replace(':cluster/', ':task/')}/{task_id}"
        container = definition.container_definitions[0]
        task = Task(
            id=task_id,
            arn=arn,
            cluster_arn=service.cluster_arn,
            service=service.name,
            deployment=deployment.id,
            revision_arn=deployment.revision.arn,
            task_definition_arn=definition.arn,
            family=definition.family,
            container=container,
            image_digest=None,
            zone=zone,
            subnet=subnets[zone],
            address=self._free_address(),
            cpu=definition.cpu or "256",
            memory=definition.memory or "512",
            created_at=deployment.created_at if deployment.backdated else now(),
            starts_at=time.monotonic() + delay,
            groups=[deployment.group] if deployment.group else service.target_groups,
            tags=list(service.tags) if service.options.get("propagateTags") == "SERVICE" else [],
            container_arn=f"{arn.replace(':task/', ':container/')}/{uuid.uuid4()}",
        )
        book[arn] = task
        return task

    def _move(self, service: Service, task: Task) -> None:
        if task.last_status == "DEPROVISIONING":
            if time.monotonic() >= task.deprovisioned_at:
                task.last_status, task.stopped_at, task.stopped_monotonic = "STOPPED", now(), time.monotonic()
            return
        code = self._processes.exit_code(task.id) if task.pid else None
        if task.pid and code is not None:
            self._ended(service, task, code)
        elif not task.active:
            self._end(service, task)
        elif task.pid is None:
            left = task.starts_at - time.monotonic()
            if left <= 0:
                self._launch(service, task)
            elif left < FARGATE_START_S / self.settings.time_factor / 2:
                task.last_status = "PENDING"
        else:
            self._judge(service, task)

    def _launch(self, service: Service, task: Task) -> None:
        try:
            task.image_digest = resolve_image(self.aws, task.container["image"])
            values = resolve_secrets(self.aws, task.container)
            check_logging(self.aws, task.container)
        except StartError as error:
            task.stop("TaskFailedToStart", str(error))
            task.container_reason = str(error).partition(":")[0]
            self._stopped(task, None)
            self._failed(service, task)
            return
        environment = {entry["name"]: entry["value"] for entry in task.container.get("environment", [])} | values
        environment |= self.environment_of_zone(task.zone)
        environment |= self.environment_of_family.get(task.family, dict)()
        environment |= {
            "TASK_ID": task.id,
            "TASK_ADDRESS": task.address,
            "TASK_PORT": str(self._port(task)),
            "TASK_ZONE": task.zone,
            "TASK_REVISION": task.task_definition_arn.rsplit(":", 1)[1],
            "TASK_IMAGE_DIGEST": task.image_digest,
        }
        task.pid = self._processes.start(task.id, self.commands.get(task.family, self._command), environment)
        self._logs.follow(task.id, task.container)
        deployment = self._deployment(service, task)
        backdated = deployment and deployment.backdated and not service.steady
        task.started_at = deployment.updated_at if deployment and backdated else now()
        task.running_since, task.last_status = time.monotonic(), "RUNNING"
        for group in self._groups(task):
            targets.register(group, task.address, self._port(task), task.zone)
        if task.groups:
            service.say(f"registered 1 targets in (target-group {task.groups[0]})")

    def _judge(self, service: Service, task: Task) -> None:
        """Look at a running task: healthy, still coming up, or to be replaced."""
        deployment = self._deployment(service, task)
        if self._healthy(task):
            task.was_healthy = True
            if deployment and not deployment.settled:
                deployment.settled, deployment.failed_tasks, deployment.backdated = True, 0, False
            return
        grace = service.grace_period_s / self.settings.time_factor
        if task.condemned or (not task.was_healthy and time.monotonic() - task.running_since < grace):
            return
        sick = [group for group in self._groups(task) if targets.health_of(group, task.address).state == "unhealthy"]
        if sick:
            task.condemned = f"Task failed ELB health checks in (target-group {sick[0].arn})"
            service.say(
                f"(port {self._port(task)}) is unhealthy in (target-group {sick[0].arn}) due to "
                f"(reason {targets.health_of(sick[0], task.address).description})."
            )
            self._failed(service, task)

    def _end(self, service: Service, task: Task) -> None:
        """One step of a wanted stop: leave the target groups, drain, SIGTERM, after stopTimeout SIGKILL."""
        if task.pid is None:
            self._stopped(task, None)
            return
        groups = self._groups(task)
        for group in groups:
            targets.deregister(group, task.address)
        if any(targets.health_of(group, task.address).state == "draining" for group in groups):
            task.last_status = "DEACTIVATING"
        elif not task.terminated:
            task.last_status, task.terminated = "STOPPING", True
            timeout = int(task.container.get("stopTimeout") or 30) / self.settings.time_factor
            task.kill_at = time.monotonic() + max(timeout, 1.0)
            self._processes.terminate(task.id)
        elif time.monotonic() > task.kill_at:
            self._processes.kill(task.id)

    def _ended(self, service: Service, task: Task, code: int) -> None:
        """The process is gone, by itself or because it was told to."""
        surprise = task.active
        task.stop("EssentialContainerExited", "Essential container in task exited")
        for group in self._groups(task):
            targets.deregister(group, task.address)
        self._stopped(task, code)
        if surprise:
            service.say(f"deregistered 1 targets; (task {task.id}) stopped: essential container exited with {code}.")
            self._failed(service, task)

    def _stopped(self, task: Task, code: int | None) -> None:
        self._processes.forget(task.id)
        self._logs.ended(task.id)
        task.last_status, task.exit_code, task.pid = "DEPROVISIONING", code, None
        task.deprovisioned_at = time.monotonic() + DEPROVISIONING_S / self.settings.time_factor

    def _failed(self, service: Service, task: Task) -> None:
        deployment = self._deployment(service, task)
        if deployment and not task.was_healthy:
            rollout.task_failed(service, deployment)
            deployment.not_before = time.monotonic() + throttle_s(deployment) / self.settings.time_factor

    # Small questions.

    def _healthy(self, task: Task) -> bool:
        groups = self._groups(task)
        if task.last_status != "RUNNING" or task.pid is None:
            return False
        return all(targets.health_of(group, task.address).state == "healthy" for group in groups)

    def _deployment(self, service: Service, task: Task) -> Deployment | None:
        return next((found for found in service.deployments if found.id == task.deployment), None)

    def _groups(self, task: Task) -> list[Any]:
        known = self.aws.backend("elbv2").target_groups
        return [known[arn] for arn in task.groups if arn in known]

    def _ringing(self) -> set[str]:
        """Names of the alarms that ring."""
        return {alarm.name for alarm in self.aws.backend("cloudwatch").get_alarms_by_state_value("ALARM")}

    def _port(self, task: Task) -> int:
        """Port that it serves; 0 for a worker, which serves none."""
        ports = task.container.get("portMappings") or [{"containerPort": 0}]
        return int(ports[0]["containerPort"])

    def _subnets(self, service: Service) -> dict[str, str]:
        """One subnet of the service for each zone, in the order of its network configuration."""
        wanted = service.network_configuration["awsvpcConfiguration"]["subnets"]
        found = {subnet.id: subnet.availability_zone for subnet in self.aws.backend("ec2").describe_subnets(wanted)}
        return {found[subnet]: subnet for subnet in wanted}

    def _free_address(self) -> str:
        taken = {task.address for task in self._all_tasks() if task.last_status != "STOPPED"}
        for _ in range(LAST_TASK_HOST - FIRST_TASK_HOST + 1):
            address: str = self.settings.address(self._next_host)
            self._next_host = FIRST_TASK_HOST + (self._next_host + 1 - FIRST_TASK_HOST) % (
                LAST_TASK_HOST - FIRST_TASK_HOST + 1
            )
            if address not in taken:
                return address
        raise RuntimeError(f"no free address for a task in {self.settings.network}.0/24: scale the services in")
