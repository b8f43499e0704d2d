"""A run is held to its plan: what was looked at, from the state in which it was looked at, as often as was seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change, State
from ansible_collections.daily_emr.ops.plugins.module_utils._code import code_digest
from ansible_collections.daily_emr.ops.plugins.module_utils._contract import (
    PLANNED_WORK,
    contract_of,
    permit,
    read_plan,
    write_plan,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._inputs import CONTROLLER_NAMES
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Session
from ansible_collections.daily_emr.ops.plugins.module_utils._plan import (
    checked_plan,
    described,
    digest_of_plan,
    inputs_given,
    make_plan,
)

HEAD: dict[str, Any] = {
    "runbook": "app_outage",
    "code": "c0de",
    "environment": "production",
    "account": "123456789012",
    "region": "af-south-1",
    "component": "emr-web",
    "cause": "bad_release",
    "inputs": {},
}


class Flag(Change):
    name: ClassVar[str] = "flag"
    spec: ClassVar[dict[str, Any]] = {}
    volatile: ClassVar[frozenset[str]] = frozenset({"readers"})

    def __init__(self, target: str = "flag/a") -> None:
        self._target = target

    @property
    def target(self) -> str:
        return self._target

    def observe(self) -> State:
        raise AssertionError

    def wanted(self, before: State) -> State:
        raise AssertionError

    def refusals(self, before: State) -> list[str]:
        raise AssertionError

    def apply(self, before: State) -> None:
        raise AssertionError

    def inverse(self, before: State) -> dict[str, Any] | str:
        return "none"


OFF: State = {"on": False, "readers": 3, "context": {"read_at": "then"}}
ON: State = {"on": True, "readers": 3}


def planned(tmp_path: Path, *contracts: dict[str, Any], calls: int = 1) -> Session:
    plan = make_plan(HEAD, contracts or [contract_of(Flag(), OFF, ON)])
    write_plan(tmp_path, digest_of_plan(plan), plan, calls, "now")
    return Session("INC-1", "run-1", tmp_path, "emr-web", 1, "wanjiru@here", 120, digest_of_plan(plan))


def intent(session: Session, **more: Any) -> dict[str, Any]:
    return {"kind": "intent", "plan": session.plan, **more}


def test_what_was_planned_is_permitted_though_what_moves_by_itself_has_moved(tmp_path: Path) -> None:
    session = planned(tmp_path)
    said = permit(Flag(), session, [], {**OFF, "readers": 9, "context": {}}, {**ON, "readers": 9})
    assert said == {"plan": session.plan, "takes_back": False}


def test_another_step_another_target_and_no_plan_are_refused(tmp_path: Path) -> None:
    session = planned(tmp_path)
    with pytest.raises(Refused, match="flag on flag/b is not in the plan"):
        permit(Flag("flag/b"), session, [], OFF, ON)
    with pytest.raises(Refused, match="is in no plan: run the runbook from its start"):
        permit(Flag(), Session("INC-1", "run-1", tmp_path, "emr-web", 1), [], OFF, ON)


def test_from_another_state_or_to_another_it_is_refused_with_was_and_is(tmp_path: Path) -> None:
    session = planned(tmp_path)
    with pytest.raises(Refused, match="on was false when it was planned, now it is paused"):
        permit(Flag(), session, [], {**OFF, "on": "paused"}, ON)
    with pytest.raises(Refused, match="on was planned to become true, now it would become 2"):
        permit(Flag(), session, [], OFF, {**ON, "on": 2})


def test_what_a_run_has_done_it_may_take_back_and_nothing_before(tmp_path: Path) -> None:
    session = planned(tmp_path)
    with pytest.raises(Refused, match="plan again"):
        permit(Flag(), session, [], ON, OFF)
    sent = [intent(session)]
    assert permit(Flag(), session, sent, ON, OFF)["takes_back"] is True
    with pytest.raises(Refused, match="were announced already"):
        permit(Flag(), session, [*sent, intent(session, takes_back=True)], ON, OFF)


@pytest.mark.parametrize(("calls", "most"), [(1, 2), (5, 6), (10, 12)])
def test_a_fifth_more_than_was_planned_is_sent_and_no_more(tmp_path: Path, calls: int, most: int) -> None:
    session = planned(tmp_path, calls=calls)
    permit(Flag(), session, [intent(session)] * (most - 1), OFF, ON)
    with pytest.raises(Refused, match=f"has {calls} changes, and {most} were announced already"):
        permit(Flag(), session, [intent(session)] * most, OFF, ON)
    # Those of the round before had a plan of their own.
    permit(Flag(), session, [{"kind": "intent", "plan": "another"}] * most, OFF, ON)


def test_a_step_with_nothing_to_do_is_in_the_plan_and_costs_no_call() -> None:
    assert contract_of(Flag(), ON, ON)["calls"] == 0
    assert contract_of(Flag(), OFF, ON)["calls"] == 1


def test_planned_work_is_held_to_no_plan(tmp_path: Path) -> None:
    session = Session("INC-1", "run-1", tmp_path, "emr-dumps", 1, plan=PLANNED_WORK)
    assert permit(Flag(), session, [], OFF, ON) == {}


@pytest.mark.parametrize("damage", ["gone", "torn", "edited"])
def test_a_plan_that_is_not_the_one_of_the_run_is_refused(tmp_path: Path, damage: str) -> None:
    session, path = planned(tmp_path), tmp_path / "plan.json"
    written = json.loads(path.read_text())
    written["plan"]["steps"][0]["after"] = {"on": "anything"}
    {"gone": path.unlink, "torn": lambda: path.write_text("{"), "edited": lambda: path.write_text(json.dumps(written))}[
        damage
    ]()
    with pytest.raises(Refused, match="plan again"):
        read_plan(session)


def test_the_parts_of_a_digest_tell_code_targets_and_the_rest_apart() -> None:
    step = contract_of(Flag(), OFF, ON)
    first = digest_of_plan(make_plan(HEAD, [step])).split("-")
    code = digest_of_plan(make_plan({**HEAD, "code": "other"}, [step])).split("-")
    target = digest_of_plan(make_plan(HEAD, [{**step, "target": "flag/b"}])).split("-")
    state = digest_of_plan(make_plan(HEAD, [{**step, "before": {"on": None}}])).split("-")
    assert [a == b for a, b in zip(first, code, strict=True)] == [False, True, False]
    assert [a == b for a, b in zip(first, target, strict=True)] == [True, False, False]
    assert [a == b for a, b in zip(first, state, strict=True)] == [True, True, False]
    # How often it may be sent depends on what moves by itself.
    assert digest_of_plan(make_plan(HEAD, [{**step, "calls": 9}])).split("-") == first


def test_an_input_is_the_same_as_a_number_and_as_a_text_and_who_works_on_it_is_none() -> None:
    given = {"app_outage_min_zones": 2, "incident_id": "INC-1", "approve": "x", "awx_job_id": 7}
    assert inputs_given(given, CONTROLLER_NAMES) == {"app_outage_min_zones": "2"}
    assert inputs_given({"app_outage_min_zones": "2"}, CONTROLLER_NAMES) == {"app_outage_min_zones": "2"}


def test_a_plan_that_was_written_and_read_again_is_the_same_plan(tmp_path: Path) -> None:
    session = planned(tmp_path)
    plan, _calls = read_plan(session)
    assert checked_plan(json.loads(json.dumps(plan))) == plan
    assert "flag on flag/a (on false → true)." in described(plan)


@pytest.mark.parametrize("spoil", [{"extra": 1}, {"schema": 2}, {"steps": 1}, {"inputs": []}, {"cause": 1}])
def test_what_is_no_plan_is_not_taken_for_one(tmp_path: Path, spoil: dict[str, Any]) -> None:
    plan, _calls = read_plan(planned(tmp_path))
    with pytest.raises(ValueError, match="not a"):
        checked_plan({**plan, **spoil})


def test_the_code_is_what_decides_and_acts_and_nothing_else(tmp_path: Path) -> None:
    def digest() -> str:
        code_digest.cache_clear()
        return code_digest(tmp_path)

    for name in ("roles/a/tasks/main.yml", "runbooks/a.yml", "playbooks/a.yml", "docs/a.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    first = digest()
    (tmp_path / "docs/a.md").write_text("other")
    (tmp_path / "roles/a/__pycache__").mkdir()
    (tmp_path / "roles/a/__pycache__/x.pyc").write_text("other")
    assert digest() == first
    (tmp_path / "roles/a/tasks/main.yml").write_text("other")
    assert digest() != first
