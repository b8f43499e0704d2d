"""The second region as the bootstrap leaves it: everything is there, nothing runs but the replica."""

from __future__ import annotations

from typing import Any

from ..seed import RELEASES, Seed
from ..settings import REGION

FIRST_REGION_ALARM = "first-region-unreachable"
TRAFFIC_ALARM = "second-region-serves"
TRAFFIC_METRIC = ("DailyEMR/Region", "SecondRegionServes")


class RegionSeed(Seed):
    """The same names in another region, and no task."""

    def build(self) -> None:
        subnets, group = self._network()
        _balancer, targets = self._balancer(subnets, group)
        self._replica(subnets, group)
        arns = self._secrets()
        definitions = [self._release(release, arns) for release in RELEASES]
        self._service(definitions, subnets, group, targets)
        self._aws.boto("ecs").update_service(cluster=self._settings.prefix, service=self._settings.web, desiredCount=0)
        self._scaling()
        self._table()  # its own: a failover must not need the region that is gone
        self._alarms()

    def _replica(self, subnets: list[str], group: str) -> None:
        settings, rds, name = self._settings, self._aws.boto("rds"), self._settings.database_name
        rds.create_db_subnet_group(
            DBSubnetGroupName=name, DBSubnetGroupDescription="Daily EMR", SubnetIds=subnets, Tags=self._tag_list()
        )
        rds.create_db_parameter_group(
            DBParameterGroupName=name, DBParameterGroupFamily="postgres18", Description="Daily EMR",
            Tags=self._tag_list(),
        )  # fmt: skip
        source = f"arn:aws:rds:{REGION}:{settings.account_id}:db:{settings.database_name}"
        rds.create_db_instance_read_replica(
            DBInstanceIdentifier=settings.replica_name, SourceDBInstanceIdentifier=source,
            DBInstanceClass="db.m6g.large", Port=settings.database_port, DBSubnetGroupName=name,
            DBParameterGroupName=name, VpcSecurityGroupIds=[group], KmsKeyId=f"alias/{settings.prefix}",
            Tags=self._tag_list(),
        )  # fmt: skip

    def _secrets(self) -> dict[str, str]:
        """Copies of the first region's secrets, and the one that only this region's tasks read."""
        settings, client = self._settings, self._aws.boto("secretsmanager")
        first = self._aws.boto("secretsmanager", REGION)
        values = {
            name: first.get_secret_value(SecretId=name)["SecretString"]
            for name in (settings.database_secret, settings.session_secret)
        }
        values[settings.recovery_secret] = values[settings.database_secret]
        arns = {
            name: client.create_secret(Name=name, SecretString=value, Tags=self._tag_list())["ARN"]
            for name, value in values.items()
        }
        return {"DATABASE_URL": arns[settings.recovery_secret], "SESSION_PASSWORD": arns[settings.session_secret]}

    def _alarms(self) -> None:
        """What a canary of this region sees of the first one, and the switch that DNS follows."""
        prefix, cloudwatch = self._settings.prefix, self._aws.boto("cloudwatch")
        kinds: tuple[tuple[str, str, str], ...] = (
            (FIRST_REGION_ALARM, "CloudWatchSynthetics", "Failed"),
            (TRAFFIC_ALARM, *TRAFFIC_METRIC),
        )
        for name, namespace, metric in kinds:
            common: dict[str, Any] = {"EvaluationPeriods": 1, "Period": 60, "Threshold": 1.0, "Statistic": "Maximum"}
            cloudwatch.put_metric_alarm(
                AlarmName=f"{prefix}-{name}", Namespace=namespace, MetricName=metric,
                ComparisonOperator="GreaterThanOrEqualToThreshold", TreatMissingData="ignore", **common,
            )  # fmt: skip
