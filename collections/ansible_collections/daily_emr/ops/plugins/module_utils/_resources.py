# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Parts of an environment that neither amazon.aws nor community.aws can make, one class for each kind."""

from __future__ import annotations

import json
import secrets
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import error_code
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change, State

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

Json = dict[str, Any]


class Resource(Change):
    """A resource of an environment, made with one call and kept as the inventory describes it with another.

    observe() says whether it is there, and of its settings those that are compared. No lease is needed: who builds an
    environment builds the table of the leases as well.
    """

    leased: ClassVar[bool] = False
    spec: ClassVar[Json] = {}

    @property
    def called(self) -> str:
        return str(self.params["name"])

    @property
    def target(self) -> str:
        return f"{self.name}/{self.called}"

    @property
    def settings(self) -> Mapping[str, Any]:
        given: Mapping[str, Any] = self.params["settings"]
        return given

    @property
    def tags(self) -> list[dict[str, str]]:
        return [{"Key": key, "Value": str(value)} for key, value in sorted(self.params["tags"].items())]

    @abstractmethod
    def read(self) -> Json | None:
        """The settings that are compared, as they stand; None when it is not there."""

    @abstractmethod
    def desired(self) -> Json:
        """The same settings, as they should be; pure."""

    def observe(self) -> State:
        found = self.read()
        return {"present": found is not None, **(found or {})}

    def wanted(self, before: State) -> State:
        return {**before, "present": True, **self.desired()}

    def refusals(self, before: State) -> list[str]:
        return []

    def inverse(self, before: State) -> Json | str:
        return "Nothing is undone by itself: run bootstrap with the inventory as it was before."

    def done(self, before: State, after: State) -> bool:
        return all(after.get(key) == value for key, value in self.desired().items())


def absent(call: Callable[[], Any], *codes: str) -> Any:
    """The answer of a read; None when AWS says that there is no such thing."""
    try:
        return call()
    except Exception as error:
        if error_code(error) in codes:
            return None
        raise


class FlowLog(Resource):
    """Flow logs of a VPC, into a log group."""

    name: ClassVar[str] = "flow_log"
    spec: ClassVar[Json] = {
        "vpc_id": {"type": "str", "required": True},
        "log_group": {"type": "str", "required": True},
        "role_arn": {"type": "str", "required": True},
    }

    def read(self) -> Json | None:
        found = self.clients.read("ec2").describe_flow_logs(
            Filters=[{"Name": "resource-id", "Values": [self.settings["vpc_id"]]}]
        )["FlowLogs"]
        ours = [log for log in found if log.get("LogGroupName") == self.settings["log_group"]]
        return {"log_group": ours[0]["LogGroupName"], "traffic": ours[0]["TrafficType"]} if ours else None

    def desired(self) -> Json:
        return {"log_group": self.settings["log_group"], "traffic": "ALL"}

    def apply(self, before: State) -> None:
        self.clients.write("ec2", "CreateFlowLogs").create_flow_logs(
            ResourceIds=[self.settings["vpc_id"]],
            ResourceType="VPC",
            TrafficType="ALL",
            LogGroupName=self.settings["log_group"],
            DeliverLogsPermissionArn=self.settings["role_arn"],
            TagSpecifications=[{"ResourceType": "vpc-flow-log", "Tags": self.tags}],
        )


class AddressTags(Resource):
    """Tags of the addresses of a NAT gateway, which is made without any."""

    name: ClassVar[str] = "address_tags"

    def read(self) -> Json | None:
        reader = self.clients.read("ec2")
        named = [{"Name": "tag:Name", "Values": [self.called]}, {"Name": "state", "Values": ["pending", "available"]}]
        found = reader.describe_nat_gateways(Filter=named)["NatGateways"]
        used = [one["AllocationId"] for gateway in found for one in gateway["NatGatewayAddresses"]]
        if not used:
            return None
        listed = reader.describe_addresses(AllocationIds=used)["Addresses"]
        wanted = self.desired()["tags"].items()
        bare = [one["AllocationId"] for one in listed if not wanted <= _flat(one.get("Tags")).items()]
        return {"tags": {} if bare else dict(wanted), "context": {"bare": bare}}

    def desired(self) -> Json:
        return {"tags": _flat(self.tags)}

    def refusals(self, before: State) -> list[str]:
        return [] if before["present"] else [f"There is no NAT gateway {self.called}: make it first."]

    def apply(self, before: State) -> None:
        self.clients.write("ec2", "CreateTags").create_tags(Resources=before["context"]["bare"], Tags=self.tags)


def _flat(tags: list[dict[str, str]] | None) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags or []}


class MailIdentity(Resource):
    """A sender of mail in one region, with tags. Who owns the domain proves it by records of DNS."""

    name: ClassVar[str] = "mail_identity"
    spec: ClassVar[Json] = {"region": {"type": "str", "required": True}}

    def read(self) -> Json | None:
        client = self.clients.read("sesv2", self.settings["region"])
        answer = absent(lambda: client.get_email_identity(EmailIdentity=self.called), "NotFoundException")
        return {} if answer else None

    def desired(self) -> Json:
        return {}

    def done(self, before: State, after: State) -> bool:
        return bool(after["present"])

    def apply(self, before: State) -> None:
        client = self.clients.write("sesv2", "CreateEmailIdentity", region=self.settings["region"])
        client.create_email_identity(EmailIdentity=self.called, Tags=self.tags)


class LogRetention(Resource):
    """For how many days a log group keeps its logs."""

    name: ClassVar[str] = "log_retention"
    spec: ClassVar[Json] = {"days": {"type": "int", "required": True}}

    def read(self) -> Json | None:
        found = self.clients.read("logs").describe_log_groups(logGroupNamePrefix=self.called)["logGroups"]
        ours = [group for group in found if group["logGroupName"] == self.called]
        return {"days": ours[0].get("retentionInDays", 0)} if ours else None

    def desired(self) -> Json:
        return {"days": self.settings["days"]}

    def apply(self, before: State) -> None:
        self.clients.write("logs", "PutRetentionPolicy").put_retention_policy(
            logGroupName=self.called, retentionInDays=self.settings["days"]
        )


