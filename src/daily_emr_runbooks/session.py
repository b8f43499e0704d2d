"""One run of a runbook from the command line: check what came in, start it, watch it, judge it, keep the report."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from . import facts, remote, runner
from .environment import refuse_redirection, run_environment
from .errors import CommandError
from .inputs import check_break_glass, check_inputs, check_limit
from .live import LiveRun
from .outcome import GOOD, Verdict, judge
from .report import write_reports
from .runbooks import load

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from .project import Project

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
    break_glass: tuple[str, ...] = ()


def run_runbook(project: Project, console: Console, request: Request) -> Verdict:
    """Run a runbook to its verdict. Raises CommandError, before anything starts, for what cannot be run."""
    runbook = load(project, request.runbook)
    environment, check = request.environment, request.check
    inventory = project.inventory(environment)
    inputs = check_inputs(request.inputs, runbook.inputs) | check_break_glass(request.break_glass)
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
    with runner.cancel_on_signal() as cancelled, live.shown():
        if request.node is None:
            finished = runner.run(play, project.runs_dir, live.event, cancelled)
        else:
            finished = remote.run(play, request.node, project.runs_dir, live.event, cancelled)
    verdict = judge(project, finished, live.folders, components)
    show_verdict(console, verdict)
    for fault in (*finished.handler_faults, *live.faults):
        console.print(Text(f"The display had a fault, the run had not: {fault}.", "yellow"))
    return verdict


def show_verdict(console: Console, verdict: Verdict) -> None:
    """Say how it ended, and where to read on."""
    style = "bold green" if verdict.outcome in GOOD else "bold yellow" if verdict.outcome == "refused" else "bold red"
    console.print(Text(f"{verdict.outcome}: {verdict.sentence}", style), soft_wrap=True)
    for folder in verdict.folders:
        try:
            folder.keep_verdict(verdict.outcome, verdict.sentence)
            paths = write_reports(folder)
        except Exception as fault:  # noqa: BLE001 - a comfort; the outcome is already known
            console.print(Text(f"The report could not be written: {type(fault).__name__}.", "yellow"))
            paths = []
        if advice := facts.approval_advice(folder.record() or {}, folder.path / PLAN):
            console.print(Text(advice, "bold"), soft_wrap=True)
        for path in (folder.path / "record.json", *paths):
            if path.exists():
                console.print(Text(f"  {path}"), soft_wrap=True)


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
