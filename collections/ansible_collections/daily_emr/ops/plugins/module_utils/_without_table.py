# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: going on while the table of the leases gives no answer. May change without notice.

"""Broken glass for the table of the leases: what is then not known, and what stands in for the lease.

It is broken only by a person who named the rule, only where the table gave no answer at all (Unanswered), and at each
part of the run anew. Each time a line of the journal says what was not checked; a change takes that line for the
permission, never what a task says of itself, and still asks the table first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._break_glass import LEASE_TABLE, WITHOUT_TABLE, BreakGlass
from ansible_collections.daily_emr.ops.plugins.module_utils._contract import PLANNED_WORK
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused, Unanswered
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import NO_FENCE, Lease

# What the table would have said at each part of a run.
HOLDER = "who holds the lease, and what other machines did for this incident"
HALTS = "the switch that stops all changes, and whether the component has rested after another change"
LEASE = "the lease, its fence number, and whether another machine is at work"


def break_glass(session: Session, glass: BreakGlass, error: Unanswered, operator: str, unchecked: str) -> str:
    """Go on although the table gave no answer, and write down that and why; returns the sentence that says so.

    unchecked: what the table would have said. Raises the error where the rule is not lifted, or cannot be.
    """
    if not glass.lifts(LEASE_TABLE):
        raise error
    reason = glass.broken[LEASE_TABLE]
    Journal.of(session).append(
        "break_glass", rule=LEASE_TABLE, reason=reason, operator=operator, plan=session.plan, unchecked=unchecked
    )
    return f"Broken glass: {LEASE_TABLE} ({reason}). Not checked: {unchecked}. {_tell(session.component)}"


def refuse_known_holder(opened: Mapping[str, Any]) -> None:
    """Raise Refused where the table did say, at the beginning of this run, that somebody holds the lease.

    opened: the line of the opening.
    """
    if holder := opened.get("held_by"):
        raise Refused(
            f"{opened['component']} was being worked on by {holder} when the table last answered, and no glass is "
            "broken for what it says: talk to them."
        )


def session_without_lease(session: Session, owner: str, lease_seconds: int) -> Session:
    """The session of a run that goes on without the lease: its credentials end as if it had one."""
    return replace(session, fence=None, owner=owner, lease_seconds=lease_seconds)


def permitted_lease(session: Session, lines: Sequence[Mapping[str, Any]], environment: Environment) -> Lease:
    """What a change of this run is announced under: its lease, or what stands in for it where glass was broken.

    Raises Refused for a run that has neither.
    """
    if session.fence is not None:
        return Lease.of(session)
    # What was broken in place of the lease, and for this plan; at the parts before only other questions were left open.
    broken = [line for line in _broken(lines) if line["unchecked"] == LEASE and line.get("plan") == session.plan]
    if not broken or session.plan in ("", PLANNED_WORK) or environment.name not in WITHOUT_TABLE:
        raise Refused(f"{session.component} has no lease: run the runbook from its start.")
    return Lease(session.component, session.owner, session.id, session.run, NO_FENCE, session.lease_seconds)


def said_at_the_end(lines: Iterable[Mapping[str, Any]]) -> str:
    """What the end of a run says that went on without the table: a sentence; empty for every other run."""
    broken = _broken(lines)
    if not broken:
        return ""
    unchecked = "; ".join(dict.fromkeys(str(line["unchecked"]) for line in broken))
    return (
        f"The lease table gave no answer, and {broken[-1]['operator']} broke the glass ({broken[-1]['reason']}). Not "
        f"checked: {unchecked}. {_tell(broken[-1]['component'])}"
    )


def _broken(lines: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [line for line in lines if line["kind"] == "break_glass" and line.get("rule") == LEASE_TABLE]


def _tell(component: str) -> str:
    return f"Tell everybody who may work on {component}, and who reviews broken glass, and do it now."
