# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: whether a release may go out. May change without notice.

"""The gate of releases: two tables, and nothing else decides. Pure.

RULES say in which state the environment is: the first one that holds names it, and all that hold are reasons. PERMITS
say what may go out in which state, and under which conditions. What could not be read is UNKNOWN, and that is not OPEN;
what brings users back (a rollback, the mitigation of an incident) is never held up, also when nothing can be read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._slo import State
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import NAIROBI

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
KINDS = ("release", "rollback", "mitigation", "security")
RECOVERY = frozenset({"rollback", "mitigation"})


@dataclass(frozen=True)
class Limits:
    """The thresholds, as the role has them in its defaults, with their reasons."""

    canary_percent: int
    canary_minutes: int
    caution_canary_minutes: int
    caution_approvals: int
    security_approvals: int
    calm_days: int
    incident_hours: int
    clinic_days: tuple[str, ...]
    clinic_from_hour: int
    clinic_until_hour: int
    closed_days: tuple[str, ...]
    valid_minutes: int

    @classmethod
    def from_params(cls, given: Mapping[str, Any]) -> Limits:
        named = ((name, given[name]) for name in cls.__dataclass_fields__)
        values: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in named}
        return cls(**values)


@dataclass(frozen=True)
class Override:
    """A freeze that two people have lifted, until a moment."""

    requester: str
    approvers: tuple[str, ...]
    reason: str
    until: datetime


@dataclass(frozen=True)
class Facts:
    """Everything that the gate knows. None is what nobody could say."""

    kind: str
    commit: str
    at: datetime
    budget: State
    spent_minutes: float | None
    freeze_minutes: float
    carried: bool | None
    incidents: tuple[str, ...]
    overdue_p0: int
    approvers: tuple[str, ...] | None
    override: Override | None
    closed_calendars: tuple[str, ...]
    unread: tuple[str, ...]
    """Sentences: what could not be read, and why."""


@dataclass(frozen=True)
class Rule:
    """A state of the environment, when it is in it, and the sentence that says so, with words of ``_words``."""

    state: State
    code: str
    holds: Callable[[Facts], bool]
    sentence: str


RULES = (
    Rule(State.UNKNOWN, "unreadable", lambda facts: bool(facts.unread), "{unread}"),
    Rule(
        State.UNKNOWN,
        "no_data",
        lambda facts: facts.budget == State.UNKNOWN,
        "There is no data of the error budget, it is too old, or what is missing could change the answer: look at "
        "playbooks/slo.yml.",
    ),
    Rule(
        State.UNKNOWN,
        "month_before_unknown",
        lambda facts: facts.carried is None,
        "Nobody can say whether releases were frozen when the month before ended: have its days in the ledger, or wait "
        "for enough calm days.",
    ),
    Rule(
        State.FREEZE,
        "open_incident",
        lambda facts: bool(facts.incidents),
        "An incident is open ({incidents}): end it first.",
    ),
    Rule(
        State.FREEZE,
        "calendar_closed",
        lambda facts: bool(facts.closed_calendars),
        "A change calendar is not open ({calendars}): wait until all are.",
    ),
    Rule(
        State.FREEZE,
        "budget_spent",
        lambda facts: facts.budget == State.FREEZE,
        "{spent} of the month are spent, and releases freeze at {freeze} min.",
    ),
    Rule(
        State.FREEZE,
        "freeze_of_the_month_before",
        lambda facts: facts.carried is True,
        "Releases were frozen when the month before ended, and there were not enough calm days since.",
    ),
    Rule(
        State.CAUTION,
        "budget_low",
        lambda facts: facts.budget == State.CAUTION,
        "{spent} of the month are spent, which is near the {freeze} min at which releases freeze.",
    ),
    Rule(
        State.CAUTION,
        "overdue_actions",
        lambda facts: facts.overdue_p0 > 0,
        "{overdue} action items of P0 are overdue: finish them.",
    ),
    Rule(State.OPEN, "open", lambda _facts: True, "{spent} of the month are spent."),
)


def _words(facts: Facts) -> dict[str, Any]:
    return {
        "unread": " ".join(facts.unread),
        "incidents": ", ".join(facts.incidents),
        "calendars": "; ".join(facts.closed_calendars),
        "spent": "Unknown parts" if facts.spent_minutes is None else f"{facts.spent_minutes:.1f} min",
        "freeze": f"{facts.freeze_minutes:g}",
        "overdue": facts.overdue_p0,
    }


# What an override may lift. An incident that is open, or what nobody could read, is lifted by nobody.
LIFTED = frozenset({"budget_spent", "freeze_of_the_month_before"})


@dataclass(frozen=True)
class Permit:
    """What may go out in some states. canary: the limit with its minutes, "" for none; approvals: the limit that says
    how many people, "" for nobody; hours: whether not on closed days and in clinic hours; override: whether one must
    have been given.
    """

    kinds: frozenset[str]
    states: frozenset[State]
    canary: str
    approvals: str = ""
    hours: bool = False
    override: bool = False


EVERY = frozenset(State)
RELEASE = frozenset({"release"})
PERMITS = (
    Permit(RECOVERY, EVERY, canary=""),
    Permit(frozenset({"security"}), EVERY, canary="canary_minutes", approvals="security_approvals"),
    Permit(RELEASE, frozenset({State.OPEN}), canary="canary_minutes"),
    Permit(
        RELEASE, frozenset({State.CAUTION}), canary="caution_canary_minutes", approvals="caution_approvals", hours=True
    ),
    Permit(RELEASE, frozenset({State.FREEZE}), canary="caution_canary_minutes", override=True),
)


@dataclass(frozen=True)
class Decision:
    """What the gate says. codes are the rules that hold; reasons say them, and what stands in the way."""

    state: State
    allowed: bool
    codes: tuple[str, ...]
    reasons: tuple[str, ...]
    conditions: dict[str, Any]
    valid_until: datetime


def decide(facts: Facts, limits: Limits) -> Decision:
    """Apply both tables."""
    holding = [rule for rule in RULES if rule.holds(facts)]
    state = holding[0].state
    said = [rule for rule in holding if rule.code != "open" or len(holding) == 1]
    codes = tuple(rule.code for rule in said)
    permit = next((one for one in PERMITS if facts.kind in one.kinds and state in one.states), None)
    objections = _objections(permit, facts, limits, frozenset(codes)) if permit else [_waiting(state)]
    reasons = [rule.sentence.format(**_words(facts)) for rule in said]
    if facts.kind in RECOVERY:
        reasons.append(f"A {facts.kind} brings users back, and is never held up.")
    conditions = _conditions(permit, facts, limits) if permit else {}
    return Decision(
        state, not objections, codes, (*reasons, *objections), conditions, _valid_until(permit, facts, limits)
    )


def _waiting(state: State) -> str:
    return f"The state is {state.lower()}, in which no release goes out: a rollback, or a security fix, may."


def _objections(permit: Permit, facts: Facts, limits: Limits, codes: frozenset[str]) -> list[str]:
    """Why what is permitted in this state may not go out now: sentences."""
    found = []
    if permit.override:
        stays = sorted(codes - LIFTED - {rule.code for rule in RULES if rule.state == State.CAUTION})
        if stays:
            found.append(f"No override lifts {', '.join(stays)}.")
        elif facts.override is None:
            found.append(
                "Only an override by two people lifts a freeze: have them run playbooks/release_override.yml, each "
                "under their own name."
            )
    wanted = getattr(limits, permit.approvals) if permit.approvals else 0
    if wanted and (facts.approvers is None or len(facts.approvers) < wanted):
        seen = "an unknown number" if facts.approvers is None else f"{len(facts.approvers)} of {wanted} people"
        found.append(
            f"It has the approval of {seen}, and needs {wanted}: have them run playbooks/release_override.yml "
            f"-e release_override_commit={facts.commit}, each under their own name."
        )
    if permit.hours and (why := closed(facts.at, limits)):
        found.append(f"{why}: wait, or release what cannot wait as a security fix.")
    return found


def closed(at: datetime, limits: Limits) -> str:
    """Why nothing is released at this time while care is needed, half a sentence; empty when it may be."""
    here = at.astimezone(NAIROBI)
    day = WEEKDAYS[here.weekday()]
    if day in limits.closed_days:
        return f"It is {day.capitalize()} in Kenya, and nobody releases before a day on which fewer people are there"
    if day in limits.clinic_days and limits.clinic_from_hour <= here.hour < limits.clinic_until_hour:
        hours = f"{limits.clinic_from_hour}:00 to {limits.clinic_until_hour}:00 EAT"
        return f"It is {here:%H:%M} EAT, and facilities see patients from {hours}"
    return ""


def _conditions(permit: Permit, facts: Facts, limits: Limits) -> dict[str, Any]:
    """How it has to go out, for whoever carries it out."""
    made: dict[str, Any] = {
        "canary_percent": limits.canary_percent if permit.canary else None,
        "canary_minutes": getattr(limits, permit.canary) if permit.canary else None,
        "approvals_wanted": getattr(limits, permit.approvals) if permit.approvals else 0,
        "approved_by": list(facts.approvers or ()),
        "outside_clinic_hours": permit.hours,
        # The gate is told what it is, and cannot see it: whoever deploys holds it against what was released before.
        "must_have_been_released_before": facts.kind == "rollback",
    }
    if permit.override and facts.override:
        one = facts.override
        made["override"] = {
            "requested_by": one.requester,
            "approved_by": list(one.approvers),
            "reason": one.reason,
            "until": _iso(one.until),
        }
    return made


def _valid_until(permit: Permit | None, facts: Facts, limits: Limits) -> datetime:
    """Until when the answer holds: shortly, and never beyond the end of what it rests on."""
    until = facts.at + timedelta(minutes=limits.valid_minutes)
    if permit and permit.override and facts.override:
        until = min(until, facts.override.until)
    if permit and permit.hours:
        minutes = (facts.at + timedelta(minutes=number) for number in range(limits.valid_minutes))
        until = next((moment for moment in minutes if closed(moment, limits)), until)
    return until


def inputs_digest(facts: Facts, limits: Limits) -> str:
    """Names what the decision rests on: the same inputs have the same digest."""
    return hashlib.sha256(_canonical({"facts": asdict(facts), "limits": asdict(limits)})).hexdigest()


def document(facts: Facts, limits: Limits, environment: str, component: str, budget: Mapping[str, Any]) -> bytes:
    """The answer, as the bytes that are signed."""
    made = decide(facts, limits)
    return _canonical(
        {
            "environment": environment,
            "component": component,
            "kind": facts.kind,
            "commit": facts.commit,
            "at": facts.at,
            "state": str(made.state).lower(),
            "allowed": made.allowed,
            "codes": made.codes,
            "reasons": made.reasons,
            "budget": budget,
            "conditions": made.conditions,
            "valid_until": made.valid_until,
            "inputs_digest": inputs_digest(facts, limits),
        }
    )


def _canonical(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=_iso, ensure_ascii=True)
    return f"{text}\n".encode()


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
