"""The `runbook` command: comfort over the Ansible content, never a way around it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from . import incidents, show
from .audit import verify_journals
from .drill import run_drill
from .errors import USAGE_EXIT_CODE, CommandError
from .postmortem import command as postmortems
from .postmortem.privacy import Exposure
from .project import Project
from .sandbox import app as sandbox_app
from .session import Request, run_runbook
from .status import show_status

app = typer.Typer(
    help="Incident runbooks of Daily EMR.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(sandbox_app, name="sandbox")
audit_app = typer.Typer(help="Look whether journals are as they were written.", no_args_is_help=True)
app.add_typer(audit_app, name="audit")

Name = Annotated[str, typer.Argument(help="Name of the runbook: see `runbook list`.")]
Environment = Annotated[str, typer.Option("-i", "--environment", help="Which environment: a folder of inventories/.")]
Inputs = Annotated[list[str] | None, typer.Option("--input", help="One input as name=value; may be repeated.")]
Limit = Annotated[str | None, typer.Option("--limit", help="Only these components, separated by commas.")]
Approve = Annotated[
    str | None,
    typer.Option("--approve", metavar="DIGEST", help="The plan that others have approved; a plan prints it."),
]
BreakGlass = Annotated[
    list[str] | None,
    typer.Option("--break-glass", metavar="RULE:REASON", help="Lift a rule, alone at night; written into the record."),
]
Node = Annotated[
    str | None, typer.Option("--on", metavar="NODE", help="Run there, over SSH, instead of on this machine.")
]

Incident = Annotated[str, typer.Argument(metavar="INC", help="The incident: `runbook report` names the last ones.")]
Where = Annotated[
    str | None, typer.Option("-i", "--environment", help="Its environment, where this machine has no run of it.")
]
Plan = Annotated[bool, typer.Option("--plan", help="Only show what would be done.")]


@app.command("list")
def list_runbooks() -> None:
    """List the runbooks."""
    show.show_list(Console(), Project.find())


@app.command("show")
def show_runbook(name: Name) -> None:
    """Show when to use a runbook, its inputs, the causes it knows and what it does about each."""
    show.show_runbook(Console(), Project.find(), name)


@app.command()
def run(
    name: Name,
    environment: Environment,
    inputs: Inputs = None,
    limit: Limit = None,
    node: Node = None,
    approve: Approve = None,
    break_glass: BreakGlass = None,
) -> None:
    """Run a runbook. The exit code tells the outcome."""
    approved = (f"approve={approve}",) if approve else ()
    given = (*(inputs or ()), *approved)
    _run(Request(name, environment, given, limit, node=node, break_glass=tuple(break_glass or ())))


@app.command()
def plan(name: Name, environment: Environment, inputs: Inputs = None, limit: Limit = None, node: Node = None) -> None:
    """Diagnose for real and show what would be changed, without changing anything."""
    _run(Request(name, environment, tuple(inputs or ()), limit, check=True, node=node))


@app.command()
def resume(
    incident: Incident, environment: Where = None, inputs: Inputs = None, approve: Approve = None, plan: Plan = False
) -> None:
    """Go on with an incident: the same runbook, component and inputs. What was done is looked at and left alone."""
    words = (*(inputs or ()), *([f"approve={approve}"] if approve else []))
    raise typer.Exit(incidents.resume(Project.find(), Console(), incident, environment, words, check=plan).exit_code)


@app.command()
def undo(
    incident: Incident, environment: Where = None, inputs: Inputs = None, approve: Approve = None, plan: Plan = False
) -> None:
    """Take back what an incident has done, newest step first, and name what nothing can take back."""
    words = (*(inputs or ()), *([f"approve={approve}"] if approve else []))
    raise typer.Exit(incidents.undo(Project.find(), Console(), incident, environment, words, check=plan).exit_code)


@app.command()
def worker() -> None:
    """Run what comes on standard input, for `runbook run --on` of another machine."""
    from .worker import main as work

    work()


@app.command()
def drill(
    name: Annotated[str, typer.Argument(help="Name of the runbook.")] = "app_outage",
    fault: Annotated[str, typer.Option(help="What breaks: see `runbook sandbox break --help`.")] = "bad_release",
) -> None:
    """Break the sandbox, run the runbook against it, and say how long recovery took."""
    raise typer.Exit(run_drill(Project.find(), Console(), name, fault))


@app.command()
def report(
    which: Annotated[str, typer.Argument(metavar="INC|latest|PATH", help="Which run.")] = "latest",
    format_: Annotated[str, typer.Option("--format", help="md, html or both.")] = "both",
    open_path: Annotated[bool, typer.Option("--open-path", help="Print only the paths, one in a line.")] = False,
) -> None:
    """Write the report of a run next to its record, and that of its incident above its runs."""
    show.show_report(Console(), Project.find(), which, format_, open_path=open_path)


@app.command()
def status(
    environment: Annotated[
        str | None, typer.Option("-i", "--environment", help="Whose leases, rehearsals and error budget are shown.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until Ctrl-C.")] = False,
) -> None:
    """Show open incidents, who works on what, the last rehearsals and the error budget; 1 when a part is not known."""
    raise typer.Exit(0 if show_status(Project.find(), Console(), environment, watch=watch) else 1)


@app.command()
def postmortem(
    incident: Annotated[
        str | None, typer.Argument(metavar="INC", help="The incident: `runbook report` names the last ones.")
    ] = None,
    lint: Annotated[bool, typer.Option("--lint", help="Look for blame, gaps and wrong figures; 1 when found.")] = False,
    due: Annotated[bool, typer.Option("--due", help="List what is to be published; 1 when one is overdue.")] = False,
    jira: Annotated[bool, typer.Option("--jira", help="Make an issue of Jira of each action that has none.")] = False,
    again: Annotated[bool, typer.Option("--again", help="A new draft beside the one that was edited.")] = False,
    data_exposure: Annotated[
        Exposure | None, typer.Option(help="What is known of an exposure of personal data; all but none starts clocks.")
    ] = None,
    aware_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="When somebody first became aware: 2026-11-22T01:30:00Z.")
    ] = None,
) -> None:
    """Draft the post-mortem of an incident from its record, look whether it blames, or list what is still due."""
    project, console, now = Project.find(), Console(), datetime.now(UTC)
    drafting = again or data_exposure is not None or aware_at is not None
    if due == (incident is not None) or [lint, due, jira, drafting].count(True) > 1:
        raise CommandError(
            "Name an incident to write its draft, an incident with --lint or --jira for its text, or --due alone."
        )
    if incident is None:
        raise typer.Exit(0 if postmortems.show_due(project, console, now) else 1)
    if lint:
        raise typer.Exit(0 if postmortems.show_findings(project, console, incident) else 1)
    if jira:
        postmortems.send_actions(project, console, incident)
        return
    postmortems.draft(project, console, incident, data_exposure, aware_at, now, again=again)


@audit_app.command("verify")
def verify(
    which: Annotated[str, typer.Argument(metavar="INC|latest", help="Which incident.")] = "latest",
    environment: Annotated[
        str | None, typer.Option("-i", "--environment", help="Compare with the table of this environment, too.")
    ] = None,
) -> None:
    """Hold the journals of an incident against their chain of hashes. The exit code is 1 when there is a fault."""
    raise typer.Exit(0 if verify_journals(Project.find(), Console(), which, environment) else 1)


def _run(request: Request) -> None:
    raise typer.Exit(run_runbook(Project.find(), Console(), request).exit_code)


def main() -> None:
    """Entry point. Every known fault ends as one sentence and exit code 2, never as a traceback."""
    try:
        app()
    except CommandError as error:
        Console(stderr=True).print(error.sentence, style="red", markup=False, soft_wrap=True, highlight=False)
        sys.exit(USAGE_EXIT_CODE)
