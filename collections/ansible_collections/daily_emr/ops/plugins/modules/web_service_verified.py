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
  sample: Good 20 times in a row, with a write each time.
"""

import time
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import REPLACED
from ansible_collections.daily_emr.ops.plugins.module_utils._health_findings import judged, observe
from ansible_collections.daily_emr.ops.plugins.module_utils._health_options import HEALTH_SPEC
from ansible_collections.daily_emr.ops.plugins.module_utils._health_probes import CHARTS_PATH
from ansible_collections.daily_emr.ops.plugins.module_utils._health_readings import read_all
from ansible_collections.daily_emr.ops.plugins.module_utils._health_settled import missing, unread_of
from ansible_collections.daily_emr.ops.plugins.module_utils._http import probe, request
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, iso, plural

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Params, Progress

monotonic = time.monotonic
sleep = time.sleep
_CREATED = (200, 201)


def write_and_read(service: Json, timeout_s: float) -> str:
    """A real transaction: write a synthetic chart through the load balancer, read it back through the edge.

    Returns why it failed; empty when it did not.
    """
    probes = service["probes"]
    host = probes["host"] or ""
    written = request(
        "POST",
        probes["balancer_url"].rstrip("/") + CHARTS_PATH,
        timeout_s=timeout_s,
        host=host,
        headers={"Idempotency-Key": str(uuid.uuid4())},
        body={"tenant": "synthetic", "note": "verification"},
    )
    if written.status not in _CREATED or not written.body.get("id"):
        return f"write_failing: {written.seen} for a synthetic chart through the load balancer"
    found = probe(probes["edge_url"], f"{CHARTS_PATH}/{written.body['id']}", timeout_s=timeout_s, host=host)
    if not found.ok or found.body.get("id") != written.body["id"]:
        return f"read_back_failing: {found.seen} for the chart that was just written, through the edge"
    return ""


@dataclass(frozen=True)
class Look:
    """One look: what was bad, what could not be read, and the tasks that ended by themselves."""

    bad: list[str]
    unread: list[str]
    ended: set[str]


def look(params: Params, clients: Clients) -> Look:
    """Look at everything once, with a write."""
    service, thresholds = params["service"], params["thresholds"]
    failed_write = write_and_read(service, thresholds["probe_timeout_s"])
    readings = read_all(clients, service, thresholds)
    evidence = observe(readings, service, thresholds, str(iso(datetime.now(UTC))))
    bad = [failed_write] if failed_write else []
    unread: list[str] = []
    for item in judged(evidence):
        if item["status"] != "ok":
            (bad if item["status"] == "finding" else unread).append(f"{item['name']}: {item['seen']}")
    lost = unread_of(readings)
    (unread if lost else bad).extend(lost or missing(readings, thresholds, params["revision"], ""))
    if "stopped_tasks" not in readings.values:
        unread.append("could not read the stopped tasks")
    stopped = readings.values.get("stopped_tasks", [])
    return Look(bad, unread, {task["id"] for task in stopped if task["reason"] != REPLACED})


def verify(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """Look until it was good often enough in a row, or until it cannot be any more before time is up.

    Raises Refused when nothing would have to be good.
    """
    if params["passes"] < 1:
        raise Refused(f"{params['passes']} good looks prove nothing: set passes to at least 1.")
    started = monotonic()
    deadline = started + clients.environment.seconds(params["timeout"])
    interval = clients.environment.seconds(params["interval"])
    passes, looks = 0, 0
    known: set[str] | None = None
    failing: list[str] = []
    state: bool | None = False
    while True:
        began = monotonic()
        seen = look(params, clients)
        further = seen.ended - known if known is not None else set()
        known = (known or set()) | seen.ended
        bad = [*seen.bad, *([f"stopped_tasks: {plural(len(further), 'further task')} ended"] if further else [])]
        reasons = bad + seen.unread
        looks += 1
        passes = 0 if reasons else passes + 1
        if reasons:
            failing, state = reasons, False if bad else None
        progress(f"Look {looks}: {'; '.join(reasons) if reasons else f'good, {passes} in a row'}.")
        if passes >= params["passes"]:
            failing, state = [], True
            break
        pause = max(interval - (monotonic() - began), 0.0)
        if monotonic() + pause + (params["passes"] - passes - 1) * interval > deadline:
            break
        sleep(pause)
    seconds = monotonic() - started
    return {
        "verified": state,
        "passes": passes,
        "looks": looks,
        "seconds": round(seconds, 1),
        "failing": failing,
        "sentence": conclude(state, params["passes"], seconds, failing),
    }


def conclude(state: bool | None, passes: int, seconds: float, failing: list[str]) -> str:
    """The result in one sentence."""
    if state:
        return f"Good {plural(passes, 'time')} in a row, with a write each time."
    words = "Not good" if state is False else "Nobody can tell whether it was good"
    why = "; ".join(failing) or "there was no time for that many looks"
    return f"{words} {plural(passes, 'time')} in a row; given up after {seconds:.0f} s: {why}."


_LOOKS = read_entry(
    {
        **HEALTH_SPEC,
        "revision": {"type": "str", "default": ""},
        "passes": {"type": "int", "required": True, "no_log": False},
        "interval": {"type": "int", "required": True},
        "timeout": {"type": "int", "required": True},
    },
    verify,
)


def run(params: Params, context: Context) -> dict[str, Any]:
    """Verify; check mode writes nothing, so there nothing can be verified."""
    if not context.check_mode:
        return _LOOKS.run(params, context)
    sentence = "Not verified: check mode writes nothing."
    return {
        "changed": False,
        "verified": None,
        "passes": 0,
        "looks": 0,
        "seconds": 0.0,
        "failing": [],
        "sentence": sentence,
    }


ENTRY = replace(_LOOKS, run=run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
