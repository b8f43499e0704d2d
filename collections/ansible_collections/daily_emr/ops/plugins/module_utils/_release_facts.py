# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: reads what the gate of releases decides on. May change without notice.

"""Everything that the gate asks, at the same time. What cannot be read becomes a sentence, and never an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._calendars import closed_calendars
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import where
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._release_gate import RECOVERY, Facts, Limits
from ansible_collections.daily_emr.ops.plugins.module_utils._release_incidents import open_incidents
from ansible_collections.daily_emr.ops.plugins.module_utils._release_overrides import (
    active_override,
    read_release_approvals,
    read_requests,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._slo import State
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_findings import Budget, as_json
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_month import carried_freeze, month_budget
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_readings import Kept, clock, read_kept
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

# The answer is signed as a whole, and KMS signs a short message only.
_LONGEST, _MOST = 300, 4
_HOUR = 60


@dataclass(frozen=True)
class Seen:
    """What the gate decides on, and the numbers of the budget for whoever reads the answer."""

    facts: Facts
    budget: Json


def nothing_seen(params: Mapping[str, Any], commit: str, why: str) -> Seen:
    """Where not even the environment could be proven."""
    facts = Facts(
        kind=params["kind"],
        commit=commit,
        at=datetime.now(UTC).replace(microsecond=0),
        budget=State.UNKNOWN,
        spent_minutes=None,
        freeze_minutes=float(params["slo"]["freeze_minutes"]),
        carried=None,
        incidents=(),
        overdue_p0=params["overdue_p0"],
        approvers=None,
        override=None,
        closed_calendars=(),
        unread=(why[:_LONGEST],),
    )
    return Seen(facts, {"known": False})


def look(params: Mapping[str, Any], commit: str, limits: Limits, clients: Clients) -> Seen:
    """Read all of it. Never raises: a fault of our own is one more thing that nobody could read."""
    try:
        return _look(params, commit, limits, clients)
    except OpsError as error:
        return nothing_seen(params, commit, error.sentence)
    except Exception as error:  # noqa: BLE001  # a rollback is not held up by a fault of the gate
        return nothing_seen(params, commit, f"The gate broke ({where(error)}): tell who maintains it.")


def _look(params: Mapping[str, Any], commit: str, limits: Limits, clients: Clients) -> Seen:
    service, slo, at = params["service"], params["slo"], clock(clients).replace(microsecond=0)
    calls: dict[str, Callable[[], Any]] = {
        "error_budget": partial(read_kept, clients, service, params["canaries"], at),
        "open_incidents": partial(open_incidents, clients, params["components"], at, limits.incident_hours),
        "overrides": partial(read_requests, clients),
        "change_calendars": partial(closed_calendars, clients, params["calendars"]),
    }
    if commit and params["kind"] not in RECOVERY:
        calls["approvals"] = partial(read_release_approvals, clients, commit)
    readings = Readings()
    readings.take(**{name: partial(_told, call) for name, call in calls.items()})
    kept: Kept | None = readings.values.get("error_budget")
    unread = {name.replace("_", " "): why for name, why in readings.unread.items()}
    if kept and "requests" in kept.readings.unread:
        unread["error budget"] = kept.readings.unread["requests"]
        kept = None
    budget = month_budget(kept, slo, at) if kept else None
    requests, approvals, now = readings.values.get("overrides", ([], [], at))
    facts = replace(
        nothing_seen(params, commit, "").facts,
        at=at,
        carried=carried_freeze(kept, slo, at).holds(limits.calm_days) if kept else None,
        incidents=_some(readings.values.get("open_incidents", ())),
        approvers=readings.values.get("approvals"),
        override=active_override(requests, approvals, now),
        closed_calendars=_some(f"{one.calendar}: {one.why}" for one in readings.values.get("change_calendars", ())),
        unread=_some(f"Could not read the {name}: {why}" for name, why in sorted(unread.items())),
    )
    if budget is None:
        return Seen(facts, {"known": False})
    ledgers = budget.ledgers
    spent = float(ledgers.spent_minutes(budget.policy)) if ledgers else None
    return Seen(replace(facts, budget=budget.state, spent_minutes=spent), numbers(budget))


def _told(call: Callable[[], Any]) -> Any:
    """A refusal to read is nothing but something that could not be read here."""
    try:
        return call()
    except Refused as error:
        raise OpsError(error.sentence) from error


def _some(texts: Any) -> tuple[str, ...]:
    found = [str(text)[:_LONGEST] for text in texts]
    more = len(found) - _MOST
    return (*found[:_MOST], *([f"and {more} more"] if more > 0 else []))


def numbers(budget: Budget) -> Json:
    """The budget in a few numbers. None is what nobody knows."""
    made = as_json(budget)
    ledgers = made["ledgers"]
    hour = next(burn for burn in made["burns"] if burn["window_minutes"] == _HOUR)
    found = {"known": ledgers["known"], "month": f"{budget.at:%Y-%m}", "burn_1h": hour["burn"]}
    names = ("budget_minutes", "freeze_minutes", "freeze_left_minutes", "data_age_minutes")
    found |= {name: ledgers.get(name) for name in names}
    found["down_minutes"] = ledgers.get("minutes", {}).get("down")
    found["equivalent_minutes"] = ledgers.get("requests", {}).get("equivalent_minutes")
    found["freeze_in_minutes"] = made["freeze_in_minutes"]
    return found
