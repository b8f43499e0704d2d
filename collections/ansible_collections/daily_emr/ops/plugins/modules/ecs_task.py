#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: ecs_task
short_description: Stop one bad task of an ECS service
version_added: 0.1.0
description:
  - Stops one task, so that ECS starts another one of the same revision in its place (1 to 3 minutes).
  - Nothing is changed when the task has stopped already.
  - Refuses unless the task is an outlier, with a ratio of bad requests more than O(times_worse) times the median of
    the others, and at least O(min_healthy_targets) healthy targets remain without it.
  - Refuses while a deployment or a rollback runs, which replaces tasks by itself, and when no new task of the revision
    could start.
  - Without O(bad_ratio) and O(median_ratio) both are read from the request log of the last O(window_s) seconds.
author:
  - Daily EMR operations (@daily-emr)
options:
  task:
    description: Id of the task, as the last part of its ARN.
    type: str
    required: true
  state:
    description: The task is stopped.
    type: str
    choices: [stopped]
    default: stopped
  bad_ratio:
    description: Ratio of bad requests among those of the task, from 0 to 1. Needs O(median_ratio).
    type: float
  median_ratio:
    description: Median of the same ratio of the other tasks. Needs O(bad_ratio).
    type: float
  times_worse:
    description: How many times the median the ratio must be.
    type: float
    default: 5.0
  min_healthy_targets:
    description: Healthy targets that must remain.
    type: int
    default: 2
  window_s:
    description: Seconds to look back in the request log, at the pace of AWS.
    type: int
    default: 900
attributes:
  check_mode:
    description: Reports the task that would be stopped, and every reason why it may not.
    support: full
  diff_mode:
    description: Shows the status of the task before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Stop the task that fails while the others serve
  daily_emr.ops.ecs_task:
    service: "{{ web_service }}"
    task: 0123456789abcdef0123456789abcdef
    bad_ratio: 0.46
    median_ratio: 0.002
"""

RETURN = r"""
outcome:
  description: How the change ended, one of V(ok), V(noop), V(refused), V(failed), V(unknown).
  returned: always
  type: str
  sample: ok
refusals:
  description: Why the change was refused, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: ["1 healthy target would remain, 2 are needed: raise the count first."]
