# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One piece of work, two faces: an ordinary module, and the Ansible worker itself (plugin_utils/direct.py).

A module's work is an Entry: its options, and a function of typed parameters. run_module() is the thin edge for the
first face; the second performs the same Entry without starting a process.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling
from ansible_collections.daily_emr.ops.plugins.module_utils._cancel import refuse_when_cancelled
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change, execute_change, where
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import ENVIRONMENT_SPEC, UNSET, Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallUnknown, OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import INCIDENT_SPEC, Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import Lease, LeaseStore, silent
from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import StepOutcome

Params = dict[str, Any]
Progress = Callable[[str], None]
Read = Callable[[Params, Clients, Progress], dict[str, Any]]

# The options of the doc fragment daily_emr.ops.common.
COMMON_SPEC: dict[str, Any] = {
    "environment": {"type": "dict", "required": True, "options": ENVIRONMENT_SPEC},
    "incident": {"type": "dict", "options": INCIDENT_SPEC},
}
# A lease is renewed by the progress of a wait, but not more often than this.
HEARTBEAT_SECONDS = 20.0
DEBUG_FILE = "debug.log"


@dataclass(frozen=True)
class Context:
    """What surrounds a task: the modes it runs in, a way to report progress, and the folder of the project."""

    check_mode: bool = False
    diff: bool = False
    progress: Progress = silent
    project: Path = Path()
    # Whether the work is done in the Ansible worker, which alone knows how Ansible was called.
    on_controller: bool = False
    # The inputs of the run as they were given, judged already; only known in the Ansible worker.
    inputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """The work of a module: its options and the function that does it."""

    argument_spec: dict[str, Any]
    run: Callable[[Params, Context], dict[str, Any]]
    supports_check_mode: bool = True


def change_entry(change: type[Change]) -> Entry:
    """The entry of a module that changes something."""

    def run(params: Params, context: Context) -> dict[str, Any]:
        clients, session = connect(params)
        return execute_change(change(params, clients), clients, session, check_mode=context.check_mode)

    return Entry({**change.spec, **COMMON_SPEC}, run)


def approver_entry(change: type[Change]) -> Entry:
    """The entry of a change by which a person approves.

    Who approves has a role of their own: the pattern of who acts is replaced by the change's option
    ``approver_role_pattern``.
    """
    approving = change_entry(change)

    def run(params: Params, context: Context) -> dict[str, Any]:
        environment = {**params["environment"], "role_pattern": params["approver_role_pattern"]}
        return approving.run({**params, "environment": environment}, context)

    return Entry(approving.argument_spec, run)


def read_entry(argument_spec: dict[str, Any], function: Read, kind: str = "") -> Entry:
    """The entry of a module that reads or waits.

    What it returns is journalled when an incident is open: as "verified" when it has that key, as "observed" when it
    has observations, as "outcome" when it has one (a wait that is a step of its own; "looked" in check mode), else as
    "waited", unless kind says otherwise. Reporting progress keeps the lease alive.
    """

    def run(params: Params, context: Context) -> dict[str, Any]:
        clients, session = connect(params)
        refuse_when_cancelled(session)
        clients.prove()
        progress = _Heartbeat(context.progress, clients, session)
        with calling():
            result = function(params, clients, progress)
        if session:
            words = {"verified": "verified", "observations": "observed", "outcome": "outcome"}
            word = kind or next((word for key, word in words.items() if key in result), "waited")
            if word == "outcome" and context.check_mode:
                word = "looked"
            body = {key: value for key, value in result.items() if key not in ("changed", "failed", "diff")}
            Journal.of(session).append(word, **body)
        return {"changed": False, **result}

    return Entry({**argument_spec, **COMMON_SPEC}, run)


def connect(params: Params) -> tuple[Clients, Session | None]:
    """The clients of the environment and the open incident; Refused when an input is still unset."""
    environment = Environment.from_params(params["environment"])
    unset = sorted(set(unset_options(params)))
    if unset:
        raise Refused(
            *(f"{name} is not set: put it into the group_vars of inventories/{environment.name}." for name in unset)
        )
    return Clients(environment), Session.from_params(params.get("incident"))


def unset_options(value: Any, path: str = "") -> Iterator[str]:
    """The options in which the owner's mark for "still to be filled in" stands, as paths."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from unset_options(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from unset_options(item, path)
    elif isinstance(value, str) and UNSET in value.replace("/", " ").replace(".", " ").split():
        yield path


def perform(name: str, entry: Entry, params: Params, context: Context) -> dict[str, Any]:
    """Do the work of a module and return the result of its task. No OpsError and no fault of our own gets out."""
    try:
        return entry.run(params, context)
    except OpsError as error:
        return failure(error)
    except Exception as error:  # noqa: BLE001  # a traceback may hold values; the sentence does not
        return internal_error(name, error, params.get("incident"))


def failure(error: OpsError) -> dict[str, Any]:
    """The result of a task that ended with an OpsError."""
    refused = isinstance(error, Refused)
    unknown = isinstance(error, CallUnknown)
    outcome = StepOutcome.REFUSED if refused else StepOutcome.UNKNOWN if unknown else StepOutcome.FAILED
    return {
        "failed": True,
        "changed": False,
        "msg": error.sentence,
        "outcome": str(outcome),
        "refused": refused,
        "refusals": error.reasons if isinstance(error, Refused) else [],
    }


def internal_error(name: str, error: Exception, incident: Mapping[str, Any] | None) -> dict[str, Any]:
    """The result of a fault of our own: its type and place. The traceback stays in the run folder of this machine."""
    folder = Path(str((incident or {}).get("folder") or ""))
    note = ""
    if incident and folder.is_dir():
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        with os.fdopen(os.open(folder / DEBUG_FILE, flags, 0o600), "a") as file:
            file.writelines(traceback.format_exception(error))
        note = f" Its traceback is in {folder / DEBUG_FILE}."
    return {
        "failed": True,
        "changed": False,
        "msg": f"internal error in {name}: {where(error)}.{note}",
        "outcome": str(StepOutcome.FAILED),
        "refused": False,
        "refusals": [],
    }


def find_project(start: Path) -> Path:
    """The folder of the project that a path is in: the nearest one above it with an ansible.cfg, else the path."""
    return next((folder for folder in (start, *start.parents) if (folder / "ansible.cfg").is_file()), start)


def run_module(entry: Entry) -> None:
    """The main() of every module."""
    module = AnsibleModule(argument_spec=entry.argument_spec, supports_check_mode=entry.supports_check_mode)
    context = Context(
        check_mode=module.check_mode, diff=module._diff, progress=module.log, project=find_project(Path.cwd())
    )
    result = perform(module._name, entry, module.params, context)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


class _Heartbeat:
    """Passes progress on, renews the lease while there is progress, and ends a wait whose run was told to stop; an
    empty text is a sign of life and no more.
    """

    def __init__(self, progress: Progress, clients: Clients, session: Session | None) -> None:
        self._progress, self._session = progress, session
        self._lease = Lease.of(session) if session and session.fence is not None else None
        self._store = LeaseStore(clients, clients.environment.table)
        self._renewed = time.monotonic()

    def __call__(self, text: str) -> None:
        if text:
            self._progress(text)
        refuse_when_cancelled(self._session)
        if self._lease and time.monotonic() - self._renewed >= HEARTBEAT_SECONDS:
            self._store.renew(self._lease)
            self._renewed = time.monotonic()
