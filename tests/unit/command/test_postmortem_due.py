"""What is to be published is listed until it is, and its deadline cannot pass unseen."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from daily_emr_runbooks.postmortem.reminders import reminders

from .incidents import FULL, NAME, record, refused, small, unknown_impact, write_incident
from .test_cli import Run, command  # noqa: F401  # a fixture

if TYPE_CHECKING:
    from pathlib import Path

    from daily_emr_runbooks.project import Project

RESOLVED = datetime(2026, 11, 23, 22, 30, tzinfo=UTC)


def after(hours: float) -> datetime:
    return RESOLVED + timedelta(hours=hours)


@pytest.mark.parametrize(
    ("hours", "left", "mark"),
    [
        (0, 48, ""),
        (23.9, 24.1, ""),
        (24, 24, "reminder 24 h"),
        (36, 12, "reminder 36 h"),
        (44, 4, "reminder 44 h"),
        (48, 0, "reminder 44 h"),
        (48.1, -0.1, "OVERDUE: tell the incident commander"),
    ],
)
def test_people_are_reminded_at_24_36_and_44_hours_and_told_at_48(
    tmp_path: Path, hours: float, left: float, mark: str
) -> None:
    write_incident(tmp_path, record())

    (one,) = reminders(tmp_path, after(hours))

    assert one.hours_left == pytest.approx(left)
    assert one.mark == mark
    assert one.alarming is mark.startswith("OVERDUE")
    assert one.status == "not begun"
    assert "2026-11-25 22:30:00 UTC, 2026-11-26 01:30:00 EAT" in one.due


@pytest.mark.parametrize(
    ("status", "listed"),
    [("Draft", True), ("In Review", True), ("Reviewed", False), ("Closed", False), ("", True), ("reviewed?", True)],
)
def test_it_is_listed_until_it_is_reviewed(tmp_path: Path, status: str, listed: bool) -> None:
    folder = write_incident(tmp_path, record())
    (folder / "postmortem.md").write_text(f"# P\n\n| | |\n|---|---|\n| Status | {status} |\n", encoding="utf-8")

    assert bool(reminders(tmp_path, after(50))) is listed


def test_a_status_in_a_block_of_code_publishes_nothing(tmp_path: Path) -> None:
    folder = write_incident(tmp_path, record())
    (folder / "postmortem.md").write_text("```\n| Status | Closed |\n```\n", encoding="utf-8")

    (one,) = reminders(tmp_path, after(1))

    assert one.status == "without status"


@pytest.mark.parametrize(
    ("found", "listed"), [(small(), False), (unknown_impact(), True), (refused(), False), (record(), True)]
)
def test_only_what_needs_one_is_listed(tmp_path: Path, found: dict[str, Any], listed: bool) -> None:
    write_incident(tmp_path, found)

    assert bool(reminders(tmp_path, after(1))) is listed


def test_one_that_was_begun_without_need_is_listed_too(tmp_path: Path) -> None:
    folder = write_incident(tmp_path, small())
    (folder / "postmortem.md").write_text("| Status | Draft |", encoding="utf-8")

    assert [one.status for one in reminders(tmp_path, after(1))] == ["Draft"]


def test_an_incident_that_is_not_resolved_is_not_overdue(tmp_path: Path) -> None:
    write_incident(tmp_path, record(times={**FULL["times"], "resolved": None}))

    (one,) = reminders(tmp_path, after(500))

    assert (one.hours_left, one.alarming, one.due) == (None, False, "48 h after it is resolved")


def test_what_cannot_be_read_may_be_overdue_and_comes_first(tmp_path: Path) -> None:
    write_incident(tmp_path, record())
    (write_incident(tmp_path, record(), "INC-2") / "incident.json").write_text("{", encoding="utf-8")
    (write_incident(tmp_path, record(), "INC-3") / "incident.json").unlink()

    found = reminders(tmp_path, after(1))

    assert [(one.incident, one.alarming) for one in found] == [("INC-2", True), ("INC-3", True), (NAME, False)]
    assert "cannot be read as JSON" in found[0].due
    assert "INC-3 has no incident.json yet" in found[1].due


@pytest.mark.parametrize("body", [{"mode": "plan", "severity": "SEV1"}, {"mode": "run", "severity": "SEV3"}])
def test_a_plan_or_a_small_run_without_a_record_needs_nothing(tmp_path: Path, body: dict[str, str]) -> None:
    run = tmp_path / "INC-4" / "r1"
    run.mkdir(parents=True)
    (run / "record.json").write_text(json.dumps(body), encoding="utf-8")

    assert reminders(tmp_path, after(1)) == []


def test_the_exit_code_tells_a_schedule_whether_one_is_overdue(project: Project, command: Run) -> None:  # noqa: F811
    assert command("postmortem", "--due")[0] == 0
    soon = datetime.now(UTC) - timedelta(hours=30)
    write_incident(project.runs_dir, record(times={**FULL["times"], "resolved": soon.isoformat()}))
    code, output, _ = command("postmortem", "--due")
    assert code == 0
    assert "reminder 24 h" in output

    write_incident(project.runs_dir, record(), "INC-1")
    code, output, _ = command("postmortem", "--due")

    assert code == 1
    assert "OVERDUE" in output