class ReplicationGroup(Resource):
    """A replication group of ElastiCache: a primary and replicas in other zones, encrypted."""

    name: ClassVar[str] = "replication_group"
    spec: ClassVar[Json] = {
        "description": {"type": "str", "required": True},
        "node_type": {"type": "str", "required": True},
        "replicas": {"type": "int", "required": True},
        "parameter_group": {"type": "str", "required": True},
        "subnet_group": {"type": "str", "required": True},
        "security_groups": {"type": "list", "elements": "str", "required": True},
        "kms_key": {"type": "str", "required": True},
        "snapshot_days": {"type": "int", "required": True},
        "engine_version": {"type": "str", "required": True},
        # Of a new one; what a standing one asks is a kind of its own, because it lets nobody in without a log-in.
        "user_group": {"type": "str"},
    }

    def read(self) -> Json | None:
        answer = absent(
            lambda: self.clients.read("elasticache").describe_replication_groups(ReplicationGroupId=self.called),
            "ReplicationGroupNotFoundFault",
        )
        if not answer:
            return None
        group = answer["ReplicationGroups"][0]
        return {
            "node_type": group.get("CacheNodeType"),
            "failover": group.get("AutomaticFailover") in ("enabled", "enabling"),
            "multi_az": group.get("MultiAZ") == "enabled",
            "encrypted": bool(group.get("AtRestEncryptionEnabled") and group.get("TransitEncryptionEnabled")),
            "snapshot_days": group.get("SnapshotRetentionLimit"),
        }

    def desired(self) -> Json:
        several = self.settings["replicas"] > 0
        return {
            "node_type": self.settings["node_type"],
            "failover": several,
            "multi_az": several,
            "encrypted": True,
            "snapshot_days": self.settings["snapshot_days"],
        }

    def refusals(self, before: State) -> list[str]:
        if before["present"] and not before["encrypted"]:
            return [
                f"{self.called} is not encrypted and cannot become so: move the data into a new group, then name that "
                "one in the inventory."
            ]
        return []

    def apply(self, before: State) -> None:
        wanted, settings = self.desired(), self.settings
        common = {
            "ReplicationGroupId": self.called,
            "CacheNodeType": wanted["node_type"],
            "AutomaticFailoverEnabled": wanted["failover"],
            "MultiAZEnabled": wanted["multi_az"],
            "SnapshotRetentionLimit": wanted["snapshot_days"],
            "CacheParameterGroupName": settings["parameter_group"],
            "SecurityGroupIds": settings["security_groups"],
        }
        if before["present"]:
            client = self.clients.write("elasticache", "ModifyReplicationGroup")
            client.modify_replication_group(**common, ApplyImmediately=True)
            return
        self.clients.write("elasticache", "CreateReplicationGroup").create_replication_group(
            **common,
            ReplicationGroupDescription=settings["description"],
            Engine="valkey",
            EngineVersion=settings["engine_version"],
            NumCacheClusters=settings["replicas"] + 1,
            CacheSubnetGroupName=settings["subnet_group"],
            AtRestEncryptionEnabled=True,
            TransitEncryptionEnabled=True,
            KmsKeyId=settings["kms_key"],
            Tags=self.tags,
            **({"UserGroupIds": [settings["user_group"]]} if settings["user_group"] else {}),
        )


