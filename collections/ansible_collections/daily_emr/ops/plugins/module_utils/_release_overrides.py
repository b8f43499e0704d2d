# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: approvals of releases. May change without notice.

"""Overrides of a freeze and approvals of single releases: items of the runbooks' table that only approvers may write.

An override is a request with its reason and the approval of somebody else, and ends 24 hours after it was requested.
Who somebody is, and which two names are one person, is judged as for every approval (_approvals.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._approvals import (
    AHEAD,
    PREFIX,
    Approval,
    approval_of,
    digest_of,
    judged,
    read_approvals,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling
from ansible_collections.daily_emr.ops.plugins.module_utils._release_gate import Override
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import answered_at, parse_utc

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

Json = dict[str, Any]

ABOUT = "release-override"
COMMIT = re.compile(r"[0-9a-f]{40}")
DIGEST = re.compile(r"[0-9a-f]{16}")
# A night and a day: who lifts a freeze looks at it anew every day.
VALID = timedelta(hours=24)


@dataclass(frozen=True)
class Request:
    """An override that somebody asked for."""

    session: str
    digest: str
    at: str
    reason: str

    @property
    def until(self) -> datetime:
        return parse_utc(self.at) + VALID

    def lives(self, now: datetime) -> bool:
        return -AHEAD <= now - parse_utc(self.at) < VALID


def request_digest(environment: str, session: str, at: str, reason: str) -> str:
    """Names one request: the same reason tomorrow is another one."""
    return digest_of(environment, ABOUT, "\0".join((session, at, reason)), 0)


def release_digest(environment: str, commit: str) -> str:
    """Names the release of a commit to an environment."""
    return digest_of(environment, "release", commit, 0)


def release_about(commit: str) -> str:
    """What the approvals of a release are kept under."""
    return f"release-{commit}"


def read_requests(clients: Clients) -> tuple[list[Request], list[Approval], datetime]:
    """Every request and every approval of an override, and when AWS answered. Raises OpsError."""
    asked: Json = {
        "TableName": clients.environment.table,
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": {"S": f"{PREFIX}{ABOUT}"}},
        "ConsistentRead": True,
    }
    items: list[Mapping[str, Any]] = []
    while True:
        with calling("dynamodb:Query"):
            reply = clients.read("dynamodb").query(**asked)
        items += reply.get("Items", [])
        if "LastEvaluatedKey" not in reply:
            break
        asked["ExclusiveStartKey"] = reply["LastEvaluatedKey"]
    requests = [
        Request(one.session, one.digest, one.at, str(item["reason"]["S"]))
        for item in items
        if "reason" in item and (one := approval_of(dict(item)))
    ]
    approvals = [approval_of(dict(item)) for item in items if "reason" not in item]
    return sorted(requests, key=lambda one: one.at, reverse=True), approvals, answered_at(reply)


def active_override(requests: Iterable[Request], approvals: Iterable[Approval], now: datetime) -> Override | None:
    """The newest override that somebody else has approved and that has not ended; pure."""
    given = list(approvals)
    for one in requests:
        valid, _spoiled = judged(given, now, digest=one.digest, requester=one.session, valid_for=VALID)
        if one.lives(now) and valid:
            return Override(one.session, tuple(sorted(valid)), one.reason, one.until)
    return None


def read_release_approvals(clients: Clients, commit: str) -> tuple[str, ...]:
    """The people who have approved the release of a commit within the last 24 hours."""
    with calling("dynamodb:Query"):
        found, now = read_approvals(clients, release_about(commit))
    digest = release_digest(clients.environment.name, commit)
    valid, _spoiled = judged(found, now, digest=digest, requester="", valid_for=VALID)
    return tuple(sorted(valid))
