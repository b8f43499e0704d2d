#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: queue_health
short_description: Read the health of a queue, its server, its workers and what they lean on
version_added: 0.1.0
description:
  - Looks at a queue of BullMQ or SQS twice and tells its depth by state, the age of the oldest job, how many jobs
    arrive and are done a second, what fails by class, jobs without their lock, workers, switches and limits, and how
    long it takes to drain. Looks at the ElastiCache replication group behind it or at its dead-letter queue, and at
    the workers and the database they use, all at once.
  - Returns observations. Each is V(ok), V(finding) or, when something could not be read, V(unknown), which is never
    taken for V(ok), with what was expected, what was seen, when and by which call.
  - Of a job its name, its times, its attempts and the class of its failure are seen. What it holds, what it returned,
    and the text of an error stay in the queue.
author:
  - Daily EMR operations (@daily-emr)
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.read
  - daily_emr.ops.queue
  - daily_emr.ops.queue.diagnosis
"""

EXAMPLES = r"""
- name: Read the health of the queue
  daily_emr.ops.queue_health:
    queue: "{{ queue }}"
    thresholds: "{{ queue_backlog_thresholds }}"
  register: queue_backlog_health
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
      sample: backlog_deep
    status:
      description: One of V(ok), V(finding), V(unknown).
      type: str
      sample: finding
    symptom:
      description: Whether somebody waits for it; a circumstance, such as a recent failover, is none.
      type: bool
      sample: true
    subject:
      description: What it is about.
      type: str
      sample: notifications
    expected:
      description: What is expected of a healthy system.
      type: str
      sample: fewer than 50 jobs, or no more than drain in 1800 s
    seen:
      description: What was seen instead, or why nothing could be read.
      type: str
      sample: 4210 wait, 3.1/s arrive, 2.0/s are done
    at:
      description: When, in UTC.
      type: str
      sample: "2026-11-22T01:30:00Z"
    call:
      description: By which call.
      type: str
      sample: two looks
subjects:
  description: What a mitigation would act on; a key is null where there is nothing of the kind.
  returned: success
  type: dict
  contains:
    poison:
      description: Signature of the class of failure to put aside.
      type: str
      sample: dd28e4bfc2c9
    redrive:
      description: The C(signatures) of the failures to send again, and their C(count).
      type: dict
      sample:
        signatures: [dd28e4bfc2c9]
        count: 212
    failed_before_ms:
      description: When it was looked, in milliseconds since the epoch; what fails later is of another incident.
      type: int
      sample: 1795311000000
    needed_workers:
      description: Fewest workers that drain the backlog in time.
      type: int
      sample: 4
    fitting_workers:
      description: Most workers whose connections fit.
      type: int
      sample: 6
    concurrency:
      description: Global concurrency that stands on the queue.
      type: int
      sample: 1
    rate:
      description: Global rate limit that stands on the queue, in jobs a second.
      type: float
      sample: 0.5
    dead_letters_count:
      description: Messages in the dead-letter queue.
      type: int
      sample: 40
facts:
  description: Numbers worth keeping, C(flow) for the changes that follow.
  returned: success
  type: dict
  sample:
    flow:
      depth: 4210
      arrivals: 3.1
      completions: 2.0
      workers: 2
      connections: 31
      usable_connections: 40
    drain: never
healthy:
  description: Whether nobody waits too long and nothing is missing; null when something that matters could not be read.
  returned: success
  type: bool
  sample: false
sentence:
  description: The state in one sentence.
  returned: success
  type: str
  sample: "notifications is not healthy: backlog_deep."
read_at:
  description: When the look began, in UTC.
  returned: success
  type: str
  sample: "2026-11-22T01:30:00Z"
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import healthy
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_findings import facts, judged, observe
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_options import QUEUE_HEALTH_SPEC
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_readings import read_all
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import iso

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress


def read_health(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """Two looks at the queue."""
    at = str(iso(datetime.now(UTC)))
    queue, thresholds = params["queue"], params["thresholds"]
    readings = read_all(clients, queue, params["feature_flags"], thresholds)
    evidence = observe(readings, queue, thresholds, at, time_factor=clients.environment.time_factor)
    state = healthy(judged(evidence))
    sentence = evidence.describe(state)
    progress(sentence)
    return {
        "observations": evidence.observations,
        "subjects": evidence.subjects,
        "facts": facts(evidence),
        "healthy": state,
        "sentence": sentence,
        "read_at": at,
    }


ENTRY = read_entry(QUEUE_HEALTH_SPEC, read_health)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
