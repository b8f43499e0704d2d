#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: inputs
short_description: Refuse extra vars that no runbook declares
version_added: 0.1.0
description:
  - Looks at the extra vars as they were given, before anything uses them. Ansible executes extra vars as templates.
  - Refuses names that neither the role C(incident) nor the role of the runbook declares, names that begin with
    C(ansible_), values of another type than the declared one, template markers and control characters.
  - Every module of this collection looks in the same way; as the first task it makes sure that nothing is earlier.
  - Runs on the controller only, because only the controller knows the extra vars.
author:
  - Daily EMR operations (@daily-emr)
attributes:
  check_mode:
    description: Does in check mode exactly what it does without.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Refuse inputs that no runbook declares
  daily_emr.ops.inputs:
"""

RETURN = r"""
msg:
  description: That all inputs are declared, or which one is not and what to do.
  returned: always
  type: str
  sample: "incident_idd is not an input of this runbook: did you mean incident_id?"
"""

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Entry, Params, run_module


def run(_params: Params, context: Context) -> dict[str, Any]:
    """The action looked at the inputs before it got here; as a module on a host nobody could."""
    if not context.on_controller:
        raise Refused("Inputs can only be checked on the controller: use a local connection, without become and async.")
    return {"changed": False, "msg": "All inputs are declared."}


ENTRY = Entry({}, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