prediction:
  description: What the change will lead to, for whoever has to approve it.
  returned: always
  type: list
  elements: str
  sample:
    - Until ECS has started another task of daily-emr-staging-web:42, the traffic is carried by 2 healthy targets.
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample: "Nothing to undo: ECS starts another task of the same revision."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: task/daily-emr-staging/0123456789abcdef0123456789abcdef
"""

from datetime import timedelta
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._attribution import outlier
from ansible_collections.daily_emr.ops.plugins.module_utils._balancer import read_targets
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import gather
from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import read_task_status, read_tasks
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import (
    cannot_start,
    in_progress,
    read_history,
    read_release,
    read_service,
    rolling_back,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._request_log import (
    BAD_BY_ALL,
    ask,
    counts,
    requests_by,
    utc_now,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    SERVICE_OPTION,
    Json,
    Readings,
    WebServiceChange,
    plural,
    target_groups,
    unread,
)

# Five times nothing is nothing: below one in a hundred a task is not bad, whatever the others do.
LEAST_MEDIAN = 0.01


class Task(WebServiceChange):
    """Whether one task of an ECS service runs."""

    name: ClassVar[str] = "ecs_task"
    imperative: ClassVar[bool] = False
    sends: ClassVar[tuple[str, ...]] = ("ecs:StopTask",)
    spec: ClassVar[Json] = {
        "service": SERVICE_OPTION,
        "task": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["stopped"], "default": "stopped"},
        "bad_ratio": {"type": "float"},
        "median_ratio": {"type": "float"},
        "times_worse": {"type": "float", "default": 5.0},
        "min_healthy_targets": {"type": "int", "default": 2},
        "window_s": {"type": "int", "default": 900},
    }

    @property
    def target(self) -> str:
        return f"task/{self.service['cluster']}/{self.params['task']}"

    def observe(self) -> Json:
        clients, service = self.clients, self.service
        where = (clients, service["cluster"], service["service"])
        readings = Readings()
        readings.take(
            task=lambda: read_task_status(*where, self.params["task"]),
            tasks=lambda: read_tasks(*where),
            service=lambda: read_service(*where),
            history=lambda: read_history(*where),
            targets=lambda: read_targets(clients, target_groups(service)),
        )
        status = readings.need("task")
        mine = next((item for item in readings.need("tasks") if item["id"] == self.params["task"]), None)
        if mine and status == "running":
            readings.take(release=lambda: read_release(clients, service, mine["revision"]), ratios=self._ratios)
        return {"status": status, "context": {**readings.context(), "mine": mine}}

    def _ratios(self) -> tuple[float, float]:
        """Ratio of bad requests of the task, and the median of the others."""
        given = self.params["bad_ratio"], self.params["median_ratio"]
        if given[0] is not None and given[1] is not None:
            return given
        group = self.service.get("log_group")
        if not group:
            raise OpsError("bad_ratio and median_ratio are not given, and the service has no log_group")
        end = utc_now()
        start = end - timedelta(seconds=self.aws_seconds(self.params["window_s"]))
        rows = gather(
            bad=lambda: ask(self.clients, group, BAD_BY_ALL, start, end),
            requests=lambda: ask(self.clients, group, requests_by("task"), start, end),
        )
        for answer in rows.values():
            if isinstance(answer, OpsError):
                raise answer
        found = outlier(counts("task", rows["bad"], rows["requests"]), self.params["task"])
        if found is None:
            raise OpsError("the request log has no requests of this task, or none of another one")
        return found

    def wanted(self, before: Json) -> Json:
        return {"status": "stopped"}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        if before["status"] is None or context["mine"] is None:
            return [
                *unread(context),
                f"{self.params['task']} is not a running task of {self.service['service']}: check its id.",
            ]
        reasons = unread(context)
        if "ratios" in context:
            reasons += self._no_outlier(*context["ratios"])
        if "targets" in context:
            remaining = self._remaining(context)
            needed = self.params["min_healthy_targets"]
            if remaining < needed:
                would = f"{plural(remaining, 'healthy target')} would remain, {needed} are needed"
                reasons.append(f"{would}: raise the count first.")
        moving = in_progress(context.get("history", [])) or rolling_back(context.get("history", []))
        if moving:
            reasons.append(
                f"A deployment of {moving['revision']} runs ({moving['status']}) and replaces tasks by itself: wait "
                "until it ends, or stop it."
            )
        if "release" in context:
            reasons += cannot_start(context["release"])
        return reasons

    def _no_outlier(self, ratio: float, median_ratio: float) -> list[str]:
        times = self.params["times_worse"]
        if ratio > times * max(median_ratio, LEAST_MEDIAN):
            return []
        return [
            f"{ratio:.1%} of the requests of the task are bad, {median_ratio:.1%} of those of the others (median): it "
            f"is not {times:g} times as bad, so one task is not the cause."
        ]

    def _remaining(self, context: Json) -> int:
        address = context["mine"]["address"]
        return sum(item["state"] == "healthy" and item["address"] != address for item in context["targets"])

    def prediction(self, before: Json) -> list[str]:
        context = before["context"]
        if context["mine"] is None or "targets" not in context:
            return []
        remaining = plural(self._remaining(context), "healthy target")
        revision = context["mine"]["revision"]
        return [f"Until ECS has started another task of {revision}, the traffic is carried by {remaining}."]

    def apply(self, before: Json) -> None:
        incident = (self.params.get("incident") or {}).get("id", "")
        self.clients.write("ecs", "StopTask").stop_task(
            cluster=self.service["cluster"], task=self.params["task"], reason=f"{incident} {self.name}".strip()
        )

    def resources(self, before: Json) -> list[str]:
        return [self.clients.environment.arn("ecs", self.target)]

    def inverse(self, before: Json) -> Json | str:
        return "Nothing to undo: ECS starts another task of the same revision."


ENTRY = change_entry(Task)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
