"""CPU and memory of the real task processes as AWS/ECS metrics of their service."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psutil

from ..network.metrics import Datum, put
from .model import Service, Task

if TYPE_CHECKING:
    from ..aws.server import AwsServer
    from ..settings import Settings

SAMPLE_S = 5.0
MEBIBYTE = 1024 * 1024


class Usage:
    """Samples every few seconds; one value for each task, so that Average, Minimum and Maximum are right."""

    def __init__(self, settings: Settings, aws: AwsServer) -> None:
        self._settings = settings
        self._aws = aws
        self._due = 0.0
        self._known: dict[int, psutil.Process] = {}

    def sample(self, backend: Any) -> None:
        """Put a sample when one is due; call with the mutex held."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + SAMPLE_S
        seen: dict[int, psutil.Process] = {}
        data: list[Datum] = []
        for service in backend.services.values():
            if not isinstance(service, Service):
                continue
            dimensions = {"ClusterName": service.cluster_name, "ServiceName": service.name}
            for task in backend.tasks.get(service.cluster_name, {}).values():
                if task.service == service.name and task.pid and task.last_status == "RUNNING":
                    data += self._measure(task, dimensions, seen)
        self._known = seen
        put(self._aws, "AWS/ECS", data)

    def _measure(self, task: Task, dimensions: dict[str, str], seen: dict[int, psutil.Process]) -> list[Datum]:
        assert task.pid is not None  # noqa: S101 - narrows the type; the caller selected it
        try:
            first = task.pid not in self._known
            process = seen[task.pid] = self._known.get(task.pid) or psutil.Process(task.pid)
            busy, resident = process.cpu_percent(), process.memory_info().rss
        except psutil.Error:
            return []
        if first:  # cpu_percent measures from call to call
            return []
        share = int(task.cpu) / 1024
        return [
            Datum("CPUUtilization", dimensions, [min(100.0, busy / share)], unit="Percent"),
            Datum("MemoryUtilization", dimensions, [100.0 * resident / MEBIBYTE / int(task.memory)], unit="Percent"),
        ]
