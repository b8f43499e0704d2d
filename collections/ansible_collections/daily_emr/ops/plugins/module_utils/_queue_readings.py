# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: everything a diagnosis of a queue reads. May change without notice.

"""Read the queue, its server, its workers and the database behind them, in chains that run at the same time."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._chains import Chains
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import gather
from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import read_tasks
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._health_metrics import window
from ansible_collections.daily_emr.ops.plugins.module_utils._health_readings import read_flags, read_stopped
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_load import read_load
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_options import SQS
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_program import QueueFailed, ask, place_of, read_group
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import read_capacity, read_service
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings, answered_at, iso

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

# Two looks that are nearer than this tell no rate, however fast the clock of the environment runs.
LEAST_LOOK_S = 2.0
# A minute at the pace of AWS, but never so short that a handful of jobs falls between two looks.
LEAST_WINDOW_S = 10.0
# A lock lasts for half a minute; who lost one is seen when the job is done at last.
LEAST_STALL_S = 20.0
# Newest failures that are grouped by their class.
CLASSIFIED = 1000
_VALUES = 5
_DAY_MINUTES = 1440
_FAILOVER = re.compile(r"fail(ed)?[ -]?over", re.IGNORECASE)
_CACHE_METRICS = {
    "engine_cpu_percent": ("EngineCPUUtilization", "Maximum"),
    "memory_percent": ("DatabaseMemoryUsagePercentage", "Maximum"),
    "evictions": ("Evictions", "Sum"),
    "connections": ("CurrConnections", "Maximum"),
    "replication_lag_s": ("ReplicationLag", "Maximum"),
}
_QUEUE_METRICS = {
    "oldest_s": ("ApproximateAgeOfOldestMessage", "Maximum"),
    "sent": ("NumberOfMessagesSent", "Sum"),
    "deleted": ("NumberOfMessagesDeleted", "Sum"),
}
_ATTRIBUTES = {
    "visible": "ApproximateNumberOfMessages",
    "in_flight": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}


def read_all(clients: Clients, queue: Json, flags: Json | None, thresholds: Json) -> Readings:
    """Every reading a diagnosis needs; what could not be read is named with its reason."""
    return _Look(clients, queue, flags, thresholds).everything()


class _Look(Chains):
    def __init__(self, clients: Clients, queue: Json, flags: Json | None, thresholds: Json) -> None:
        super().__init__()
        self.clients, self.queue, self.flags, self.thresholds = clients, queue, flags, thresholds

    def everything(self) -> Readings:
        jobs = self.messages if self.queue["kind"] == SQS else self.jobs
        chains = (jobs, self.workers, self.database, self.others)
        gather(**{chain.__name__: chain for chain in chains})
        return self.readings

    def jobs(self) -> None:
        clients, queue = self.clients, self.queue
        self.take(group=lambda: read_group(clients, queue["replication_group"]))
        if not self.known("group", "jobs", "group_metrics", "group_events", "reached"):
            return
        group = self.readings.values["group"]
        self.take(
            jobs=self.ask,
            group_events=lambda: read_group_events(clients, queue["replication_group"]),
            group_metrics=lambda: read_group_metrics(clients, group["members"]),
        )

    def ask(self) -> Json:
        """The jobs; and, whatever comes of it, how the server was reached."""
        try:
            found = read_jobs(self.clients, self.queue, self.thresholds, self.readings.values["group"])
        except QueueFailed as error:
            self.readings.values["reached"] = {"word": error.word}
            raise
        except OpsError as error:
            self.readings.unread["reached"] = error.sentence
            raise
        self.readings.values["reached"] = {"word": ""}
        return found

    def messages(self) -> None:
        clients, queue = self.clients, self.queue
        between_s = max(clients.environment.seconds(self.thresholds["look_s"]), LEAST_LOOK_S)
        self.take(
            messages=lambda: read_messages(clients, queue["name"]),
            dead_letters=lambda: read_messages(clients, queue["dead_letters"]),
            message_metrics=lambda: read_message_metrics(clients, queue["name"]),
            moves=lambda: read_moves(clients, queue["dead_letters"]),
            between_s=lambda: between_s,
        )

    def workers(self) -> None:
        where = (self.clients, self.queue["worker_cluster"], self.queue["worker_service"])
        self.take(
            service=lambda: read_service(*where),
            tasks=lambda: read_tasks(*where),
            stopped=lambda: read_stopped(*where),
            capacity=lambda: read_capacity(*where),
        )

    def database(self) -> None:
        read_load(self.clients, self.queue, self.take, self.readings.values)

    def others(self) -> None:
        if not self.queue["circuit_flag"]:
            self.readings.values["circuit"] = {"on": False}
        elif not self.flags:
            self.readings.unread["circuit"] = "nobody said where the flags are"
        else:
            self.take(circuit=lambda: read_circuit(self.clients, self.flags or {}, self.queue["circuit_flag"]))


def read_jobs(clients: Clients, queue: Json, thresholds: Json, group: Json) -> Json:
    """Two looks at a BullMQ queue, and what the failures and the workers are."""
    seconds = clients.environment.seconds
    between_s = max(seconds(thresholds["look_s"]), LEAST_LOOK_S)
    window_s = max(seconds(60), LEAST_WINDOW_S)
    found = ask(
        clients,
        queue,
        place_of(clients, queue, group),
        "look",
        between_ms=round(between_s * 1000),
        window_ms=round(window_s * 1000),
        stall_window_ms=round(max(seconds(120), LEAST_STALL_S) * 1000),
        classify=CLASSIFIED,
        limit_s=between_s + 20.0,
    )
    return {**found, "window_s": window_s}


def read_group_events(clients: Clients, group: str) -> Json:
    """When ElastiCache said that the group failed over, the oldest first, in the last day; and when it was asked."""
    pages = clients.read("elasticache").get_paginator("describe_events")
    found: list[str] = []
    asked = datetime.now(UTC)
    for page in pages.paginate(SourceIdentifier=group, SourceType="replication-group", Duration=_DAY_MINUTES):
        asked = answered_at(page)
        found += [str(iso(event["Date"])) for event in page["Events"] if _FAILOVER.search(event.get("Message", ""))]
    return {"failovers": sorted(found), "read_at": iso(asked)}


def read_group_metrics(clients: Clients, members: list[str]) -> dict[str, float | None]:
    """The highest value of the last minutes over all nodes, None where there is none."""
    queries = {
        f"{name}_{place}": ("AWS/ElastiCache", metric, statistic, {"CacheClusterId": member})
        for place, member in enumerate(members)
        for name, (metric, statistic) in _CACHE_METRICS.items()
    }
    values, _span_s = _metrics(clients, queries)
    return {
        name: max(
            (value for key, found in values.items() if key.startswith(f"{name}_") for value in found), default=None
        )
        for name in _CACHE_METRICS
    }


def read_messages(clients: Clients, name: str) -> Json:
    """How many messages a queue of SQS has, by state, and where it sends what fails."""
    sqs = clients.read("sqs")
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    counts = {ours: int(found.get(theirs, 0)) for ours, theirs in _ATTRIBUTES.items()}
    redrives_to = json.loads(found.get("RedrivePolicy", "{}")).get("deadLetterTargetArn")
    return {**counts, "arn": found["QueueArn"], "url": url, "redrives_to": redrives_to}


def read_message_metrics(clients: Clients, name: str) -> Json:
    """Age of the oldest message, and messages sent and done a second; None where there is no value."""
    dimensions = {"QueueName": name}
    queries = {ours: ("AWS/SQS", metric, statistic, dimensions) for ours, (metric, statistic) in _QUEUE_METRICS.items()}
    values, span_s = _metrics(clients, queries)
    return {
        "oldest_s": max(values["oldest_s"]) if values.get("oldest_s") else None,
        "arrivals": round(sum(values["sent"]) / span_s, 2) if values.get("sent") else None,
        "completions": round(sum(values["deleted"]) / span_s, 2) if values.get("deleted") else None,
    }


def read_moves(clients: Clients, dead_letters: str) -> list[Json]:
    """The message move tasks of a dead-letter queue, the newest first."""
    sqs = clients.read("sqs")
    url = sqs.get_queue_url(QueueName=dead_letters)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    found = sqs.list_message_move_tasks(SourceArn=arn, MaxResults=10).get("Results", [])
    return [
        {
            "status": item.get("Status"),
            "handle": item.get("TaskHandle"),
            "rate": item.get("MaxNumberOfMessagesPerSecond"),
            "moved": item.get("ApproximateNumberOfMessagesMoved", 0),
            "to_move": item.get("ApproximateNumberOfMessagesToMove"),
        }
        for item in found
    ]


def read_circuit(clients: Clients, settings: Json, key: str) -> Json:
    """Whether the flag is on. Raises OpsError when there is no such flag."""
    for flag in read_flags(clients, settings):
        if flag["key"] == key:
            return {"on": bool(flag["on"])}
    raise OpsError(f"LaunchDarkly has no flag {key}")


def _metrics(
    clients: Clients, queries: dict[str, tuple[str, str, str, dict[str, str]]]
) -> tuple[dict[str, list[float]], float]:
    """The newest values of each metric, and how many seconds they cover."""
    period, shortest = window(clients.environment.time_factor)
    back = max(_VALUES * timedelta(seconds=period), shortest)
    asked = [
        {
            "Id": name,
            "MetricStat": {
                "Metric": {
                    "Namespace": namespace,
                    "MetricName": metric,
                    "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
                },
                "Period": period,
                "Stat": statistic,
            },
        }
        for name, (namespace, metric, statistic, dimensions) in queries.items()
    ]
    if not asked:
        return {}, back.total_seconds()
    now = datetime.now(UTC)
    answer = clients.read("cloudwatch").get_metric_data(
        MetricDataQueries=asked, StartTime=now - back, EndTime=now + timedelta(seconds=period)
    )
    return {item["Id"]: item["Values"] for item in answer["MetricDataResults"]}, back.total_seconds()
