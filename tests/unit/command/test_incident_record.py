"""The record of an incident: its form, its times by hand, its impact by another count, and nothing more."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from daily_emr_runbooks.impact import NOBODY_READ, measured
from daily_emr_runbooks.incident_record import Run, as_text, build
from daily_emr_runbooks.record import runs_of
from tests import incidents
from tests.incidents import DONE, FIXTURES, INCIDENT, STEP, VERIFIED, at, felt, journal, notice, write

from .conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMA = json.loads((ROOT / "docs/schemas/incident.schema.json").read_text())
NAMES = ("impact_began", "detected", "acknowledged", "mitigated", "resolved")


def record_of(run: Path) -> dict[str, Any]:
    """The record as whoever reads the file finds it."""
    found: dict[str, Any] = json.loads(as_text(build([Run.read(folder) for folder in runs_of(run.parent)])))
    return found


def times(record: dict[str, Any]) -> list[str | None]:
    return [record["times"][name] and record["times"][name][11:19] for name in NAMES]


@pytest.mark.parametrize("make", FIXTURES.values(), ids=FIXTURES)
def test_the_record_has_its_published_form(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    validator = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
    assert [fault.message for fault in validator.iter_errors(record_of(make(tmp_path)))] == []


def test_the_times_of_a_whole_run(tmp_path: Path) -> None:
    record = record_of(incidents.whole(tmp_path))
    # Down from 20:56 to 21:08; the alarm rang 90 s before the opening; the step had ended at 21:00:50 and the wait
    # behind it at 21:03:50, and users were served again when the last minute that was down was over.
    assert times(record) == ["20:56:00", "20:59:00", "21:00:30", "21:08:00", "21:10:31"]
    assert record["durations_s"] == {"detect": 180.0, "acknowledge": 90.0, "mitigate": 720.0, "resolve": 871.0}
    assert record["mitigate_from"] == "impact_began"
    assert (record["state"], record["outcome"], record["severity"]) == ("closed", "succeeded", "SEV1")


def test_of_two_runs_the_one_that_saw_the_end_closes_the_incident(tmp_path: Path) -> None:
    record = record_of(incidents.two_runs(tmp_path))
    assert (record["state"], record["outcome"]) == ("closed", "succeeded")
    assert [(run["run"], run["outcome"]) for run in record["runs"]] == [("r1", "unknown"), ("r2", "succeeded")]
    assert times(record) == ["20:56:00", "21:00:30", "21:00:30", "21:08:00", "21:10:32"]
    # Nobody saw how long the step took; that it was done is what the second run saw.
    [action] = record["actions"]
    assert (action["run"], action["outcome"], action["seconds"]) == ("r1", "ok", None)


def test_an_incident_is_open_while_one_of_its_components_is(tmp_path: Path) -> None:
    record = record_of(incidents.two_components(tmp_path))
    assert (record["state"], record["outcome"]) == ("open", "refused")
    assert record["components"] == ["claims", "exports"]
    assert "claims: " in record["sentence"]
    assert "exports: Nobody can say why" in record["sentence"]
    # No minute was down: that is known, so it is 0 minutes, and nothing began.
    assert (record["impact"]["minutes"], record["impact"]["why"]) == (0.0, "")
    assert times(record) == [None, "21:00:30", "21:00:30", "21:00:42", None]
    assert (record["durations_s"]["mitigate"], record["mitigate_from"]) == (12.0, "detected")
    assert record["durations_s"]["resolve"] is None


def test_a_refused_run_has_done_nothing_and_knows_nothing(tmp_path: Path) -> None:
    record = record_of(incidents.refused(tmp_path))
    assert (record["state"], record["outcome"], record["actions"]) == ("open", "refused", [])
    assert times(record) == [None, "21:00:30", "21:00:30", None, None]
    assert record["impact"] == {
        **dict.fromkeys(["minutes", "bad", "valid", "budget_minutes_month", "budget_share", "time_factor"]),
        "series": [],
        "why": NOBODY_READ,
    }


def test_what_was_not_measured_is_not_known_and_never_0(tmp_path: Path) -> None:
    record = record_of(incidents.not_measured(tmp_path))
    impact = record["impact"]
    assert {impact[name] for name in ("minutes", "bad", "valid", "budget_share")} == {None}
    assert "AccessDenied" in impact["why"]
    # From the opening, because nobody knows when it began.
    assert (record["durations_s"]["mitigate"], record["mitigate_from"]) == (20.0, "detected")
    assert record["durations_s"]["detect"] is None


def test_a_killed_run_leaves_an_open_incident_with_a_step_in_doubt(tmp_path: Path) -> None:
    record = record_of(incidents.killed(tmp_path))
    assert (record["state"], record["outcome"]) == ("open", "unknown")
    assert "left no record" in record["sentence"]
    assert [action["outcome"] for action in record["actions"]] == ["unknown"]
    assert record["runs"][0]["closed_at"] is None


def test_a_refusal_after_a_success_opens_nothing_again(tmp_path: Path) -> None:
    run = incidents.whole(tmp_path)
    said = {"outcome": "refused", "sentence": "It rests.", "lease": "none"}
    write(
        tmp_path, journal("r9", "emr-web", (900, "opened", {}), (901, "refused", {"msg": "No."}), (902, "closed", said))
    )
    assert (record_of(run)["state"], record_of(run)["times"]["resolved"]) == ("closed", at(601))


def test_a_step_that_did_not_help_is_not_what_served_users_again(tmp_path: Path) -> None:
    other = {"step": "feature_flag", "target": "flag/new-chart", "diff": {}, "undo": "Nothing to undo."}
    run = write(
        tmp_path,
        journal(
            "r1",
            "emr-web",
            (0, "opened", {}),
            (2, "decided", incidents.DECIDED),
            (10, "intent", other),
            (11, "outcome", {**DONE, **other}),
            (60, "verified", {"verified": False, "sentence": "Not good."}),
            (70, "intent", STEP),
            (80, "outcome", DONE),
            (590, "verified", VERIFIED),
            (601, "closed", {"outcome": "succeeded", "sentence": "It is healthy again."}),
        ),
    )
    assert record_of(run)["times"]["mitigated"] == at(80)


def test_a_step_without_a_verification_behind_it_served_nobody_again(tmp_path: Path) -> None:
    lines = journal("r1", "emr-web", (0, "opened", {}), (10, "intent", STEP), (20, "outcome", DONE))
    assert record_of(write(tmp_path, lines, record=False))["times"]["mitigated"] is None


def test_taking_back_is_no_mitigation(tmp_path: Path) -> None:
    lines = journal(
        "r1",
        "emr-web",
        (0, "opened", {}),
        (10, "intent", STEP),
        (20, "outcome", {**DONE, "undo_of": {"run": "r0", "seq": 5}}),
        (30, "verified", VERIFIED),
        runbook="undo",
    )
    assert record_of(write(tmp_path, lines, record=False))["times"]["mitigated"] is None


def test_a_plan_has_no_actions(tmp_path: Path) -> None:
    lines = journal("r1", "emr-web", (0, "opened", {"mode": "plan"}), (1, "looked", {**DONE, "outcome": "planned"}))
    record = record_of(write(tmp_path, lines, record=False))
    assert record["actions"] == []
    assert any(entry["summary"].startswith("Would do") for entry in record["timeline"])


# -- impact -----------------------------------------------------------------------------------------------------------


def test_the_impact_is_what_another_count_of_the_same_minutes_says(tmp_path: Path) -> None:
    impact = record_of(incidents.whole(tmp_path))["impact"]
    rows = [(entry["minutes"], entry["bad"] / entry["valid"]) for entry in impact["series"]]
    down = sum(minutes for minutes, ratio in rows if ratio >= 0.05)
    assert impact["minutes"] == down == 12
    assert impact["budget_share"] == pytest.approx(12 / 43.2, abs=1e-6)
    assert (impact["bad"], impact["valid"]) == (12 * 360, len(rows) * 600)


def counts(*ratios: float, minutes: float = 1.0, valid: float = 600.0, factor: float = 1.0) -> dict[str, Any]:
    begin = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
    rows = [
        {
            "at": at(60 * number * minutes / factor, begin),
            "minutes": minutes,
            "bad": valid * ratio,
            "valid": valid,
            "p95_ms": None,
        }
        for number, ratio in enumerate(ratios)
    ]
    return {**felt(begin), "series": rows, "time_factor": factor}


@pytest.mark.parametrize(
    ("line", "minutes", "share"),
    [
        (counts(0, 0.05, 0.05, 0), 2, 2 / 43.2),
        (counts(0, 0.049, 0.049, 0), 0, 0.098 / 43.2),
        (counts(0, *[0.04] * 100), 0, 4 / 43.2),
        (counts(0, 1.0, 1.0, valid=49.0), 0, 2 / 43.2),
        (counts(0, 1.0, 1.0, minutes=5.0, factor=60.0), 10, 10 / 43.2),
    ],
    ids=["at the limit", "below it", "a little for long", "too few requests to judge", "where time runs faster"],
)
def test_a_minute_is_down_by_the_rules_of_the_error_budget(line: dict[str, Any], minutes: float, share: float) -> None:
    found = measured([line])
    assert found.minutes == pytest.approx(minutes)
    assert found.budget_share == pytest.approx(share, abs=1e-6)


def test_where_time_runs_faster_a_step_is_as_long_as_the_clock_says() -> None:
    found = measured([counts(0, 1.0, minutes=5.0, factor=60.0)])
    assert [count.end - count.at for count in found.counts] == [timedelta(seconds=5)] * 2


def test_minutes_that_two_runs_have_read_count_once_and_as_they_were_read_last() -> None:
    early, late = counts(1.0, 1.0), counts(0, 1.0, 1.0)
    assert measured([early, late]).minutes == 2
    assert len(measured([early, late]).counts) == 3


def test_a_gap_is_said_and_is_neither_up_nor_down() -> None:
    line = counts(0, 0, 0, 0, 0, 0)
    del line["series"][2:5]
    assert "In 3 of 6 minutes no request was counted" in measured([line]).why


def test_what_began_before_the_first_minute_is_said() -> None:
    assert "may have begun earlier" in measured([counts(1.0, 0)]).why


def test_a_later_run_that_could_not_read_is_said() -> None:
    why = measured([counts(0, 0), {"known": False, "why": "AccessDenied."}]).why
    assert why == "Nothing is known behind 20:02:00 UTC: AccessDenied."


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"at": "yesterday", "minutes": 1, "bad": 1, "valid": 2},
        {"at": at(0), "minutes": 1, "bad": 1, "valid": 0},
        {"at": at(0), "minutes": 1, "bad": -1, "valid": 2},
        {"at": at(0), "minutes": 1, "bad": float("nan"), "valid": 2},
        {"at": at(0), "minutes": 1e300, "bad": 1, "valid": 2},
        {"at": at(0), "minutes": 1, "bad": "1", "valid": 2},
        "bad",
    ],
)
def test_a_count_that_is_none_is_left_out(entry: Any) -> None:
    assert measured([{**counts(), "series": [entry]}]).minutes is None


# -- timeline, notices, what may be in it ----------------------------------------------------------------------------


def test_the_timeline_begins_before_the_incident_and_has_both_clocks_and_roles(tmp_path: Path) -> None:
    timeline = record_of(incidents.whole(tmp_path))["timeline"]
    assert [entry["kind"] for entry in timeline[:3]] == ["state", "alarm", "state"]
    assert timeline[0]["ts_eat"] == "2026-11-23T23:56:00.000+03:00"
    assert [entry["ts_utc"] for entry in timeline] == sorted(entry["ts_utc"] for entry in timeline)
    assert {entry["actor"] for entry in timeline} == {
        "runbook app_outage",
        "cloudwatch",
        "web service",
        "pagerduty",
        "slack",
    }
    assert "wanjiru" not in json.dumps(timeline)
    [seen] = [entry for entry in timeline if entry["summary"] == "Looked: new_release_failing"]
    assert seen["evidence"] == [
        "new_release_failing: emr-web: 61 % errors, expected under 1 % errors (cloudwatch:GetMetricData)",
        "journal, line 2",
    ]


def test_whoever_broke_glass_is_a_role(tmp_path: Path) -> None:
    broke = {"rule": "approvals", "operator": "wanjiru", "reason": "OPS-1"}
    lines = journal("r1", "emr-web", (0, "opened", {}), (1, "break_glass", broke))
    [entry] = [one for one in record_of(write(tmp_path, lines, record=False))["timeline"] if "glass" in one["summary"]]
    assert (entry["kind"], entry["actor"], "wanjiru" in entry["summary"]) == ("decision", "operator", False)


def test_of_each_message_the_newest_word_counts(tmp_path: Path) -> None:
    told = record_of(incidents.whole(tmp_path))["told"]
    assert [(one["channel"], one["event"], one["state"]) for one in told] == [
        ("pagerduty", "opened", "sent"),
        ("slack", "opened", "failed"),
        ("pagerduty", "verified", "sent"),
    ]


def test_a_state_that_nobody_knows_is_not_sent(tmp_path: Path) -> None:
    lines = journal("r1", "emr-web", (0, "opened", {}))
    run = write(
        tmp_path, lines, record=False, notices=[notice(1, "opened", "sms", "SENT"), notice(2, "closed", "sms", "")]
    )
    assert {one["state"] for one in record_of(run)["told"]} == {"unknown"}


def test_without_notices_nobody_was_told(tmp_path: Path) -> None:
    assert record_of(incidents.two_runs(tmp_path))["told"] == []


def test_a_field_that_nobody_allowed_is_not_in_the_record(tmp_path: Path) -> None:
    canary = "canary-54c1"
    run = incidents.whole(tmp_path)
    for name in ("journal.jsonl", "notifications.jsonl"):
        lines = [json.loads(line) for line in (run / name).read_text().splitlines()]
        spoilt = [{**line, "note": canary, "args": {"password": canary}, "msg": canary} for line in lines]
        spoilt = [{**line, "msg": ""} if line.get("kind") else line for line in spoilt]
        (run / name).write_text("".join(f"{json.dumps(line)}\n" for line in spoilt))
    record = json.loads((run / "record.json").read_text())
    (run / "record.json").write_text(json.dumps({**record, "note": canary, "journal": []}))
    assert canary not in json.dumps(record_of(run))


def test_times_are_found_by_the_clock_and_not_by_the_folder(tmp_path: Path) -> None:
    run = incidents.whole(tmp_path)
    run.rename(run.parent / "zz")
    later = journal("aa", "emr-web", (900, "opened", {}))
    write(tmp_path, later, record=False)
    assert record_of(run)["times"]["acknowledged"] == at(0)
    assert record_of(run)["incident"] == INCIDENT
