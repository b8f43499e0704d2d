"""The jobs as AWX needs them: surveys, and under which role of AWS each form of a job runs.

What is written here becomes roles/controller/files/jobs.json (`make docs`), from which playbooks/controller.yml makes
job templates and workflows.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .catalogue import IN_PERSON, jobs
from .errors import CommandError
from .text import plain

if TYPE_CHECKING:
    from .catalogue import Job
    from .project import Project
    from .runbooks import Input

JOBS = "roles/controller/files/jobs.json"
LONGEST_ANSWER = 1024
"""Characters; AWX asks for a bound, and what is longer is no answer to a question."""
# AWX has no boolean: a choice of two words, which Ansible reads as one.
BOOLEANS = ("false", "true")
# Playbooks whose role is not called after them; the others have a role of their own (roles/runbook_support).
ROLES = {"bootstrap": "bootstrap", "teardown": "teardown"}

PROBING = ("rehearsal",)
"""Playbooks that run a runbook, and so need the keys of its probes as an incident does."""


def rendered(project: Project) -> str:
    """What stands in roles/controller/files/jobs.json."""
    offered = [definition(job) for job in jobs(project) if job.name not in IN_PERSON]
    return json.dumps(offered, indent=2, ensure_ascii=False) + "\n"


def definition(job: Job) -> dict[str, Any]:
    """A job for the role controller, which adds organization, project, inventory and credential."""
    return {
        "name": job.name,
        "playbook": job.playbook,
        "title": f"{job.severity} {job.title}".strip(),
        "changes": job.changes,
        "needs_approval": job.needs_approval,
        "probes": bool(job.severity) or job.name in PROBING,
        "plan_role": role(job, plan=True),
        "run_role": role(job, plan=False),
        "survey": survey(job),
    }


def role(job: Job, *, plan: bool) -> str:
    """The role of AWS, without the prefix of its environment: runbooks plan with the one that only reads."""
    if job.kind == "runbook":
        return "runbook-diagnose" if plan else "runbook-act"
    return ROLES.get(job.name, f"runbook-{job.name.replace('_', '-')}")


def survey(job: Job) -> dict[str, Any]:
    """The survey of a job; empty, as AWX says that there is none, where it has no inputs."""
    if not job.inputs:
        return {}
    return {"name": job.name, "description": job.title, "spec": [question(entry) for entry in job.inputs]}


def question(entry: Input) -> dict[str, Any]:
    """One input as a question of a survey.

    No question has a default: AWX would pass it as an extra var, which wins over what the inventory says. AWX also
    insists on an answer to a required question that has one, and forgets the default of a question with many answers.
    Raises CommandError for a type that no survey can ask for.
    """
    silence = f" Without an answer: {_word(entry.default)}." if entry.choices and not entry.required else ""
    return {
        "variable": entry.name,
        "question_name": entry.name.replace("_", " ").capitalize(),
        "question_description": f"{plain(entry.description)}{silence}",
        "required": entry.required,
        **_answer(entry),
    }


def _answer(entry: Input) -> dict[str, Any]:
    if entry.choices or entry.type == "bool":
        return {"type": "multiplechoice", "choices": [_word(choice) for choice in entry.choices or BOOLEANS]}
    match entry.type:
        case "str":
            return {"type": "text", "min": 0, "max": LONGEST_ANSWER}
        case "int":
            return {"type": "integer"}
        case "float":
            return {"type": "float"}
        case other:
            raise CommandError(
                f"The input {entry.name} is a {other}, which no survey of AWX asks for: see catalogue.py."
            )


def _word(value: object) -> str:
    """A choice as AWX keeps it: all are texts."""
    return str(value).lower() if isinstance(value, bool) else str(value)
