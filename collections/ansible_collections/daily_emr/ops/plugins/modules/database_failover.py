#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_failover
short_description: Fail an RDS instance over to its standby, at most once
version_added: 0.1.0
description:
  - Reboots a Multi-AZ RDS instance with failover. Writes fail for one to three minutes; every session is lost.
  - Nothing is changed when a failover began or ended since O(since), whoever asked for it. So running it again never
    fails over twice.
  - Refuses unless every precondition holds in one fresh read (incident domain, A2.4, M6). The instance is Multi-AZ
    with a standby in another zone, available, has nothing pending and its parameters in sync. There was no failover in
    the quiet period, the latest restorable time advances, no transaction that has written is old, none is prepared,
    and the application only reads.
  - Refuses when one of them cannot be read, because unknown is never ok. A primary whose host is gone is failed over
    by RDS itself.
  - The call is never sent again. Does not wait for its end; that is what M(daily_emr.ops.database_settled) is for.
author:
  - Daily EMR operations (@daily-emr)
options:
  since:
    description:
      - The time of the diagnosis, as a UTC timestamp such as V(2026-11-22T01:30:00Z). At most a day old.
      - A failover since then counts as the one that was wanted.
    type: str
    required: true
  quiesced:
    description:
      - Whether the application must be told only to read, by the flag C(read_only_flag) of O(database).
      - V(false) is for a plan that is to show everything else before writes are stopped.
    type: bool
    default: true
  quiet_minutes:
    description: Minutes, at the pace of AWS, since the last failover before RDS does another one.
    type: int
    default: 30
  restorable_minutes:
    description: Greatest age of the latest restorable time, in minutes at the pace of AWS.
    type: int
    default: 10
  transaction_s:
    description: Greatest age of a transaction that has written, in seconds at the pace of AWS.
    type: int
    default: 60
  budget_minutes:
    description: The error budget in minutes that the prediction is measured against; 99.9 % of 30 days.
    type: float
    default: 43.2
attributes:
  check_mode:
    description: Reports what a failover would do and cost, and every precondition that does not hold.
    support: full
  diff_mode:
    description: Shows state, zones and number of failovers before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.database
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Fail over to the standby, once
  daily_emr.ops.database_failover:
    database: "{{ database }}"
    service: "{{ web_service }}"
    since: "2026-11-22T01:30:00Z"
"""

RETURN = r"""
outcome:
  description: How the change ended, one of V(ok), V(noop), V(refused), V(failed), V(unknown).
  returned: always
  type: str
  sample: ok
prediction:
  description: What the failover does and costs. Empty when there is nothing to do.
  returned: always
  type: list
  elements: str
  sample: ["Writes are predicted to fail for 75 s (p50) to 180 s (p95)."]
refusals:
  description: Why the change was refused, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: ["1 prepared transaction would survive and keep their locks: commit or roll back what is prepared first."]
undo:
  description: A sentence why nothing would undo the change.
  returned: always
  type: raw
  sample: "Nothing to undo: both zones serve alike, and failing back is a second outage."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: database/daily-emr-staging-db
