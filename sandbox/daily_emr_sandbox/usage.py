"""CPU, memory and connections of the real processes, as the metrics of AWS/ECS, AWS/RDS and AWS/ElastiCache."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import psutil

from .compute.model import Service, Task
from .network.metrics import Datum, put

if TYPE_CHECKING:
    from .aws.server import AwsServer
    from .settings import Settings

SAMPLE_S = 2.0
SECOND_SAMPLE_S = 1.0
"""A percentage needs two looks: the second at a new process comes soon."""
MEBIBYTE = 1024 * 1024
CLIENT_BACKEND = re.compile(r"postgres: .*\d+\.\d+\.\d+\.\d+\(\d+\)(?! streaming)")
"""Title of a process that serves a client; a walsender serves the standby and is no connection of RDS's metric."""


class Usage:
    """Samples every few seconds; one value for each task, so that Average, Minimum and Maximum are right."""

    def __init__(self, settings: Settings, aws: AwsServer) -> None:
        self.database: Callable[[], int | None] = lambda: None
        """Set by the world: process of the primary."""
        self.cache: Callable[[], int | None] = lambda: None
        """Set by the world: process of the primary of the session cache."""
        self.reports_tasks = False
        """Whether the last sample has numbers of a task."""
        self._aws = aws
        self._database_name = settings.database_name
        self._cache_node = f"{settings.cache_name}-001"
        self._due = 0.0
        self._known: dict[int, psutil.Process] = {}
        self._seen: dict[int, psutil.Process] = {}

    def sample(self, ecs: Any) -> None:
        """Put a sample when one is due; call with the mutex held."""
        if time.monotonic() < self._due:
            return
        self._seen = {}
        of_tasks = list(self._of_tasks(ecs))
        put(self._aws, "AWS/ECS", of_tasks)
        self.reports_tasks = bool(of_tasks)
        put(self._aws, "AWS/RDS", self._of_database())
        put(self._aws, "AWS/ElastiCache", self._of_cache())
        self._due = time.monotonic() + (SECOND_SAMPLE_S if self._seen.keys() - self._known else SAMPLE_S)
        self._known = self._seen

    def _of_tasks(self, ecs: Any) -> Iterable[Datum]:
        for service in ecs.services.values():
            if not isinstance(service, Service):
                continue
            dimensions = {"ClusterName": service.cluster_name, "ServiceName": service.name}
            for task in ecs.tasks.get(service.cluster_name, {}).values():
                if task.service == service.name and task.pid and task.last_status == "RUNNING":
                    yield from self._of_task(task, dimensions)

    def _of_task(self, task: Task, dimensions: dict[str, str]) -> Iterable[Datum]:
        process = _process(task.pid)
        busy = self._busy([process] if process else [])
        if process is None or busy is None:
            return
        try:
            resident = process.memory_info().rss / MEBIBYTE
        except psutil.Error:
            return
        cpu, memory = busy / (int(task.cpu) / 1024), 100.0 * resident / int(task.memory)
        yield Datum("CPUUtilization", dimensions, [min(100.0, cpu)], unit="Percent")
        yield Datum("MemoryUtilization", dimensions, [memory], unit="Percent")

    def _of_database(self) -> Iterable[Datum]:
        postmaster = _process(self.database())
        if postmaster is None:
            return
        dimensions = {"DBInstanceIdentifier": self._database_name}
        try:
            children = postmaster.children()
        except psutil.Error:
            return
        serving = sum(1 for child in children if CLIENT_BACKEND.match(_title(child)))
        yield Datum("DatabaseConnections", dimensions, [float(serving)])
        if (busy := self._busy([postmaster, *children])) is not None:
            yield Datum("CPUUtilization", dimensions, [min(100.0, busy)], unit="Percent")

    def _of_cache(self) -> Iterable[Datum]:
        process = _process(self.cache())
        if process is not None and (busy := self._busy([process])) is not None:
            yield Datum(
                "EngineCPUUtilization", {"CacheClusterId": self._cache_node}, [min(100.0, busy)], unit="Percent"
            )

    def _busy(self, processes: list[psutil.Process]) -> float | None:
        """Percent of one core since the last sample; None at the first one, and where all have ended."""
        values = []
        for process in processes:
            # cpu_percent measures from call to call, on the same object.
            known = self._known.get(process.pid)
            counted = self._seen[process.pid] = known if known == process else process
            try:
                value = counted.cpu_percent()
            except psutil.Error:
                continue
            if known == process:
                values.append(value)
        return sum(values) if values else None


def _process(pid: int | None) -> psutil.Process | None:
    try:
        return psutil.Process(pid) if pid else None
    except psutil.Error:
        return None


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
