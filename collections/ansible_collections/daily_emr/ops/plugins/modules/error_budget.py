#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: error_budget
short_description: Read how much of the error budget of a web service is spent, and how fast it burns
version_added: 0.1.0
description:
  - Counts the requests of the month from CloudWatch or from Prometheus, and keeps two ledgers of them. One counts
    requests, the other one minutes. The budget is as much spent as the worse one of both says.
  - Says how fast the budget burns over four pairs of windows, and whom that calls; a pair calls only while the budget
    burns too fast in both of its windows.
  - A few failures at night call nobody. While there are too few requests, canaries decide where they are given.
  - No data is an answer of its own. It is V(unknown), or the finding C(no_data), and never V(ok) or 0.
  - Reads counts only, no request, no log line and nothing about a patient.
author:
  - Daily EMR operations (@daily-emr)
options:
  source:
    description:
      - Where the requests are counted.
      - V(cloudwatch) sees what users get from the load balancer. V(prometheus) sees what the tasks answered; it does
        not know of an answer that the load balancer made itself, and is silent when all tasks are dead.
    type: str
    choices: [cloudwatch, prometheus]
    default: cloudwatch
  prometheus_url:
    description: Address of Prometheus, with the path its API is below. Needed when O(source=prometheus).
    type: str
  prometheus_labels:
    description: Labels that choose the series of the service, for example C(job).
    type: dict
    default: {}
  prometheus_scrape_seconds:
    description:
      - Seconds between two scrapes of the tasks, or between two exports where they push.
      - When it is wrong, minutes get requests of their neighbours.
    type: int
    default: 15
  at:
    description: The UTC timestamp to read the budget of. The default is now.
    type: str
    default: ""
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.read
  - daily_emr.ops.service
  - daily_emr.ops.slo
  - daily_emr.ops.slo.canaries
"""

EXAMPLES = r"""
- name: Read the error budget of this month
  daily_emr.ops.error_budget:
    service: "{{ web_service }}"
  register: budget

- name: Read it from Prometheus, over four weeks
  daily_emr.ops.error_budget:
    service: "{{ web_service }}"
    slo:
      month_minutes: 40320
    source: prometheus
    prometheus_url: https://prometheus.internal.daily-emr.example
    prometheus_labels:
      job: emr-web

- name: Read what was spent when the incident of the third of March was over
  daily_emr.ops.error_budget:
    service: "{{ web_service }}"
    canaries: [emr-nairobi, emr-kisumu]
    at: "2026-03-03T09:00:00Z"
"""

RETURN = r"""
state:
  description:
    - Whether releases may go out, one of V(OPEN), V(CAUTION), V(FREEZE), V(UNKNOWN).
    - V(UNKNOWN) when there is no data, when it is too old, or when the minutes that nothing is known of could change
      the answer.
  returned: success
  type: str
  sample: OPEN
verdict:
  description: Whom it calls, one of V(page), V(ticket), V(none), V(unknown).
  returned: success
  type: str
  sample: none
sentence:
  description: The state in one sentence.
  returned: success
  type: str
  sample: >-
    emr-web is OPEN: 2.0 min down, requests worth 3.1 min failed (7% of the budget), releases freeze at 28 min;
    nobody needs to be called.
observations:
  description:
    - C(burning_fast), C(burning_slow), C(latency_burning), C(budget_spent), C(no_data) and C(low_traffic), in the form
      of M(daily_emr.ops.web_service_health).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The question, named for the abnormal answer.
      type: str
      sample: burning_fast
    status:
      description: One of V(ok), V(finding), V(unknown).
      type: str
      sample: ok
    symptom:
      description: Whether users feel it.
      type: bool
      sample: true
    subject:
      description: What it is about.
      type: str
      sample: emr-web
    expected:
      description: What is expected of a healthy system.
      type: str
      sample: burn of at most 14.4 over 1 h and 5 min, and of 6 over 6 h and 30 min
    seen:
      description: What was seen instead, or why nothing could be read.
      type: str
      sample: 0.2 over 60 min and 0.0 over 5 min; 0.3 over 6 h and 0.1 over 30 min
    at:
      description: When, in UTC.
      type: str
      sample: "2026-11-22T01:30:00.000Z"
    call:
      description: By which call.
      type: str
      sample: cloudwatch:GetMetricData
ledgers:
  description:
    - Both ledgers of the month so far. C(known) is false, and the numbers that were counted are left out, when nothing
      is known of it.
  returned: success
  type: dict
  contains:
    month_minutes:
      description: Minutes that the budget is for.
      type: int
      sample: 43200
    budget_minutes:
      description: Minutes that may be lost.
      type: float
      sample: 43.2
    freeze_minutes:
      description: Minutes at which releases freeze.
      type: float
      sample: 28.0
    known:
      description: Whether anything was counted.
      type: bool
      sample: true
    since:
      description: The first minute that anything is known of.
      type: str
      sample: "2026-11-01T00:00:00.000Z"
    requests:
      description:
        - The ledger of requests, with C(bad), C(valid), their C(ratio), the part of the budget that is used as
          C(budget_used), and the same as C(equivalent_minutes) of a total outage in a month of even traffic.
        - Ratio and what follows from it are null while no valid request was counted.
      type: dict
      sample: {bad: 4100.0, valid: 57100000.0, ratio: 0.000072, budget_used: 0.071804, equivalent_minutes: 3.10193}
    minutes:
      description:
        - The ledger of minutes. C(down) are those that count, C(fractional) is the sum of the failed parts.
        - C(undecided) failed as much with too few requests, C(missing) are minutes that nothing is known of, and
          C(coarse) were judged several at once, because CloudWatch keeps single minutes for 15 days.
      type: dict
      sample: {down: 2.0, fractional: 2.9, undecided: 0.0, missing: 0.0, coarse: 8640.0}
    budget_left_minutes:
      description: Minutes of the budget that are left, by the worse ledger; below 0 when more than all is spent.
      type: float
      sample: 40.09807
    freeze_left_minutes:
      description: Minutes that are left to the freeze, by the worse ledger.
      type: float
      sample: 24.89807
    data_age_minutes:
      description: Minutes since anything was counted.
      type: float
      sample: 0.0
