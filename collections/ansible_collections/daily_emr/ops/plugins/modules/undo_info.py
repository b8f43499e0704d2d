#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: undo_info
short_description: List what an incident has done and what of it can be taken back
version_added: 0.1.0
description:
  - Reads the journals of all runs of the incident, from this machine and from the table, and looks at what each step
    was about.
author:
  - Daily EMR operations (@daily-emr)
options:
  components:
    description:
      - The components of the inventory that a step may be about, a list for each option that takes one. What the
        inventory says of a component counts more than what the journal says.
    type: dict
    default: {}
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
- name: List what can be taken back
  daily_emr.ops.undo_info:
    environment: "{{ emr_environment }}"
    incident: "{{ opened.incident }}"
    components:
      service: ["{{ web_service }}"]
  register: undo_health
"""

RETURN = r"""
observations:
  description: Whether there is something to take back, and whether each step is still as it was left.
  returned: success
  type: list
  elements: dict
  sample: [{"name": "steps_to_undo", "status": "finding"}]
healthy:
  description: V(true) when there is nothing to take back.
  returned: success
  type: bool
  sample: true
steps:
  description: The steps that can be taken back, newest first.
  returned: success
  type: list
  elements: dict
  sample: [{"run": "20261122-013000-77c1", "seq": 9, "step": "feature_flag", "target": "flag/emr/staging/new-chart"}]
irreversible:
  description: The steps that nothing takes back, each with the reason.
  returned: success
  type: list
  elements: str
  sample: ["ecs_service_count on service/emr/web: Nothing to undo: a desired count of 0 was the incident."]
undone:
  description: The steps that were taken back already.
  returned: success
  type: list
  elements: dict
  sample: []
"""

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import (
    Params,
    Progress,
    read_entry,
    run_module,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._undo import plan
from ansible_collections.daily_emr.ops.plugins.module_utils._undoing import COMPONENTS_SPEC, opened


def read(params: Params, _clients: Clients, _progress: Progress) -> dict[str, Any]:
    return plan(opened(params))


ENTRY = read_entry(COMPONENTS_SPEC, read)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
