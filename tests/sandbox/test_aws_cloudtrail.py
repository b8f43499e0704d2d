"""The event history: calls of operators and of the sandbox's deployers, events that others add, and pages."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.aws_only import Aws, running_aws


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with running_aws(tmp_path_factory.mktemp("trail")) as found:
        yield found


@pytest.fixture
def aws(running: Aws) -> Aws:
    """With an empty history."""
    running.server.trail.clear()
    return running


def names(aws: Aws, key: str | None = None, value: str = "", **more: Any) -> list[str]:
    """Event names, newest first."""
    asked = [{"AttributeKey": key, "AttributeValue": value}] if key else []
    pages = aws.client("cloudtrail").get_paginator("lookup_events").paginate(LookupAttributes=asked, **more)
    return [event["EventName"] for page in pages for event in page["Events"]]


def test_calls_are_events_with_who_and_what(aws):
    aws.client("secretsmanager").create_secret(Name="s", SecretString="hidden")
    aws.client("secretsmanager").describe_secret(SecretId="s")
    assert names(aws, "ReadOnly", "false") == ["CreateSecret"]
    assert "DescribeSecret" in names(aws, "ReadOnly", "true")
    (event,) = aws.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "CreateSecret"}]
    )["Events"]
    assert (event["Username"], event["EventSource"]) == ("on-call", "secretsmanager.amazonaws.com")
    assert event["Resources"] == [{"ResourceType": "AWS::SecretsManager::Secret", "ResourceName": "s"}]
    assert "hidden" not in json.dumps(event, default=str)
    assert json.loads(event["CloudTrailEvent"])["eventName"] == "CreateSecret"


def test_changes_of_the_sandbox_itself_are_a_colleagues(aws):
    aws.server.boto("ecs").create_cluster(clusterName="colleague")
    assert names(aws, "Username", "release-manager") == ["CreateCluster"]


def test_a_refused_call_is_an_event_with_its_error(aws):
    with pytest.raises(ClientError):
        aws.client("ecs").delete_cluster(cluster="nothing")
    events = aws.client("cloudtrail").lookup_events()["Events"]
    (event,) = [event for event in events if event["EventName"] == "DeleteCluster"]
    assert json.loads(event["CloudTrailEvent"])["errorCode"] == "ClusterNotFoundException"


def test_data_events_are_not_in_the_history(aws):
    key = [{"AttributeName": "pk", "AttributeType": "S"}]
    dynamodb = aws.client("dynamodb")
    dynamodb.create_table(
        TableName="t", BillingMode="PAY_PER_REQUEST", AttributeDefinitions=key,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )  # fmt: skip
    dynamodb.put_item(TableName="t", Item={"pk": {"S": "x"}})
    aws.client("cloudwatch").put_metric_data(Namespace="n", MetricData=[{"MetricName": "m", "Value": 1}])
    assert names(aws, "ReadOnly", "false") == ["CreateTable"]


def test_a_call_that_never_arrived_is_no_event(aws):
    aws.server.faults.add("ecs", "CreateCluster", "throttle")
    with pytest.raises(ClientError):
        aws.client("ecs", retries={"total_max_attempts": 1}).create_cluster(clusterName="never")
    assert names(aws, "EventName", "CreateCluster") == []


def test_others_add_events_of_any_time(aws):
    old = dt.datetime.now(dt.UTC) - dt.timedelta(days=3)
    aws.server.trail.add(
        "UpdateService", source="ecs.amazonaws.com", username="github-actions", at=old,
        resources=[("AWS::ECS::Service", "web")],
    )  # fmt: skip
    assert names(aws, "ResourceName", "web") == ["UpdateService"]
    assert names(aws, "ResourceName", "other") == []
    hour = dt.timedelta(hours=1)
    assert names(aws, "Username", "github-actions", StartTime=old - hour, EndTime=old + hour) == ["UpdateService"]
    assert names(aws, "Username", "github-actions", StartTime=old + hour) == []


def test_pages_do_not_shift_when_something_happens_meanwhile(aws):
    for number in range(5):
        aws.server.trail.add(f"Create{number}", source="x.amazonaws.com", username="amina")
    asked = {"LookupAttributes": [{"AttributeKey": "Username", "AttributeValue": "amina"}], "MaxResults": 2}
    trail = aws.client("cloudtrail")
    page = trail.lookup_events(**asked)
    seen = [event["EventName"] for event in page["Events"]]
    aws.server.trail.add("CreateLate", source="x.amazonaws.com", username="amina")
    while token := page.get("NextToken"):
        page = trail.lookup_events(**asked, NextToken=token)
        seen += [event["EventName"] for event in page["Events"]]
    assert seen == ["Create4", "Create3", "Create2", "Create1", "Create0"]


WHO = {"AttributeKey": "Username", "AttributeValue": "a"}


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"MaxResults": 51}, "InvalidMaxResultsException"),
        ({"LookupAttributes": [WHO, WHO]}, "InvalidLookupAttributesException"),
        ({"StartTime": dt.datetime(2026, 2, 2), "EndTime": dt.datetime(2026, 1, 1)}, "InvalidTimeRangeException"),  # noqa: DTZ001
        ({"NextToken": "made-up"}, "InvalidNextTokenException"),
    ],
)
def test_what_cloudtrail_refuses(aws, asked, code):
    with pytest.raises(ClientError) as error:
        aws.client("cloudtrail", parameter_validation=False).lookup_events(**asked)
    assert error.value.response["Error"]["Code"] == code
