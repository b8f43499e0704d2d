"""Every control: one fixture in which it passes, one in which it fails, and unknown in every other case."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import NOT_A_READ, READ_OPERATION
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Check, digest
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_controls import CHECKS, declared_calls

from tests.bench.readiness import SECONDS_A_CALL, chains, rounds
from tests.unit.readiness.breaks import BREAKS, FURTHER
from tests.unit.readiness.world import ACCOUNT, NOW, REGION, Answers, AwsError, ready, run

CONTROLS = {check.control: check for check in CHECKS}
SECONDS_AT_MOST = 15


def evidence(control: str, answers: Answers, **wanted: Any) -> dict[str, Any]:
    made, _clients = run(answers, **wanted)
    (record,), _calls = made.evidence([CONTROLS[control]])
    return record


def test_every_control_has_a_name_of_its_own_and_a_failing_fixture():
    assert len(CONTROLS) == len(CHECKS)
    assert set(BREAKS) == set(CONTROLS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.control)
def test_a_control_passes_where_everything_is_right_with_the_calls_that_it_declares(check: Check):
    made, clients = run(ready())
    ((record,), _calls) = made.evidence([check])
    assert (record["status"], record["why"]) == ("pass", "")
    assert set(clients.calls) == set(check.calls)


@pytest.mark.parametrize("control", BREAKS)
def test_a_control_fails_where_its_thing_is_wrong(control: str):
    answers = ready()
    BREAKS[control](answers)
    record = evidence(control, answers)
    assert (record["status"], record["why"]) == ("fail", "")


@pytest.mark.parametrize(("control", "broken"), FURTHER, ids=[control for control, _broken in FURTHER])
def test_a_control_fails_in_ways_that_are_easily_overlooked(control, broken):
    answers = ready()
    broken(answers)
    assert evidence(control, answers)["status"] == "fail"


@pytest.mark.parametrize(
    ("control", "call"), [(check.control, call) for check in CHECKS for call in check.calls], ids=str
)
def test_a_control_is_unknown_when_one_of_its_calls_is_denied(control: str, call: str):
    answers = ready()
    answers[call] = AwsError("AccessDeniedException")
    record = evidence(control, answers)
    assert record["status"] == "unknown"
    assert "AccessDeniedException" in record["why"]
    assert record["observed"] == {}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.control)
def test_an_account_that_answers_with_nothing_never_passes(check: Check):
    assert evidence(check.control, {call: {} for call in declared_calls()})["status"] != "pass"


@pytest.mark.parametrize(
    ("control", "wanted"),
    [("network.nat_addresses", {"payer_allow_list": []}), ("rehearsals.runbooks", {"runbooks": []})],
)
def test_a_control_is_unknown_where_nobody_said_what_is_wanted(control, wanted):
    assert evidence(control, ready(), **wanted)["status"] == "unknown"


def test_a_control_is_unknown_when_a_rehearsal_left_no_report():
    record = evidence("rehearsals.runbooks", ready(), runbooks=["app_outage", "region_evacuation"])
    assert record["status"] == "unknown"
    assert "region_evacuation" in record["why"]


def test_a_report_that_is_no_report_is_unknown():
    for text in ("no JSON", "[]", "{}", '{"ok": true}', '{"ok": 1, "finished_at": "2026-11-29T03:40:00Z"}'):
        assert evidence("backups.restored", ready() | {"s3:GetObject": text})["status"] == "unknown"


@pytest.mark.parametrize(("result", "status"), [("passed", "pass"), ("failed", "fail"), ("unknown", "unknown")])
def test_the_report_of_a_restore_check_is_understood_in_its_own_words(result, status):
    report = {
        "kind": "restore_check",
        "checked_at": "2026-11-29T03:40:00+00:00",
        "result": result,
        "dump": "2026/11/29/013000Z",
        "rto_seconds": 840.0 if result == "passed" else None,
        "rpo_seconds": 7200.0 if result == "passed" else None,
    }
    assert evidence("backups.restored", ready() | {"s3:GetObject": report})["status"] == status


def test_a_time_in_the_future_is_unknown():
    answers = ready()
    answers["cloudtrail:GetTrailStatus"]["LatestDeliveryTime"] = NOW.replace(year=NOW.year + 1)
    assert evidence("audit.logging", answers)["status"] == "unknown"


def test_a_control_makes_no_call_that_it_does_not_declare():
    made, _clients = run(ready())
    sneaky = Check("x.y", "", "", "24h", ("iam:GetRole",), lambda look: look.read("iam:GetAccountSummary"))
    ((record,), _calls) = made.evidence([sneaky])
    assert record["status"] == "unknown"
    assert record["why"] == "x.y does not declare iam:GetAccountSummary."


def test_every_declared_call_is_a_read_that_the_client_factory_sends():
    operations = {call: call.partition(":")[2] for call in declared_calls() if call != "s3:GetObject"}
    refused = {
        call for call, name in operations.items() if not READ_OPERATION.fullmatch(name) or NOT_A_READ.fullmatch(name)
    }
    assert refused == set()


def test_the_evidence_says_what_was_asked_what_came_and_when():
    record = evidence("database.backups", ready())
    said = {key: value for key, value in record.items() if key != "sha256"}
    assert said == {
        "control": "database.backups",
        "title": "Automated backups",
        "status": "pass",
        "method": "api",
        "call": "rds:DescribeDBInstances",
        "assertion": "automated backups are kept for at least 7 days",
        "observed": {"days": 7},
        "measured": {},
        "why": "",
        "observed_at": "2026-11-30T07:00:00Z",
        "valid_for": "24h",
        "account": ACCOUNT,
        "region": REGION,
    }
    assert record["sha256"] == digest(said)


def test_every_value_of_evidence_is_the_same_when_nothing_changed():
    first, second = (run(ready())[0].evidence(CHECKS)[0] for _ in range(2))
    assert first == second


def test_all_checks_at_100_ms_a_call_end_in_15_s():
    """Counted, not timed: by Graham's bound, work that is shared by n workers ends after calls / n + longest chain."""
    made, clients = run(ready())
    records, calls = made.evidence(CHECKS)
    assert {record["status"] for record in records} == {"pass"}
    assert calls == len(clients.calls)
    alone = chains()
    assert rounds(sum(alone.values()), max(alone.values())) * SECONDS_A_CALL <= SECONDS_AT_MOST
    assert calls < sum(alone.values()), "checks share what they read"


def test_a_call_that_many_checks_need_is_sent_once():
    made, clients = run(ready())
    database = [check for check in CHECKS if check.area == "database"]
    made.evidence(database)
    assert clients.calls.count("rds:DescribeDBInstances") == 1
    assert len(database) > 10
