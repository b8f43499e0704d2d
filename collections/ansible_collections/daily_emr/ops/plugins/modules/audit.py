#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: audit
short_description: Hold the journals of an incident against their chain, the table and the bucket
version_added: 0.3.0
description:
  - Each line of a journal holds the hash of the one before. This finds lines that were edited, removed, moved or put
    in.
  - The table of the environment holds the line of the lease, of each change and of the end. Against them it finds an
    end that was cut off, and a journal that was written anew.
  - The bucket of the audit holds, under object lock, the head of each run that announced a change. Against it, it finds
    a journal that was written anew together with the table. Each fault names the witness. A bucket that does not answer
    is a fault, and a journal without a head is "not anchored in the bucket".
  - It fails when there is a fault, and changes nothing.
author:
  - Daily EMR operations (@daily-emr)
options:
  incident_id:
    description: The incident.
    type: str
    required: true
  runs_dir:
    description:
      - Folder of the run folders.
      - Without it the environment variable E(DAILY_EMR_RUNS) counts, else C(.runs) in the project.
    type: path
attributes:
  check_mode:
    description: Reads as ever.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
"""

EXAMPLES = r"""
- name: Look whether a journal is as it was written
  daily_emr.ops.audit:
    environment: "{{ emr_environment }}"
    incident_id: INC-20261122-013000-9f3a
"""

RETURN = r"""
runs:
  description: The journals, oldest first.
  returned: always
  type: list
  elements: dict
  contains:
    incident:
      description: The incident.
      type: str
    run:
      description: The run.
      type: str
    lines:
      description: How many lines the journal has here.
      type: int
    anchors:
      description: How many of them the table holds.
      type: int
    heads:
      description: How many heads of it the bucket holds; none when it did not answer.
      type: int
    faults:
      description: What is wrong, one sentence for each fault.
      type: list
      elements: str
    sentence:
      description: The same in one sentence.
      type: str
sentence:
  description: All of it in one sentence.
  returned: always
  type: str
  sample: The journals of INC-20261122-013000-9f3a are as they were written.
"""

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._audit import Anchors, anchors_of, audit
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._heads import heads_of
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import INCIDENT_ID, runs_folder
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import (
    COMMON_SPEC,
    Context,
    Entry,
    Params,
    connect,
    run_module,
)

ARGUMENT_SPEC: dict[str, Any] = {
    "incident_id": {"type": "str", "required": True},
    "runs_dir": {"type": "path"},
    **COMMON_SPEC,
}


def run(params: Params, context: Context) -> dict[str, Any]:
    incident = params["incident_id"]
    if not INCIDENT_ID.fullmatch(incident):
        raise Refused("incident_id must look like INC-20261122-013000-9f3a: letters, digits and dashes after INC-.")
    clients, _session = connect(params)
    clients.prove()
    heads: Anchors | OpsError
    try:
        heads = heads_of(clients, incident)
    except OpsError as error:
        heads = error
    found = audit(runs_folder(params["runs_dir"], context.project), incident, anchors_of(clients, incident), heads)
    faults = [f"{one.run}: {fault}" for one in found for fault in one.faults]
    sentence = (
        f"The journals of {incident} have {len(faults)} faults. {faults[0]}"
        if faults
        else f"The journals of {incident} are as they were written."
    )
    result = {"changed": False, "runs": [one.as_result() for one in found], "sentence": sentence, "msg": sentence}
    return {**result, "failed": True} if faults else result


ENTRY = Entry(ARGUMENT_SPEC, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
