#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: queue_quarantine
short_description: Put the failed jobs of one class aside, or back
version_added: 0.1.0
description:
  - Moves the failed jobs of one class of failure into a queue beside it, C(<queue>-quarantine), which is paused and has
    no workers. What a job holds goes with it, and is shown to nobody.
  - A job is first added there and then taken away here, so that it is in one of the two whatever happens. A job that
    was moved half is moved wholly the next time.
  - A job that somebody takes meanwhile is theirs, and its copy is taken away again. Where that fails as well, the
    outcome is V(unknown).
  - Refuses fewer than 20 failures. Jobs that are part of a flow stay where they are.
  - V(released) adds what lies in the quarantine to the queue again, at most 1000 jobs, the oldest first. Refuses jobs
    that may not run twice.
author:
  - Daily EMR operations (@daily-emr)
options:
  state:
    description: Whether the jobs are put aside or back.
    type: str
    choices: [quarantined, released]
    default: quarantined
  signature:
    description: The class of failure, as M(daily_emr.ops.queue_health) names it. Needed to put jobs aside.
    type: str
    default: ""
  failed_before_ms:
    description: Only jobs that had failed before this moment, in milliseconds since the epoch.
    type: int
    default: 0
  least:
    description: Failures of the class below which nothing is put aside; never less than 20.
    type: int
    default: 20
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.queue
  - daily_emr.ops.queue.flow
  - daily_emr.ops.queue.reconciled
"""

EXAMPLES = r"""
- name: Put the poison aside
  daily_emr.ops.queue_quarantine:
    queue: "{{ queue }}"
    signature: "{{ queue_backlog_health.subjects.poison }}"
    failed_before_ms: "{{ queue_backlog_health.subjects.failed_before_ms }}"
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
  sample: ["34 jobs of class dd28e4bfc2c9 go to notifications-quarantine, with what they hold."]
refusals:
  description: Why the change was refused, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: ["Only 7 jobs failed with this class: 20 are needed to call it one."]
undo:
  description: The module and arguments that would undo the change.
  returned: always
  type: raw
  sample:
    module: daily_emr.ops.queue_quarantine
    args:
      state: released
target:
  description: What the change is about.
  returned: always
  type: str
  sample: queue/notifications/quarantine
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_changes import BullMQChange
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_estimate import outlook
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_evidence import waiting_jobs
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_options import (
    FLOW_OPTION,
    QUEUE_OPTION,
    RECONCILED_OPTION,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_program import ask, place_of
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, plural

# Fewer failures are no class (A4.4b, M6); no input can loosen it.
LEAST = 20
# Moved by one request; what is left is moved by the next run.
MOST = 1000
SUFFIX = "-quarantine"


class QueueQuarantine(BullMQChange):
    """How many failed jobs of one class are in the queue, and how many jobs lie in its quarantine."""

    name: ClassVar[str] = "queue_quarantine"
    imperative: ClassVar[bool] = False
    # Jobs go on failing.
    volatile: ClassVar[frozenset[str]] = frozenset({"failed", "quarantined"})
    spec: ClassVar[Json] = {
        "queue": QUEUE_OPTION,
        "flow": FLOW_OPTION,
        "state": {"type": "str", "choices": ["quarantined", "released"], "default": "quarantined"},
        "signature": {"type": "str", "default": ""},
        "failed_before_ms": {"type": "int", "default": 0},
        "least": {"type": "int", "default": LEAST},
        "reconciled": RECONCILED_OPTION,
    }

    @property
    def target(self) -> str:
        return f"queue/{self.queue['component']}/quarantine"

    @property
    def aside(self) -> bool:
        return bool(self.params["state"] == "quarantined")

    def observe(self) -> Json:
        signature = self.params["signature"]
        found = self.state("failed", signatures=[signature], before_ms=self.params["failed_before_ms"], limit=MOST)
        shelf = {**self.queue, "name": self.queue["name"] + SUFFIX}
        lying = waiting_jobs(ask(self.clients, shelf, place_of(self.clients, self.queue), "counters"))
        return {
            "failed": found["matching"] if self.aside else 0,
            "quarantined": lying,
            "context": found,
        }

    def _moves(self, before: Json) -> int:
        return int(min(before["failed"] if self.aside else before["quarantined"], MOST))

    def wanted(self, before: Json) -> Json:
        moved = self._moves(before)
        if self.aside:
            return {"failed": before["failed"] - moved, "quarantined": before["quarantined"] + moved}
        return {"failed": before["failed"], "quarantined": before["quarantined"] - moved}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        reasons = self.common_refusals(before)
        least = max(self.params["least"], LEAST)
        if self.aside and not self.params["signature"]:
            reasons.append("Nobody said which class of failure: name its signature.")
        if self.aside and before["failed"] < least:
            reasons.append(f"Only {before['failed']} jobs failed with this class: {least} are needed to call it one.")
        if self.aside:
            return reasons
        if context["paused"]:
            reasons.append("The queue is paused, so what is put back would only wait: resume it first.")
        return reasons + self.repetition_refusals()

    def prediction(self, before: Json) -> list[str]:
        flow, shelf = self.flow, self.queue["name"] + SUFFIX
        if self.aside:
            number = plural(self._moves(before), "job")
            first = f"{number} of class {self.params['signature']} go to {shelf}, with what they hold."
            return [first, *outlook(flow, completions=flow.completions, provider_rate=self.queue["provider_rate"])]
        depth = None if flow.depth is None else flow.depth + self._moves(before)
        return [
            f"{self._moves(before)} of {plural(before['quarantined'], 'job')} come back from {shelf} and are tried "
            "again.",
            *outlook(flow, completions=flow.completions, depth=depth, provider_rate=self.queue["provider_rate"]),
        ]

    def apply(self, before: Json) -> None:
        if self.aside:
            handles, moment = before["context"]["handles"], self.params["failed_before_ms"]
            self.call("quarantine", before, handles=handles, before_ms=moment)
        else:
            self.call("release", before, limit=MOST)

    def inverse(self, before: Json) -> Json | str:
        if not self.aside:
            return "Nothing to undo: jobs that fail again are where they were, and jobs that are done are done."
        return self.step_back(self.name, state="released")

    def done(self, before: Json, after: Json) -> bool:
        """Jobs of a flow stay where they are, and so does what somebody else took meanwhile."""
        if not self.aside:
            return bool(after["quarantined"] <= self.wanted(before)["quarantined"])
        return bool(after["failed"] < before["failed"] and after["quarantined"] > before["quarantined"])


ENTRY = change_entry(QueueQuarantine)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
