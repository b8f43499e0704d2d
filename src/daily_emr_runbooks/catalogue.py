"""What can be run, as its own files say it: the one source for the command, the controllers, the alerts and the docs.

A job is a runbook, or a playbook that runs on components of an environment; a playbook on localhost is a tool of ours
(it sets a controller up, say) and no job. A job changes something and needs approval in production unless the variables
of its play say `job_changes: false` (it only reads) or `job_needs_approval: false` (it harms nobody by running).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from . import runbooks
from .text import plain

if TYPE_CHECKING:
    from pathlib import Path

    from .project import Project
    from .runbooks import Input

HERE = "localhost"
# Only counts under the name of the person who gives it, and a job of a controller has none: no controller offers it.
IN_PERSON = ("approve", "region_approval", "release_override")
SCALARS = ("str", "bool", "int", "float")


@dataclass(frozen=True)
class Job:
    """One thing that a person, a controller or an alert can start."""

    name: str
    playbook: str
    """Its file, relative to the root of the project."""
    title: str
    description: str
    targets: str
    """The group or component of the inventory that it runs on."""
    severity: str
    """SEV1 to SEV3; empty for what is no incident."""
    triggers: tuple[str, ...]
    inputs: tuple[Input, ...]
    """What an operator may give, see `is_for_operators`; everything else is set by the inventory."""
    needs_approval: bool
    """Whether somebody else has to approve the plan before it is run in production."""
    changes: bool
    """Whether it may change anything; False reads only."""
    kind: Literal["runbook", "playbook"]


def jobs(project: Project) -> list[Job]:
    """All jobs, runbooks first, each kind by name. Raises CommandError for a file that is not in the form of one."""
    files = [path for folder in ("runbooks", "playbooks") for path in sorted((project.root / folder).glob("*.yml"))]
    return [_job(project, path) for path in files if runbooks.play_of(path)["hosts"] != HERE]


def is_for_operators(entry: Input) -> bool:
    """Whether an input is a decision about one run, and so a question of the controllers' surveys.

    It is when it says nothing unless somebody speaks (it is required, false or empty), or is one of several choices.
    Numbers, names with a default, paths and structures describe the environment or what counts as harm there: those are
    the inventory's, and a survey that repeated their default would win over it.
    """
    says_nothing = entry.default is False or entry.default == ""
    return entry.type in SCALARS and (entry.required or bool(entry.choices) or says_nothing)


def _job(project: Project, path: Path) -> Job:
    play = runbooks.play_of(path)
    header = play.get("vars") or {}
    incident = runbooks.read(project, path) if "incident_runbook" in header else None
    specs = [runbooks.main_spec(project.root / "roles" / _role(entry)) for entry in play.get("roles") or ()]
    if incident:
        texts, inputs = (incident.short_description, *incident.description), incident.inputs
    elif len(specs) == 1:
        texts, inputs = _texts(specs[0]), tuple(runbooks.inputs_of(specs[0]))
    else:
        # Several roles build what the inventory describes: there is nothing to decide for one run.
        texts, inputs = tuple(str(spec.get("short_description", "")) for spec in specs), ()
    changes = bool(header.get("job_changes", True))
    return Job(
        name=path.stem,
        playbook=path.relative_to(project.root).as_posix(),
        title=incident.title if incident else str(play.get("name") or path.stem),
        description=plain(" ".join(text if text.endswith(".") else f"{text}." for text in texts if text)),
        targets=str(play["hosts"]),
        severity=incident.severity if incident else "",
        triggers=incident.triggers if incident else (),
        inputs=tuple(entry for entry in inputs if is_for_operators(entry)),
        needs_approval=changes and bool(header.get("job_needs_approval", True)),
        changes=changes,
        kind="runbook" if path.parent.name == "runbooks" else "playbook",
    )


def _texts(spec: dict[str, Any]) -> tuple[str, ...]:
    return (str(spec.get("short_description", "")), *runbooks.texts_of(spec.get("description")))


def _role(entry: object) -> str:
    return str(entry.get("role") or entry.get("name")) if isinstance(entry, dict) else str(entry)
