#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: semaphore_task
short_description: Start a template of Semaphore UI, and nothing else than that
version_added: 0.1.0
description:
  - Reads the template first. Semaphore drops a limit that a template does not allow without an error, and runs on the
    whole inventory; and it takes the answers of a survey as they come. So both are refused here instead.
  - Refuses answers that the survey does not ask for, that are none of its values, that are missing, or that hold
    template markers, which Ansible would execute.
  - Knows no way to name another playbook, inventory or branch, though Semaphore would take them.
  - Starts a task by one request. To start is not idempotent. A request whose answer was lost is never sent again, and
    the list of tasks of the template says what became of it.
author:
  - Daily EMR operations (@daily-emr)
options:
  project:
    description: Name of the project.
    type: str
    required: true
  template:
    description: Name of the template.
    type: str
    required: true
  answers:
    description: Answers to the survey of the template, by the names of its variables.
    type: dict
    default: {}
  limit:
    description: Components to run on. Refused where the template has its own limit or allows none.
    type: list
    elements: str
    default: []
  reason:
    description: Why it is started, for the list of tasks.
    type: str
    default: ""
attributes:
  check_mode:
    description: Says whether the task would be started, and starts none.
    support: full
  diff_mode:
    description: Shows what would be started.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.semaphore
"""

EXAMPLES = r"""
- name: Plan the incident in production
  daily_emr.ops.semaphore_task:
    url: https://semaphore.example.org
    project: Daily EMR
    template: app_outage on production (plan)
    answers: {incident_id: INC-20261130-7}
    reason: Alert 4711
"""

RETURN = r"""
task:
  description: Number of the task, 0 in check mode.
  returned: success
  type: int
  sample: 23
msg:
  description: What was started, or would be.
  returned: always
  type: str
  sample: Task 23 of app_outage on production (plan) was started.
"""

import json
from collections.abc import Iterator
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallUnknown, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._inputs import hostile
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Entry, Params, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._semaphore import CONNECTION_SPEC, Json, Semaphore
from ansible_collections.daily_emr.ops.plugins.module_utils._semaphore_objects import find, project_id


def run(params: Params, context: Context) -> dict[str, Any]:
    """Read the template, refuse what it would not do, start it."""
    server = Semaphore.of(params)
    name = params["template"]
    number = project_id(server, params["project"])
    template = find(server, number, "template", name) if number is not None else None
    if template is None:
        raise Refused(f"Semaphore at {server.url} has no template {name} in {params['project']}: check its name.")
    reasons = list(refusals(template, params["answers"], params["limit"]))
    if reasons:
        raise Refused(*reasons)
    body: Json = {
        "template_id": template["id"],
        "environment": json.dumps(params["answers"], sort_keys=True),
        "message": params["reason"],
        **({"params": {"limit": params["limit"]}} if params["limit"] else {}),
    }
    shown = {"before": {}, "after": {"template": name, "answers": params["answers"], "limit": params["limit"]}}
    if context.check_mode:
        return {"changed": True, "diff": shown, "task": 0, "msg": f"{name} would be started."}
    # A second request starts a second task.
    again = f"look at the list of tasks of {name} first, and start it again only when it has none of this minute"
    started = server.write("POST", f"project/{number}/tasks", body, f"a task of {name}", again)
    if not isinstance(started, dict) or not started.get("id"):
        raise CallUnknown(
            f"Nobody can say whether a task of {name} was started, because Semaphore names none: {again}."
        )
    task = int(started["id"])
    return {"changed": True, "diff": shown, "task": task, "msg": f"Task {task} of {name} was started."}


def refusals(template: Json, answers: Json, limit: list[str]) -> Iterator[str]:
    """Why this task would not be what was asked for, pure: a sentence for each reason."""
    name = template["name"]
    allowed = (template.get("task_params") or {}).get("allow_override_limit", False)
    if limit and not allowed:
        yield f"{name} does not allow another limit, and Semaphore would drop it and run on everything: leave it out."
    yield from hostile(limit, "limit")
    asked = {entry["name"]: entry for entry in template.get("survey_vars") or []}
    for variable, value in answers.items():
        if variable not in asked:
            yield f"{name} asks for no {variable[:60]!a}: it asks for {', '.join(asked) or 'nothing'}."
            continue
        yield from hostile(value, variable)
        values = [entry["value"] for entry in asked[variable].get("values") or []]
        if values and value not in values:
            yield f"{variable} must be one of {', '.join(values)}: correct it."
    for variable, entry in asked.items():
        if entry.get("required") and answers.get(variable) in (None, ""):
            yield f"{name} needs {variable}: give it among the answers."


ENTRY = Entry(
    {
        **CONNECTION_SPEC,
        "project": {"type": "str", "required": True},
        "template": {"type": "str", "required": True},
        "answers": {"type": "dict", "default": {}},
        "limit": {"type": "list", "elements": "str", "default": []},
        "reason": {"type": "str", "default": ""},
    },
    run,
)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
