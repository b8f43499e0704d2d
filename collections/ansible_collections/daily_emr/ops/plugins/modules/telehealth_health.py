#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: telehealth_health
short_description: Read the health of both providers of telehealth and who could join
version_added: 0.1.0
description:
  - Asks both providers for their status, a test token, a test room and their webhooks, binds and allocates at their
    relays over UDP and TCP, reads the flags that say how consultations are held, counts the joins of the last 15
    minutes by version, network, way and region, and reads what the bot of the application saw; all at once.
  - Returns observations. Each is V(ok), V(finding) or, when something could not be read, V(unknown), which is never
    taken for V(ok), with what was expected, what was seen, when and by which call.
  - Too few joins are an answer of their own, neither good nor bad; so are no joins.
  - Reads figures, states and names of versions and networks. Reads no value of a secret, and nothing about a patient
    or a consultation.
  - Needs the environment variables C(LAUNCHDARKLY_ACCESS_TOKEN), C(TELEHEALTH_PRIMARY_PROBE_KEY) and
    C(TELEHEALTH_SECONDARY_PROBE_KEY). The sandbox has its own.
author:
  - Daily EMR operations (@daily-emr)
attributes:
  check_mode:
    description: Reads the same, without a test room, so that whether rooms can be made is not seen.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.telehealth
  - daily_emr.ops.telehealth.diagnosis
"""

EXAMPLES = r"""
- name: Read the health of telehealth
  daily_emr.ops.telehealth_health:
    telehealth: "{{ telehealth }}"
    thresholds: "{{ telehealth_degradation_thresholds }}"
  register: telehealth_degradation_health
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
      sample: joins_failing
    status:
      description: One of V(ok), V(finding), V(unknown).
      type: str
      sample: finding
    symptom:
      description: Whether users feel it or somebody left it behind; a circumstance, such as a recent change, is none.
      type: bool
      sample: true
    subject:
      description: What it is about.
      type: str
      sample: emr-telehealth
    expected:
      description: What is expected of a healthy system.
      type: str
      sample: 97% of at least 10 joins succeed
    seen:
      description: What was seen instead, or why nothing could be read.
      type: str
      sample: "61 of 140 joins succeeded (43.6%): token_503 79"
    at:
      description: When, in UTC.
      type: str
      sample: "2026-11-22T01:30:00Z"
    call:
      description: By which call.
      type: str
      sample: logs:StartQuery
subjects:
  description: What a mitigation would act on; a key is null where there is nothing of the kind.
  returned: success
  type: dict
  contains:
    active_provider:
      description: The provider that new sessions go to.
      type: str
      sample: primary
    other_provider:
      description: The other one.
      type: str
      sample: secondary
    media_region:
      description: The region that new sessions are relayed in.
      type: str
      sample: af-south-1
    other_region:
      description: Another region that the active provider relays in.
      type: str
      sample: eu-west-1
    bad_app_version:
      description: The version of the application that has all the failures.
      type: str
      sample: 2026.48.0
    bad_isp:
      description: The network that has all the failures.
      type: str
      sample: safaricom
    bad_region:
      description: The region that has all the failures.
      type: str
      sample: eu-west-1
facts:
  description: Figures worth keeping, of the joins, the bookings and both providers.
  returned: success
  type: dict
  sample:
    joins: {"tried": 140, "good": 61}
    primary: {"status": "200 in 12 ms", "sessions": 14}
healthy:
  description: Whether patients can be seen online; null when something that matters could not be read.
  returned: success
  type: bool
  sample: false
sentence:
  description: The state in one sentence.
  returned: success
  type: str
  sample: "emr-telehealth is not healthy: joins_failing, api_down."
read_at:
  description: When the look began, in UTC.
  returned: success
  type: str
  sample: "2026-11-22T01:30:00Z"
"""

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import healthy
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Entry, read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_findings import facts, judged, observe
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_options import TELEHEALTH_HEALTH_SPEC
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_readings import read_all
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import iso

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Params, Progress


def read_health(params: Params, clients: Clients, progress: Progress, *, rooms: bool) -> dict[str, Any]:
    """One look at telehealth. rooms: whether a test room is made at each provider."""
    now = datetime.now(UTC)
    telehealth, thresholds, at = params["telehealth"], params["thresholds"], str(iso(now))
    readings = read_all(clients, telehealth, thresholds["probe_timeout_s"], now, rooms=rooms)
    evidence = observe(readings, telehealth, thresholds, at, time_factor=clients.environment.time_factor)
    state = healthy(judged(evidence))
    sentence = evidence.describe(state)
    progress(sentence)
    return {
        "observations": evidence.observations,
        "subjects": evidence.subjects,
        "facts": facts(readings),
        "healthy": state,
        "sentence": sentence,
        "read_at": at,
    }


_WITH_ROOMS = read_entry(TELEHEALTH_HEALTH_SPEC, partial(read_health, rooms=True))
_WITHOUT = read_entry(TELEHEALTH_HEALTH_SPEC, partial(read_health, rooms=False))


def run(params: Params, context: Context) -> dict[str, Any]:
    """Read; check mode leaves nothing behind, not even a room that ends by itself."""
    return (_WITHOUT if context.check_mode else _WITH_ROOMS).run(params, context)


ENTRY = Entry(_WITH_ROOMS.argument_spec, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
