#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: error_attribution
short_description: Find out who makes the bad requests of a web service, and since when
version_added: 0.1.0
description:
  - Reads the series of requests and errors of the load balancer, finds the minute in which the ratio of bad requests
    went up, and asks the request log about the time since then, split by release, route template, zone, task, tenant
    and dependency.
  - A dimension explains the errors when one of its values makes O(thresholds.explains_share) of the bad requests and
    its own ratio is well above that of the others. A value that has all the traffic explains nothing.
  - Ranks what was changed from an hour before the onset to five minutes after it by its distance. These are
    deployments of ECS, feature flags, secrets, and other write calls that CloudTrail knows (up to 15 minutes late).
  - Returns observations. Each is V(ok), V(finding) or, when something could not be read, V(unknown), which is never
    taken for V(ok). Requests that do not say their release, task or tenant count as unknown.
  - Each observation states one fact, and several of them may hold for the same errors. A decision table should look at
    a dependency before its route, at a release before its task, and at a task before its zone.
  - Uses nine queries of CloudWatch Logs Insights at the same time, of thirty that may run in an account. A query that
    takes longer than 30 seconds, or has more than 10000 groups, leaves its reading unknown or its rarest groups out.
  - Asks the rate-based rules of the web ACL that count, whether one client makes nearly all of it.
  - Reads counts only. No log line, no address, no value of a secret and nothing about a patient is read.
author:
  - Daily EMR operations (@daily-emr)
options:
  since:
    description:
      - Look only at requests after this time, a UTC timestamp such as V(2026-11-22T01:30:00Z), and look for no onset.
        For verifying after a change.
    type: str
  known_signatures:
    description:
      - Signatures of errors (status, route template, dependency) that are not new, as RV(signatures) and
        RV(known_signatures) of an earlier look.
      - The default is what was seen before the onset.
    type: list
    elements: str
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
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.read
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Find out who makes the errors
  daily_emr.ops.error_attribution:
    service: "{{ web_service }}"
    thresholds: "{{ error_spike_thresholds }}"
  register: error_spike_health

- name: Look whether the change brought new errors
  daily_emr.ops.error_attribution:
    service: "{{ web_service }}"
    thresholds: "{{ error_spike_thresholds }}"
    since: "2026-11-22T01:42:00Z"
    known_signatures: "{{ error_spike_health.signatures + error_spike_health.known_signatures }}"
"""

RETURN = r"""
observations:
  description:
    - What was seen, one entry for each question.
    - V(errors_elevated) and V(latency_high) are symptoms; V(low_traffic), V(latency_without_errors),
      V(client_errors_surge), V(load_up), V(client_dominates) and V(sudden_onset) describe the trouble.
    - V(balancer_generates), V(release_explains), V(newest_release_explains), V(route_explains), V(zone_explains),
      V(task_explains), V(tenant_explains), V(dependency_explains) and V(unexplained) say who makes the errors;
      V(slow_release), V(slow_route), V(slow_zone), V(slow_task), V(slow_tenant) and V(slow_dependency) who is slow.
    - V(deployment_near_onset), V(flag_near_onset), V(secret_near_onset) and V(call_near_onset) say what was changed.
    - V(deployment_in_progress) and V(traffic_divided) say how a release can be taken away,
      V(dependency_has_breaker) that a dependency can be cut off, V(no_logs) and
      V(new_error_signature) what the request log has.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The question, named for the abnormal answer.
      type: str
      sample: release_explains
    status:
      description: One of V(ok), V(finding), V(unknown).
      type: str
      sample: finding
    symptom:
      description: Whether users feel it; a circumstance, such as a recent change, is none.
      type: bool
      sample: false
    subject:
      description: What it is about.
      type: str
      sample: "2026.48.0"
    expected:
      description: What is expected of a healthy system.
      type: str
      sample: no release makes 80% of the bad requests
    seen:
      description: What was seen instead, or why nothing could be read.
      type: str
      sample: 2026.48.0 makes 97% of 412 bad requests, 31.2% of its own are bad, 0.3% of the others
    at:
      description: When, in UTC.
      type: str
      sample: "2026-11-22T01:30:00Z"
    call:
      description: By which call.
      type: str
      sample: logs:StartQuery
