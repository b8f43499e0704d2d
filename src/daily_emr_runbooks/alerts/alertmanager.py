"""Webhooks of Prometheus Alertmanager, version 4 of its data.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice
from typing import Any

from .alert import Alert, Unreadable, moment, text_in

SOURCE = "alertmanager"
MOST = 100
"""Firing alerts of one message that are looked at: more of them would only ask for the same few plans."""
LOG = logging.getLogger(__name__)


def alerts(document: Any, environment: str) -> list[Alert]:
    """The alerts of a message that fire, and are of this environment where they say of which. Raises Unreadable.

    One that cannot be read is left out: those beside it in the message fire as well.
    """
    entries = document.get("alerts") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise Unreadable("It has no list of alerts.")
    firing = [
        entry
        for entry in entries
        if text_in(entry, "status") == "firing" and text_in(entry, "labels", "environment") in ("", environment)
    ]
    return list(islice(_readable(firing), MOST))


def _readable(entries: list[Any]) -> Iterator[Alert]:
    for entry in entries:
        try:
            yield _alert(entry)
        except Unreadable as error:
            LOG.warning("An alert of a message to /%s was left out. %s", SOURCE, error)


def _alert(entry: dict[str, Any]) -> Alert:
    return Alert(
        source=SOURCE,
        name=text_in(entry, "labels", "alertname"),
        component=text_in(entry, "labels", "component"),
        reference=text_in(entry, "fingerprint"),
        started_at=moment(text_in(entry, "startsAt")),
        text=text_in(entry, "annotations", "summary"),
    )
