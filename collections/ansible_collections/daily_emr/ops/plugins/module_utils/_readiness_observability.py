# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: controls of alarms and canaries. May change without notice.

"""Alarms: there, not muted, explicit about silence, and heard by somebody; and the page that shows what they mean."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import WEEK, Look, Registry, Seen, seen

AREA = Registry("observability")
check = AREA.check

ALARMS = "cloudwatch:DescribeAlarms"


def _alarms(look: Look) -> list[dict[str, Any]]:
    prefix = f"{look.names['prefix']}-"
    return look.listed(ALARMS, "MetricAlarms", AlarmNamePrefix=prefix, AlarmTypes=["MetricAlarm"])


@check(
    "alarms",
    "Alarms are there",
    "alarms of the environment exist, among them {required_alarms}",
    calls=(ALARMS,),
    valid_for=WEEK,
)
def alarms(look: Look) -> Seen:
    there = {item["AlarmName"].removeprefix(f"{look.names['prefix']}-") for item in _alarms(look)}
    missing = set(look.wanted["required_alarms"]) - there
    return seen(there and not missing, alarms=len(there), missing=missing)


@check(
    "alarm_actions",
    "No alarm is muted",
    "the actions of every alarm are enabled, and it has at least one",
    calls=(ALARMS,),
    valid_for=WEEK,
)
def alarm_actions(look: Look) -> Seen:
    found = _alarms(look)
    silent = {item["AlarmName"] for item in found if not item["ActionsEnabled"] or not item["AlarmActions"]}
    return seen(found and not silent, silent=silent)


@check(
    "missing_data",
    "What silence means",
    "every alarm says what missing data means: breaching, notBreaching or ignore",
    calls=(ALARMS,),
    valid_for=WEEK,
)
def missing_data(look: Look) -> Seen:
    found = _alarms(look)
    unsaid = {item["AlarmName"] for item in found if item.get("TreatMissingData", "missing") == "missing"}
    return seen(found and not unsaid, unsaid=unsaid)


@check(
    "heard",
    "Somebody hears the alarms",
    "every topic that an alarm goes to has a confirmed subscription",
    calls=(ALARMS, "sns:ListSubscriptionsByTopic"),
    valid_for=WEEK,
)
def heard(look: Look) -> Seen:
    topics = {arn for item in _alarms(look) for arn in item["AlarmActions"] if arn.split(":")[2] == "sns"}
    unheard = {
        topic.rpartition(":")[2]
        for topic in topics
        if not any(
            item["SubscriptionArn"].startswith("arn:")
            for item in look.listed("sns:ListSubscriptionsByTopic", "Subscriptions", TopicArn=topic)
        )
    }
    return seen(topics and not unheard, topics=len(topics), unheard=unheard)


@check(
    "canary",
    "Canary",
    "the canary runs, and its last run passed less than {canary_minutes_ago} minutes ago",
    calls=("synthetics:DescribeCanaries", "synthetics:DescribeCanariesLastRun"),
    valid_for=WEEK,
)
def canary(look: Look) -> Seen:
    name = look.names["canary"]
    state = look.one("synthetics:DescribeCanaries", "Canaries", Names=[name])["Status"]["State"]
    run = look.one("synthetics:DescribeCanariesLastRun", "CanariesLastRun", Names=[name])["LastRun"]
    ago = int(look.age(run["Timeline"]["Completed"]).total_seconds() // 60)
    last = run["Status"]["State"]
    recent = ago < look.wanted["canary_minutes_ago"]
    return seen(
        state == "RUNNING" and last == "PASSED" and recent, measured={"minutes": ago}, state=state, last_run=last
    )


@check(
    "dashboard",
    "Dashboard",
    "the dashboard shows the load balancer, the service, the database and the queues",
    calls=("cloudwatch:GetDashboard",),
    valid_for=WEEK,
)
def dashboard(look: Look) -> Seen:
    found = look.read_or_none("cloudwatch:GetDashboard", "ResourceNotFound", DashboardName=look.names["prefix"])
    if found is None:
        return seen(passed=False, widgets=0)
    widgets = json.loads(found["DashboardBody"])["widgets"]
    shown = {str(metric[0]) for one in widgets for metric in one["properties"].get("metrics", []) if metric}
    missing = {"AWS/ApplicationELB", "AWS/ECS", "AWS/RDS", "AWS/SQS", "DailyEMR/Queues"} - shown
    return seen(not missing, measured={"widgets": len(widgets)}, missing=missing)