class TableRecovery(Resource):
    """Point-in-time recovery of a DynamoDB table."""

    name: ClassVar[str] = "table_recovery"

    def read(self) -> Json | None:
        answer = absent(
            lambda: self.clients.read("dynamodb").describe_continuous_backups(TableName=self.called),
            "TableNotFoundException",
            "ResourceNotFoundException",
        )
        if not answer:
            return None
        found = answer["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
        return {"recovery": found}

    def desired(self) -> Json:
        return {"recovery": "ENABLED"}

    def apply(self, before: State) -> None:
        self.clients.write("dynamodb", "UpdateContinuousBackups").update_continuous_backups(
            TableName=self.called, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )


class TableProtection(Resource):
    """Protection of a DynamoDB table against being deleted."""

    name: ClassVar[str] = "table_protection"

    def read(self) -> Json | None:
        answer = absent(
            lambda: self.clients.read("dynamodb").describe_table(TableName=self.called), "ResourceNotFoundException"
        )
        return {"protected": bool(answer["Table"].get("DeletionProtectionEnabled"))} if answer else None

    def desired(self) -> Json:
        return {"protected": True}

    def apply(self, before: State) -> None:
        self.clients.write("dynamodb", "UpdateTable").update_table(
            TableName=self.called, DeletionProtectionEnabled=True
        )


class BucketReplication(Resource):
    """Replication of a bucket into one of the second region."""

    name: ClassVar[str] = "bucket_replication"
    spec: ClassVar[Json] = {
        "role_arn": {"type": "str", "required": True},
        "destination": {"type": "str", "required": True},
        "kms_key": {"type": "str", "required": True},
    }

    def read(self) -> Json | None:
        answer = absent(
            lambda: self.clients.read("s3").get_bucket_replication(Bucket=self.called),
            "ReplicationConfigurationNotFoundError",
            "NoSuchBucket",
        )
        if not answer:
            return None
        rules = answer["ReplicationConfiguration"]["Rules"]
        return {"rules": [{"status": rule["Status"], "to": rule["Destination"]["Bucket"]} for rule in rules]}

    def desired(self) -> Json:
        return {"rules": [{"status": "Enabled", "to": f"arn:aws:s3:::{self.settings['destination']}"}]}

    def apply(self, before: State) -> None:
        self.clients.write("s3", "PutBucketReplication").put_bucket_replication(
            Bucket=self.called,
            ReplicationConfiguration={
                "Role": self.settings["role_arn"],
                "Rules": [
                    {
                        "ID": "copy",
                        "Priority": 0,
                        "Status": "Enabled",
                        "Filter": {"Prefix": ""},
                        # A version that is deleted here stays there.
                        "DeleteMarkerReplication": {"Status": "Disabled"},
                        "SourceSelectionCriteria": {"SseKmsEncryptedObjects": {"Status": "Enabled"}},
                        "Destination": {
                            "Bucket": f"arn:aws:s3:::{self.settings['destination']}",
                            "EncryptionConfiguration": {"ReplicaKmsKeyID": self.settings["kms_key"]},
                        },
                    }
                ],
            },
        )


class EventSubscription(Resource):
    """Events of one database instance, told to a topic."""

    name: ClassVar[str] = "event_subscription"
    spec: ClassVar[Json] = {
        "topic_arn": {"type": "str", "required": True},
        "instance": {"type": "str", "required": True},
        "categories": {"type": "list", "elements": "str", "required": True},
    }

    def read(self) -> Json | None:
        answer = absent(
            lambda: self.clients.read("rds").describe_event_subscriptions(SubscriptionName=self.called),
            "SubscriptionNotFound",
            "SubscriptionNotFoundFault",
        )
        if not answer or not answer["EventSubscriptionsList"]:
            return None
        found = answer["EventSubscriptionsList"][0]
        return {"topic": found["SnsTopicArn"], "categories": sorted(found.get("EventCategoriesList") or [])}

    def desired(self) -> Json:
        return {"topic": self.settings["topic_arn"], "categories": sorted(self.settings["categories"])}

    def apply(self, before: State) -> None:
        common = {
            "SubscriptionName": self.called,
            "SnsTopicArn": self.settings["topic_arn"],
            "SourceType": "db-instance",
            "EventCategories": self.settings["categories"],
            "Enabled": True,
        }
        if before["present"]:
            self.clients.write("rds", "ModifyEventSubscription").modify_event_subscription(**common)
            return
        self.clients.write("rds", "CreateEventSubscription").create_event_subscription(
            **common, SourceIds=[self.settings["instance"]], Tags=self.tags
        )


def database_instance(clients: Clients, name: str) -> Json | None:
    """A database as RDS describes it; None when there is none of that name."""
    answer = absent(
        lambda: clients.read("rds").describe_db_instances(DBInstanceIdentifier=name),
        "DBInstanceNotFound",
        "DBInstanceNotFoundFault",
    )
    return dict(answer["DBInstances"][0]) if answer else None


class DatabaseInstance(Resource):
    """The database. Its master password is made here and forgotten: who needs one sets a new one.

    RDS could keep one in Secrets Manager, but then refuses every read replica, and so a second region ("Limitations
    for Secrets Manager integration", RDS User Guide).
    """

    LOGS: ClassVar[list[str]] = ["postgresql", "upgrade"]
    REPLICA: ClassVar[str] = "-replica"
    """What the name of its replica ends with, in the second region. Beside no instance it is one that was promoted."""
    name: ClassVar[str] = "database_instance"
    spec: ClassVar[Json] = {
        "instance_class": {"type": "str", "required": True},
        "engine_version": {"type": "str", "required": True},
        "database": {"type": "str", "required": True},
        "storage_gib": {"type": "int", "required": True},
        "storage_limit_gib": {"type": "int", "required": True},
        "multi_az": {"type": "bool", "required": True},
        "backup_days": {"type": "int", "required": True},
        "deletion_protection": {"type": "bool", "required": True},
        "parameter_group": {"type": "str", "required": True},
        "subnet_group": {"type": "str", "required": True},
        "security_groups": {"type": "list", "elements": "str", "required": True},
        "kms_key": {"type": "str", "required": True},
        "allow_interruption": {"type": "bool", "default": False},
    }

    def observe(self) -> State:
        state = super().observe()
        if state["present"] or not self.REPLICA:
            return state
        other = f"{self.called}{self.REPLICA}"
        return {**state, "context": {"beside": other if database_instance(self.clients, other) else ""}}

    def read(self) -> Json | None:
        found = database_instance(self.clients, self.called)
        return None if found is None else self.described(found)

    def described(self, found: Json) -> Json:
        """The settings that are compared, of an instance as RDS describes it."""
        return {
            "class": found["DBInstanceClass"],
            "multi_az": found["MultiAZ"],
            "backup_days": found["BackupRetentionPeriod"],
            "deletion_protection": found["DeletionProtection"],
            "public": found.get("PubliclyAccessible", False),
            "storage_limit_gib": found.get("MaxAllocatedStorage"),
            "parameter_group": found["DBParameterGroups"][0]["DBParameterGroupName"],
            "security_groups": sorted(group["VpcSecurityGroupId"] for group in found["VpcSecurityGroups"]),
            "iam_login": found.get("IAMDatabaseAuthenticationEnabled", False),
            "minor_upgrades": found.get("AutoMinorVersionUpgrade"),
            "insights": found.get("PerformanceInsightsEnabled", False),
            "logs": sorted(found.get("EnabledCloudwatchLogsExports") or []),
            "encrypted": found["StorageEncrypted"],
            "kept_password": "MasterUserSecret" in found,
            "context": {"status": found["DBInstanceStatus"]},
        }

    def desired(self) -> Json:
        settings = self.settings
        return {
            "class": settings["instance_class"],
            "multi_az": settings["multi_az"],
            "backup_days": settings["backup_days"],
            "deletion_protection": settings["deletion_protection"],
            "public": False,
            "storage_limit_gib": settings["storage_limit_gib"],
            "parameter_group": settings["parameter_group"],
            "security_groups": sorted(settings["security_groups"]),
            "iam_login": True,
            "minor_upgrades": True,
            "insights": True,
            "logs": sorted(self.LOGS),
            "encrypted": True,
            "kept_password": False,
        }

    def refusals(self, before: State) -> list[str]:
        if not before["present"]:
            other = before.get("context", {}).get("beside")
            if not other:
                return []
            return [
                f"{other} stands here, and an empty {self.called} beside it would take its place: if it was promoted, "
                "rename it first (roles/region_failover/README.md, How to come back)."
            ]
        wanted, reasons = self.desired(), []
        if not before["encrypted"]:
            reasons.append(
                f"{self.called} is not encrypted, and an instance cannot become so: restore an encrypted copy of a "
                "snapshot beside it and switch over."
            )
        if before["class"] != wanted["class"] and not self.settings["allow_interruption"]:
            reasons.append(
                f"{self.called} is {before['class']}, and making it {wanted['class']} interrupts it for minutes: "
                "set database_allow_interruption for this run."
            )
        if before["kept_password"] and not self.settings["allow_interruption"]:
            reasons.append(
                f"Secrets Manager keeps the master password of {self.called}, and a change of that ends this password "
                "at once: see that nothing logs in with it, then set database_allow_interruption for this run."
            )
        if before["context"]["status"] != "available":
            reasons.append(f"{self.called} is {before['context']['status']}: wait until it is available.")
        return reasons

    def apply(self, before: State) -> None:
        settings, wanted = self.settings, self.desired()
        common = {
            "DBInstanceIdentifier": self.called,
            "DBInstanceClass": wanted["class"],
            "MultiAZ": wanted["multi_az"],
            "BackupRetentionPeriod": wanted["backup_days"],
            "DeletionProtection": wanted["deletion_protection"],
            "PubliclyAccessible": False,
            "MaxAllocatedStorage": wanted["storage_limit_gib"],
            "DBParameterGroupName": wanted["parameter_group"],
            "VpcSecurityGroupIds": wanted["security_groups"],
            "EnableIAMDatabaseAuthentication": True,
            "EnablePerformanceInsights": True,
            # In the maintenance window.
            "AutoMinorVersionUpgrade": True,
        }
        if before["present"]:
            logs = {"EnableLogTypes": [name for name in self.LOGS if name not in before["logs"]]}
            password = {"ManageMasterUserPassword": False, "MasterUserPassword": secrets.token_urlsafe(32)}
            client = self.clients.write("rds", "ModifyDBInstance")
            client.modify_db_instance(
                **common,
                **(password if before["kept_password"] else {}),
                **({"CloudwatchLogsExportConfiguration": logs} if any(logs.values()) else {}),
                ApplyImmediately=True,
            )
            return
        self.clients.write("rds", "CreateDBInstance").create_db_instance(
            **common,
            Engine="postgres",
            EngineVersion=settings["engine_version"],
            DBName=settings["database"],
            AllocatedStorage=settings["storage_gib"],
            StorageType="gp3",
            StorageEncrypted=True,
            KmsKeyId=settings["kms_key"],
            DBSubnetGroupName=settings["subnet_group"],
            MasterUsername="postgres",
            MasterUserPassword=secrets.token_urlsafe(32),
            EnableCloudwatchLogsExports=self.LOGS,
            CopyTagsToSnapshot=True,
            Tags=self.tags,
        )


class DatabaseTags(Resource):
    """Tags of the database. One that somebody added is left."""

    name: ClassVar[str] = "database_tags"

    def read(self) -> Json | None:
        found = database_instance(self.clients, self.called)
        if found is None:
            return None
        standing = _flat(found.get("TagList"))
        ours = {tag["Key"]: standing.get(tag["Key"]) for tag in self.tags}
        return {"tags": ours, "context": {"arn": found["DBInstanceArn"]}}

    def desired(self) -> Json:
        return {"tags": _flat(self.tags)}

    def refusals(self, before: State) -> list[str]:
        return [] if before["present"] else [f"There is no database {self.called}: make it first."]

    def apply(self, before: State) -> None:
        missing = [tag for tag in self.tags if before["tags"].get(tag["Key"]) != tag["Value"]]
        self.clients.write("rds", "AddTagsToResource").add_tags_to_resource(
            ResourceName=before["context"]["arn"], Tags=missing
        )


class TaskDefinition(Resource):
    """The first revision of a task definition. Every later one is a release, and belongs to who releases."""

    name: ClassVar[str] = "task_definition"
    spec: ClassVar[Json] = {
        "container": {"type": "str", "required": True},
        "image": {"type": "str", "required": True},
        "port": {"type": "int"},
        "task_role": {"type": "str", "required": True},
        "execution_role": {"type": "str", "required": True},
        "log_group": {"type": "str", "required": True},
        "region": {"type": "str", "required": True},
        "cpu": {"type": "int", "default": 1024},
        "memory": {"type": "int", "default": 2048},
        "stop_seconds": {"type": "int", "default": 30},
        "variables": {"type": "dict", "default": {}},
        "secrets": {"type": "dict", "default": {}},
    }

    def read(self) -> Json | None:
        arns = self.clients.read("ecs").list_task_definitions(familyPrefix=self.called, status="ACTIVE", maxResults=10)
        exact = [arn for arn in arns["taskDefinitionArns"] if arn.rpartition("/")[2].partition(":")[0] == self.called]
        return {} if exact else None

    def desired(self) -> Json:
        return {}

    def done(self, before: State, after: State) -> bool:
        return bool(after["present"])

    def apply(self, before: State) -> None:
        settings = self.settings
        ports = [{"containerPort": settings["port"], "protocol": "tcp"}] if settings["port"] else []
        self.clients.write("ecs", "RegisterTaskDefinition").register_task_definition(
            family=self.called,
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu=str(settings["cpu"]),
            memory=str(settings["memory"]),
            taskRoleArn=settings["task_role"],
            executionRoleArn=settings["execution_role"],
            tags=lower(self.tags),
            containerDefinitions=[
                {
                    "name": settings["container"],
                    "image": settings["image"],
                    "essential": True,
                    "readonlyRootFilesystem": True,
                    "user": "1000",
                    "portMappings": ports,
                    "stopTimeout": settings["stop_seconds"],
                    "environment": [{"name": key, "value": str(value)} for key, value in settings["variables"].items()],
                    "secrets": [{"name": key, "valueFrom": value} for key, value in settings["secrets"].items()],
                    "logConfiguration": {
                        "logDriver": "awslogs",
                        "options": {
                            "awslogs-group": settings["log_group"],
                            "awslogs-region": settings["region"],
                            "awslogs-stream-prefix": settings["container"],
                        },
                    },
                }
            ],
        )


class ContainerService(Resource):
    """A Fargate service and how it is deployed. Which release it runs, and how many tasks, is not ours to set again.

    With a canary it has two target groups. Which of them carries the traffic, and which stands first, is ECS's to say:
    it changes with each release.
    """

    name: ClassVar[str] = "container_service"
    spec: ClassVar[Json] = {
        "cluster": {"type": "str", "required": True},
        "family": {"type": "str", "required": True},
        "count": {"type": "int", "required": True},
        "subnets": {"type": "list", "elements": "str", "required": True},
        "security_groups": {"type": "list", "elements": "str", "required": True},
        "target_group": {"type": "str"},
        "container": {"type": "str"},
        "port": {"type": "int"},
        "grace_seconds": {"type": "int", "default": 60},
        "alarms": {"type": "list", "elements": "str", "default": []},
        "canary": {
            "type": "dict",
            "options": {
                "percent": {"type": "int", "required": True},
                "minutes": {"type": "int", "required": True},
                "bake_minutes": {"type": "int", "required": True},
                "alternate_target_group": {"type": "str", "required": True},
                "rule": {"type": "str", "required": True},
                "role_arn": {"type": "str", "required": True},
            },
        },
    }

    def read(self) -> Json | None:
        answer = absent(
            lambda: self.clients.read("ecs").describe_services(
                cluster=self.settings["cluster"], services=[self.called]
            ),
            "ClusterNotFoundException",
        )
        found = [one for one in (answer or {"services": []})["services"] if one["status"] == "ACTIVE"]
        if not found:
            return None
        configuration = found[0].get("deploymentConfiguration") or {}
        breaker = configuration.get("deploymentCircuitBreaker") or {}
        network = found[0]["networkConfiguration"]["awsvpcConfiguration"]
        alarms = configuration.get("alarms") or {}
        return {
            "circuit_breaker": bool(breaker.get("enable")),
            "rollback": bool(breaker.get("rollback")),
            "minimum_percent": configuration.get("minimumHealthyPercent"),
            "maximum_percent": configuration.get("maximumPercent"),
            "alarms": sorted(alarms["alarmNames"]) if alarms.get("enable") and alarms.get("rollback") else [],
            "subnets": sorted(network["subnets"]),
            "security_groups": sorted(network["securityGroups"]),
            **_deployed(configuration),
            **(_balanced(found[0].get("loadBalancers") or []) if self.settings["canary"] else {}),
            "context": {"deploying": any(one.get("rolloutState") == "IN_PROGRESS" for one in found[0]["deployments"])},
        }

    def desired(self) -> Json:
        return {
            "circuit_breaker": True,
            "rollback": True,
            "minimum_percent": 100,
            "maximum_percent": 200,
            "alarms": sorted(self.settings["alarms"]),
            "subnets": sorted(self.settings["subnets"]),
            "security_groups": sorted(self.settings["security_groups"]),
            **_deployed(self._strategy()),
            **(_balanced(self._balancers()) if self.settings["canary"] else {}),
        }

    def refusals(self, before: State) -> list[str]:
        if before["present"] and before["strategy"] != self.desired()["strategy"] and before["context"]["deploying"]:
            return [f"{self.called} is being deployed, and ECS takes no other strategy then: run again when it ended."]
        return []

    def _strategy(self) -> Json:
        canary = self.settings["canary"]
        if not canary:
            return {"strategy": "ROLLING"}
        return {
            "strategy": "CANARY",
            "canaryConfiguration": {
                "canaryPercent": float(canary["percent"]),
                "canaryBakeTimeInMinutes": canary["minutes"],
            },
            "bakeTimeInMinutes": canary["bake_minutes"],
        }

    def _balancers(self) -> list[Json]:
        settings, canary = self.settings, self.settings["canary"]
        more = canary and {
            "alternateTargetGroupArn": canary["alternate_target_group"],
            "productionListenerRule": canary["rule"],
            "roleArn": canary["role_arn"],
        }
        one = {
            "targetGroupArn": settings["target_group"],
            "containerName": settings["container"],
            "containerPort": settings["port"],
        }
        return [{**one, **({"advancedConfiguration": more} if more else {})}]

    def apply(self, before: State) -> None:
        settings, wanted = self.settings, self.desired()
        deployment: Json = {
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
            "minimumHealthyPercent": 100,
            "maximumPercent": 200,
            **self._strategy(),
        }
        if settings["alarms"]:
            deployment["alarms"] = {"alarmNames": wanted["alarms"], "enable": True, "rollback": True}
        network = {
            "awsvpcConfiguration": {
                "subnets": wanted["subnets"],
                "securityGroups": wanted["security_groups"],
                "assignPublicIp": "DISABLED",
            }
        }
        if before["present"]:
            balancers = _balanced(self._balancers()) if settings["canary"] else {}
            self.clients.write("ecs", "UpdateService").update_service(
                cluster=settings["cluster"],
                service=self.called,
                deploymentConfiguration=deployment,
                networkConfiguration=network,
                # Said again, the groups would start a deployment; so only where they are not as wanted.
                **({} if before.items() >= balancers.items() else {"loadBalancers": self._balancers()}),
            )
            return
        balanced: Json = {}
        if settings["target_group"]:
            balanced = {
                "loadBalancers": self._balancers(),
                "healthCheckGracePeriodSeconds": settings["grace_seconds"],
            }
        self.clients.write("ecs", "CreateService").create_service(
            cluster=settings["cluster"],
            serviceName=self.called,
            taskDefinition=settings["family"],
            desiredCount=settings["count"],
            launchType="FARGATE",
            networkConfiguration=network,
            deploymentConfiguration=deployment,
            propagateTags="SERVICE",
            enableECSManagedTags=True,
            tags=lower(self.tags),
            **balanced,
        )


def _deployed(configuration: Json) -> Json:
    """How a deployment moves the traffic, of a deployment configuration."""
    strategy, canary = configuration.get("strategy") or "ROLLING", configuration.get("canaryConfiguration") or {}
    if strategy == "ROLLING":
        return {"strategy": strategy}
    return {
        "strategy": strategy,
        "canary_percent": canary.get("canaryPercent"),
        "canary_minutes": canary.get("canaryBakeTimeInMinutes"),
        "bake_minutes": configuration.get("bakeTimeInMinutes"),
    }


def _balanced(balancers: list[Json]) -> Json:
    """The pair of target groups of a service, in no order, and what moves the traffic between them."""
    entry = balancers[0] if balancers else {}
    more = entry.get("advancedConfiguration") or {}
    groups = {entry.get("targetGroupArn"), more.get("alternateTargetGroupArn")} - {None}
    return {
        "target_groups": sorted(groups),
        "rule": more.get("productionListenerRule"),
        "role": more.get("roleArn"),
    }


class Cluster(Resource):
    """An ECS cluster with Container Insights."""

    name: ClassVar[str] = "cluster"

    def read(self) -> Json | None:
        answer = self.clients.read("ecs").describe_clusters(clusters=[self.called], include=["SETTINGS"])
        found = [one for one in answer["clusters"] if one["status"] == "ACTIVE"]
        if not found:
            return None
        settings = {one["name"]: one["value"] for one in found[0].get("settings") or []}
        return {"insights": settings.get("containerInsights", "disabled")}

    def desired(self) -> Json:
        return {"insights": "enabled"}

    def apply(self, before: State) -> None:
        settings = [{"name": "containerInsights", "value": "enabled"}]
        if before["present"]:
            client = self.clients.write("ecs", "UpdateClusterSettings")
            client.update_cluster_settings(cluster=self.called, settings=settings)
            return
        self.clients.write("ecs", "CreateCluster").create_cluster(
            clusterName=self.called, settings=settings, tags=lower(self.tags)
        )


class ImageRepository(Resource):
    """A repository of ECR whose tags never move, scanned when an image is pushed."""

    name: ClassVar[str] = "image_repository"
    spec: ClassVar[Json] = {"kms_key": {"type": "str", "required": True}}

    def read(self) -> Json | None:
        answer = absent(
            lambda: self.clients.read("ecr").describe_repositories(repositoryNames=[self.called]),
            "RepositoryNotFoundException",
        )
        return {"tags": answer["repositories"][0]["imageTagMutability"]} if answer else None

    def desired(self) -> Json:
        return {"tags": "IMMUTABLE"}

    def apply(self, before: State) -> None:
        if before["present"]:
            client = self.clients.write("ecr", "PutImageTagMutability")
            client.put_image_tag_mutability(repositoryName=self.called, imageTagMutability="IMMUTABLE")
            return
        self.clients.write("ecr", "CreateRepository").create_repository(
            repositoryName=self.called,
            imageTagMutability="IMMUTABLE",
            imageScanningConfiguration={"scanOnPush": True},
            encryptionConfiguration={"encryptionType": "KMS", "kmsKey": self.settings["kms_key"]},
            tags=self.tags,
        )


class ImageScanning(Resource):
    """Images of a repository are scanned when they are pushed."""

    name: ClassVar[str] = "image_scanning"

    def read(self) -> Json | None:
        answer = absent(
            lambda: self.clients.read("ecr").describe_repositories(repositoryNames=[self.called]),
            "RepositoryNotFoundException",
        )
        if not answer:
            return None
        return {"scan": bool(answer["repositories"][0].get("imageScanningConfiguration", {}).get("scanOnPush"))}

    def desired(self) -> Json:
        return {"scan": True}

    def apply(self, before: State) -> None:
        self.clients.write("ecr", "PutImageScanningConfiguration").put_image_scanning_configuration(
            repositoryName=self.called, imageScanningConfiguration={"scanOnPush": True}
        )


class ImageLifecycle(Resource):
    """How many images a repository keeps."""

    name: ClassVar[str] = "image_lifecycle"
    spec: ClassVar[Json] = {"kept": {"type": "int", "required": True}}

    def read(self) -> Json | None:
        answer = absent(
            lambda: self.clients.read("ecr").get_lifecycle_policy(repositoryName=self.called),
            "LifecyclePolicyNotFoundException",
            "RepositoryNotFoundException",
        )
        return {"policy": json.loads(answer["lifecyclePolicyText"])} if answer else None

    def desired(self) -> Json:
        rule = {
            "rulePriority": 1,
            "description": "Keep what a rollback may need",
            "selection": {
                "tagStatus": "any",
                "countType": "imageCountMoreThan",
                "countNumber": self.settings["kept"],
            },
            "action": {"type": "expire"},
        }
        return {"policy": {"rules": [rule]}}

    def apply(self, before: State) -> None:
        self.clients.write("ecr", "PutLifecyclePolicy").put_lifecycle_policy(
            repositoryName=self.called, lifecyclePolicyText=json.dumps(self.desired()["policy"])
        )


class ImageReplication(Resource):
    """Images are copied into the second region. The registry has one configuration: rules of others in it are left."""

    name: ClassVar[str] = "image_replication"
    spec: ClassVar[Json] = {"region": {"type": "str", "required": True}}

    def read(self) -> Json | None:
        found = self.clients.read("ecr").describe_registry()["replicationConfiguration"]["rules"]
        return {"copied": self._rule() in found, "context": {"rules": found}}

    def desired(self) -> Json:
        return {"copied": True}

    def _rule(self) -> Json:
        account = self.clients.environment.account_id
        return {
            "destinations": [{"region": self.settings["region"], "registryId": account}],
            "repositoryFilters": [{"filter": f"{self.called}-", "filterType": "PREFIX_MATCH"}],
        }

    def apply(self, before: State) -> None:
        self.clients.write("ecr", "PutReplicationConfiguration").put_replication_configuration(
            replicationConfiguration={"rules": [*before["context"]["rules"], self._rule()]}
        )


class DatabaseParameters(Resource):
    """Parameters of the database that differ from those of its engine."""

    name: ClassVar[str] = "database_parameters"
    spec: ClassVar[Json] = {"values": {"type": "dict", "required": True}}

    def read(self) -> Json | None:
        reader = self.clients.read("rds")
        found = absent(lambda: self._found(reader), "DBParameterGroupNotFound", "DBParameterGroupNotFoundFault")
        if found is None:
            return None
        wanted = self.settings["values"]
        values = {name: str(found[name].get("ParameterValue", "")) for name in wanted if name in found}
        kinds = {name: found[name].get("ApplyType", "") for name in wanted if name in found}
        return {"values": values, "context": {"kinds": kinds}}

    def _found(self, reader: Any) -> dict[str, Json]:
        pages = reader.get_paginator("describe_db_parameters").paginate(DBParameterGroupName=self.called)
        return {one["ParameterName"]: one for page in pages for one in page["Parameters"]}

    def desired(self) -> Json:
        return {"values": {name: str(value) for name, value in self.settings["values"].items()}}

    def apply(self, before: State) -> None:
        kinds, standing = before["context"]["kinds"], before["values"]
        self.clients.write("rds", "ModifyDBParameterGroup").modify_db_parameter_group(
            DBParameterGroupName=self.called,
            Parameters=[
                {
                    "ParameterName": name,
                    "ParameterValue": value,
                    # A static parameter waits for the next restart, which is not ours to make.
                    "ApplyMethod": "immediate" if kinds.get(name) == "dynamic" else "pending-reboot",
                }
                for name, value in self.desired()["values"].items()
                if standing.get(name) != value
            ],
        )

    def refusals(self, before: State) -> list[str]:
        return [] if before["present"] else [f"There is no parameter group {self.called}: make it first."]


class CacheSubnets(Resource):
    """The subnets of the replication groups."""

    name: ClassVar[str] = "cache_subnets"
    spec: ClassVar[Json] = {"subnets": {"type": "list", "elements": "str", "required": True}}

    def read(self) -> Json | None:
        answer = absent(
            lambda: self.clients.read("elasticache").describe_cache_subnet_groups(CacheSubnetGroupName=self.called),
            "CacheSubnetGroupNotFoundFault",
        )
        if not answer or not answer["CacheSubnetGroups"]:
            return None
        return {"subnets": sorted(one["SubnetIdentifier"] for one in answer["CacheSubnetGroups"][0]["Subnets"])}

    def desired(self) -> Json:
        return {"subnets": sorted(self.settings["subnets"])}

    def apply(self, before: State) -> None:
        common = {
            "CacheSubnetGroupName": self.called,
            "CacheSubnetGroupDescription": "Daily EMR",
            "SubnetIds": self.settings["subnets"],
        }
        if before["present"]:
            self.clients.write("elasticache", "ModifyCacheSubnetGroup").modify_cache_subnet_group(**common)
            return
        self.clients.write("elasticache", "CreateCacheSubnetGroup").create_cache_subnet_group(**common, Tags=self.tags)


class CacheParameterGroup(Resource):
    """A parameter group for replication groups."""

    name: ClassVar[str] = "cache_parameter_group"
    spec: ClassVar[Json] = {"family": {"type": "str", "required": True}}

    def read(self) -> Json | None:
        answer = absent(
            lambda: self.clients.read("elasticache").describe_cache_parameter_groups(
                CacheParameterGroupName=self.called
            ),
            "CacheParameterGroupNotFound",
            "CacheParameterGroupNotFoundFault",
        )
        return {"family": answer["CacheParameterGroups"][0]["CacheParameterGroupFamily"]} if answer else None

    def desired(self) -> Json:
        return {"family": self.settings["family"]}

    def refusals(self, before: State) -> list[str]:
        if before["present"]:
            return [f"{self.called} is of the family {before['family']}: name another group in the inventory."]
        return []

    def apply(self, before: State) -> None:
        self.clients.write("elasticache", "CreateCacheParameterGroup").create_cache_parameter_group(
            CacheParameterGroupName=self.called,
            CacheParameterGroupFamily=self.settings["family"],
            Description="Daily EMR",
            Tags=self.tags,
        )


class CacheParameters(Resource):
    """Parameters of replication groups that differ from those of the engine."""

    name: ClassVar[str] = "cache_parameters"
    spec: ClassVar[Json] = {"values": {"type": "dict", "required": True}}

    def read(self) -> Json | None:
        found = absent(self._found, "CacheParameterGroupNotFound", "CacheParameterGroupNotFoundFault")
        if found is None:
            return None
        return {"values": {name: found.get(name, "") for name in self.settings["values"]}}

    def _found(self) -> dict[str, str]:
        reader = self.clients.read("elasticache")
        pages = reader.get_paginator("describe_cache_parameters").paginate(CacheParameterGroupName=self.called)
        return {
            one["ParameterName"]: str(one.get("ParameterValue", "")) for page in pages for one in page["Parameters"]
        }

    def desired(self) -> Json:
        return {"values": {name: str(value) for name, value in self.settings["values"].items()}}

    def apply(self, before: State) -> None:
        self.clients.write("elasticache", "ModifyCacheParameterGroup").modify_cache_parameter_group(
            CacheParameterGroupName=self.called,
            ParameterNameValues=[
                {"ParameterName": name, "ParameterValue": value} for name, value in self.desired()["values"].items()
            ],
        )


class WebAcl(Resource):
    """A web ACL with at least these rules. A rule that stands is left as it is: a runbook may have set it to count."""

    name: ClassVar[str] = "web_acl"
    spec: ClassVar[Json] = {
        "scope": {"type": "str", "required": True, "choices": ["REGIONAL"]},
        "rate_limit": {"type": "int", "required": True},
        "managed": {"type": "list", "elements": "str", "required": True},
    }

    def read(self) -> Json | None:
        client, scope = self.clients.read("wafv2"), self.settings["scope"]
        found = [one for one in client.list_web_acls(Scope=scope)["WebACLs"] if one["Name"] == self.called]
        if not found:
            return None
        answer = client.get_web_acl(Name=self.called, Scope=scope, Id=found[0]["Id"])
        rules = answer["WebACL"]["Rules"]
        return {
            "rules": sorted(rule["Name"] for rule in rules),
            "default": next(iter(answer["WebACL"]["DefaultAction"])),
            "context": {"id": found[0]["Id"], "token": answer["LockToken"], "rules": rules},
        }

    def desired(self) -> Json:
        return {"default": "Allow"}

    def _own(self) -> list[Json]:
        rate = {"RateBasedStatement": {"Limit": self.settings["rate_limit"], "AggregateKeyType": "IP"}}
        rules: list[Json] = [{"Name": "rate-limit", "Priority": 0, "Statement": rate, "Action": {"Block": {}}}]
        for number, name in enumerate(self.settings["managed"], start=1):
            statement = {"ManagedRuleGroupStatement": {"VendorName": "AWS", "Name": name}}
            rules.append(
                {"Name": name, "Priority": 10 * number, "Statement": statement, "OverrideAction": {"None": {}}}
            )
        return [{**rule, "VisibilityConfig": self._visible(f"{self.called}-{rule['Name']}")} for rule in rules]

    @staticmethod
    def _visible(name: str) -> Json:
        return {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": name}

    def wanted(self, before: State) -> State:
        named = {rule["Name"] for rule in self._own()} | set(before.get("rules") or [])
        return {**super().wanted(before), "rules": sorted(named)}

    def done(self, before: State, after: State) -> bool:
        return bool(after["present"]) and set(self.wanted(before)["rules"]) <= set(after["rules"])

    def apply(self, before: State) -> None:
        common = {
            "Name": self.called,
            "Scope": self.settings["scope"],
            "DefaultAction": {"Allow": {}},
            "Description": "Daily EMR",
            "VisibilityConfig": self._visible(self.called),
        }
        if not before["present"]:
            self.clients.write("wafv2", "CreateWebACL").create_web_acl(**common, Rules=self._own(), Tags=self.tags)
            return
        standing = before["context"]["rules"]
        names, priorities = {rule["Name"] for rule in standing}, {rule["Priority"] for rule in standing}
        missing = [rule for rule in self._own() if rule["Name"] not in names]
        free = (number for number in range(1000) if number not in priorities)
        placed = [rule if rule["Priority"] not in priorities else {**rule, "Priority": next(free)} for rule in missing]
        self.clients.write("wafv2", "UpdateWebACL").update_web_acl(
            **common, Id=before["context"]["id"], LockToken=before["context"]["token"], Rules=[*standing, *placed]
        )


class WebAclAssociation(Resource):
    """A web ACL in front of a load balancer."""

    name: ClassVar[str] = "web_acl_association"
    spec: ClassVar[Json] = {
        "scope": {"type": "str", "required": True, "choices": ["REGIONAL"]},
        "balancer": {"type": "str", "required": True},
    }

    def read(self) -> Json | None:
        client = self.clients.read("wafv2")
        listed = client.list_web_acls(Scope=self.settings["scope"])["WebACLs"]
        ours = next((one["ARN"] for one in listed if one["Name"] == self.called), "")
        answer = absent(
            lambda: client.get_web_acl_for_resource(ResourceArn=self.settings["balancer"]),
            "WAFNonexistentItemException",
        )
        found = (answer or {}).get("WebACL")
        return {"acl": found["Name"], "context": {"arn": ours}} if found else {"acl": "", "context": {"arn": ours}}

    def desired(self) -> Json:
        return {"acl": self.called}

    def refusals(self, before: State) -> list[str]:
        return [] if before["context"]["arn"] else [f"There is no web ACL {self.called}: make it first."]

    def apply(self, before: State) -> None:
        self.clients.write("wafv2", "AssociateWebACL").associate_web_acl(
            WebACLArn=before["context"]["arn"], ResourceArn=self.settings["balancer"]
        )


class WebAclLog(Resource):
    """What a web ACL blocks and counts goes into a log group, without what proves who somebody is."""

    name: ClassVar[str] = "web_acl_log"
    spec: ClassVar[Json] = {
        "scope": {"type": "str", "required": True, "choices": ["REGIONAL"]},
        "log_group_arn": {"type": "str", "required": True},
        "header": {"type": "str", "required": True},
    }

    def _hidden(self) -> list[str]:
        return sorted(["authorization", "cookie", self.settings["header"].lower()])

    def read(self) -> Json | None:
        client = self.clients.read("wafv2")
        listed = client.list_web_acls(Scope=self.settings["scope"])["WebACLs"]
        ours = next((one["ARN"] for one in listed if one["Name"] == self.called), "")
        if not ours:
            return None
        answer = absent(lambda: client.get_logging_configuration(ResourceArn=ours), "WAFNonexistentItemException")
        found = (answer or {}).get("LoggingConfiguration", {})
        hidden = [one["SingleHeader"]["Name"] for one in found.get("RedactedFields") or [] if "SingleHeader" in one]
        return {"to": found.get("LogDestinationConfigs", []), "hidden": sorted(hidden), "context": {"arn": ours}}

    def desired(self) -> Json:
        return {"to": [self.settings["log_group_arn"]], "hidden": self._hidden()}

    def refusals(self, before: State) -> list[str]:
        return [] if before["present"] else [f"There is no web ACL {self.called}: make it first."]

    def apply(self, before: State) -> None:
        self.clients.write("wafv2", "PutLoggingConfiguration").put_logging_configuration(
            LoggingConfiguration={
                "ResourceArn": before["context"]["arn"],
                "LogDestinationConfigs": [self.settings["log_group_arn"]],
                "RedactedFields": [{"SingleHeader": {"Name": name}} for name in self._hidden()],
            }
        )


class ExpressionAlarm(Resource):
    """An alarm on an expression over metrics of a load balancer."""

    comparison: ClassVar[str]
    missing: ClassVar[str]
    statistic: ClassVar[str]
    about: ClassVar[str]

    @abstractmethod
    def expression(self) -> str:
        """What is compared with the threshold, of the ids of the metrics."""

    @abstractmethod
    def threshold(self) -> float:
        """With what."""

    @abstractmethod
    def metrics(self) -> dict[str, tuple[str, dict[str, str]]]:
        """Metric and dimensions, by the id that the expression has for it."""

    def actions(self) -> Json:
        return {"AlarmActions": [self.settings["topic_arn"]]}

    def read(self) -> Json | None:
        found = self.clients.read("cloudwatch").describe_alarms(AlarmNames=[self.called])["MetricAlarms"]
        if not found:
            return None
        alarm = found[0]
        return {
            "expression": next((one["Expression"] for one in alarm.get("Metrics") or [] if one.get("Expression")), ""),
            "threshold": alarm["Threshold"],
            "periods": alarm["EvaluationPeriods"],
            "missing": alarm.get("TreatMissingData", "missing"),
            "actions": alarm["AlarmActions"],
            "enabled": alarm["ActionsEnabled"],
        }

    def desired(self) -> Json:
        return {
            "expression": self.expression(),
            "threshold": self.threshold(),
            "periods": self.settings["periods"],
            "missing": self.missing,
            "actions": [self.settings["topic_arn"]],
            "enabled": True,
        }

    def apply(self, before: State) -> None:
        queries: list[Json] = [
            {
                "Id": identity,
                "ReturnData": False,
                "MetricStat": {
                    "Metric": {
                        "Namespace": "AWS/ApplicationELB",
                        "MetricName": metric,
                        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
                    },
                    "Period": 60,
                    "Stat": self.statistic,
                },
            }
            for identity, (metric, dimensions) in self.metrics().items()
        ]
        queries.append({"Id": "alarm", "Expression": self.expression(), "Label": self.about, "ReturnData": True})
        self.clients.write("cloudwatch", "PutMetricAlarm").put_metric_alarm(
            AlarmName=self.called,
            AlarmDescription=self.about,
            Metrics=queries,
            ComparisonOperator=self.comparison,
            Threshold=self.threshold(),
            EvaluationPeriods=self.settings["periods"],
            TreatMissingData=self.missing,
            ActionsEnabled=True,
            Tags=self.tags,
            **self.actions(),
        )


class TargetsAlarm(ExpressionAlarm):
    """Too few healthy targets in the target groups of a service together: one of the two is empty between releases."""

    name: ClassVar[str] = "targets_alarm"
    spec: ClassVar[Json] = {
        "balancer": {"type": "str", "required": True},
        "target_groups": {"type": "list", "elements": "str", "required": True},
        "least": {"type": "int", "required": True},
        "periods": {"type": "int", "required": True},
        "topic_arn": {"type": "str", "required": True},
    }
    comparison: ClassVar[str] = "LessThanThreshold"
    # Without a target there is no metric, and that is the worst of it.
    missing: ClassVar[str] = "breaching"
    statistic: ClassVar[str] = "Minimum"
    about: ClassVar[str] = "Healthy targets of the service, in all its target groups"

    def expression(self) -> str:
        return "+".join(f"FILL({identity},0)" for identity in self.metrics())

    def threshold(self) -> float:
        return float(self.settings["least"])

    def metrics(self) -> dict[str, tuple[str, dict[str, str]]]:
        balancer = self.settings["balancer"]
        return {
            f"group{number}": ("HealthyHostCount", {"LoadBalancer": balancer, "TargetGroup": group})
            for number, group in enumerate(self.settings["target_groups"], start=1)
        }

    def actions(self) -> Json:
        return {**super().actions(), "OKActions": [self.settings["topic_arn"]]}


class RatioAlarm(ExpressionAlarm):
    """The alarm of the error ratio of a load balancer, an expression over three metrics."""

    name: ClassVar[str] = "ratio_alarm"
    spec: ClassVar[Json] = {
        "balancer": {"type": "str", "required": True},
        "percent": {"type": "int", "required": True},
        "periods": {"type": "int", "default": 2},
        "topic_arn": {"type": "str", "required": True},
    }
    comparison: ClassVar[str] = "GreaterThanThreshold"
    missing: ClassVar[str] = "notBreaching"
    statistic: ClassVar[str] = "Sum"
    about: ClassVar[str] = "Errors among all requests, in percent"
    METRICS: ClassVar[dict[str, str]] = {
        "requests": "RequestCount",
        "balancer": "HTTPCode_ELB_5XX_Count",
        "target": "HTTPCode_Target_5XX_Count",
    }
    # RequestCount has only requests for which a target was chosen: the balancer's own errors come on top.
    RATIO: ClassVar[str] = "100*(FILL(balancer,0)+FILL(target,0))/(FILL(requests,0)+FILL(balancer,0))"

    def expression(self) -> str:
        return self.RATIO

    def threshold(self) -> float:
        return float(self.settings["percent"])

    def metrics(self) -> dict[str, tuple[str, dict[str, str]]]:
        where = {"LoadBalancer": self.settings["balancer"]}
        return {identity: (metric, where) for identity, metric in self.METRICS.items()}


class ScalableTarget(Resource):
    """How many tasks a service has at least and at most. Limits that a runbook widened are brought back."""

    name: ClassVar[str] = "scalable_target"
    spec: ClassVar[Json] = {
        "minimum": {"type": "int", "required": True},
        "maximum": {"type": "int", "required": True},
    }

    def _where(self) -> Json:
        return {"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount"}

    def read(self) -> Json | None:
        client = self.clients.read("application-autoscaling")
        found = client.describe_scalable_targets(**self._where(), ResourceIds=[self.called])["ScalableTargets"]
        return {"minimum": found[0]["MinCapacity"], "maximum": found[0]["MaxCapacity"]} if found else None

    def desired(self) -> Json:
        return {"minimum": self.settings["minimum"], "maximum": self.settings["maximum"]}

    def apply(self, before: State) -> None:
        self.clients.write("application-autoscaling", "RegisterScalableTarget").register_scalable_target(
            **self._where(),
            ResourceId=self.called,
            MinCapacity=self.settings["minimum"],
            MaxCapacity=self.settings["maximum"],
        )


class ScalingPolicy(ScalableTarget):
    """The CPU at which a service is scaled."""

    name: ClassVar[str] = "scaling_policy"
    spec: ClassVar[Json] = {"cpu_percent": {"type": "int", "required": True}}

    @property
    def policy(self) -> str:
        return f"{self.called.rpartition('/')[2]}-cpu"

    def read(self) -> Json | None:
        client = self.clients.read("application-autoscaling")
        found = client.describe_scaling_policies(**self._where(), ResourceId=self.called, PolicyNames=[self.policy])
        if not found["ScalingPolicies"]:
            return None
        tracked = found["ScalingPolicies"][0]["TargetTrackingScalingPolicyConfiguration"]
        metric = tracked.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType", "")
        return {"cpu_percent": float(tracked["TargetValue"]), "metric": metric}

    def desired(self) -> Json:
        return {"cpu_percent": float(self.settings["cpu_percent"]), "metric": "ECSServiceAverageCPUUtilization"}

    def apply(self, before: State) -> None:
        self.clients.write("application-autoscaling", "PutScalingPolicy").put_scaling_policy(
            **self._where(),
            ResourceId=self.called,
            PolicyName=self.policy,
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "TargetValue": self.desired()["cpu_percent"],
                "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
                "ScaleInCooldown": 300,
                "ScaleOutCooldown": 60,
            },
        )


class Topic(Resource):
    """A topic of SNS; who subscribes is for the people to say."""

    name: ClassVar[str] = "topic"

    def read(self) -> Json | None:
        environment = self.clients.environment
        arn = f"arn:aws:sns:{environment.region}:{environment.account_id}:{self.called}"
        answer = absent(
            lambda: self.clients.read("sns").get_topic_attributes(TopicArn=arn), "NotFound", "NotFoundException"
        )
        return {} if answer else None

    def desired(self) -> Json:
        return {}

    def done(self, before: State, after: State) -> bool:
        return bool(after["present"])

    def apply(self, before: State) -> None:
        self.clients.write("sns", "CreateTopic").create_topic(Name=self.called, Tags=self.tags)


def lower(tags: list[dict[str, str]]) -> list[dict[str, str]]:
    """Tags as ECS spells them."""
    return [{"key": tag["Key"], "value": tag["Value"]} for tag in tags]


KINDS: dict[str, type[Resource]] = {
    kind.name: kind
    for kind in (
        AddressTags,
        BucketReplication,
        CacheParameterGroup,
        CacheParameters,
        CacheSubnets,
        Cluster,
        ContainerService,
        DatabaseInstance,
        DatabaseParameters,
        DatabaseTags,
        EventSubscription,
        FlowLog,
        ImageLifecycle,
        ImageReplication,
        ImageRepository,
        ImageScanning,
        LogRetention,
        MailIdentity,
        RatioAlarm,
        ReplicationGroup,
        ScalableTarget,
        ScalingPolicy,
        TableProtection,
        TableRecovery,
        TargetsAlarm,
        TaskDefinition,
        Topic,
        WebAcl,
        WebAclAssociation,
        WebAclLog,
    )
}
