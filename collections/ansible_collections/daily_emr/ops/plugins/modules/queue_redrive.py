#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: queue_redrive
short_description: Send one slice of the failed jobs of a queue of BullMQ again
version_added: 0.1.0
description:
  - Moves the oldest failed jobs of the given classes back to the waiting ones, job by job, a slice at a time.
    C(retryJobs) of the package is not used, because its count is the size of a batch and it moves all.
  - Refuses a slice while the slice before is not done, when more than O(error_percent) of the jobs of that slice have
    failed again, or when one of them is nowhere any more. Jobs of others are not looked at.
  - Refuses jobs that may not run twice, a queue without workers, and one that is paused.
  - A job is named by a handle, a hash of its id, because an id may be made of what the job is about.
author:
  - Daily EMR operations (@daily-emr)
options:
  signatures:
    description: The classes of failure to take, as M(daily_emr.ops.queue_health) names them.
    type: list
    elements: str
    required: true
  failed_before_ms:
    description: Only jobs that had failed before this moment, in milliseconds since the epoch.
    type: int
    required: true
  number:
    description: Number of the slice, from 1. The first one has five jobs, each further one twice as many.
    type: int
    required: true
  most:
    description: Most jobs in a slice.
    type: int
    default: 100
  previous:
    description: Handles of the jobs of the slice before, C(diff.before.slice) of its result.
    type: list
    elements: str
    default: []
  error_percent:
    description: Share of the jobs of the slice before, in percent, that may have failed again.
    type: int
    default: 5
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.queue
  - daily_emr.ops.queue.flow
  - daily_emr.ops.queue.reconciled
"""

EXAMPLES = r"""
- name: Send the first slice again
  daily_emr.ops.queue_redrive:
    queue: "{{ queue }}"
    signatures: "{{ queue_backlog_health.subjects.redrive.signatures }}"
    failed_before_ms: "{{ queue_backlog_health.subjects.failed_before_ms }}"
    number: 1
"""

RETURN = r"""
outcome:
  description: How the change ended, one of V(ok), V(noop), V(refused), V(failed), V(unknown).
  returned: always
  type: str
  sample: ok
prediction:
  description: What the change does and costs. Empty when there is nothing to do.
  returned: always
  type: list
  elements: str
  sample: ["Slice 1: 5 of 212 failed jobs are sent again."]
refusals:
  description: Why the change was refused, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: ["3 of the 20 jobs of the slice before failed again (15 %): find out why before more are sent."]
undo:
  description: A sentence why nothing would undo the change.
  returned: always
  type: raw
  sample: "Nothing to undo: jobs that fail again are where they were, and jobs that are done are done."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: queue/notifications/failed/1
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_changes import BullMQChange
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_estimate import outlook, slice_ratio, slice_size
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_options import (
    FLOW_OPTION,
    QUEUE_OPTION,
    RECONCILED_OPTION,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_program import judge
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, plural


class QueueRedrive(BullMQChange):
    """One slice of failed jobs. slice: the handles of the jobs that are, or were, sent again."""

    name: ClassVar[str] = "queue_redrive"
    # Sent twice it takes the next jobs, not the same again: but nobody has judged the first ones by then.
    imperative: ClassVar[bool] = True
    # Jobs go on failing, and the slices of a redrive are one thing in a plan.
    volatile: ClassVar[frozenset[str]] = frozenset({"failed", "slice"})
    spec: ClassVar[Json] = {
        "queue": QUEUE_OPTION,
        "flow": FLOW_OPTION,
        "signatures": {"type": "list", "elements": "str", "required": True},
        "failed_before_ms": {"type": "int", "required": True},
        "number": {"type": "int", "required": True},
        "most": {"type": "int", "default": 100},
        "previous": {"type": "list", "elements": "str", "default": []},
        "error_percent": {"type": "int", "default": 5},
        "reconciled": RECONCILED_OPTION,
    }

    @property
    def target(self) -> str:
        return f"queue/{self.queue['component']}/failed/{self.params['number']}"

    @property
    def share(self) -> str:
        return f"queue/{self.queue['component']}/failed"

    def calls(self, before: Json) -> int:
        """Slices until all are sent."""
        number, left = self.params["number"], before["failed"]
        while left > 0:
            left -= slice_size(number, self.params["most"])
            number += 1
        return int(max(number - self.params["number"], 1))

    def observe(self) -> Json:
        found = self.state(
            "failed",
            signatures=self.params["signatures"],
            before_ms=self.params["failed_before_ms"],
            limit=slice_size(self.params["number"], self.params["most"]),
        )
        previous = self.params["previous"]
        judged = judge(self.clients, self.queue, previous) if previous else None
        return {"failed": found["matching"], "slice": found["handles"], "context": {**found, "judged": judged}}

    def wanted(self, before: Json) -> Json:
        return {"failed": before["failed"] - len(before["slice"]), "slice": []}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        reasons = self.common_refusals(before) + self.repetition_refusals()
        if self.params["most"] < 1 or self.params["number"] < 1:
            reasons.append("A slice has at least one job, and the first one is number 1: set both.")
        if context["paused"]:
            reasons.append("The queue is paused, so nobody could judge the slice: resume it first.")
        if context["workers"] == 0:
            reasons.append("No worker is at the queue, so nobody could judge the slice: bring them back first.")
        return reasons + self._previous_refusals(context["judged"])

    def _previous_refusals(self, judged: Json | None) -> list[str]:
        if judged is None:
            return [] if self.params["number"] == 1 else ["Nobody said what the slice before was: name its jobs."]
        total = sum(judged.values())
        if judged["pending"]:
            return [f"{judged['pending']} of the {total} jobs of the slice before are not done yet: wait for them."]
        if judged["gone"]:
            return [
                f"{judged['gone']} of the {total} jobs of the slice before are nowhere any more, so nobody can say "
                "that they were done: look in the database what became of their work before more are sent."
            ]
        ratio = slice_ratio(failed=judged["failed"], total=total)
        if ratio * 100 > self.params["error_percent"]:
            return [
                f"{judged['failed']} of the {total} jobs of the slice before failed again ({ratio:.0%}): find out why "
                "before more are sent."
            ]
        return []

    def prediction(self, before: Json) -> list[str]:
        flow, number = self.flow, len(before["slice"])
        depth = None if flow.depth is None else flow.depth + number
        return [
            f"Slice {self.params['number']}: {number} of {plural(before['failed'], 'failed job')} are sent again.",
            *outlook(flow, completions=flow.completions, depth=depth, provider_rate=self.queue["provider_rate"]),
        ]

    def apply(self, before: Json) -> None:
        self.call("retry", before, handles=before["slice"], before_ms=self.params["failed_before_ms"])

    def inverse(self, before: Json) -> Json | str:
        return "Nothing to undo: jobs that fail again are where they were, and jobs that are done are done."

    def done(self, before: Json, after: Json) -> bool:
        """None of the slice is among those that had failed before the redrive began."""
        return not set(before["slice"]) & set(after["slice"]) and after["failed"] <= before["failed"] - len(
            before["slice"]
        )

    def untouched(self, before: Json, after: Json) -> bool:
        """The whole slice is still among those that had failed before the redrive began."""
        return bool(before["slice"]) and set(before["slice"]) <= set(after["slice"])


ENTRY = change_entry(QueueRedrive)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
