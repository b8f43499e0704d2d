"""Services whose state must be right: DynamoDB, Secrets Manager, RDS, ElastiCache, ECR, Application Auto Scaling."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from daily_emr_sandbox.seed import seed

from tests.sandbox.aws_only import Aws, running_aws


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with running_aws(tmp_path_factory.mktemp("state")) as running:
        seed(running.settings, running.server)
        yield running


# Secrets Manager.


@pytest.fixture
def secret(aws: Aws) -> Any:
    """A secret with two versions, the old one AWSPREVIOUS."""
    client, name = aws.client("secretsmanager"), f"test/{uuid.uuid4()}"

    class Secret:
        first = client.create_secret(Name=name, SecretString="one")["VersionId"]
        second = client.put_secret_value(SecretId=name, SecretString="two")["VersionId"]

        def value(self, **which: str) -> str:
            return str(client.get_secret_value(SecretId=name, **which)["SecretString"])

        def move(self, **how: str) -> None:
            client.update_secret_version_stage(SecretId=name, VersionStage="AWSCURRENT", **how)

        def stages(self) -> dict[str, list[str]]:
            found = client.list_secret_version_ids(SecretId=name)["Versions"]
            return {version["VersionId"]: version["VersionStages"] for version in found}

        def dates(self) -> tuple[Any, dict[str, Any]]:
            found = client.list_secret_version_ids(SecretId=name)["Versions"]
            changed = client.describe_secret(SecretId=name)["LastChangedDate"]
            return changed, {version["VersionId"]: version["CreatedDate"] for version in found}

    return Secret()


def test_moving_the_label_moves_what_is_read(secret: Any) -> None:
    assert secret.value() == secret.value(VersionStage="AWSCURRENT") == "two"

    secret.move(MoveToVersionId=secret.first, RemoveFromVersionId=secret.second)

    assert secret.value() == secret.value(VersionStage="AWSCURRENT") == "one"
    assert secret.value(VersionStage="AWSPREVIOUS") == "two"
    assert secret.stages() == {secret.first: ["AWSCURRENT"], secret.second: ["AWSPREVIOUS"]}


def test_a_value_keeps_the_date_it_was_written_and_the_secret_that_of_its_change(secret: Any) -> None:
    changed, written = secret.dates()
    assert written[secret.first] < written[secret.second] <= changed

    secret.move(MoveToVersionId=secret.first, RemoveFromVersionId=secret.second)

    changed_again, written_again = secret.dates()
    assert written_again == written
    assert changed_again > changed


@pytest.mark.parametrize("how", ["without its holder", "to nothing", "to an unknown version"])
def test_a_label_that_cannot_be_moved_stays(secret: Any, how: str) -> None:
    before = secret.stages()
    moves = {
        "without its holder": {"MoveToVersionId": secret.first},
        "to nothing": {"RemoveFromVersionId": secret.second},
        "to an unknown version": {"MoveToVersionId": str(uuid.uuid4()), "RemoveFromVersionId": secret.second},
    }

    with pytest.raises(ClientError, match=r"InvalidParameterException|ResourceNotFoundException"):
        secret.move(**moves[how])

    assert secret.stages() == before
    assert secret.value() == "two"


# RDS and ElastiCache.


def test_the_database_is_described_by_where_it_really_is(aws: Aws) -> None:
    settings = aws.settings
    aws.server.database_status = lambda: "available"

    found = aws.client("rds").describe_db_instances(DBInstanceIdentifier=f"{settings.prefix}-db")["DBInstances"][0]

    assert (found["Endpoint"]["Address"], found["Endpoint"]["Port"]) == (
        settings.database_address,
        settings.database_port,
    )
    assert found["MultiAZ"]
    assert (found["AvailabilityZone"], found["SecondaryAvailabilityZone"]) == settings.zones[:2]
    assert {subnet["SubnetAvailabilityZone"]["Name"] for subnet in found["DBSubnetGroup"]["Subnets"]} == set(
        settings.zones
    )
    assert {tag["Key"]: tag["Value"] for tag in found["TagList"]}["schema_version"] == "13"


def test_the_state_of_the_database_is_asked_every_time(aws: Aws) -> None:
    client, name = aws.client("rds"), f"{aws.settings.prefix}-db"

    seen = []
    for status in ("stopped", "rebooting", "available"):
        aws.server.database_status = lambda status=status: status
        seen.append(client.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]["DBInstanceStatus"])

    assert seen == ["stopped", "rebooting", "available"]


def test_a_reboot_is_not_pretended(aws: Aws) -> None:
    aws.server.database_status = lambda: "available"

    with pytest.raises(ClientError, match="SandboxNotImplemented"):
        aws.client("rds").reboot_db_instance(DBInstanceIdentifier=f"{aws.settings.prefix}-db", ForceFailover=True)


def test_the_session_cache_is_where_the_real_one_is(aws: Aws) -> None:
    answer = aws.client("elasticache").describe_replication_groups(ReplicationGroupId=f"{aws.settings.prefix}-sessions")

    group = answer["ReplicationGroups"][0]
    assert group["Status"] == "available"
    endpoint = group["NodeGroups"][0]["PrimaryEndpoint"]
    assert endpoint == {"Address": aws.settings.cache_address, "Port": aws.settings.cache_port}


def test_automatic_failover_needs_a_replica(aws: Aws) -> None:
    with pytest.raises(ClientError, match="InvalidParameterCombination"):
        aws.client("elasticache").create_replication_group(
            ReplicationGroupId="alone", ReplicationGroupDescription="alone", NumCacheClusters=1,
            AutomaticFailoverEnabled=True,
        )  # fmt: skip


# ECR.


def push(aws: Aws, tag: str, **more: str) -> str:
    media = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = json.dumps({"schemaVersion": 2, "mediaType": media, "config": {"digest": tag}, "layers": []})
    put = aws.client("ecr").put_image(repositoryName=aws.settings.web, imageManifest=manifest, imageTag=tag, **more)
    return str(put["image"]["imageId"]["imageDigest"])


def test_an_image_is_found_by_its_digest_until_it_is_deleted_and_comes_back_with_the_same(aws: Aws) -> None:
    client, repository = aws.client("ecr"), aws.settings.web
    digest, other = push(aws, "pushed"), push(aws, "other")
    which = {"repositoryName": repository, "imageIds": [{"imageDigest": digest}]}
    assert digest != other
    assert client.describe_images(**which)["imageDetails"][0]["imageTags"] == ["pushed"]

    client.batch_delete_image(**which)

    with pytest.raises(client.exceptions.ImageNotFoundException):
        client.describe_images(**which)
    assert push(aws, "pushed") == digest
    assert client.describe_images(**which)["imageDetails"][0]["imageDigest"] == digest


def test_a_digest_that_is_not_that_of_the_manifest_is_refused(aws: Aws) -> None:
    with pytest.raises(ClientError, match="ImageDigestDoesNotMatchException"):
        push(aws, "wrong", imageDigest=f"sha256:{'0' * 64}")


# Application Auto Scaling.


@pytest.fixture
def limits(aws: Aws) -> Iterator[Any]:
    """Set the limits of the service; what they were is put back."""
    client, ecs = aws.client("application-autoscaling"), aws.client("ecs")
    prefix, web = aws.settings.prefix, aws.settings.web
    target = {"ServiceNamespace": "ecs", "ResourceId": f"service/{prefix}/{web}",
              "ScalableDimension": "ecs:service:DesiredCount"}  # fmt: skip

    class Limits:
        def set(self, **limits: Any) -> None:
            client.register_scalable_target(**target, **limits)

        def get(self) -> tuple[int, int]:
            found = client.describe_scalable_targets(ServiceNamespace="ecs", ResourceIds=[target["ResourceId"]])
            return found["ScalableTargets"][0]["MinCapacity"], found["ScalableTargets"][0]["MaxCapacity"]

        def activities(self) -> list[dict[str, Any]]:
            return list(client.describe_scaling_activities(**target)["ScalingActivities"])

        def desired(self, count: int | None = None) -> int:
            if count is not None:
                ecs.update_service(cluster=prefix, service=web, desiredCount=count)
            return int(ecs.describe_services(cluster=prefix, services=[web])["services"][0]["desiredCount"])

    yield Limits()
    Limits().set(MinCapacity=2, MaxCapacity=6, SuspendedState={"DynamicScalingOutSuspended": False})
    Limits().desired(2)


def test_a_higher_minimum_scales_the_service_out(limits: Any) -> None:
    known = len(limits.activities())

    limits.set(MinCapacity=4)

    assert limits.get() == (4, 6)
    assert limits.desired() == 4
    newest, *rest = limits.activities()
    assert len(rest) == known
    assert (newest["Description"], newest["Cause"]) == ("Setting desired count to 4.", "minimum capacity was set to 4")
    assert newest["StatusCode"] == "InProgress"  # no scheduler runs here, so no task can start


def test_a_service_that_somebody_scaled_below_its_minimum_stays_there(limits: Any) -> None:
    limits.desired(0)

    assert limits.get() == (2, 6)
    assert limits.desired() == 0


def test_a_lower_maximum_scales_the_service_in(limits: Any) -> None:
    limits.desired(6)

    limits.set(MaxCapacity=3)

    assert limits.desired() == 3


def test_a_suspended_target_does_not_scale(limits: Any) -> None:
    limits.set(MinCapacity=5, SuspendedState={"DynamicScalingOutSuspended": True})

    assert limits.desired() == 2


@pytest.mark.parametrize("wrong", [{"MinCapacity": 7}, {"MaxCapacity": 1}, {"MinCapacity": -1}])
def test_limits_that_contradict_each_other_are_refused(limits: Any, wrong: dict[str, int]) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        limits.set(**wrong)

    assert limits.get() == (2, 6)


def test_the_first_registration_needs_both_limits(aws: Aws) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        aws.client("application-autoscaling").register_scalable_target(
            ServiceNamespace="ecs", ResourceId=f"service/{aws.settings.prefix}/other",
            ScalableDimension="ecs:service:DesiredCount", MinCapacity=1,
        )  # fmt: skip


# Read replicas of RDS, and health checks of Route 53.


@pytest.fixture(scope="module")
def source(aws: Aws) -> str:
    """ARN of an encrypted instance with backups."""
    made = aws.client("rds").create_db_instance(
        DBInstanceIdentifier="followed", DBInstanceClass="db.m6g.large", Engine="postgres", EngineVersion="18.1",
        AllocatedStorage=20, StorageEncrypted=True, MasterUsername="postgres", MasterUserPassword="a-word-for-a-test",
        BackupRetentionPeriod=7, MultiAZ=True, DeletionProtection=True, Tags=[{"Key": "of", "Value": "the source"}],
    )  # fmt: skip
    return str(made["DBInstance"]["DBInstanceArn"])


def test_a_replica_abroad_is_an_instance_of_its_own(aws: Aws, source: str) -> None:
    rds = aws.client("rds", region="eu-west-1")
    made = rds.create_db_instance_read_replica(
        DBInstanceIdentifier="follower",
        SourceDBInstanceIdentifier=source,
        SourceRegion="af-south-1",
        KmsKeyId="alias/x",
    )["DBInstance"]
    assert made["DBInstanceArn"] == source.replace("af-south-1", "eu-west-1").replace("followed", "follower")
    assert made["ReadReplicaSourceDBInstanceIdentifier"] == source
    # Neither backups, nor a second zone, protection or tags come from its source.
    assert (made["BackupRetentionPeriod"], made["MultiAZ"], made["DeletionProtection"]) == (0, False, False)
    assert (made["TagList"], made["KmsKeyId"]) == ([], "alias/x")
    first = aws.client("rds").describe_db_instances(DBInstanceIdentifier="followed")["DBInstances"][0]
    assert first["ReadReplicaDBInstanceIdentifiers"] == [made["DBInstanceArn"]]


@pytest.mark.parametrize(
    ("changed", "key", "code"),
    [
        pytest.param({}, {}, "InvalidParameterCombination", id="no key where it is"),
        pytest.param(
            {"ManageMasterUserPassword": True}, {"KmsKeyId": "x"}, "InvalidParameterValue", id="kept password"
        ),
        pytest.param({"BackupRetentionPeriod": 0}, {"KmsKeyId": "x"}, "InvalidDBInstanceState", id="no backups"),
    ],
)
def test_a_replica_is_refused_as_rds_refuses_it(
    aws: Aws, changed: dict[str, Any], key: dict[str, str], code: str
) -> None:
    first, name = aws.client("rds"), f"followed-{uuid.uuid4()}"
    made = first.create_db_instance(
        DBInstanceIdentifier=name, DBInstanceClass="db.m6g.large", Engine="postgres", AllocatedStorage=20,
        StorageEncrypted=True, MasterUsername="postgres", **{"BackupRetentionPeriod": 7, **changed},
        **({} if changed.get("ManageMasterUserPassword") else {"MasterUserPassword": "a-word-for-a-test"}),
    )["DBInstance"]  # fmt: skip
    with pytest.raises(ClientError) as caught:
        aws.client("rds", region="eu-west-1").create_db_instance_read_replica(
            DBInstanceIdentifier=f"{name}-replica", SourceDBInstanceIdentifier=made["DBInstanceArn"], **key
        )
    assert caught.value.response["Error"]["Code"] == code


def test_a_health_check_keeps_the_alarm_that_it_follows(aws: Aws) -> None:
    route53 = aws.client("route53")
    followed = {"Region": "eu-west-1", "Name": "an-alarm"}
    made = route53.create_health_check(
        CallerReference=str(uuid.uuid4()),
        HealthCheckConfig={
            "Type": "CLOUDWATCH_METRIC", "AlarmIdentifier": followed, "InsufficientDataHealthStatus": "LastKnownStatus",
        },
    )["HealthCheck"]  # fmt: skip
    route53.update_health_check(HealthCheckId=made["Id"], InsufficientDataHealthStatus="Unhealthy")
    config = route53.get_health_check(HealthCheckId=made["Id"])["HealthCheck"]["HealthCheckConfig"]
    assert config["AlarmIdentifier"] == followed
    assert config["InsufficientDataHealthStatus"] == "Unhealthy"
    assert "Port" not in config
