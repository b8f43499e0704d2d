#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_slot
short_description: Drop one replication slot that nobody reads
version_added: 0.1.0
description:
  - Drops a replication slot that keeps the write-ahead log of the database back and fills its storage.
  - Nothing is changed when there is no such slot.
  - Refuses a slot that somebody reads, one that the inventory names in C(database.slots), and one of a read replica of
    the instance.
  - The role of the runbook needs the right to it, on RDS C(rds_replication), elsewhere C(REPLICATION).
author:
  - Daily EMR operations (@daily-emr)
options:
  slot:
    description: Name of the slot.
    type: str
    required: true
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.database
"""

EXAMPLES = r"""
- name: Drop the slot of a report that is gone
  daily_emr.ops.database_slot:
    database: "{{ database }}"
    slot: old_reporting
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
  sample: ["The slot is being read: stop its reader first, if it is not needed."]
undo:
  description: Why nothing undoes it.
  returned: always
  type: raw
  sample: "A dropped slot does not come back: whatever read it starts from a new copy."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: db/daily-emr-staging-db/slot/old_reporting
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._database_changes import DatabaseChange
from ansible_collections.daily_emr.ops.plugins.module_utils._database_instance import place_of, read_instance
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION, change, session
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

# RDS names the slots of its read replicas so (in front of the replica's resource id).
RDS_SLOT = "rds_"
LOOK = """
SELECT active, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint AS retained
FROM pg_replication_slots WHERE slot_name = %(slot)s
"""
DROP = """
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %(slot)s AND NOT active
"""
MEGABYTE = 1_000_000


class Slot(DatabaseChange):
    """A replication slot."""

    name: ClassVar[str] = "database_slot"
    imperative: ClassVar[bool] = False
    spec: ClassVar[Json] = {"database": DATABASE_OPTION, "slot": {"type": "str", "required": True}}

    @property
    def target(self) -> str:
        return f"db/{self.instance}/slot/{self.params['slot']}"

    def observe(self) -> Json:
        instance = read_instance(self.clients, self.instance)
        with session(self.clients, self.database, place_of(instance)) as found:
            row = found.execute(LOOK, {"slot": self.params["slot"]}).fetchone()
        return {"exists": row is not None, "context": {**(row or {}), "replicas": instance["replicas"]}}

    def wanted(self, before: Json) -> Json:
        return {"exists": False}

    def refusals(self, before: Json) -> list[str]:
        slot, context = self.params["slot"], before["context"]
        reasons = []
        if context["active"]:
            reasons.append("The slot is being read: stop its reader first, if it is not needed.")
        if slot in self.database["slots"]:
            reasons.append(f"{slot} is named in database.slots, so it feeds something: bring its reader back instead.")
        if slot.startswith(RDS_SLOT) and context["replicas"]:
            reasons.append(f"{slot} is a slot of RDS, and the instance has read replicas: look at them first.")
        return reasons

    def prediction(self, before: Json) -> list[str]:
        retained = before["context"].get("retained")
        if retained is None:
            return []
        return [f"{retained / MEGABYTE:.0f} MB of the log can go at the next checkpoint."]

    def apply(self, before: Json) -> None:
        instance = read_instance(self.clients, self.instance)
        values = {"slot": self.params["slot"]}
        change(self.clients, self.database, place_of(instance), "pg_drop_replication_slot", DROP, values)

    def inverse(self, before: Json) -> Json | str:
        return "A dropped slot does not come back: whatever read it starts from a new copy."


ENTRY = change_entry(Slot)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
