#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: incident_info
short_description: Say what an incident is about and how far it has come
version_added: 0.1.0
description:
  - Reads the journals of all runs of an incident, from this machine and from the table of the environment, so that it
    can be gone on with, or taken back, by its name alone.
author:
  - Daily EMR operations (@daily-emr)
options:
  id:
    description: The incident, C(INC-...).
    type: str
    required: true
  runs_dir:
    description:
      - Folder of the run folders.
      - Without it the environment variable E(DAILY_EMR_RUNS) counts, else C(.runs) in the project.
    type: path
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
- name: Find out what the incident is about
  daily_emr.ops.incident_info:
    environment: "{{ emr_environment }}"
    id: INC-20261122-013000-9f3a
  register: found
"""

RETURN = r"""
runbook:
  description: The runbook that it was begun with.
  returned: success
  type: str
  sample: app_outage
components:
  description: The components on which something was intended, or else all that it was opened for.
  returned: success
  type: list
  elements: str
  sample: [emr-web]
environment:
  description: The environment that it is in.
  returned: success
  type: str
  sample: staging
inputs:
  description: The inputs of its newest run, without those that are only for one run.
  returned: success
  type: dict
  sample: {"app_outage_verify_passes": 5}
runs:
  description: Its runs, oldest first.
  returned: success
  type: list
  elements: str
  sample: ["20261122-013000-77c1"]
in_doubt:
  description: Steps whose end nobody knows.
  returned: success
  type: list
  elements: dict
  sample: []
done:
  description: Steps that are done and were not taken back.
  returned: success
  type: list
  elements: dict
  sample: []
"""

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._history import read_history
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import INCIDENT_ID, runs_folder
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import (
    COMMON_SPEC,
    Context,
    Entry,
    Params,
    connect,
    run_module,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._resume import about

ARGUMENT_SPEC: dict[str, Any] = {
    "id": {"type": "str", "required": True},
    "runs_dir": {"type": "path"},
    **COMMON_SPEC,
}


def run(params: Params, context: Context) -> dict[str, Any]:
    if not INCIDENT_ID.fullmatch(params["id"]):
        raise Refused("An incident is named like INC-20261122-013000-9f3a: letters, digits and dashes after INC-.")
    clients, _session = connect(params)
    clients.prove()
    folder = runs_folder(params["runs_dir"], context.project) / params["id"]
    return {"changed": False, **about(read_history(clients, folder, params["id"]))}


ENTRY = Entry(ARGUMENT_SPEC, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
