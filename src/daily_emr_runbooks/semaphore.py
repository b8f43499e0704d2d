"""The objects of a project in Semaphore UI, made from the catalogue: what the role `semaphore` applies.

Everything is in Semaphore's own fields, with names where its API has ids. What differs between two installations (the
address of the repository, how to log in there, variables) is added by the role, from its inputs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .awx import role as aws_role
from .catalogue import IN_PERSON, jobs
from .errors import CommandError
from .text import plain

if TYPE_CHECKING:
    from .catalogue import Job
    from .project import Project
    from .runbooks import Input

PAGE = "roles/semaphore/files/definitions.json"
ENVIRONMENTS = ("staging", "production")
PRODUCTION = "production"
# What the content refuses there anyway, and what nobody may do by a controller.
WITHOUT = {"staging": ("teardown", *IN_PERSON), "production": ("teardown", "rehearsal", *IN_PERSON)}
REPOSITORY = "runbooks"
NO_KEY = "None"
"""Semaphore wants a key for every inventory; every component here has a local connection."""
FORMS = {"plan": ["--check", "--diff"], "run": ["--diff"]}
"""The arguments of ansible-playbook in both forms of a job."""
# Those that probe as an incident does, and so need the keys of the probes.
PROBING = ("runbook-diagnose", "runbook-act", "runbook-rehearsal", "runbook-region-failover")
APPROVE = "approve"
"""The digest of the plan that somebody approved. Semaphore's open version has no approval of its own."""
# Started by people alone, because two others have to approve it while it runs.
NOT_SCHEDULED = "region_failover"
HYPOTHESIS = "The runbook finds the cause, and the service is well again within its objective."


@dataclass(frozen=True)
class Timer:
    """When a job is started by itself. Semaphore's clock is UTC unless its configuration says otherwise."""

    job: str
    cron: str
    environments: tuple[str, ...] = ENVIRONMENTS
    suffix: str = ""
    answers: dict[str, str] = field(default_factory=dict)


# One o'clock in Kenya is 22:00 UTC.
TIMERS = (
    Timer("backup", "0 22 * * *"),
    Timer("readiness", "30 3 * * *"),
    Timer("restore_check", "0 0 * * 0"),
)


def definitions(project: Project) -> list[dict[str, Any]]:
    """Every object, each after those it refers to, as kind, environment (empty: all of them) and definition.

    Raises CommandError for a job that cannot be a template.
    """
    found = jobs(project)
    timers = [(timer, where) for timer in _timers(found) for where in timer.environments]
    views = [(where, f"{where} {kind}s") for where in ENVIRONMENTS for kind in ("runbook", "playbook")]
    return [
        _entry("key", "", name=NO_KEY, type="none"),
        _entry("key", "", name=REPOSITORY, type="none"),
        *(_group(where, role) for where in ENVIRONMENTS for role in _roles(_offered(found, where))),
        _entry("repository", "", name=REPOSITORY, git_url="", git_branch="", ssh_key=REPOSITORY),
        *(
            _entry(
                "inventory", where, name=where, type="file", inventory=f"inventories/{where}/hosts.yml", ssh_key=NO_KEY
            )
            for where in ENVIRONMENTS
        ),
        *(_entry("view", where, title=title, position=place) for place, (where, title) in enumerate(views, 1)),
        *(
            _entry("template", where, **template(job, where, form))
            for where in ENVIRONMENTS
            for job in _offered(found, where)
            for form in FORMS
        ),
        *(_entry("schedule", where, **_schedule(timer, where)) for timer, where in timers),
    ]


def _offered(found: list[Job], environment: str) -> list[Job]:
    return [job for job in found if job.name not in WITHOUT[environment]]


def _roles(found: list[Job]) -> list[str]:
    return sorted({aws_role(job, plan=form == "plan") for job in found for form in FORMS})


def _group(environment: str, role: str) -> dict[str, Any]:
    """The variable group of those jobs that run as a role of AWS, which is also the name of a profile on the runner."""
    name = group_name(environment, role)
    entry = _entry("environment", environment, name=name, json={}, env={"AWS_PROFILE": name})
    return {**entry, "probes": role in PROBING}


def group_name(environment: str, role: str) -> str:
    return f"daily-emr-{environment}-{role}"


def _entry(kind: str, environment: str, /, **definition: Any) -> dict[str, Any]:
    return {"kind": kind, "environment": environment, "definition": definition}


