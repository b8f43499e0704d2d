"""SNS: a topic knows how many subscribers it has. moto always says none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.sns.models import Topic

if TYPE_CHECKING:
    from ..server import AwsServer


def _confirmed(self: Any) -> int:
    """Only web addresses have to confirm, and nobody here subscribes one."""
    return len(self.sns_backend._get_topic_subscriptions(self))


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's SNS. Harmless when done twice."""
    Topic.subscriptions_confimed = property(_confirmed, lambda _topic, _none: None)
