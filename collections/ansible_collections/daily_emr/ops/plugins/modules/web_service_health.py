#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: web_service_health
short_description: Read the health of a web service, its dependencies and what users see
version_added: 0.1.0
description:
  - Reads an ECS service, its deployments, tasks and stopped tasks, target health, scaling limits, CloudWatch, the web
    ACL, secrets, the database and cache, feature flags and recent changes, and probes the edge, the load balancer and
    every task, all at once.
  - Returns observations. Each is V(ok), V(finding) or, when something could not be read, V(unknown), which is never
    taken for V(ok), with what was expected, what was seen, when and by which call.
  - Reads no request, no log line, no value of a secret and nothing about a patient.
author:
  - Daily EMR operations (@daily-emr)
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.read
  - daily_emr.ops.service
  - daily_emr.ops.thresholds
"""

EXAMPLES = r"""
- name: Read the health of the application
  daily_emr.ops.web_service_health:
    service: "{{ web_service }}"
    thresholds: "{{ app_outage_thresholds }}"
  register: app_outage_health
"""

RETURN = r"""
observations:
  description: What was seen, one entry for each question.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The question, named for the abnormal answer.
      type: str
      sample: reads_failing
    status:
      description: One of V(ok), V(finding), V(unknown).
      type: str
      sample: finding
    symptom:
      description: Whether users feel it, or a spare part is missing; a circumstance, such as a recent change, is none.
      type: bool
      sample: true
    subject:
      description: What it is about.
      type: str
      sample: emr-web
    expected:
      description: What is expected of a healthy system.
      type: str
      sample: every task serves a chart
    seen:
      description: What was seen instead, or why nothing could be read.
      type: str
      sample: 2 of 2 tasks do not serve a chart
    at:
      description: When, in UTC.
      type: str
      sample: "2026-11-22T01:30:00Z"
    call:
      description: By which call.
      type: str
      sample: GET a chart at each task
subjects:
  description: What a mitigation would act on, such as the last known good release or the impaired zone.
  returned: success
  type: dict
  sample:
    last_known_good: daily-emr-staging-web:41
healthy:
  description: Whether users are served and nothing is missing; null when something that matters could not be read.
  returned: success
  type: bool
  sample: false
sentence:
  description: The state in one sentence.
  returned: success
  type: str
  sample: "Not healthy: edge_failing, reads_failing."
read_at:
  description: When the look began, in UTC.
  returned: success
  type: str
  sample: "2026-11-22T01:30:00Z"
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._health_findings import healthy, observe
from ansible_collections.daily_emr.ops.plugins.module_utils._health_options import HEALTH_SPEC
from ansible_collections.daily_emr.ops.plugins.module_utils._health_readings import read_all
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import iso

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress


def read_health(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """One look at the service."""
    at = str(iso(datetime.now(UTC)))
    service, thresholds = params["service"], params["thresholds"]
    evidence = observe(read_all(clients, service, thresholds), service, thresholds, at)
    state = healthy(evidence)
    sentence = evidence.describe(state)
    progress(sentence)
    return {
        "observations": evidence.observations,
        "subjects": evidence.subjects,
        "healthy": state,
        "sentence": sentence,
        "read_at": at,
    }


ENTRY = read_entry(HEALTH_SPEC, read_health)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
