# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: which incidents are open. May change without notice.

"""Open incidents of SEV1 and SEV2, as the runbooks' table knows them.

The lease of each component names the incident that worked on it last, also after it was given back. An incident is
open while a run holds the lease, and when its newest run has not ended well. One that no runbook ran for only the pager
knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import gather
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._history import History, read_history
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseView, lease_key, lease_view
from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import RunOutcome
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import parse_utc

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

# Of an incident whose severity nobody wrote down, the worst is supposed.
MINOR = ("SEV3", "SEV4")
WELL = (RunOutcome.SUCCEEDED, RunOutcome.NOOP)


@dataclass(frozen=True)
class Ended:
    """How the newest run of an incident ended ("" while it has not), and when its last line was written."""

    severity: str
    outcome: str
    at: datetime


def ended(history: History) -> Ended | None:
    """What the history of an incident says of its end; None when there is no line of it. Pure."""
    lines = [line for run in history.runs for line in run]
    if not lines:
        return None
    severities = [str(line.get("severity") or "") for line in lines if line["kind"] == "opened"]
    closed = [line for line in history.runs[-1] if line["kind"] == "closed"]
    outcome = str(closed[-1].get("outcome", "")) if closed else ""
    return Ended(min(severities, default=""), outcome, parse_utc(str(max(line["at"] for line in lines))))


def is_open(view: LeaseView, found: Ended | None, now: datetime, forgotten_after: timedelta) -> bool:
    """Whether an incident holds releases up; pure. forgotten_after: how long one counts that nobody ended well."""
    if found is None:
        return view.held
    if found.severity in MINOR:
        return False
    return view.held or (found.outcome not in WELL and now - found.at < forgotten_after)


def open_incidents(clients: Clients, components: Sequence[str], now: datetime, hours: int) -> tuple[str, ...]:
    """Open incidents, each with its component. Raises OpsError when one of the leases or journals cannot be read."""
    views = _all(gather(**{name: partial(_view, clients, name) for name in components}))
    known = {name: view for name, view in views.items() if view.incident}
    histories = _all(
        gather(
            **{
                name: partial(read_history, clients, Path("/nonexistent"), view.incident)
                for name, view in known.items()
            }
        )
    )
    return tuple(
        f"{view.incident} on {name}"
        for name, view in sorted(known.items())
        if is_open(view, ended(histories[name]), now, timedelta(hours=hours))
    )


def _view(clients: Clients, component: str) -> LeaseView:
    with calling("dynamodb:GetItem"):
        reply = clients.read("dynamodb").get_item(
            TableName=clients.environment.table, Key=lease_key(component), ConsistentRead=True
        )
    return lease_view(component, reply.get("Item", {}))


def _all(found: dict[str, Any]) -> dict[str, Any]:
    """The same, unless one could not be read."""
    for value in found.values():
        if isinstance(value, OpsError):
            raise value
    return found
