#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: claims_api_health
short_description: Read the health of a claims API, from here and as the application's workers see it
version_added: 0.2.0
description:
  - Asks the API from here as far as each answer leads. A name, a connection, a TLS handshake with our own bundle of
    authorities, a token, and a harmless read of our own facility. A failure is tried three times.
  - Reads beside it what the workers saw of their submissions in the last minutes, which requests for eligibility the
    application did not serve, the states of the claims, the switches, and which versions the key has; all at once.
  - Both sides together tell our egress from theirs, and one operation that fails from an API that is down.
  - Returns observations. Each is V(ok), V(finding) or, when something could not be read, V(unknown), which is never
    taken for V(ok), with what was expected, what was seen, when and by which call.
  - Reads counts, ages and classes of answers. No claim, no body of an error, no value of a secret and nothing about a
    patient is returned. Nothing is submitted.
  - Needs C(secretsmanager:GetSecretValue) for the secret of the API; without it the token and the read are unknown.
author:
  - Daily EMR operations (@daily-emr)
options:
  rejections_mended:
    description:
      - Whether a person says that the payer would accept now what it rejected before claims were held, or in the last
        redrive, because one claim was validated since. Nothing that can be read says that.
    type: bool
    default: false
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.read
  - daily_emr.ops.claims
  - daily_emr.ops.claims.diagnosis
  - daily_emr.ops.database
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Read the health of the claims API
  daily_emr.ops.claims_api_health:
    claims_api: "{{ claims_api }}"
    database: "{{ database }}"
    service: "{{ web_service }}"
    thresholds: "{{ claims_api_outage_thresholds }}"
  register: claims_api_outage_health
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
      sample: submissions_failing
    status:
      description: One of V(ok), V(finding), V(unknown).
      type: str
      sample: finding
    symptom:
      description: Whether facilities or their claims suffer from it; a circumstance, such as a near deadline, is none.
      type: bool
      sample: true
    subject:
      description: What it is about.
      type: str
      sample: sha
    expected:
      description: What is expected of a healthy system.
      type: str
      sample: at most 20% unanswered
    seen:
      description: What was seen instead, or why nothing could be read.
      type: str
      sample: 31 of 40 submissions, of claim
    at:
      description: When, in UTC.
      type: str
      sample: "2026-11-22T01:30:00Z"
    call:
      description: By which call.
      type: str
      sample: ops.claims_outcomes
facts:
  description: Numbers worth keeping, of the probes and of the claims by state.
  returned: success
  type: dict
  sample:
    token_ms: 31
    claims:
      acked: 1204
healthy:
  description: Whether claims and eligibility work; null when something that matters could not be read.
  returned: success
  type: bool
  sample: false
sentence:
  description: The state in one sentence.
  returned: success
  type: str
  sample: "sha is not healthy: api_down, submissions_failing."
read_at:
  description: When the look began, in UTC.
  returned: success
  type: str
  sample: "2026-11-22T01:30:00Z"
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._claims_findings import facts, judged, observe
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_options import CLAIMS_HEALTH_SPEC
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_readings import read_all
from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import healthy
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import iso

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress


def read_health(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """One look at the claims API."""
    at = str(iso(datetime.now(UTC)))
    claims_api, thresholds = params["claims_api"], params["thresholds"]
    readings = read_all(clients, claims_api, params["database"], params["service"], thresholds)
    evidence = observe(
        readings,
        claims_api,
        thresholds,
        at,
        time_factor=clients.environment.time_factor,
        rejections_mended=params["rejections_mended"],
    )
    state = healthy(judged(evidence))
    sentence = evidence.describe(state)
    progress(sentence)
    return {
        "observations": evidence.observations,
        "facts": facts(readings),
        "healthy": state,
        "sentence": sentence,
        "read_at": at,
    }


ENTRY = read_entry({**CLAIMS_HEALTH_SPEC, "rejections_mended": {"type": "bool", "default": False}}, read_health)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
