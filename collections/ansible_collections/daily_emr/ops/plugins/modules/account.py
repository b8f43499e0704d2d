#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: account
short_description: Prove that these credentials may build this environment in this account
version_added: 0.1.0
description:
  - Proves account, role, region and environment before anything is built or taken down. Calls nothing that changes.
  - An account that has no fingerprint yet is new, and that is no refusal. A fingerprint of another environment is.
author:
  - Daily EMR operations (@daily-emr)
options:
  builder_role_pattern:
    description: Regular expression of the roles that may build the environment.
    type: str
    required: true
attributes:
  check_mode:
    description: Does in check mode exactly what it does without.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
"""

EXAMPLES = r"""
- name: Prove where this is
  daily_emr.ops.account:
    environment: "{{ emr_environment }}"
    builder_role_pattern: "{{ emr_builder_role_pattern }}"
"""

RETURN = r"""
account_id:
  description: The account of the credentials.
  returned: success
  type: str
  sample: "123456789012"
operator:
  description: The name of the session of who builds.
  returned: success
  type: str
  sample: jane
"""

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._account import builder_clients, builder_environment
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import (
    COMMON_SPEC,
    Context,
    Entry,
    Params,
    run_module,
)


def run(params: Params, _context: Context) -> dict[str, Any]:
    environment = builder_environment(params["environment"], params["builder_role_pattern"])
    identity = builder_clients(environment).prove()
    return {"changed": False, "account_id": identity.account_id, "operator": identity.operator}


ENTRY = Entry({"builder_role_pattern": {"type": "str", "required": True}, **COMMON_SPEC}, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
