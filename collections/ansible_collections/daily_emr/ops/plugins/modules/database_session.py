#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_session
short_description: End what one session of the application does, or the session
version_added: 0.1.0
description:
  - Cancels the statement of one session of a PostgreSQL database, or ends the session, when others wait for its locks.
    Its transaction is rolled back.
  - A session is named by O(pid) and O(backend_start), because a number is used again. The statement that ends it says
    so itself, and that the session still does what was seen.
  - Nothing is changed when that session is gone, or when nobody waits for it any more.
  - Refuses a session that is not the application's own, a process that is no client (autovacuum, replication), a young
    transaction, and one whose work of more than 10 minutes would be rolled back.
author:
  - Daily EMR operations (@daily-emr)
options:
  pid:
    description: Number of the process of the session.
    type: int
    required: true
  backend_start:
    description:
      - When the session began, in UTC and to the microsecond, such as V(2026-11-22T01:30:00.123456Z).
    type: str
    required: true
  action:
    description: Cancel its statement, which does nothing to a session that is idle, or terminate it.
    type: str
    choices: [cancel, terminate]
    default: cancel
  older_than_s:
    description: Least age of its transaction, in seconds at the pace of AWS.
    type: int
    default: 60
attributes:
  check_mode:
    description: Reports the session that would be ended, and every reason why it may not.
    support: full
  diff_mode:
    description: Shows the state of the session and how many wait for it, before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.database
notes:
  - The role of the runbooks needs C(pg_monitor) to see the session and C(pg_signal_backend) to end it.
"""

EXAMPLES = r"""
- name: End the session that idles with the locks that others wait for
  daily_emr.ops.database_session:
    database: "{{ database }}"
    pid: 4711
    backend_start: "2026-11-22T01:12:31.091254Z"
    action: terminate
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
  sample: ["4 sessions wait for it, and go on when it ends."]
refusals:
  description: Why the change was refused, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: ["The session belongs to rdsadmin, not to emr_application: leave it alone and ask its owner."]
undo:
  description: A sentence why nothing would undo the change.
  returned: always
  type: raw
  sample: "Nothing to undo: what was rolled back has to be done again by whoever did it."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: session/daily-emr-staging-db/4711
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._database_changes import DatabaseChange
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, parse_utc, plural

CLIENT = "client backend"
GONE = "gone"
IDLE = "idle in transaction"
# Real seconds: the work of ten minutes takes somebody ten minutes to do again, in every environment.
MUCH_WORK_S = 600
# One that has never run a statement has no query_start; work ends with the last statement, not with what idles after.
LOOK = """
SELECT usename AS role, backend_type AS kind, coalesce(state, '(none)') AS state,
       backend_xid IS NOT NULL AS has_written, query_start AS statement_at,
       extract(epoch FROM clock_timestamp() - coalesce(xact_start, state_change))::float8 AS age_s,
       extract(epoch FROM CASE WHEN state = 'active' THEN clock_timestamp() ELSE state_change END
                          - xact_start)::float8 AS work_s,
       (SELECT count(*) FROM pg_stat_activity v
        WHERE v.wait_event_type = 'Lock' AND %(pid)s = ANY (pg_blocking_pids(v.pid))) AS victims
FROM pg_stat_activity WHERE pid = %(pid)s AND backend_start = %(backend_start)s::timestamptz"""
_SAME = f"""
FROM pg_stat_activity
WHERE pid = %(pid)s AND backend_start = %(backend_start)s::timestamptz AND usename = %(role)s
  AND backend_type = '{CLIENT}' AND query_start IS NOT DISTINCT FROM %(statement_at)s::timestamptz"""
CANCEL = f"SELECT pg_cancel_backend(pid) AS sent {_SAME}"
TERMINATE = f"SELECT pg_terminate_backend(pid) AS sent {_SAME}"
STATEMENTS = {"cancel": ("pg_cancel_backend", CANCEL), "terminate": ("pg_terminate_backend", TERMINATE)}


