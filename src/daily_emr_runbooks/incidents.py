"""Find an incident by its name alone, in the run folders here, else in its environment's table; go on or undo it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .environment import refuse_redirection, replaced_environment, run_environment
from .errors import CommandError
from .session import Request, run_runbook

if TYPE_CHECKING:
    from rich.console import Console

    from .outcome import Verdict
    from .project import Project

INCIDENT = re.compile(r"INC-[A-Za-z0-9][A-Za-z0-9-]{0,60}", re.ASCII)
TAKE_OVER = "resume"
"""Why the lease of a dead run is taken. It is watched for its whole length first, so that one that lives keeps it."""


@dataclass(frozen=True)
class Incident:
    """What an incident is about."""

    name: str
    environment: str
    runbook: str
    components: list[str]
    inputs: dict[str, Any]


def find_incident(project: Project, name: str, environment: str | None) -> Incident:
    """Find an incident. Raises CommandError when neither this machine nor the table knows it."""
    if not INCIDENT.fullmatch(name):
        raise CommandError("An incident is named like INC-20261122-013000-9f3a: `runbook report` names the last ones.")
    project.make_importable()
    from ansible_collections.daily_emr.ops.plugins.module_utils import _history
    from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
    from ansible_collections.daily_emr.ops.plugins.module_utils._resume import about

    folder = project.runs_dir / name
    history = _history.arranged(name, _history.local_lines(folder, name))
    try:
        if environment is not None and not history.begun:
            with _as_a_run_sees_it(project, environment):
                history = _history.read_history(_clients(project, environment), folder, name)
        if not history.begun and environment is None:
            raise CommandError(
                f"There is no run of {name} in {project.runs_dir}: name its environment, so that its table is asked: "
                "-i staging."
            )
        found = about(history)
    except OpsError as error:
        raise CommandError(error.sentence) from error
    if environment is not None and found["environment"] != environment:
        raise CommandError(f"{name} is an incident of {found['environment']}, not of {environment}: correct -i.")
    return Incident(name, found["environment"], found["runbook"], found["components"], found["inputs"])


def resume(
    project: Project, console: Console, name: str, environment: str | None, inputs: tuple[str, ...], *, check: bool
) -> Verdict:
    """Go on with an incident: the same runbook, on the same components, with the same inputs."""
    found = find_incident(project, name, environment)
    request = Request(
        found.runbook,
        found.environment,
        (f"incident_id={name}", *_unless_given(inputs), *inputs),
        ",".join(found.components),
        check=check,
        playbook=_playbook(project, found.runbook),
        kept=found.inputs,
    )
    return run_runbook(project, console, request)


def undo(
    project: Project, console: Console, name: str, environment: str | None, inputs: tuple[str, ...], *, check: bool
) -> Verdict:
    """Take back what an incident has done, newest step first."""
    found = find_incident(project, name, environment)
    request = Request(
        "undo",
        found.environment,
        (f"incident={name}", *_unless_given(inputs), *inputs),
        ",".join(found.components),
        check=check,
        playbook=project.root / "playbooks" / "undo.yml",
    )
    return run_runbook(project, console, request)


def _unless_given(inputs: tuple[str, ...]) -> tuple[str, ...]:
    given = {word.partition("=")[0] for word in inputs}
    return () if "incident_take_over" in given else (f"incident_take_over={TAKE_OVER}",)


def _playbook(project: Project, runbook: str) -> Any:
    """The file of a runbook that is not among the runbooks, such as the failover of a region; None for a runbook."""
    path = project.root / "playbooks" / f"{runbook}.yml"
    return path if path.is_file() and not (project.root / "runbooks" / path.name).is_file() else None


def _as_a_run_sees_it(project: Project, environment: str) -> Any:
    """The scrubbed environment of a run, for the time in which the table is asked."""
    refuse_redirection(os.environ, environment)
    return replaced_environment(
        run_environment(os.environ, project=project.root, runs_dir=project.runs_dir, sandbox=project.sandbox_dir)
    )


def _clients(project: Project, environment: str) -> Any:
    """The clients of an environment as its inventory describes it, proven to be in it."""
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar
    from ansible.vars.manager import VariableManager
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment

    loader = DataLoader()
    inventory = InventoryManager(loader, sources=[str(project.inventory(environment))])
    host = inventory.get_host("emr-environment")
    variables = VariableManager(loader, inventory).get_vars(host=host, include_hostvars=True)
    described = Templar(loader, variables=variables).template(variables["emr_environment"])
    clients = Clients(Environment.from_params(described))
    clients.prove()
    return clients
