"""The success gate: a run is what its record and Ansible's counts agree on, never what a return code says alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from daily_emr_runbooks.outcome import judge
from daily_emr_runbooks.project import Project
from daily_emr_runbooks.runner import Finished

from .conftest import JOURNAL, RECORD, line, write_run

STATS = {"processed": {"emr-web": 1}, "ok": {"emr-web": 9}, "failures": {}, "dark": {}, "ignored": {}, "rescued": {}}


def ended(return_code: int | None = 0, status: str = "successful", **body: Any) -> Finished:
    return Finished(status, return_code, Path("/runs/.runner/x/output.txt"), **({"stats": STATS} | body))


def verdict(
    tmp_path: Path,
    finished: Finished,
    record: dict[str, Any] | None = RECORD,
    journal: list[dict[str, Any]] = JOURNAL,
    planned: tuple[str, ...] = ("emr-web",),
) -> tuple[str, int]:
    folder = write_run(tmp_path, journal, record)
    found = judge(Project(tmp_path), finished, [folder], planned)
    assert found.sentence
    return found.outcome, found.exit_code


def test_a_verified_goal_without_any_doubt_is_success(tmp_path: Path) -> None:
    assert verdict(tmp_path, ended()) == ("succeeded", 0)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [("noop", 0), ("planned", 0), ("refused", 3), ("failed_clean", 4), ("unknown", 7), ("cancelled", 8)],
)
def test_an_outcome_without_changes_keeps_its_word_and_code(tmp_path: Path, outcome: str, code: int) -> None:
    finished = ended(0 if code == 0 else 2)

    assert verdict(tmp_path, finished, RECORD | {"outcome": outcome, "steps": []}) == (outcome, code)


@pytest.mark.parametrize(("outcome", "code"), [("failed_rolled_back", 5), ("failed_partial", 6), ("unknown", 7)])
def test_an_outcome_with_changes_keeps_its_word_and_code(tmp_path: Path, outcome: str, code: int) -> None:
    assert verdict(tmp_path, ended(2), RECORD | {"outcome": outcome}) == (outcome, code)


@pytest.mark.parametrize(
    "finished",
    [
        ended(2, "failed"),
        ended(stats=None),
        ended(stats=STATS | {"failures": {"emr-web": 1}}),
        ended(stats=STATS | {"dark": {"emr-web": 1}}),
        ended(stats=STATS | {"ignored": {"emr-web": 1}}),
        ended(stats=STATS | {"processed": {}}),
        ended(254, "canceled"),
    ],
    ids=["return code", "no counts", "failures", "unreachable", "ignored", "not processed", "cancelled"],
)
@pytest.mark.parametrize("outcome", ["succeeded", "noop", "planned"])
def test_a_good_record_that_ansible_contradicts_is_unknown(tmp_path: Path, finished: Finished, outcome: str) -> None:
    record = RECORD | {"outcome": outcome, "steps": [] if outcome != "succeeded" else RECORD["steps"]}

    assert verdict(tmp_path, finished, record) == ("unknown", 7)


@pytest.mark.parametrize(
    "change",
    [
        {"verification": {}},
        {"verification": {"verified": "yes"}},
        {"steps": [{"name": "roll_back_release", "outcome": "unknown"}]},
        {"outcome": "fine"},
        {"outcome": None},
        {"outcome": "noop"},
        {"outcome": "refused"},
    ],
    ids=str,
)
def test_a_record_that_contradicts_itself_is_unknown(tmp_path: Path, change: dict[str, Any]) -> None:
    assert verdict(tmp_path, ended(), RECORD | change) == ("unknown", 7)


LOOKED_AT = RECORD["steps"][0] | {"outcome": "planned", "name": "roll_back_release: service/web would be changed."}


@pytest.mark.parametrize(("said", "outcome"), [(True, "succeeded"), (False, "unknown")])
def test_a_step_that_failed_has_to_be_said(tmp_path: Path, said: bool, outcome: str) -> None:
    """As a precaution: a queue that cannot be paused keeps nobody from failing over."""
    failed = RECORD["steps"][0] | {"outcome": "failed", "name": "Nothing was changed, because a read failed."}
    sentence = f"{RECORD['sentence']} {failed['name'] if said else ''}"
    record = RECORD | {"steps": [failed, *RECORD["steps"]], "sentence": sentence}
    assert verdict(tmp_path, ended(), record)[0] == outcome


def test_a_step_that_was_only_planned_is_none_of_a_run_that_succeeded(tmp_path: Path) -> None:
    (done,) = RECORD["steps"]
    assert verdict(tmp_path, ended(), RECORD | {"steps": [done, LOOKED_AT]})[0] == "unknown"


def test_a_component_without_a_record_is_not_success(tmp_path: Path) -> None:
    assert verdict(tmp_path, ended(), planned=("emr-web", "emr-other")) == ("unknown", 7)


def test_return_code_0_without_a_record_is_not_success(tmp_path: Path) -> None:
    found = judge(Project(tmp_path), ended(), [], ["emr-web"])

    assert (found.outcome, found.exit_code) == ("failed_clean", 4)
    assert "without an outcome" in found.sentence


def test_a_refusal_before_the_incident_was_opened_is_refused_in_its_own_words(tmp_path: Path) -> None:
    finished = ended(2, "failed", results=[{"refused": True, "msg": "no"}], messages=["account_id is not set."])

    found = judge(Project(tmp_path), finished, [], ["emr-web"])

    assert (found.outcome, found.sentence) == ("refused", "account_id is not set.")


def test_a_refusal_of_the_gate_is_refused_in_its_own_words(tmp_path: Path) -> None:
    finished = ended(3, "failed", stats=None, errors=["incident_idd is not an input of this runbook."])

    found = judge(Project(tmp_path), finished, [], ["emr-web"])

    assert (found.outcome, found.sentence) == ("refused", "incident_idd is not an input of this runbook.")


def test_ansible_that_did_not_start_is_a_clean_failure(tmp_path: Path) -> None:
    found = judge(Project(tmp_path), ended(4, "failed", stats=None), [], ["emr-web"])

    assert (found.outcome, found.exit_code) == ("failed_clean", 4)
    assert "/runs/.runner/x/output.txt" in found.sentence


@pytest.mark.parametrize(
    ("kinds", "finished", "outcome"),
    [
        (["opened"], ended(254, "canceled"), "cancelled"),
        (["opened", "observed"], ended(2, "failed"), "failed_clean"),
        (["opened", "lease"], ended(254, "canceled"), "unknown"),
        (["opened", "lease", "intent"], ended(2, "failed"), "unknown"),
        (["opened", "lease", "intent", "outcome"], ended(0), "unknown"),
    ],
)
def test_a_run_that_never_closed_is_judged_by_its_journal(
    tmp_path: Path, kinds: list[str], finished: Finished, outcome: str
) -> None:
    journal = [line(kind, "21:00:00.000") for kind in kinds]

    assert verdict(tmp_path, finished, record=None, journal=journal)[0] == outcome


def test_a_stopped_run_that_opened_nothing_is_cancelled(tmp_path: Path) -> None:
    assert judge(Project(tmp_path), ended(254, "canceled", stats=None), [], ["emr-web"]).outcome == "cancelled"


def test_the_worst_component_decides(tmp_path: Path) -> None:
    good = write_run(tmp_path, JOURNAL, RECORD)
    bad = write_run(tmp_path, JOURNAL, RECORD | {"outcome": "failed_partial"}, incident="INC-8")

    assert judge(Project(tmp_path), ended(2, "failed"), [good, bad], ["emr-web"]).outcome == "failed_partial"
