#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_failover
short_description: Fail an RDS Multi-AZ instance over to its standby, once
version_added: 0.1.0
description:
  - Reboots the instance with failover, by one call that is never sent again.
  - Nothing is changed when a failover has started since O(since), whoever asked for it.
  - Refuses unless one fresh read shows that the instance is Multi-AZ, available and has a standby, that no failover
    happened within O(quiet_minutes), that nothing is pending, that its logs arrive (latest restorable time), that no
    transaction has been writing for O(transaction_s), that none is prepared, and, with O(quiesced), that the
    application only reads. What could not be read refuses too.
  - Does not wait until the failover is over (60 to 120 s on RDS); M(daily_emr.ops.database_settled) does.
  - The prediction tells zones, work in flight, the expected outage of writes and its share of the error budget.
author:
  - Daily EMR operations (@daily-emr)
options:
  since:
    description: When the incident was diagnosed, as a UTC timestamp. A failover that started later counts as done.
    type: str
    required: true
  quiesced:
    description: Whether the application must be in read-only mode already. A plan sets it to V(false).
    type: bool
    default: true
  quiet_minutes:
    description: Minutes since the last failover before another one is allowed; RDS abandons one that comes too soon.
    type: int
    default: 30
  restorable_minutes:
    description: Greatest age of the latest restorable time, in minutes.
    type: int
    default: 10
  transaction_s:
    description: Seconds after which a transaction that has written keeps a failover back.
    type: int
    default: 60
  budget_minutes:
    description: Error budget of a month in minutes, which the prediction is measured by; 43.2 is 99.9 % of 30 days.
    type: float
    default: 43.2
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.database
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Fail over to the standby
  daily_emr.ops.database_failover:
    database: "{{ database }}"
    service: "{{ web_service }}"
    since: "2026-11-22T01:30:00Z"
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
  sample: ["The last failover was 4 min ago, and RDS abandons one within 30 min: wait, or open a case with AWS."]
prediction:
  description: What the failover will cost and lead to.
  returned: always
  type: list
  elements: str
  sample: ["Writes fail for about 75 s (95 % of failovers: below 180 s), 2.9 % of the month's error budget."]
undo:
  description: Why nothing undoes it.
  returned: always
  type: raw
  sample: "Failing back is a second outage: do it in a window, if at all."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: db/daily-emr-staging-db
