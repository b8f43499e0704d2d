#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: semaphore_project
short_description: Have a project in Semaphore UI
version_added: 0.1.0
description:
  - Makes a project that is missing by one request, from Semaphore's own restore document, with O(objects) in it.
  - Of a project that is there it changes the settings alone; M(daily_emr.ops.semaphore_object) changes its objects.
author:
  - Daily EMR operations (@daily-emr)
options:
  settings:
    description: The project, with the fields of Semaphore's API; C(name) finds it.
    type: dict
    required: true
  objects:
    description:
      - What a new project is made with, each with C(kind) and C(definition) as in M(daily_emr.ops.semaphore_object).
      - Until they are applied, templates have no parameters of tasks, schedules are not active and keys have no type.
    type: list
    elements: dict
    default: []
attributes:
  check_mode:
    description: Sends no request that changes anything and says what would be made or changed.
    support: full
  diff_mode:
    description: Shows the settings that differ, and the names of the objects of a new project.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.semaphore
"""

EXAMPLES = r"""
- name: Have the project
  daily_emr.ops.semaphore_project:
    url: https://semaphore.example.org
    settings: {name: Daily EMR, alert: true, max_parallel_tasks: 4}
    objects:
      - kind: key
        definition: {name: None, type: none}
"""

RETURN = r"""
msg:
  description: What was done, or would be.
  returned: always
  type: str
  sample: The project Daily EMR was made with 72 objects.
"""

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Entry, Params, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._semaphore import CONNECTION_SPEC, Json, Semaphore
from ansible_collections.daily_emr.ops.plugins.module_utils._semaphore_objects import (
    different,
    named,
    project_id,
    restore_document,
)


def run(params: Params, context: Context) -> dict[str, Any]:
    """Restore the project, or change its settings."""
    settings, objects = params["settings"], params["objects"]
    name = settings.get("name")
    if not name:
        raise Refused("A project without a name cannot be found again: give its settings a name.")
    server = Semaphore.of(params)
    number = project_id(server, name)
    what = f"the project {name}"
    if number is None:
        names = [f"{entry['kind']} {named(entry['kind'], entry['definition'])}" for entry in objects]
        if not context.check_mode:
            server.write("POST", "projects/restore", restore_document(settings, objects), what)
        done = "would be" if context.check_mode else "was"
        return _result({}, {**settings, "objects": names}, f"The project {name} {done} made with {len(names)} objects.")
    found = server.read(f"project/{number}", what)
    fields = different(settings, found)
    if not fields:
        return {
            "changed": False,
            "diff": {"before": {}, "after": {}},
            "msg": f"The project {name} is as defined already.",
        }
    if not context.check_mode:
        server.write("PUT", f"project/{number}", {**settings, "id": number}, what)
    before, after = ({key: side.get(key) for key in fields} for side in (found, settings))
    return _result(before, after, f"The project {name} {'would be' if context.check_mode else 'was'} changed.")


def _result(before: Json, after: Json, sentence: str) -> Json:
    return {"changed": True, "diff": {"before": before, "after": after}, "msg": sentence}


ENTRY = Entry(
    {
        **CONNECTION_SPEC,
        "settings": {"type": "dict", "required": True},
        "objects": {"type": "list", "elements": "dict", "default": []},
    },
    run,
)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
