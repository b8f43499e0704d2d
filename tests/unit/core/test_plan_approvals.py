"""Six bad approvals, each refused with its own sentence; and the good ones."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._approvals import Approval
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Session
from ansible_collections.daily_emr.ops.plugins.module_utils._plan import Plan, digest_of_plan, make_plan, needs
from ansible_collections.daily_emr.ops.plugins.module_utils._plan_approvals import Request, Table, agree

NOW = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)
RULES: dict[str, Any] = {"reversible": 1, "irreversible": 2, "controllers": []}
STEP: dict[str, Any] = {
    "step": "feature_flag",
    "module": "feature_flag",
    "target": "flag/a",
    "before": {"on": True},
    "after": {"on": False},
    "irreversible": "",
    "loses_data": False,
    "approved_apart": False,
}
HEAD: dict[str, Any] = {
    "runbook": "app_outage",
    "code": "c0de",
    "environment": "production",
    "account": "123456789012",
    "region": "af-south-1",
    "component": "emr-web",
    "cause": "bad_flag",
    "inputs": {},
}
SESSION = Session("INC-1", "run-1", Path("/nowhere"), "emr-web")


def plan_of(*steps: dict[str, Any], **head: Any) -> Plan:
    return make_plan({**HEAD, **head}, steps or [STEP])


def asked(plan: Plan | None = None, approved: str = "", **more: Any) -> Request:
    made = plan or plan_of()
    request = Request(made, digest_of_plan(made), approved or digest_of_plan(made), "wanjiru", RULES, SESSION, "HOW.")
    return replace(request, **more)


def table(plan: Plan | None = None, *people: str, minutes: float = 1, used: dict[str, str] | None = None) -> Table:
    made = plan or plan_of()
    at = (NOW - timedelta(minutes=minutes)).isoformat()
    return Table([Approval(one, digest_of_plan(made), at) for one in people or ("amina",)], made, used or {}, NOW)


def refusal(request: Request, found: Table) -> str:
    with pytest.raises(Refused) as error:
        agree(request, found)
    return error.value.sentence


def test_what_another_person_has_just_approved_may_be_carried_out() -> None:
    agree(asked(), table())


def bad() -> dict[str, tuple[Request, Table, str]]:
    """Each bad approval: what is asked, what the table says, and the words of the refusal."""
    good = plan_of()
    other = plan_of(cause="wedged_tasks")
    newer = plan_of(code="newer")
    wider = plan_of(STEP, {**STEP, "target": "flag/b"})
    moved = plan_of({**STEP, "before": {"on": "paused"}})
    digest = digest_of_plan(good)
    used = {"incident": "INC-0", "run": "run-0", "at": "2026-11-22T01:20:00Z", "plan": "{}"}
    return {
        "another plan": (asked(other, digest), table(good), "is another plan (it differs in cause)"),
        "changed code": (asked(newer, digest), table(good), "The code changed since the plan"),
        "changed targets": (asked(wider, digest), table(good), "The targets are not those of the plan"),
        "live state moved": (
            asked(moved, digest),
            table(good),
            "flag/a: on was true, now it is paused",
        ),
        "used already": (
            asked(),
            table(used=used),
            "was used already, by run run-0 of incident INC-0 at 2026",
        ),
        "expired": (asked(), table(None, "amina", minutes=16), "the approval of amina is older than 15 minutes"),
        "by the requester": (asked(), table(None, "Wanjiru@clinic"), "Wanjiru@clinic asked for it, and does not count"),
    }


@pytest.mark.parametrize("kind", bad())
def test_a_bad_approval_is_refused_with_its_own_sentence(kind: str) -> None:
    request, found, words = bad()[kind]
    said = refusal(request, found)
    assert words in said
    assert said.endswith("HOW.")
    assert sum(others in said for _request, _table, others in bad().values()) == 1


def test_several_bad_approvals_are_each_named_and_a_good_one_beside_them_counts() -> None:
    digest = digest_of_plan(plan_of())
    late = Approval("amina", digest, (NOW - timedelta(minutes=20)).isoformat())
    own = Approval("wanjiru", digest, NOW.isoformat())
    nobody = Approval("awx", digest, NOW.isoformat())
    said = refusal(asked(), replace(table(), approvals=[late, own, nobody]))
    assert all(words in said for words in ("older than 15 minutes", "asked for it", "names nobody", "0 of 1 people"))
    agree(asked(), replace(table(), approvals=[late, own, nobody, Approval("otieno", digest, NOW.isoformat())]))


def test_what_cannot_be_taken_back_needs_two_people_and_one_twice_is_one() -> None:
    lost = plan_of({**STEP, "irreversible": "messages cannot be called back"})
    assert (needs(lost, RULES), needs(plan_of(), RULES)) == (2, 1)
    assert "1 of 2 people" in refusal(asked(lost), table(lost, "amina", "Amina@clinic"))
    agree(asked(lost), table(lost, "amina", "otieno"))


def test_a_controller_stands_for_one_approval_where_the_inventory_says_so_and_never_for_a_loss() -> None:
    awx = {"operator": "awx", "rules": {**RULES, "controllers": ["awx"]}}
    nobody = Table([], plan_of(), {}, NOW)
    assert "names nobody" in refusal(asked(operator="awx"), nobody)
    agree(asked(**awx), nobody)
    lost = plan_of({**STEP, "irreversible": "messages cannot be called back"})
    assert "0 of 2 people" in refusal(asked(lost, **awx), Table([], lost, {}, NOW))


def test_the_same_incident_goes_on_with_what_is_left_of_its_plan_and_with_nothing_more() -> None:
    second = {**STEP, "target": "flag/b"}
    whole = plan_of(STEP, second)
    used = {"incident": "INC-1", "run": "run-0", "at": "then", "plan": json.dumps(whole)}
    left = plan_of({**STEP, "before": {"on": False}}, second)
    agree(asked(left, digest_of_plan(whole)), table(whole, used=used))
    agree(asked(whole), table(whole, used=used))
    more = plan_of({**STEP, "before": {"on": False}}, second, {**STEP, "target": "flag/c"})
    assert "targets are not those" in refusal(asked(more, digest_of_plan(whole)), table(whole, used=used))
    another = {**used, "incident": "INC-9"}
    assert "has moved" in refusal(asked(left, digest_of_plan(whole)), table(whole, used=another))


def test_a_value_that_is_no_digest_is_not_repeated() -> None:
    said = refusal(asked(approved="{{ lookup('pipe', 'id') }}"), table())
    assert said == "The value of approve is not the digest of a plan. HOW."


@pytest.mark.parametrize("steps", [[], [{**STEP, "approved_apart": True}]])
def test_a_plan_that_only_waits_or_asks_by_its_own_rule_needs_nobody(steps: list[dict[str, Any]]) -> None:
    assert needs(make_plan(HEAD, steps), RULES) == 0
