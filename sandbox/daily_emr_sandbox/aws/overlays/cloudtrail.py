"""Change history as CloudTrail shows it: every management call that was executed, by whomever, and seeded events.

Data events (items of a table, objects, metric data) are not in the event history, as on AWS. Events show at once;
on AWS it takes some minutes.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

from moto.cloudtrail.responses import CloudTrailResponse
from moto.core.responses import ActionResult

from ..calllog import is_mutating, resource_of
from ..errors import AwsError

if TYPE_CHECKING:
    from ...settings import Settings
    from ..principals import Principal
    from ..wire import Call

KEPT = 5_000
PAGE = 50
ATTRIBUTES = (
    "EventId", "EventName", "ReadOnly", "Username", "ResourceType", "ResourceName", "EventSource", "AccessKeyId",
)  # fmt: skip
SOURCES = {"elbv2": "elasticloadbalancing", "cloudwatch": "monitoring", "stepfunctions": "states"}
"""Services whose event source is not their name in boto3."""
RESOURCE_TYPES = {
    "ecs": "AWS::ECS::Service",
    "elbv2": "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "rds": "AWS::RDS::DBInstance",
    "secretsmanager": "AWS::SecretsManager::Secret",
    "wafv2": "AWS::WAFv2::WebACL",
    "application-autoscaling": "AWS::ApplicationAutoScaling::ScalableTarget",
}
DATA_EVENTS = {
    "dynamodb": {
        "GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan", "BatchGetItem", "BatchWriteItem",
        "TransactGetItems", "TransactWriteItems",
    },
    "cloudwatch": {"PutMetricData", "GetMetricData"},
    "s3": {"GetObject", "PutObject", "DeleteObject", "HeadObject", "CopyObject"},
    "sns": {"Publish", "PublishBatch"},
    "sqs": {
        "SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessage", "DeleteMessageBatch",
        "ChangeMessageVisibility", "ChangeMessageVisibilityBatch",
    },
}  # fmt: skip


class Trail:
    """The event history. `record` is for the gateway, `add` for every other part."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._events: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def record(self, call: Call, caller: Principal, error: str | None) -> None:
        """Note an executed call, unless it is a data event."""
        if call.operation in DATA_EVENTS.get(call.service, ()):
            return
        resource = resource_of(call.params)
        named = [(RESOURCE_TYPES.get(call.service, f"AWS::{call.service}"), resource)] if resource else []
        self.add(
            call.operation, source=f"{SOURCES.get(call.service, call.service)}.amazonaws.com", username=caller.session,
            resources=named, access_key=caller.access_key, error=error,
        )  # fmt: skip

    def add(
        self, name: str, *, source: str, username: str, resources: list[tuple[str, str]] | None = None,
        at: dt.datetime | None = None, access_key: str = "", error: str | None = None,
    ) -> None:  # fmt: skip
        """Add an event.

        Args:
            name: of the operation, for example "UpdateService".
            source: for example "ecs.amazonaws.com".
            username: session name of who did it.
            resources: type and name of what it was done to.
            at: when; now when it is not given.
        """
        moment = at or dt.datetime.now(dt.UTC)
        event = {
            "EventId": str(uuid.uuid4()),
            "EventName": name,
            "ReadOnly": "false" if is_mutating(name) else "true",
            "EventTime": moment,
            "EventSource": source,
            "Username": username,
            "Resources": [{"ResourceType": kind, "ResourceName": resource} for kind, resource in resources or []],
        }
        if access_key:
            event["AccessKeyId"] = access_key
        # Of the call itself only names: parameters may hold secrets.
        record = {
            "eventVersion": "1.11",
            "eventTime": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventSource": source,
            "eventName": name,
            "awsRegion": self._settings.region,
            "readOnly": event["ReadOnly"] == "true",
            "eventType": "AwsApiCall",
            "eventID": event["EventId"],
            "recipientAccountId": self._settings.account_id,
            **({"errorCode": error} if error else {}),
        }
        event["CloudTrailEvent"] = json.dumps(record)
        with self._lock:
            self._events.append(event)

    def clear(self) -> None:
        """Forget everything: the seed does, so that building the environment is no recent change."""
        with self._lock:
            self._events.clear()

    def newest_first(self) -> list[dict[str, Any]]:
        with self._lock:
            return sorted(self._events, key=lambda event: event["EventTime"], reverse=True)


def _matches(event: dict[str, Any], key: str, value: str) -> bool:
    if key in {"ResourceType", "ResourceName"}:
        return any(resource[key] == value for resource in event["Resources"])
    return bool(event.get(key) == value)


def install(aws: Any) -> None:
    def lookup_events(self: Any) -> ActionResult:
        asked = json.loads(self.body or "{}")
        attributes = asked.get("LookupAttributes") or []
        if len(attributes) > 1:
            raise AwsError("InvalidLookupAttributesException", "You can specify only one lookup attribute.")
        if any(item["AttributeKey"] not in ATTRIBUTES for item in attributes):
            known = ", ".join(ATTRIBUTES)
            raise AwsError("InvalidLookupAttributesException", f"The attribute key must be one of {known}.")
        size = int(asked.get("MaxResults") or PAGE)
        if not 1 <= size <= PAGE:
            raise AwsError("InvalidMaxResultsException", f"MaxResults must be between 1 and {PAGE}.")
        start, end = _moment(asked.get("StartTime")), _moment(asked.get("EndTime"))
        if start and end and start > end:
            raise AwsError("InvalidTimeRangeException", "The start time must not be after the end time.")
        found = [
            event
            for event in aws.trail.newest_first()
            if (not start or event["EventTime"] >= start)
            and (not end or event["EventTime"] <= end)
            and all(_matches(event, item["AttributeKey"], item["AttributeValue"]) for item in attributes)
        ]
        first = _place(found, asked.get("NextToken"))
        page = found[first : first + size]
        more = {"NextToken": page[-1]["EventId"]} if first + size < len(found) else {}
        return ActionResult({"Events": page, **more})

    CloudTrailResponse.lookup_events = lookup_events


def _moment(value: Any) -> dt.datetime | None:
    return dt.datetime.fromtimestamp(float(value), dt.UTC) if value is not None else None


def _place(events: list[dict[str, Any]], token: str | None) -> int:
    """Where the page after the event named by the token begins; new events do not shift it."""
    if token is None:
        return 0
    for place, event in enumerate(events):
        if event["EventId"] == token:
            return place + 1
    raise AwsError("InvalidNextTokenException", "The token is not valid.")
