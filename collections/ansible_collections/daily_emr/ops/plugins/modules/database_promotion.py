#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_promotion
short_description: Promote the replica of the second region, at most once
version_added: 0.1.0
description:
  - Makes the read replica of the second region a database of its own (C(PromoteReadReplica)). Nothing takes that
    back. The way back is a new replica in the other direction.
  - Refuses unless, in one fresh read, the first region is fenced, or dead as seen from here and from the canary of
    the second region; the replica is available and tells its position; what may be lost is at most O(max_loss_s);
    and enough other people have approved exactly that, not longer than 30 minutes ago.
  - A replica that is promoted already, and not by a failover, is a refusal as well.
  - The call is never sent again. One whose end nobody knows is only looked for, by whichever run comes next.
  - Does not wait for its end; that is what M(daily_emr.ops.region_settled) is for.
author:
  - Daily EMR operations (@daily-emr)
options:
  max_loss_s:
    description: Seconds of acknowledged writes that may be lost at most.
    type: int
    required: true
  looked_at:
    description:
      - The run whose promotion nobody knows the end of, named by who looked at RDS and saw that it was not done.
    type: str
    default: ""
  before_fence:
    description: V(true) is for a plan that is to show everything else before the fence. Only in check mode.
    type: bool
    default: false
  approved:
    description: V(false) is for a plan that is made before anybody was asked. Only in check mode.
    type: bool
    default: true
  budget_minutes:
    description: The recovery time that the prediction is measured against.
    type: int
    default: 60
attributes:
  check_mode:
    description: Reports what a promotion would do, cost and lose, and every precondition that does not hold.
    support: full
  diff_mode:
    description: Shows source and role before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.database
  - daily_emr.ops.region
"""

EXAMPLES = r"""
- name: Promote the replica, once
  daily_emr.ops.database_promotion:
    recovery: "{{ recovery }}"
    database: "{{ recovery_database }}"
    max_loss_s: 300
"""

RETURN = r"""
grounds:
  description:
    - What it was decided on, for the journal. The approvals that counted, each with person, session, role, time and
      digest; what the incident commander declared; and the run that somebody looked for.
  returned: always
  type: dict
  sample: {"approvals": [{"person": "wanjiru", "at": "2026-11-30T01:10:00.000Z"}], "declared": "", "looked_at": ""}
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
  sample: "None: a promoted replica never follows again. The way back is a new replica in the first region."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: database/daily-emr-staging-db-replica
prediction:
  description: What it does, costs and loses, and what cannot be taken back. Empty when there is nothing to do.
  returned: always
  type: list
  elements: str
  sample: ["RPO: Nothing is lost: the first region is fenced, and the replica has replayed all of its log."]
