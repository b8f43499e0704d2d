# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What only a second region has: the copy of the database, and what DNS turns by."""

from __future__ import annotations

import uuid
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import State
from ansible_collections.daily_emr.ops.plugins.module_utils._resources import DatabaseInstance, Json, Resource


class DatabaseReplica(DatabaseInstance):
    """A read replica of an instance in another region, with the settings that it will need when it is promoted.

    It is neither Multi-AZ nor backed up before that: RDS promotes none that is just being backed up.
    """

    REPLICA: ClassVar[str] = ""
    name: ClassVar[str] = "database_replica"
    spec: ClassVar[Json] = {
        **{
            key: option
            for key, option in DatabaseInstance.spec.items()
            if key not in ("engine_version", "database", "storage_gib")
        },
        "source": {"type": "str", "required": True},
        "multi_az": {"type": "bool", "default": False},
        "backup_days": {"type": "int", "default": 0},
    }

    def described(self, found: Json) -> Json:
        return {**super().described(found), "source": found.get("ReadReplicaSourceDBInstanceIdentifier") or ""}

    def desired(self) -> Json:
        return {**super().desired(), "source": self.settings["source"]}

    def refusals(self, before: State) -> list[str]:
        if before["present"] and before["source"] != self.settings["source"]:
            return [
                f"{self.called} follows {before['source'] or 'nobody'}, and not {self.settings['source']}: when it was "
                "promoted, swap the regions in the inventory (roles/region_failover/README.md, How to come back)."
            ]
        return super().refusals(before)

    def apply(self, before: State) -> None:
        if before["present"]:
            super().apply(before)
            return
        settings, wanted = self.settings, self.desired()
        self.clients.write("rds", "CreateDBInstanceReadReplica").create_db_instance_read_replica(
            DBInstanceIdentifier=self.called,
            SourceDBInstanceIdentifier=wanted["source"],
            # botocore signs a second request with it, by which RDS may read the source in its region.
            SourceRegion=wanted["source"].split(":")[3],
            DBInstanceClass=wanted["class"],
            DBSubnetGroupName=settings["subnet_group"],
            DBParameterGroupName=wanted["parameter_group"],
            VpcSecurityGroupIds=wanted["security_groups"],
            KmsKeyId=settings["kms_key"],
            MaxAllocatedStorage=wanted["storage_limit_gib"],
            StorageType="gp3",
            MultiAZ=False,
            PubliclyAccessible=False,
            DeletionProtection=wanted["deletion_protection"],
            EnableIAMDatabaseAuthentication=True,
            EnablePerformanceInsights=True,
            AutoMinorVersionUpgrade=True,
            EnableCloudwatchLogsExports=self.LOGS,
            CopyTagsToSnapshot=True,
            Tags=self.tags,
        )


class AlarmHealthCheck(Resource):
    """A health check of Route 53 that is as an alarm is. While nobody knows the alarm's state, it stays as it was."""

    name: ClassVar[str] = "alarm_health_check"
    spec: ClassVar[Json] = {"region": {"type": "str", "required": True}}

    def read(self) -> Json | None:
        pages = self.clients.read("route53").get_paginator("list_health_checks").paginate()
        watched = {"Region": self.settings["region"], "Name": self.called}
        for found in (one for page in pages for one in page["HealthChecks"]):
            config = found["HealthCheckConfig"]
            if config.get("AlarmIdentifier") == watched:
                return {
                    "id": found["Id"],
                    "unknown": config.get("InsufficientDataHealthStatus"),
                    "inverted": config.get("Inverted", False),
                    "disabled": config.get("Disabled", False),
                }
        return None

    def desired(self) -> Json:
        return {"unknown": "LastKnownStatus", "inverted": False, "disabled": False}

    def apply(self, before: State) -> None:
        settings = {"InsufficientDataHealthStatus": "LastKnownStatus", "Inverted": False, "Disabled": False}
        if before["present"]:
            client = self.clients.write("route53", "UpdateHealthCheck")
            client.update_health_check(HealthCheckId=before["id"], **settings)
            return
        self.clients.write("route53", "CreateHealthCheck").create_health_check(
            # Never that of another one, also not of one that was deleted.
            CallerReference=f"{self.called[:50]}-{uuid.uuid4().hex[:12]}",
            HealthCheckConfig={
                "Type": "CLOUDWATCH_METRIC",
                "AlarmIdentifier": {"Region": self.settings["region"], "Name": self.called},
                **settings,
            },
        )

    def done(self, before: State, after: State) -> bool:
        return bool(after["present"]) and super().done(before, after)


RECOVERY_KINDS: dict[str, type[Resource]] = {kind.name: kind for kind in (AlarmHealthCheck, DatabaseReplica)}
