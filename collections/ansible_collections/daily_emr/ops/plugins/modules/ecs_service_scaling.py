#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: ecs_service_scaling
short_description: Choose the minimum and the maximum capacity of an ECS service
version_added: 0.1.0
description:
  - Sets the limits of Application Auto Scaling for an ECS service, never the bare desired count, which automatic
    scaling would overrule.
  - A lower maximum caps the load on whatever the tasks lean on; tasks above it are stopped. A minimum above it is
    lowered in the same call.
  - Refuses to raise it when the database is the bottleneck (its CPU or the cache's is above 70 %), when the
    connections of the added tasks do not fit into the database with a fifth to spare, above the maximum, and while
    scaling out is suspended. Refuses a maximum below 2, with which the loss of one task would be an outage.
  - Does not wait until the tasks run or have ended (1 to 3 minutes).
author:
  - Daily EMR operations (@daily-emr)
options:
  minimum:
    description: The minimum number of tasks. At least one of this and O(maximum) is required.
    type: int
  maximum:
    description: The maximum number of tasks. A minimum that is above it is lowered to it.
    type: int
  lower:
    description:
      - Whether a limit may be lowered, which takes capacity away.
      - The step that would undo a raise sets it.
    type: bool
    default: false
  connections_per_task:
    description: Size of the connection pool of one task.
    type: int
    default: 10
  max_connections:
    description:
      - Connections the database accepts.
      - The default is read from the parameter group of the database, where it must be a plain number.
    type: int
attributes:
  check_mode:
    description: Reports the limits that would be set, and every reason why they may not.
    support: full
  diff_mode:
    description: Shows the limits before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Keep at least four tasks
  daily_emr.ops.ecs_service_scaling:
    service: "{{ web_service }}"
    minimum: 4
    max_connections: 800

- name: Let no more tasks run than the connections of the database fit
  daily_emr.ops.ecs_service_scaling:
    service: "{{ web_service }}"
    maximum: 4
    lower: true
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
  sample: ["The CPU of the database is at 93 %, so more tasks would make it worse: run the runbook for the database."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample:
    module: daily_emr.ops.ecs_service_scaling
    args:
      minimum: 2
target:
  description: What the change is about.
  returned: always
  type: str
  sample: service/daily-emr-staging/daily-emr-staging-web
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import (
    DATABASE_SERVES,
    peak,
    read_cache,
    read_database,
    read_max_connections,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import read_capacity, read_service
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    SERVICE_OPTION,
    Json,
    Readings,
    WebServiceChange,
    plural,
    unread,
)

BUSY_PERCENT = 70
# With one task, its loss would be an outage.
LEAST_MAXIMUM = 2
# A fifth of the connections stays free for migrations, backups and people.
USABLE_SHARE = 0.8
# The application must survive the loss of a task.
SPARED = 2


class Scaling(WebServiceChange):
    """The limits between which an ECS service is scaled."""

    name: ClassVar[str] = "ecs_service_scaling"
    imperative: ClassVar[bool] = False
    sends: ClassVar[tuple[str, ...]] = ("application-autoscaling:RegisterScalableTarget",)
    spec: ClassVar[Json] = {
        "service": SERVICE_OPTION,
        "minimum": {"type": "int"},
        "maximum": {"type": "int"},
        "lower": {"type": "bool", "default": False},
        "connections_per_task": {"type": "int", "default": 10},
        "max_connections": {"type": "int"},
    }

    @property
    def target(self) -> str:
        return self.ecs_target

    def observe(self) -> Json:
        if self.params["minimum"] is None and self.params["maximum"] is None:
            raise Refused("Neither minimum nor maximum is given, so there is nothing to choose: give one of them.")
        clients, service = self.clients, self.service
        where = (clients, service["cluster"], service["service"])
        readings = Readings()
        readings.take(
            service=lambda: read_service(*where),
            scaling_limits=lambda: read_capacity(*where),
            database=lambda: read_database(clients, service["database"]),
            cache=lambda: read_cache(clients, service["cache"]),
        )
        limits = readings.need("scaling_limits")
        if limits is None:
            raise OpsError(f"{self.target} is not scaled automatically: register a scalable target for it first.")
        before = {name: limits[name] for name in ("minimum", "maximum")}
        if self.wanted(before)["minimum"] > before["minimum"]:
            self._weigh(readings)
        return {**before, "context": readings.context()}

    def _weigh(self, readings: Readings) -> None:
        """How much more the database and the cache can take. Lowering the minimum needs no such proof."""
        clients, database = self.clients, self.service["database"]
        now = readings.need("service")["read_at"]
        groups = readings.values.get("database", {}).get("parameter_groups", [])
        members = readings.values.get("cache", {}).get("members", [])
        of_database = {"DBInstanceIdentifier": database}
        asked = self.params["max_connections"]
        readings.take(
            CPU_of_the_database=lambda: peak(clients, "AWS/RDS", "CPUUtilization", "Average", now, **of_database),
            connections_in_use=lambda: peak(clients, "AWS/RDS", "DatabaseConnections", "Maximum", now, **of_database),
            max_connections=lambda: asked or read_max_connections(clients, groups),
            CPU_of_the_cache=lambda: max(
                peak(clients, "AWS/ElastiCache", "EngineCPUUtilization", "Average", now, CacheClusterId=member)
                for member in members or [self.service["cache"]]
            ),
        )

    def wanted(self, before: Json) -> Json:
        minimum, maximum = self.params["minimum"], self.params["maximum"]
        if maximum is None:
            maximum = before["maximum"]
        if minimum is None:
            minimum = min(before["minimum"], maximum)
        return {"minimum": minimum, "maximum": maximum}

    def refusals(self, before: Json) -> list[str]:
        context, limits = before["context"], before["context"]["scaling_limits"]
        wanted = self.wanted(before)
        reasons = []
        if wanted["minimum"] < 1:
            reasons.append(f"A minimum of {wanted['minimum']} would let the service run without tasks: set at least 1.")
        if wanted["maximum"] < LEAST_MAXIMUM:
            reasons.append(
                f"With a maximum of {wanted['maximum']} the loss of one task would be an outage: set at least "
                f"{LEAST_MAXIMUM}, and take load away by other means."
            )
        if wanted["minimum"] > wanted["maximum"]:
            reasons.append(
                f"{wanted['minimum']} tasks are above the scaling maximum of {wanted['maximum']}: raise the maximum "
                "first."
            )
        reasons += [
            f"{number} is below the {name} of {before[name]}, which would take capacity away: set lower if that is "
            "meant."
            for name, number in wanted.items()
            if number < before[name] and not self.params["lower"]
        ]
        if wanted["minimum"] <= before["minimum"]:
            return reasons
        reasons += unread(context)
        if limits["suspended"]:
            reasons.append("Scaling out is suspended, so a higher minimum would do nothing: resume it first.")
        status = context.get("database", {}).get("status")
        if status and status not in DATABASE_SERVES:
            reasons.append(f"The database is {status}: more tasks would not help, run the runbook for the database.")
        for name in ("database", "cache"):
            busy = context.get(f"CPU_of_the_{name}")
            if busy is not None and busy > BUSY_PERCENT:
                reasons.append(
                    f"The CPU of the {name} is at {busy:.0f} %, so more tasks would make it worse: "
                    f"run the runbook for the {name}."
                )
        return reasons + self._headroom(context, wanted["minimum"])

    def _headroom(self, context: Json, minimum: int) -> list[str]:
        if "connections_in_use" not in context or "max_connections" not in context:
            return []
        free = int(context["max_connections"] * USABLE_SHARE) - int(context["connections_in_use"])
        added = max(minimum - context["service"]["running"], 0)
        needed = added * self.params["connections_per_task"]
        if needed <= free:
            return []
        return [
            f"{plural(added, 'more task')} would need {needed} connections, the database has {max(free, 0)} to give "
            f"({context['connections_in_use']:.0f} of {context['max_connections']} in use): set a lower minimum, "
            "or free connections first."
        ]

    def apply(self, before: Json) -> None:
        wanted = self.wanted(before)
        sizes = {"MinCapacity": wanted["minimum"]}
        if self.params["maximum"] is not None:
            sizes["MaxCapacity"] = wanted["maximum"]
        self.clients.write("application-autoscaling", "RegisterScalableTarget").register_scalable_target(
            ServiceNamespace="ecs",
            ResourceId=self.target,
            ScalableDimension="ecs:service:DesiredCount",
            **sizes,
        )

    def _limits(self, before: Json) -> dict[str, int]:
        wanted = self.wanted(before)
        maximum = {} if self.params["maximum"] is None else {"MaxCapacity": wanted["maximum"]}
        return {"MinCapacity": wanted["minimum"], **maximum}

    def resources(self, before: Json) -> list[str]:
        """AWS names a scalable target by an id of its own."""
        return [
            *super().resources(before),
            self.clients.environment.arn("application-autoscaling", "scalable-target/*"),
        ]

    def inverse(self, before: Json) -> Json | str:
        back = {"minimum": before["minimum"]}
        if self.params["maximum"] is not None:
            back["maximum"] = before["maximum"]
        return self.step_back(self.name, **back, lower=True)


ENTRY = change_entry(Scaling)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
