#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: web_service_settled
short_description: Wait until a web service has settled after a change
version_added: 0.1.0
description:
  - Waits, reading only, until no deployment and no rollback runs, every task runs the same and, if given, the wanted
    revision, and enough targets are healthy in enough availability zones.
  - Looks at revisions and targets, never at the waiter of the SDK, which also calls a service stable that was rolled
    back or runs nothing.
  - Reports progress. Being stopped in the middle changes nothing.
author:
  - Daily EMR operations (@daily-emr)
options:
  revision:
    description: The revision every task must run, for example C(daily-emr-staging-web:42). The default accepts any one.
    type: str
    default: ""
  tasks_started_after:
    description: The UTC timestamp every task must have started after. The default accepts any.
    type: str
    default: ""
  min_healthy_targets:
    description: Healthy targets the service needs.
    type: int
    required: true
  min_zones:
    description: Availability zones the healthy targets must cover.
    type: int
    required: true
  timeout:
    description: Seconds to wait, at the pace of AWS.
    type: int
    required: true
  interval:
    description: Seconds between two looks, at the pace of AWS.
    type: int
    default: 15
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.read
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Wait until every task runs the release that was rolled back to
  daily_emr.ops.web_service_settled:
    service: "{{ web_service }}"
    min_healthy_targets: 2
    min_zones: 2
    revision: daily-emr-staging-web:41
    timeout: 900
"""

RETURN = r"""
settled:
  description: Whether the service has settled. Always true on success; otherwise the task fails.
  returned: success
  type: bool
  sample: true
seconds:
  description: How long it took, in seconds.
  returned: success
  type: float
  sample: 143.2
seen:
  description: What the last look saw.
  returned: success
  type: str
  sample: "2 tasks of daily-emr-staging-web:41, 2 healthy targets in 2 zones"
"""

import time
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed
from ansible_collections.daily_emr.ops.plugins.module_utils._health_settled import describe, look, missing
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import SERVICE_OPTION

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress

monotonic = time.monotonic
sleep = time.sleep


def wait(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """Look until it has settled; raises CallFailed when it has not in time."""
    started = monotonic()
    deadline = started + clients.environment.seconds(params["timeout"])
    # A look costs ten calls; more than four looks a second would only heat the API.
    interval = max(clients.environment.seconds(params["interval"]), 0.25)
    last = ""
    while True:
        readings = look(clients, params["service"])
        reasons = missing(readings, params, params["revision"], params["tasks_started_after"])
        passed = monotonic() - started
        if not reasons:
            seen = describe(readings)
            progress(f"Settled after {passed:.0f} s: {seen}.")
            return {"settled": True, "seconds": round(passed, 1), "seen": seen}
        now = "; ".join(reasons)
        # Said once, but told at every look: the lease lives on progress.
        progress(f"{passed:.0f} s: {now}." if now != last else "")
        last = now
        if monotonic() >= deadline:
            raise CallFailed(
                f"{params['service']['service']} has not settled within {passed:.0f} s: {now}. "
                "The change itself was made; look at the service before anything else is changed."
            )
        sleep(min(interval, max(deadline - monotonic(), 0.0)))


ENTRY = read_entry(
    {
        "service": SERVICE_OPTION,
        "min_healthy_targets": {"type": "int", "required": True},
        "min_zones": {"type": "int", "required": True},
        "revision": {"type": "str", "default": ""},
        "tasks_started_after": {"type": "str", "default": ""},
        "timeout": {"type": "int", "required": True},
        "interval": {"type": "int", "default": 15},
    },
    wait,
)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
