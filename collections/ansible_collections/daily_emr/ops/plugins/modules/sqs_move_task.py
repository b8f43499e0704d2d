#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: sqs_move_task
short_description: Move the messages of a dead-letter queue of SQS back, slowly
version_added: 0.1.0
description:
  - Starts a message move task from the dead-letter queue to where its messages came from, always with a rate, or
    cancels the one that runs. Nothing else is ever done to a message, and none is read.
  - Refuses messages that may not be worked at twice, a rate above what the provider behind the queue accepts, a second
    task, dead letters that are not those of the queue, and a queue whose workers do not run.
  - Does not wait until the messages are moved.
author:
  - Daily EMR operations (@daily-emr)
options:
  state:
    description: Whether messages are being moved.
    type: str
    choices: [moving, cancelled]
    default: moving
  rate:
    description: Most messages a second, 1 to 500. There is no default, and no task without it.
    type: int
    default: 0
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.queue
  - daily_emr.ops.queue.flow
  - daily_emr.ops.queue.reconciled
"""

EXAMPLES = r"""
- name: Send what failed again, five messages a second
  daily_emr.ops.sqs_move_task:
    queue: "{{ queue }}"
    rate: 5
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
  sample: ["40 messages are moved at 5 a second, in 8 s."]
refusals:
  description: Why the change was refused, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: ["A task that moves messages already runs: wait for it, or cancel it."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample:
    module: daily_emr.ops.sqs_move_task
    args:
      state: cancelled
target:
  description: What the change is about.
  returned: always
  type: str
  sample: queue/exports/dead-letters
"""

from datetime import timedelta
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import read_tasks
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_changes import QueueChange
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_estimate import outlook
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_options import (
    FLOW_OPTION,
    QUEUE_OPTION,
    RECONCILED_OPTION,
    SQS,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_readings import read_messages, read_moves
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    Json,
    Readings,
    plural,
    spoken,
    unread,
)

# What SQS takes for MaxNumberOfMessagesPerSecond.
FASTEST = 500
RUNNING = "RUNNING"


class SqsMoveTask(QueueChange):
    """Whether messages of a dead-letter queue are being moved back. moved: how many tasks have begun so far."""

    name: ClassVar[str] = "sqs_move_task"
    imperative: ClassVar[bool] = True
    sends: ClassVar[tuple[str, ...]] = ("sqs:StartMessageMoveTask", "sqs:CancelMessageMoveTask")
    # AWS forgets old tasks.
    volatile: ClassVar[frozenset[str]] = frozenset({"tasks"})
    spec: ClassVar[Json] = {
        "queue": QUEUE_OPTION,
        "flow": FLOW_OPTION,
        "state": {"type": "str", "choices": ["moving", "cancelled"], "default": "moving"},
        "rate": {"type": "int", "default": 0},
        "reconciled": RECONCILED_OPTION,
    }

    @property
    def target(self) -> str:
        return f"queue/{self.queue['component']}/dead-letters"

    @property
    def moving(self) -> bool:
        return bool(self.params["state"] == "moving")

    def observe(self) -> Json:
        clients, queue = self.clients, self.queue
        if queue["kind"] != SQS or not queue["dead_letters"]:
            raise Refused(f"{queue['component']} has no dead-letter queue of SQS: use queue_redrive for BullMQ.")
        readings = Readings()
        readings.take(
            dead_letters=lambda: read_messages(clients, queue["dead_letters"]),
            queue=lambda: read_messages(clients, queue["name"]),
            moves=lambda: read_moves(clients, queue["dead_letters"]),
            tasks=lambda: read_tasks(clients, queue["worker_cluster"], queue["worker_service"]),
        )
        letters, moves = readings.need("dead_letters"), readings.need("moves")
        running = any(move["status"] == RUNNING for move in moves)
        state = "moving" if running else "waiting" if letters["visible"] else "empty"
        return {"state": state, "tasks": len(moves), "context": readings.context()}

    def wanted(self, before: Json) -> Json:
        if self.moving:
            # A task that runs already has a rate of its own, which the refusals look at.
            there = before["state"] == "empty" or self._running(before, self.params["rate"])
            return before if there else {"state": "moving", "tasks": before["tasks"] + 1}
        return {**before, "state": "waiting"} if before["state"] == "moving" else before

    def _running(self, before: Json, rate: int) -> bool:
        return any(
            move["status"] == RUNNING and move["rate"] and move["rate"] <= rate for move in before["context"]["moves"]
        )

    def refusals(self, before: Json) -> list[str]:
        context, rate, accepts = before["context"], self.params["rate"], self.queue["provider_rate"]
        reasons = unread(context)
        if not self.moving:
            return reasons
        reasons += self.repetition_refusals()
        if not 1 <= rate <= FASTEST:
            reasons.append(f"A rate of {rate} messages a second is none: set 1 to {FASTEST}, it is never left out.")
        if accepts and rate > accepts:
            reasons.append(f"The provider accepts {accepts} messages a second: set at most that.")
        if before["state"] == "moving":
            reasons.append("A task that moves messages already runs: wait for it, or cancel it.")
        if context.get("queue") and context["queue"]["redrives_to"] != context["dead_letters"]["arn"]:
            reasons.append(
                f"{self.queue['name']} does not send to {self.queue['dead_letters']} what fails, so nobody knows where "
                "the messages would go: name the dead-letter queue of its redrive policy."
            )
        if context.get("tasks") == []:
            reasons.append("No worker runs, so the messages would only wait elsewhere: bring the workers back first.")
        return reasons

    def prediction(self, before: Json) -> list[str]:
        letters, rate, flow = before["context"]["dead_letters"]["visible"], self.params["rate"], self.flow
        if not self.moving:
            return [f"{plural(letters, 'message')} stay where they are; what was moved stays moved."]
        took = spoken(timedelta(seconds=letters / max(rate, 1)))
        depth = None if flow.depth is None else flow.depth + letters
        return [
            f"{plural(letters, 'message')} are moved at {rate} a second, in {took}.",
            *outlook(flow, completions=flow.completions, depth=depth, provider_rate=self.queue["provider_rate"]),
        ]

    def apply(self, before: Json) -> None:
        if self.moving:
            self.clients.write("sqs", "StartMessageMoveTask").start_message_move_task(
                SourceArn=before["context"]["dead_letters"]["arn"], MaxNumberOfMessagesPerSecond=self.params["rate"]
            )
            return
        handle = next(move["handle"] for move in before["context"]["moves"] if move["status"] == RUNNING)
        self.clients.write("sqs", "CancelMessageMoveTask").cancel_message_move_task(TaskHandle=handle)

    def aws_call(self, before: Json) -> str:
        return self.sends[not self.moving]

    def resources(self, before: Json) -> list[str]:
        """Messages go back to where they came from."""
        return [before["context"][name]["arn"] for name in ("dead_letters", "queue") if name in before["context"]]

    def inverse(self, before: Json) -> Json | str:
        if not self.moving:
            return "Nothing to undo: a task that was cancelled is started again by whoever cancelled it."
        return self.step_back(self.name, state="cancelled")

    def done(self, before: Json, after: Json) -> bool:
        """A task has begun, and may have ended since; or none runs any more."""
        if self.moving:
            return bool(after["state"] == "moving" or after["tasks"] > before["tasks"])
        return bool(after["state"] != "moving")

    def untouched(self, before: Json, after: Json) -> bool:
        """SQS lists a task from its start on, and one that runs was not cancelled."""
        same = after["tasks"] == before["tasks"]
        return bool(same and (after["state"] == "moving") is (before["state"] == "moving"))


ENTRY = change_entry(SqsMoveTask)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
