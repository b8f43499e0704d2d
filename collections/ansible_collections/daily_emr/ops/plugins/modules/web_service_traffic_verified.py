#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: web_service_traffic_verified
short_description: Verify that the requests of a web service are good for long enough
version_added: 0.1.0
description:
  - Looks at the traffic again and again until it was good O(passes) times in a row. One look that is not good, or that
    could not be read, starts the count anew.
  - A look is good when the error budget burns slower than it is earned over the last five minutes, the errors and the
    latency since this module began are below the thresholds, and no kind of error is new.
  - Reads only. When it cannot succeed any more before time is up it returns V(false) instead of failing, so that the
    runbook can go on from there; or null, when the last bad look saw nothing bad but could not see everything.
author:
  - Daily EMR operations (@daily-emr)
options:
  known_signatures:
    description: Signatures of errors that are not new, as M(daily_emr.ops.error_attribution) returned them.
    type: list
    elements: str
    default: []
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
  thresholds:
    description:
      - The numbers that turn a reading into a finding.
      - They have no defaults here; their home, with their reasons, is the defaults of the runbook's role.
    type: dict
    required: true
    suboptions:
      error_ratio:
        description: Ratio of 5xx among requests above which errors are elevated, 0 to 1.
        type: float
        required: true
      client_error_ratio:
        description: Ratio of 4xx among requests above which they may be a surge, 0 to 1.
        type: float
        required: true
      client_share:
        description: Share of all requests from which on one client dominates, 0 to 1.
        type: float
        required: true
      p95_ms:
        description: P95 latency in milliseconds above which the service is slow.
        type: int
        required: true
      explains_share:
        description: Share of the bad requests that one value must make to explain them, 0 to 1.
        type: float
        required: true
      min_requests:
        description: Requests in five minutes below which a ratio says nothing.
        type: int
        required: true
      min_bad:
        description: Bad requests below which they are no spike.
        type: int
        required: true
      min_signature:
        description: Times that an error must have come to count as a signature.
        type: int
        required: true
      load_times:
        description: How many times the usual requests are a higher load.
        type: float
        required: true
attributes:
  check_mode:
    description: Does not look, because nothing was changed.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: N/A
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.service
  - daily_emr.ops.slo
"""

EXAMPLES = r"""
- name: Look at the traffic for fifteen minutes
  daily_emr.ops.web_service_traffic_verified:
    service: "{{ web_service }}"
    thresholds: "{{ error_spike_thresholds }}"
    known_signatures: "{{ error_spike_health.signatures }}"
    passes: 15
    interval: 60
    timeout: 2700
  register: error_spike_verification
"""

RETURN = r"""
verified:
  description: Whether the traffic was good often enough in a row; null when nobody can tell, and in check mode.
  returned: success
  type: bool
  sample: true
passes:
  description: Good looks in a row at the end.
  returned: success
  type: int
  sample: 15
looks:
  description: All looks that were taken.
  returned: success
  type: int
  sample: 17
seconds:
  description: How long it took, in seconds.
  returned: success
  type: float
  sample: 1020.4
failing:
  description: What the last look that was not good saw.
  returned: success
  type: list
  elements: str
  sample: ["burn: 3.2 times too fast over 5 min"]
sentence:
  description: The result in one sentence.
  returned: success
  type: str
  sample: Good 15 times in a row, each time with a burn below 1.
"""

import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._clients import gather
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._slo import Policy, burn_over
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_cloudwatch import balancer_dimension, read_requests
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_options import SLO_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_spans import Pace
from ansible_collections.daily_emr.ops.plugins.module_utils._spike_findings import attribute
from ansible_collections.daily_emr.ops.plugins.module_utils._spike_options import TRAFFIC_THRESHOLDS
from ansible_collections.daily_emr.ops.plugins.module_utils._spike_readings import read_all
from ansible_collections.daily_emr.ops.plugins.module_utils._verification import (
    Clock,
    Look,
    sort_out,
    until_verified,
    verified_entry,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import SERVICE_OPTION, iso

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress

monotonic = time.monotonic
sleep = time.sleep
# The short window of the fastest pair (B.2): below 1 the budget recovers.
BURN_MINUTES = 5
# Not symptoms by themselves, but at the end nothing new may have come.
ALSO = ("new_error_signature",)


def burn(params: Params, clients: Clients, at: datetime) -> tuple[list[str], list[str]]:
    """Why the burn of the last minutes is not good, and why it is not known."""
    policy = Policy.from_params(params["slo"], at)
    pace = Pace(at, clients.environment.time_factor)
    spans = pace.spans(at - timedelta(minutes=BURN_MINUTES))
    series = read_requests(clients, balancer_dimension(clients, params["service"]["load_balancer"]), pace, spans)
    found = burn_over(series, BURN_MINUTES, policy.budget, at).burn
    if found is None:
        return [], [f"burn: no request in {BURN_MINUTES} min"]
    return ([f"burn: {found:.1f} times too fast over {BURN_MINUTES} min"] if found >= 1 else []), []


def look(params: Params, clients: Clients, *, since: datetime) -> Look:
    """Look at the burn, and at the requests since the verification began."""
    now = datetime.now(UTC)
    found = gather(
        burn=partial(burn, params, clients, now),
        readings=partial(read_all, clients, params["service"], now, since),
    )
    spent = found["burn"]
    burning, unknown = ([], [f"burn: {spent.sentence}"]) if isinstance(spent, OpsError) else spent
    seen = attribute(
        found["readings"], params["service"], params["thresholds"], str(iso(now)), params["known_signatures"]
    )
    bad, unread = sort_out(item for item in seen.observations if item["symptom"] or item["name"] in ALSO)
    return Look([*burning, *bad], [*unknown, *unread])


def verify(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """Look until it was good often enough in a row, or until it cannot be any more before time is up."""
    since = partial(look, since=datetime.now(UTC))
    return until_verified(params, clients, progress, look=since, clock=Clock(monotonic, sleep), proof="a burn below 1")


ENTRY = verified_entry(
    {
        "service": SERVICE_OPTION,
        "slo": SLO_OPTION,
        "thresholds": TRAFFIC_THRESHOLDS,
        "known_signatures": {"type": "list", "elements": "str", "default": []},
    },
    verify,
)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
