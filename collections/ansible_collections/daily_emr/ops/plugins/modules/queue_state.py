#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: queue_state
short_description: Pause or resume a queue of BullMQ
version_added: 0.1.0
description:
  - Pauses or resumes a queue by one call of the official package, in the version whose key layout the queue has. No key
    is ever written by hand.
  - BullMQ 5 moves all waiting jobs to another list when it pauses, BullMQ 6 only sets a mark. A pause by raw keys on
    BullMQ 5 followed by a resume loses jobs, so a queue whose jobs are where its version does not keep them is refused.
  - A queue counts as running when no job is left where a pause has put it, which BullMQ 6 takes back in several steps.
  - Refuses to resume what somebody keeps paused on purpose, and to pause a queue that carries clinical results.
author:
  - Daily EMR operations (@daily-emr)
options:
  state:
    description: Whether workers take jobs from the queue.
    type: str
    choices: [paused, running]
    required: true
  critical:
    description: Whether the queue is one that is never paused. Resuming it is always allowed.
    type: bool
    default: true
  on_behalf_of_owner:
    description:
      - Whether whoever keeps the queue paused on purpose resumes it, as the runbook of what its jobs call does.
    type: bool
    default: false
  feature_flags:
    description: Where the feature flags of the application live; only needed where the queue has a C(circuit_flag).
    type: dict
    suboptions:
      api_url:
        description: Base URL of the LaunchDarkly REST API.
        type: str
      project:
        description: Key of the LaunchDarkly project.
        type: str
      environment:
        description: Key of the LaunchDarkly environment.
        type: str
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.queue
  - daily_emr.ops.queue.flow
"""

EXAMPLES = r"""
- name: Let the workers take jobs again
  daily_emr.ops.queue_state:
    queue: "{{ queue }}"
    state: running
    flow: "{{ queue_backlog_health.facts.flow }}"
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
  sample: ["211 jobs are released at once, in the order in which they came."]
refusals:
  description: Why the change was refused, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: ["Flag claims-submit-queue-only is on: whoever turned it on resumes the queue."]
undo:
  description: The module and arguments that would undo the change.
  returned: always
  type: raw
  sample:
    module: daily_emr.ops.queue_state
    args:
      state: paused
target:
  description: What the change is about.
  returned: always
  type: str
  sample: queue/notifications
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_changes import BullMQChange
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_estimate import outlook
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_evidence import held_jobs, waiting_jobs
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_options import (
    FLAGS_OPTION,
    FLOW_OPTION,
    QUEUE_OPTION,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_readings import read_circuit
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import read_service
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings, plural, unread

# Not paused, and jobs are still where a pause has put them: BullMQ 6 takes them back in several steps.
RESUMING = "resuming"


class QueueState(BullMQChange):
    """Whether workers take jobs from a queue."""

    name: ClassVar[str] = "queue_state"
    imperative: ClassVar[bool] = False
    spec: ClassVar[Json] = {
        "queue": QUEUE_OPTION,
        "flow": FLOW_OPTION,
        "state": {"type": "str", "choices": ["paused", "running"], "required": True},
        "critical": {"type": "bool", "default": True},
        "on_behalf_of_owner": {"type": "bool", "default": False},
        "feature_flags": FLAGS_OPTION,
    }

    def observe(self) -> Json:
        clients, queue, flags = self.clients, self.queue, self.params["feature_flags"]
        readings = Readings()
        readings.take(
            queue=self.state,
            service=lambda: read_service(clients, queue["worker_cluster"], queue["worker_service"]),
        )
        if not queue["circuit_flag"]:
            readings.values["circuit"] = {"on": False}
        elif flags is None:
            readings.unread["circuit"] = "nobody said where the flags are"
        else:
            readings.take(circuit=lambda: read_circuit(clients, flags, queue["circuit_flag"]))
        found = readings.need("queue")
        state = "paused" if found["paused"] else RESUMING if held_jobs(found) else "running"
        return {"state": state, "context": {**found, **readings.context()}}

    def wanted(self, before: Json) -> Json:
        return {"state": self.params["state"]}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        reasons = [*self.common_refusals(before)]
        if self.params["state"] == "paused":
            if self.params["critical"]:
                reasons.append("The queue carries what somebody waits for at the bedside: throttle it instead.")
            return reasons
        if self.params["on_behalf_of_owner"]:
            return reasons
        reasons += unread(context)
        if context.get("circuit", {}).get("on"):
            reasons.append(f"Flag {self.queue['circuit_flag']} is on: whoever turned it on resumes the queue.")
        if context.get("service", {}).get("tags", {}).get("maintenance"):
            reasons.append(
                f"{self.queue['worker_service']} is in planned maintenance (tag maintenance): ask its owner, then "
                "remove the tag."
            )
        return reasons

    def prediction(self, before: Json) -> list[str]:
        waits = plural(waiting_jobs(before["context"]), "job")
        flow = self.flow
        if self.params["state"] == "paused":
            return [
                f"{waits} stay where they are, and so does what arrives.",
                *outlook(flow, completions=0.0, provider_rate=self.queue["provider_rate"]),
            ]
        return [
            f"{waits} are released at once, in the order in which they came.",
            *outlook(flow, completions=self.usual_rate(), provider_rate=self.queue["provider_rate"]),
        ]

    def apply(self, before: Json) -> None:
        self.call("pause" if self.params["state"] == "paused" else "resume", before)

    def inverse(self, before: Json) -> Json | str:
        if before["state"] == RESUMING:
            return "Nothing to undo: jobs where no worker takes them were the incident."
        args: Json = {"state": before["state"]}
        if before["state"] == "paused":
            args["critical"] = False
        if self.params["feature_flags"]:
            args["feature_flags"] = self.params["feature_flags"]
        return self.step_back(self.name, **args)


ENTRY = change_entry(QueueState)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
