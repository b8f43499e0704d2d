#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: notifications
short_description: Tell people of a run, beside it
version_added: 0.1.0
description:
  - V(begun) starts a process that tells people what happens in the run, and returns at once. It reads the journal of
    the run, so nothing waits for a provider, and nothing fails because one does not answer.
  - V(settled) waits, for O(timeout) seconds at most, until everything is told, and says what is not.
  - V(told) tells what earlier runs of an incident owe people, oldest run first, each once.
  - What is told comes from allow-listed fields, and a text that might name a patient is not sent.
  - The keys of the providers are environment variables - E(PAGERDUTY_ROUTING_KEY), E(PAGERDUTY_API_TOKEN) for notes,
    E(SLACK_BOT_TOKEN), E(STATUSPAGE_API_KEY), E(GRAFANA_TOKEN). A sandbox has its own in a file.
  - Never fails, and changes no component. In check mode nobody is told anything.
author:
  - Daily EMR operations (@daily-emr)
options:
  state:
    description: What is to be done.
    type: str
    choices: [begun, settled, told]
    required: true
  settings:
    description:
      - By channel, where it is. Channels are C(pagerduty) with C(url), C(api_url), C(from) and C(source), C(slack) with
        C(url) and C(channel), C(statuspage) with C(url), C(page) and C(components), C(grafana) with C(url).
      - A channel that is not there is not used.
    type: dict
    required: true
  templates:
    description: The folder of the texts.
    type: path
    required: true
  timeout:
    description: How long to wait for providers after the run has closed, in seconds.
    type: int
    default: 15
  id:
    description: The incident whose runs are told of, with V(told).
    type: str
    default: ""
  runs_dir:
    description: The folder of the runs; E(DAILY_EMR_RUNS), or V(.runs) in the project.
    type: path
attributes:
  check_mode:
    description: Nobody is told anything.
    support: full
  diff_mode:
    description: There is no state to show.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
"""

EXAMPLES = r"""
- name: Tell people what happens from here on
  daily_emr.ops.notifications:
    state: begun
    settings: "{{ emr_notifications }}"
    templates: "{{ role_path }}/templates/notifications"
"""

RETURN = r"""
owed:
  description: What is not told, with O(state=settled) and O(state=told).
  returned: success
  type: list
  elements: dict
  sample: [{"event": "closed", "channel": "slack", "msg": "timeout after 10000 ms", "hope": true}]
"""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._channels import CHANNELS
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import (
    INCIDENT_ID,
    JOURNAL,
    Session,
    runs_folder,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import (
    COMMON_SPEC,
    Context,
    Entry,
    Params,
    run_module,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._notifier import LOOK_S, Work, begin, owed, serve, started

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["begun", "settled", "told"], "required": True},
    "settings": {"type": "dict", "required": True},
    "templates": {"type": "path", "required": True},
    "timeout": {"type": "int", "default": 15},
    "id": {"type": "str", "default": ""},
    "runs_dir": {"type": "path"},
    **COMMON_SPEC,
}
TOKENS_FILE = "notification_tokens"


def run(params: Params, context: Context) -> dict[str, Any]:
    session = Session.from_params(params.get("incident"))
    if context.check_mode:
        return _said([])
    if params["state"] == "told":
        return _tell_later(params, context)
    if session is None:
        raise Refused("There is no open incident to tell of: run the runbook from its start.")
    # The parent of the Ansible worker is the playbook: without it nothing more will happen.
    parent = os.getppid()
    work = replace(_work(params, session.folder), pid=parent, born=started(parent))
    if params["state"] == "begun":
        begin(work, context.project / "collections", os.environ)
        return {"changed": False, "owed": [], "msg": "People are told from here on."}
    until = time.monotonic() + params["timeout"]
    left = owed(session.folder, work)
    while any(one["hope"] for one in left) and time.monotonic() < until:
        time.sleep(LOOK_S)
        left = owed(session.folder, work)
    return _said(left)


def _tell_later(params: Params, context: Context) -> dict[str, Any]:
    if not INCIDENT_ID.fullmatch(params["id"]):
        raise Refused("An incident is named like INC-20261122-013000-9f3a: letters, digits and dashes after INC-.")
    folder = runs_folder(params["runs_dir"], context.project) / params["id"]
    runs = sorted(path.parent for path in folder.glob(f"*/{JOURNAL}"))
    if not runs:
        raise Refused(f"There is no run of {params['id']} in {folder.parent}: tell it from the machine that ran it.")
    left: list[dict[str, Any]] = []
    for one in runs:
        work = _work(params, one)
        serve(work)
        left += owed(one, work)
    return _said(left)


def _work(params: Params, folder: Path) -> Work:
    environment = Environment.from_params(params["environment"])
    return Work(
        folder=str(folder),
        settings=dict(params["settings"]),
        tokens=_tokens(environment),
        templates=str(params["templates"]),
        settle_s=float(params["timeout"]),
    )


def _tokens(environment: Environment) -> dict[str, str]:
    """By name: from the environment variables, in the sandbox from its file, a line for each."""
    names = [name for kind in CHANNELS for name in kind.tokens]
    given = {name: os.environ.get(name, "") for name in names}
    if environment.sandbox:
        path = Path(str(environment.credentials_file)).parent / TOKENS_FILE
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        given = dict(line.partition("=")[::2] for line in lines)
    return {name: given[name] for name in names if given.get(name)}


def _said(left: list[dict[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {"changed": False, "owed": left, "msg": "Everybody is told."}
    if left:
        parts = sorted({f"{one['channel']} ({one['msg'] or 'no answer yet'})" for one in left})
        result["msg"] = f"NOT NOTIFIED: {len(left)} of what happened, in {', '.join(parts)}."
        result["warnings"] = [result["msg"]]
    return result


ENTRY = Entry(ARGUMENT_SPEC, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
