"""What passes through the gateway: who may call, what is written down, and what the sandbox says of its own gaps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError
from daily_emr_sandbox.aws.calllog import is_mutating

from tests.sandbox.aws_only import Aws, refusal, running_aws


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with running_aws(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.mark.parametrize(
    ("service", "operation", "params"),
    [
        pytest.param("ecs", "execute_command", {"task": "t", "command": "ls", "interactive": True}, id="json"),
        pytest.param("rds", "describe_source_regions", {}, id="query"),
        pytest.param("sesv2", "get_account", {}, id="rest-json, no route"),
        pytest.param("arc-zonal-shift", "list_autoshifts", {}, id="own service"),
        pytest.param("health", "describe_events", {}, id="a service that moto does not know"),
    ],
)
def test_a_gap_is_named_and_not_tried_again(aws, service, operation, params):
    mark = aws.server.calls.seq
    with pytest.raises(ClientError) as error:
        getattr(aws.client(service), operation)(**params)
    assert refusal(error.value) == ("SandboxNotImplemented", 400)
    wire_name = "".join(word.capitalize() for word in operation.split("_"))
    assert f"{service}:{wire_name}".lower() in error.value.response["Error"]["Message"].lower()
    assert len(aws.server.calls.since(mark)) == 1


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("ecs", "list_clusters", "UnrecognizedClientException"),
        ("rds", "describe_db_instances", "InvalidClientTokenId"),
        ("ec2", "describe_vpcs", "AuthFailure"),
        ("s3", "list_buckets", "InvalidAccessKeyId"),
        ("arc-zonal-shift", "list_zonal_shifts", "UnrecognizedClientException"),
    ],
)
def test_a_caller_that_aws_does_not_know_is_refused(aws, service, operation, code):
    stranger = aws.client(service)
    stranger._request_signer._credentials.access_key = "AKIAIOSFODNN7EXAMPLE"
    with pytest.raises(ClientError) as error:
        getattr(stranger, operation)()
    assert error.value.response["Error"]["Code"] == code
    assert aws.server.calls.since()[-1]["principal"] is None


@pytest.mark.parametrize(
    ("profile", "account", "role"),
    [
        ("default", "123456789012", "daily-emr-sandbox-runbook-act"),
        ("diagnose", "123456789012", "daily-emr-sandbox-runbook-diagnose"),
        ("other_account", "222222222222", "daily-emr-sandbox-runbook-act"),
        ("other_role", "123456789012", "daily-emr-sandbox-developer"),
    ],
)
def test_the_credentials_file_has_a_session_for_each_case(aws, profile, account, role):
    caller = aws.client("sts", profile).get_caller_identity()
    assert caller["Account"] == account
    assert caller["Arn"] == f"arn:aws:sts::{account}:assumed-role/{role}/on-call"
    assert aws.settings.credentials_file.stat().st_mode & 0o777 == 0o600


def test_accounts_are_apart(aws):
    aws.client("ecs").create_cluster(clusterName="mine")
    assert aws.client("ecs", "other_account").list_clusters()["clusterArns"] == []
    assert [arn.rpartition("/")[2] for arn in aws.client("ecs").list_clusters()["clusterArns"]] == ["mine"]


def test_a_role_that_is_assumed_later_is_known_too(aws):
    given = aws.client("sts").assume_role(RoleArn="arn:aws:iam::123456789012:role/auditor", RoleSessionName="amina")
    keys, later = given["Credentials"], aws.client("sts")
    later._request_signer._credentials.access_key = keys["AccessKeyId"]
    assert later.get_caller_identity()["Arn"].endswith("assumed-role/auditor/amina")


def test_the_log_says_what_arrived_and_what_became_of_it(aws):
    mark = aws.server.calls.seq
    ecs = aws.client("ecs")
    ecs.describe_clusters(clusters=["nothing"])
    with pytest.raises(ClientError):
        ecs.update_service(cluster="nothing", service="web", desiredCount=2)
    read, write = aws.control("GET", f"/log?since={mark}")[1]["calls"]
    assert (read["service"], read["operation"], read["mutating"], read["status"], read["error"]) == (
        "ecs", "DescribeClusters", False, 200, None,
    )  # fmt: skip
    assert (write["operation"], write["mutating"], write["status"], write["error"], write["resource"]) == (
        "UpdateService", True, 400, "ClusterNotFoundException", "web",
    )  # fmt: skip
    assert write["principal"].endswith("daily-emr-sandbox-runbook-act/on-call")
    assert read["seq"] < write["seq"] == aws.control("POST", "/log/mark")[1]["seq"]


def test_the_sandbox_itself_is_neither_logged_nor_faulted(aws):
    mark = aws.server.calls.seq
    fault = aws.server.faults.add("ecs", "ListClusters", "throttle")
    aws.server.boto("ecs").list_clusters()
    assert aws.server.calls.since(mark) == []
    assert [plan["id"] for plan in aws.server.faults.listed()] == [fault]
    aws.server.faults.remove()


def test_the_mark_of_the_sandbox_cannot_be_guessed(aws):
    mark = aws.server.calls.seq
    ecs = aws.client("ecs")
    guess = {"X-Daily-Emr-Sandbox": "1"}
    ecs.meta.events.register("before-call.*.*", lambda params, **_: params["headers"].update(guess))
    ecs.list_clusters()
    assert len(aws.server.calls.since(mark)) == 1


def test_moto_cannot_be_reset_from_outside(aws):
    aws.client("ecs").create_cluster(clusterName="kept")
    with pytest.raises(ClientError) as error:
        aws.client("s3").put_object(Bucket="moto-api", Key="reset", Body=b"")
    assert error.value.response["Error"]["Code"] == "SandboxNotImplemented"
    assert any(arn.endswith("kept") for arn in aws.client("ecs").list_clusters()["clusterArns"])


@pytest.mark.parametrize(
    "operation",
    [
        "UpdateService", "StopServiceDeployment", "RegisterScalableTarget", "StartZonalShift", "TestFailover",
        "CheckpointAnything", "GetawayPlan", "TransactWriteItems", "RebootDBInstance", "ExecuteCommand", "",
    ],
)  # fmt: skip
def test_what_is_not_known_to_be_a_read_is_mutating(operation):
    assert is_mutating(operation)


@pytest.mark.parametrize(
    "operation",
    ["DescribeServices", "GetMetricData", "ListTasks", "LookupEvents", "BatchGetImage", "Query", "Scan", "HeadBucket"],
)
def test_reads_are_not(operation):
    assert not is_mutating(operation)


def test_other_parts_add_routes(aws):
    def broken(name: str, loud: str = "no", **body: object) -> dict[str, object]:
        if name == "nothing":
            raise LookupError("There is no fault 'nothing': use one of those.")
        if name == "bad":
            raise RuntimeError("the database did not stop")
        return {"name": name, "loud": loud, **body}

    aws.server.register("POST", "/break/{name}", broken)
    made = aws.control("POST", "/break/flood?loud=yes", {"deep": 3})
    assert made == (200, {"name": "flood", "loud": "yes", "deep": 3})
    assert aws.control("POST", "/break/nothing") == (404, {"error": "There is no fault 'nothing': use one of those."})
    assert aws.control("POST", "/break/bad") == (500, {"error": "POST /_sandbox/break/bad: the database did not stop"})
    assert aws.control("GET", "/break/flood")[0] == 405
    assert aws.control("GET", "/elsewhere")[0] == 404
