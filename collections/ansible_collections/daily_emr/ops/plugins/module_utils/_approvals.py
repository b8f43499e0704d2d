# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: approvals of steps that nobody can take back. May change without notice.

"""Approvals in the runbooks' table: who approved what, when. The name is the one that STS proves, not one typed in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, answered_at, parse_utc

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

VALID = timedelta(minutes=30)


@dataclass(frozen=True)
class Approval:
    """What one person approved."""

    person: str
    digest: str
    at: str


def digest_of(environment: str, incident: str, target: str, accepted_loss_s: int) -> str:
    """Names what is approved: this step of this incident, with at most this loss."""
    text = "\0".join((environment, incident, target, str(accepted_loss_s)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def key_of(incident: str, person: str) -> Json:
    """Where the approval of a person stands."""
    return {"pk": {"S": f"approval#{incident}"}, "sk": {"S": f"person#{person}"}}


def read_approvals(clients: Clients, incident: str) -> tuple[list[Approval], datetime]:
    """Every approval of an incident, and when AWS answered, by AWS's clock."""
    reply = clients.read("dynamodb").query(
        TableName=clients.environment.table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"approval#{incident}"}},
        ConsistentRead=True,
    )
    found = [
        Approval(item["sk"]["S"].partition("#")[2], item["digest"]["S"], item["at"]["S"])
        for item in reply.get("Items", [])
    ]
    return found, answered_at(reply)


def missing_approvals(
    approvals: Iterable[Approval], now: datetime, *, digest: str, requester: str, wanted: int
) -> list[str]:
    """Why these approvals do not do; pure. Empty when enough other people approved exactly this, not long ago."""
    valid, spoiled = set[str](), list[str]()
    for one in approvals:
        if one.person == requester:
            spoiled.append(f"{one.person} asked for it, and does not count")
        elif one.digest != digest:
            spoiled.append(f"{one.person} approved something else")
        elif now - parse_utc(one.at) > VALID:
            spoiled.append(f"the approval of {one.person} is older than 30 minutes")
        else:
            valid.add(one.person)
    if len(valid) >= wanted:
        return []
    but = f" ({'; '.join(sorted(spoiled))})" if spoiled else ""
    return [
        f"It cannot be taken back, and {len(valid)} of {wanted} people have approved it{but}: have them run "
        "playbooks/region_approval.yml with the incident and the same accepted loss, each under their own name."
    ]
