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
  - Refuses unless the replica is promoted by a failover, the second region's application reads a chart, and the first
    region is fenced or dead. The way back is no switch, because the first region's data have stayed behind.
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
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._region import (
    ALONE,
    RECOVERY_OPTION,
    RegionChange,
    read_application,
    read_traffic,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._region_findings import opening_second
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, unread


class Traffic(RegionChange):
    """The region that users are sent to."""

    name: ClassVar[str] = "region_traffic"
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
        context = readings.context()
        alone = not opening_second(context, self.params)
        return {"users_go_to": readings.need("traffic"), ALONE: alone, "context": context}

    def wanted(self, before: Json) -> Json:
        return {"users_go_to": "second", ALONE: True}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
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

    def inverse(self, before: Json) -> Json | str:
        return "None that is safe: the first region does not have what was written here."

    def done(self, before: Json, after: Json) -> bool:
        """CloudWatch answers when it has the value, and shows it a minute or two later."""
        return self._accepted or bool(after["users_go_to"] == "second")


ENTRY = change_entry(Traffic)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
