"""What is going on is shown part by part; what is not known says so, and never looks like nothing."""

from __future__ import annotations

import io
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from daily_emr_runbooks import runner, status
from daily_emr_runbooks.errors import CommandError
from daily_emr_runbooks.status import look, open_incidents, show_status

from .conftest import JOURNAL, RECORD, write_run
from .incidents import NAME, record, refused, write_incident
from .test_cli import Run, command  # noqa: F401  # a fixture

if TYPE_CHECKING:
    from pathlib import Path

    from daily_emr_runbooks.project import Project

FREE = {"component": "emr-db", "why": "", "held": False, "owner": "", "incident": "", "run": "", "since": ""}
HELD = {
    "component": "emr-web",
    "why": "",
    "held": True,
    "owner": "wanjiru",
    "incident": "INC-1",
    "run": "r1",
    "since": "2026-11-23T20:59:58Z",
    "lease_s": 120,
}
DONE = {
    "scenario": "app_outage",
    "why": "",
    "none": False,
    "ok": True,
    "finished_at": "2026-11-01T10:20:00+00:00",
    "days": 22.4,
    "rto_s": 200.0,
    "rpo_s": 0.0,
    "key": "k",
}
OPERATIONS: dict[str, Any] = {
    "leases": [FREE, HELD],
    "changes": {"stopped": "", "why": ""},
    "rehearsals": [DONE],
}
BUDGET: dict[str, Any] = {
    "state": "OPEN",
    "sentence": "emr-web is OPEN.",
    "ledgers": {"known": True, "budget_minutes": 43.2, "budget_left_minutes": 40.1},
}


def looked(
    project: Project, *results: dict[str, Any], said: tuple[str, ...] = (), asked: list[runner.Play] | None = None
) -> tuple[str, bool]:
    """What is drawn of these results of tasks, and whether everything is known."""

    def play(one: runner.Play, keep: runner.EventHandler) -> list[str]:
        if asked is not None:
            asked.append(one)
        for result in results:
            keep({"event": "runner_on_ok", "event_data": {"res": result}})
        return list(said)

    drawn, known = look(project, "staging", play)
    text = io.StringIO()
    Console(file=text, width=220).print(drawn)
    return " ".join(text.getvalue().split()), known


def test_everything_that_is_known_is_shown(project: Project) -> None:
    asked: list[runner.Play] = []

    text, known = looked(project, OPERATIONS, BUDGET, asked=asked)

    assert known
    assert [play.playbook.name for play in asked] == ["status.yml"]
    for fact in (
        "Incidents of this machine: none is open",
        "Leases: 1 of 2 components are free",
        "emr-web wanjiru 2026-11-23 20:59:58 UTC, 23:59:58 EAT INC-1, run r1 2 min 0 s after its last sign of life",
        "Changes: nobody has stopped them",
        "app_outage succeeded 2026-11-01 10:20:00 UTC, 13:20:00 EAT 22.4 3 min 20 s 0.0 s",
        "Error budget of the month: 40.1 min of 43.2 min are left, OPEN. emr-web is OPEN.",
    ):
        assert fact in text


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"leases": [{**FREE, "held": None, "why": "AccessDenied in x"}]}, "emr-db not known: AccessDenied in x"),
        ({"changes": {"stopped": "", "why": "No table."}}, "Changes: not known: No table."),
        ({"changes": None}, "Changes: not known: "),
        ({"rehearsals": [{**DONE, "ok": None, "why": "No bucket."}]}, "app_outage not known: No bucket."),
    ],
)
def test_a_part_that_is_not_known_says_why(project: Project, changed: dict[str, Any], shown: str) -> None:
    text, known = looked(project, {**OPERATIONS, **changed}, BUDGET)

    assert shown in text
    assert not known


def test_an_environment_that_does_not_answer_has_no_empty_part(project: Project) -> None:
    text, known = looked(project, said=("The fingerprint is another one.",))

    assert not known
    for part in ("Leases", "Changes", "Rehearsals", "Error budget of the month"):
        assert f"{part}: not known: The fingerprint is another one." in text


