#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: queue_worker_count
short_description: Have more workers at a queue, within what their database and provider can take
version_added: 0.1.0
description:
  - Raises the number of tasks of the ECS service of the workers; where it is scaled automatically, its minimum.
  - Refuses more workers than connections of the database are left for, with a fifth of them kept free, while the
    database is at its limit, more than the provider behind the queue accepts, and more than the queue may ever have.
  - Refuses more than the usual ones when nobody knows what those that are there do.
  - Does not wait until the workers run.
author:
  - Daily EMR operations (@daily-emr)
options:
  at_least:
    description: Number of workers that must be asked for.
    type: int
    required: true
  lower:
    description: Whether fewer workers than now may be asked for, to take a raise back.
    type: bool
    default: false
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
- name: Bring the workers back
  daily_emr.ops.queue_worker_count:
    queue: "{{ queue }}"
    at_least: "{{ queue.worker_expected }}"
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
  sample: ["Connections of the database: 31 now, 35 after it, of 40 that may be used."]
refusals:
  description: Why the change was refused, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: ["6 workers would open 8 connections more, and the database has 3 to give (37 of 40 in use): at most 3 fit."]
undo:
  description: The module and arguments that would undo the change.
  returned: always
  type: raw
  sample:
    module: daily_emr.ops.queue_worker_count
    args:
      at_least: 2
      lower: true
target:
  description: What the change is about.
  returned: always
  type: str
  sample: service/daily-emr-staging/daily-emr-staging-claims-worker
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_changes import QueueChange
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_estimate import (
    SLOW_PACE,
    outlook,
    pace,
    with_workers,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_load import (
    LOAD_OPTIONS,
    at_limit,
    no_headroom,
    read_load,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_options import FLOW_OPTION, QUEUE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import read_capacity, read_service
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings, plural, unread


class QueueWorkerCount(QueueChange):
    """The number of workers that ECS is asked for, or the least that automatic scaling keeps."""

    name: ClassVar[str] = "queue_worker_count"
    imperative: ClassVar[bool] = False
    sends: ClassVar[tuple[str, ...]] = ("ecs:UpdateService", "application-autoscaling:RegisterScalableTarget")
    spec: ClassVar[Json] = {
        "queue": QUEUE_OPTION,
        "flow": FLOW_OPTION,
        "at_least": {"type": "int", "required": True},
        "lower": {"type": "bool", "default": False},
        **LOAD_OPTIONS,
    }

    @property
    def target(self) -> str:
        return f"service/{self.queue['worker_cluster']}/{self.queue['worker_service']}"

    def observe(self) -> Json:
        clients, queue = self.clients, self.queue
        where = (clients, queue["worker_cluster"], queue["worker_service"])
        readings = Readings()
        readings.take(service=lambda: read_service(*where), scaling_limits=lambda: read_capacity(*where))
        service = readings.need("service")
        # Whether the service is scaled automatically decides which call it is.
        limits = readings.need("scaling_limits")
        workers = limits["minimum"] if limits else service["desired"]
        if self.params["at_least"] > workers:
            read_load(clients, queue, readings.take, readings.values)
        return {"workers": workers, "context": readings.context()}

    def wanted(self, before: Json) -> Json:
        asked = self.params["at_least"]
        return {"workers": asked if self.params["lower"] else max(asked, before["workers"])}

    def refusals(self, before: Json) -> list[str]:
        context, queue, wanted = before["context"], self.queue, self.wanted(before)["workers"]
        service, limits = context["service"], context["scaling_limits"]
        reasons = []
        if wanted < 1:
            reasons.append(f"{wanted} workers would leave the queue alone: ask for at least 1.")
        if service["status"] != "ACTIVE":
            reasons.append(f"The service is {service['status']}: only an ACTIVE service has a count.")
        if service["tags"].get("maintenance"):
            reasons.append(
                "The service is in planned maintenance (tag maintenance): ask its owner, then remove the tag."
            )
        if wanted <= before["workers"]:
            return reasons
        if wanted > queue["worker_maximum"]:
            reasons.append(
                f"{wanted} workers are more than the {queue['worker_maximum']} that this queue may have: ask for fewer."
            )
        if limits and wanted > limits["maximum"]:
            reasons.append(
                f"{wanted} workers are above the scaling maximum of {limits['maximum']}: raise the maximum first."
            )
        reasons += unread(context) + at_limit(context, self.params, "more workers")
        return reasons + no_headroom(context, wanted, queue["pool_per_worker"]) + self._downstream(wanted)

    def _downstream(self, wanted: int) -> list[str]:
        """More than the usual workers ask more than the usual of what the jobs call, which must be able to give it."""
        flow, queue = self.flow, self.queue
        accepts, after = queue["provider_rate"], with_workers(flow, wanted)
        if accepts and after is not None and after > accepts:
            return [
                f"{plural(wanted, 'worker')} would do {after:.1f} jobs a second, and the provider accepts {accepts}: "
                "ask for fewer, or set a rate limit first."
            ]
        if wanted <= queue["worker_expected"]:
            return []
        if after is None or flow.depth is None:
            return [
                f"Nobody knows what the workers do now, so nobody can say what {plural(wanted, 'worker')} would ask of "
                f"what the jobs call: ask for at most {queue['worker_expected']}, the usual ones."
            ]
        # Those that do not get done what they usually do wait for something, and more of them would as well.
        part = pace(flow, jobs_per_worker=queue["jobs_per_worker"], usual_job_ms=queue["usual_job_ms"])
        if part is None or part >= SLOW_PACE:
            return []
        return [
            f"The workers do {part:.0%} of what they usually do, so they wait for what the jobs call: more of them "
            "would only ask it more."
        ]

    def prediction(self, before: Json) -> list[str]:
        context, flow, wanted = before["context"], self.flow, self.wanted(before)["workers"]
        added = max(wanted - context["service"]["running"], 0)
        used = flow.connections if flow.connections is not None else context.get("connections_in_use")
        return [
            f"{plural(before['workers'], 'worker')} now, {wanted} after it.",
            *outlook(
                flow,
                completions=with_workers(flow, wanted) or self.usual_rate(wanted),
                connections=None if used is None else used + added * self.queue["pool_per_worker"],
                provider_rate=self.queue["provider_rate"],
            ),
        ]

    def apply(self, before: Json) -> None:
        wanted, queue = self.wanted(before)["workers"], self.queue
        if before["context"]["scaling_limits"]:
            self.clients.write("application-autoscaling", "RegisterScalableTarget").register_scalable_target(
                ServiceNamespace="ecs",
                ResourceId=self.target,
                ScalableDimension="ecs:service:DesiredCount",
                MinCapacity=wanted,
            )
        else:
            self.clients.write("ecs", "UpdateService").update_service(
                cluster=queue["worker_cluster"], service=queue["worker_service"], desiredCount=wanted
            )

    def aws_call(self, before: Json) -> str:
        return self.sends[bool(before["context"]["scaling_limits"])]

    def resources(self, before: Json) -> list[str]:
        """AWS names a scalable target by an id of its own."""
        return [
            self.clients.environment.arn("ecs", self.target),
            self.clients.environment.arn("application-autoscaling", "scalable-target/*"),
        ]

    def inverse(self, before: Json) -> Json | str:
        if before["workers"] < self.queue["worker_expected"]:
            return f"Nothing to undo: {plural(before['workers'], 'worker')} were the incident."
        return self.step_back(self.name, at_least=before["workers"], lower=True)


ENTRY = change_entry(QueueWorkerCount)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
