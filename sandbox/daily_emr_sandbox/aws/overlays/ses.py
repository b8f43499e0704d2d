"""SES: who is told of bounces is also shown, not only kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ses.models import SESBackend

if TYPE_CHECKING:
    from ..server import AwsServer

_get_identity_notification_attributes = SESBackend.get_identity_notification_attributes


def get_identity_notification_attributes(self: Any, identities: list[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = _get_identity_notification_attributes(self, identities)
    for identity, shown in found.items():
        topics = self.sns_topics.get(identity, {})
        shown |= {f"{kind}Topic": topics[kind] for kind in ("Bounce", "Complaint", "Delivery") if topics.get(kind)}
    return found


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's SES. Harmless when done twice."""
    SESBackend.get_identity_notification_attributes = get_identity_notification_attributes
