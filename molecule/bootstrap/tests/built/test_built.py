"""What was built, as the emulator has it: the blueprint's words, and the names that the runbooks look for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import boto3
import pytest
from daily_emr_sandbox.account import calls

from daily_emr_runbooks.permissions import BUILDER, action

ROOT = Path(__file__).resolve().parents[4]
NAME = "daily-emr-sandbox"
STATE = Path(os.environ["DAILY_EMR_SANDBOX"])
CALLS = calls(STATE)
"""Those of bootstrap: what the tests ask comes after."""


@pytest.fixture(scope="module")
def aws() -> Any:
    facts = json.loads((STATE / "sandbox.json").read_text())
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = facts["credentials_file"]
    session = boto3.session.Session(region_name=facts["region"])
    return lambda service: session.client(service, endpoint_url=facts["endpoint_url"])


def test_the_database_is_as_the_blueprint_says(aws):
    (found,) = aws("rds").describe_db_instances(DBInstanceIdentifier=f"{NAME}-db")["DBInstances"]
    assert (found["DBInstanceClass"], found["MultiAZ"], found["StorageEncrypted"]) == ("db.m6g.large", True, True)
    assert found["BackupRetentionPeriod"] >= 7
    values = aws("rds").describe_db_parameters(DBParameterGroupName=f"{NAME}-db")["Parameters"]
    assert {one["ParameterName"]: one["ParameterValue"] for one in values}["rds.force_ssl"] == "1"


def test_data_subnets_have_no_way_out_and_app_subnets_go_through_their_own_zone(aws):
    ec2 = aws("ec2")
    tables = ec2.describe_route_tables(Filters=[{"Name": "tag:app", "Values": ["daily-emr"]}])["RouteTables"]
    out = {
        {tag["Key"]: tag["Value"] for tag in table["Tags"]}["Name"]: [
            route for route in table["Routes"] if route.get("DestinationCidrBlock") == "0.0.0.0/0"
        ]
        for table in tables
    }
    assert out[f"{NAME}-data"] == []
    assert out[f"{NAME}-public"][0]["GatewayId"].startswith("igw-")
    assert len({out[f"{NAME}-app-{zone}"][0]["NatGatewayId"] for zone in "abc"}) == 3


def test_the_queues_never_forget_a_job(aws):
    listed = aws("elasticache").describe_cache_parameters(CacheParameterGroupName=f"{NAME}-queues")["Parameters"]
    assert {one["ParameterName"]: one["ParameterValue"] for one in listed}["maxmemory-policy"] == "noeviction"


def test_a_deployment_that_fails_is_rolled_back(aws):
    (found,) = aws("ecs").describe_services(cluster=NAME, services=[f"{NAME}-web"])["services"]
    assert found["deploymentConfiguration"]["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
    assert found["desiredCount"] == 2


def test_a_release_begins_as_a_canary_with_a_second_target_group(aws):
    (found,) = aws("ecs").describe_services(cluster=NAME, services=[f"{NAME}-web"])["services"]
    deployment = found["deploymentConfiguration"]
    assert (deployment["strategy"], deployment["bakeTimeInMinutes"]) == ("CANARY", 10)
    assert deployment["canaryConfiguration"] == {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 30}
    (balanced,) = found["loadBalancers"]
    more = balanced["advancedConfiguration"]
    (rule,) = aws("elbv2").describe_rules(RuleArns=[more["productionListenerRule"]])["Rules"]
    (action,) = rule["Actions"]
    weights = {one["TargetGroupArn"]: int(one["Weight"]) for one in action["ForwardConfig"]["TargetGroups"]}
    assert weights == {balanced["targetGroupArn"]: 1, more["alternateTargetGroupArn"]: 0}
    trust = aws("iam").get_role(RoleName=more["roleArn"].rpartition("/")[2])["Role"]["AssumeRolePolicyDocument"]
    assert trust["Statement"][0]["Principal"] == {"Service": "ecs.amazonaws.com"}
    (worker,) = aws("ecs").describe_services(cluster=NAME, services=[f"{NAME}-claims-worker"])["services"]
    assert worker["deploymentConfiguration"].get("strategy", "ROLLING") == "ROLLING"


def test_dumps_are_locked_and_no_bucket_is_public(aws):
    s3 = aws("s3")
    lock = s3.get_object_lock_configuration(Bucket=f"{NAME}-dumps-123456789012")["ObjectLockConfiguration"]
    assert lock["Rule"]["DefaultRetention"] == {"Mode": "GOVERNANCE", "Days": 35}
    for bucket in s3.list_buckets()["Buckets"]:
        block = s3.get_public_access_block(Bucket=bucket["Name"])["PublicAccessBlockConfiguration"]
        assert set(block.values()) == {True}, bucket["Name"]


def test_logs_are_kept_for_400_days(aws):
    groups = aws("logs").describe_log_groups()["logGroups"]
    assert {group["retentionInDays"] for group in groups} == {400}


def test_every_alarm_says_what_missing_data_means_and_calls_somebody(aws):
    # Those of automatic scaling are its own.
    alarms = aws("cloudwatch").describe_alarms(AlarmNamePrefix=NAME)["MetricAlarms"]
    assert len(alarms) >= 14
    assert all(alarm["TreatMissingData"] and alarm["AlarmActions"] for alarm in alarms)


def test_the_fingerprint_names_the_environment(aws):
    value = aws("ssm").get_parameter(Name="/daily-emr/sandbox/fingerprint")["Parameter"]["Value"]
    assert json.loads(value) == {"environment": "sandbox", "account_id": "123456789012", "region": "af-south-1"}


def test_what_builds_may_do_what_it_did(aws):
    iam, allowed = aws("iam"), set()
    for name in (one["PolicyName"] for one in iam.list_policies(Scope="Local")["Policies"]):
        if not name.startswith(f"{NAME}-runbook-bootstrap-"):
            continue
        arn = f"arn:aws:iam::123456789012:policy/{name}"
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        for statement in document["Statement"]:
            if statement["Effect"] == "Allow":
                actions = statement["Action"]
                allowed |= {actions} if isinstance(actions, str) else set(actions)
    used = {one for call in CALLS for one in action(call["service"], call["operation"])}
    assert used - allowed == set()


def test_the_policy_of_bootstrap_rests_on_what_it_called():
    made = "".join(sorted({f"{call['service']}:{call['operation']}\n" for call in CALLS}))
    if os.environ.get("UPDATE_CALLS"):
        (ROOT / BUILDER).write_text(made)
    # UPDATE_CALLS=1 molecule test -s bootstrap writes it; then `make docs`.
    assert (ROOT / BUILDER).read_text() == made


def test_only_an_ephemeral_environment_has_a_role_that_takes_it_down(aws):
    roles = {role["RoleName"].removeprefix(f"{NAME}-") for role in aws("iam").list_roles()["Roles"]}
    assert {"teardown", "runbook-readiness", "runbook-backup", "runbook-restore-check", "runbook-secrets"} <= roles
