"""The queues of a whole sandbox: what is usual, and that each fault shows, loses no job and goes away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import valkey
from daily_emr_sandbox.client import Sandbox, SandboxError
from daily_emr_sandbox.loop import wait_until
from daily_emr_sandbox.queues.store import WORKER

from .conftest import TIME_FACTOR

PREFIX = "daily-emr-sandbox"


@pytest.fixture(scope="module")
def queues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    box = Sandbox(tmp_path_factory.mktemp("queues") / "state")
    box.up(time_factor=TIME_FACTOR, parts=("queues",))
    try:
        yield box
    finally:
        box.down()


class Seen:
    """The queues as their workers see them: a runbook may ask less, and write nothing but jobs."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def store(self) -> valkey.Valkey:
        place = self.sandbox.description["queues"]
        secret = self.sandbox.boto("secretsmanager").get_secret_value(SecretId="daily-emr/sandbox/QUEUE_PASSWORD")
        return valkey.Valkey(place["host"], place["port"], username=WORKER, password=secret["SecretString"])

    def length(self, state: str, queue: str = "notifications") -> int:
        with self.store() as session:
            key = f"bull:{queue}:{state}"
            return int(session.llen(key) if state in {"wait", "paused", "active"} else session.zcard(key))

    def meta(self, queue: str = "notifications") -> dict[bytes, bytes]:
        with self.store() as session:
            found: dict[bytes, bytes] = session.hgetall(f"bull:{queue}:meta")
        return found

    def classes(self, queue: str = "notifications") -> set[str]:
        """Classes of the errors that workers wrote into their log lately."""
        start = int((datetime.now(UTC) - timedelta(seconds=30)).timestamp() * 1000)
        group = f"/ecs/{PREFIX}-{queue}-worker"
        found = self.sandbox.boto("logs").filter_log_events(logGroupName=group, startTime=start)
        lines = [json.loads(event["message"]) for event in found["events"]]
        return {line["class"] for line in lines if "class" in line}

    def service(self, queue: str = "notifications") -> dict[str, Any]:
        name = f"{PREFIX}-{queue}-worker"
        found: dict[str, Any] = self.sandbox.boto("ecs").describe_services(cluster=PREFIX, services=[name])
        return found["services"][0]  # type: ignore[no-any-return]

    def messages(self, name: str) -> int:
        sqs = self.sandbox.boto("sqs")
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(asked["Attributes"]["ApproximateNumberOfMessages"])

    def metric(self, namespace: str, name: str, **dimensions: str) -> float | None:
        """The newest value."""
        now = datetime.now(UTC)
        points = self.sandbox.boto("cloudwatch").get_metric_statistics(
            Namespace=namespace, MetricName=name, StartTime=now - timedelta(minutes=1), EndTime=now, Period=1,
            Statistics=["Maximum"], Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        )["Datapoints"]  # fmt: skip
        newest = max(points, key=lambda point: point["Timestamp"], default=None)
        return None if newest is None else float(newest["Maximum"])


@pytest.fixture
def seen(queues: Sandbox) -> Iterator[Seen]:
    yield Seen(queues)
    if queues.status()["faults"]:
        queues.mend()


def test_jobs_of_both_layouts_and_exports_are_done(seen: Seen) -> None:
    assert seen.meta("notifications")[b"version"].startswith(b"bullmq:5.")
    assert seen.meta("claims")[b"version"].startswith(b"bullmq:6.")

    def all_done() -> bool:
        return all(counts["done"] > 1 for counts in seen.sandbox.queue_ledger().values())

    wait_until(all_done, "jobs of every queue are done")
    for counts in seen.sandbox.queue_ledger().values():
        assert (counts["lost"], counts["twice"], counts["failed"]) == (0, 0, 0)


def test_metrics_tell_of_the_nodes_and_of_the_exports(seen: Seen) -> None:
    node = {"CacheClusterId": f"{PREFIX}-queues-001"}
    for name in ("EngineCPUUtilization", "DatabaseMemoryUsagePercentage"):
        value = seen.metric("AWS/ElastiCache", name, **node)
        assert value is not None
        assert 0 <= value < 90
    for queue in ("exports", "exports-dead-letters"):
        name = "ApproximateNumberOfMessagesVisible"
        assert seen.metric("AWS/SQS", name, QueueName=f"{PREFIX}-{queue}") is not None
    for name in ("NumberOfMessagesSent", "NumberOfMessagesDeleted"):
        wait_until(partial(counts_exports, seen, name), f"{name} counts")


def counts_exports(seen: Seen, name: str) -> bool:
    return bool(seen.metric("AWS/SQS", name, QueueName=f"{PREFIX}-exports"))


def test_workers_leave_no_trace_in_what_witnesses_a_run(seen: Seen) -> None:
    mark, before = seen.sandbox.mark(), len(seen.sandbox.queue_writes())
    done = seen.sandbox.queue_ledger()["exports"]["done"]

    wait_until(lambda: seen.sandbox.queue_ledger()["exports"]["done"] > done, "an export is made")

    assert seen.sandbox.calls(mark) == []
    assert seen.sandbox.queue_writes(before) == []
    trail = seen.sandbox.boto("cloudtrail").lookup_events()["Events"]
    assert not {event["EventName"] for event in trail} & {"ReceiveMessage", "DeleteMessage", "SendMessage"}