subjects:
  description:
    - What a mitigation would act on. For each dimension V(bad_release) and so on, and V(release_share) and so on; null
      when it does not explain.
    - V(bad_share) and V(bad_revision) of the release; V(bad_zone_id); V(task_ratio) and V(median_task_ratio).
    - V(circuit_flag) of the bad dependency and V(shed_flags); V(suspect_flag) with its key, whether it is on and the
      route that fails; V(suspect_deployment), V(suspect_secret), V(suspect_call); V(service_deployment); V(rate_rule)
      that counts the dominating client; V(balancer_codes) and V(client_error_codes), each with counts by status.
  returned: success
  type: dict
  sample:
    bad_release: "2026.48.0"
    bad_share: 0.97
shares:
  description: The ten values of each dimension that make the most bad requests.
  returned: success
  type: dict
  sample:
    release:
      - value: "2026.48.0"
        bad: 400
        requests: 1282
        share: 0.97
        ratio: 0.312
        p95_ms: 410.0
window:
  description: The time that the shares are about, in UTC.
  returned: success
  type: dict
  sample:
    start: "2026-11-22T01:12:00Z"
    end: "2026-11-22T01:30:00Z"
onset:
  description: The minute in which the ratio of bad requests went up, with the ratio before and after; else null.
  returned: success
  type: dict
  sample:
    at: "2026-11-22T01:12:00Z"
    before: 0.0004
    after: 0.093
suspects:
  description: What was changed around the onset, the nearest first. The minutes are negative after it.
  returned: success
  type: list
  elements: dict
  sample:
    - kind: deployment
      name: daily-emr-staging-web:42
      at: "2026-11-22T01:08:00Z"
      minutes_before: 4.0
suspects_unread:
  description: The kinds of changes that could not be read, so that the list of suspects lacks them.
  returned: success
  type: list
  elements: str
  sample: [call]
signatures:
  description: The kinds of errors now (status, route template, dependency), the most frequent first.
  returned: success
  type: list
  elements: str
  sample: ["500 /api/charts none"]
known_signatures:
  description: The kinds of errors that are not new.
  returned: success
  type: list
  elements: str
  sample: ["504 /api/claims/eligibility sha"]
healthy:
  description: Whether no symptom is a finding; null when one of them could not be read.
  returned: success
  type: bool
  sample: false
sentence:
  description: The state in one sentence.
  returned: success
  type: str
  sample: "emr-web is not healthy: errors_elevated."
read_at:
  description: When the look began, in UTC.
  returned: success
  type: str
  sample: "2026-11-22T01:30:00Z"
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._request_log import utc_now
from ansible_collections.daily_emr.ops.plugins.module_utils._spike_findings import attribute, result_of, state_of
from ansible_collections.daily_emr.ops.plugins.module_utils._spike_options import TRAFFIC_THRESHOLDS
from ansible_collections.daily_emr.ops.plugins.module_utils._spike_readings import read_all
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import SERVICE_OPTION, iso, parse_utc

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress

SPEC: dict[str, Any] = {
    "service": SERVICE_OPTION,
    "since": {"type": "str"},
    "known_signatures": {"type": "list", "elements": "str"},
    "thresholds": TRAFFIC_THRESHOLDS,
}


def read_attribution(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """One look at the traffic."""
    now = utc_now()
    since = parse_utc(params["since"]) if params["since"] else None
    service, thresholds, at = params["service"], params["thresholds"], str(iso(now))
    found = attribute(read_all(clients, service, now, since), service, thresholds, at, params["known_signatures"])
    state = state_of(found)
    sentence = found.describe(state)
    progress(sentence)
    return {
        "observations": found.observations,
        "subjects": found.subjects,
        **result_of(found),
        "healthy": state,
        "sentence": sentence,
        "read_at": at,
    }


ENTRY = read_entry(SPEC, read_attribution)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
