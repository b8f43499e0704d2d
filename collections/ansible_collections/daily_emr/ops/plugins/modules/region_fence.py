#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: region_fence
short_description: Keep the application out of the database of one region, or let it in again
version_added: 0.1.0
description:
  - Takes the right to log in from the role of the application, ends its sessions, or gives the right back, by the
    function C(ops.fence_application) of the database itself, so that it works without the control plane.
  - V(denied) and V(ended) are for O(side=first). Deny first, then end what is still open, so that nobody slips in
    between.
  - V(allowed) lets the application in. It is refused while the other side takes writes or could, because there must
    never be two, also where the application may log in already. The first region is opened only while the replica is
    available and follows, and no run of any incident has asked for its promotion, or may have. The right is part of
    what is replicated, so a promoted replica starts fenced when the first region was.
  - The function comes with the schema C(ops); the README of the role C(region_failover) has its text.
author:
  - Daily EMR operations (@daily-emr)
options:
  side:
    description: The region whose database it is about.
    type: str
    choices: [first, second]
    required: true
  state:
    description: Whether the application may log in, and whether it still has sessions.
    type: str
    choices: [denied, ended, allowed]
    required: true
  looked_at:
    description:
      - The run that said last that it promoted the replica, named by who looked at RDS and saw that the replica
        follows.
    type: str
    default: ""
attributes:
  check_mode:
    description: Reports what would be changed.
    support: full
  diff_mode:
    description: Shows the right to log in, and whether there are sessions, before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.database
  - daily_emr.ops.region
"""

EXAMPLES = r"""
- name: Let nobody of the application log in to the first region's database
  daily_emr.ops.region_fence:
    recovery: "{{ recovery }}"
    database: "{{ recovery_database }}"
    side: first
    state: denied
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
  sample: ["The first region's database takes writes, and there must never be two: fence it first."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample: {"module": "daily_emr.ops.region_fence", "args": {"side": "first", "state": "allowed"}}
target:
  description: What the change is about.
  returned: always
  type: str
  sample: fence/first/daily-emr-staging-db-replica
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._database_changes import BLIND, SEES_ALL
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import (
    DATABASE_OPTION,
    DatabaseFailed,
    DatabaseUnknown,
    Trouble,
    session,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._region import (
    ALONE,
    FIRST,
    LIMIT_S,
    RECOVERY_OPTION,
    SECOND,
    RegionChange,
    first_place,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._region_findings import opening_first, opening_second
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, given

ALLOWED = "allowed"
ENDED = "ended"
CLOSE = "SELECT ops.fence_application(%(role)s, %(closed)s) AS done"
END = "SELECT count(pg_terminate_backend(pid)) AS done FROM pg_stat_activity WHERE usename = %(role)s"


class Fence(RegionChange):
    """Whether the application may log in to the database of one region."""

    name: ClassVar[str] = "region_fence"
    # Sessions come and go; and one failover has several steps of this, each of which changes it for the next.
    volatile: ClassVar[frozenset[str]] = RegionChange.volatile | {"sessions", "login"}
    # A first region that is dead when the failover is planned has to be fenced when it comes back in the middle of it.
    planned_unseen: ClassVar[bool] = True
    spec: ClassVar[Json] = {
        "recovery": RECOVERY_OPTION,
        "database": DATABASE_OPTION,
        "side": {"type": "str", "choices": [FIRST, SECOND], "required": True},
        "state": {"type": "str", "choices": ["denied", ENDED, ALLOWED], "required": True},
        "looked_at": {"type": "str", "default": ""},
    }

    @property
    def second(self) -> bool:
        return bool(self.params["side"] == SECOND)

    @property
    def target(self) -> str:
        # Letting in and keeping out are steps of their own in the record of a run.
        return f"fence/{self.params['side']}/{self.params['state']}/{self.instance}"

    def observe(self) -> Json:
        readings = self.take_sides()
        found = readings.need("position" if self.second else "first_database")
        if not found["reachable"]:
            raise OpsError(f"the database of the {self.params['side']} region does not answer ({found['trouble']}).")
        state: Json = {"login": found["login"]}
        if self.params["state"] == ENDED:
            state["sessions"] = bool(found["sessions"])
        context = readings.context()
        if self.params["state"] == ALLOWED:
            state[ALONE] = not self._opening(context)
        return {**state, "context": context}

    def _opening(self, context: Json) -> list[str]:
        return (opening_second if self.second else opening_first)(context, self.params)

    def wanted(self, before: Json) -> Json:
        if self.params["state"] == ALLOWED:
            return {"login": True, ALONE: True}
        return {"login": False, **({"sessions": False} if self.params["state"] == ENDED else {})}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        if self.params["state"] != ALLOWED:
            if self.second:
                return ["The second region is not fenced by this: only the first one is left."]
            if self.params["state"] == ENDED and before["login"]:
                return ["The application may still log in: deny that first, or it is back at once."]
            return []
        return self._opening(context)

    def prediction(self, before: Json) -> list[str]:
        if self.params["state"] == ALLOWED:
            return [f"The application may write in the {self.params['side']} region. Reversible."]
        return ["From here on nobody writes in the first region, and users get errors. Reversible: allowed."]

    def apply(self, before: Json) -> None:
        role, ends = self.database["application_role"], self.params["state"] == ENDED
        statement = END if ends else CLOSE
        values = {"role": role} if ends else {"role": role, "closed": self.params["state"] != ALLOWED}
        if self.second:
            replica = before["context"]["replica"]
            place, region = (str(replica["address"]), int(replica["port"])), ""
        else:
            place, region = first_place(self.recovery), self.recovery["first_region"]
        operation, sent = "pg_terminate_backend" if ends else "fence_application", False
        try:
            with session(self.clients, self.database, place, write=not ends, limit_s=LIMIT_S, region=region) as found:
                if ends and not (found.execute(SEES_ALL).fetchone() or {}).get("sees_all"):
                    raise CallFailed(BLIND)
                self.clients.declare("postgres", operation)
                sent = True
                found.execute(statement, values).fetchone()
        except DatabaseFailed as error:
            if sent and error.trouble is not Trouble.DENIED:
                raise DatabaseUnknown(error.trouble, f"postgres:{operation}") from None
            raise

    def inverse(self, before: Json) -> Json | str:
        if self.params["state"] == ENDED:
            return "Nothing to undo: whoever may log in opens new sessions."
        if self.params["state"] == ALLOWED:
            return "The second region is not fenced by this: plan the way back (README of region_failover)."
        names = {"recovery": given(self.recovery), "database": given(self.database)}
        return {"module": "daily_emr.ops.region_fence", "args": {**names, "side": FIRST, "state": ALLOWED}}


ENTRY = change_entry(Fence)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
