"""The display: driven by the journal, useful without a terminal, harmless when it breaks."""

from __future__ import annotations

import io
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from daily_emr_runbooks import facts
from daily_emr_runbooks.live import LiveRun

from .conftest import JOURNAL, line, write_run

if TYPE_CHECKING:
    from pathlib import Path


def shown(*, terminal: bool = False) -> tuple[LiveRun, io.StringIO]:
    output = io.StringIO()
    return LiveRun(Console(file=output, force_terminal=terminal, width=100, color_system=None)), output


def opened(folder: Path) -> dict[str, Any]:
    return {"event": "runner_on_ok", "event_data": {"res": {"incident": {"folder": str(folder)}}}}


def test_the_journal_becomes_plain_lines_where_there_is_no_terminal(tmp_path: Path) -> None:
    live, output = shown()
    folder = write_run(tmp_path, JOURNAL, None)

    with live.shown():
        live.event(opened(folder.path))

    text = output.getvalue()
    for fact in (
        "INC-7 opened on emr-web",
        "✗ error_ratio_high  service web: 31 %, expected under 5 %",
        "? database_slow  service web: not known: could not read the database: AccessDenied",
        "1 of 3 readings are as expected",
        "The newest release fails.",
        "not wedged_tasks: no task hangs",
        "refused: No deployment runs.",
        "revision: 3 → 2",
        "roll_back_release on service/web: ok",
        "20 of 20 looks were good.",
    ):
        assert fact in text
    assert "\x1b" not in text
    assert live.faults == []


def test_a_run_that_was_refused_at_its_start_is_found_by_its_record(tmp_path: Path) -> None:
    live, output = shown()
    folder = write_run(tmp_path, JOURNAL[:1], None)

    with live.shown():
        live.event({"event": "runner_on_failed", "event_data": {"res": {"record": str(folder.path / "record.json")}}})

    assert live.folders == [folder]
    assert "INC-7 opened" in output.getvalue()


def test_lines_that_are_written_while_the_run_goes_are_shown_once(tmp_path: Path) -> None:
    live, output = shown()
    folder = write_run(tmp_path, JOURNAL[:1], None)

    with live.shown():
        live.event(opened(folder.path))
        with (folder.path / "journal.jsonl").open("a") as journal:
            journal.write(json.dumps(JOURNAL[2]) + "\n")
        live.event(opened(folder.path))

    assert output.getvalue().count("opened on") == 1
    assert output.getvalue().count("The newest release fails.") == 1


def test_a_terminal_gets_a_line_that_moves(tmp_path: Path) -> None:
    live, output = shown(terminal=True)

    with live.shown():
        live.event(opened(write_run(tmp_path, JOURNAL[:2], None).path))

    assert "diagnose" in output.getvalue()
    assert "close" in output.getvalue()


def test_the_line_that_moves_is_drawn_while_another_thread_shows_the_journal() -> None:
    # The thread that redraws holds the terminal; a thread that shows the journal holds the display and wants the
    # terminal. Were drawing to wait for the display, both would wait for ever.
    live, _ = shown(terminal=True)
    drawn = threading.Thread(target=live._status_line, daemon=True)

    with live._lock:
        drawn.start()
        drawn.join(timeout=30)

        assert not drawn.is_alive()


def test_hostile_text_cannot_move_the_cursor(tmp_path: Path) -> None:
    live, output = shown()
    journal = [JOURNAL[0] | {"component": "\x1b[2J\r[red]x[/red]\u202e"}]

    with live.shown():
        live.event(opened(write_run(tmp_path, journal, None).path))
        live.event({"event": "verbose", "stdout": "  emr-web: \x1b[2Jsettling"})

    assert r"\x1b[2J\r[red]x[/red]\u202e" in output.getvalue()
    assert "\x1b" not in output.getvalue()