"""

from datetime import timedelta
from typing import Any, ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._database_changes import DatabaseChange
from ansible_collections.daily_emr.ops.plugins.module_utils._database_instance import (
    FAILOVER_EVENTS,
    place_of,
    read_events,
    read_instance,
    read_work,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._launchdarkly import LaunchDarkly
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    SERVICE_OPTION,
    Json,
    Readings,
    parse_utc,
    plural,
    since,
    spoken,
    unread,
)

# Write outage of a Multi-AZ failover, in seconds (incident domain, A2.4: p50 and p95 of the check-mode output).
USUAL_S, LONG_S = 75, 180


class Failover(DatabaseChange):
    """How often the instance has failed over since the incident was diagnosed."""

    name: ClassVar[str] = "database_failover"
    imperative: ClassVar[bool] = True
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
        moment = parse_utc(self.params["since"])
        readings = Readings()
        readings.take(
            instance=lambda: read_instance(self.clients, self.instance),
            events=lambda: read_events(self.clients, self.instance),
            read_only_mode=self._read_only,
        )
        instance, events = readings.need("instance"), readings.need("events")
        readings.take(transactions=lambda: read_work(self.clients, self.database, place_of(instance)))
        later = [item for item in events if item["kind"] == "failover started" and parse_utc(item["at"]) > moment]
        return {"failovers": len(later), "context": readings.context()}

    def _read_only(self) -> bool:
        try:
            provider = LaunchDarkly(self.clients.environment, self.params["service"]["feature_flags"])
            found = provider.flag(self.database["read_only_flag"])
        except Refused as error:
            raise OpsError(error.sentence) from error
        here = found and found["flag"].get("environments", {}).get(provider.environment)
        if not here:
            raise OpsError(f"there is no flag {self.database['read_only_flag']}")
        return bool(here["on"])

    def wanted(self, before: Json) -> Json:
        return {"failovers": max(before["failovers"], 1)}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        return [*unread(context), *self._of_instance(context), *self._of_work(context)]

    def _of_instance(self, context: Json) -> list[str]:
        found, params = context["instance"], self.params
        reasons = []
        if not found["multi_az"]:
            reasons.append("The instance is not Multi-AZ, so there is no standby: reboot it, or restore it elsewhere.")
        elif not found["standby_zone"]:
            reasons.append("The standby is not there yet: wait until RDS shows its zone.")
        if found["status"] != "available":
            reasons.append(
                f"The instance is {found['status']}, and RDS reboots only an available one: wait until it is."
            )
        last = [item for item in context["events"] if item["kind"] in FAILOVER_EVENTS]
        if last:
            age = since(last[-1]["at"], found["read_at"])
            if age.total_seconds() < self.aws_seconds(params["quiet_minutes"] * 60):
                reasons.append(
                    f"The last failover was {spoken(age)} ago, and RDS abandons one within "
                    f"{params['quiet_minutes']} min: wait, or open a case with AWS."
                )
        if found["pending"]:
            reasons.append(
                f"Changes of the instance are pending ({', '.join(found['pending'])}), and a reboot would apply them: "
                "apply or withdraw them first."
            )
        if set(found["parameters"]) - {"in-sync"}:
            reasons.append(
                f"The parameter group is {', '.join(found['parameters'])}, and a reboot would apply it: look at what "
                "was changed in it first."
            )
        if not found["restorable_at"]:
            reasons.append("RDS shows no latest restorable time, so what could be lost is unknown: turn backups on.")
        else:
            age = since(found["restorable_at"], found["read_at"])
            if age.total_seconds() > self.aws_seconds(params["restorable_minutes"] * 60):
                reasons.append(
                    f"The latest restorable time is {spoken(age)} old, so logs do not arrive and the standby may be "
                    "behind: open a case with AWS before anything is moved."
                )
        return reasons

    def _of_work(self, context: Json) -> list[str]:
        reasons = []
        if self.params["quiesced"] and context.get("read_only_mode") is False:
            flag = self.database["read_only_flag"]
            reasons.append(f"The application still writes: turn the flag {flag} on, which lets it only read, first.")
        found = context.get("transactions")
        if not found:
            return reasons
        if found["longest_write_s"] > self.aws_seconds(self.params["transaction_s"]):
            age = spoken(timedelta(seconds=found["longest_write_s"]))
            reasons.append(
                f"A transaction that has written is open for {age}, and its recovery would hold the standby up: "
                "end it, or wait for it."
            )
        if found["prepared"]:
            reasons.append(
                f"{plural(found['prepared'], 'prepared transaction')} would survive the failover with its locks: "
                "commit it or roll it back first."
            )
        return reasons

    def prediction(self, before: Json) -> list[str]:
        context = before["context"]
        instance, work = context["instance"], context.get("transactions")
        budget = 100 * USUAL_S / 60 / self.params["budget_minutes"]
        refused = len(self.refusals(before))
        sentences = [
            "Every precondition holds." if not refused else f"{plural(refused, 'precondition')} stand in the way.",
            f"The primary moves from {instance['zone']} to {instance['standby_zone'] or 'nowhere'}.",
        ]
        if work:
            longest = spoken(timedelta(seconds=work["longest_s"]))
            sentences.append(
                f"{plural(work['writers'], 'open transaction')} that has written would be rolled back; the longest "
                f"transaction is {longest} old."
            )
        return [
            *sentences,
            f"Writes fail for about {USUAL_S} s (95 % of failovers: below {LONG_S} s), {budget:.1f} % of the month's "
            "error budget.",
            "The name of the endpoint lives 5 s in DNS; a client that keeps it longer stays away longer.",
        ]

    def apply(self, before: Json) -> None:
        self.clients.write("rds", "RebootDBInstance").reboot_db_instance(
            DBInstanceIdentifier=self.instance, ForceFailover=True
        )

    def inverse(self, before: Json) -> Json | str:
        return "Failing back is a second outage: do it in a window, if at all."

    def done(self, before: Json, after: Json) -> bool:
        """Accepted: RDS reboots the instance, has said that it fails over, or another node answers already."""
        was, now = before["context"], after["context"]
        other = _node(now) != _node(was) if _node(now) and _node(was) else False
        return after["failovers"] > before["failovers"] or now["instance"]["status"] == "rebooting" or other


def _node(context: Json) -> Any:
    return (context.get("transactions") or {}).get("node", {}).get("address")


ENTRY = change_entry(Failover)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
