#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: queue_verified
short_description: Prove that a queue works, several times in a row
version_added: 0.1.0
description:
  - Looks at the queue twice each time and passes when no symptom of M(daily_emr.ops.queue_health) is left, jobs are
    done whenever some wait, the oldest one is not older than at the look before, unless it is young, and the database
    has room.
  - An unknown is not a pass.
author:
  - Daily EMR operations (@daily-emr)
options:
  passes:
    description: Good looks that are needed in a row.
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
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.read
  - daily_emr.ops.queue
  - daily_emr.ops.queue.diagnosis
"""

EXAMPLES = r"""
- name: Prove that the queue works
  daily_emr.ops.queue_verified:
    queue: "{{ queue }}"
    thresholds: "{{ queue_backlog_thresholds }}"
    passes: 5
    interval: 60
    timeout: 1800
"""

RETURN = r"""
verified:
  description: Whether it was good often enough in a row; null when that could not be read, or in check mode.
  returned: success
  type: bool
  sample: true
passes:
  description: Good looks in a row at the end.
  returned: success
  type: int
  sample: 5
looks:
  description: All looks.
  returned: success
  type: int
  sample: 7
seconds:
  description: How long it took, in seconds.
  returned: success
  type: float
  sample: 61.2
failing:
  description: What was not good at the last look that was not.
  returned: success
  type: list
  elements: str
  sample: ["backlog_deep: 4210 wait"]
sentence:
  description: The result in one sentence.
  returned: success
  type: str
  sample: Good 5 times in a row, each time with jobs that were done.
"""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_evidence import QueueEvidence
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_findings import judged, observe, oldest_s
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_options import QUEUE_HEALTH_SPEC
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_readings import read_all
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


class _Looks:
    """Looks that remember how old the oldest job was."""

    def __init__(self) -> None:
        self._age: float | None = None

    def __call__(self, params: Params, clients: Clients) -> Look:
        queue, thresholds = params["queue"], params["thresholds"]
        readings = read_all(clients, queue, params["feature_flags"], thresholds)
        at, pace = str(iso(datetime.now(UTC))), clients.environment.time_factor
        evidence = observe(readings, queue, thresholds, at, time_factor=pace)
        bad, unread = sort_out([*judged(evidence), *room(evidence)])
        age, before = oldest_s(evidence), self._age
        self._age = age
        return Look([*unmoved(evidence, age, before), *bad], unread)


def room(evidence: QueueEvidence) -> list[dict[str, Any]]:
    """The database must not have been brought to its limit."""
    return [item for item in evidence.observations if item["name"] == "database_limit"]


def unmoved(evidence: QueueEvidence, age: float | None, before: float | None) -> list[str]:
    """What does not move although it should: jobs that wait while none is done, and an oldest one that grows older."""
    flow, reasons = evidence.flow, []
    if not evidence.sqs and flow.depth and flow.completions == 0:
        reasons.append(f"no_completions: {flow.depth} wait and none was done")
    half = evidence.aws_seconds(evidence.queue["oldest_s"]) / 2
    if age is not None and before is not None and age > before and age > half:
        reasons.append(f"oldest_grows: from {before:.0f} s to {age:.0f} s")
    return reasons


def verify(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """Look until it was good often enough in a row, or until it cannot be any more before time is up."""
    clock = Clock(monotonic, sleep)
    return until_verified(params, clients, progress, look=_Looks(), clock=clock, proof="no job that waits too long")


ENTRY = verified_entry(QUEUE_HEALTH_SPEC, verify)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
