#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: web_service_verified
short_description: Verify that a web service is good for long enough, with a real write
version_added: 0.1.0
description:
  - Looks at the service again and again until it was good O(passes) times in a row. One look that is not good, or that
    could not be read, starts the count anew.
  - A look is good when M(daily_emr.ops.web_service_health) calls the service healthy, a synthetic chart written through
    the load balancer can be read back through the edge, every task runs the same and, if given, the wanted revision,
    enough targets are healthy in enough zones, no deployment runs, and no further task ended by itself.
  - Writes nothing but that synthetic chart, which has a tenant of its own. Changes no infrastructure.
  - When it cannot succeed any more before time is up it returns V(false) instead of failing, so that the runbook can go
    on from there; or null, when the last bad look saw nothing bad but could not see everything.
author:
  - Daily EMR operations (@daily-emr)
options:
  revision:
    description: The revision every task must run, for example C(daily-emr-staging-web:42). The default accepts any one.
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
  - daily_emr.ops.service
  - daily_emr.ops.thresholds
"""

EXAMPLES = r"""
- name: Look at the application for ten minutes
  daily_emr.ops.web_service_verified:
    service: "{{ web_service }}"
    thresholds: "{{ app_outage_thresholds }}"
    passes: 20
    interval: 30
    timeout: 1800
  register: app_outage_verification
"""

RETURN = r"""
verified:
  description: Whether the service was good often enough in a row; null when nobody can tell, and in check mode.
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
  sample: ["error_ratio_high: 12.0% of 340 requests"]
sentence:
  description: The result in one sentence.
  returned: success
  type: str
  sample: Good 20 times in a row, each time with a write.
"""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import REPLACED
from ansible_collections.daily_emr.ops.plugins.module_utils._health_findings import judged, observe
from ansible_collections.daily_emr.ops.plugins.module_utils._health_options import HEALTH_SPEC
from ansible_collections.daily_emr.ops.plugins.module_utils._health_probes import write_and_read
from ansible_collections.daily_emr.ops.plugins.module_utils._health_readings import read_all
from ansible_collections.daily_emr.ops.plugins.module_utils._health_settled import missing, unread_of
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._verification import (
    Clock,
    Look,
    sort_out,
    until_verified,
    verified_entry,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import iso

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress

monotonic = time.monotonic
sleep = time.sleep


def look(params: Params, clients: Clients) -> Look:
    """Look at everything once, with a write."""
    service, thresholds = params["service"], params["thresholds"]
    failed_write = write_and_read(service, thresholds["probe_timeout_s"])
    readings = read_all(clients, service, thresholds)
    evidence = observe(readings, service, thresholds, str(iso(datetime.now(UTC))))
    bad, unread = sort_out(judged(evidence))
    bad = [*([failed_write] if failed_write else []), *bad]
    lost = unread_of(readings)
    (unread if lost else bad).extend(lost or missing(readings, thresholds, params["revision"], ""))
    if "stopped_tasks" not in readings.values:
        unread.append("could not read the stopped tasks")
    stopped = readings.values.get("stopped_tasks", [])
    return Look(bad, unread, {task["id"] for task in stopped if task["reason"] != REPLACED})


def verify(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """Look until it was good often enough in a row, or until it cannot be any more before time is up."""
    return until_verified(params, clients, progress, look=look, clock=Clock(monotonic, sleep), proof="a write")


ENTRY = verified_entry({**HEALTH_SPEC, "revision": {"type": "str", "default": ""}}, verify)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