burns:
  description:
    - How fast the budget burnt over each window, 1 being just as fast as it is given. C(burn) is null when no request
      was counted. C(read_minutes) is longer than C(window_minutes) where the newest counts are too coarse for it.
  returned: success
  type: list
  elements: dict
  sample: [{window_minutes: 5, read_minutes: 5.0, bad: 1.0, valid: 6000.0, ratio: 0.000167, burn: 0.166667}]
pairs:
  description:
    - What each pair of windows says of errors, with its C(severity), C(threshold), the burn over C(long) and C(short),
      and whether it C(fires), null when it cannot tell.
    - C(source) is C(requests) or C(synthetic). C(held_back) is true when it would fire on too few requests; C(why) says
      why a pair does not tell.
  returned: success
  type: list
  elements: dict
  sample:
    - severity: page
      threshold: 14.4
      long: {window_minutes: 60, read_minutes: 60.0, bad: 14.0, valid: 72000.0, ratio: 0.000194, burn: 0.194444}
      short: {window_minutes: 5, read_minutes: 5.0, bad: 1.0, valid: 6000.0, ratio: 0.000167, burn: 0.166667}
      fires: false
      held_back: false
      source: requests
      why: ""
latency_pairs:
  description: The same of slow requests; the budget for them is O(slo.slow_ratio).
  returned: success
  type: list
  elements: dict
  sample: []
freeze_in_minutes:
  description: Minutes until releases freeze at the pace of the last hour; null when they never do, or nobody knows.
  returned: success
  type: float
  sample: 13320.0
read_at:
  description: The time that it is about, in UTC.
  returned: success
  type: str
  sample: "2026-11-22T01:30:00.000Z"
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._slo import (
    LATENCY_PAIRS,
    LONGEST_MINUTES,
    VANTAGE_POINTS,
    Policy,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_cloudwatch import (
    balancer_dimension,
    read_canaries,
    read_requests,
    read_slow,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_findings import (
    as_json,
    assess,
    describe_budget,
    observe_budget,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_options import SLO_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_prometheus import Prometheus
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_spans import Pace
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    SERVICE_OPTION,
    Readings,
    iso,
    parse_utc,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress

BUDGET_SPEC: dict[str, Any] = {
    "service": SERVICE_OPTION,
    "slo": SLO_OPTION,
    "canaries": {"type": "list", "elements": "str", "default": []},
    "source": {"type": "str", "choices": ["cloudwatch", "prometheus"], "default": "cloudwatch"},
    "prometheus_url": {"type": "str"},
    "prometheus_labels": {"type": "dict", "default": {}},
    "prometheus_scrape_seconds": {"type": "int", "default": 15},
    "at": {"type": "str", "default": ""},
}
_LATENCY_MINUTES = max(pair.long_minutes for pair in LATENCY_PAIRS)
_CALLS = {"cloudwatch": "cloudwatch:GetMetricData", "prometheus": "Prometheus:QueryRange"}


def read_budget(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """One look at the budget."""
    at = parse_utc(params["at"]) if params["at"] else datetime.now(UTC)
    policy = Policy.from_params(params["slo"], at)
    readings = read_counts(params, clients, policy, at)
    budget = assess(readings, policy, at)
    sentence = describe_budget(budget, params["service"])
    progress(sentence)
    return {
        **as_json(budget),
        "observations": observe_budget(budget, readings, params["service"], _CALLS[params["source"]]),
        "sentence": sentence,
        "read_at": iso(at),
    }


def read_counts(params: Params, clients: Clients, policy: Policy, at: datetime) -> Readings:
    """Requests, slow requests and canaries, at the same time."""
    service, names, slow_s = params["service"], params["canaries"], params["slo"]["slow_seconds"]
    if names and len(set(names)) < VANTAGE_POINTS:
        raise Refused(f"canaries has fewer than {VANTAGE_POINTS} places: name another one, or none.")
    pace = Pace(at, clients.environment.time_factor)
    # The longest window may begin in the month before.
    since = min(policy.since, at - timedelta(minutes=LONGEST_MINUTES))
    month, newest = pace.spans(since), pace.spans(at - timedelta(minutes=_LATENCY_MINUTES))
    readings = Readings()
    calls: dict[str, Callable[[], Any]]
    if params["source"] == "prometheus":
        labels, scrape_s = params["prometheus_labels"], params["prometheus_scrape_seconds"]
        prometheus = Prometheus(clients.environment, params["prometheus_url"], labels, scrape_s)
        calls = {
            "requests": lambda: prometheus.requests(pace, month),
            "slow_requests": lambda: prometheus.slow(slow_s, pace, newest),
        }
    else:
        balancer = Readings()
        balancer.take(balancer=lambda: balancer_dimension(clients, service["load_balancer"]))
        calls = {
            "requests": lambda: read_requests(clients, balancer.need("balancer"), pace, month),
            "slow_requests": lambda: read_slow(clients, balancer.need("balancer"), slow_s, pace, newest),
        }
    if names:
        calls["canaries"] = lambda: read_canaries(clients, names, pace, month)
    readings.take(**calls)
    return readings


ENTRY = read_entry(BUDGET_SPEC, read_budget)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
