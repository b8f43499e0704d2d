"""Webhooks of PagerDuty, version 3.

https://developer.pagerduty.com/docs/verifying-signatures
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

from .alert import Alert, NotVerified, Unreadable, moment, require_recent, text_in

if TYPE_CHECKING:
    from datetime import datetime

SOURCE = "pagerduty"
SIGNATURE = "X-PagerDuty-Signature"
TRIGGERED = "incident.triggered"


def verify(header: str, body: bytes, secret: str) -> None:
    """Raise NotVerified unless one of the signatures is that of the body, as it came, with our secret.

    While a secret is being replaced PagerDuty signs with both, and separates the signatures by commas.
    """
    expected = f"v1={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
    given = [part.strip() for part in header.split(",")]
    if not any(hmac.compare_digest(part.encode(errors="replace"), expected.encode()) for part in given):
        raise NotVerified("The signature is not that of the body.")


def alerts(document: Any, now: datetime) -> list[Alert]:
    """The incident that was triggered; nothing for any other event. Raises NotVerified, Unreadable.

    Its title is left out: a person may have typed it.
    """
    kind = text_in(document, "event", "event_type")
    if not kind:
        raise Unreadable("It has no type of event.")
    require_recent(text_in(document, "event", "occurred_at"), now)
    if kind != TRIGGERED:
        return []
    data = document["event"].get("data")
    details = data.get("custom_details") if isinstance(data, dict) else None
    return [
        Alert(
            source=SOURCE,
            name=text_in(data, "service", "summary"),
            component=str(details.get("component", "")) if isinstance(details, dict) else "",
            reference=text_in(data, "id"),
            started_at=moment(text_in(data, "created_at")),
        )
    ]
