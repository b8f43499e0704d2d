"""`runbook sandbox`: a thin face of the stand-in for the whole stack, which is imported only when it is asked for."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from .errors import CommandError
from .project import Project
from .text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daily_emr_sandbox.client import Sandbox

app = typer.Typer(help="The stand-in for AWS and everything around it, on this machine.", no_args_is_help=True)


def open_sandbox(project: Project) -> Sandbox:
    """The sandbox of this project. Raises CommandError when its packages are not installed."""
    try:
        from daily_emr_sandbox.client import Sandbox
    except ImportError as error:
        raise CommandError(
            f"The sandbox is not installed ({error.name} is missing): "
            f"run `pip install -e '.[sandbox]'` in {project.root}."
        ) from error
    return Sandbox(project.sandbox_dir)


@contextmanager
def told() -> Iterator[None]:
    """Faults of the sandbox as one sentence."""
    try:
        yield
    except OSError as error:
        raise CommandError(
            f"The sandbox does not answer ({error}): look at `runbook sandbox status`, or start it again with "
            "`runbook sandbox up`."
        ) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "daily_emr_sandbox":
            raise CommandError(clean(str(error))) from error
        raise


def show_facts(console: Console, heading: str, facts: object) -> None:
    """Names and values, one in a line."""
    console.print(Text(heading, "bold"))
    for name, value in facts.items() if isinstance(facts, dict) else ():
        console.print(Text(f"  {name}: {clean(value)}"), soft_wrap=True)


@app.command()
def up(
    time_factor: Annotated[float | None, typer.Option(min=1, help="How many times faster than AWS.")] = None,
    parts: Annotated[
        str | None, typer.Option(help="Optional parts, separated by commas; core for none of them. All if not given.")
    ] = None,
) -> None:
    """Start it, or say that it runs."""
    project, console = Project.find(), Console()
    sandbox = open_sandbox(project)
    from daily_emr_sandbox.settings import DEFAULT_TIME_FACTOR, parts_from

    try:
        chosen = None if parts is None else parts_from(parts)
    except ValueError as error:
        raise CommandError(str(error)) from None
    with told(), console.status("Starting the sandbox"):
        state = sandbox.up(time_factor=time_factor or DEFAULT_TIME_FACTOR, parts=chosen)
    show_facts(console, "The sandbox is up", state)


@app.command()
def down() -> None:
    """Stop it, with every process of it."""
    sandbox = open_sandbox(Project.find())
    with told():
        sandbox.down()
    Console().print("The sandbox is down.")


@app.command()
def status() -> None:
    """Say what runs in it and what is broken."""
    sandbox = open_sandbox(Project.find())
    with told():
        state = sandbox.status()
    show_facts(Console(), "Sandbox", state)


@app.command("break")
def break_(
    fault: Annotated[str, typer.Argument(help="What to break.")],
    options: Annotated[list[str] | None, typer.Argument(help="Of a primitive, as name=value.")] = None,
) -> None:
    """Break it: bad_release, wedged_tasks, database_down, …, or a primitive such as hang_zone zone=…"""
    given = dict(option.partition("=")[::2] for option in options or ())
    if "" in given or not all("=" in option for option in options or ()):
        raise CommandError(f"{' '.join(options or ())} is not understood: give options as name=value.")
    sandbox = open_sandbox(Project.find())
    with told():
        sandbox.break_(fault, **given)
        sandbox.await_alarm(fault)
    Console().print(Text(f"Broken: {fault}."))


@app.command()
def mend(fault: Annotated[str | None, typer.Argument(help="What to mend; everything if not given.")] = None) -> None:
    """Take a fault back, or all of them."""
    sandbox = open_sandbox(Project.find())
    with told():
        sandbox.mend(fault)
    Console().print(Text(f"Mended: {fault or 'everything'}."))
