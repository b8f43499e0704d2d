"""One run of a runbook from the command line: check what came in, start it, watch it, judge it, keep the report."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.text import Text

from . import facts, remote, runner
from .environment import refuse_redirection, run_environment
from .errors import CommandError
from .incident_page import write_incident
from .inputs import check_break_glass, check_inputs, check_limit, text_of
from .live import LiveRun
from .outcome import GOOD, Verdict, judge
from .report import write_reports
from .runbooks import load, read
from .supervisor import longest_silence_s, supervised

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rich.console import Console

    from .project import Project
    from .record import RunFolder

SANDBOX = "sandbox"
PLAN = "plan.json"


@dataclass(frozen=True)
class Request:
    """What the operator asked for; nothing of it is trusted yet."""

    runbook: str
    environment: str
    inputs: tuple[str, ...] = ()
    limit: str | None = None
    check: bool = False
    node: str | None = None
    playbook: Path | None = None
    """A playbook that is no runbook, and takes components through an incident all the same."""
    kept: Mapping[str, Any] = field(default_factory=dict)
    """Inputs that an earlier run was given; they are checked again."""
    break_glass: tuple[str, ...] = ()


def run_runbook(project: Project, console: Console, request: Request) -> Verdict:
    """Run a runbook to its verdict. Raises CommandError, before anything starts, for what cannot be run."""
    runbook = read(project, request.playbook) if request.playbook else load(project, request.runbook)
    environment, check = request.environment, request.check
    inventory = project.inventory(environment)
    given = {word.partition("=")[0] for word in request.inputs}
    words = [f"{name}={text_of(value)}" for name, value in request.kept.items() if name not in given and value != ""]
    inputs = check_inputs((*words, *request.inputs), runbook.inputs) | check_break_glass(request.break_glass)
    components = check_limit(
        request.limit, project.components(environment, runbook.targets), runbook.targets, environment
    )
    refuse_redirection(os.environ, environment)
    if environment == SANDBOX and request.node is None:
        require_sandbox(project)

    how = "Plan of" if check else "Running"
    where = f", from {request.node}" if request.node else ""
    console.print(
        Text(f"{how} {runbook.name} on {', '.join(components)} in {environment}{where}: {runbook.title}", "bold")
    )
    play = runner.Play(
        project=project.root,
        playbook=runbook.path,
        inventory=inventory,
        environment=run_environment(
            os.environ, project=project.root, runs_dir=project.runs_dir, sandbox=project.sandbox_dir
        ),
        inputs=inputs,
        limit=",".join(components) if request.limit else None,
        check=check,
    )
    live = LiveRun(console)
    finished, stopped = _start(project, play, request.node, live, longest_silence_s(runbook.inputs, inputs))
    verdict = judge(project, finished, live.folders, components)
    show_verdict(console, verdict)
    if stopped:
        for incident in dict.fromkeys(folder.incident for folder in live.folders):
            console.print(Text(f"Go on with: runbook resume {incident}", "bold"))
    for fault in (*finished.handler_faults, *live.faults):
        console.print(Text(f"The display had a fault, the run had not: {fault}.", "yellow"))
    return verdict


def _start(
    project: Project, play: runner.Play, node: str | None, live: LiveRun, silence_s: float
) -> tuple[runner.Finished, bool]:
    """Run the playbook here or on a node, until nothing of it lives; the second is whether it was told to stop."""
    if node is not None:
        with runner.cancel_on_signal() as cancelled, live.shown():
            return remote.run(play, node, project.runs_dir, live.event, cancelled), cancelled.is_set()
    with live.shown(), supervised(project, lambda: live.folders, live.say, silence_s) as supervisor:
        finished = runner.run(play, project.runs_dir, supervisor.watching(live.event), supervisor.stop)
    finished.lost = finished.lost or supervisor.lost
    return finished, bool(supervisor.reason)


def show_verdict(console: Console, verdict: Verdict) -> None:
    """Say how it ended, and where to read on."""
    style = "bold green" if verdict.outcome in GOOD else "bold yellow" if verdict.outcome == "refused" else "bold red"
    console.print(Text(f"{verdict.outcome}: {verdict.sentence}", style), soft_wrap=True)
    for folder in verdict.folders:
        with _comfort(console):
            folder.keep_verdict(verdict.outcome, verdict.sentence)
        paths = _written(console, write_reports, folder)
        if advice := facts.approval_advice(folder.record() or {}, folder.path / PLAN):
            console.print(Text(advice, "bold"), soft_wrap=True)
        for path in (folder.path / "record.json", *paths):
            if path.exists():
                console.print(Text(f"  {path}"), soft_wrap=True)
    # Once for all runs of an incident, when each of them has its verdict.
    for folder in {folder.path.parent: folder for folder in verdict.folders}.values():
        for path in _written(console, write_incident, folder):
            console.print(Text(f"  {path}"), soft_wrap=True)


def _written(console: Console, write: Callable[[RunFolder], list[Path]], folder: RunFolder) -> list[Path]:
    """The pages that were written; none where that did not succeed, which is said."""
    with _comfort(console):
        return write(folder)
    return []


@contextmanager
def _comfort(console: Console) -> Iterator[None]:
    """What fails here is said and changes nothing: the outcome is already known."""
    try:
        yield
    except Exception as fault:  # noqa: BLE001 - see above
        console.print(Text(f"The report could not be written: {type(fault).__name__}.", "yellow"))


def require_sandbox(project: Project) -> None:
    """Raise CommandError unless a sandbox is running (a daemon that died leaves its file behind)."""
    state = project.sandbox_dir / "sandbox.json"
    if not _alive(state):
        raise CommandError(f"No sandbox is running in {project.sandbox_dir}: start one with `runbook sandbox up`.")


def _alive(state: Path) -> bool:
    try:
        os.kill(int(json.loads(state.read_text(encoding="utf-8"))["pid"]), 0)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True
