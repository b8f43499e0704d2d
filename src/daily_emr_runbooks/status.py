"""`runbook status`: what is going on, for a terminal. What an environment says comes from playbooks/status.yml."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from . import facts, runner
from .environment import refuse_redirection, run_environment
from .errors import CommandError
from .postmortem.incident import FILE, read_incident
from .postmortem.people import Names
from .record import JOURNAL, RunFolder
from .text import clean, seconds
from .timeline import both_clocks

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console, RenderableType

    from .project import Project

PLAYBOOK = "playbooks/status.yml"
PAUSE_SECONDS = 30
"""Between two looks: each takes seconds of a processor, and a person reads no faster."""
NOT_KNOWN = "not known"
Json = dict[str, Any]
Player = Callable[[runner.Play, runner.EventHandler], list[str]]
"""Runs a play, hands on its events, and returns what failed tasks said."""


@dataclass(frozen=True)
class Answer:
    """What an environment says of itself. why: why a part that is missing is not known."""

    operations: Json = field(default_factory=dict)
    budget: Json = field(default_factory=dict)
    why: str = "it was not asked"


@dataclass(frozen=True)
class OpenIncident:
    """An incident of this machine that is not closed. why: why nothing is known of it; empty where something is."""

    name: str
    severity: str = ""
    title: str = ""
    since: str = ""
    why: str = ""


def show_status(project: Project, console: Console, environment: str | None, *, watch: bool) -> bool:
    """Show what is going on, once or until a signal; True when every part is known.

    environment: whose leases, rehearsals and budget are shown; None shows the incidents of this machine alone.
    Raises CommandError where there is no such environment, or the shell would send the calls elsewhere.
    """
    if environment is None and watch:
        raise CommandError("--watch looks at an environment again and again: name one, -i staging.")
    if environment is None:
        found = open_incidents(project.runs_dir)
        console.print(incidents_part(found))
        console.print(Text("Name an environment for leases, rehearsals and the error budget: -i staging."))
        return not any(one.why for one in found)
    project.inventory(environment)
    refuse_redirection(os.environ, environment)
    with runner.cancel_on_signal() as cancelled:

        def play(one: runner.Play, keep: runner.EventHandler) -> list[str]:
            return _played(project, one, keep, cancelled)

        if watch:
            return _watch(console, environment, cancelled, lambda: look(project, environment, play))
        drawn, known = look(project, environment, play)
        if cancelled.is_set():
            raise CommandError(f"{environment} was not looked at to the end, because the look was stopped: look again.")
        console.print(drawn)
        return known


def _watch(
    console: Console, environment: str, cancelled: threading.Event, looked: Callable[[], tuple[Group, bool]]
) -> bool:
    """Draw one look over the other until cancelled; whether the last whole one knew every part."""
    known, ending = False, Text(f"Looks again every {PAUSE_SECONDS} s; Ctrl-C ends it.", "dim")
    # On a terminal that is too short a part would be cut off, and look as if there were none.
    first = Text(f"Looking at {environment} …")
    with Live(first, console=console, auto_refresh=False, vertical_overflow="visible") as live:
        while not cancelled.is_set():
            drawn, now_known = looked()
            if not cancelled.is_set():
                known = now_known
                live.update(Group(drawn, ending), refresh=True)
                cancelled.wait(PAUSE_SECONDS)
    return known


def look(project: Project, environment: str, play: Player) -> tuple[Group, bool]:
    """One look at everything, drawn; and whether every part is known."""
    answer = ask(project, environment, play)
    found = open_incidents(project.runs_dir)
    at = both_clocks(datetime.now(UTC).isoformat())
    parts = (
        incidents_part(found),
        leases_part(answer),
        changes_part(answer),
        rehearsals_part(answer),
        budget_part(answer),
    )
    return Group(Text(f"{environment} at {at}", "bold"), *parts), is_known(answer, found)


def ask(project: Project, environment: str, play: Player) -> Answer:
    """Let the environment say what is going on."""
    results: dict[str, Json] = {}

    def keep(event: runner.Event) -> None:
        result = (event.get("event_data") or {}).get("res")
        if event.get("event") != "runner_on_ok" or not isinstance(result, dict):
            return
        if isinstance(result.get("leases"), list):
            results["operations"] = result
        elif isinstance(result.get("ledgers"), dict):
            results["budget"] = result

    said = play(
        runner.Play(
            project=project.root,
            playbook=project.root / PLAYBOOK,
            inventory=project.inventory(environment),
            environment=run_environment(
                os.environ, project=project.root, runs_dir=project.runs_dir, sandbox=project.sandbox_dir
            ),
        ),
        keep,
    )
    why = said[-1] if said else "nothing was answered"
    return Answer(results.get("operations", {}), results.get("budget", {}), clean(why))


def _played(project: Project, play: runner.Play, keep: runner.EventHandler, cancelled: threading.Event) -> list[str]:
    finished = runner.run(play, project.runs_dir, keep, cancelled)
    # A look is no run: of many of them nothing is kept.
    shutil.rmtree(finished.output.parent, ignore_errors=True)
    return finished.messages or finished.errors


def is_known(answer: Answer, found: list[OpenIncident]) -> bool:
    """Whether no part is unknown. That nothing was rehearsed is known."""
    leases = answer.operations.get("leases") or []
    told = bool(leases) and not any(one.get("held") is None for one in leases)
    state = answer.budget.get("state")
    budget = state is not None and state != "UNKNOWN"
    changes = not (answer.operations.get("changes") or {}).get("why", "unknown")
    rehearsed = all(one.get("ok") is not None or one.get("none") for one in answer.operations.get("rehearsals") or [])
    return told and changes and budget and rehearsed and not any(one.why for one in found)


def open_incidents(runs_dir: Path) -> list[OpenIncident]:
    """The incidents of this machine that are still open, by their records; without one, by their journals."""
    folders = sorted(path for path in runs_dir.glob("INC-*") if path.is_dir())
    return [one for folder in folders for one in _open_in(folder)]


def _open_in(folder: Path) -> Iterator[OpenIncident]:
    if (folder / FILE).exists():
        try:
            incident = read_incident(folder, Names())
        except CommandError as error:
            yield OpenIncident(folder.name, why=error.sentence)
            return
        if incident.record["state"] != "closed":
            since = incident.at("detected") or incident.at("impact_began")
            at = both_clocks(since.isoformat()) if since else NOT_KNOWN
            yield OpenIncident(folder.name, incident.severity, clean(incident.record["title"]), at)
        return
    for path in sorted(folder.glob(f"*/{JOURNAL}")):
        lines = RunFolder(path.parent).journal()
        first = next((line for line in lines if line.get("kind") == "opened"), {})
        if first.get("mode") != "plan" and not any(line.get("kind") == "closed" for line in lines):
            title, severity = (clean(first.get(name) or "") for name in ("title", "severity"))
            yield OpenIncident(
                folder.name, severity, title or "its run goes on, or was killed", both_clocks(first.get("at"))
            )
            return


def _table(title: str, *headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left", title_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _unknown(part: str, why: str) -> Text:
    return Text(f"{part}: {NOT_KNOWN}: {clean(why)}", "yellow")


def incidents_part(found: list[OpenIncident]) -> RenderableType:
    if not found:
        return Text("Incidents of this machine: none is open")
    table = _table("Incidents of this machine that are open", "incident", "severity", "since", "what")
    for one in found:
        said = f"{NOT_KNOWN}: {one.why}" if one.why else one.title
        table.add_row(*map(clean, (one.name, one.severity, one.since, said)), style="yellow" if one.why else "")
    return table


def leases_part(answer: Answer) -> RenderableType:
    leases = [one for one in answer.operations.get("leases") or [] if isinstance(one, dict)]
    if not leases:
        return _unknown("Leases", answer.why)
    free = sum(one.get("held") is False for one in leases)
    table = _table(
        f"Leases: {free} of {len(leases)} components are free", "component", "who", "since", "incident", "lasts"
    )
    for one in leases:
        component = clean(one.get("component"))
        if one.get("held") is None:
            table.add_row(component, f"{NOT_KNOWN}: {clean(one.get('why'))}", "", "", "", style="yellow")
        elif one["held"]:
            incident = f"{clean(one.get('incident'))}, run {clean(one.get('run'))}"
            # The table has no time of the last sign of life, so nobody can say how much of it is left.
            lasts = f"{seconds(facts.number(one.get('lease_s')))} after its last sign of life"
            table.add_row(component, clean(one.get("owner")), both_clocks(one.get("since")), incident, lasts)
    return table if table.row_count else Text(f"Leases: all {len(leases)} components are free")


def changes_part(answer: Answer) -> RenderableType:
    changes = answer.operations.get("changes")
    if not isinstance(changes, dict) or changes.get("why"):
        return _unknown("Changes", changes["why"] if isinstance(changes, dict) else answer.why)
    stopped = changes.get("stopped")
    return Text(f"Changes: {clean(stopped)}", "red") if stopped else Text("Changes: nobody has stopped them")


def rehearsals_part(answer: Answer) -> RenderableType:
    rehearsals = [one for one in answer.operations.get("rehearsals") or [] if isinstance(one, dict)]
    if not rehearsals:
        return _unknown("Rehearsals", answer.why)
    table = _table("Last rehearsals", "scenario", "result", "when", "days ago", "RTO", "RPO")
    for one in rehearsals:
        if one.get("ok") is None:
            said = "never here" if one.get("none") else f"{NOT_KNOWN}: {clean(one.get('why'))}"
            table.add_row(clean(one.get("scenario")), said, "", "", "", "", style="yellow")
            continue
        result = "succeeded" if one["ok"] else "did not succeed"
        rto, rpo = (seconds(facts.number(one.get(name))) for name in ("rto_s", "rpo_s"))
        days = clean(one.get("days"))
        when = both_clocks(one.get("finished_at"))
        table.add_row(clean(one.get("scenario")), result, when, days, rto, rpo, style="" if one["ok"] else "red")
    return table


def budget_part(answer: Answer) -> RenderableType:
    ledgers = answer.budget.get("ledgers")
    if not isinstance(ledgers, dict):
        return _unknown("Error budget of the month", answer.why)
    left = facts.number(ledgers.get("budget_left_minutes"))
    if not ledgers.get("known") or left is None:
        return _unknown("Error budget of the month", answer.budget.get("sentence") or answer.why)
    of, state = facts.number(ledgers.get("budget_minutes")), clean(answer.budget.get("state"))
    total = f" of {of:.1f} min" if of is not None else ""
    said = f"Error budget of the month: {left:.1f} min{total} are left, {state}. {clean(answer.budget.get('sentence'))}"
    return Text(said, "" if state == "OPEN" else "yellow")