"""

from datetime import UTC, datetime
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._database_changes import SEES_ALL, DatabaseChange
from ansible_collections.daily_emr.ops.plugins.module_utils._database_failover import (
    failovers_since,
    preconditions,
    predicted,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._database_queries import QUERIES
from ansible_collections.daily_emr.ops.plugins.module_utils._database_readings import read_events, read_instance
from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import peak
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._launchdarkly import LaunchDarkly
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import read_service
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    SERVICE_OPTION,
    Json,
    Readings,
    iso,
    parse_utc,
)

# Q1, Q9 and Q12; one round trip, because on the host that is to be left each may cost seconds.
STATEMENTS = (QUERIES["node"], QUERIES["transactions"], QUERIES["prepared"], SEES_ALL)
# They only inform; a failover is not refused for want of them.
HINTS = ("tasks", "log_rate")
IDENTITY = ("address", "port", "started")


class Failover(DatabaseChange):
    """Which of the two hosts of an instance is its primary."""

    name: ClassVar[str] = "database_failover"
    imperative: ClassVar[bool] = True
    sends: ClassVar[tuple[str, ...]] = ("rds:RebootDBInstance",)
    # RDS's word for what it is busy with.
    volatile: ClassVar[frozenset[str]] = frozenset({"status"})
    spec: ClassVar[Json] = {
        "database": DATABASE_OPTION,
        "service": SERVICE_OPTION,
        "since": {"type": "str", "required": True},
        "quiesced": {"type": "bool", "default": True},
        "quiet_minutes": {"type": "int", "default": 30},
        "restorable_minutes": {"type": "int", "default": 10},
        "transaction_s": {"type": "int", "default": 60},
        "budget_minutes": {"type": "float", "default": 43.2},
    }

    def observe(self) -> Json:
        clients, service = self.clients, self.params["service"]
        parse_utc(self.params["since"])
        readings = Readings()
        reads = {
            "instance": lambda: read_instance(clients, self.instance),
            "events": lambda: read_events(clients, self.instance),
            "tasks": lambda: read_service(clients, service["cluster"], service["service"])["running"],
            "log_rate": self._log_rate,
        }
        if self.params["quiesced"]:
            reads["read_only_flag"] = self._read_only_flag
        readings.take(**reads)
        instance = readings.need("instance")
        readings.take(sessions=lambda: self._sessions(instance))
        for name in HINTS:
            readings.unread.pop(name, None)
        context = readings.context()
        events = context.get("events")
        return {
            "status": instance["status"],
            "zone": instance["zone"],
            "standby_zone": instance["standby_zone"],
            "failovers": failovers_since(events, self.params["since"]) if events else None,
            "context": context,
        }

    def _log_rate(self) -> float:
        """Bytes of write-ahead log in a second."""
        now, names = str(iso(datetime.now(UTC))), {"DBInstanceIdentifier": self.instance}
        return peak(self.clients, "AWS/RDS", "TransactionLogsGeneration", "Average", now, **names)

    def _read_only_flag(self) -> Json:
        key = self.database["read_only_flag"]
        provider = LaunchDarkly(self.clients.environment, self.params["service"]["feature_flags"])
        found = provider.flag(key)
        if found is None or provider.environment not in found["flag"].get("environments", {}):
            raise OpsError(f"LaunchDarkly has no flag {key} here")
        return {"on": found["flag"]["environments"][provider.environment]["on"]}

    def _sessions(self, instance: Json) -> Json:
        if not instance["address"]:
            raise OpsError("the instance has no endpoint")
        rows = self.rows(*STATEMENTS, place=(instance["address"], instance["port"]))
        return {name: value for row in rows for name, value in (row or {}).items()}

    def wanted(self, before: Json) -> Json:
        if before["failovers"]:
            return before
        swapped = {"zone": before["standby_zone"], "standby_zone": before["zone"]}
        return {"status": "available", **swapped, "failovers": 1}

    def refusals(self, before: Json) -> list[str]:
        return [reason for reasons in self._preconditions(before).values() for reason in reasons]

    def _preconditions(self, before: Json) -> dict[str, list[str]]:
        return preconditions(before["context"], dict(self.params), self.aws_seconds)

    def prediction(self, before: Json) -> list[str]:
        return predicted(before, self._preconditions(before), self.params["budget_minutes"])

    def apply(self, before: Json) -> None:
        self.clients.write("rds", "RebootDBInstance").reboot_db_instance(
            DBInstanceIdentifier=self.instance, ForceFailover=True
        )

    def inverse(self, before: Json) -> Json | str:
        return (
            "Nothing to undo: both zones serve alike, and failing back is a second outage, for a maintenance window "
            "if at all."
        )

    def done(self, before: Json, after: Json) -> bool:
        """The call is done when RDS has begun; the standby takes over a minute later."""
        nodes = [_node(state["context"]) for state in (before, after)]
        moved = None not in nodes and nodes[0] != nodes[1]
        return after["status"] == "rebooting" or bool(after["failovers"]) or moved

    def traces(self, before: Json) -> Json:
        node = _node(before["context"])
        return {"sessions": dict(zip(IDENTITY, node, strict=True))} if node else {}

    def untouched(self, before: Json, after: Json) -> bool:
        """RDS has no event of a failover, and the same start of the same host answers."""
        nodes = [_node(state["context"]) for state in (before, after)]
        quiet = after["status"] == "available" and after["failovers"] == 0
        return quiet and nodes[0] is not None and nodes[0] == nodes[1]


def _node(context: Json) -> tuple[str, ...] | None:
    """What tells one host from the other, and one start of it from the next; as texts, as a journal keeps them."""
    return tuple(str(context["sessions"][name]) for name in IDENTITY) if "sessions" in context else None


ENTRY = change_entry(Failover)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
