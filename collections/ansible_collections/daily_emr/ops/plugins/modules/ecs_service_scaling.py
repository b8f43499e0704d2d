#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: ecs_service_scaling
short_description: Choose the limits of the capacity of an ECS service
version_added: 0.1.0
description:
  - Sets the minimum or the maximum of Application Auto Scaling for an ECS service, never the bare desired count, which
    automatic scaling would overrule. A maximum below the number of tasks that run ends the others at once.
  - Refuses to raise it when the database is the bottleneck (its CPU or the cache's is above 70 %), when the
    connections of the added tasks do not fit into the database with a fifth to spare, above the maximum, and while
    scaling out is suspended.
  - Does not wait until the tasks run (1 to 3 minutes).
author:
  - Daily EMR operations (@daily-emr)
options:
  minimum:
    description: The minimum number of tasks. The default leaves it, or lowers it to O(maximum).
    type: int
  maximum:
    description: The maximum number of tasks, at least two. The default leaves it.
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
    description: Reports the limits that would be set, and every reason why it may not.
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

- name: Run no more tasks than the connections of the database fit
  daily_emr.ops.ecs_service_scaling:
    service: "{{ web_service }}"
    maximum: 6
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
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
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
# A fifth of the connections stays free for migrations, backups and people.
USABLE_SHARE = 0.8
# The application must survive the loss of a task.
SPARED = 2


class Scaling(WebServiceChange):
    """The limits of the capacity of an ECS service."""

    name: ClassVar[str] = "ecs_service_scaling"
    imperative: ClassVar[bool] = False
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
        if self.params["minimum"] and self.params["minimum"] > limits["minimum"]:
            self._weigh(readings)
        return {"minimum": limits["minimum"], "maximum": limits["maximum"], "context": readings.context()}

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
        maximum = self.params["maximum"] or before["maximum"]
        minimum = before["minimum"] if self.params["minimum"] is None else self.params["minimum"]
        return {"minimum": minimum if self.params["minimum"] else min(minimum, maximum), "maximum": maximum}

    def refusals(self, before: Json) -> list[str]:
        context, wanted = before["context"], self.wanted(before)
        minimum, maximum = wanted["minimum"], wanted["maximum"]
        limits = context["scaling_limits"]
        reasons = self._of_maximum(before, maximum)
        if minimum < 1:
            reasons.append(f"A minimum of {minimum} would let the service run without tasks: set at least 1.")
        if minimum > maximum:
            reasons.append(f"{minimum} tasks are above the scaling maximum of {maximum}: raise the maximum first.")
        if minimum <= before["minimum"]:
            if minimum < before["minimum"] and not self.params["lower"]:
                reasons.append(
                    f"{minimum} is below the minimum of {before['minimum']}, which would take capacity away: "
                    "set lower if that is meant."
                )
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
        return reasons + self._headroom(context)

    def _of_maximum(self, before: Json, maximum: int) -> list[str]:
        reasons = []
        if self.params["maximum"] is not None and maximum < SPARED:
            reasons.append(f"A maximum of {maximum} would leave no task to spare: set at least {SPARED}.")
        if maximum < before["maximum"] and not self.params["lower"]:
            reasons.append(
                f"{maximum} is below the maximum of {before['maximum']}, which would take capacity away: "
                "set lower if that is meant."
            )
        return reasons

    def _headroom(self, context: Json) -> list[str]:
        if "connections_in_use" not in context or "max_connections" not in context:
            return []
        free = int(context["max_connections"] * USABLE_SHARE) - int(context["connections_in_use"])
        added = max(self.wanted(context["scaling_limits"])["minimum"] - context["service"]["running"], 0)
        needed = added * self.params["connections_per_task"]
        if needed <= free:
            return []
        return [
            f"{plural(added, 'more task')} would need {needed} connections, the database has {max(free, 0)} to give "
            f"({context['connections_in_use']:.0f} of {context['max_connections']} in use): set a lower minimum, "
            "or free connections first."
        ]

    def apply(self, before: Json) -> None:
        self.clients.write("application-autoscaling", "RegisterScalableTarget").register_scalable_target(
            ServiceNamespace="ecs",
            ResourceId=self.target,
            ScalableDimension="ecs:service:DesiredCount",
            **self._limits(before),
        )

    def _limits(self, before: Json) -> dict[str, int]:
        wanted = self.wanted(before)
        maximum = {} if self.params["maximum"] is None else {"MaxCapacity": wanted["maximum"]}
        return {"MinCapacity": wanted["minimum"], **maximum}

    def inverse(self, before: Json) -> Json | str:
        maximum = {} if self.params["maximum"] is None else {"maximum": before["maximum"]}
        return self.step_back(self.name, minimum=before["minimum"], **maximum, lower=True)


ENTRY = change_entry(Scaling)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
