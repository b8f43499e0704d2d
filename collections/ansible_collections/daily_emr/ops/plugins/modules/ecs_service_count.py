#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: ecs_service_count
short_description: Have an ECS service ask for at least its minimum number of tasks
version_added: 0.1.0
description:
  - Restores the desired count of an ECS service to its scaling minimum, or to O(at_least), when it is lower.
    For a service that somebody scaled to zero. A higher count is left alone.
  - To raise capacity beyond the minimum use M(daily_emr.ops.ecs_service_scaling), because automatic scaling would
    overrule a bare desired count.
  - Refuses during planned maintenance (tag C(maintenance) of the service), when the scaling limits are unknown, and
    above the scaling maximum.
  - Does not wait until the tasks run (1 to 3 minutes).
author:
  - Daily EMR operations (@daily-emr)
options:
  at_least:
    description: The count the service must ask for at least. The default is its scaling minimum.
    type: int
attributes:
  check_mode:
    description: Reports the count that would be asked for, and every reason why it may not.
    support: full
  diff_mode:
    description: Shows the desired count before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Restore the desired count of the service to its scaling minimum
  daily_emr.ops.ecs_service_count:
    service: "{{ web_service }}"
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
  sample: ["The service is in planned maintenance (tag maintenance): ask its owner, then remove the tag."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample: "Nothing to undo: a desired count of 0 was the incident."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: service/daily-emr-staging/daily-emr-staging-web
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import read_capacity, read_service
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    SERVICE_OPTION,
    Json,
    Readings,
    WebServiceChange,
    unread,
)


class Count(WebServiceChange):
    """The number of tasks an ECS service asks for."""

    name: ClassVar[str] = "ecs_service_count"
    imperative: ClassVar[bool] = False
    sends: ClassVar[tuple[str, ...]] = ("ecs:UpdateService",)
    spec: ClassVar[Json] = {"service": SERVICE_OPTION, "at_least": {"type": "int"}}

    @property
    def target(self) -> str:
        return self.ecs_target

    def observe(self) -> Json:
        where = (self.clients, self.service["cluster"], self.service["service"])
        readings = Readings()
        readings.take(service=lambda: read_service(*where), scaling_limits=lambda: read_capacity(*where))
        return {"desired": readings.need("service")["desired"], "context": readings.context()}

    def _minimum(self, context: Json) -> int | None:
        """The count that must be asked for, None when nobody said."""
        limits = context.get("scaling_limits")
        asked: int | None = self.params["at_least"]
        if asked is not None:
            return asked
        return limits["minimum"] if limits else None

    def wanted(self, before: Json) -> Json:
        minimum = self._minimum(before["context"])
        # An unknown minimum must not look like a count that is high enough.
        return {"desired": None if minimum is None else max(minimum, 1, before["desired"])}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        limits, minimum = context.get("scaling_limits"), self._minimum(context)
        reasons = unread(context)
        if context["service"]["status"] != "ACTIVE":
            reasons.append(f"The service is {context['service']['status']}: only an ACTIVE service has a count.")
        if context["service"]["tags"].get("maintenance"):
            reasons.append(
                "The service is in planned maintenance (tag maintenance): ask its owner, then remove the tag."
            )
        if limits is None and minimum is None and "scaling_limits" not in context["unread"]:
            reasons.append("The service has no scaling minimum: say the count with at_least.")
        if minimum is not None and minimum < 1:
            reasons.append(f"A minimum of {minimum} would leave the service without tasks: set at least 1.")
        if limits and minimum is not None and minimum > limits["maximum"]:
            reasons.append(
                f"{minimum} tasks are above the scaling maximum of {limits['maximum']}: raise the maximum first."
            )
        return reasons

    def apply(self, before: Json) -> None:
        self.clients.write("ecs", "UpdateService").update_service(
            cluster=self.service["cluster"],
            service=self.service["service"],
            desiredCount=self.wanted(before)["desired"],
        )

    def inverse(self, before: Json) -> Json | str:
        return f"Nothing to undo: a desired count of {before['desired']} was the incident."

    def done(self, before: Json, after: Json) -> bool:
        """Automatic scaling may have asked for more in the meantime."""
        return bool(after["desired"] >= self.wanted(before)["desired"])


ENTRY = change_entry(Count)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
