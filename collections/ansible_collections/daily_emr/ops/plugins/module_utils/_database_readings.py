# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: everything a diagnosis of a database reads. May change without notice.

"""Read the instance, its sessions, and what the application sees, in chains that run at the same time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._balancer import read_targets
from ansible_collections.daily_emr.ops.plugins.module_utils._chains import Chains
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import gather
from ansible_collections.daily_emr.ops.plugins.module_utils._database_sessions import (
    INSIDE,
    read_inside,
    try_write,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import (
    read_max_connections,
    read_tasks,
    secret_changed_at,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._health_metrics import window
from ansible_collections.daily_emr.ops.plugins.module_utils._health_probes import probe_task
from ansible_collections.daily_emr.ops.plugins.module_utils._health_readings import read_flags
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import Trouble
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import read_capacity
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    Json,
    Readings,
    answered_at,
    iso,
    target_groups,
)

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

_DAY_MINUTES = 1440
# Values of RDS come up to two minutes late.
_VALUES = 5
# Name of ours -> metric of RDS and its statistic.
_METRICS = {
    "cpu_percent": ("CPUUtilization", "Average"),
    "io_balance_percent": ("EBSIOBalance%", "Minimum"),
    "byte_balance_percent": ("EBSByteBalance%", "Minimum"),
    "connections": ("DatabaseConnections", "Maximum"),
    "free_bytes": ("FreeStorageSpace", "Minimum"),
    "write_latency_s": ("WriteLatency", "Average"),
    "read_latency_s": ("ReadLatency", "Average"),
    "load": ("DBLoad", "Average"),
    "log_bytes": ("TransactionLogsDiskUsage", "Maximum"),
    "slot_bytes": ("OldestReplicationSlotLag", "Maximum"),
    "transaction_ids": ("MaximumUsedTransactionIDs", "Maximum"),
}
# DescribeEvents gives no numbers: RDS-EVENT-0013, then 0015, 0049 and 0065, then 0034.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.Messages.html
_EVENTS = (
    (re.compile(r"multi-az .*failover started", re.IGNORECASE), "started"),
    (re.compile(r"multi-az .*failover.* complete|recovered from partial failover", re.IGNORECASE), "completed"),
    (re.compile(r"abandoning user requested failover", re.IGNORECASE), "abandoned"),
)


def read_all(clients: Clients, database: Json, service: Json, thresholds: Json, *, keep: bool) -> Readings:
    """Every reading a diagnosis needs; what could not be read is named with its reason.

    keep: whether the row that W1 writes stays.
    """
    return _Look(clients, database, service, thresholds, keep).everything()


class _Look(Chains):
    def __init__(self, clients: Clients, database: Json, service: Json, thresholds: Json, keep: bool) -> None:
        super().__init__()
        self.clients, self.database, self.service, self.thresholds = clients, database, service, thresholds
        self.keep = keep

    def everything(self) -> Readings:
        chains = (self.instance, self.tasks, self.others)
        gather(**{chain.__name__: chain for chain in chains})
        self.connection_limit()
        return self.readings

    def instance(self) -> None:
        self.take(instance=lambda: read_instance(self.clients, self.database["instance"]))
        if not self.known("instance", "login", "write", *INSIDE):
            return
        found = self.readings.values["instance"]
        if not found["address"]:
            why = f"{self.database['instance']} has no endpoint"
            self.readings.unread |= dict.fromkeys(("login", "write", *INSIDE), why)
            return
        place = found["address"], found["port"]
        self.take(
            inside=lambda: read_inside(self.clients, self.database, place, self.thresholds),
            write=lambda: try_write(self.clients, self.database, place, self.thresholds, keep=self.keep),
        )
        if self.known("inside", "login", *INSIDE):
            inside = self.readings.values.pop("inside")
            self.readings.values |= {"login": inside.login, **inside.values}
            self.readings.unread |= inside.unread
        self.readings.unread.pop("inside", None)

    def tasks(self) -> None:
        service, timeout_s = self.service, self.thresholds["probe_timeout_s"]
        self.take(
            tasks=lambda: read_tasks(self.clients, service["cluster"], service["service"]),
            targets=lambda: read_targets(self.clients, target_groups(service)),
        )
        if self.known("tasks", "task_probes"):
            ask = partial(
                probe_task, port=service["port"], timeout_s=timeout_s, host=str(service["probes"]["host"] or "")
            )
            self.each("task_probes", {task["id"]: partial(ask, task) for task in self.readings.values["tasks"]})

    def others(self) -> None:
        """What stands alone."""
        clients, instance = self.clients, self.database["instance"]
        self.take(
            events=lambda: read_events(clients, instance),
            maintenance=lambda: read_maintenance(clients, instance),
            metrics=lambda: read_metrics(clients, instance),
            secret=lambda: secret_changed_at(clients, self.database["secret"]),
            capacity=lambda: read_capacity(clients, self.service["cluster"], self.service["service"]),
            read_only=lambda: read_switch(clients, self.service["feature_flags"], self.database["read_only_flag"]),
        )

    def connection_limit(self) -> None:
        """How many connections there may be: the server's word, or, when it lets nobody in, the parameter group's."""
        values, unread = self.readings.values, self.readings.unread
        if "connections" in values:
            values["connection_limit"] = values["connections"]["maximum"]
        elif "login" in values and values["login"].trouble is Trouble.TOO_MANY:
            groups = values["instance"]["parameter_groups"]
            self.take(connection_limit=lambda: read_max_connections(self.clients, groups))
        else:
            unread["connection_limit"] = unread.get("connections", "nobody was asked")


def read_instance(clients: Clients, identifier: str) -> Json:
    """State, places, storage and endpoint of the instance, by AWS's clock."""
    answer = clients.read("rds").describe_db_instances(DBInstanceIdentifier=identifier)
    found = answer["DBInstances"][0]
    endpoint = found.get("Endpoint") or {}
    return {
        "status": found["DBInstanceStatus"],
        "multi_az": bool(found.get("MultiAZ")),
        "zone": found.get("AvailabilityZone"),
        "standby_zone": found.get("SecondaryAvailabilityZone"),
        "class": found.get("DBInstanceClass"),
        "allocated_gib": found.get("AllocatedStorage"),
        "pending_gib": (found.get("PendingModifiedValues") or {}).get("AllocatedStorage"),
        # Up to where RDS lets it grow by itself; 0 where it does not.
        "maximum_gib": found.get("MaxAllocatedStorage") or 0,
        "restorable_at": iso(found.get("LatestRestorableTime")),
        "pending": sorted(found.get("PendingModifiedValues") or {}),
        "replicas": found.get("ReadReplicaDBInstanceIdentifiers") or [],
        "address": endpoint.get("Address"),
        "port": endpoint.get("Port"),
        "parameter_groups": [item["DBParameterGroupName"] for item in found.get("DBParameterGroups", [])],
        "parameters": {
            item["DBParameterGroupName"]: item.get("ParameterApplyStatus")
            for item in found.get("DBParameterGroups", [])
        },
        "read_at": iso(answered_at(answer)),
    }


