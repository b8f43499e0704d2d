#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_slot
short_description: Drop a replication slot that nobody reads
version_added: 0.1.0
description:
  - Drops one inactive replication slot of a PostgreSQL database, so that the log it keeps back may be removed.
  - Nothing is changed when there is no such slot.
  - Refuses a slot that is read right now, one that C(slots) of O(database) names, one of a read replica of RDS, and a
    temporary one. The statement itself drops nothing that anybody has read from meanwhile.
  - This cannot be undone, because whoever read the slot has to be rebuilt. The space comes back at the next checkpoint.
author:
  - Daily EMR operations (@daily-emr)
options:
  slot:
    description: Name of the slot.
    type: str
    required: true
attributes:
  check_mode:
    description: Reports the slot that would be dropped, and every reason why it may not.
    support: full
  diff_mode:
    description: Shows the slot before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.database
notes:
  - The role of the runbooks needs C(pg_monitor), and the right to drop slots, which is C(rds_replication) on RDS and
    the attribute C(REPLICATION) elsewhere.
"""

EXAMPLES = r"""
- name: Drop the slot of the reporting tool that was switched off
  daily_emr.ops.database_slot:
    database: "{{ database }}"
    slot: old_reporting
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
  sample: ["Up to 51.2 GiB of log become free at the next checkpoint."]
refusals:
  description: Why the change was refused, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: ["old_reporting is read right now: stop its reader first, if it is to go."]
undo:
  description: A sentence why nothing would undo the change.
  returned: always
  type: raw
  sample: "None: the log that the slot kept is gone, and whoever read it has to be rebuilt."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: slot/daily-emr-staging-db/old_reporting
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._database_changes import DatabaseChange
from ansible_collections.daily_emr.ops.plugins.module_utils._database_readings import read_instance
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, listed

GIB = 1024**3
GONE = "gone"
# Read replicas of RDS name their slots so.
REPLICA_SLOT = "rds_"
LOOK = """
SELECT active, temporary, restart_lsn::text AS position,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                       restart_lsn)::float8 AS retained_bytes
FROM pg_replication_slots WHERE slot_name = %(slot)s"""
# A slot that somebody has read from meanwhile has moved.
DROP = """
SELECT pg_drop_replication_slot(slot_name) AS dropped FROM pg_replication_slots
WHERE slot_name = %(slot)s AND NOT active AND NOT temporary AND restart_lsn::text IS NOT DISTINCT FROM %(position)s"""


class Slot(DatabaseChange):
    """One replication slot."""

    name: ClassVar[str] = "database_slot"
    imperative: ClassVar[bool] = False
    irreversible: ClassVar[str] = "the log that the slot kept is gone, and whoever read it has to be rebuilt"
    loses_data: ClassVar[bool] = True
    spec: ClassVar[Json] = {"database": DATABASE_OPTION, "slot": {"type": "str", "required": True}}

    @property
    def target(self) -> str:
        return f"slot/{self.instance}/{self.params['slot']}"

    def observe(self) -> Json:
        instance = read_instance(self.clients, self.instance)
        place = (instance["address"], instance["port"]) if instance["address"] else None
        (found,) = self.rows(LOOK, place=place, slot=self.params["slot"])
        if found is None:
            return {"slot": GONE, "context": {}}
        return {
            "slot": "active" if found["active"] else "inactive",
            "context": {**found, "replicas": instance["replicas"]},
        }

    def wanted(self, before: Json) -> Json:
        return {"slot": GONE}

    def refusals(self, before: Json) -> list[str]:
        slot, found = self.params["slot"], before["context"]
        reasons = []
        if found["active"]:
            reasons.append(f"{slot} is read right now: stop its reader first, if it is to go.")
        if slot in self.database["slots"]:
            reasons.append(
                f"{slot} is one of database.slots, which feed something: bring its reader back, or take it off there."
            )
        if found["replicas"] and slot.startswith(REPLICA_SLOT):
            reasons.append(
                f"{slot} is of a read replica of RDS ({listed(found['replicas'])}): mend or delete the replica, "
                "RDS drops the slot then."
            )
        if found["temporary"]:
            reasons.append(f"{slot} is temporary, and goes when its session ends: end that instead.")
        return reasons

    def prediction(self, before: Json) -> list[str]:
        retained = before["context"]["retained_bytes"]
        if retained is None:
            return ["The slot keeps no log back, so nothing becomes free."]
        return [f"Up to {retained / GIB:.1f} GiB of log become free at the next checkpoint."]

    def apply(self, before: Json) -> None:
        position = before["context"]["position"]
        self.send("pg_drop_replication_slot", DROP, slot=self.params["slot"], position=position)

    def inverse(self, before: Json) -> Json | str:
        return "None: the log that the slot kept is gone, and whoever read it has to be rebuilt."


ENTRY = change_entry(Slot)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
