#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: teardown
short_description: Take an ephemeral environment down
version_added: 0.1.0
description:
  - Removes what carries the tags of the environment, and nothing else; names are never looked at.
  - Refuses staging and production, and a confirmation that is not the name of the environment, before any call.
  - Leaves keys of KMS and buckets that are not empty, and says so. What AWS still takes down is left for another run.
author:
  - Daily EMR operations (@daily-emr)
options:
  builder_role_pattern:
    description: Regular expression of the roles that may take the environment down.
    type: str
    required: true
  confirm:
    description: The name of the environment, typed by who wants it gone.
    type: str
    required: true
  copy_region:
    description: The second region, where copies are.
    type: str
    required: true
  tags:
    description: The tags that bootstrap gave to what it made. All of them must be there.
    type: dict
    required: true
attributes:
  check_mode:
    description: Lists what would be removed.
    support: full
  diff_mode:
    description: The result names what was removed, which is the difference.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
"""

EXAMPLES = r"""
- name: Take the environment down
  daily_emr.ops.teardown:
    environment: "{{ emr_environment }}"
    builder_role_pattern: "{{ emr_teardown_role_pattern }}"
    confirm: development
    copy_region: "{{ emr_copy_region }}"
    tags: "{{ emr_tags }}"
"""

RETURN = r"""
removed:
  description: ARNs of what was removed, or would be.
  returned: success
  type: list
  elements: str
  sample: ["arn:aws:sns:af-south-1:123456789012:daily-emr-development-oncall"]
left:
  description: What carries the tags and is still there, and why.
  returned: success
  type: list
  elements: str
  sample: ["arn:aws:kms:af-south-1:123456789012:key/1: a key is never deleted by a program"]
"""

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._account import builder_clients, builder_environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import (
    COMMON_SPEC,
    Context,
    Entry,
    Params,
    run_module,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._teardown import take_down, teardown_refusals

SPEC: dict[str, Any] = {
    "builder_role_pattern": {"type": "str", "required": True},
    "confirm": {"type": "str", "required": True},
    "tags": {"type": "dict", "required": True},
    "copy_region": {"type": "str", "required": True},
}


def run(params: Params, context: Context) -> dict[str, Any]:
    reasons = teardown_refusals(str(params["environment"].get("name")), params["confirm"])
    if params["tags"].get("Environment") != params["environment"].get("name"):
        reasons.append("The tags are those of another environment: nothing was removed.")
    if reasons:
        raise Refused(*reasons)
    clients = builder_clients(builder_environment(params["environment"], params["builder_role_pattern"]))
    identity = clients.prove()
    tags = {str(key): str(value) for key, value in params["tags"].items()}
    return take_down(clients, tags, params["copy_region"], identity.role, check_mode=context.check_mode)


ENTRY = Entry({**SPEC, **COMMON_SPEC}, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
