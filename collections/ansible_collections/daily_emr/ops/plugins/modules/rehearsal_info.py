#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: rehearsal_info
short_description: Read the evidence of a rehearsal back, as readiness will
version_added: 0.1.0
description:
  - Reads the newest evidence of a scenario, or the one that is named, from the bucket of the dumps, and says whether
    readiness can count it. It counts when the rehearsal succeeded and tells both the time to recover and what may be
    lost.
author:
  - Daily EMR operations (@daily-emr)
options:
  scenario:
    description: What was rehearsed.
    type: str
    required: true
  key:
    description: The key of the evidence to read, such as the one just written. Empty means the newest.
    type: str
    default: ""
attributes:
  check_mode:
    description: Reads as ever.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.dumps
"""

EXAMPLES = r"""
- name: Read the evidence back
  daily_emr.ops.rehearsal_info:
    dumps: "{{ dumps }}"
    scenario: region_failover
"""

RETURN = r"""
verified:
  description: Whether it counts; null when it does not tell a figure.
  returned: always
  type: bool
  sample: true
key:
  description: The key of the evidence, empty where there is none.
  returned: always
  type: str
  sample: rehearsals/region_failover/2026/11/30/021500Z.json
rto_s:
  description: The measured time to recover in seconds.
  returned: when it counts
  type: float
  sample: 812.0
rpo_s:
  description: Seconds of acknowledged writes that were, or may have been, lost.
  returned: when it counts
  type: float
  sample: 0.0
sentence:
  description: The same in one sentence.
  returned: always
  type: str
  sample: "region_failover took 812 s, and up to 0.0 s of acknowledged writes may be lost."
"""

import json
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._dumps import DUMPS_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Report, Unknown
from ansible_collections.daily_emr.ops.plugins.module_utils._rehearsals import newest

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress


def read(params: Params, clients: Clients, _progress: Progress) -> dict[str, Any]:
    """The evidence of a scenario that is named, or its newest one, judged."""
    bucket, scenario = params["dumps"]["bucket"], params["scenario"]
    key = params["key"] or newest(clients, bucket, scenario)
    if not key:
        return {"verified": False, "key": "", "sentence": f"{scenario} has left no evidence in {bucket}."}
    if not key.startswith(f"rehearsals/{scenario}/"):
        raise Refused(f"{key} is no evidence of {scenario}.")
    return {"key": key, **judged(scenario, key, clients.evidence(bucket, key))}


def judged(scenario: str, key: str, text: str) -> dict[str, Any]:
    """What an evidence is worth; pure."""
    try:
        report = Report.of(json.loads(text), key)
    except Unknown as error:
        return {"verified": None, "sentence": f"{error} Readiness will not count it."}
    if not report.ok:
        return {"verified": False, "sentence": f"{scenario} did not succeed, and that is kept: see {key}."}
    lost = f"up to {report.rpo_s} s of acknowledged writes may be lost"
    return {
        "verified": True,
        "rto_s": report.rto_s,
        "rpo_s": report.rpo_s,
        "sentence": f"{scenario} took {report.rto_s:.0f} s, and {lost}.",
        "reached": f"{scenario} took {report.rto_s:.0f} s, and {lost}",
    }


SPEC: dict[str, Any] = {
    "dumps": DUMPS_OPTION,
    "scenario": {"type": "str", "required": True},
    "key": {"type": "str", "default": "", "no_log": False},
}
ENTRY = read_entry(SPEC, read)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