@pytest.mark.parametrize(
    ("budget", "shown"),
    [
        ({}, "Error budget of the month: not known: No balancer."),
        ({**BUDGET, "state": "UNKNOWN", "ledgers": {"known": False}, "sentence": "No data."}, "not known: No data."),
    ],
)
def test_a_budget_that_is_not_known_hides_nothing_else(project: Project, budget: dict[str, Any], shown: str) -> None:
    text, known = looked(project, OPERATIONS, budget, said=("No balancer.",))

    assert not known
    assert shown in text
    assert "emr-web wanjiru" in text


def test_what_was_never_rehearsed_is_known(project: Project) -> None:
    text, known = looked(project, {**OPERATIONS, "rehearsals": [{**DONE, "ok": None, "none": True}]}, BUDGET)

    assert known
    assert "app_outage never here" in text


def test_a_stop_of_all_changes_is_shown(project: Project) -> None:
    text, _ = looked(
        project, {**OPERATIONS, "changes": {"stopped": "All changes are stopped by x.", "why": ""}}, BUDGET
    )

    assert "Changes: All changes are stopped by x." in text


def test_hostile_texts_are_harmless(project: Project) -> None:
    hostile = "\x1b[2J[red]x[/red]\u202e"

    text, _ = looked(project, {**OPERATIONS, "leases": [{**HELD, "owner": hostile}]}, {**BUDGET, "sentence": hostile})

    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[red]x[/red]" in text


def test_open_incidents_are_those_whose_record_or_journal_is_not_closed(project: Project) -> None:
    runs = project.runs_dir
    write_incident(runs, refused())
    write_incident(runs, record(), "INC-2")
    (write_incident(runs, record(), "INC-3") / "incident.json").write_text("{", encoding="utf-8")
    write_run(runs, JOURNAL, RECORD, "INC-4")
    write_run(runs, JOURNAL[:-1], None, "INC-5")
    write_run(runs, [{**JOURNAL[0], "mode": "plan"}], None, "INC-6")

    found = {one.name: one for one in open_incidents(runs)}

    assert found.keys() == {NAME, "INC-3", "INC-5"}
    assert "cannot be read" in found["INC-3"].why
    assert found["INC-5"].title == "The application is down"
    text, known = looked(project, OPERATIONS, BUDGET)
    assert not known
    assert "INC-3" in text
    assert "not known: " in text


def test_a_look_leaves_nothing_behind(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def ran(play: runner.Play, runs: Path, keep: Any, _cancelled: Any) -> runner.Finished:
        folder = runs / ".runner" / "x"
        folder.mkdir(parents=True)
        for result in (OPERATIONS, BUDGET):
            keep({"event": "runner_on_ok", "event_data": {"res": json.loads(json.dumps(result))}})
        assert play.environment["DAILY_EMR_RUNS"] == str(runs)
        return runner.Finished("successful", 0, folder / "output.txt")

    monkeypatch.setattr(runner, "run", ran)

    assert show_status(project, Console(file=io.StringIO()), "staging", watch=False)
    assert not list((project.runs_dir / ".runner").iterdir())


def test_a_watch_draws_again_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "PAUSE_SECONDS", 0)
    cancelled, looks, text = threading.Event(), [], io.StringIO()

    def once() -> tuple[Any, bool]:
        looks.append(1)
        if len(looks) == 3:
            cancelled.set()
        return status.Group(("first", "second", "third")[len(looks) - 1]), True

    console = Console(file=text, width=80, force_terminal=True)

    assert status._watch(console, "staging", cancelled, once)
    assert "second" in text.getvalue()
    assert "third" not in text.getvalue(), "a look that was stopped is not whole"


def test_the_shell_may_not_send_the_calls_elsewhere(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")

    with pytest.raises(CommandError, match="AWS_ENDPOINT_URL is set"):
        show_status(project, Console(), "staging", watch=False)


@pytest.mark.usefixtures("project")
def test_the_command_without_an_environment_shows_this_machine(command: Run) -> None:  # noqa: F811
    code, output, _ = command("status")

    assert code == 0
    assert "Incidents of this machine: none is open" in output
    assert "Name an environment" in output
    assert command("status", "--watch")[0] == 2
    assert command("status", "-i", "prod")[0] == 2