def test_a_fault_of_a_part_that_is_not_there_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="queue_paused needs a sandbox with queues"):
        sandbox.break_("queue_paused")


# What whole runs do not show of the faults, or show only through the eyes of the runbook.


def paused(seen: Seen) -> None:
    assert b"paused" in seen.meta()
    assert seen.length("wait") == 0
    wait_until(lambda: seen.length("active") == 0, "what was begun is done")
    assert seen.length("paused") >= 10, "where BullMQ 5 hides the backlog"


def throttled(seen: Seen) -> None:
    assert (seen.meta()[b"max"], seen.meta()[b"duration"]) == (b"1", b"2000")
    assert seen.length("wait") >= 10


def workers_dead(seen: Seen) -> None:
    assert seen.service()["runningCount"] == 2, "for ECS nothing is wrong"
    with seen.store() as session:
        names = [client["name"] for client in session.client_list()]
    assert not [name for name in names if name.startswith("bull:bm90aWZpY2F0aW9ucw==")]
    assert seen.length("wait") >= 10


def failed_over(seen: Seen) -> None:
    wait_until(lambda: "READONLY" in seen.classes(), "workers log it")
    done = seen.sandbox.queue_ledger()["notifications"]["done"]
    wait_until(lambda: seen.length("wait") > 12, "more jobs arrive")
    assert seen.sandbox.queue_ledger()["notifications"]["done"] == done
    group = f"{PREFIX}-queues"
    events = seen.sandbox.boto("elasticache").describe_events(SourceIdentifier=group, SourceType="replication-group")
    assert "completed" in events["Events"][-1]["Message"]


def memory_full(seen: Seen) -> None:
    wait_until(lambda: fullest(seen) > 99, "the metric shows it")
    with seen.store() as session, pytest.raises(valkey.exceptions.OutOfMemoryError):
        session.set("anything", "1")


def fullest(seen: Seen) -> float:
    nodes = [{"CacheClusterId": f"{PREFIX}-queues-{number}"} for number in ("001", "002")]
    values = [seen.metric("AWS/ElastiCache", "DatabaseMemoryUsagePercentage", **node) for node in nodes]
    return max(value or 0 for value in values)


def stalled(seen: Seen) -> None:
    with seen.store() as session:
        events = [event[b"event"] for _, event in session.xrevrange("bull:notifications:events")]
    assert b"stalled" in events


def database_bound(seen: Seen) -> None:
    wait_until(lambda: (connections(seen) or 0) >= 30, "the metric shows the connections")


def connections(seen: Seen) -> float | None:
    return seen.metric("AWS/RDS", "DatabaseConnections", DBInstanceIdentifier=f"{PREFIX}-db")


def poisoned(seen: Seen) -> None:
    assert seen.length("failed") >= 40
    wait_until(lambda: "TemplateError" in seen.classes(), "workers log it")


def burst(seen: Seen) -> None:
    assert seen.length("wait") >= 100


def downstream_slow(seen: Seen) -> None:
    assert seen.length("active") == 4, "all that they may have"


def downstream_fails(seen: Seen) -> None:
    assert seen.length("failed") >= 10
    wait_until(lambda: "GatewayError-503" in seen.classes(), "workers log it")


def failed_jobs_left(seen: Seen) -> None:
    assert seen.length("failed") >= 60
    done = seen.sandbox.queue_ledger()["notifications"]["done"]
    wait_until(lambda: seen.sandbox.queue_ledger()["notifications"]["done"] > done, "new jobs are done")


def dead_letters(seen: Seen) -> None:
    assert seen.messages(f"{PREFIX}-exports-dead-letters") >= 40


def consumer_dead(seen: Seen) -> None:
    assert seen.service("exports")["desiredCount"] == 0
    assert seen.messages(f"{PREFIX}-exports") >= 10


SIGNS: dict[str, Callable[[Seen], None]] = {
    "queue_paused": paused,
    "queue_throttled": throttled,
    "workers_dead": workers_dead,
    "queue_failover": failed_over,
    "queue_memory_full": memory_full,
    "jobs_stalled": stalled,
    "workers_database_bound": database_bound,
    "poison_jobs": poisoned,
    "queue_burst": burst,
    "downstream_slow": downstream_slow,
    "downstream_fails": downstream_fails,
    "failed_jobs_left": failed_jobs_left,
    "exports_dead_letters": dead_letters,
    "exports_consumer_dead": consumer_dead,
}


@pytest.mark.parametrize("name", SIGNS)
def test_a_fault_shows_and_goes_away(seen: Seen, name: str) -> None:
    seen.sandbox.break_(name)
    SIGNS[name](seen)
    counts = seen.sandbox.queue_ledger()

    seen.sandbox.mend()

    assert seen.sandbox.status()["healthy"] is True
    assert {queue: (found["lost"], found["twice"]) for queue, found in counts.items()} == dict.fromkeys(counts, (0, 0))
