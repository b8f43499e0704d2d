"""What users felt, by the ledger of the traffic and not by the runbook's own word."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from daily_emr_runbooks.drill import Consultations, Users, compare, show_summary, this_command
from daily_emr_runbooks.outcome import Verdict

BROKEN_AT = datetime(2026, 11, 23, 21, 0, 0, tzinfo=UTC)
BEGAN_AT = BROKEN_AT - timedelta(seconds=20)


def at(seconds: float) -> str:
    """A time of the ledger, from the break on."""
    return (BROKEN_AT + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def ledger(**body: Any) -> dict[str, Any]:
    times = {"last_ok_at": None, "last_error_at": None, "first_error_at": None, "recovered_at": None}
    return {"requests": 0, "errors": 0, "acknowledged": 0, "lost": 0} | times | body


@pytest.mark.parametrize(
    ("after", "recovered", "outage"),
    [
        (ledger(errors=5, first_error_at=at(-10.0), recovered_at=at(31.5)), 31.5, 41.5),
        (ledger(errors=5, first_error_at=at(-10.0), recovered_at=at(-5.0)), 0.0, 5.0),
        (ledger(errors=5, first_error_at=at(-10.0)), None, None),
        (ledger(errors=5, first_error_at=at(-100.0), recovered_at=at(31.5)), 31.5, 51.5),
        (ledger(), 0.0, 0.0),
    ],
    ids=["recovered", "before it was in effect", "still failing", "failed before the drill", "not felt"],
)
def test_recovery_is_the_first_good_answer_after_the_last_error(
    after: dict[str, Any], recovered: float | None, outage: float | None
) -> None:
    users = compare(ledger(), after, BEGAN_AT, BROKEN_AT)

    assert (users.recovered_after_s, users.outage_s) == (recovered, outage)


def test_an_outage_of_an_earlier_drill_does_not_count() -> None:
    before = ledger(errors=5, first_error_at=at(-500.0), recovered_at=at(-400.0))

    assert compare(before, before, BEGAN_AT, BROKEN_AT).outage_s == 0.0


def test_counts_are_those_of_the_drill_alone_and_lost_writes_are_all() -> None:
    before = ledger(requests=100, errors=5, acknowledged=50, lost=1)
    after = ledger(requests=160, errors=25, acknowledged=70, lost=1, first_error_at=at(-1.0), recovered_at=at(10.0))

    assert compare(before, after, BEGAN_AT, BROKEN_AT) == Users(10.0, 11.0, 60, 20, 20, 1)


@pytest.mark.parametrize(
    ("users", "words"),
    [
        (Users(31.5, 41.5, 60, 20, 20, 0), ["answered again 31.5 s after", "outage of 41.5 s", "20 failed", "0 lost"]),
        (Users(None, None, 60, 20, 20, None), ["requests still fail", "the database cannot be asked"]),
        (Users(0.0, 0.0, 60, 0, 20, 0), ["no request failed"]),
    ],
)
def test_the_summary_never_calls_an_outage_over_that_is_not(users: Users, words: list[str]) -> None:
    output = io.StringIO()

    show_summary(Console(file=output, width=200), Verdict("unknown", "Look.", 7), users, Consultations(0, 0))

    for word in words:
        assert word in output.getvalue()
    assert ("answered again" in output.getvalue()) == (users.recovered_after_s is not None and users.errors > 0)


@pytest.mark.parametrize(
    ("patients", "words"),
    [
        (Consultations(12, 0), "consultations: 12 could not be joined; of those that ran, 0 dropped"),
        (Consultations(0, 1), "consultations: 0 could not be joined; of those that ran, 1 dropped"),
    ],
)
def test_the_summary_tells_of_consultations_that_suffered(patients: Consultations, words: str) -> None:
    output, quiet = io.StringIO(), io.StringIO()
    users, verdict = Users(0.0, 0.0, 60, 0, 20, 0), Verdict("succeeded", "Done.", 0)

    show_summary(Console(file=output, width=200), verdict, users, patients)
    show_summary(Console(file=quiet, width=200), verdict, users, Consultations(0, 0))

    assert words in output.getvalue()
    assert "consultations" not in quiet.getvalue()


def test_the_command_that_ends_the_sandbox_is_found_without_the_virtual_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / ".venv/bin/runbook"), "drill"])
    assert this_command() == ".venv/bin/runbook"
    monkeypatch.setattr(sys, "argv", ["/opt/bin/runbook", "drill"])
    assert this_command() == "/opt/bin/runbook"
