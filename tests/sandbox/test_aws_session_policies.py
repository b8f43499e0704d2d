"""A session with a policy of its own does what that says and no more, as AWS has it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.aws_only import Aws, refusal, running_aws

ROLE = "arn:aws:iam::123456789012:role/daily-emr-sandbox-runbook-act"
PARAMETER = "arn:aws:ssm:af-south-1:123456789012:parameter/daily-emr/limit"
NAME = "/daily-emr/limit"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with running_aws(tmp_path_factory.mktemp("policies")) as running:
        yield running


def allowing(*, ends_in: float = 60.0, **more: Any) -> str:
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=ends_in)
    statement = {
        "Effect": "Allow",
        "Action": ["ssm:PutParameter"],
        "Resource": [PARAMETER],
        "Condition": {
            "StringEquals": {"aws:RequestedRegion": "af-south-1"},
            "DateLessThan": {"aws:CurrentTime": f"{ends:%Y-%m-%dT%H:%M:%SZ}"},
        },
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement | more]})


def narrowed(aws: Aws, service: str, policy: str) -> Any:
    """A client of a session of the operator's own role with this policy."""
    given = aws.client("sts").assume_role(RoleArn=ROLE, RoleSessionName="on-call", Policy=policy, DurationSeconds=900)
    client, keys = aws.client(service), given["Credentials"]
    signer = client._request_signer._credentials
    signer.access_key, signer.secret_key, signer.token = (
        keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"],
    )  # fmt: skip
    return client


def put(client: Any, name: str = NAME) -> None:
    client.put_parameter(Name=name, Value="1", Type="String", Overwrite=True)


def test_what_it_allows_is_done_and_the_log_says_that_the_session_was_bounded(aws):
    mark = aws.server.calls.seq
    put(narrowed(aws, "ssm", allowing()))
    (call,) = aws.calls(mark, "PutParameter")
    assert (call["status"], call["scoped"]) == (200, True)
    put(aws.client("ssm"))
    assert aws.calls(mark, "PutParameter")[-1]["scoped"] is False


@pytest.mark.parametrize(
    "policy",
    [
        {"Action": ["ssm:DeleteParameter"]},
        {"Resource": [f"{PARAMETER}s"]},
        {"ends_in": -1.0},
        {"Condition": {"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}},
        {"Condition": {"StringEquals": {"aws:PrincipalTag/team": "emr"}}},
        {"Effect": "Deny"},
    ],
    ids=["action", "resource", "late", "region", "a key that is not known", "no permission"],
)
def test_what_it_does_not_allow_is_refused_and_not_done(aws, policy):
    before = aws.server.boto("ssm").put_parameter(Name=NAME, Value="0", Type="String", Overwrite=True)["Version"]
    with pytest.raises(ClientError) as error:
        put(narrowed(aws, "ssm", allowing(**policy)))
    assert refusal(error.value) == ("AccessDeniedException", 400)
    assert aws.server.boto("ssm").get_parameter(Name=NAME)["Parameter"]["Version"] == before


def test_it_cannot_ask_for_a_wider_session(aws):
    with pytest.raises(ClientError) as error:
        narrowed(aws, "sts", allowing()).assume_role(RoleArn=ROLE, RoleSessionName="on-call")
    assert refusal(error.value) == ("AccessDenied", 403)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"Policy": "no JSON"}, "MalformedPolicyDocument"),
        ({"Policy": json.dumps({"Version": "2012-10-17", "Statement": [{"Sid": "x" * 2100}]})}, "ValidationError"),
        ({"DurationSeconds": 7200}, "ValidationError"),
    ],
    ids=["no policy", "too long", "a chained session of two hours"],
)
def test_sts_refuses_what_aws_refuses(aws, more, code):
    with pytest.raises(ClientError) as error:
        aws.client("sts").assume_role(RoleArn=ROLE, RoleSessionName="on-call", **more)
    assert error.value.response["Error"]["Code"] == code


def test_a_fault_after_the_call_says_that_it_broke_and_it_is_done(aws):
    aws.server.faults.add("ssm", "PutParameter", "error_after", code="InternalFailure", status=500)
    with pytest.raises(ClientError) as error:
        aws.client("ssm", retries={"total_max_attempts": 1}).put_parameter(Name="/after", Value="1", Type="String")
    assert refusal(error.value) == ("InternalFailure", 500)
    assert aws.server.boto("ssm").get_parameter(Name="/after")["Parameter"]["Value"] == "1"
