"""What AWS says and refuses of the queues: message move tasks of SQS, the replication group of ElastiCache."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from daily_emr_sandbox.loop import wait_until
from daily_emr_sandbox.queues.group import QueueGroup
from daily_emr_sandbox.queues.store import MEMORY

from tests.sandbox.aws_only import Aws, running_aws


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with running_aws(tmp_path_factory.mktemp("state")) as running:
        yield running


# SQS.


class DeadLetters:
    """A queue with dead letters in it."""

    def __init__(self, sqs: Any, count: int) -> None:
        self.sqs, name = sqs, f"test-{uuid.uuid4()}"
        self.dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        self.arn = self._attribute(self.dead, "QueueArn")
        policy = json.dumps({"deadLetterTargetArn": self.arn, "maxReceiveCount": 1})
        attributes = {"RedrivePolicy": policy, "VisibilityTimeout": "0"}
        self.url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.source_arn = self._attribute(self.url, "QueueArn")
        for number in range(count):
            sqs.send_message(QueueUrl=self.url, MessageBody=str(number))
        for _ in range(2 * count):  # each is received once, and is then a dead letter
            sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10)
        assert self.counts() == (0, count)

    def counts(self) -> tuple[int, int]:
        """Messages that wait, and dead letters."""
        first, second = (self._attribute(url, "ApproximateNumberOfMessages") for url in (self.url, self.dead))
        return int(first), int(second)

    def start(self, **how: Any) -> str:
        handle: str = self.sqs.start_message_move_task(SourceArn=self.arn, **how)["TaskHandle"]
        return handle

    def tasks(self, most: int = 1) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.sqs.list_message_move_tasks(SourceArn=self.arn, MaxResults=most)["Results"]
        return found

    def _attribute(self, url: str, name: str) -> str:
        return str(self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])


@pytest.fixture
def dead(aws: Aws) -> DeadLetters:
    return DeadLetters(aws.client("sqs"), 6)


def refused(call: Any, **how: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**how)
    error = caught.value.response["Error"]
    return error["Code"].rpartition(".")[2], error["Message"]


def test_a_task_moves_all_messages_back_to_their_source(dead: DeadLetters) -> None:
    dead.start(MaxNumberOfMessagesPerSecond=500)

    wait_until(lambda: dead.tasks()[0]["Status"] == "COMPLETED", "all are moved")
    assert dead.counts() == (6, 0)
    (task,) = dead.tasks()
    assert task["ApproximateNumberOfMessagesMoved"] == task["ApproximateNumberOfMessagesToMove"] == 6
    assert task["MaxNumberOfMessagesPerSecond"] == 500
    assert "TaskHandle" not in task, "only a running task has one"


def test_a_task_keeps_to_its_rate_and_can_be_cancelled(dead: DeadLetters) -> None:
    handle = dead.start(MaxNumberOfMessagesPerSecond=1)
    assert dead.tasks()[0]["Status"] == "RUNNING"
    assert dead.counts()[1] >= 4, "one in a second"

    moved = dead.sqs.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"]

    assert dead.counts() == (moved, 6 - moved)
    assert dead.tasks()[0]["Status"] == "CANCELLED"
    code, message = refused(dead.sqs.cancel_message_move_task, TaskHandle=handle)
    assert (code, message) == ("InvalidParameterValue", "Only active tasks can be cancelled.")


def test_messages_can_go_elsewhere(dead: DeadLetters, aws: Aws) -> None:
    other = DeadLetters(aws.client("sqs"), 0)

    dead.start(DestinationArn=other.source_arn)

    wait_until(lambda: dead.tasks()[0]["Status"] == "COMPLETED", "all are moved")
    assert dead.counts() == (0, 0)
    assert other.counts() == (6, 0)


def test_one_task_at_a_time(dead: DeadLetters) -> None:
    handle = dead.start(MaxNumberOfMessagesPerSecond=1)

    code, message = refused(dead.sqs.start_message_move_task, SourceArn=dead.arn)

    assert code == "InvalidParameterValue"
    assert "Only one active task is allowed" in message
    dead.sqs.cancel_message_move_task(TaskHandle=handle)
    dead.start()
    assert len(dead.tasks(10)) == 2


@pytest.mark.parametrize("rate", [0, 501])
def test_a_rate_beyond_the_limits_is_refused(dead: DeadLetters, rate: int) -> None:
    how = {"SourceArn": dead.arn, "MaxNumberOfMessagesPerSecond": rate}

    code, message = refused(dead.sqs.start_message_move_task, **how)

    assert code == "InvalidParameterValue"
    assert "between 1 and 500" in message
    assert dead.tasks() == []


def test_only_dead_letters_are_moved(dead: DeadLetters) -> None:
    for call in (dead.sqs.start_message_move_task, dead.sqs.list_message_move_tasks):
        code, message = refused(call, SourceArn=dead.source_arn)
        assert (code, message) == (
            "InvalidParameterValue",
            "Source queue must be configured as a Dead Letter Queue.",
        )


def test_queues_and_tasks_that_are_not_there_are_told(dead: DeadLetters) -> None:
    nowhere = f"{dead.arn}-gone"
    assert refused(dead.sqs.start_message_move_task, SourceArn=nowhere)[0] == "ResourceNotFoundException"
    how = {"SourceArn": dead.arn, "DestinationArn": nowhere}
    assert refused(dead.sqs.start_message_move_task, **how)[0] == "ResourceNotFoundException"
    assert refused(dead.sqs.cancel_message_move_task, TaskHandle="gone")[0] == "ResourceNotFoundException"


def test_a_long_poll_holds_nobody_up(dead: DeadLetters) -> None:
    answer = dead.sqs.receive_message(QueueUrl=dead.url, WaitTimeSeconds=20)

    assert "Messages" not in answer


# ElastiCache.


class Pair:
    """A pair in name only: what the control plane says of it does not need the servers."""

    def __init__(self) -> None:
        self.nodes = (SimpleNamespace(name="1"), SimpleNamespace(name="2"))
        self.primary, self.replica = self.nodes
        self.memory = ""

    def fail_over(self) -> None:
        self.primary, self.replica = self.replica, self.primary

    def resize(self, node_type: str) -> None:
        self.memory = node_type


@pytest.fixture(scope="module")
def group(aws: Aws) -> Iterator[QueueGroup]:
    settings = aws.settings
    aws.client("elasticache").create_replication_group(
        ReplicationGroupId=settings.queue_group, ReplicationGroupDescription="test", Engine="valkey",
        CacheNodeType="cache.t4g.small", ReplicasPerNodeGroup=1, AutomaticFailoverEnabled=True, MultiAZEnabled=True,
        PreferredCacheClusterAZs=list(settings.zones[:2]),
    )  # fmt: skip
    made: Any = QueueGroup(settings, aws.server, Pair())  # type: ignore[arg-type]
    aws.server.queue_group = made
    yield made
    aws.server.queue_group = None
    made.stop()


def described(aws: Aws) -> dict[str, Any]:
    found = aws.client("elasticache").describe_replication_groups(ReplicationGroupId=aws.settings.queue_group)
    (shown,) = found["ReplicationGroups"]
    return shown  # type: ignore[no-any-return]


def roles(aws: Aws) -> dict[str, str]:
    members = described(aws)["NodeGroups"][0]["NodeGroupMembers"]
    return {member["CacheClusterId"][-3:]: member["CurrentRole"] for member in members}


def messages(aws: Aws) -> list[str]:
    asked = {"SourceType": "replication-group", "SourceIdentifier": aws.settings.queue_group}
    return [event["Message"] for event in aws.client("elasticache").describe_events(**asked)["Events"]]


@pytest.mark.usefixtures("group")
def test_the_group_has_the_endpoint_and_the_nodes_of_the_pair(aws: Aws) -> None:
    shown, settings = described(aws), aws.settings
    (nodes,) = shown["NodeGroups"]

    assert shown["Status"] == "available"
    assert (shown["AutomaticFailover"], shown["MultiAZ"]) == ("enabled", "enabled")
    assert nodes["PrimaryEndpoint"] == {"Address": settings.queue_address, "Port": settings.queue_port}
    members = nodes["NodeGroupMembers"]
    places = [(member["ReadEndpoint"]["Address"], member["ReadEndpoint"]["Port"]) for member in members]
    assert places == list(settings.queue_nodes)
    assert {member["PreferredAvailabilityZone"] for member in members} == set(settings.zones[:2])


def test_a_failover_changes_the_roles_and_is_an_event(aws: Aws, group: QueueGroup) -> None:
    before, told = roles(aws), messages(aws)

    group.fail_over()

    assert roles(aws) == {"001": before["002"], "002": before["001"]}
    (message,) = messages(aws)[len(told) :]
    assert message.startswith("Failover from primary node")
    group.let_time_pass()
    assert messages(aws) == [], "an hour is what is told unless more is asked for"


def test_a_node_type_is_changed_in_a_walk_and_gives_memory(
    aws: Aws, group: QueueGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daily_emr_sandbox.queues.group.RESIZING_S", 20.0)
    elasticache = aws.client("elasticache")
    wanted = {"ReplicationGroupId": aws.settings.queue_group, "CacheNodeType": "cache.t4g.medium"}

    elasticache.modify_replication_group(**wanted)
    assert described(aws)["Status"] == "available", "in the maintenance window"
    answer = elasticache.modify_replication_group(**wanted, ApplyImmediately=True)["ReplicationGroup"]
    assert answer["Status"] == described(aws)["Status"] == "modifying"
    assert described(aws)["CacheNodeType"] == "cache.t4g.small"
    code, _ = refused(elasticache.modify_replication_group, **wanted, ApplyImmediately=True)
    assert code == "InvalidReplicationGroupState"
    group.wait_settled()

    assert described(aws)["CacheNodeType"] == "cache.t4g.medium"
    assert group._store.memory == "cache.t4g.medium"
    assert "cache.t4g.medium" in MEMORY


def test_a_primary_is_chosen_only_without_automatic_failover(aws: Aws, group: QueueGroup) -> None:
    elasticache, name = aws.client("elasticache"), aws.settings.queue_group
    replica = next(node for node, role in roles(aws).items() if role == "replica")
    wanted = {"ReplicationGroupId": name, "PrimaryClusterId": f"{name}-{replica}", "ApplyImmediately": True}

    assert refused(elasticache.modify_replication_group, **wanted)[0] == "InvalidParameterCombination"
    assert roles(aws)[replica] == "replica"
    off = {"AutomaticFailoverEnabled": False, "MultiAZEnabled": False, "ApplyImmediately": True}
    elasticache.modify_replication_group(ReplicationGroupId=name, **off)
    elasticache.modify_replication_group(**wanted)
    group.wait_settled()

    assert roles(aws)[replica] == "primary"
