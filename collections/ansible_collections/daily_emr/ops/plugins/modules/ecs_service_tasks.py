#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: ecs_service_tasks
short_description: Have every task of an ECS service started after a given time
version_added: 0.1.0
description:
  - Replaces the tasks of an ECS service by new ones of the same revision when one of them started before
    O(started_after). For tasks that run but are stuck.
  - Nothing is changed when every running task started after that time, or is being replaced by a deployment that did.
  - Refuses while the database or the cache is down or its state is unknown, while a deployment or a rollback runs,
    when the image is not pinned by digest or gone, when the deployment configuration would drop capacity, when the
    tasks were replaced within O(cooldown_s), and when new tasks would get a secret that no task has proved.
  - Where the service deploys with a canary, this one gives the new tasks all the traffic at once;
    M(daily_emr.ops.ecs_service_strategy) gives the service its strategy back.
  - Does not wait until the tasks are replaced (2 to 6 minutes for two tasks).
author:
  - Daily EMR operations (@daily-emr)
options:
  started_after:
    description:
      - The time every running task must have started after, as a UTC timestamp such as V(2026-11-22T01:30:00Z).
    type: str
    required: true
  cooldown_s:
    description: Seconds between two replacements of the tasks, at the pace of AWS.
    type: int
    default: 600
attributes:
  check_mode:
    description: Reports the tasks that would be replaced, and every reason why they may not.
    support: full
  diff_mode:
    description: Shows the tasks that are older than the given time, before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Recycle the tasks that ran when the incident began
  daily_emr.ops.ecs_service_tasks:
    service: "{{ web_service }}"
    started_after: "2026-11-22T01:30:00Z"
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
  sample: ["The database is rebooting: bring it back first, recycling the tasks now would only thrash."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample: "Nothing to undo: the new tasks run the same revision."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: service/daily-emr-staging/daily-emr-staging-web
"""

from functools import partial
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import (
    DATABASE_SERVES,
    accepts,
    dependency_down,
    read_cache,
    read_database,
    read_tasks,
    ready,
    secret_changed_at,
    unproven_secrets,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._recycling import (
    began,
    drops_capacity,
    in_the_future,
    older_tasks,
    too_soon,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import (
    at_once,
    cannot_start,
    in_progress,
    moving_at_once,
    read_history,
    read_release,
    read_service,
    rolling_back,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    SERVICE_OPTION,
    Json,
    Readings,
    WebServiceChange,
    parse_utc,
    unread,
)


class Tasks(WebServiceChange):
    """When the tasks of an ECS service started."""

    name: ClassVar[str] = "ecs_service_tasks"
    imperative: ClassVar[bool] = True
    sends: ClassVar[tuple[str, ...]] = ("ecs:UpdateService",)
    # Tasks come and go by themselves while a service is not well.
    volatile: ClassVar[frozenset[str]] = frozenset({"running", "to_replace"})
    spec: ClassVar[Json] = {
        "service": SERVICE_OPTION,
        "started_after": {"type": "str", "required": True},
        "cooldown_s": {"type": "int", "default": 600},
    }

    @property
    def target(self) -> str:
        return self.ecs_target

    def observe(self) -> Json:
        clients, service = self.clients, self.service
        where = (clients, service["cluster"], service["service"])
        moment = parse_utc(self.params["started_after"])
        first = Readings()
        first.take(
            service=lambda: read_service(*where),
            history=lambda: read_history(*where),
            tasks=lambda: read_tasks(*where),
            database=lambda: read_database(clients, service["database"]),
            cache=lambda: read_cache(clients, service["cache"]),
            secrets=lambda: {name: secret_changed_at(clients, name) for name in service["secrets"]},
        )
        running, tasks = first.need("service"), first.need("tasks")
        self._ask(first, running, tasks)
        older = older_tasks(running, tasks, moment)
        return {"running": len(tasks), "to_replace": older, "context": first.context()}

    def _ask(self, readings: Readings, running: Json, tasks: list[Json]) -> None:
        """Ask the tasks; where none answers, knock at the dependencies ourselves."""
        clients, service = self.clients, self.service
        timeout_s = (service.get("probes") or {}).get("timeout_s") or 3.0
        probes = Readings()
        probes.take(**{task["id"]: partial(ready, task["address"], service["port"], timeout_s) for task in tasks})
        readings.values["ready"] = probes.values
        readings.unread.update(probes.unread)
        readings.take(release=lambda: read_release(clients, service, running["revision"]))
        for name in ("database", "cache"):
            told = any(name in probe["checks"] for probe in probes.values.values())
            if not told and name in readings.values:
                endpoint = readings.values[name]
                readings.take(**{f"{name}_accepts": partial(accepts, endpoint["address"], endpoint["port"])})

    def wanted(self, before: Json) -> Json:
        # No running task at all is not "every task started after": the refusals say what to do.
        return {"running": max(before["running"], 1), "to_replace": []}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        running = context["service"]
        reasons = unread(context)
        if before["running"] == 0:
            reasons.append("No task runs, so there is none to replace: restore the count or the release first.")
        reasons += in_the_future(self.params["started_after"], running["read_at"])
        reasons += dependency_down("database", context, DATABASE_SERVES)
        reasons += dependency_down("cache", context, ("available", "snapshotting"))
        reasons += self._deployment_refusals(context)
        reasons += drops_capacity(running)
        if "release" in context:
            reasons += cannot_start(context["release"])
        if "secrets" in context and not any(task["id"] in context["unread"] for task in context["tasks"]):
            reasons += unproven_secrets(context["tasks"], context["ready"], context["secrets"])
        return reasons

    def _deployment_refusals(self, context: Json) -> list[str]:
        running, history = context["service"], context.get("history", [])
        reasons = []
        moving = in_progress(history) or rolling_back(history)
        primary = running["deployment"]
        if moving:
            reasons.append(
                f"A deployment of {moving['revision']} runs ({moving['status']}): wait until it ends, or stop it."
            )
        elif primary and primary["rollout"] == "IN_PROGRESS":
            reasons.append("A deployment runs: wait until it ends, or stop it.")
        cooldown_s = self.aws_seconds(self.params["cooldown_s"])
        return reasons + too_soon(history, running["read_at"], cooldown_s, "tasks")

    def prediction(self, before: Json) -> list[str]:
        return moving_at_once(before["context"]["service"])

    def apply(self, before: Json) -> None:
        self.clients.write("ecs", "UpdateService").update_service(
            cluster=self.service["cluster"],
            service=self.service["service"],
            forceNewDeployment=True,
            **at_once(before["context"]["service"]),
        )

    def inverse(self, before: Json) -> Json | str:
        return "Nothing to undo: the new tasks run the same revision."

    def done(self, before: Json, after: Json) -> bool:
        return began(before["context"]["service"], after["context"]["service"])

    def traces(self, before: Json) -> Json:
        return {"service": {"deployment": before["context"]["service"]["deployment"]}}

    def untouched(self, before: Json, after: Json) -> bool:
        """ECS has a new deployment as soon as it has taken the call."""
        return not self.done(before, after)


ENTRY = change_entry(Tasks)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
