#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: queue_worker_tasks
short_description: Have every worker of a queue started after a given time
version_added: 0.1.0
description:
  - Replaces the tasks of the ECS service of the workers by new ones of the same revision when one of them started
    before O(started_after). For workers that run and do not work.
  - ECS asks a task to end (SIGTERM), and the worker finishes what it has before it does. A job that it does not finish
    in time is taken by another worker once its lock has run out.
  - New workers start before the old ones end. Refuses when the connections of both do not fit into what the database
    has left, with a fifth of it kept free, and while the database is at its limit.
  - Refuses where a job may not run twice, while the longest running job takes longer than a task may take to end, while
    a deployment runs, when the tasks were replaced within O(cooldown_s), when the deployment configuration would drop
    capacity, and while the server is not available.
  - Does not wait until the workers are replaced.
author:
  - Daily EMR operations (@daily-emr)
options:
  started_after:
    description:
      - The time every running worker must have started after, as a UTC timestamp such as V(2026-11-22T01:30:00Z).
    type: str
    required: true
  longest_job_s:
    description: Longest time a job that works may take, in seconds; a job that is stuck never ends by itself.
    type: int
    default: 120
  cooldown_s:
    description: Seconds between two replacements of the workers, at the pace of AWS.
    type: int
    default: 600
  connections_percent:
    description: Share of the connections of the database, in percent, above which it is at its limit.
    type: int
    default: 80
  cpu_percent:
    description: CPU of the database, in percent, above which it is at its limit.
    type: int
    default: 70
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.queue
  - daily_emr.ops.queue.flow
"""

EXAMPLES = r"""
- name: Recycle the workers that hold on to the old primary
  daily_emr.ops.queue_worker_tasks:
    queue: "{{ queue }}"
    started_after: "2026-11-22T01:30:00Z"
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
  sample:
    - "Replaces 2 workers, new ones first; what they work at (3 jobs) is finished or taken over."
    - "Connections of the database while both are there: 18, instead of 14."
refusals:
  description: Why the change was refused, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: ["A job of this queue may not run twice: let the workers finish, and end them by hand."]
