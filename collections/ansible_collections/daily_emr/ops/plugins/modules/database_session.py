#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_session
short_description: Cancel the statement of one session of the application, or end the session
version_added: 0.1.0
description:
  - Sends C(pg_cancel_backend) or C(pg_terminate_backend) for one session, named by its process id and the time it
    began, so that a process id that was used again is never hit.
  - Nothing is changed when the session is gone, or, for V(cancel), when it runs no statement.
  - Refuses a session of any other role than that of the application, one whose transaction is younger than
    O(older_than_s), and one that has written for so long that its rollback would hurt.
  - Does not wait until the sessions behind it go on.
author:
  - Daily EMR operations (@daily-emr)
options:
  pid:
    description: Process id of the session.
    type: int
    required: true
  backend_start:
    description: When the session began, as M(daily_emr.ops.database_health) gives it.
    type: str
    required: true
  action:
    description:
      - V(cancel) ends the statement and leaves the session; its transaction is rolled back.
      - V(terminate) ends the session, which is needed where it runs no statement.
    type: str
    choices: [cancel, terminate]
    required: true
  older_than_s:
    description: Least age of its transaction, in seconds at the pace of AWS.
    type: int
    default: 60
  longest_write_s:
    description:
      - A transaction that has been writing for longer, in seconds at the pace of AWS, is left alone, because its
        rollback could take as long.
      - One that is idle does not count, because it stopped writing.
    type: int
    default: 600
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.database
"""

EXAMPLES = r"""
- name: Cancel the schema change that everybody waits for
  daily_emr.ops.database_session:
    database: "{{ database }}"
    pid: 4711
    backend_start: "2026-11-22T01:12:08.123456Z"
    action: cancel
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
  sample: ["The session belongs to rdsadmin, and only those of emr_application may be ended: leave it."]
undo:
  description: Why nothing undoes it.
  returned: always
  type: raw
  sample: "What the transaction did was rolled back; whoever began it may begin it again."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: db/daily-emr-staging-db/session/4711
"""

from datetime import timedelta
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._database_changes import DatabaseChange
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION, change, session
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, parse_utc, plural, spoken

LOOK = """
SELECT usename AS role, application_name AS application, state, query_start, backend_xid IS NOT NULL AS has_written,
       coalesce(extract(epoch FROM clock_timestamp() - xact_start), 0)::float AS transaction_s,
       (SELECT count(*) FROM pg_stat_activity other WHERE %(pid)s = ANY (pg_blocking_pids(other.pid))) AS blocks
FROM pg_stat_activity WHERE pid = %(pid)s AND backend_start = %(began)s AND backend_type = 'client backend'
"""
# The guards stand in the statement, too: between our look and the call the process id may have changed hands.
CALLS = {
    "cancel": """
SELECT pg_cancel_backend(pid) AS sent FROM pg_stat_activity
WHERE pid = %(pid)s AND backend_start = %(began)s AND usename = %(role)s AND state = 'active'
""",
    "terminate": """
SELECT pg_terminate_backend(pid) AS sent FROM pg_stat_activity
WHERE pid = %(pid)s AND backend_start = %(began)s AND usename = %(role)s
""",
}
DONE = {"cancel": {"state": "cancelled"}, "terminate": {"state": "gone"}}


class Session(DatabaseChange):
    """One session of the application."""

    name: ClassVar[str] = "database_session"
    imperative: ClassVar[bool] = True
    spec: ClassVar[Json] = {
        "database": DATABASE_OPTION,
        "pid": {"type": "int", "required": True},
        "backend_start": {"type": "str", "required": True},
        "action": {"type": "str", "choices": ["cancel", "terminate"], "required": True},
        "older_than_s": {"type": "int", "default": 60},
        "longest_write_s": {"type": "int", "default": 600},
    }

    @property
    def target(self) -> str:
        return f"db/{self.instance}/session/{self.params['pid']}"

    @property
    def _named(self) -> Json:
        return {"pid": self.params["pid"], "began": parse_utc(self.params["backend_start"])}

    def observe(self) -> Json:
        with session(self.clients, self.database, self.place) as found:
            row = found.execute(LOOK, self._named).fetchone()
        if row is None:
            return {"state": "gone", "context": {}}
        # What runs now is named by when it began: after a cancel the same session may run the next statement.
        return {"state": str(row["state"]), "context": row}

    def wanted(self, before: Json) -> Json:
        finished = {"state": before["state"]}
        if before["state"] == "gone" or (self.params["action"] == "cancel" and before["state"] != "active"):
            return finished
        return DONE[self.params["action"]]

    def refusals(self, before: Json) -> list[str]:
        found, params = before["context"], self.params
        role = self.database["application_role"]
        reasons = []
        if found["role"] != role:
            reasons.append(f"The session belongs to {found['role']}, and only those of {role} may be ended: leave it.")
        age = spoken(timedelta(seconds=found["transaction_s"]))
        if found["transaction_s"] < self.aws_seconds(params["older_than_s"]) and not self._waits_with_others(found):
            reasons.append(f"Its transaction is only {age} old: wait until it is {params['older_than_s']} s old.")
        busy = found["state"] == "active" and found["has_written"]
        if busy and found["transaction_s"] > self.aws_seconds(params["longest_write_s"]):
            reasons.append(
                f"It has been writing for {age}, and to roll that back may take as long: ask its owner first."
            )
        return reasons

    def _waits_with_others(self, found: Json) -> bool:
        """A statement that others queue behind need not grow old: cancelling it costs only itself."""
        return self.params["action"] == "cancel" and bool(found["blocks"])

    def prediction(self, before: Json) -> list[str]:
        found = before["context"]
        if not found:
            return []
        lost = "What its transaction wrote is rolled back." if found["has_written"] else "It has written nothing."
        return [f"{plural(found['blocks'], 'session')} that wait for it directly go on. {lost}"]

    def apply(self, before: Json) -> None:
        action = self.params["action"]
        name = {"cancel": "pg_cancel_backend", "terminate": "pg_terminate_backend"}[action]
        values = self._named | {"role": self.database["application_role"]}
        change(self.clients, self.database, self.place, name, CALLS[action], values)

    def inverse(self, before: Json) -> Json | str:
        return "What the transaction did was rolled back; whoever began it may begin it again."

    def done(self, before: Json, after: Json) -> bool:
        was, now = before["context"], after["context"]
        if after["state"] == "gone":
            return True
        moved = bool(now["state"] != "active" or now["query_start"] != was["query_start"])
        return self.params["action"] == "cancel" and moved


ENTRY = change_entry(Session)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
