#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: diagnosis
short_description: Name the cause that the observations support
version_added: 0.1.0
description:
  - Takes the first cause of a decision table that has all its support and no contradiction.
  - An observation that could not be read rules nothing in and nothing out. A cause that only such an observation
    keeps open is listed as possible and is never chosen; a person decides then.
  - Calls nobody. The same table and the same observations always give the same answer.
author:
  - Daily EMR operations (@daily-emr)
options:
  observations:
    description: What was observed, as the modules that read return it.
    type: list
    elements: dict
    required: true
  healthy:
    description: Whether users are served; leave it out when that is not known. Without a symptom no cause is sought.
    type: bool
  causes:
    description: The decision table, most telling cause first.
    type: list
    elements: dict
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
- name: Decide
  daily_emr.ops.diagnosis:
    environment: "{{ emr_environment }}"
    observations: "{{ app_outage_health.observations }}"
    healthy: "{{ app_outage_health.healthy }}"
    causes: "{{ app_outage_causes }}"
  register: decision
"""

RETURN = r"""
verdict:
  description: One of V(healthy), V(cause) and V(undetermined).
  returned: success
  type: str
  sample: cause
cause:
  description: Name of the cause, empty when there is none.
  returned: success
  type: str
  sample: bad_release
because:
  description: What speaks for the cause.
  returned: success
  type: str
  sample: Errors come only from tasks of the newest release, and it is new.
evidence:
  description: The findings that support the cause.
  returned: success
  type: list
  elements: dict
  sample: [{"name": "release_recent", "status": "finding"}]
ruled_out:
  description: Every other cause of the table, and why it is not the answer.
  returned: success
  type: list
  elements: dict
  sample: [{"cause": "zone_impaired", "why": "not supported: zone_impaired not found"}]
mitigations:
  description: What the table would do about the cause, least invasive first.
  returned: success
  type: list
  elements: str
  sample: [stop_deployment, roll_back_release]
hand_off:
  description: Who has to go on, and with what, when the runbook cannot.
  returned: success
  type: str
  sample: This is not an application problem, run runbooks/database_failover.yml.
sentence:
  description: The answer in a sentence.
  returned: success
  type: str
  sample: Errors come only from tasks of the newest release, and it is new.
"""

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._decision import decide
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import (
    COMMON_SPEC,
    Context,
    Entry,
    Params,
    run_module,
)

ARGUMENT_SPEC: dict[str, Any] = {
    "observations": {"type": "list", "elements": "dict", "required": True},
    "healthy": {"type": "bool"},
    "causes": {"type": "list", "elements": "dict", "required": True},
    **COMMON_SPEC,
}


def run(params: Params, _context: Context) -> dict[str, Any]:
    result = decide(params["causes"], params["observations"], params["healthy"]).as_result()
    session = Session.from_params(params.get("incident"))
    if session:
        Journal.of(session).append("decided", **result)
    return {"changed": False, **result}


ENTRY = Entry(ARGUMENT_SPEC, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
