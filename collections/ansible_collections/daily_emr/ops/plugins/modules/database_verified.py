#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_verified
short_description: Verify that a database is good for long enough, with real writes
version_added: 0.1.0
description:
  - Looks at the database again and again until it was good O(passes) times in a row. One look that is not good, or that
    could not be read, starts the count anew.
  - A look is good when no symptom of M(daily_emr.ops.database_health) is found, its write is acknowledged, the instance
    is V(available) with a standby in another zone, a synthetic chart written through the load balancer can be read back
    through the edge, and, if given, the primary is another node than O(node_before).
  - Writes that synthetic chart, which has a tenant of its own, and one row of the schema C(ops). Changes no
    infrastructure.
  - When it cannot succeed any more before time is up it returns V(false) instead of failing, so that the runbook can go
    on from there; or null, when the last bad look saw nothing bad but could not see everything.
author:
  - Daily EMR operations (@daily-emr)
options:
  node_before:
    description: Address of the node that was the primary before a failover, which it must not be any more.
    type: str
    default: ""
  passes:
    description: Good looks in a row.
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
    description: Does not look, because nothing was changed and nothing may be written.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: N/A
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.database
  - daily_emr.ops.database.diagnosis
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Look at the database for five minutes
  daily_emr.ops.database_verified:
    database: "{{ database }}"
    service: "{{ web_service }}"
    thresholds: "{{ database_failover_thresholds }}"
    passes: 10
    interval: 30
    timeout: 1200
  register: database_failover_verification
"""

RETURN = r"""
verified:
  description: Whether the database was good often enough in a row; null when nobody can tell, and in check mode.
  returned: success
  type: bool
  sample: true
passes:
  description: Good looks in a row at the end.
  returned: success
  type: int
  sample: 20
looks:
  description: All looks that were taken.
  returned: success
  type: int
  sample: 23
seconds:
  description: How long it took, in seconds.
  returned: success
  type: float
  sample: 611.4
failing:
  description: What the last look that was not good saw.
  returned: success
  type: list
  elements: str
  sample: ["write_failing: timeout after 3000 ms"]
sentence:
  description: The result in one sentence.
  returned: success
  type: str
  sample: Good 20 times in a row, each time with a write.
"""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._clients import gather
from ansible_collections.daily_emr.ops.plugins.module_utils._database_findings import judged, observe
from ansible_collections.daily_emr.ops.plugins.module_utils._database_options import DATABASE_HEALTH_SPEC
from ansible_collections.daily_emr.ops.plugins.module_utils._database_readings import read_all
from ansible_collections.daily_emr.ops.plugins.module_utils._health_probes import write_and_read
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._verification import (
    Clock,
    Look,
    sort_out,
    until_verified,
    verified_entry,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, iso

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress

monotonic = time.monotonic
sleep = time.sleep
AVAILABLE = "available"


def unmoved(values: Json, node_before: str) -> list[str]:
    """What of the instance itself is not as it must be at the end; what was not read is an unknown of the health."""
    reasons = []
    status = values.get("instance", {}).get("status", AVAILABLE)
    if status != AVAILABLE:
        reasons.append(f"instance_status: {status}")
    if node_before and values.get("node", {}).get("address") == node_before:
        reasons.append(f"node_before: {node_before} is the primary still")
    return reasons


def look(params: Params, clients: Clients) -> Look:
    """Look at everything once, with a write into the database and one through the application."""
    database, service, thresholds = params["database"], params["service"], params["thresholds"]
    found = gather(
        failed_write=lambda: write_and_read(service, thresholds["probe_timeout_s"]),
        readings=lambda: read_all(clients, database, service, thresholds, keep=True),
    )
    readings = found["readings"]
    at, pace = str(iso(datetime.now(UTC))), clients.environment.time_factor
    bad, unread = sort_out(judged(observe(readings, database, thresholds, at, time_factor=pace)))
    failed = [found["failed_write"]] if found["failed_write"] else []
    return Look([*failed, *unmoved(readings.values, params["node_before"]), *bad], unread)


def verify(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """Look until it was good often enough in a row, or until it cannot be any more before time is up."""
    return until_verified(params, clients, progress, look=look, clock=Clock(monotonic, sleep), proof="a write")


ENTRY = verified_entry({**DATABASE_HEALTH_SPEC, "node_before": {"type": "str", "default": ""}}, verify)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
