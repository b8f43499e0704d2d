# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: controls of the audit trail. May change without notice.

"""Who did what: recorded, delivered, and kept as long as the policy says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import (
    Look,
    Registry,
    Seen,
    Unknown,
    minutes,
    seen,
)

AREA = Registry("audit")
check = AREA.check

STREAM = "firehose:DescribeDeliveryStream"
OPENSEARCH = ("AmazonopensearchserviceDestinationDescription", "AmazonOpenSearchServerlessDestinationDescription")


@check(
    "trail",
    "Trail of the organization",
    "the trail covers the organization and all Regions, and validates its log files",
    calls=("cloudtrail:DescribeTrails",),
)
def trail(look: Look) -> Seen:
    found = look.one("cloudtrail:DescribeTrails", "trailList", trailNameList=[look.names["trail"]])
    names = ("IsOrganizationTrail", "IsMultiRegionTrail", "LogFileValidationEnabled")
    values = {name: found.get(name, False) for name in names}
    return seen(all(values.values()), **values)


@check(
    "logging",
    "The trail is written",
    "the trail logs, and delivered less than {trail_minutes} minutes ago without an error",
    calls=("cloudtrail:GetTrailStatus",),
)
def logging(look: Look) -> Seen:
    status = look.read("cloudtrail:GetTrailStatus", Name=look.names["trail"])
    behind = minutes(look.age(status.get("LatestDeliveryTime")))
    fault = status.get("LatestDeliveryError", "")
    return seen(
        status["IsLogging"] and behind < look.wanted["trail_minutes"] and not fault,
        measured={"minutes_behind": behind},
        logging=status["IsLogging"],
        fault=fault,
    )


@check(
    "retention",
    "Logs are kept",
    "every log group of the environment keeps its logs for {log_days} days",
    calls=("logs:DescribeLogGroups",),
)
def retention(look: Look) -> Seen:
    groups = [
        group
        for prefix in look.names["log_group_prefixes"]
        for group in look.listed("logs:DescribeLogGroups", "logGroups", logGroupNamePrefix=prefix)
    ]
    wrong = {
        group["logGroupName"]: group.get("retentionInDays", "for ever")
        for group in groups
        if group.get("retentionInDays") != look.wanted["log_days"]
    }
    return seen(groups and not wrong, groups=len(groups), wrong=wrong)


def _stream(look: Look) -> dict[str, Any]:
    return dict(look.read(STREAM, DeliveryStreamName=look.names["delivery_stream"])["DeliveryStreamDescription"])


@check(
    "delivery",
    "Delivery of audit events",
    "the stream is ACTIVE, goes to OpenSearch, and keeps every event in S3",
    calls=(STREAM,),
)
def delivery(look: Look) -> Seen:
    stream = _stream(look)
    targets = [target[name] for target in stream["Destinations"] for name in OPENSEARCH if name in target]
    backups = [target.get("S3BackupMode", "none") for target in targets]
    status = stream["DeliveryStreamStatus"]
    return seen(status == "ACTIVE" and targets and set(backups) == {"AllDocuments"}, status=status, backups=backups)


@check(
    "delivered",
    "Audit events arrive",
    "in the last day events came in, and all of them were delivered to OpenSearch",
    calls=("cloudwatch:GetMetricData",),
)
def delivered(look: Look) -> Seen:
    dimensions = [{"Name": "DeliveryStreamName", "Value": look.names["delivery_stream"]}]

    def metric(name: str, metric_name: str, statistic: str) -> dict[str, Any]:
        what = {"Namespace": "AWS/Firehose", "MetricName": metric_name, "Dimensions": dimensions}
        return {"Id": name, "MetricStat": {"Metric": what, "Period": 3600, "Stat": statistic}}

    results = look.listed(
        "cloudwatch:GetMetricData",
        "MetricDataResults",
        StartTime=look.now - timedelta(days=1),
        EndTime=look.now,
        MetricDataQueries=[
            metric("incoming", "IncomingRecords", "Sum"),
            metric("success", "DeliveryToAmazonOpenSearchService.Success", "Minimum"),
        ],
    )
    values = {item["Id"]: item["Values"] for item in results}
    if not values.get("incoming") or not values.get("success"):
        raise Unknown("CloudWatch has no data of the delivery of audit events in the last day.")
    events, success = sum(values["incoming"]), min(values["success"])
    return seen(events > 0 and success >= 1, measured={"events": int(events)}, all_delivered=success >= 1)
