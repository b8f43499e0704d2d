#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: region_health
short_description: Look at both regions from two places, and at the replica
version_added: 0.1.0
description:
  - Reads the first region's control plane, database and application from here, what the canary of the second region
    says of it, and the replica with its position, all at once. Changes nothing.
  - The first region is down when its database and its application answer nobody here in several looks, the canary has
    not reached it for 15 minutes either, and its control plane does not call the database available, unless the
    failover is declared. It is split when its application answers and its database does not.
author:
  - Daily EMR operations (@daily-emr)
options:
  looked_at:
    description:
      - The run that said last that it promoted the replica, named by who looked at RDS and saw that the replica
        follows.
    type: str
    default: ""
  stand_down:
    description: Whether a failover that has fenced the first region, and promoted nothing, is called off.
    type: bool
    default: false
  max_loss_s:
    description: Seconds of acknowledged writes that may be lost at most.
    type: int
    required: true
attributes:
  check_mode:
    description: Reads as ever.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.database
  - daily_emr.ops.region
"""

EXAMPLES = r"""
- name: Look at both regions
  daily_emr.ops.region_health:
    recovery: "{{ recovery }}"
    database: "{{ recovery_database }}"
    max_loss_s: 300
"""

RETURN = r"""
observations:
  description: What was looked at, as C(name), C(status), C(subject), C(expected), C(seen), C(at) and C(call).
  returned: success
  type: list
  elements: dict
  sample: []
subjects:
  description: What the steps go by.
  returned: success
  type: dict
  contains:
    first:
      description: What the first region is, V(writable), V(fenced), V(dead), V(answering) or V(unclear).
      type: str
      sample: dead
    begun:
      description: Whether the replica is promoted, or about to be, by a failover.
      type: bool
      sample: false
    promotion:
      description: Whether the replica is promoted, or about to be, V(none), V(begun), V(others) or V(unclear).
      type: str
      sample: none
    loss:
      description: What a promotion now would lose, as C(seconds) and C(lost_since).
      type: dict
      sample: {"seconds": 4.2, "lost_since": "2026-11-22T01:29:51.120Z"}
    users_go_to:
      description: The region that users are sent to.
      type: str
      sample: first
healthy:
  description: Whether users are served and nothing is begun; null when something that matters could not be read.
  returned: success
  type: bool
  sample: false
sentence:
  description: The state in one sentence.
  returned: success
  type: str
  sample: "The first region is dead. Users are sent to the first region."
read_at:
  description: When the look began, in UTC.
  returned: success
  type: str
  sample: "2026-11-22T01:30:00Z"
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._region import (
    RECOVERY_OPTION,
    read_application,
    read_traffic,
    take_sides,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._region_findings import healthy, observe, subjects, tell
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import iso

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress


def read_health(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """One look at both regions."""
    at = str(iso(datetime.now(UTC)))
    recovery, database = params["recovery"], params["database"]
    readings = take_sides(
        clients,
        recovery,
        database,
        second_application=lambda: read_application(recovery["second_url"], recovery["host"]),
        edge=lambda: read_application(recovery["edge_url"], recovery["host"]),
        traffic=lambda: read_traffic(clients, recovery),
    )
    context = readings.context()
    asked = {**params, "declared": context["declared"]}
    sentence = tell(context)
    progress(sentence)
    return {
        "observations": observe(context, recovery["component"], asked, at),
        "subjects": subjects(context, asked),
        "healthy": healthy(context, asked),
        "sentence": sentence,
        "read_at": at,
    }


ENTRY = read_entry(
    {
        "recovery": RECOVERY_OPTION,
        "database": DATABASE_OPTION,
        "looked_at": {"type": "str", "default": ""},
        "stand_down": {"type": "bool", "default": False},
        "max_loss_s": {"type": "int", "required": True},
    },
    read_health,
)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
