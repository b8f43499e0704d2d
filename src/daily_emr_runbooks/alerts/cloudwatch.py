"""Alarms of CloudWatch, as they come through SNS."""

from __future__ import annotations

from typing import Any

from .alert import Alert, Unreadable, moment, parsed, text_in

SOURCE = "cloudwatch"
RINGS = "ALARM"


def alerts(message: Any, prefix: str, account: str) -> list[Alert]:
    """The alarm that rings in a notification, if it is one of this environment. Raises Unreadable for its time.

    prefix: what the names of all alarms of the environment begin with.
    account: id of the account of the topic; an alarm of another one is none of ours.
    """
    try:
        alarm = parsed(text_in(message, "Message").encode(errors="replace"))
    except Unreadable:
        return []
    # Events of RDS come through the same topic, and are no alarms.
    name = text_in(alarm, "AlarmName")
    if not name.startswith(prefix) or text_in(alarm, "AWSAccountId") != account:
        return []
    if text_in(alarm, "NewStateValue") != RINGS:
        return []
    return [
        Alert(
            source=SOURCE,
            name=name.removeprefix(prefix),
            component="",
            reference=text_in(alarm, "AlarmArn"),
            started_at=moment(text_in(alarm, "StateChangeTime")),
            text=text_in(alarm, "NewStateReason"),
        )
    ]
