#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_dump_info
short_description: Say whether there is a good dump, how old it is, and whether it was ever restored
version_added: 0.1.0
description:
  - Finds the newest dump by its manifest and asks S3 about each of its objects. Size, SHA-256, encryption, lock and
    copies are judged; what was hidden by a delete marker or written again is found and named.
  - Reads only. A bucket that cannot be read is an error, never an answer.
author:
  - Daily EMR operations (@daily-emr)
options:
  days:
    description: Days to look back.
    type: int
    default: 8
  max_age_h:
    description: Age of the newest dump, in hours, from which on it is too old; V(0) does not judge it.
    type: int
    default: 26
  max_check_age_h:
    description: Age of the newest restore check, in hours, from which on it is too old; V(0) does not judge it.
    type: int
    default: 0
  size_change_percent:
    description:
      - By how many percent the newest dump may be larger or smaller than the median of those before it; V(0) does not
        judge it. At least three must be there.
    type: int
    default: 0
  dump:
    description: Name of the dump that has to be the newest; any when it is empty.
    type: str
    default: ""
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.read
  - daily_emr.ops.dumps
"""

EXAMPLES = r"""
- name: Look for a dump of the last 26 hours that was restored within a week
  daily_emr.ops.database_dump_info:
    dumps: "{{ dumps }}"
    max_check_age_h: 168
"""

RETURN = r"""
verified:
  description: Whether there is a good dump, and nothing that was asked about is wrong.
  returned: always
  type: bool
  sample: true
sentence:
  description: What is wrong, or that nothing is.
  returned: always
  type: str
  sample: Dump 2026/11/30/013000Z is whole, locked until 2027-01-04 and 3 h old.
reached:
  description: What a run that ends with this has reached.
  returned: when verified
  type: str
  sample: dump 2026/11/30/013000Z is whole, locked until 2027-01-04 and 3 h old.
troubles:
  description: What is wrong, one by one.
  returned: always
  type: list
  elements: str
  sample: []
manifest:
  description: Manifest of the newest dump, null when there is none that can be read.
  returned: always
  type: dict
  sample: {"dump": 2026/11/30/013000Z, "bytes": 734003200}
age_h:
  description: Its age in hours, null when there is none.
  returned: always
  type: float
  sample: 3.2
incomplete:
  description: Folders without a manifest, which are no dumps.
  returned: always
  type: list
  elements: str
  sample: []
dumps:
  description: Names of the dumps of these days, the newest first.
  returned: always
  type: list
  elements: str
  sample: [2026/11/30/013000Z]
replication:
  description: Objects of the newest dump by the state of their copy in the second region, as S3 says it.
  returned: always
  type: dict
  sample: {"COMPLETED": 3}
restore_check:
  description: Record of the newest restore check, null when there is none.
  returned: always
  type: dict
  sample: {"result": passed, "dump": 2026/11/29/013000Z, "rto_seconds": 1260.5}
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._dump_objects import (
    age_of,
    check_troubles,
    look,
    replication_trouble,
    size_trouble,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._dumps import DUMPS_OPTION, retain_until
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import read_entry, run_module

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress


def info(params: Params, clients: Clients, _progress: Progress) -> dict[str, Any]:
    """Look at the bucket and judge."""
    now, dumps = datetime.now(UTC), params["dumps"]
    seen = look(clients, dumps, now=now, days=params["days"])
    troubles, name = list(seen.troubles), seen.names[0] if seen.names else ""
    age = age_of(name, now) if name else None
    if age is not None and params["max_age_h"] and age.total_seconds() > params["max_age_h"] * 3600:
        troubles.append(f"the newest dump {name} is {age.total_seconds() / 3600:.0f} h old")
    if params["dump"] and name != params["dump"]:
        troubles.append(f"the newest dump is {name or 'none'} instead of {params['dump']}")
    if seen.manifest and age is not None and dumps["replicated"]:
        troubles += filter(None, [replication_trouble(seen.replication, age)])
    if seen.manifest:
        size = size_trouble(int(seen.manifest["bytes"]), seen.earlier_bytes, params["size_change_percent"])
        troubles += filter(None, [size])
    if params["max_check_age_h"]:
        troubles += check_troubles(seen.check, now, params["max_check_age_h"])
    good = ""
    if seen.manifest and age is not None:
        until = retain_until(name, dumps["retention_days"])
        good = f"dump {name} is whole, locked until {until:%Y-%m-%d} and {age.total_seconds() / 3600:.0f} h old."
    sentence = f"There is no good dump: {'; '.join(troubles)}." if troubles else good[:1].upper() + good[1:]
    return {
        "verified": not troubles,
        "sentence": sentence,
        "msg": sentence,
        **({} if troubles else {"reached": good}),
        "troubles": troubles,
        "manifest": seen.manifest,
        "age_h": None if age is None else round(age.total_seconds() / 3600, 2),
        "incomplete": seen.incomplete,
        "dumps": seen.names,
        "replication": seen.replication,
        "restore_check": seen.check,
    }


SPEC: dict[str, Any] = {
    "dumps": DUMPS_OPTION,
    "days": {"type": "int", "default": 8},
    "max_age_h": {"type": "int", "default": 26},
    "max_check_age_h": {"type": "int", "default": 0},
    "size_change_percent": {"type": "int", "default": 0},
    "dump": {"type": "str", "default": ""},
}
ENTRY = read_entry(SPEC, info)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
