#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: undo
short_description: Take back one step of an incident
version_added: 0.1.0
description:
  - Does the inverse of one step that the incident has done, as a step of its own, under the lease of the run.
  - Refuses, with what was left and what is, when the state is no longer what the step left.
  - A step that was taken back already, or that nothing can take back, is left alone, and that is said.
author:
  - Daily EMR operations (@daily-emr)
options:
  run:
    description: The run that did the step.
    type: str
    required: true
  seq:
    description: The number of its line in the journal of that run.
    type: int
    required: true
  components:
    description:
      - The components of the inventory that a step may be about, a list for each option that takes one. What the
        inventory says of a component counts more than what the journal says.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Reports what would be taken back, without doing it.
    support: full
  diff_mode:
    description: Shows the state before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
"""

EXAMPLES = r"""
- name: Take the steps of the incident back, newest first
  daily_emr.ops.undo:
    environment: "{{ emr_environment }}"
    incident: "{{ lease.incident }}"
    run: "{{ item.run }}"
    seq: "{{ item.seq }}"
    components:
      service: ["{{ web_service }}"]
  loop: "{{ undo_health.steps }}"
"""

RETURN = r"""
outcome:
  description: How the step ended, one of V(ok), V(noop), V(planned), V(refused), V(failed) and V(unknown).
  returned: always
  type: str
  sample: ok
step:
  description: The step that takes it back.
  returned: always
  type: str
  sample: feature_flag
target:
  description: What it is about.
  returned: always
  type: str
  sample: flag/daily-emr/staging/new-chart-view
refusals:
  description: Why it was not taken back, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: []
"""

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import (
    COMMON_SPEC,
    Context,
    Entry,
    Params,
    run_module,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._undoing import COMPONENTS_SPEC, opened

ARGUMENT_SPEC: dict[str, Any] = {
    "run": {"type": "str", "required": True},
    "seq": {"type": "int", "required": True},
    **COMPONENTS_SPEC,
    **COMMON_SPEC,
}


def run(params: Params, context: Context) -> dict[str, Any]:
    return opened(params).undo(params["run"], params["seq"], check_mode=context.check_mode)


ENTRY = Entry(ARGUMENT_SPEC, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
