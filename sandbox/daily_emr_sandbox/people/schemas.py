"""What each provider takes, as JSON Schema, from its published reference.

https://developer.pagerduty.com/docs/events-api-v2/trigger-events/, …/send-change-events/ and the REST API v2,
https://docs.slack.dev/reference/methods/chat.postMessage and …/block-kit/blocks/, https://developer.statuspage.io/,
https://grafana.com/docs/grafana/latest/developers/http_api/annotations/. What is not known is refused, so that a wrong
name of a field is found.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def _object(required: list[str], **properties: Any) -> Json:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def _text(most: int, least: int = 1) -> Json:
    return {"type": "string", "minLength": least, "maxLength": most}


ROUTING_KEY = {"type": "string", "pattern": "^[0-9a-zA-Z]{32}$"}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}
LINKS = {"type": "array", "items": _object(["href"], href={"type": "string"}, text={"type": "string"})}
DEDUP_KEY = _text(255)

ALERT = _object(
    ["summary", "severity", "source"],
    summary=_text(1024),
    severity={"enum": ["critical", "error", "warning", "info"]},
    source=_text(1024),
    timestamp=TIME,
    component=_text(1024),
    group=_text(1024),
    **{"class": _text(1024)},
    custom_details={"type": "object"},
)
PAGERDUTY_EVENT: Json = {
    **_object(
        ["routing_key", "event_action"],
        routing_key=ROUTING_KEY,
        event_action={"enum": ["trigger", "acknowledge", "resolve"]},
        dedup_key=DEDUP_KEY,
        payload=ALERT,
        links=LINKS,
        images={"type": "array"},
        client=_text(1024),
        client_url=_text(1024),
    ),
    "if": {"properties": {"event_action": {"const": "trigger"}}},
    "then": {"required": ["payload"]},
    "else": {"required": ["dedup_key"]},
}
PAGERDUTY_CHANGE = _object(
    ["routing_key", "payload"],
    routing_key=ROUTING_KEY,
    payload=_object(
        ["summary"], summary=_text(1024), timestamp=TIME, source=_text(1024), custom_details={"type": "object"}
    ),
    links=LINKS,
)
PAGERDUTY_NOTE = _object(["note"], note=_object(["content"], content=_text(25_000)))

PLAIN_TEXT = _object(["type", "text"], type={"const": "plain_text"}, text=_text(150), emoji={"type": "boolean"})
TEXT = _object(["type", "text"], type={"enum": ["mrkdwn", "plain_text"]}, text=_text(3000))
BLOCK: Json = {
    "oneOf": [
        _object(["type", "text"], type={"const": "header"}, text=PLAIN_TEXT),
        _object(
            ["type"],
            type={"const": "section"},
            text=TEXT,
            fields={"type": "array", "maxItems": 10, "items": TEXT},
        ),
        _object(["type", "elements"], type={"const": "context"}, elements={"type": "array", "maxItems": 10}),
    ]
}
_MESSAGE: Json = {
    "channel": _text(255),
    "text": _text(40_000),
    "blocks": {"type": "array", "maxItems": 50, "items": BLOCK},
    "metadata": _object(["event_type", "event_payload"], event_type=_text(255), event_payload={"type": "object"}),
}
SLACK_POST = _object(["channel", "text"], **_MESSAGE, unfurl_links={"type": "boolean"})
SLACK_UPDATE = _object(["channel", "ts", "text"], **_MESSAGE, ts=_text(32))

COMPONENT_STATES = ["operational", "degraded_performance", "partial_outage", "major_outage", "under_maintenance"]
STATUSPAGE_UPDATE: Json = {
    "status": {"enum": ["investigating", "identified", "monitoring", "resolved"]},
    "body": _text(25_000),
    "component_ids": {"type": "array", "items": {"type": "string"}},
    "components": {"type": "object", "additionalProperties": {"enum": COMPONENT_STATES}},
}
STATUSPAGE_CREATE = _object(
    ["incident"],
    incident=_object(
        ["name", "status", "body"],
        **STATUSPAGE_UPDATE,
        name=_text(255),
        impact_override={"enum": ["none", "minor", "major", "critical", "maintenance"]},
        deliver_notifications={"type": "boolean"},
        metadata={"type": "object"},
    ),
)
STATUSPAGE_PATCH = _object(["incident"], incident=_object(["status", "body"], **STATUSPAGE_UPDATE))

GRAFANA_ANNOTATION = _object(
    ["text"],
    dashboardUID={"type": "string"},
    panelId={"type": "integer"},
    time={"type": "integer", "minimum": 1_000_000_000_000},
    timeEnd={"type": "integer", "minimum": 1_000_000_000_000},
    tags={"type": "array", "items": _text(255)},
    text=_text(10_000),
)
