#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_storage
short_description: Give an RDS instance more storage
version_added: 0.1.0
description:
  - Raises the allocated storage at once (C(ApplyImmediately)). Storage can never be made smaller again.
  - Nothing is changed when the instance has grown by as much since it was diagnosed, or is about to.
  - Refuses while other changes are pending, while the instance is in a state in which RDS changes nothing, within six
    hours of the last change of storage, and beyond the limit of storage autoscaling.
  - Does not wait; M(daily_emr.ops.database_settled) does.
author:
  - Daily EMR operations (@daily-emr)
options:
  allocated_gib_before:
    description: GiB that were allocated when the incident was diagnosed, so that a second run does not grow it again.
    type: int
    required: true
  grow_percent:
    description: By how many percent of that it is grown. RDS accepts 10 and more.
    type: int
    default: 20
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.database
"""

EXAMPLES = r"""
- name: Make room
  daily_emr.ops.database_storage:
    database: "{{ database }}"
    allocated_gib_before: 100
    grow_percent: 20
"""

RETURN = r"""
outcome:
  description: How the change ended, one of V(ok), V(noop), V(refused), V(failed), V(unknown), V(planned).
  returned: always
  type: str
  sample: ok
refusals:
  description: Why the change was refused, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: ["RDS is optimising the storage after its last change, up to six hours: free space until it is done."]
undo:
  description: Why nothing undoes it.
  returned: always
  type: raw
  sample: "Storage cannot be made smaller again."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: db/daily-emr-staging-db
"""

from math import ceil
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._database_changes import DatabaseChange
from ansible_collections.daily_emr.ops.plugins.module_utils._database_instance import read_instance
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

LEAST_PERCENT = 10
GROWS = ("available", "storage-full")
OPTIMISING = "storage-optimization"


class Storage(DatabaseChange):
    """GiB allocated to the instance."""

    name: ClassVar[str] = "database_storage"
    imperative: ClassVar[bool] = False
    spec: ClassVar[Json] = {
        "database": DATABASE_OPTION,
        "allocated_gib_before": {"type": "int", "required": True},
        "grow_percent": {"type": "int", "default": 20},
    }

    def observe(self) -> Json:
        found = read_instance(self.clients, self.instance)
        return {"allocated_gib": max(found["allocated_gib"], found["pending_gib"] or 0), "context": found}

    def wanted(self, before: Json) -> Json:
        grown = ceil(self.params["allocated_gib_before"] * (100 + self.params["grow_percent"]) / 100)
        return {"allocated_gib": max(before["allocated_gib"], grown)}

    def refusals(self, before: Json) -> list[str]:
        found, wanted = before["context"], self.wanted(before)["allocated_gib"]
        reasons = []
        if self.params["grow_percent"] < LEAST_PERCENT:
            reasons.append(f"RDS grows storage by {LEAST_PERCENT} % or more: set grow_percent to at least that.")
        if found["status"] == OPTIMISING:
            reasons.append(
                "RDS is optimising the storage after its last change, up to six hours: free space until it is done."
            )
        elif found["status"] not in GROWS:
            reasons.append(
                f"The instance is {found['status']}, and RDS changes nothing in it now: wait until it is not."
            )
        if found["pending"]:
            reasons.append(
                f"Changes of the instance are pending ({', '.join(found['pending'])}) and would be applied as well: "
                "apply or withdraw them first."
            )
        if found["most_gib"] and wanted > found["most_gib"]:
            reasons.append(
                f"{wanted} GiB are above the limit of storage autoscaling ({found['most_gib']} GiB): raise it first."
            )
        return reasons

    def prediction(self, before: Json) -> list[str]:
        return ["The instance stays up; RDS optimises the storage for hours, and allows no other change for six."]

    def apply(self, before: Json) -> None:
        self.clients.write("rds", "ModifyDBInstance").modify_db_instance(
            DBInstanceIdentifier=self.instance,
            AllocatedStorage=self.wanted(before)["allocated_gib"],
            ApplyImmediately=True,
        )

    def inverse(self, before: Json) -> Json | str:
        return "Storage cannot be made smaller again."


ENTRY = change_entry(Storage)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
