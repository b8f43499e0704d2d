"""What a rehearsal showed is kept in the words that readiness reads, and none is held in production."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Report
from ansible_collections.daily_emr.ops.plugins.modules.rehearsal_evidence import RehearsalEvidence, said_loss
from ansible_collections.daily_emr.ops.plugins.modules.rehearsal_info import judged, read

Json = dict[str, Any]
RECORD = {
    "incident": "INC-1",
    "run": "run-1",
    "runbook": "region_failover",
    "operator": "on-call",
    "outcome": "succeeded",
    "sentence": "It was done.",
    "opened_at": "2026-11-30T10:00:00.000Z",
    "closed_at": "2026-11-30T10:20:00.000Z",
    "seconds": 1200.0,
    "steps": [{"step": "database_promotion", "target": "database/x", "outcome": "ok", "prediction": ["RPO: 4 s"]}],
    "journal": [
        {"kind": "waited", "fenced": False, "loss": {"seconds": 4.2, "lost_since": "2026-11-30T09:59:00Z"}},
        {"kind": "waited", "settled": True},
    ],
}


def rehearsal(environment: str = "staging", **more: Any) -> RehearsalEvidence:
    """The change, with an environment and no client: what is asked of it here is pure."""
    params = {
        "dumps": {"bucket": "dumps", "retention_days": 100},
        "scenario": "region_failover",
        "record": RECORD,
        "earlier_runs": ["run-0"],
        "exit_code": 0,
        "hypothesis": "It works",
        "participants": [],
        "rpo_s": None,
        "found": [],
        "actions": [],
        "due_days": 90,
    }
    return RehearsalEvidence(
        params | more, SimpleNamespace(environment=SimpleNamespace(name=environment, time_factor=1.0))
    )


def test_none_is_held_in_production_and_elsewhere_it_may_be() -> None:
    (reason,) = rehearsal("production", record={}).more_refusals({})
    assert "staging or the sandbox" in reason
    assert rehearsal("staging", record={}).more_refusals({}) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [({"hypothesis": " "}, "hypothesis is empty"), ({"due_days": 101}, "within 100 days"), ({"due_days": 0}, "due")],
)
def test_a_rehearsal_has_a_hypothesis_and_a_next_date(more: dict, words: str) -> None:
    (reason,) = rehearsal(**more).more_refusals({})
    assert words in reason


def test_evidence_is_what_readiness_reads() -> None:
    made = rehearsal()
    report = Report.of(made.evidence(), made.key)
    assert (report.ok, report.rto_s, report.rpo_s) == (True, 1200.0, 4.2)
    assert made.key == "rehearsals/region_failover/2026/11/30/100000Z.json"
    assert made.evidence()["next_due"] == "2027-02-28"
    assert made.evidence()["predicted"] == ["RPO: 4 s"]


@pytest.mark.parametrize("outcome", ["noop", "refused", "failed_partial", "unknown", "planned"])
def test_a_run_that_did_not_succeed_has_rehearsed_nothing(outcome: str) -> None:
    evidence = rehearsal(record=RECORD | {"outcome": outcome}).evidence()
    assert evidence["ok"] is False
    assert judged("region_failover", "key", json.dumps(evidence))["verified"] is False


@pytest.mark.parametrize("exit_code", [2, -9, None])
def test_a_command_that_ended_with_an_error_has_rehearsed_nothing(exit_code: int | None) -> None:
    assert rehearsal(exit_code=exit_code).evidence()["ok"] is False


@pytest.mark.parametrize("more", [{"earlier_runs": ["run-0", "run-1"]}, {"record": {**RECORD, "run": ""}}])
def test_the_record_of_a_run_that_was_there_before_is_refused(more: Json) -> None:
    made = rehearsal(**more)
    with pytest.raises(Refused, match="nothing was rehearsed"):
        made.wanted({})
    assert made.remarks() == {"evidence": {}}


def test_the_record_of_another_runbook_is_refused() -> None:
    with pytest.raises(Refused, match="that of app_outage"):
        rehearsal(record={**RECORD, "runbook": "app_outage"}).evidence()


class Bucket:
    """Evidence of two rehearsals: an old one that succeeded, and a newer one that did not."""

    TEXTS: ClassVar[dict[str, str]] = {
        f"rehearsals/region_failover/2026/11/{day}/000000Z.json": json.dumps(rehearsal(exit_code=exit_code).evidence())
        for day, exit_code in (("01", 0), ("02", 2))
    }

    def read(self, _service: str) -> Bucket:
        return self

    def get_paginator(self, _name: str) -> Bucket:
        return self

    def paginate(self, **_asked: str) -> list[Json]:
        return [{"Contents": [{"Key": key} for key in self.TEXTS]}]

    def evidence(self, _bucket: str, key: str) -> str:
        return self.TEXTS[key]


@pytest.mark.parametrize(("day", "counts"), [("01", True), ("02", False)])
def test_the_evidence_that_is_named_is_read_and_not_the_newest(day: str, counts: bool) -> None:
    key = f"rehearsals/region_failover/2026/11/{day}/000000Z.json"
    found = read({"dumps": {"bucket": "x"}, "scenario": "region_failover", "key": key}, Bucket(), print)  # type: ignore[arg-type]
    assert (found["key"], found["verified"]) == (key, counts)


def test_without_a_name_the_newest_evidence_is_read_and_another_scenarios_is_refused() -> None:
    asked = {"dumps": {"bucket": "x"}, "scenario": "region_failover", "key": ""}
    assert read(asked, Bucket(), print)["verified"] is False  # type: ignore[arg-type]
    with pytest.raises(Refused, match="no evidence of"):
        read({**asked, "key": "rehearsals/app_outage/x.json"}, Bucket(), print)  # type: ignore[arg-type]


def test_a_loss_that_nobody_measured_is_unknown_and_a_measured_one_counts() -> None:
    silent = RECORD | {"journal": []}
    assert said_loss(silent) is None
    assert judged("x", "key", json.dumps(rehearsal(record=silent).evidence()))["verified"] is None
    measured = rehearsal(record=silent, rpo_s=0.0).evidence()
    assert judged("x", "key", json.dumps(measured))["verified"] is True


@pytest.mark.parametrize(
    "record", [{"opened_at": "2026-11-30T10:00:00Z"}, {"closed_at": "yesterday", "opened_at": "x"}]
)
def test_what_is_no_record_of_a_run_is_refused(record: dict) -> None:
    with pytest.raises(Refused, match="not that of a run"):
        rehearsal(record={"run": "run-1", "runbook": "region_failover", **record}).evidence()
