#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_storage
short_description: Give an RDS instance more storage
version_added: 0.1.0
description:
  - Grows the allocated storage of an RDS instance by O(grow_percent) of O(allocated_gib_before), at once.
  - Nothing is changed when the instance has that much, or is about to have it. So running it again never grows twice.
  - Refuses while the instance is not available or full, while another change is pending, which would be applied along
    with it, within 6 hours of the last change of the storage, and above what storage autoscaling is allowed.
  - This cannot be undone, because the storage of an instance never shrinks.
author:
  - Daily EMR operations (@daily-emr)
options:
  allocated_gib_before:
    description: The allocated storage, in GiB, that the diagnosis saw.
    type: int
    required: true
  grow_percent:
    description: By how many percent it is grown; RDS accepts 10 or more.
    type: int
    default: 20
attributes:
  check_mode:
    description: Reports the size that would be asked for, and every reason why it may not.
    support: full
  diff_mode:
    description: Shows the size before and after, in GiB.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.database
"""

EXAMPLES = r"""
- name: Grow the storage by a fifth
  daily_emr.ops.database_storage:
    database: "{{ database }}"
    allocated_gib_before: 100
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
  sample: ["The storage grows from 100 to 120 GiB, is paid for from now on, and never shrinks again."]
refusals:
  description: Why the change was refused, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: ["The storage was changed 2 h ago, and RDS changes it once in 6 hours: free space instead."]
undo:
  description: A sentence why nothing would undo the change.
  returned: always
  type: raw
  sample: "None: the storage of an instance never shrinks."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: database/daily-emr-staging-db
"""

from datetime import datetime, timedelta
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._database_changes import DatabaseChange
from ansible_collections.daily_emr.ops.plugins.module_utils._database_readings import read_instance
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    Json,
    Readings,
    iso,
    listed,
    since,
    spoken,
    unread,
)

LEAST_PERCENT = 10
# Half as much again ends an incident; more is a decision for the day.
MOST_PERCENT = 50
COOLING_OFF_S = 6 * 3600
COOLING_OFF_MINUTES = 420  # what DescribeEvents is asked for, an hour more
GROWS = ("available", "storage-full")
OPTIMIZING = "storage-optimization"
# RDS-EVENT-0017, 0018, 0217 and 0218; DescribeEvents gives no numbers.
CHANGED = "modification to allocated storage"


class Storage(DatabaseChange):
    """The allocated storage of an instance, in GiB."""

    name: ClassVar[str] = "database_storage"
    imperative: ClassVar[bool] = False
    sends: ClassVar[tuple[str, ...]] = ("rds:ModifyDBInstance",)
    irreversible: ClassVar[str] = "the storage of an instance never shrinks"
    spec: ClassVar[Json] = {
        "database": DATABASE_OPTION,
        "allocated_gib_before": {"type": "int", "required": True},
        "grow_percent": {"type": "int", "default": 20},
    }

    def observe(self) -> Json:
        readings = Readings()
        readings.take(
            instance=lambda: read_instance(self.clients, self.instance),
            events_of_the_storage=self._changed_at,
        )
        instance = readings.need("instance")
        size = max(instance["allocated_gib"], instance["pending_gib"] or 0)
        return {"gib": size, "context": readings.context()}

    def _changed_at(self) -> str | None:
        """When RDS last said that it changes the storage, or has."""
        pages = self.clients.read("rds").get_paginator("describe_events")
        found: list[datetime] = []
        for page in pages.paginate(
            SourceIdentifier=self.instance, SourceType="db-instance", Duration=COOLING_OFF_MINUTES
        ):
            found += [event["Date"] for event in page["Events"] if CHANGED in event.get("Message", "").lower()]
        return iso(max(found, default=None))

    def wanted(self, before: Json) -> Json:
        # A whole number of GiB, upwards.
        target = -(-self.params["allocated_gib_before"] * (100 + self.params["grow_percent"]) // 100)
        return {"gib": max(before["gib"], target)}

    def refusals(self, before: Json) -> list[str]:
        context, wanted = before["context"], self.wanted(before)["gib"]
        instance = context["instance"]
        reasons = unread(context)
        if self.params["grow_percent"] > MOST_PERCENT:
            reasons.append(
                f"{self.params['grow_percent']} % more can never be taken back: set grow_percent to {MOST_PERCENT} or "
                "less."
            )
        if self.params["grow_percent"] < LEAST_PERCENT:
            reasons.append(f"RDS grows storage by {LEAST_PERCENT} % or more: set grow_percent to at least that.")
        elif wanted * 100 < before["gib"] * (100 + LEAST_PERCENT):
            reasons.append(
                f"The instance has {before['gib']} GiB, not {self.params['allocated_gib_before']}, and {wanted} would "
                f"be less than {LEAST_PERCENT} % more: diagnose again."
            )
        if instance["maximum_gib"] and wanted > instance["maximum_gib"]:
            reasons.append(
                f"{wanted} GiB are above what storage autoscaling may reach, {instance['maximum_gib']} GiB: raise "
                "MaxAllocatedStorage first."
            )
        if instance["pending"]:
            reasons.append(
                f"Other changes are pending ({listed(instance['pending'])}) and would be applied at once with this "
                "one: apply or withdraw them first."
            )
        return reasons + self._too_soon(context)

    def _too_soon(self, context: Json) -> list[str]:
        instance, changed_at = context["instance"], context.get("events_of_the_storage")
        if instance["status"] == OPTIMIZING:
            return ["RDS still optimizes the storage after its last change: free space instead, or wait for its end."]
        if instance["status"] not in GROWS:
            return [f"The instance is {instance['status']}, and cannot be changed now: wait until it is available."]
        if changed_at is None:
            return []
        age = since(changed_at, instance["read_at"])
        if age >= timedelta(seconds=self.aws_seconds(COOLING_OFF_S)):
            return []
        return [f"The storage was changed {spoken(age)} ago, and RDS changes it once in 6 hours: free space instead."]

    def prediction(self, before: Json) -> list[str]:
        size = f"from {before['gib']} to {self.wanted(before)['gib']} GiB"
        return [
            f"The storage grows {size}, is paid for from now on, and never shrinks again.",
            "It can be grown again after 6 hours at the earliest; meanwhile latencies are higher.",
        ]

    def apply(self, before: Json) -> None:
        self.clients.write("rds", "ModifyDBInstance").modify_db_instance(
            DBInstanceIdentifier=self.instance,
            AllocatedStorage=self.wanted(before)["gib"],
            ApplyImmediately=True,
        )

    def inverse(self, before: Json) -> Json | str:
        return "None: the storage of an instance never shrinks."


ENTRY = change_entry(Storage)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
