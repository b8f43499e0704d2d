"""A drill: break the sandbox, let the runbook repair it, and say how long users were without service."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from . import facts
from .runbooks import load
from .sandbox import open_sandbox, told
from .session import SANDBOX, Request, run_runbook
from .text import clean, seconds

if TYPE_CHECKING:
    from daily_emr_sandbox.client import Sandbox
    from rich.console import Console

    from .outcome import Verdict
    from .project import Project


@dataclass(frozen=True)
class Users:
    """What the synthetic users of the sandbox saw, by the ledger of its traffic."""

    recovered_after_s: float | None
    """From the fault being in effect to the first good answer after the last error; None while requests still fail."""
    outage_s: float | None
    """From the first error to that answer; 0 when no request failed."""
    requests: int
    errors: int
    acknowledged: int
    lost: int | None
    """Acknowledged writes that are not in the database; None when the database cannot be asked."""


@dataclass(frozen=True)
class Consultations:
    """What the telehealth of the sandbox saw, by its own ledger."""

    failed: int
    """Patients who could not join."""
    dropped: int
    """Of those that ran, how many somebody ended or moved."""


def run_drill(project: Project, console: Console, name: str, fault: str) -> int:
    """Sandbox up → mend → break → run → summary. Returns the exit code of the run; the sandbox stays up."""
    load(project, name)
    sandbox = open_sandbox(project)
    with told(), console.status("Getting the sandbox ready"):
        sandbox.up()
        sandbox.mend()
    with told(), console.status(f"Breaking it: {fault}"):
        before, began_at = sandbox.ledger(), datetime.now(UTC)
        patients = consultations(sandbox)
        sandbox.break_(fault)
        broken_at = datetime.now(UTC)  # break_ returns when the fault is in effect
        sandbox.await_alarm(fault)
    console.print(Text(f"Broken: {fault}. What on-call does now:", "bold"))
    console.print(Text(f"  runbook run {name} -i {SANDBOX}"))
    verdict = run_runbook(project, console, Request(name, SANDBOX))
    with told():
        after = sandbox.ledger()
        later = consultations(sandbox)
    show_summary(
        console,
        verdict,
        compare(before, after, began_at, broken_at),
        Consultations(later.failed - patients.failed, later.dropped - patients.dropped),
    )
    return verdict.exit_code


def consultations(sandbox: Sandbox) -> Consultations:
    """What happened to them until now; nothing in a sandbox without telehealth."""
    if "telehealth" not in sandbox.description["parts"]:
        return Consultations(0, 0)
    ledger = sandbox.telehealth_sessions()
    return Consultations(ledger["failed"], ledger["dropped"])


def compare(before: dict[str, Any], after: dict[str, Any], began_at: datetime, broken_at: datetime) -> Users:
    """What happened between two readings of the ledger.

    Args:
        began_at: when the break was asked for; what failed before is not of this drill.
        broken_at: when the fault was in effect.
    """
    requests, errors, acknowledged = (after[name] - before[name] for name in ("requests", "errors", "acknowledged"))
    recovered_at, first_error_at = facts.moment(after["recovered_at"]), facts.moment(after["first_error_at"])
    if not errors:
        recovered_after, outage = 0.0, 0.0
    elif recovered_at is None or first_error_at is None:
        recovered_after, outage = None, None
    else:
        recovered_after, outage = (
            max((recovered_at - broken_at).total_seconds(), 0.0),
            (recovered_at - max(first_error_at, began_at)).total_seconds(),
        )
    return Users(recovered_after, outage, requests, errors, acknowledged, after["lost"])


def show_summary(console: Console, verdict: Verdict, users: Users, patients: Consultations) -> None:
    """The end of a drill in a few lines."""
    if users.recovered_after_s is None:
        recovery = "requests still fail"
    elif not users.errors:
        recovery = "no request failed"
    else:
        recovery = (
            f"answered again {seconds(users.recovered_after_s)} after the fault was in effect, "
            f"after an outage of {seconds(users.outage_s)}"
        )
    lost = "the database cannot be asked for them" if users.lost is None else f"{users.lost} lost"
    console.print(Text("\nDrill", "bold"))
    console.print(Text(f"  outcome: {verdict.outcome}"))
    console.print(Text(f"  users: {recovery}"), soft_wrap=True)
    console.print(
        Text(
            f"  traffic: {users.requests} requests, {users.errors} failed; "
            f"{users.acknowledged} writes acknowledged, {lost}"
        )
    )
    if patients.failed or patients.dropped:
        console.print(
            Text(
                f"  consultations: {patients.failed} could not be joined; of those that ran, {patients.dropped} dropped"
            )
        )
    for folder in verdict.folders:
        console.print(Text(f"  record: {clean(folder.path / 'record.json')}"), soft_wrap=True)
    console.print(Text(f"  The sandbox stays up: `{this_command()} sandbox down` stops it."))


def this_command() -> str:
    """How a shell in this folder finds the command, also where the virtual environment is not active."""
    program = Path(sys.argv[0])
    return str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program)
