"""`runbook audit verify`: whether the journals of an incident are as they were written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from . import runner
from .environment import refuse_redirection, run_environment
from .errors import CommandError
from .record import find_run
from .text import clean

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from .project import Project

PLAYBOOK = "playbooks/audit.yml"


def verify_journals(project: Project, console: Console, which: str, environment: str | None) -> bool:
    """Show what each journal of an incident is worth; True when none has a fault.

    environment: whose table and bucket hold lines of them; None asks only whether the chains are whole.
    Raises CommandError when there is no such incident, or the table cannot be asked.
    """
    incident = which if environment and which.startswith("INC-") else find_run(project, which).incident
    found = _anchored(project, environment, incident) if environment else _local(project.runs_dir, project, incident)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("run", "lines", "in the table", "in the bucket", "what was found"):
        table.add_column(heading, overflow="fold")
    for one in found:
        held = (clean("not asked" if one.get(name) is None else one[name]) for name in ("anchors", "heads"))
        said = "\n".join(clean(fault) for fault in one["faults"]) or clean(one["sentence"])
        style = "red" if one["faults"] else ""
        table.add_row(clean(one["run"]), clean(one["lines"]), *held, Text(said, style))
    console.print(Text(f"Journals of {clean(incident)}", "bold"))
    console.print(table)
    return not any(one["faults"] for one in found)


def _local(runs_dir: Path, project: Project, incident: str) -> list[dict[str, Any]]:
    project.make_importable()
    from ansible_collections.daily_emr.ops.plugins.module_utils._audit import audit
    from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError

    try:
        return [one.as_result() for one in audit(runs_dir, incident)]
    except OpsError as error:
        raise CommandError(error.sentence) from error


def _anchored(project: Project, environment: str, incident: str) -> list[dict[str, Any]]:
    """The same, by the playbook: it proves where it is before it reads the table."""
    inventory = project.inventory(environment)
    refuse_redirection(os.environ, environment)
    play = runner.Play(
        project=project.root,
        playbook=project.root / PLAYBOOK,
        inventory=inventory,
        environment=run_environment(
            os.environ, project=project.root, runs_dir=project.runs_dir, sandbox=project.sandbox_dir
        ),
        inputs={"incident_id": incident},
    )
    results: list[dict[str, Any]] = []

    def keep(event: runner.Event) -> None:
        result = (event.get("event_data") or {}).get("res")
        if isinstance(result, dict) and isinstance(result.get("runs"), list):
            results.append(result)

    with runner.cancel_on_signal() as cancelled:
        finished = runner.run(play, project.runs_dir, keep, cancelled)
    if not results:
        said = finished.messages or finished.errors or [f"Ansible ended with {finished.return_code}."]
        raise CommandError(f"The table of {environment} was not asked: {clean(said[-1])}")
    found: list[dict[str, Any]] = results[-1]["runs"]
    return found
