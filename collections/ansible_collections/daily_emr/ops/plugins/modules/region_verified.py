#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: region_verified
short_description: Verify that the second region serves, and that it alone does
version_added: 0.1.0
description:
  - Looks until it was good several times in a row. A chart is written past the edge in the second region and read
    back where users go, so that users are there; the database takes writes; and the first region is fenced or dead.
  - What cannot be read is not good.
author:
  - Daily EMR operations (@daily-emr)
options:
  side:
    description: The region that is to serve. V(first) is for a failover that was called off.
    type: str
    choices: [first, second]
    default: second
  looked_at:
    description:
      - The run that said last that it promoted the replica, named by who looked at RDS and saw that the replica
        follows. For O(side=first).
    type: str
    default: ""
  passes:
    description: Consecutive good looks.
    type: int
    required: true
  interval:
    description: Seconds between two looks, at the pace of AWS.
    type: int
    required: true
  timeout:
    description: Seconds after which it gives up, at the pace of AWS.
    type: int
    required: true
attributes:
  check_mode:
    description: Verifies nothing, because nothing was changed.
    support: full
  diff_mode:
    description: Changes nothing but the synthetic chart, so there is nothing to show.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.database
  - daily_emr.ops.region
"""

EXAMPLES = r"""
- name: Verify that the second region serves
  daily_emr.ops.region_verified:
    recovery: "{{ recovery }}"
    database: "{{ recovery_database }}"
    passes: 5
    interval: 30
    timeout: 1200
"""

RETURN = r"""
verified:
  description: Whether it was good often enough; null when nobody can tell.
  returned: always
  type: bool
  sample: true
passes:
  description: Good looks in a row at the end.
  returned: always
  type: int
  sample: 5
looks:
  description: How often it was looked.
  returned: always
  type: int
  sample: 7
seconds:
  description: How long it took.
  returned: always
  type: float
  sample: 152.0
failing:
  description: What was bad in the last look.
  returned: always
  type: list
  elements: str
  sample: []
sentence:
  description: The result in one sentence.
  returned: always
  type: str
  sample: Good 5 times in a row, each time with a write in the second region that users can read.
"""

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._clients import gather
from ansible_collections.daily_emr.ops.plugins.module_utils._health_probes import write_and_read
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._region import (
    FIRST,
    RECOVERY_OPTION,
    SECOND,
    First,
    in_the_way,
    judge_first,
    promoted,
    take_sides,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._region_findings import opening_first
from ansible_collections.daily_emr.ops.plugins.module_utils._verification import (
    Clock,
    Look,
    until_verified,
    verified_entry,
)

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress
    from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

monotonic = time.monotonic
sleep = time.sleep
PROBE_S = 5.0
UNFENCED = "the first one is UNFENCED: run this again as soon as it answers, before users or jobs reach it"


def look(params: Params, clients: Clients, contexts: list[Json]) -> Look:
    """Look at everything once, with a write in that region that is read where users go; what was read is added."""
    recovery, side = params["recovery"], params["side"]
    probes = {"balancer_url": recovery[f"{side}_url"], "edge_url": recovery["edge_url"], "host": recovery["host"]}
    found = gather(
        failed_write=lambda: write_and_read({"probes": probes}, PROBE_S),
        sides=lambda: take_sides(clients, recovery, params["database"]),
    )
    context = found["sides"].context()
    contexts.append(context)
    bad = [found["failed_write"]] if found["failed_write"] else []
    unread = [
        f"{name}: {why}" for name, why in context["unread"].items() if name in ("replica", "position", "announced")
    ]
    return Look([*bad, *([] if unread else two_sides(context, side, params))], unread)


def two_sides(context: Json, side: str, asked: Params) -> list[str]:
    """Why this side does not take writes, or is not the only one; pure."""
    if side == FIRST:
        return opening_first(context, asked)
    closed = [] if promoted(context) else ["the database of the second region takes no writes"]
    return [*closed, *in_the_way(context)]


def verify(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """Look until it was good often enough in a row, or until it cannot be any more before time is up."""
    proof = f"a write in the {params['side']} region that users can read"
    contexts: list[Json] = []
    looking = partial(look, contexts=contexts)
    found = until_verified(params, clients, progress, look=looking, clock=Clock(monotonic, sleep), proof=proof)
    reached = f"the {params['side']} region serves"
    if params["side"] != FIRST:
        fenced = "the first one is fenced" if judge_first(contexts[-1]) is First.FENCED else UNFENCED
        reached = f"{reached}; {fenced}"
    return {**found, "reached": reached}


SPEC = {
    "recovery": RECOVERY_OPTION,
    "database": DATABASE_OPTION,
    "side": {"type": "str", "choices": [FIRST, SECOND], "default": SECOND},
    "looked_at": {"type": "str", "default": ""},
}
ENTRY = verified_entry(SPEC, verify)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
