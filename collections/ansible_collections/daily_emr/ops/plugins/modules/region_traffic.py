#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: region_traffic
short_description: Send users to the second region
version_added: 0.1.0
description:
  - Writes one value of the metric that the DNS failover follows. The records and their health check were made long
    before. What moves is the data plane, not the control plane of Route 53, which lives in one region.
  - Refuses unless the replica is promoted by a failover, the second region's application reads a chart, the first
    region is fenced or dead, and a synthetic chart that was just written in the second region is read back there. In
    check mode nothing is written, so that a write works is then not known.
  - The way back is no switch, because the first region's data have stayed behind.
  - Does not wait until users have arrived, a health check and the time to live of a record later.
author:
  - Daily EMR operations (@daily-emr)
attributes:
  check_mode:
    description: Says where users are sent, and what is missing.
    support: full
  diff_mode:
    description: Shows the region before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.database
  - daily_emr.ops.region
"""

EXAMPLES = r"""
- name: Send users to the second region
  daily_emr.ops.region_traffic:
    recovery: "{{ recovery }}"
    database: "{{ recovery_database }}"
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
  sample: ["The second region's application does not serve (503 in 4 ms): bring it up first."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample: "None that is safe: the first region does not have what was written here."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: traffic/eu-west-1
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._health_probes import write_and_read
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Entry, change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._region import (
    ALONE,
    RECOVERY_OPTION,
    SECOND,
    RegionChange,
    read_application,
    read_traffic,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._region_findings import opening_second
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, unread

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Params

WRITE_S = 5.0


class PlannedTraffic(RegionChange):
    """The region that users are sent to. A plan writes no chart."""

    name: ClassVar[str] = "region_traffic"
    sends: ClassVar[tuple[str, ...]] = ("cloudwatch:PutMetricData",)
    irreversible: ClassVar[str] = "what is written in the second region does not get into the first"
    spec: ClassVar[Json] = {"recovery": RECOVERY_OPTION, "database": DATABASE_OPTION}
    _accepted = False

    @property
    def target(self) -> str:
        return f"traffic/{self.clients.environment.region}"

    def observe(self) -> Json:
        recovery = self.recovery
        readings = self.take_sides(
            traffic=lambda: read_traffic(self.clients, recovery),
            second_application=lambda: read_application(recovery["second_url"], recovery["host"]),
        )
        users_go_to, context = readings.need("traffic"), readings.context()
        if users_go_to != SECOND and not self._accepted and not self.reasons_to_stay(context):
            context["failed_write"] = self.failed_write()
        alone = not opening_second(context, self.params)
        return {"users_go_to": users_go_to, ALONE: alone, "context": context}

    def failed_write(self) -> str | None:
        """Why a chart cannot be written and read in the second region; empty when it can, None when nobody tried."""
        return None

    def wanted(self, before: Json) -> Json:
        return {"users_go_to": SECOND, ALONE: True}

    def refusals(self, before: Json) -> list[str]:
        return self.reasons_to_stay(before["context"])

    def reasons_to_stay(self, context: Json) -> list[str]:
        """Why nobody may be sent to the second region, as far as reads tell."""
        reasons = opening_second(context, self.params)
        application = context.get("second_application")
        if application is None:
            return reasons + unread({"unread": {"second_application": context["unread"]["second_application"]}})
        if not application["serves"]:
            reasons.append(
                f"The second region's application does not serve ({application['seen']}): bring it up first."
            )
        return reasons

    def apply(self, before: Json) -> None:
        self.clients.write("cloudwatch", "PutMetricData").put_metric_data(
            Namespace=self.recovery["traffic_namespace"],
            MetricData=[{"MetricName": self.recovery["traffic_metric"], "Value": 1, "Timestamp": datetime.now(UTC)}],
        )
        self._accepted = True

    def resources(self, before: Json) -> list[str]:
        """A metric is no resource; the policy of the role bounds its namespace."""
        return ["*"]

    def inverse(self, before: Json) -> Json | str:
        return "None that is safe: the first region does not have what was written here."

    def done(self, before: Json, after: Json) -> bool:
        """CloudWatch answers when it has the value, and shows it a minute or two later."""
        return self._accepted or bool(after["users_go_to"] == SECOND)


class Traffic(PlannedTraffic):
    """The same, and a write is proven before it, because users who were sent there are not sent back."""

    def failed_write(self) -> str | None:
        second = self.recovery["second_url"]
        probes = {"balancer_url": second, "edge_url": second, "host": self.recovery["host"]}
        return write_and_read({"probes": probes}, WRITE_S)

    def refusals(self, before: Json) -> list[str]:
        reasons = super().refusals(before)
        failed = before["context"].get("failed_write")
        if reasons or failed == "":
            return reasons
        why = failed or "nobody tried"
        return [f"No write is proven in the second region ({why}): make it take writes, then run again."]


PLANNING = change_entry(PlannedTraffic)
SENDING = change_entry(Traffic)


def run(params: Params, context: Context) -> dict[str, Any]:
    """A write is proven where users are really sent, and not where that is only planned."""
    return (PLANNING if context.check_mode else SENDING).run(params, context)


ENTRY = Entry(SENDING.argument_spec, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
