# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

# ruff: noqa: E402  # documentation first, as Ansible wants it

from __future__ import annotations

DOCUMENTATION = r"""
name: gate
type: aggregate
short_description: End a run that did nothing, or never reached its outcome, with an error
version_added: 0.1.0
description:
  - Ansible returns 0 when no host matched, when no task ran, when C(--start-at-task) names a task that does not
    exist, and when tags skipped the tasks that matter. This callback ends such a run with an error and one sentence.
  - The extra vars of a playbook with roles are judged before anything uses them.
  - A play with the role C(incident) has to run whole and to close its incident on every host. A failure of it that the
    playbook ignores or rescues stays a failure.
  - Other playbooks only have to run a task.
requirements:
  - Enable it with C(callbacks_enabled = daily_emr.ops.gate) in C(ansible.cfg).
"""

import sys
from pathlib import Path
from typing import Any, NoReturn

from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import find_project
from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import EXIT_CODES, RunOutcome
from ansible_collections.daily_emr.ops.plugins.plugin_utils.guard import LIFE_CYCLE_ROLE, refuse_inputs

INCIDENT_ACTION = "daily_emr.ops.incident"
PARTIAL = {"tags": "--tags", "skip_tags": "--skip-tags", "start_at_task": "--start-at-task"}
# Values that leave nothing out: the default of --tags, and what molecule always skips and no task here carries.
WHOLE = {"", "all", "molecule-notest", "molecule-idempotence-notest", "notest"}
NARROWING = {**PARTIAL, "subset": "--limit"}


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Counts what ran, and judges at the end. Exceptions of callbacks are swallowed by Ansible; SystemExit is not."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "daily_emr.ops.gate"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._play = self._pattern = ""
        self._is_runbook = False
        self._runbooks: dict[str, set[str]] = {}  # play -> hosts that started a task in it
        self._closed: set[tuple[str, str]] = set()
        self._hidden = ""  # an outcome that is no success, of which Ansible does not count a failure
        self._started = 0
        self._matched = False
        self._has_playbook = False

    def v2_playbook_on_start(self, playbook: Any) -> None:
        self._has_playbook = True
        roles: set[str] = set()
        for play in playbook.get_plays():
            names = _role_names(play)
            roles |= names
            if LIFE_CYCLE_ROLE in names:
                roles.add(str((play.vars or {}).get("incident_runbook", "")))
        if not roles:
            return
        project = find_project(Path(str(playbook._basedir)).absolute())
        try:
            refuse_inputs(playbook._loader, project, roles - {""})
        except Refused as error:
            _end(error.sentence, RunOutcome.REFUSED)
        if LIFE_CYCLE_ROLE in roles and (partial := _given(PARTIAL)):
            _end(
                f"{' and '.join(partial)} would leave out a part of the runbook, its guards among them: run it whole.",
                RunOutcome.REFUSED,
            )

    def v2_playbook_on_play_start(self, play: Any) -> None:
        # What a play is called before templates, so that nothing is evaluated here.
        self._pattern = ", ".join(play.hosts) if isinstance(play.hosts, list) else str(play.hosts)
        self._play = str(play.name or self._pattern)
        self._is_runbook = LIFE_CYCLE_ROLE in _role_names(play)
        self._matched = True
        if self._is_runbook:
            self._runbooks.setdefault(self._play, set())

    def v2_playbook_on_no_hosts_matched(self) -> None:
        self._matched = False
        if self._is_runbook:
            _end(
                f"The play {self._play!r} found no host in {self._pattern!r}, so nothing was done: "
                "look at the inventory and at --limit.",
                RunOutcome.FAILED_CLEAN,
            )

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._started += 1
        if self._is_runbook:
            self._runbooks[self._play].add(host.get_name())

    def v2_runner_on_ok(self, result: Any) -> None:
        self._note(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._note(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        if not self._has_playbook or any(stats.failures.values()) or any(stats.dark.values()):
            return  # Ansible ends with an error by itself
        used = _given(NARROWING)
        if not self._started and (used or not self._matched):
            why = f"look at {' and '.join(used)}" if used else "no host matched, look at the inventory"
            _end(f"No task ran, so nothing was done: {why}.", RunOutcome.FAILED_CLEAN)
        for play, hosts in self._runbooks.items():
            open_hosts = sorted(host for host in hosts if (play, host) not in self._closed)
            if open_hosts or not hosts:
                where = f" on {', '.join(open_hosts)}" if open_hosts else ""
                _end(
                    f"The play {play!r} ended without the outcome of its incident{where}, so its state is not known: "
                    "run it again.",
                    RunOutcome.FAILED_CLEAN,
                )
        if self._hidden:
            _end(
                f"The incident ended as {self._hidden}, and the playbook goes on as if nothing had failed: "
                "take ignore_errors and rescue out of it.",
                RunOutcome(self._hidden),
            )

    def _note(self, result: Any) -> None:
        if self._is_runbook and result.task.resolved_action == INCIDENT_ACTION and "exit_code" in result.result:
            self._closed.add((self._play, result.host.get_name()))
            if result.result["exit_code"]:
                self._hidden = str(result.result["outcome"])


def _role_names(play: Any) -> set[str]:
    return {str(role.get_name()).rpartition(".")[2] for role in play.get_roles()}


def _given(options: dict[str, str]) -> list[str]:
    """Those of the options of ansible-playbook that were given, as they are typed."""
    given = []
    for name, option in options.items():
        value = context.CLIARGS.get(name) or ()
        if ({value} if isinstance(value, str) else set(value)) - WHOLE:
            given.append(option)
    return given


def _end(sentence: str, outcome: RunOutcome) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.write(f"ERROR: {sentence}\n")
    sys.stderr.flush()
    raise SystemExit(EXIT_CODES[outcome])
