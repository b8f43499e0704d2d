"""The pilot light in the second region: what roles/region_failover/README.md asks for, by the names it asks by."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
from daily_emr_sandbox.account import RECOVERER, calls

ROOT = Path(__file__).resolve().parents[4]
NAME, ACCOUNT = "daily-emr-sandbox", "123456789012"
FIRST, SECOND = "af-south-1", "eu-west-1"
DOMAIN = "app.daily-emr.test"
STATE = Path(os.environ["DAILY_EMR_SANDBOX"])
FACTS = json.loads((STATE / "sandbox.json").read_text())


@pytest.fixture(scope="module")
def aws() -> Any:
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = FACTS["credentials_file"]
    session = boto3.session.Session()
    return lambda service, region=SECOND: session.client(service, region, endpoint_url=FACTS["endpoint_url"])


@pytest.fixture(scope="module")
def alarms(aws: Any) -> dict[str, Any]:
    found = aws("cloudwatch").describe_alarms(AlarmNamePrefix=NAME)["MetricAlarms"]
    return {alarm["AlarmName"].removeprefix(f"{NAME}-"): alarm for alarm in found}


@pytest.fixture(scope="module")
def records(aws: Any) -> dict[tuple[str, str], Any]:
    listed = aws("route53").list_resource_record_sets(HostedZoneId=FACTS["dns_zone"])["ResourceRecordSets"]
    return {(one["Name"].rstrip("."), one.get("Failover", "")): one for one in listed if one["Type"] == "A"}


def balancer(aws: Any, region: str) -> Any:
    (found,) = aws("elbv2", region).describe_load_balancers(Names=[NAME])["LoadBalancers"]
    return found


def test_the_replica_follows_the_first_regions_database_and_could_be_it(aws):
    first = aws("rds", FIRST).describe_db_instances(DBInstanceIdentifier=f"{NAME}-db")["DBInstances"][0]
    (found,) = aws("rds").describe_db_instances(DBInstanceIdentifier=f"{NAME}-db-replica")["DBInstances"]
    assert found["ReadReplicaSourceDBInstanceIdentifier"] == first["DBInstanceArn"]
    assert first["ReadReplicaDBInstanceIdentifiers"] == [found["DBInstanceArn"]]
    for same in (
        "Engine",
        "EngineVersion",
        "DBInstanceClass",
        "DeletionProtection",
        "IAMDatabaseAuthenticationEnabled",
    ):
        assert found[same] == first[same], same
    assert (found["StorageEncrypted"], found["MultiAZ"], found["PubliclyAccessible"]) == (True, False, False)
    key = aws("kms").describe_key(KeyId=f"alias/{NAME}")["KeyMetadata"]
    assert found["KmsKeyId"] == key["Arn"] != first["KmsKeyId"]
    assert {tag["Key"]: tag["Value"] for tag in found["TagList"]}["data-class"] == "phi"
    subnets = {one["SubnetIdentifier"] for one in found["DBSubnetGroup"]["Subnets"]}
    known = {one["SubnetId"]: one for one in aws("ec2").describe_subnets()["Subnets"]}
    assert {tag["Value"] for one in subnets for tag in known[one]["Tags"] if tag["Key"] == "tier"} == {"data"}


def test_the_replica_takes_only_tls_and_as_many_connections_as_its_source(aws):
    def values(region: str, name: str) -> dict[str, str]:
        listed = aws("rds", region).describe_db_parameters(DBParameterGroupName=name)["Parameters"]
        return {one["ParameterName"]: one.get("ParameterValue", "") for one in listed}

    first, second = values(FIRST, f"{NAME}-db"), values(SECOND, f"{NAME}-db-replica")
    assert second["rds.force_ssl"] == "1"
    assert second["max_connections"] == first["max_connections"]


def test_no_secrets_manager_keeps_a_master_password_because_rds_then_makes_no_replica(aws):
    for region in (FIRST, SECOND):
        for found in aws("rds", region).describe_db_instances()["DBInstances"]:
            assert "MasterUserSecret" not in found


def test_tasks_would_have_a_network_of_their_own_with_fixed_addresses(aws):
    ec2 = aws("ec2")
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": [NAME]}])["Vpcs"]
    (other,) = aws("ec2", FIRST).describe_vpcs(Filters=[{"Name": "tag:Name", "Values": [NAME]}])["Vpcs"]
    assert vpc["CidrBlock"] != other["CidrBlock"]
    gateways = ec2.describe_nat_gateways(Filter=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["NatGateways"]
    assert len(gateways) == 2
    assert len({one["PublicIp"] for gateway in gateways for one in gateway["NatGatewayAddresses"]}) == 2


def test_the_service_has_no_task_and_scaling_would_not_take_fewer_than_two(aws):
    ecs = aws("ecs")
    workers = [f"{NAME}-{queue}-worker" for queue in ("claims", "notifications", "exports")]
    found = ecs.describe_services(cluster=NAME, services=[f"{NAME}-web", *workers])["services"]
    assert [(one["status"], one["desiredCount"]) for one in found] == [("ACTIVE", 0)] * 4
    scaled = aws("application-autoscaling").describe_scalable_targets(
        ServiceNamespace="ecs", ResourceIds=[f"service/{NAME}/{NAME}-web"]
    )["ScalableTargets"]
    assert [(one["MinCapacity"], one["MaxCapacity"]) for one in scaled] == [(2, 6)]
    (targets,) = aws("elbv2").describe_target_groups(Names=[f"{NAME}-web"])["TargetGroups"]
    assert set(targets["LoadBalancerArns"]) == {balancer(aws, SECOND)["LoadBalancerArn"]}


def test_its_tasks_get_the_database_of_their_region_and_all_else_from_replicas_there(aws):
    definition = aws("ecs").describe_task_definition(taskDefinition=f"{NAME}-web")["taskDefinition"]
    (container,) = definition["containerDefinitions"]
    wanted = {one["name"]: one["valueFrom"] for one in container["secrets"]}
    prefix = f"arn:aws:secretsmanager:{SECOND}:{ACCOUNT}:secret:daily-emr/sandbox"
    assert wanted["DATABASE_URL"] == f"{prefix}/recovery/DATABASE_URL"
    assert wanted["SESSION_PASSWORD"] == f"{prefix}/SESSION_PASSWORD"
    assert f".ecr.{SECOND}.amazonaws.com/" in container["image"]
    listed = aws("secretsmanager").get_paginator("list_secrets").paginate()
    there = {one["Name"] for page in listed for one in page["SecretList"]}
    assert {arn.partition(":secret:")[2] for arn in wanted.values()} <= there


def test_what_its_tasks_ask_for_may_be_read_by_the_role_that_starts_them(aws):
    document = aws("iam").get_role_policy(RoleName=f"{NAME}-execution", PolicyName="execution")["PolicyDocument"]
    statements = document["Statement"]
    (secrets,) = [one["Resource"] for one in statements if one["Action"] == "secretsmanager:GetSecretValue"]
    assert secrets == [
        f"arn:aws:secretsmanager:{region}:{ACCOUNT}:secret:daily-emr/sandbox/*" for region in (FIRST, SECOND)
    ]


def test_images_are_kept_as_in_the_first_region(aws):
    (found,) = aws("ecr").describe_repositories(repositoryNames=[f"{NAME}-web"])["repositories"]
    assert found["imageTagMutability"] == "IMMUTABLE"
    assert aws("ecr").describe_registry()["replicationConfiguration"]["rules"] == []


def test_sessions_and_queues_are_there_and_small(aws):
    for name, policy in (("sessions", "volatile-lru"), ("queues", "noeviction")):
        (found,) = aws("elasticache").describe_replication_groups(ReplicationGroupId=f"{NAME}-{name}")[
            "ReplicationGroups"
        ]
        assert (found["CacheNodeType"], found["TransitEncryptionEnabled"]) == ("cache.t4g.micro", True)
        pages = aws("elasticache").get_paginator("describe_cache_parameters")
        values = {
            one["ParameterName"]: one.get("ParameterValue")
            for page in pages.paginate(CacheParameterGroupName=f"{NAME}-{name}")
            for one in page["Parameters"]
        }
        assert values["maxmemory-policy"] == policy


def test_a_web_acl_stands_in_front_and_says_what_it_blocks(aws):
    waf = aws("wafv2")
    arn = balancer(aws, SECOND)["LoadBalancerArn"]
    acl = waf.get_web_acl_for_resource(ResourceArn=arn)["WebACL"]
    assert acl["Name"] == NAME
    logged = waf.get_logging_configuration(ResourceArn=acl["ARN"])["LoggingConfiguration"]["LogDestinationConfigs"]
    assert logged == [f"arn:aws:logs:{SECOND}:{ACCOUNT}:log-group:aws-waf-logs-{NAME}"]


def test_the_canary_asks_the_first_region_and_an_unknown_answer_is_not_a_dead_region(aws, alarms):
    (canary,) = aws("synthetics").describe_canaries(Names=[f"{NAME}-first-region"])["Canaries"]
    assert (canary["Status"]["State"], canary["Schedule"]["Expression"]) == ("RUNNING", "rate(1 minute)")
    bucket = canary["ArtifactS3Location"].removeprefix("s3://").partition("/")[0]
    assert aws("s3").get_bucket_location(Bucket=bucket)["LocationConstraint"] == SECOND
    alarm = alarms["first-region-unreachable"]
    assert alarm["Dimensions"] == [{"Name": "CanaryName", "Value": canary["Name"]}]
    assert (alarm["MetricName"], alarm["TreatMissingData"]) == ("SuccessPercent", "missing")


def test_nothing_rings_because_nothing_runs_there(alarms):
    assert {"first-region-unreachable", "second-region-serves", "replica-lag", "error-ratio"} == set(alarms)
    topic = f"arn:aws:sns:{SECOND}:{ACCOUNT}:{NAME}-oncall"
    assert all(alarm["AlarmActions"] == [topic] for alarm in alarms.values())


def test_dns_turns_by_the_switch_of_the_failover_alone(aws, alarms, records):
    switch = alarms["second-region-serves"]
    assert (switch["Namespace"], switch["MetricName"]) == ("DailyEMR/Region", "SecondRegionServes")
    assert (switch["Threshold"], switch["TreatMissingData"]) == (1.0, "ignore")
    (check,) = aws("route53").list_health_checks()["HealthChecks"]
    config = check["HealthCheckConfig"]
    assert config["AlarmIdentifier"] == {"Region": SECOND, "Name": switch["AlarmName"]}
    assert (config["Type"], config["InsufficientDataHealthStatus"]) == ("CLOUDWATCH_METRIC", "LastKnownStatus")
    assert records[f"origin.{DOMAIN}", "PRIMARY"]["HealthCheckId"] == check["Id"]
    assert "HealthCheckId" not in records[f"origin.{DOMAIN}", "SECONDARY"]
    assert not any(record["AliasTarget"]["EvaluateTargetHealth"] for record in records.values())


def test_each_name_leads_where_it_says(aws, records):
    first, second = (f"{balancer(aws, region)['DNSName']}." for region in (FIRST, SECOND))
    (edge,) = aws("cloudfront").list_distributions()["DistributionList"]["Items"]
    assert {name: record["AliasTarget"]["DNSName"] for name, record in records.items()} == {
        (f"origin-first.{DOMAIN}", ""): first,
        (f"origin-second.{DOMAIN}", ""): second,
        (f"origin.{DOMAIN}", "PRIMARY"): first,
        (f"origin.{DOMAIN}", "SECONDARY"): second,
        (DOMAIN, ""): f"{edge['DomainName']}.",
    }


def test_its_fingerprint_and_its_table_are_its_own(aws):
    value = aws("ssm").get_parameter(Name="/daily-emr/sandbox/fingerprint")["Parameter"]["Value"]
    assert json.loads(value) == {"environment": "sandbox", "account_id": ACCOUNT, "region": SECOND}
    assert aws("dynamodb").describe_table(TableName=f"{NAME}-runbooks")["Table"]["DeletionProtectionEnabled"] is True


def test_a_failover_finds_everything_there_by_name(tmp_path):
    """Its plan, as the role that fails over. Servers are not there: only what AWS knows can be read."""
    since = int(calls(STATE)[-1]["seq"])
    done = subprocess.run(
        ["ansible-playbook", "-i", "inventories/sandbox", "playbooks/region_failover.yml", "--check", "--diff"],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        env={**os.environ, "DAILY_EMR_SANDBOX": str(STATE / RECOVERER), "DAILY_EMR_RUNS": str(tmp_path)},
    )  # fmt: skip
    seen = calls(STATE, since)
    assert {("rds", "DescribeDBInstances"), ("cloudwatch", "DescribeAlarms")} <= {
        (call["service"], call["operation"]) for call in seen
    }, done.stdout
    assert [(call["operation"], call["error"]) for call in seen if call["error"] or call["mutating"]] == []
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("*/*/record.json"))
    observed = {one["name"]: one for one in record["observations"]}
    assert "control plane calls the database available" in observed["first_region_unclear"]["seen"]
    # RDS knows the replica; behind its address nobody answers.
    assert observed["replica_unusable"]["seen"] == "the replica is available and follows"
    assert {name for name, one in observed.items() if one["status"] == "unknown"} == {"replica_behind"}
