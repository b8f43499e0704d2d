"""The environment that a sandbox starts with: everything the bootstrap would create, by the same names.

Built through the API, as a colleague would, so that AWS's own rules check it. Only the past is written into the
backends directly: no API can make something old.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .aws.session_policies import EVERYTHING
from .compute import Past, ecs_api, seed_history
from .postgres_node import DATABASE, PARAMETERS
from .queues.seed import QueueSeed
from .seed_audit import seed_audit
from .seed_dumps import seed_dumps
from .seed_watch import seed_alarms, seed_web_acl
from .settings import TASK_PORT
from .telehealth.seed import seed_telehealth

if TYPE_CHECKING:
    from .aws.server import AwsServer
    from .settings import Settings

DAY_S = 24 * 3600.0
CONTAINER = "web"
DESIRED, MINIMUM, MAXIMUM = 2, 2, 6
CPU_TARGET = 60.0
LOGS_KEPT_DAYS = 30
SCHEMA_VERSION = "13"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class Release:
    """A release that was deployed some time ago and went well."""

    name: str
    ago_s: float
    schema_compat: str


RELEASES = (Release("2026.45.3", 9 * DAY_S, "12-14"), Release("2026.47.1", 3 * DAY_S, "12-14"))
"""Oldest first; the last one runs."""
SECRETS_AGE_S = 30 * DAY_S


def seed(settings: Settings, aws: AwsServer) -> None:
    """Build the environment in an empty AWS. Not with the mutex held."""
    ecs_api.install()  # the service must be of its kind, also where no scheduler runs
    Seed(settings, aws).build()


def push_image(aws: AwsServer, repository: str, release: str) -> str:
    """Put the image of a release into a repository that exists; its digest."""
    config = {
        "mediaType": "application/vnd.docker.container.image.v1+json",
        "size": 7023,
        "digest": f"sha256:{hashlib.sha256(f'{repository} {release}'.encode()).hexdigest()}",
    }
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []})
    pushed = aws.boto("ecr").put_image(repositoryName=repository, imageManifest=manifest, imageTag=release)
    digest: str = pushed["image"]["imageId"]["imageDigest"]
    return digest


def write_the_past(settings: Settings, aws: AwsServer) -> None:
    """Images, secrets and changes are as old as they would be; building the environment is no recent change."""
    now = dt.datetime.now(dt.UTC)
    with aws.mutex:
        images = {image.image_tag: image for image in aws.backend("ecr").repositories[settings.web].images}
        for release in RELEASES:
            images[release.name].image_pushed_at = int(now.timestamp() - release.ago_s)
        written = now.timestamp() - SECRETS_AGE_S
        for secret in aws.backend("secretsmanager").secrets.values():
            secret.created_date = secret.last_changed_date = written
            for version in secret.versions.values():
                version["createdate"] = written
    aws.trail.clear()
    for release in RELEASES:
        aws.trail.add(
            "UpdateService", source="ecs.amazonaws.com", username="release-manager",
            resources=[("AWS::ECS::Service", settings.web)], at=now - dt.timedelta(seconds=release.ago_s),
        )  # fmt: skip


class Seed:
    """One building of the environment."""

    def __init__(self, settings: Settings, aws: AwsServer) -> None:
        self._settings, self._aws = settings, aws
        self._queues = "queues" in settings.parts
        self._tags = {"app": "daily-emr", "Environment": settings.environment}

    def build(self) -> None:
        settings = self._settings
        subnets, group = self._network()
        balancer, targets = self._balancer(subnets, group)
        self._data(subnets, group)
        arns = self._secrets()
        definitions = [self._release(release, arns) for release in RELEASES]
        self._service(definitions, subnets, group, targets)
        if self._queues:
            network = self._network_of_tasks(subnets, group)
            QueueSeed(settings, self._aws, self._tags).build(network, arns["DATABASE_URL"])
        if "telehealth" in settings.parts:
            seed_telehealth(settings, self._aws, self._tags)
        self._scaling()
        self._table()
        self._roles()
        seed_web_acl(settings, self._aws, balancer, self._tag_list())
        seed_dumps(settings, self._aws, self._tag_list())
        seed_audit(settings, self._aws, self._tag_list())
        self._seed_signing_key()
        seed_alarms(settings, self._aws, balancer, targets, MINIMUM)
        write_the_past(settings, self._aws)

    def _seed_signing_key(self) -> None:
        """The key by which the gate of releases signs its answers."""
        kms = self._aws.boto("kms")
        tags = [{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in self._tag_list()]
        key = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256", Tags=tags)["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName=f"alias/{self._settings.prefix}-release-gate", TargetKeyId=key)

    def _tag_list(self, key: str = "Key", value: str = "Value", **more: str) -> list[dict[str, str]]:
        """Tags in the spelling of a service."""
        return [{key: name, value: content} for name, content in (self._tags | more).items()]

    def _network(self) -> tuple[list[str], str]:
        ec2, name = self._aws.boto("ec2"), self._settings.prefix

        def tagged(kind: str, named: str) -> list[dict[str, Any]]:
            return [{"ResourceType": kind, "Tags": self._tag_list(Name=named)}]

        vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16", TagSpecifications=tagged("vpc", name))["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(
                VpcId=vpc, CidrBlock=f"10.20.{number}.0/24", AvailabilityZone=zone,
                TagSpecifications=tagged("subnet", f"{name}-{zone[-1]}"),
            )["Subnet"]["SubnetId"]
            for number, zone in enumerate(self._settings.zones)
        ]  # fmt: skip
        group = ec2.create_security_group(
            GroupName=name, Description="Daily EMR", VpcId=vpc, TagSpecifications=tagged("security-group", name)
        )["GroupId"]
        self._vpc = vpc
        return subnets, group

    def _balancer(self, subnets: list[str], group: str) -> tuple[str, str]:
        """ARNs of the load balancer and the target group that it forwards to. The alternate one waits for a canary."""
        elbv2, settings = self._aws.boto("elbv2"), self._settings
        balancer: str = elbv2.create_load_balancer(
            Name=settings.prefix, Subnets=subnets, SecurityGroups=[group], Scheme="internet-facing",
            Type="application", Tags=self._tag_list(),
        )["LoadBalancers"][0]["LoadBalancerArn"]  # fmt: skip
        elbv2.modify_load_balancer_attributes(
            LoadBalancerArn=balancer, Attributes=[{"Key": "zonal_shift.config.enabled", "Value": "true"}]
        )
        targets, _ = (self._target_group(name) for name in (settings.web, settings.web_alternate))
        elbv2.create_listener(
            LoadBalancerArn=balancer, Protocol="HTTP", Port=80, Tags=self._tag_list(),
            DefaultActions=[{"Type": "forward", "TargetGroupArn": targets}],
        )  # fmt: skip
        return balancer, targets

    def _target_group(self, name: str) -> str:
        elbv2 = self._aws.boto("elbv2")
        made: str = elbv2.create_target_group(
            Name=name, Protocol="HTTP", Port=TASK_PORT, VpcId=self._vpc, TargetType="ip",
            HealthCheckPath="/livez", HealthCheckIntervalSeconds=10, HealthCheckTimeoutSeconds=5,
            HealthyThresholdCount=2, UnhealthyThresholdCount=2, Matcher={"HttpCode": "200"}, Tags=self._tag_list(),
        )["TargetGroups"][0]["TargetGroupArn"]  # fmt: skip
        elbv2.modify_target_group_attributes(
            TargetGroupArn=made, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "30"}]
        )
        return made

    def _data(self, subnets: list[str], group: str) -> None:
        """The database, with the limit on connections that the real one has, and the replication groups."""
        rds, settings = self._aws.boto("rds"), self._settings
        name = settings.database_name
        rds.create_db_subnet_group(
            DBSubnetGroupName=name, DBSubnetGroupDescription="Daily EMR", SubnetIds=subnets, Tags=self._tag_list()
        )
        rds.create_db_parameter_group(
            DBParameterGroupName=name,
            DBParameterGroupFamily="postgres18",
            Description="Daily EMR",
            Tags=self._tag_list(),
        )
        limit = {"ParameterName": "max_connections", "ParameterValue": PARAMETERS["max_connections"]}
        rds.modify_db_parameter_group(DBParameterGroupName=name, Parameters=[limit | {"ApplyMethod": "pending-reboot"}])
        rds.create_db_instance(
            DBInstanceIdentifier=name, DBInstanceClass="db.m6g.large", Engine="postgres", EngineVersion="18.1",
            DBName=DATABASE, Port=settings.database_port, AllocatedStorage=100, StorageEncrypted=True, MultiAZ=True,
            AvailabilityZone=settings.zones[0], DBSubnetGroupName=name, DBParameterGroupName=name,
            VpcSecurityGroupIds=[group], MasterUsername="postgres", MasterUserPassword=secrets.token_urlsafe(32),
            BackupRetentionPeriod=7, DeletionProtection=True, Tags=self._tag_list(schema_version=SCHEMA_VERSION),
        )  # fmt: skip
        elasticache = self._aws.boto("elasticache")
        one = {"NumCacheClusters": 1, "Port": settings.cache_port, "AutomaticFailoverEnabled": False}
        pair = {
            "ReplicasPerNodeGroup": 1,
            "Port": settings.queue_port,
            "AutomaticFailoverEnabled": True,
            "MultiAZEnabled": True,
        }
        for name, kind in ((settings.cache_name, one), (settings.queue_group, pair if self._queues else one)):
            elasticache.create_replication_group(
                ReplicationGroupId=name, ReplicationGroupDescription="Daily EMR", Engine="valkey",
                CacheNodeType="cache.t4g.small", PreferredCacheClusterAZs=list(settings.zones[:2]),
                Tags=self._tag_list(), **kind,
            )  # fmt: skip

    def _secrets(self) -> dict[str, str]:
        """ARN of each secret, by the variable that a task gets it in. The servers take their passwords from them."""
        settings, client = self._settings, self._aws.boto("secretsmanager")
        place = f"{settings.database_address}:{settings.database_port}"
        values = {
            "DATABASE_URL": (
                settings.database_secret, f"postgresql://emr_application:{secrets.token_hex(16)}@{place}/{DATABASE}"
            ),
            "SESSION_PASSWORD": (settings.session_secret, secrets.token_hex(16)),
        }  # fmt: skip
        return {
            variable: client.create_secret(Name=name, SecretString=value, Tags=self._tag_list())["ARN"]
            for variable, (name, value) in values.items()
        }

    def _release(self, release: Release, secret_arns: dict[str, str]) -> str:
        """Push the image of a release and register its task definition; ARN."""
        settings, web = self._settings, self._settings.web
        ecr, ecs = self._aws.boto("ecr"), self._aws.boto("ecs")
        if release is RELEASES[0]:
            ecr.create_repository(repositoryName=web, imageTagMutability="IMMUTABLE", tags=self._tag_list())
            ecs.create_cluster(clusterName=settings.prefix, tags=self._tag_list("key", "value"))
            logs = self._aws.boto("logs")
            logs.create_log_group(logGroupName=settings.web_logs, tags=self._tags)
            logs.put_retention_policy(logGroupName=settings.web_logs, retentionInDays=LOGS_KEPT_DAYS)
        digest = push_image(self._aws, web, release.name)
        role = f"arn:aws:iam::{settings.account_id}:role/{web}"
        registered = ecs.register_task_definition(
            family=web, networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256", memory="512",
            taskRoleArn=f"{role}-task", executionRoleArn=f"{role}-execution",
            tags=self._tag_list("key", "value", release=release.name, schema_compat=release.schema_compat),
            containerDefinitions=[
                {
                    "name": CONTAINER,
                    "image": f"{settings.account_id}.dkr.ecr.{settings.region}.amazonaws.com/{web}@{digest}",
                    "essential": True,
                    "portMappings": [{"containerPort": TASK_PORT, "protocol": "tcp"}],
                    "stopTimeout": 30,
                    "environment": [{"name": "RELEASE", "value": release.name}],
                    "logConfiguration": {
                        "logDriver": "awslogs",
                        "options": {
                            "awslogs-group": settings.web_logs,
                            "awslogs-region": settings.region,
                            "awslogs-stream-prefix": CONTAINER,
                        },
                    },
                    "secrets": [{"name": name, "valueFrom": arn} for name, arn in secret_arns.items()],
                }
            ],
        )  # fmt: skip
        arn: str = registered["taskDefinition"]["taskDefinitionArn"]
        return arn

    def _service(self, definitions: list[str], subnets: list[str], group: str, targets: str) -> None:
        """The service on the newest release, with all of them in its past."""
        settings = self._settings
        self._aws.boto("ecs").create_service(
            cluster=settings.prefix, serviceName=settings.web, taskDefinition=definitions[-1], desiredCount=DESIRED,
            launchType="FARGATE", healthCheckGracePeriodSeconds=60,
            networkConfiguration=self._network_of_tasks(subnets, group),
            loadBalancers=[{"targetGroupArn": targets, "containerName": CONTAINER, "containerPort": TASK_PORT}],
            deploymentConfiguration={
                "deploymentCircuitBreaker": {"enable": True, "rollback": True},
                "minimumHealthyPercent": 100,
                "maximumPercent": 200,
            },
            tags=self._tag_list("key", "value"),
        )  # fmt: skip
        pasts = [Past(arn, release.ago_s) for arn, release in zip(definitions, RELEASES, strict=True)]
        with self._aws.mutex:
            seed_history(self._aws, settings.prefix, settings.web, pasts)

    @staticmethod
    def _network_of_tasks(subnets: list[str], group: str) -> dict[str, Any]:
        return {"awsvpcConfiguration": {"subnets": subnets, "securityGroups": [group], "assignPublicIp": "DISABLED"}}

    def _scaling(self) -> None:
        scaling = self._aws.boto("application-autoscaling")
        target = {
            "ServiceNamespace": "ecs",
            "ResourceId": f"service/{self._settings.prefix}/{self._settings.web}",
            "ScalableDimension": "ecs:service:DesiredCount",
        }
        scaling.register_scalable_target(**target, MinCapacity=MINIMUM, MaxCapacity=MAXIMUM)
        metric = {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}
        scaling.put_scaling_policy(
            **target, PolicyName=f"{self._settings.web}-cpu", PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "TargetValue": CPU_TARGET, "PredefinedMetricSpecification": metric,
                "ScaleInCooldown": 300, "ScaleOutCooldown": 60,
            },
        )  # fmt: skip

    def _table(self) -> None:
        """What every run needs: the table of journals and leases, and the fingerprint of the environment."""
        settings = self._settings
        self._aws.boto("dynamodb").create_table(
            TableName=f"{settings.prefix}-runbooks", BillingMode="PAY_PER_REQUEST", Tags=self._tag_list(),
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        )  # fmt: skip
        fingerprint = {
            "environment": settings.environment,
            "account_id": settings.account_id,
            "region": settings.region,
        }
        self._aws.boto("ssm").put_parameter(
            Name=f"/daily-emr/{settings.environment}/fingerprint", Type="String", Value=json.dumps(fingerprint),
            Tags=self._tag_list(),
        )  # fmt: skip

    def _roles(self) -> None:
        """The roles of runbooks."""
        settings = self._settings
        who = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{settings.account_id}:root"}}
        trust = json.dumps({"Version": "2012-10-17", "Statement": [who | {"Action": "sts:AssumeRole"}]})
        for purpose in ("diagnose", "act"):
            self._aws.boto("iam").create_role(
                RoleName=f"{settings.prefix}-runbook-{purpose}", AssumeRolePolicyDocument=trust, Tags=self._tag_list()
            )
        # No call is held to the policies of a role here, so the simulation of them says what is so: it may everything.
        self._aws.boto("iam").put_role_policy(
            RoleName=f"{settings.prefix}-runbook-act", PolicyName="everything", PolicyDocument=json.dumps(EVERYTHING)
        )
