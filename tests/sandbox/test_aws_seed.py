"""The seeded environment: what runbooks look for, under the names they look for it, and old enough to be believed."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from daily_emr_sandbox.network import routing
from daily_emr_sandbox.network.waf import Rates, Request
from daily_emr_sandbox.seed import seed

from tests.sandbox.aws_only import Aws, running_aws


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with running_aws(tmp_path_factory.mktemp("seed")) as running:
        seed(running.settings, running.server)
        yield running


def days(since: dt.datetime) -> float:
    return (dt.datetime.now(dt.UTC) - since).total_seconds() / 86400


def service(aws: Aws) -> dict[str, Any]:
    found = aws.client("ecs").describe_services(cluster=aws.settings.prefix, services=[aws.settings.web])
    described: dict[str, Any] = found["services"][0]
    return described


def definition(aws: Aws, arn: str) -> dict[str, Any]:
    found = aws.client("ecs").describe_task_definition(taskDefinition=arn, include=["TAGS"])
    tags = {tag["key"]: tag["value"] for tag in found["tags"]}
    return {**found["taskDefinition"], "tags": tags, "container": found["taskDefinition"]["containerDefinitions"][0]}


def test_the_service_runs_its_second_release_and_the_first_proved_itself_for_days(aws: Aws) -> None:
    ecs = aws.client("ecs")
    listed = ecs.list_service_deployments(cluster=aws.settings.prefix, service=aws.settings.web)["serviceDeployments"]
    newest, oldest = listed

    assert [brief["status"] for brief in listed] == ["SUCCESSFUL"] * 2
    assert days(newest["finishedAt"]) == pytest.approx(3, abs=0.01)
    assert days(oldest["finishedAt"]) == pytest.approx(9, abs=0.01)
    revisions = [brief["targetServiceRevisionArn"] for brief in listed]
    found = ecs.describe_service_revisions(serviceRevisionArns=revisions)["serviceRevisions"]
    definitions = {item["serviceRevisionArn"]: item["taskDefinition"] for item in found}
    releases = [definition(aws, definitions[arn])["tags"]["release"] for arn in revisions]
    assert releases == ["2026.47.1", "2026.45.3"]
    assert service(aws)["taskDefinition"] == definitions[revisions[0]]


@pytest.mark.parametrize("revision", [1, 2])
def test_every_release_is_pinned_to_an_image_that_is_there_and_fits_the_schema(aws: Aws, revision: int) -> None:
    found = definition(aws, f"{aws.settings.web}:{revision}")
    digest = found["container"]["image"].partition("@")[2]

    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    images = aws.client("ecr").describe_images(repositoryName=aws.settings.web, imageIds=[{"imageDigest": digest}])
    assert images["imageDetails"][0]["imageTags"] == [found["tags"]["release"]]
    database = aws.client("rds").describe_db_instances(DBInstanceIdentifier=f"{aws.settings.prefix}-db")["DBInstances"][
        0
    ]
    schema = next(tag["Value"] for tag in database["TagList"] if tag["Key"] == "schema_version")
    low, high = found["tags"]["schema_compat"].split("-")
    assert int(low) <= int(schema) <= int(high)


def test_tasks_get_secrets_whose_values_are_old(aws: Aws) -> None:
    client = aws.client("secretsmanager")
    given = {
        item["name"]: item["valueFrom"] for item in definition(aws, f"{aws.settings.web}:2")["container"]["secrets"]
    }

    assert given.keys() == {"DATABASE_URL", "SESSION_PASSWORD"}
    assert re.fullmatch(
        rf"postgresql://emr_application:[^@]+@{aws.settings.database_address}:{aws.settings.database_port}/emr",
        client.get_secret_value(SecretId=given["DATABASE_URL"])["SecretString"],
    )
    for arn in given.values():
        version = client.list_secret_version_ids(SecretId=arn)["Versions"][0]
        assert days(version["CreatedDate"]) > 29
        assert days(client.describe_secret(SecretId=arn)["LastChangedDate"]) > 29


def test_the_operator_is_who_the_fingerprint_belongs_to(aws: Aws) -> None:
    settings = aws.settings
    value = aws.client("ssm").get_parameter(Name=f"/daily-emr/{settings.environment}/fingerprint")["Parameter"]["Value"]
    caller = aws.client("sts").get_caller_identity()

    assert json.loads(value) == {"environment": "sandbox", "account_id": caller["Account"], "region": settings.region}
    assert re.fullmatch(
        rf"arn:aws:sts::{settings.account_id}:assumed-role/{settings.prefix}-runbook-act/.+", caller["Arn"]
    )


@pytest.mark.parametrize("profile", ["other_account", "other_role"])
def test_there_are_credentials_that_must_be_refused(aws: Aws, profile: str) -> None:
    arn = aws.client("sts", profile).get_caller_identity()["Arn"]

    is_another_account = f"::{aws.settings.account_id}:" not in arn
    is_another_role = f"/{aws.settings.prefix}-runbook-act/" not in arn
    assert (is_another_account, is_another_role) == (profile == "other_account", profile == "other_role")


def test_the_balancer_has_three_zones_shifts_enabled_and_checks_liveness(aws: Aws) -> None:
    elbv2, settings = aws.client("elbv2"), aws.settings
    balancer = elbv2.describe_load_balancers(Names=[settings.prefix])["LoadBalancers"][0]
    group = elbv2.describe_target_groups(Names=[settings.web])["TargetGroups"][0]

    assert {zone["ZoneName"] for zone in balancer["AvailabilityZones"]} == set(settings.zones)
    assert group["HealthCheckPath"] == "/livez"
    assert group["LoadBalancerArns"] == [balancer["LoadBalancerArn"]]
    managed = aws.client("arc-zonal-shift").get_managed_resource(resourceIdentifier=balancer["LoadBalancerArn"])
    assert set(managed["appliedWeights"].values()) == {1.0}
    assert managed["zonalShifts"] == []


@pytest.mark.parametrize(
    ("path", "action"), [("/api/charts", "ALLOW"), ("/login", "ALLOW"), ("/wp-login.php", "BLOCK")]
)
def test_the_web_acl_blocks_only_what_no_patient_needs(aws: Aws, path: str, action: str) -> None:
    with aws.server.mutex:
        snapshot = routing.take(aws.settings, aws.server)

    assert snapshot is not None
    assert snapshot.web_acl is not None
    assert snapshot.web_acl.judge(Request("GET", path, "", {}, "127.0.0.1"), Rates(1)).action == action


def test_the_service_is_scaled_between_two_and_six_by_cpu(aws: Aws) -> None:
    client = aws.client("application-autoscaling")
    target = client.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"][0]
    policy = client.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"][0]

    assert (target["MinCapacity"], target["MaxCapacity"], service(aws)["desiredCount"]) == (2, 6, 2)
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 60.0


def test_every_alarm_of_ours_says_what_missing_data_means(aws: Aws) -> None:
    found = aws.client("cloudwatch").describe_alarms(AlarmNamePrefix=aws.settings.prefix)["MetricAlarms"]

    assert {alarm["AlarmName"].removeprefix(f"{aws.settings.prefix}-") for alarm in found} >= {
        "no-healthy-targets", "error-ratio", "silence", "waf-blocks",
    }  # fmt: skip
    assert [alarm["AlarmName"] for alarm in found if not alarm.get("TreatMissingData")] == []


def test_the_table_takes_leases_and_is_empty(aws: Aws) -> None:
    client, name = aws.client("dynamodb"), f"{aws.settings.prefix}-runbooks"
    table = client.describe_table(TableName=name)["Table"]

    assert [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]] == [("pk", "HASH"), ("sk", "RANGE")]
    assert table["TableId"]
    assert client.scan(TableName=name)["Count"] == 0


def test_building_the_sandbox_is_no_change_and_its_past_is(aws: Aws) -> None:
    events = aws.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "ReadOnly", "AttributeValue": "false"}]
    )["Events"]

    assert [(event["EventName"], round(days(event["EventTime"]))) for event in events] == [
        ("UpdateService", 3), ("UpdateService", 9),
    ]  # fmt: skip