def template(job: Job, environment: str, form: str) -> dict[str, Any]:
    """One form of a job in one environment.

    What could lead away from the job is forbidden by name, so that a change by hand shows as a difference.
    """
    survey = [survey_variable(entry) for entry in job.inputs if entry.name != APPROVE]
    if form == "run" and job.needs_approval and environment == PRODUCTION:
        survey.append(_approval())
    heading = f"{job.severity}: {job.title}." if job.severity else f"{job.title}."
    return {
        "name": template_name(job.name, environment, form),
        "description": f"{heading} {job.description}".strip(),
        "app": "ansible",
        "type": "",
        "playbook": job.playbook,
        "arguments": json.dumps(FORMS[form]),
        "inventory": environment,
        "repository": REPOSITORY,
        "environment": group_name(environment, aws_role(job, plan=form == "plan")),
        "view": f"{environment} {job.kind}s",
        "survey_vars": survey,
        "task_params": {
            "limit": [job.targets],
            "tags": [],
            "skip_tags": [],
            "skip_galaxy_install": True,
            "allow_debug": False,
            "allow_override_inventory": False,
            "allow_override_limit": environment != PRODUCTION,
            "allow_override_tags": False,
            "allow_override_skip_tags": False,
        },
        "allow_override_args_in_task": False,
        "allow_override_branch_in_task": False,
        "allow_parallel_tasks": False,
        "autorun": False,
        "git_branch": None,
        "working_directory": None,
        "suppress_success_alerts": form == "plan",
        "vaults": [],
    }


def template_name(job: str, environment: str, form: str) -> str:
    return f"{job} on {environment}{' (plan)' if form == 'plan' else ''}"


def survey_variable(entry: Input) -> dict[str, Any]:
    """The question for an input: the one place where our types become Semaphore's.

    Semaphore has no booleans, no numbers with a fraction and no bounds, and only its page looks at answers, so the
    first task of every job checks them all. No defaults: an answer that is left out is the content's default, however
    a task is started.
    """
    values = [str(choice) for choice in entry.choices]
    match entry.type:
        case "bool":
            kind, values = "enum", ["true", "false"]
        case "list" if values:
            kind = "select"
        case "str" | "path" | "float" | "int" if values:
            kind = "enum"
        case "int":
            kind = "int"
        case "str" | "path" | "float":
            kind = ""
        case other:
            raise CommandError(f"The input {entry.name} is a {other}, which no survey of Semaphore can ask for.")
    return {
        "name": entry.name,
        "title": entry.name.replace("_", " ").capitalize(),
        "description": plain(f"{entry.description}{_silence(entry)}"),
        "required": entry.required,
        "type": kind,
        "values": [{"name": value, "value": value} for value in values],
    }


def _silence(entry: Input) -> str:
    """What no answer means, where that is one of several choices."""
    return f" Without an answer: {entry.default}." if entry.choices and not entry.required else ""


def rendered(project: Project) -> str:
    """The generated file."""
    return json.dumps(definitions(project), indent=1, ensure_ascii=False) + "\n"


def _approval() -> dict[str, Any]:
    return {
        "name": APPROVE,
        "title": "Approved plan",
        "description": "The digest that the approved plan printed; what prints none refuses it.",
        "required": False,
        "type": "",
        "values": [],
    }


def _timers(found: list[Job]) -> list[Timer]:
    """Those of the table, and each quarter each scenario that the rehearsal knows, in staging."""
    asked = next(entry for job in found for entry in job.inputs if entry.name == "rehearsal_scenario")
    scenarios = [str(choice) for choice in asked.choices if choice != NOT_SCHEDULED]
    return [
        *TIMERS,
        *(
            Timer(
                "rehearsal",
                f"0 6 {day} 1,4,7,10 *",
                environments=("staging",),
                suffix=f": {scenario}",
                answers={"rehearsal_scenario": scenario, "rehearsal_hypothesis": HYPOTHESIS},
            )
            for day, scenario in enumerate(scenarios, 5)
        ),
    ]


def _schedule(timer: Timer, environment: str) -> dict[str, Any]:
    return {
        "name": f"{template_name(timer.job, environment, 'run')}{timer.suffix}",
        "template": template_name(timer.job, environment, "run"),
        "type": "",
        "cron_format": timer.cron,
        "active": True,
        "task_params": {"environment": json.dumps(timer.answers)} if timer.answers else {},
    }