undo:
  description: A sentence why nothing would undo the change.
  returned: always
  type: raw
  sample: "Nothing to undo: the new workers run the same revision."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: service/daily-emr-staging/daily-emr-staging-claims-worker
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import read_tasks
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_changes import SERVING, QueueChange
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_estimate import outlook
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_load import (
    LOAD_OPTIONS,
    at_limit,
    no_headroom,
    read_load,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_options import BULLMQ, FLOW_OPTION, QUEUE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_program import ask, place_of, read_group
from ansible_collections.daily_emr.ops.plugins.module_utils._recycling import (
    began,
    drops_capacity,
    in_the_future,
    most_at_once,
    older_tasks,
    too_soon,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import (
    in_progress,
    read_history,
    read_service,
    rolling_back,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    Json,
    Readings,
    parse_utc,
    plural,
    unread,
)

# Fargate ends a task that does not end by itself after at most this (stopTimeout), seconds.
MOST_STOP_S = 120


class QueueWorkerTasks(QueueChange):
    """When the workers of a queue started."""

    name: ClassVar[str] = "queue_worker_tasks"
    imperative: ClassVar[bool] = True
    sends: ClassVar[tuple[str, ...]] = ("ecs:UpdateService",)
    # Workers come and go by themselves while they are not well.
    volatile: ClassVar[frozenset[str]] = frozenset({"running", "to_replace"})
    spec: ClassVar[Json] = {
        "queue": QUEUE_OPTION,
        "flow": FLOW_OPTION,
        "started_after": {"type": "str", "required": True},
        "longest_job_s": {"type": "int", "default": 120},
        "cooldown_s": {"type": "int", "default": 600},
        **LOAD_OPTIONS,
    }

    @property
    def target(self) -> str:
        return f"service/{self.queue['worker_cluster']}/{self.queue['worker_service']}"

    def observe(self) -> Json:
        clients, queue = self.clients, self.queue
        where = (clients, queue["worker_cluster"], queue["worker_service"])
        moment = parse_utc(self.params["started_after"])
        readings = Readings()
        readings.take(
            service=lambda: read_service(*where),
            tasks=lambda: read_tasks(*where),
            history=lambda: read_history(*where),
        )
        if queue["kind"] == BULLMQ:
            readings.take(group=lambda: read_group(clients, queue["replication_group"]))
            group = readings.values.get("group")
            readings.take(queue=lambda: ask(clients, queue, place_of(clients, queue, group), "counters"))
        running, tasks = readings.need("service"), readings.need("tasks")
        older = older_tasks(running, tasks, moment)
        if older:
            read_load(clients, queue, readings.take, readings.values)
        return {"running": len(tasks), "to_replace": older, "context": readings.context()}

    def wanted(self, before: Json) -> Json:
        # No running worker at all is not "every worker started after": the refusals say what to do.
        return {"running": max(before["running"], 1), "to_replace": []}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        running = context["service"]
        reasons = unread(context)
        if before["running"] == 0:
            reasons.append("No worker runs, so there is none to replace: bring the count back first.")
        reasons += in_the_future(self.params["started_after"], running["read_at"])
        if not self.queue["idempotent"]:
            reasons.append("A job of this queue may not run twice: let the workers finish, and end them by hand.")
        if self.params["longest_job_s"] > MOST_STOP_S:
            reasons.append(
                f"A job may take {self.params['longest_job_s']} s, and a task has {MOST_STOP_S} s to end: pause the "
                "queue and wait until none is worked at."
            )
        reasons += at_limit(context, self.params, "starting new workers beside the old ones")
        reasons += no_headroom(context, most_at_once(running), self.queue["pool_per_worker"])
        group = context.get("group", {}).get("status")
        if group and group not in SERVING:
            reasons.append(f"The replication group is {group}: wait until it is available, then recycle.")
        return reasons + self._deployment_refusals(context) + drops_capacity(running)

    def _deployment_refusals(self, context: Json) -> list[str]:
        running, history = context["service"], context.get("history", [])
        primary = running["deployment"]
        reasons = []
        if in_progress(history) or rolling_back(history) or (primary and primary["rollout"] == "IN_PROGRESS"):
            reasons.append("A deployment of the workers runs: wait until it ends, or stop it.")
        cooldown_s = self.aws_seconds(self.params["cooldown_s"])
        return reasons + too_soon(history, running["read_at"], cooldown_s, "workers")

    def prediction(self, before: Json) -> list[str]:
        flow = self.flow
        active = before["context"].get("queue", {}).get("counts", {}).get("active")
        jobs = "" if active is None else f" ({plural(active, 'job')})"
        return [
            f"Replaces {plural(len(before['to_replace']), 'worker')}, new ones first; what they work at{jobs} is "
            "finished or taken over.",
            *outlook(flow, completions=self.usual_rate(before["running"]), provider_rate=self.queue["provider_rate"]),
            *self._beside(before["context"]),
        ]

    def _beside(self, context: Json) -> list[str]:
        """What the new workers need of the database as long as the old ones are there too."""
        used = context.get("connections_in_use")
        more = most_at_once(context["service"]) - context["service"]["running"]
        if used is None or not more:
            return []
        opened = more * self.queue["pool_per_worker"]
        return [f"Connections of the database while both are there: {used + opened}, instead of {used}."]

    def apply(self, before: Json) -> None:
        self.clients.write("ecs", "UpdateService").update_service(
            cluster=self.queue["worker_cluster"], service=self.queue["worker_service"], forceNewDeployment=True
        )

    def resources(self, before: Json) -> list[str]:
        return [self.clients.environment.arn("ecs", self.target)]

    def inverse(self, before: Json) -> Json | str:
        return "Nothing to undo: the new workers run the same revision."

    def done(self, before: Json, after: Json) -> bool:
        return began(before["context"]["service"], after["context"]["service"])

    def traces(self, before: Json) -> Json:
        return {"service": {"deployment": before["context"]["service"]["deployment"]}}

    def untouched(self, before: Json, after: Json) -> bool:
        """ECS has a new deployment as soon as it has taken the call."""
        return not self.done(before, after)


ENTRY = change_entry(QueueWorkerTasks)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
