# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: approvals of steps that nobody can take back. May change without notice.

"""Approvals in the runbooks' table: who approved what, when.

STS proves role and session. The name of a session is chosen by whoever assumes the role, unless the trust policy of the
role or IAM Identity Center binds it; that cannot be seen from here. Two names that may be one person's are one person.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, answered_at, parse_utc

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

# The key of every approval begins so. Who may act is denied to write there (src/daily_emr_runbooks/permissions.py).
PREFIX = "approval#"
VALID = timedelta(minutes=30)
# What two clocks of AWS may differ by. An approval that is dated further ahead was not dated by AWS.
AHEAD = timedelta(minutes=1)
# Names that programs make up for a session that nobody named, and those of controllers, which everybody who may start
# a job there shares: they stand for no person.
NOBODY = re.compile(
    r"botocore-session-\d+|aws-?cli.*|aws-(sdk|go-sdk)-.*|i-[0-9a-f]{8,17}|[0-9a-f]{32}|[\d.:_-]*"
    r"|(?P<controller>awx|semaphore)([\d._=,-].*)?"
)


@dataclass(frozen=True)
class Approval:
    """What one session approved, and when by AWS's clock."""

    session: str
    digest: str
    at: str
    by: str = ""

    @property
    def person(self) -> str:
        """Who it was; empty when the session names nobody."""
        return person_of(self.session)


def person_of(session: str) -> str:
    """The person that the name of a session stands for; empty when it names nobody. Pure.

    An address and its part before the "@", and capital and small letters, are one person.
    """
    name = re.split(r"[@+]", session.casefold().strip())[0]
    return "" if NOBODY.fullmatch(name) else name


def controller_of(session: str) -> str:
    """The controller whose jobs share this name of a session; empty when it is none. Pure."""
    found = NOBODY.fullmatch(re.split(r"[@+]", session.casefold().strip())[0])
    return (found["controller"] or "") if found else ""


def digest_of(environment: str, incident: str, target: str, accepted_loss_s: int) -> str:
    """Names what is approved: this step of this incident, with at most this loss."""
    text = "\0".join((environment, incident, target, str(accepted_loss_s)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def key_of(incident: str, session: str, at: str) -> Json:
    """Where one approval stands. A later one of the same session stands beside it, and no one is written over."""
    return {"pk": {"S": f"{PREFIX}{incident}"}, "sk": {"S": f"person#{session}#{at}"}}


def read_approvals(clients: Clients, incident: str) -> tuple[list[Approval], datetime]:
    """Every approval of an incident, and when AWS answered, by AWS's clock."""
    reply = clients.read("dynamodb").query(
        TableName=clients.environment.table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"{PREFIX}{incident}"}},
        ConsistentRead=True,
    )
    return [approval_of(item) for item in reply.get("Items", [])], answered_at(reply)


def approval_of(item: Json) -> Approval:
    session = item["sk"]["S"].split("#")[1]
    return Approval(session, item["digest"]["S"], item["at"]["S"], item.get("by", {}).get("S", ""))


def judged(
    approvals: Iterable[Approval], now: datetime, *, digest: str, requester: str, valid_for: timedelta = VALID
) -> tuple[dict[str, Approval], list[str]]:
    """Person -> the approval that counts, the newest of each; and why each of the others does not. Pure."""
    valid, spoiled = dict[str, Approval](), set[str]()
    for one in sorted(approvals, key=lambda one: one.at):
        age = now - parse_utc(one.at)
        if not one.person:
            spoiled.add(f"{one.session} names nobody, so nobody can say who that was")
        elif one.person == person_of(requester):
            spoiled.add(f"{one.session} asked for it, and does not count")
        elif one.digest != digest:
            spoiled.add(f"{one.session} approved something else")
        elif age > valid_for:
            minutes = round(valid_for.total_seconds() / 60)
            spoiled.add(f"the approval of {one.session} is older than {minutes} minutes")
        elif age < -AHEAD:
            spoiled.add(f"the approval of {one.session} is dated in the future")
        else:
            valid[one.person] = one
    return valid, sorted(spoiled)


def missing_approvals(
    approvals: Iterable[Approval], now: datetime, *, digest: str, requester: str, wanted: int
) -> list[str]:
    """Why these approvals do not do; pure. Empty when enough other people approved exactly this, not long ago."""
    if not person_of(requester):
        return [
            f"Your session is called {requester}, which names nobody, so nobody can say whether others approved it: "
            "assume the role with your own name (role_session_name of the profile), and run again."
        ]
    valid, spoiled = judged(approvals, now, digest=digest, requester=requester)
    if len(valid) >= wanted:
        return []
    but = f" ({'; '.join(spoiled)})" if spoiled else ""
    return [
        f"It cannot be taken back, and {len(valid)} of {wanted} people have approved it{but}: have them run "
        "playbooks/region_approval.yml with the incident and the same accepted loss, each under their own name."
    ]
