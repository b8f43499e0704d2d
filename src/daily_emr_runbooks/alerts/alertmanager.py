"""Webhooks of Prometheus Alertmanager, version 4 of its data.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

from typing import Any

from .alert import Alert, Unreadable, moment, text_in

SOURCE = "alertmanager"
MOST = 100
"""Alerts of one message that are looked at: more of them would only ask for the same few plans."""


def alerts(document: Any, environment: str) -> list[Alert]:
    """The alerts of a message that fire, and are of this environment where they say of which. Raises Unreadable."""
    entries = document.get("alerts") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise Unreadable("It has no list of alerts.")
    return [
        _alert(entry)
        for entry in entries[:MOST]
        if text_in(entry, "status") == "firing" and text_in(entry, "labels", "environment") in ("", environment)
    ]


def _alert(entry: dict[str, Any]) -> Alert:
    return Alert(
        source=SOURCE,
        name=text_in(entry, "labels", "alertname"),
        component=text_in(entry, "labels", "component"),
        reference=text_in(entry, "fingerprint"),
        started_at=moment(text_in(entry, "startsAt")),
        text=text_in(entry, "annotations", "summary"),
    )
