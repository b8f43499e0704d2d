"""What `runbook postmortem` does and prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from ..text import clean
from .draft import POSTMORTEM, write_draft
from .incident import find_incident
from .jira import Site, send
from .lint import lint_file
from .privacy import answered
from .reminders import reminders

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

    from ..project import Project
    from .privacy import Exposure


def draft(
    project: Project,
    console: Console,
    name: str,
    exposure: Exposure | None,
    aware_at: str | None,
    now: datetime,
    *,
    again: bool,
) -> None:
    """Write the draft, say where it is, by when it is published, and which clocks run."""
    incident = find_incident(project, name)
    path, privacy = write_draft(incident, answered(exposure, aware_at, now), again=again)
    mandatory, why = incident.mandatory
    needed = "has to be published 48 h after the incident is resolved" if mandatory else "need not be published"
    console.print(Text(clean(f"The post-mortem of {name} {needed}: {why}.")), soft_wrap=True)
    for clock in privacy.clocks:
        late = " (is over)" if clock.at < now else ""
        console.print(Text(f"T+{clock.hours} h, {clock.both}: {clock.what}{late}"), soft_wrap=True)
    if privacy.clocks:
        console.print(Text("Nothing of this is sent by the command: the DPO decides."), soft_wrap=True)
    console.print(Text(str(path)), soft_wrap=True)


def show_findings(project: Project, console: Console, name: str) -> bool:
    """Print what the lint finds, a line each; True when there is nothing."""
    incident = find_incident(project, name)
    findings = lint_file(incident)
    for finding in findings:
        console.print(Text(finding.sentence), soft_wrap=True)
    path = incident.folder / POSTMORTEM
    said = f"{len(findings)} to be written otherwise" if findings else "nothing to be written otherwise"
    console.print(Text(f"{path}: {said}", "red" if findings else "green"), soft_wrap=True)
    return not findings


def send_actions(project: Project, console: Console, name: str) -> None:
    """Make the issues of the actions and say of each which one it is."""
    for sentence in send(find_incident(project, name), Site.from_environment()):
        console.print(Text(sentence), soft_wrap=True)
    console.print(Text("Write the keys into the column issue of the actions."), soft_wrap=True)


def show_due(project: Project, console: Console, now: datetime) -> bool:
    """List what is to be published; True when nothing is overdue, and nothing may be."""
    found = reminders(project.runs_dir, now)
    if not found:
        console.print(Text(f"Every post-mortem in {project.runs_dir} that has to be is published."), soft_wrap=True)
        return True
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("incident", "severity", "status", "hours left", "due", ""):
        table.add_column(heading, overflow="fold")
    for one in found:
        left = "not known" if one.hours_left is None else f"{one.hours_left:.1f}"
        cells = (one.incident, one.severity, one.status, left, one.due)
        table.add_row(*map(clean, cells), Text(one.mark), style="red" if one.alarming else "")
    console.print(table)
    return not any(one.alarming for one in found)
