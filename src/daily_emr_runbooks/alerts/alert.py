"""What all formats have in common: an alert, and why a request is not one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

OLDEST = timedelta(hours=1)
"""A signed message that is older is a replay, or too late to be of use. Senders try again for less."""
DEEPEST = 32
"""Levels of a body. No sender needs ten."""
YOUNGEST = timedelta(minutes=5)
"""How far the clock of a sender may be ahead."""


class NotVerified(Exception):
    """The request does not come from whom it says: the answer is 401, and nothing is told about why."""


class Unreadable(Exception):
    """The request is verified and not in the form that its sender documents: the answer is 400."""


@dataclass(frozen=True)
class Alert:
    """One alert that fires, in the words of its sender; nothing of it is trusted but who sent it."""

    source: str
    """alertmanager, pagerduty or cloudwatch."""
    name: str
    """Of the alert rule, the service of PagerDuty, or the alarm without the prefix of the environment."""
    component: str
    """The component that the alert itself names; empty where it names none."""
    reference: str
    """What its sender calls it: fingerprint, id of the incident, ARN of the alarm."""
    started_at: datetime
    text: str = ""
    """What a machine wrote about it. It stays in the file of the alert."""


def parsed(body: bytes) -> Any:
    """A body as JSON. Raises Unreadable.

    How deep it is nested is looked at first: ansible-rulebook has a Java in its process, and there the stack ends
    before Python expects it to. Parsing a body of brackets then ended the process (Python 3.13).
    """
    try:
        text = body.decode()
        if _depth(text) > DEEPEST:
            raise ValueError("too deep")
        return json.loads(text)
    except ValueError as error:
        raise Unreadable("It is not JSON, or too deep.") from error


def _depth(text: str) -> int:
    without_texts = re.sub(r'"[^"]*"', "", re.sub(r"\\.", "", text))
    steps = (1 if mark in "[{" else -1 for mark in re.findall(r"[\[\]{}]", without_texts))
    return max(accumulate(steps), default=0)


def text_in(document: Any, *keys: str) -> str:
    """The text at the end of a path of keys; empty when there is none, or something else."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document if isinstance(document, str) else ""


def moment(text: str) -> datetime:
    """A moment in ISO 8601 with its zone. Raises Unreadable."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError("no zone")
        return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Unreadable("A time in it is not in ISO 8601 with a zone.") from error


def require_recent(text: str, now: datetime) -> None:
    """Raise NotVerified for a message that was signed too long ago, or in the future."""
    signed_at = moment(text)
    if not now - OLDEST <= signed_at <= now + YOUNGEST:
        raise NotVerified("It was signed too long ago, or in the future.")
