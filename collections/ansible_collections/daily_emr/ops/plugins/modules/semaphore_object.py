#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: semaphore_object
short_description: Have one object of a project in Semaphore UI as it is defined
version_added: 0.1.0
description:
  - Finds a key, an environment (a variable group), a repository, an inventory, a view, a template or a schedule by its
    name, and makes or changes it by one request where it is not as defined.
  - What O(definition) does not name stays as it is, but for what Semaphore itself removes with every change.
  - After a change it looks again, because Semaphore leaves out without an error what it does not know.
author:
  - Daily EMR operations (@daily-emr)
options:
  project:
    description: Name of the project, which has to be there except in check mode.
    type: str
    required: true
  kind:
    description: What it is.
    type: str
    choices: [key, environment, repository, inventory, view, template, schedule]
    required: true
  definition:
    description:
      - The object with the fields of Semaphore's API, and names where the API has ids; C(ssh_key) instead of
        C(ssh_key_id), C(inventory), C(repository), C(environment), C(view), C(template).
      - C(arguments) of a template is a JSON list as a text; C(env) and C(json) of an environment are variables.
    type: dict
    required: true
  secrets:
    description:
      - Secrets by their names, each with the environment variable that holds its value where Ansible runs. Of a key,
        C(login) and C(password), or C(login), C(passphrase) and C(private_key); of an environment, variables of tasks.
      - Sent where Semaphore has none yet; it never tells what they are. Those whose variable is not set are left
        alone.
    type: dict
    default: {}
  update_secrets:
    description: Whether to send all secrets again, which is a change each time.
    type: bool
    default: false
attributes:
  check_mode:
    description: Sends no request that changes anything and says what would be made or changed.
    support: full
  diff_mode:
    description: Shows the fields that differ, and the names of secrets that are sent.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.semaphore
"""

EXAMPLES = r"""
- name: Have the inventory of staging
  daily_emr.ops.semaphore_object:
    url: https://semaphore.example.org
    project: Daily EMR
    kind: inventory
    definition: {name: staging, type: file, inventory: inventories/staging/hosts.yml, ssh_key: None}
"""

RETURN = r"""
msg:
  description: What was done, or would be.
  returned: always
  type: str
  sample: The template app_outage on production was changed.
"""

import os
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Entry, Params, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._semaphore import CONNECTION_SPEC, Semaphore
from ansible_collections.daily_emr.ops.plugins.module_utils._semaphore_objects import KINDS, ensure, values_of


def run(params: Params, context: Context) -> dict[str, Any]:
    return ensure(
        Semaphore.of(params),
        params["project"],
        params["kind"],
        params["definition"],
        values_of(params["secrets"], os.environ),
        update_secrets=params["update_secrets"],
        check_mode=context.check_mode,
    )


ENTRY = Entry(
    {
        **CONNECTION_SPEC,
        "project": {"type": "str", "required": True},
        "kind": {"type": "str", "choices": list(KINDS), "required": True},
        "definition": {"type": "dict", "required": True},
        "secrets": {"type": "dict", "default": {}, "no_log": False},
        "update_secrets": {"type": "bool", "default": False, "no_log": False},
    },
    run,
)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
