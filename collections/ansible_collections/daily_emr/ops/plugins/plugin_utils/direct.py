# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Runs the work of a module in the Ansible worker itself: the same Entry, without a process, an interpreter and a
second import of boto3 for each task. With become, async, another connection or an environment it runs as a module.
"""

from __future__ import annotations

import gc
import json
from importlib import import_module
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import preload
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import (
    Context,
    Entry,
    failure,
    find_project,
    perform,
)
from ansible_collections.daily_emr.ops.plugins.plugin_utils.guard import given_inputs, refuse_inputs
from ansible_collections.daily_emr.ops.plugins.plugin_utils.quiet import install

MODULES = "ansible_collections.daily_emr.ops.plugins.modules"

# The parent loads an action plugin before it forks the worker: what is loaded here is loaded once for all tasks, and
# frozen so that no worker copies it page by page when it collects garbage. No network I/O happens in the parent.
preload()
# Where a setting of the shell replaces the callbacks of ansible.cfg, what no_log hides still stays hidden.
install()
gc.collect()
gc.freeze()


class ActionModule(ActionBase):  # type: ignore[misc]
    """The action of every module of this collection."""

    _supports_check_mode = True
    _supports_async = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        del tmp
        name = str(self._task.action).rpartition(".")[2]
        project = find_project(Path(str(variables.get("playbook_dir") or ".")).absolute())
        try:
            refuse_inputs(self._loader, project, self._roles(variables))
            if not self._in_process():
                return {**result, **self._as_module(variables)}
            entry: Entry = import_module(f"{MODULES}.{name}").ENTRY
            params = self._validated(name, entry)
        except OpsError as error:
            return {**result, **failure(error)}
        context = Context(
            check_mode=bool(self._task.check_mode),
            diff=bool(self._task.diff),
            progress=self._progress(str(variables.get("inventory_hostname") or "")),
            project=project,
            on_controller=True,
            inputs=given_inputs(self._loader, project, self._roles(variables)),
        )
        return {**result, **perform(name, entry, params, context)}

    def _roles(self, variables: dict[str, Any]) -> set[str]:
        """The roles whose inputs count: those of the play, the one this task is in, and that of the runbook."""
        roles = set(variables.get("ansible_play_role_names") or []) | {str(variables.get("role_name") or "")}
        roles.add(str(variables.get("incident_runbook") or ""))
        return {role.rpartition(".")[2] for role in roles if role}

    def _in_process(self) -> bool:
        return (
            self._connection.transport in ("local", "ansible.builtin.local")
            and not self._play_context.become
            and not self._task.async_val
            and not any(self._task.environment or [])
        )

    def _as_module(self, variables: dict[str, Any]) -> dict[str, Any]:
        done: dict[str, Any] = self._execute_module(task_vars=variables, wrap_async=bool(self._task.async_val))
        return done

    def _validated(self, name: str, entry: Entry) -> dict[str, Any]:
        """The options of the task, typed. They are copied as plain data, so that nothing in a result is a template."""
        given = json.loads(json.dumps(self._task.args, default=str))
        checked = ArgumentSpecValidator(entry.argument_spec).validate(given)
        if checked.error_messages:
            raise Refused(f"The options of {name} are not right: {'; '.join(checked.error_messages)}.")
        params: dict[str, Any] = checked.validated_parameters
        return params

    def _progress(self, host: str) -> Any:
        return lambda text: self._display.display(f"  {host}: {text}")
