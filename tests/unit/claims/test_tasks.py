"""The order of the steps, and when nobody is asked on: read from the tasks themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jinja2 import Environment

from tests.unit.claims.test_table import ROOT

Task = dict[str, Any]
TASKS = ROOT / "roles/claims_api_outage/tasks"
JINJA = Environment(autoescape=False)  # conditions and sentences, no page
JINJA.filters["intersect"] = lambda one, two: [item for item in one if item in two]


def flat(tasks: list[Task]) -> Iterator[Task]:
    for task in tasks:
        if "block" in task:
            yield from flat(task["block"])
        else:
            yield task


def steps(name: str) -> list[Task]:
    return list(flat(yaml.safe_load((TASKS / name).read_text())))


def what(task: Task) -> str:
    """Its module, or the file that it includes."""
    (found,) = [key for key in task if key.startswith(("daily_emr.", "ansible."))]
    return str(task[found]) if found.endswith("include_tasks") else found.rpartition(".")[2]


def order(tasks: list[Task]) -> list[str]:
    return [what(task) for task in tasks]


def holds(condition: str, **values: Any) -> bool:
    found = JINJA.compile_expression(condition)(**values)
    assert isinstance(found, bool), "Ansible takes nothing else for a condition"
    return found


def test_claims_are_held_before_a_worker_gets_a_good_key_and_the_queue_runs_before_they_are_let_go() -> None:
    assert order(steps("recycle.yml")) == [
        "feature_flag",
        "claim_deferral",
        "queue_worker_tasks",
        "queue_settled",
        "queue_state",
        # The same changes, looked at one after the other, where it is only planned.
        "{{ 'redrive_planned' if incident_planning else 'redrive_steps' }}.yml",
    ]


def test_what_would_keep_workers_from_being_replaced_is_read_before_claims_are_held() -> None:
    first, second = steps("mitigations/recycle_workers.yml")
    assert (what(first), first["check_mode"]) == ("queue_worker_tasks", True)
    assert what(second) == "../recycle.yml"


@pytest.mark.parametrize("status", ["finding", "unknown"])
@pytest.mark.parametrize("name", ["unknown_outcomes", "rejected_last"])
def test_after_a_new_key_nothing_is_sent_that_another_reason_holds(name: str, status: str) -> None:
    (block,) = [task for task in yaml.safe_load((TASKS / "recycle.yml").read_text()) if "block" in task]
    (condition,) = block["when"]
    seen = {"name": name, "status": status}
    assert not holds(condition, claims_api_outage_health={"observations": [seen]})
    assert holds(condition, claims_api_outage_health={"observations": [seen | {"status": "ok"}]})


def test_a_redrive_that_stops_takes_back_first_what_passes_the_breaker_and_does_both_whatever_happens() -> None:
    (block,) = yaml.safe_load((TASKS / "redrive_steps.yml").read_text())
    deferral, flag, end = block["rescue"]
    assert (what(deferral), deferral["daily_emr.ops.claim_deferral"]["held"]) == ("claim_deferral", True)
    assert (what(flag), flag["daily_emr.ops.feature_flag"]["state"]) == ("feature_flag", "on")
    assert (deferral["failed_when"], flag["failed_when"], what(end)) == (False, False, "fail")


@pytest.mark.parametrize(
    ("held", "deferred", "words"),
    [
        ("noop", "ok", "claims are held again, and what was not sent was taken back."),
        (
            "failed",
            "ok",
            "claims could not be held, so turn breaker on by hand now, and what was not sent was taken back.",
        ),
        ("ok", "failed", "claims are held again, and what was let go could not be taken back: No session."),
    ],
)
def test_what_could_not_be_done_about_it_is_said(held: str, deferred: str, words: str) -> None:
    (block,) = yaml.safe_load((TASKS / "redrive_steps.yml").read_text())
    values = {
        "ansible_failed_result": {"msg": "Step 1: stop."},
        "claims_api": {"circuit_flag": "breaker"},
        "__claims_api_outage_held": {"outcome": held},
        "__claims_api_outage_deferral": {"outcome": deferred, "msg": "No session."},
    }
    text = JINJA.from_string(block["rescue"][-1]["ansible.builtin.fail"]["msg"]).render(values)
    assert text == f"Step 1: stop. The redrive stopped there; {words}"


def test_after_a_question_that_was_not_answered_nobody_is_asked_on() -> None:
    loop = steps("reconcile.yml")[-1]
    (_first, others) = steps("mitigations/reconcile.yml")
    for stopped in ("the payer asks for less (429)", ""):
        result = {"outcome": "ok", "stopped": stopped}
        assert holds(loop["until"], __claims_api_outage_reconciled=result) is bool(stopped)
        assert holds(others["when"], claims_api_outage_step=result, ansible_check_mode=False) is not bool(stopped)
