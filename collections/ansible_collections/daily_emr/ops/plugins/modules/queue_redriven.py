#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: queue_redriven
short_description: Wait until the jobs of one slice are done, and judge that slice
version_added: 0.1.0
description:
  - Waits, changing nothing, until none of the named jobs waits or is worked at any more, and says how many of them have
    failed again. Other jobs of the queue are not looked at.
  - A slice of which more than O(error_percent) failed again is not good, nor is one that is not done in time, or of
    which a job is in no state any more; the next slice is refused by M(daily_emr.ops.queue_redrive) then.
  - Reports progress. Being stopped in the middle changes nothing.
author:
  - Daily EMR operations (@daily-emr)
options:
  jobs:
    description: Handles of the jobs of the slice.
    type: list
    elements: str
    required: true
  error_percent:
    description: Share of these jobs, in percent, that may have failed again.
    type: int
    default: 5
  timeout:
    description: Seconds to wait, at the pace of AWS, but at least ten real ones.
    type: int
    required: true
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.read
  - daily_emr.ops.queue
"""

EXAMPLES = r"""
- name: Judge the slice
  daily_emr.ops.queue_redriven:
    queue: "{{ queue }}"
    jobs: "{{ queue_backlog_step.diff.before.slice }}"
    timeout: 300
"""

RETURN = r"""
good:
  description: Whether each job of the slice completed or failed again, and few enough of them failed.
  returned: success
  type: bool
  sample: true
failed:
  description: Jobs of the slice that failed again.
  returned: success
  type: int
  sample: 0
pending:
  description: Jobs of the slice that are not done.
  returned: success
  type: int
  sample: 0
gone:
  description: Jobs of the slice that are in no state any more, so that nobody can say what became of them.
  returned: success
  type: int
  sample: 0
total:
  description: Jobs of the slice.
  returned: success
  type: int
  sample: 5
sentence:
  description: The slice in one sentence.
  returned: success
  type: str
  sample: 5 jobs were sent again, 0 of them failed again.
seconds:
  description: How long it took, in seconds.
  returned: success
  type: float
  sample: 2.1
"""

import time
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_estimate import slice_ratio
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_options import QUEUE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_program import QueueFailed, judge
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import plural

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress

monotonic = time.monotonic
sleep = time.sleep
# Jobs take as long as they take: no clock of an environment makes them faster.
LEAST_S = 10.0
INTERVAL_S = 0.5


def wait(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """Look until the slice is done or time is up; a look that fails is looked again."""
    queue, jobs = params["queue"], params["jobs"]
    started = monotonic()
    deadline = started + max(clients.environment.seconds(params["timeout"]), LEAST_S)
    trouble: QueueFailed | None = None
    found = {"pending": len(jobs), "failed": 0, "completed": 0, "gone": 0}
    while True:
        try:
            found = judge(clients, queue, jobs) if jobs else found
            trouble = None
        except QueueFailed as error:
            trouble = error
        if (not found["pending"] and trouble is None) or monotonic() >= deadline:
            break
        progress("")
        sleep(INTERVAL_S)
    if trouble is not None:
        raise trouble
    ratio = slice_ratio(failed=found["failed"], total=len(jobs))
    judged = found["completed"] + found["failed"] == len(jobs)
    good = judged and ratio * 100 <= params["error_percent"]
    sentence = f"{plural(len(jobs), 'job')} were sent again, {found['failed']} of them failed again"
    sentence += f", {found['pending']} are not done" if found["pending"] else ""
    sentence += f", {found['gone']} are nowhere any more." if found["gone"] else "."
    progress(sentence)
    return {
        "good": good,
        "failed": found["failed"],
        "pending": found["pending"],
        "gone": found["gone"],
        "total": len(jobs),
        "sentence": sentence,
        "seconds": round(monotonic() - started, 1),
    }


ENTRY = read_entry(
    {
        "queue": QUEUE_OPTION,
        "jobs": {"type": "list", "elements": "str", "required": True},
        "error_percent": {"type": "int", "default": 5},
        "timeout": {"type": "int", "required": True},
    },
    wait,
)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