"""

from typing import TYPE_CHECKING, Any, ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._approvals import (
    digest_of,
    judged,
    missing_approvals,
    read_approvals,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Entry, change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._region import (
    AVAILABLE,
    RECOVERY_OPTION,
    First,
    RegionChange,
    in_the_way,
    judge_first,
    loss,
    spoken_loss,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._region_findings import Promotion as Promoted
from ansible_collections.daily_emr.ops.plugins.module_utils._region_findings import promotion
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, plural

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Params

BACKUP_DAYS = 7
# Of other people than the one who runs it.
APPROVALS = 2
# What it is made of: the promotion with its restart, the tasks, the health check and the record's time to live.
RTO_MINUTES = (10, 30)


class Promotion(RegionChange):
    """Whether the database of the second region follows the first one."""

    name: ClassVar[str] = "database_promotion"
    imperative: ClassVar[bool] = True
    sends: ClassVar[tuple[str, ...]] = ("rds:PromoteReadReplica",)
    asks_itself: ClassVar[bool] = True
    spec: ClassVar[Json] = {
        "recovery": RECOVERY_OPTION,
        "database": DATABASE_OPTION,
        "max_loss_s": {"type": "int", "required": True},
        "looked_at": {"type": "str", "default": ""},
        "before_fence": {"type": "bool", "default": False},
        "approved": {"type": "bool", "default": True},
        "budget_minutes": {"type": "int", "default": 60},
    }
    _grounds: list[Json] | None = None

    @property
    def target(self) -> str:
        return f"database/{self.instance}"

    @property
    def _incident(self) -> str:
        return str((self.params.get("incident") or {}).get("id") or "")

    def observe(self) -> Json:
        readings = self.take_sides(approvals=lambda: read_approvals(self.clients, self._incident))
        replica, context = readings.need("replica"), readings.context()
        found = promotion(context, self.params)
        if not replica["source"] and found is not Promoted.BEGUN:
            raise Refused("No failover is known to have promoted this: find out who did, and why, before it is used.")
        if self._grounds is None:  # as it stood when it was decided, not as it stands after the call
            self._grounds = self._counted(context)
        return {"source": replica["source"], "context": context}

    def wanted(self, before: Json) -> Json:
        return {"source": ""}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        reasons = self._in_doubt(context)
        status = context["replica"]["status"]
        if status != AVAILABLE:
            reasons.append(f"The replica is {status}: RDS promotes only one that is {AVAILABLE}, so wait for that.")
        first, lost = judge_first(context), loss(context)
        if not (self.params["before_fence"] and first is First.WRITABLE):
            reasons += in_the_way(context)
        limit = self.params["max_loss_s"]
        if lost["seconds"] is None:
            reasons.append(spoken_loss(lost))
        elif lost["seconds"] > limit:
            reasons.append(
                f"{spoken_loss(lost)} Accepted are {limit} s: let the replica catch up, or accept more with "
                "region_failover_max_loss_s and have that approved."
            )
        return reasons + self._approval_reasons(context)

    def _in_doubt(self, context: Json) -> list[str]:
        if "announced" in context["unread"]:
            return [f"Nobody can say whether it was asked for already: {context['unread']['announced']}"]
        word = context["announced"]
        if word is None or word.outcome not in ("", "unknown") or word.run == self.params["looked_at"]:
            return []
        return [
            f"Run {word.run} asked for it at {word.at}, and its end is not known: it is never sent twice. Look at the "
            f"replica in RDS; if nothing was begun there, run again with region_failover_looked_at={word.run}."
        ]

    def _approval_reasons(self, context: Json) -> list[str]:
        if not self.params["approved"]:
            return []
        if "approvals" in context["unread"]:
            return [f"The approvals cannot be read: {context['unread']['approvals']}"]
        found, now = context["approvals"]
        return missing_approvals(found, now, **self._asked, wanted=APPROVALS)

    @property
    def _asked(self) -> Json:
        """What is to be approved, and who asks."""
        accepted = digest_of(self.clients.environment.name, self._incident, self.target, self.params["max_loss_s"])
        return {"digest": accepted, "requester": self.clients.prove().operator}

    def _counted(self, context: Json) -> list[Json]:
        """The approvals that count, as they are written down."""
        found, now = context.get("approvals") or ([], None)
        return [
            {"person": person, "session": one.session, "by": one.by, "at": one.at, "digest": one.digest}
            for person, one in sorted(judged(found, now, **self._asked)[0].items() if now else ())
        ]

    def remarks(self) -> Json:
        """What it was decided on: approvals, declaration and look are inputs of people, and go into the journal."""
        said = {"declared": self.recovery["declared"], "looked_at": self.params["looked_at"]}
        return {"grounds": {"approvals": self._grounds or [], **said}}

    def prediction(self, before: Json) -> list[str]:
        context, incident = before["context"], self._incident
        first = judge_first(context)
        fence = {
            First.FENCED: "The first region is fenced.",
            First.DEAD: (
                "UNFENCED: the first region is dead from here and for the canary, so nobody can close it. Fence it as "
                "soon as it answers, before its application does (run again)."
            ),
            First.WRITABLE: "Step 1, reversible: the first region is fenced, and users get errors from then on.",
        }
        said = [
            fence.get(first, "The first region cannot be fenced from here.")
            if first
            else "The first region is unknown.",
            f"Step 2, IRREVERSIBLE: {self.instance} is promoted, and follows nobody any more.",
            "Steps 3 to 6, reversible: secret, tasks, traffic (last) and its verification.",
            f"RPO: {spoken_loss(loss(context))}",
            f"RTO: {RTO_MINUTES[0]} to {RTO_MINUTES[1]} min predicted, {self.params['budget_minutes']} min allowed.",
            f"Needs {plural(APPROVALS, 'approval')} of other people: playbooks/region_approval.yml "
            f"-e incident_id={incident} -e region_approval_max_loss_s={self.params['max_loss_s']}",
        ]
        # The prediction is part of the intent, which is on the disk and in the table before the call is sent.
        said += [f"Approved by {one['session']} at {one['at']}." for one in self._grounds or []]
        said += [f"Declared: {self.recovery['declared']}"] if self.recovery["declared"] else []
        return [*said, "Sessions are lost: everybody logs in again."]

    def apply(self, before: Json) -> None:
        self.clients.write("rds", "PromoteReadReplica").promote_read_replica(
            DBInstanceIdentifier=self.instance, BackupRetentionPeriod=BACKUP_DAYS
        )

    def resources(self, before: Json) -> list[str]:
        return [self.clients.environment.arn("rds", f"db:{self.instance}")]

    def inverse(self, before: Json) -> Json | str:
        return "None: a promoted replica never follows again. The way back is a new replica in the first region."

    def done(self, before: Json, after: Json) -> bool:
        """The call is done when RDS has begun."""
        return bool(after["source"] == "" or after["context"]["replica"]["status"] != AVAILABLE)


PROMOTING = change_entry(Promotion)


def run(params: Params, context: Context) -> dict[str, Any]:
    """What only a plan may leave out is never left out of a promotion."""
    if not context.check_mode and (params["before_fence"] or not params["approved"]):
        raise Refused("before_fence and approved=false are for a plan: promote without them, or use check mode.")
    return PROMOTING.run(params, context)


ENTRY = Entry(PROMOTING.argument_spec, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