def read_events(clients: Clients, identifier: str) -> Json:
    """What RDS said of failovers in the last day, the oldest first, as {"kind", "at"}; and when it was asked."""
    pages = clients.read("rds").get_paginator("describe_events")
    found: list[Json] = []
    asked = datetime.now(UTC)
    for page in pages.paginate(SourceIdentifier=identifier, SourceType="db-instance", Duration=_DAY_MINUTES):
        asked = answered_at(page)
        for event in page["Events"]:
            kind = next((kind for words, kind in _EVENTS if words.search(event.get("Message", ""))), None)
            if kind:
                found.append({"kind": kind, "at": iso(event["Date"])})
    return {"failovers": sorted(found, key=lambda event: str(event["at"])), "read_at": iso(asked)}


def read_maintenance(clients: Clients, identifier: str) -> list[str]:
    """The actions that AWS wants to do on the instance."""
    answer = clients.read("rds").describe_pending_maintenance_actions(
        Filters=[{"Name": "db-instance-id", "Values": [identifier]}]
    )
    return [
        detail["Action"]
        for item in answer["PendingMaintenanceActions"]
        for detail in item.get("PendingMaintenanceActionDetails", [])
    ]


def read_metrics(clients: Clients, identifier: str) -> dict[str, float | None]:
    """The newest value of each metric, None where there is none: no value is not 0."""
    period, back = window(clients.environment.time_factor)
    back = max(back, timedelta(seconds=_VALUES * period))
    dimensions = [{"Name": "DBInstanceIdentifier", "Value": identifier}]
    queries: list[Json] = []
    for name, (metric, statistic) in _METRICS.items():
        shape = {"Namespace": "AWS/RDS", "MetricName": metric, "Dimensions": dimensions}
        queries.append({"Id": name, "MetricStat": {"Metric": shape, "Period": period, "Stat": statistic}})
    now = datetime.now(UTC)
    answer = clients.read("cloudwatch").get_metric_data(
        MetricDataQueries=queries,
        StartTime=now - back,
        EndTime=now + timedelta(seconds=period),
        ScanBy="TimestampDescending",
    )
    values: dict[str, Any] = {item["Id"]: item["Values"] for item in answer["MetricDataResults"]}
    return {name: float(values[name][0]) if values.get(name) else None for name in _METRICS}


def read_switch(clients: Clients, settings: Json, key: str) -> Json:
    """Whether the flag is on, and since when. Raises OpsError when there is no such flag."""
    for flag in read_flags(clients, settings):
        if flag["key"] == key:
            return {"on": flag["on"], "changed_at": flag["changed_at"]}
    raise OpsError(f"LaunchDarkly has no flag {key}")
