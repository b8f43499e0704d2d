"""Metrics of AWS/ElastiCache for the nodes of the queues, and of AWS/SQS for the exports."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import psutil
import valkey

from ..aws.overlays.sqs import DELETED, SENT
from ..loop import Rounds
from ..network.metrics import Datum, put
from ..usage import SAMPLE_S

if TYPE_CHECKING:
    from ..aws.server import AwsServer
    from ..settings import Settings
    from ..valkey import Node
    from .store import QueueStore


class QueueMetrics(Rounds):
    """Looks every few seconds. What cannot be asked is not reported, as on AWS."""

    def __init__(self, settings: Settings, aws: AwsServer, store: QueueStore) -> None:
        super().__init__("queue-metrics", SAMPLE_S)
        self._settings, self._aws, self._store = settings, aws, store
        self._processes: dict[int, psutil.Process] = {}
        self._counted: Counter[tuple[str, str]] = Counter()
        """Messages sent and deleted that are in the metrics already."""

    def _round(self) -> None:
        nodes = [
            datum
            for number, node in enumerate(self._store.nodes, 1)
            for datum in self._of_node(node, f"{self._settings.queue_group}-{number:03}")
        ]
        with self._aws.mutex:
            put(self._aws, "AWS/ElastiCache", nodes)
            put(self._aws, "AWS/SQS", self._of_queues())

    def _of_node(self, node: Node, name: str) -> list[Datum]:
        try:
            info = self._store.info(node)
        except (valkey.ValkeyError, OSError):
            return []
        limit = int(info["maxmemory"]) or 1
        values: dict[str, tuple[float, str]] = {
            "DatabaseMemoryUsagePercentage": (min(100.0, 100.0 * int(info["used_memory"]) / limit), "Percent"),
            "BytesUsedForCache": (float(info["used_memory"]), "Bytes"),
            "CurrConnections": (float(info["connected_clients"]), "Count"),
            "Evictions": (float(info["evicted_keys"]), "Count"),
            "ReplicationLag": (_lag(info), "Seconds"),
        }
        if (busy := self._busy(node.pid)) is not None:
            values["EngineCPUUtilization"] = (min(100.0, busy), "Percent")
        dimensions = {"CacheClusterId": name}
        return [Datum(metric, dimensions, [value], unit=unit) for metric, (value, unit) in values.items()]

    def _of_queues(self) -> list[Datum]:
        data: list[Datum] = []
        now_ms = time.time() * 1000
        for queue in self._aws.backend("sqs").queues.values():
            waiting = queue.messages
            oldest_s = max(((now_ms - int(message.sent_timestamp)) / 1000 for message in waiting), default=0.0)
            values: dict[str, tuple[float, str]] = {
                "ApproximateNumberOfMessagesVisible": (float(len(waiting)), "Count"),
                "ApproximateNumberOfMessagesNotVisible": (
                    float(queue.approximate_number_of_messages_not_visible),
                    "Count",
                ),
                "ApproximateAgeOfOldestMessage": (oldest_s, "Seconds"),
            }
            for metric in (SENT, DELETED):
                total = self._aws.sqs_counts[queue.name, metric]
                values[metric] = (float(total - self._counted[queue.name, metric]), "Count")
                self._counted[queue.name, metric] = total
            dimensions = {"QueueName": queue.name}
            data += [Datum(metric, dimensions, [value], unit=unit) for metric, (value, unit) in values.items()]
        return data

    def _busy(self, pid: int | None) -> float | None:
        """Percent of one core since the last look; None at the first."""
        if pid is None:
            return None
        known = self._processes.get(pid)
        try:
            process = self._processes.setdefault(pid, psutil.Process(pid))
            busy = process.cpu_percent()
        except psutil.Error:
            return None
        return busy if known is not None else None


def _lag(info: dict[str, Any]) -> float:
    """Seconds since a replica last heard of its primary; 0 for a primary."""
    return float(info.get("master_last_io_seconds_ago", 0)) if info.get("role") == "slave" else 0.0
