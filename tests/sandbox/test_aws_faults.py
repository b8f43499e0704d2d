"""The fault layer: every kind of fault, in the protocols that the runbooks speak, and what the call log says of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError

from tests.sandbox.aws_only import Aws, refusal, running_aws

ONCE = {"mode": "standard", "total_max_attempts": 1}
THRICE = {"mode": "standard", "total_max_attempts": 3}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with running_aws(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.fixture(autouse=True)
def no_faults(aws: Aws) -> Iterator[None]:
    yield
    aws.server.faults.remove()


def add(aws: Aws, service: str, operation: str, kind: str, **more: Any) -> str:
    status, answer = aws.control("POST", "/faults", {"service": service, "operation": operation, "kind": kind, **more})
    assert status == 200, answer
    return str(answer["id"])


@pytest.mark.parametrize(
    ("service", "method", "params", "refused"),
    [
        ("ecs", "list_clusters", {}, ("ThrottlingException", 400)),
        ("rds", "describe_db_instances", {}, ("Throttling", 400)),
        ("elbv2", "describe_load_balancers", {}, ("Throttling", 400)),
        ("cloudwatch", "describe_alarms", {}, ("ThrottlingException", 400)),
        ("dynamodb", "list_tables", {}, ("ProvisionedThroughputExceededException", 400)),
        ("ec2", "describe_subnets", {}, ("RequestLimitExceeded", 503)),
        ("arc-zonal-shift", "list_zonal_shifts", {}, ("ThrottlingException", 429)),
        ("s3", "list_buckets", {}, ("SlowDown", 503)),
    ],
)
def test_a_throttle_is_said_in_the_words_of_the_service_and_is_used_up(
    aws: Aws, service: str, method: str, params: dict[str, Any], refused: tuple[str, int]
) -> None:
    add(aws, service, "*", "throttle")
    client = aws.client(service, retries=ONCE)

    with pytest.raises(ClientError) as caught:
        getattr(client, method)(**params)

    assert refusal(caught.value) == refused
    getattr(client, method)(**params)


def test_default_retries_get_over_two_throttles(aws: Aws) -> None:
    add(aws, "ecs", "ListClusters", "throttle", count=2)
    mark = aws.server.calls.seq

    aws.client("ecs", retries=THRICE).list_clusters()

    assert [call["error"] for call in aws.calls(mark, "ListClusters")] == ["ThrottlingException"] * 2 + [None]


def test_an_error_carries_the_code_and_status_that_were_asked_for(aws: Aws) -> None:
    add(aws, "rds", "DescribeDBInstances", "error", code="InternalFailure", status=500)

    with pytest.raises(ClientError) as caught:
        aws.client("rds", retries=ONCE).describe_db_instances()

    assert refusal(caught.value) == ("InternalFailure", 500)


def created(aws: Aws, name: str) -> bool:
    return name in {cluster.name for cluster in aws.server.backend("ecs").clusters.values()}


@pytest.mark.parametrize(("retries", "arrivals"), [(ONCE, 1), (THRICE, 3)], ids=["one attempt", "default retries"])
def test_a_dropped_reply_leaves_the_call_done_and_arrives_once_for_each_attempt(
    aws: Aws, retries: dict[str, Any], arrivals: int
) -> None:
    name, mark = f"after-{arrivals}", aws.server.calls.seq
    add(aws, "ecs", "CreateCluster", "drop_after", count=None)

    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        aws.client("ecs", retries=retries).create_cluster(clusterName=name)

    assert created(aws, name)
    found = aws.calls(mark, "CreateCluster")
    assert [(call["fault"], call["status"], call["mutating"]) for call in found] == [
        ("drop_after", 200, True)
    ] * arrivals


def test_a_dropped_request_is_never_done(aws: Aws) -> None:
    mark = aws.server.calls.seq
    add(aws, "ecs", "CreateCluster", "drop_before")

    with pytest.raises((ConnectionClosedError, HTTPClientError)):
        aws.client("ecs", retries=ONCE).create_cluster(clusterName="before")

    assert not created(aws, "before")
    assert [(call["fault"], call["status"]) for call in aws.calls(mark, "CreateCluster")] == [("drop_before", None)]


@pytest.mark.parametrize("kind", ["delay", "stall"])
def test_a_call_that_is_held_does_not_hold_the_others(aws: Aws, kind: str) -> None:
    held = add(aws, "ecs", "DescribeClusters", kind, ms=600_000)
    client, mark = aws.client("ecs", retries=ONCE), aws.server.calls.seq
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.describe_clusters)
        try:
            until(lambda: aws.calls(mark, "DescribeClusters"))

            aws.client("ecs", retries=ONCE, read_timeout=15).list_clusters()

            assert not waiting.done()
            assert aws.control("DELETE", f"/faults/{held}")[0] == 200
        finally:
            aws.server.faults.remove()
        if kind == "delay":
            assert "clusters" in waiting.result(timeout=30)
        else:
            with pytest.raises((ConnectionClosedError, HTTPClientError)):
                waiting.result(timeout=30)


def test_a_delay_goes_on_with_what_else_is_planned(aws: Aws) -> None:
    add(aws, "ecs", "ListClusters", "delay", ms=50)
    add(aws, "ecs", "ListClusters", "throttle")
    started = time.monotonic()

    with pytest.raises(ClientError, match="ThrottlingException"):
        aws.client("ecs", retries=ONCE).list_clusters()

    assert time.monotonic() - started >= 0.05


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        ({"service": "ecs", "operation": "*", "kind": "explode"}, "explode"),
        ({"service": "ecs", "operation": "*", "kind": "delay"}, "ms"),
        ({"service": "ecs", "operation": "*", "kind": "error"}, "code"),
        ({"service": "ecs", "operation": "*", "kind": "throttle", "count": 0}, "count"),
        ({"service": "ecs"}, "operation"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(aws: Aws, plan: dict[str, Any], sentence: str) -> None:
    status, answer = aws.control("POST", "/faults", plan)

    assert status == 400
    assert sentence in answer["error"]
    assert aws.control("GET", "/faults")[1] == {"faults": []}


def test_a_fault_that_is_unknown_cannot_be_removed(aws: Aws) -> None:
    assert aws.control("DELETE", "/faults/fault-0")[0] == 404


def test_the_sandbox_itself_is_neither_hit_nor_logged(aws: Aws) -> None:
    add(aws, "*", "*", "throttle")
    mark = aws.server.calls.seq

    aws.server.boto("ecs").list_clusters()

    assert aws.server.calls.since(mark) == []
    with pytest.raises(ClientError):
        aws.client("ecs", retries=ONCE).list_clusters()


class Inside:
    """Counts who is in the backend at once, and stays in it long enough for somebody else to come in."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.most = self._now = 0
        self._method = method

    def __call__(self, *args: Any, **more: Any) -> Any:
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            time.sleep(0.005)  # gives the other threads their turn: the race that the mutex must close
            return self._method(*args, **more)
        finally:
            self._now -= 1


def test_one_of_sixteen_conditional_writes_wins(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    client = aws.client("dynamodb")
    client.create_table(
        TableName="locks", BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
    )  # fmt: skip
    inside = Inside(aws.server.backend("dynamodb").put_item)
    monkeypatch.setattr(aws.server.backend("dynamodb"), "put_item", inside)
    together = threading.Barrier(16)

    def take(owner: int) -> bool:
        together.wait()
        try:
            client.put_item(
                TableName="locks", Item={"pk": {"S": "lock"}, "owner": {"N": str(owner)}},
                ConditionExpression="attribute_not_exists(pk)",
            )  # fmt: skip
        except client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(take, range(16)))

    kept = client.get_item(TableName="locks", Key={"pk": {"S": "lock"}}, ConsistentRead=True)["Item"]
    assert [owner for owner, mine in enumerate(won) if mine] == [int(kept["owner"]["N"])]
    assert inside.most == 1


def until(ask: Any) -> None:
    deadline = time.monotonic() + 30
    while not ask():
        assert time.monotonic() < deadline
        time.sleep(0.01)
