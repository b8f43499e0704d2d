"""What the reading commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from .errors import CommandError, one_of
from .incident_page import write_incident
from .record import find_run
from .report import FORMATS, summary, write_reports
from .runbooks import Cause, Runbook, load, load_all
from .text import clean, plain

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from .project import Project


def show_list(console: Console, project: Project) -> None:
    """One line for each runbook."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("runbook", "severity", "components", "when"):
        table.add_column(heading, overflow="fold")
    for runbook in load_all(project):
        table.add_row(runbook.name, runbook.severity, runbook.targets, runbook.title)
    console.print(table)


def show_runbook(console: Console, project: Project, name: str) -> None:
    """When, what it needs, what it knows, what it does."""
    runbook = load(project, name)
    console.print(Text(f"{runbook.name}  {runbook.severity}  {runbook.title}", "bold"))
    for text in (runbook.short_description, *runbook.description):
        if text:
            console.print(Text(text))
    if runbook.triggers:
        console.print(Text("\nWhen", "bold"))
        for trigger in runbook.triggers:
            console.print(Text(f"  - {trigger}"))
    if runbook.alerts:
        console.print(Text("\nAlerts that start its plan", "bold"))
        for source, names in runbook.alerts.items():
            said = [f"{name} ({component or 'on the component that it names'})" for name, component in names.items()]
            console.print(Text(f"  {source}: {', '.join(said)}"))
    if runbook.causes:
        console.print(Text("\nCauses, the first that fits is the answer", "bold"))
        console.print(_causes(runbook.causes))
    if runbook.inputs:
        console.print(Text("\nInputs", "bold"))
        console.print(_inputs(runbook))
    console.print(Text("\nUse", "bold"))
    environments = project.environments()
    place = "sandbox" if "sandbox" in environments else environments[0]
    console.print(Text(f"  runbook plan {runbook.name} -i {place}"))


def _causes(causes: tuple[Cause, ...]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for cause in causes:
        when = " and ".join(" or ".join(entry) if isinstance(entry, tuple) else entry for entry in cause.supported_by)
        lines = [cause.because, f"when   {when}"]
        if cause.contradicted_by:
            lines.append(f"unless {', '.join(cause.contradicted_by)}")
        if cause.mitigations:
            lines.append(f"then   {', or '.join(cause.mitigations)}")
        if cause.hand_off:
            lines.append(f"{'else' if cause.mitigations else 'then'}   {cause.hand_off}")
        table.add_row(cause.name, "\n".join([*lines, ""]))
    return table


def _inputs(runbook: Runbook) -> Table:
    table = Table(box=None, pad_edge=True, header_style="bold")
    for heading in ("input", "type", "default", "meaning"):
        table.add_column(heading, overflow="fold")
    for entry in runbook.inputs:
        kind = " | ".join(str(choice) for choice in entry.choices) or entry.type
        default = "required" if entry.required else "" if entry.default in (None, "", {}) else clean(entry.default)
        table.add_row(entry.name, kind, default, plain(entry.description))
    return table


def show_report(console: Console, project: Project, which: str, format_: str, *, open_path: bool) -> None:
    """Write the report of a run and that of its incident, and say where they are."""
    if format_ not in FORMATS:
        raise CommandError(f"There is no format {format_!a}. {one_of(format_, list(FORMATS))}")
    folder = find_run(project, which)
    paths: list[Path] = [
        *write_reports(folder, formats=FORMATS[format_]),
        *write_incident(folder, formats=FORMATS[format_]),
    ]
    if not open_path:
        console.print(Text(summary(folder)), soft_wrap=True)
    for path in paths:
        console.print(Text(str(path)), soft_wrap=True)