class DatabaseSession(DatabaseChange):
    """One session of a database, and who waits for it."""

    name: ClassVar[str] = "database_session"
    imperative: ClassVar[bool] = True
    # More sessions come to wait.
    volatile: ClassVar[frozenset[str]] = frozenset({"victims"})
    spec: ClassVar[Json] = {
        "database": DATABASE_OPTION,
        "pid": {"type": "int", "required": True},
        "backend_start": {"type": "str", "required": True},
        "action": {"type": "str", "choices": ["cancel", "terminate"], "default": "cancel"},
        "older_than_s": {"type": "int", "default": 60},
    }

    @property
    def target(self) -> str:
        return f"session/{self.instance}/{self.params['pid']}"

    def observe(self) -> Json:
        parse_utc(self.params["backend_start"])
        (found,) = self.rows(LOOK, pid=self.params["pid"], backend_start=self.params["backend_start"])
        if found is None:
            return {"session": GONE, "victims": 0, "context": {}}
        return {"session": found["state"], "victims": found["victims"], "context": found}

    def wanted(self, before: Json) -> Json:
        if before["session"] == GONE or not before["victims"]:
            return before
        return {"session": GONE if self.params["action"] == "terminate" else "cancelled", "victims": 0}

    def refusals(self, before: Json) -> list[str]:
        found, role = before["context"], self.database["application_role"]
        reasons = []
        if found["kind"] != CLIENT:
            reasons.append(
                f"The process is {found['kind'] or 'of an unknown kind'}, not a client: leave it alone, it is the "
                "database's own."
            )
        if found["role"] != role:
            reasons.append(
                f"The session belongs to {found['role'] or 'nobody'}, not to {role}: leave it alone and ask its owner."
            )
        if found["age_s"] is None:
            reasons.append("How old its transaction is cannot be seen: grant pg_monitor to the role of the runbooks.")
        elif found["age_s"] < self.aws_seconds(self.params["older_than_s"]):
            reasons.append(f"Its transaction is only {found['age_s']:.0f} s old: let it end by itself, and look again.")
        if found["has_written"] and (found["work_s"] or 0) > MUCH_WORK_S:
            reasons.append(
                f"It has written for {found['work_s'] / 60:.0f} minutes, and all of that would be rolled back: decide "
                "with the owner of the session."
            )
        if self.params["action"] == "terminate" and not str(found["state"]).startswith(IDLE):
            reasons.append(f"The session is {found['state']}, so it works again: cancel its statement first.")
        if self.params["action"] == "cancel" and found["state"] != "active":
            reasons.append(f"The session is {found['state']}, so there is no statement to cancel: terminate it.")
        return reasons

    def prediction(self, before: Json) -> list[str]:
        found = before["context"]
        lost = "What it has written is rolled back." if found["has_written"] else "It has written nothing."
        return [f"{plural(before['victims'], 'session')} wait for it, and go on when it ends.", lost]

    def apply(self, before: Json) -> None:
        operation, statement = STATEMENTS[self.params["action"]]
        self.send(
            operation,
            statement,
            pid=self.params["pid"],
            backend_start=self.params["backend_start"],
            role=self.database["application_role"],
            statement_at=before["context"]["statement_at"],
        )

    def inverse(self, before: Json) -> Json | str:
        return "Nothing to undo: what was rolled back has to be done again by whoever did it."

    def done(self, before: Json, after: Json) -> bool:
        """Terminated: the session is gone. Cancelled: the statement that was seen no longer runs."""
        if after["session"] == GONE:
            return True
        same = _statement(after) == _statement(before)
        return self.params["action"] == "cancel" and not (after["session"] == "active" and same)

    def traces(self, before: Json) -> Json:
        return {"statement_at": _statement(before)}

    def untouched(self, before: Json, after: Json) -> bool:
        """The session goes on with the statement that was seen: the signal has not come to it."""
        return bool(after["session"] == before["session"] and _statement(after) == _statement(before))


def _statement(state: Json) -> str:
    """When the statement began that a session is at; as a text, as a journal keeps it."""
    return str(state["context"]["statement_at"])


ENTRY = change_entry(DatabaseSession)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
