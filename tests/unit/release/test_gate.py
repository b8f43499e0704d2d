"""The gate's two tables: in which state an environment is, and what may go out in it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._history import arranged
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseView
from ansible_collections.daily_emr.ops.plugins.module_utils._release_gate import (
    KINDS,
    PERMITS,
    RULES,
    Facts,
    Limits,
    Override,
    closed,
    decide,
    document,
    inputs_digest,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._release_incidents import ended, is_open
from ansible_collections.daily_emr.ops.plugins.module_utils._slo import State

from tests.unit.release.conftest import COMMIT, LIMITS, ROOT

# A Tuesday, 21:00 in Kenya.
AT = datetime(2026, 12, 1, 18, tzinfo=UTC)
GATE = Limits.from_params(LIMITS)
LIFT = Override("wanjiru", ("otieno",), "The payer changes its API tonight", AT + timedelta(hours=3))


def facts(**more: Any) -> Facts:
    fine: dict[str, Any] = {
        "kind": "release",
        "commit": COMMIT,
        "at": AT,
        "budget": State.OPEN,
        "spent_minutes": 3.1,
        "freeze_minutes": 28.0,
        "carried": False,
        "incidents": (),
        "overdue_p0": 0,
        "approvers": (),
        "override": None,
        "closed_calendars": (),
        "unread": (),
    }
    return Facts(**(fine | more))


TWO = ("otieno", "wanjiru")
NO_DATA = {"budget": State.UNKNOWN, "spent_minutes": None}
FROZEN = {"budget": State.FREEZE, "spent_minutes": 28.0}
CAREFUL = {"budget": State.CAUTION, "spent_minutes": 21.0}
INCIDENT = {"incidents": ("INC-1 on emr-web",)}


@pytest.mark.parametrize(
    ("more", "state", "allowed", "code"),
    [
        ({}, "OPEN", True, "open"),
        (NO_DATA, "UNKNOWN", False, "no_data"),
        ({"unread": ("Could not read the error budget: no answer.",)}, "UNKNOWN", False, "unreadable"),
        ({"carried": None}, "UNKNOWN", False, "month_before_unknown"),
        (INCIDENT, "FREEZE", False, "open_incident"),
        ({"closed_calendars": ("elections: it is closed",)}, "FREEZE", False, "calendar_closed"),
        (FROZEN, "FREEZE", False, "budget_spent"),
        ({"carried": True}, "FREEZE", False, "freeze_of_the_month_before"),
        (FROZEN | {"override": LIFT}, "FREEZE", True, "budget_spent"),
        ({"carried": True, "override": LIFT}, "FREEZE", True, "freeze_of_the_month_before"),
        (INCIDENT | FROZEN | {"override": LIFT}, "FREEZE", False, "open_incident"),
        (NO_DATA | {"override": LIFT}, "UNKNOWN", False, "no_data"),
        (CAREFUL, "CAUTION", False, "budget_low"),
        (CAREFUL | {"approvers": ("otieno",)}, "CAUTION", False, "budget_low"),
        (CAREFUL | {"approvers": None}, "CAUTION", False, "budget_low"),
        (CAREFUL | {"approvers": TWO}, "CAUTION", True, "budget_low"),
        ({"overdue_p0": 1, "approvers": TWO}, "CAUTION", True, "overdue_actions"),
        ({"overdue_p0": 1}, "CAUTION", False, "overdue_actions"),
        # What is worst names the state, and the rest is said as well.
        (FROZEN | {"overdue_p0": 2, "override": LIFT}, "FREEZE", True, "overdue_actions"),
    ],
)
def test_a_release(more: dict[str, Any], state: str, allowed: bool, code: str) -> None:
    made = decide(facts(**more), GATE)
    assert (str(made.state), made.allowed) == (state, allowed)
    assert code in made.codes
    assert all(reason.endswith(".") for reason in made.reasons)


EVERYTHING = [{}, NO_DATA, INCIDENT, FROZEN, CAREFUL, {"unread": ("No answer.",)}, {"carried": None}, {"overdue_p0": 9}]


@pytest.mark.parametrize("kind", ["rollback", "mitigation"])
@pytest.mark.parametrize("more", EVERYTHING)
@pytest.mark.parametrize("hour", [7, 18])
def test_what_brings_users_back_is_never_held_up(kind: str, more: dict[str, Any], hour: int) -> None:
    friday = datetime(2026, 12, 4, hour, tzinfo=UTC)
    made = decide(facts(**more, kind=kind, commit="", approvers=None, at=friday), GATE)
    assert made.allowed
    assert made.conditions["canary_percent"] is None
    assert made.conditions["must_have_been_released_before"] is (kind == "rollback")


@pytest.mark.parametrize("more", EVERYTHING)
@pytest.mark.parametrize(("approvers", "allowed"), [(("otieno",), True), ((), False), (None, False)])
def test_a_security_fix_needs_one_approval_in_every_state(more: Any, approvers: Any, allowed: bool) -> None:
    assert decide(facts(**more, kind="security", approvers=approvers), GATE).allowed is allowed


def test_every_kind_has_at_most_one_permit_in_each_state_and_unknown_has_none_for_a_release() -> None:
    for kind in KINDS:
        for state in State:
            found = [permit for permit in PERMITS if kind in permit.kinds and state in permit.states]
            assert len(found) == (0 if (kind, state) == ("release", State.UNKNOWN) else 1)
    assert [str(rule.state) for rule in RULES] == [*["UNKNOWN"] * 3, *["FREEZE"] * 4, *["CAUTION"] * 2, "OPEN"]


def test_conditions_are_those_of_the_state() -> None:
    fine = decide(facts(), GATE).conditions
    careful = decide(facts(**CAREFUL, approvers=TWO), GATE).conditions
    assert (fine["canary_percent"], fine["canary_minutes"], fine["approvals_wanted"]) == (10, 30, 0)
    assert (careful["canary_percent"], careful["canary_minutes"], careful["approvals_wanted"]) == (10, 60, 2)
    assert careful["approved_by"] == ["otieno", "wanjiru"]
    lifted = decide(facts(**FROZEN, override=LIFT), GATE).conditions
    assert lifted["override"] == {
        "requested_by": "wanjiru",
        "approved_by": ["otieno"],
        "reason": "The payer changes its API tonight",
        "until": "2026-12-01T21:00:00Z",
    }


# -- hours ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "why"),
    [
        (datetime(2026, 12, 1, 4, 59, tzinfo=UTC), ""),
        (datetime(2026, 12, 1, 5, 0, tzinfo=UTC), "It is 08:00 EAT"),
        (datetime(2026, 12, 1, 13, 59, tzinfo=UTC), "It is 16:59 EAT"),
        (datetime(2026, 12, 1, 14, 0, tzinfo=UTC), ""),
        # Friday begins in Kenya while it is Thursday in UTC, and ends while it is Friday there.
        (datetime(2026, 12, 3, 20, 59, tzinfo=UTC), ""),
        (datetime(2026, 12, 3, 21, 0, tzinfo=UTC), "It is Friday in Kenya"),
        (datetime(2026, 12, 4, 20, 59, tzinfo=UTC), "It is Friday in Kenya"),
        (datetime(2026, 12, 4, 21, 0, tzinfo=UTC), ""),
        # Saturdays have clinics, Sundays none.
        (datetime(2026, 12, 5, 8, tzinfo=UTC), "It is 11:00 EAT"),
        (datetime(2026, 12, 6, 8, tzinfo=UTC), ""),
    ],
)
def test_hours_are_those_of_kenya_and_hold_up_only_what_needs_care(at: datetime, why: str) -> None:
    said = closed(at, GATE)
    assert why in said
    assert bool(said) == bool(why)
    assert decide(facts(**CAREFUL, approvers=TWO, at=at), GATE).allowed is (not why)
    assert decide(facts(at=at), GATE).allowed


@pytest.mark.parametrize(
    ("more", "minutes"),
    [
        ({}, 15),
        # Clinics open at 08:00 in Kenya, ten minutes from now.
        (CAREFUL | {"approvers": TWO, "at": datetime(2026, 12, 1, 4, 50, tzinfo=UTC)}, 10),
        (FROZEN | {"override": replace(LIFT, until=AT + timedelta(minutes=4))}, 4),
        (FROZEN | {"override": LIFT}, 15),
    ],
)
def test_an_answer_holds_no_longer_than_what_it_rests_on(more: dict[str, Any], minutes: int) -> None:
    given = facts(**more)
    assert decide(given, GATE).valid_until == given.at + timedelta(minutes=minutes)


# -- the answer -------------------------------------------------------------------------------------------------------


def test_the_answer_is_the_same_bytes_for_the_same_inputs_and_names_them() -> None:
    first, again = (document(facts(), GATE, "staging", "emr-web", {"known": True}) for _ in range(2))
    assert first == again
    made = json.loads(first)
    assert set(made) >= {"state", "allowed", "reasons", "budget", "conditions", "valid_until", "inputs_digest"}
    assert (made["state"], made["allowed"], made["at"]) == ("open", True, "2026-12-01T18:00:00Z")
    assert made["inputs_digest"] == inputs_digest(facts(), GATE)
    assert inputs_digest(facts(overdue_p0=1), GATE) != inputs_digest(facts(), GATE)
    assert inputs_digest(facts(), replace(GATE, valid_minutes=14)) != inputs_digest(facts(), GATE)


def test_the_thresholds_have_one_home_and_it_is_this_one() -> None:
    defaults = yaml.safe_load((ROOT / "roles/release_gate/defaults/main.yml").read_text())
    assert defaults["release_gate_limits"] == LIMITS


# -- incidents --------------------------------------------------------------------------------------------------------


def history(outcome: str = "", severity: str = "SEV1", at: str = "2026-12-01T17:00:00.000Z") -> Any:
    lines = [{"incident": "INC-1", "run": "r1", "seq": 1, "at": at, "kind": "opened", "severity": severity}]
    if outcome:
        lines.append({"incident": "INC-1", "run": "r1", "seq": 2, "at": at, "kind": "closed", "outcome": outcome})
    return ended(arranged("INC-1", lines))


@pytest.mark.parametrize(
    ("held", "found", "is_so"),
    [
        (True, history(), True),
        (True, None, True),
        (False, None, False),
        (False, history(), True),
        (False, history("failed_partial"), True),
        (False, history("refused"), True),
        (False, history("succeeded"), False),
        (False, history("noop"), False),
        (True, history(severity="SEV2"), True),
        (True, history(severity="SEV3"), False),
        (True, history(severity=""), True),
        (False, history("failed_clean", at="2026-11-28T17:59:00.000Z"), False),
        (True, history("", at="2026-11-20T17:59:00.000Z"), True),
    ],
)
def test_an_incident_is_open_until_a_run_ended_it_well(held: bool, found: Any, is_so: bool) -> None:
    view = LeaseView("emr-web", held=held, incident="INC-1")
    assert is_open(view, found, AT, timedelta(hours=GATE.incident_hours)) is is_so
