# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: controls of the database. May change without notice.

"""The RDS instance: spare, encrypted, backed up, and only reached over TLS."""

from __future__ import annotations

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import (
    Look,
    Registry,
    Seen,
    instant,
    minutes,
    seen,
)

AREA = Registry("database")
check = AREA.check

INSTANCES = "rds:DescribeDBInstances"
KEYS = "kms:DescribeKey"


def _instance(look: Look) -> dict[str, Any]:
    return look.one(INSTANCES, "DBInstances", DBInstanceIdentifier=look.names["database"])


@check("multi_az", "Standby in another zone", "MultiAZ is on and a standby zone is named", calls=(INSTANCES,))
def multi_az(look: Look) -> Seen:
    instance = _instance(look)
    zones = {"zone": instance["AvailabilityZone"], "standby_zone": instance.get("SecondaryAvailabilityZone", "")}
    return seen(
        instance["MultiAZ"] and zones["standby_zone"] not in ("", zones["zone"]),
        measured=zones,  # they change places at a failover
        multi_az=instance["MultiAZ"],
    )


@check("instance_class", "Size of the instance", "the instance class is {database_class}", calls=(INSTANCES,))
def instance_class(look: Look) -> Seen:
    found = _instance(look)["DBInstanceClass"]
    return seen(found == look.wanted["database_class"], instance_class=found)


@check(
    "encryption",
    "Encryption at rest",
    "storage is encrypted with a key of our own",
    calls=(INSTANCES, KEYS),
)
def encryption(look: Look) -> Seen:
    instance = _instance(look)
    if not instance["StorageEncrypted"]:
        return seen(False, encrypted=False)  # reads as what it is
    key = look.read(KEYS, KeyId=instance["KmsKeyId"])["KeyMetadata"]
    return seen(
        key["KeyManager"] == "CUSTOMER" and key["KeyState"] == "Enabled",
        encrypted=True,
        key_of=key["KeyManager"],
        key_state=key["KeyState"],
    )


@check(
    "backups",
    "Automated backups",
    "automated backups are kept for at least {database_backup_days} days",
    calls=(INSTANCES,),
)
def backups(look: Look) -> Seen:
    days = _instance(look)["BackupRetentionPeriod"]
    return seen(days >= look.wanted["database_backup_days"], days=days)


@check(
    "restorable",
    "Point in time recovery",
    "the latest restorable time is less than {database_restorable_minutes} minutes ago",
    calls=(INSTANCES,),
)
def restorable(look: Look) -> Seen:
    behind = minutes(look.age(_instance(look)["LatestRestorableTime"]))
    return seen(behind < look.wanted["database_restorable_minutes"], measured={"minutes_behind": behind})


@check("deletion_protection", "Protection from deletion", "DeletionProtection is on", calls=(INSTANCES,))
def deletion_protection(look: Look) -> Seen:
    protected = _instance(look)["DeletionProtection"]
    return seen(protected, protected=protected)


@check("private", "Not reachable from the internet", "PubliclyAccessible is off", calls=(INSTANCES,))
def private(look: Look) -> Seen:
    public = _instance(look)["PubliclyAccessible"]
    return seen(public is False, public=public)


@check(
    "minor_upgrades",
    "Minor versions",
    "AutoMinorVersionUpgrade is {database_minor_upgrades}",
    calls=(INSTANCES,),
)
def minor_upgrades(look: Look) -> Seen:
    automatic = _instance(look)["AutoMinorVersionUpgrade"]
    return seen(automatic is look.wanted["database_minor_upgrades"], automatic=automatic)


@check(
    "storage_growth",
    "Storage that grows",
    "storage may grow by itself, by at least {database_growth_percent} %",
    calls=(INSTANCES,),
)
def storage_growth(look: Look) -> Seen:
    instance = _instance(look)
    allocated, most = instance["AllocatedStorage"], instance.get("MaxAllocatedStorage", 0)
    enough = most * 100 >= allocated * (100 + look.wanted["database_growth_percent"])
    return seen(enough, measured={"allocated_gib": allocated}, most_gib=most)


@check(
    "log_exports",
    "Logs of the database",
    "the logs {database_log_exports} go to CloudWatch",
    calls=(INSTANCES,),
)
def log_exports(look: Look) -> Seen:
    exported = set(_instance(look).get("EnabledCloudwatchLogsExports", []))
    return seen(set(look.wanted["database_log_exports"]) <= exported, exported=exported)


@check("insights", "Insights", "Performance Insights is on", calls=(INSTANCES,))
def insights(look: Look) -> Seen:
    instance = _instance(look)
    enabled = instance["PerformanceInsightsEnabled"]
    return seen(enabled, enabled=enabled, mode=instance.get("DatabaseInsightsMode", ""))


@check(
    "forced_tls",
    "Only over TLS",
    "rds.force_ssl is 1 in the parameter group, and the instance runs with it",
    calls=(INSTANCES, "rds:DescribeDBParameters"),
)
def forced_tls(look: Look) -> Seen:
    (group,) = _instance(look)["DBParameterGroups"]
    parameters = look.listed(
        "rds:DescribeDBParameters", "Parameters", DBParameterGroupName=group["DBParameterGroupName"]
    )
    value = next(
        (item.get("ParameterValue", "") for item in parameters if item["ParameterName"] == "rds.force_ssl"), ""
    )
    applied = group["ParameterApplyStatus"]
    return seen(value == "1" and applied == "in-sync", force_ssl=value, applied=applied)


@check(
    "certificate",
    "Certificate of the server",
    "the certificate of the instance is valid for at least {certificate_days} days",
    calls=(INSTANCES,),
)
def certificate(look: Look) -> Seen:
    details = _instance(look)["CertificateDetails"]
    days = (instant(details["ValidTill"]) - look.now).days
    return seen(
        days >= look.wanted["certificate_days"], measured={"days_left": days}, authority=details["CAIdentifier"]
    )


@check(
    "events",
    "Word of a failover",
    "an active subscription tells of failovers of the instance",
    calls=("rds:DescribeEventSubscriptions",),
)
def events(look: Look) -> Seen:
    subscriptions = look.listed("rds:DescribeEventSubscriptions", "EventSubscriptionsList")
    telling = sorted(item["CustSubscriptionId"] for item in subscriptions if _tells(item, look.names["database"]))
    return seen(telling, subscriptions=telling)


def _tells(subscription: dict[str, Any], instance: str) -> bool:
    """An empty list of sources or categories means all of them."""
    sources, categories = subscription.get("SourceIdsList", []), subscription.get("EventCategoriesList", [])
    return (
        subscription["Enabled"]
        and subscription["Status"] == "active"
        and subscription.get("SourceType") == "db-instance"
        and (not sources or instance in sources)
        and (not categories or "failover" in categories)
    )