def test_a_plan_shows_what_would_change(tmp_path: Path) -> None:
    live, output = shown()
    step = {"step": "roll_back_release", "target": "service/web", "diff": {"before": {"r": 3}, "after": {"r": 2}}}
    planned = line("looked", "21:00:04.000", outcome="planned", **step)

    with live.shown():
        live.event(opened(write_run(tmp_path, [planned], None).path))

    assert "would do roll_back_release on service/web" in output.getvalue()
    assert "r: 3 → 2" in output.getvalue()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"known": True, "sentence": "9 of 90 requests failed."}, "9 of 90 requests failed."),
        ({"known": False, "why": "AccessDenied."}, "What users felt is not known: AccessDenied."),
        ({}, "What users felt is not known: nothing says why"),
    ],
)
def test_what_users_felt_is_shown_and_unknown_is_said(tmp_path: Path, body: dict[str, object], says: str) -> None:
    live, output = shown()

    with live.shown():
        live.event(opened(write_run(tmp_path, [line("impact", "21:00:04.000", **body)], None).path))

    assert says in output.getvalue()


def test_a_refusal_is_told_once_though_it_comes_twice(tmp_path: Path) -> None:
    live, output = shown()

    with live.shown():
        live.event(opened(write_run(tmp_path, JOURNAL, None).path))
        live.event({"event": "runner_on_failed", "event_data": {"res": {"msg": "No deployment runs."}}})

    assert output.getvalue().count("No deployment runs.") == 1


def test_progress_of_a_wait_is_shown_and_ansibles_own_words_are_not() -> None:
    live, output = shown()

    for text in (
        "  emr-web: 2 of 20 looks were good",
        "PLAY [App outage] ****",
        "[WARNING]: something",
        "",
        "ok: [emr-web]",
    ):
        live.event({"event": "verbose", "stdout": text})

    assert output.getvalue() == "… emr-web: 2 of 20 looks were good\n"


def test_a_journal_that_cannot_be_shown_is_a_fault_of_the_display_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, _ = shown()

    def broken(_: object) -> None:
        raise ValueError

    monkeypatch.setattr(live, "show", broken)
    live.folders.append(write_run(tmp_path, JOURNAL, None))
    with live.shown():
        pass

    assert live.faults == ["ValueError while showing the journal"]


def test_a_plan_that_needs_approval_says_how_to_have_it_and_one_that_needs_nobody_says_nothing(tmp_path: Path) -> None:
    record = {"outcome": "planned", "environment": "production", "runbook": "app_outage"}
    planned = {"plan": "0f2c88d1-9be41c20-5f8e", "approvals": 1}
    said = facts.approval_advice({**record, "plan": planned}, tmp_path / "plan.json")
    assert f"playbooks/approve.yml -e approval_plan={tmp_path}/plan.json" in said
    assert "runbook run app_outage -i production --approve 0f2c88d1-9be41c20-5f8e" in said
    assert facts.approval_advice({**record, "plan": {**planned, "approvals": 0}}, tmp_path) == ""
    assert facts.approval_advice({**record, "outcome": "succeeded", "plan": planned}, tmp_path) == ""


def test_plan_and_broken_glass_are_shown(tmp_path: Path) -> None:
    live, output = shown()
    lines = [
        line("planned", "21:00:04.000", plan="0f2c88d1-9be41c20-5f8e", approvals=2),
        line("break_glass", "21:00:04.100", rule="cooldown", reason="OPS-7", operator="wanjiru"),
        line(
            "break_glass", "21:00:04.200", rule="lease_table", reason="OPS-7", operator="wanjiru", unchecked="the lease"
        ),
    ]

    with live.shown():
        live.event(opened(write_run(tmp_path, lines, None).path))

    assert "The plan is 0f2c88d1-9be41c20-5f8e, and needs 2 approvals" in output.getvalue()
    assert "cooldown was lifted by wanjiru: OPS-7" in output.getvalue()
    assert "lease_table was lifted by wanjiru: OPS-7. Not checked: the lease." in output.getvalue()
