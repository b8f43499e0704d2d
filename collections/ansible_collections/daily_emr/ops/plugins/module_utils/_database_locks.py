# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: who waits for whom in a database. May change without notice.

"""Locks: who waits, for whom in the end, and which one session to end. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, plural

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._database_evidence import DatabaseEvidence

# What DDL wants, and what keeps everybody else out while it is waited for.
_EXCLUSIVE = "AccessExclusiveLock"
_IDLE = "idle in transaction"


def waiting_for(victims: list[Json]) -> dict[int, set[int]]:
    """pid -> the victims that wait for it, directly or because of another victim."""
    direct = {victim["pid"]: set(victim["blockers"]) for victim in victims}
    behind: dict[int, set[int]] = {}
    for pid, blockers in direct.items():
        reached: set[int] = set()
        left = set(blockers)
        while left:
            blocker = left.pop()
            if blocker not in reached:
                reached.add(blocker)
                left |= direct.get(blocker, set())
        for blocker in reached - {pid}:
            behind.setdefault(blocker, set()).add(pid)
    return behind


def queued_ddl(victims: list[Json]) -> list[Json]:
    """Victims that want a table for themselves and that others wait for, the one with the longest queue first."""
    behind = waiting_for(victims)
    found = [victim for victim in victims if victim["wanted"] == _EXCLUSIVE and behind.get(victim["pid"])]
    return sorted(found, key=lambda victim: -len(behind[victim["pid"]]))


def idles(session: Json, seconds: float) -> bool:
    return str(session["state"]).startswith(_IDLE) and session["state_s"] is not None and session["state_s"] > seconds


def choose(blockers: list[Json], victims: list[Json], role: str, idle_s: float) -> Json | None:
    """The one session whose end helps most at the least cost, of those that are the application's (A2.3, M1).

    A schema change in the queue first: cancelling it lets everybody behind it go on, and loses nothing. Then the root:
    one that idles in its transaction has no statement to cancel.
    """
    behind = waiting_for(victims)
    found = [(session, "cancel") for session in queued_ddl(victims)]
    found += [(session, "terminate" if idles(session, idle_s) else "cancel") for session in blockers]
    for session, action in found:
        if session["role"] == role:
            named = {name: session[name] for name in ("pid", "backend_start", "state")}
            return {**named, "victims": len(behind.get(session["pid"], ())), "action": action}
    return None


def locks(evidence: DatabaseEvidence) -> None:
    thresholds = evidence.thresholds
    idle_s = evidence.aws_seconds(thresholds["idle_transaction_s"])
    role = evidence.database["application_role"]
    evidence.subjects["blocking_session"] = None

    def waiting() -> tuple[bool, str]:
        """Enough of them for long enough, all for the same one in the end."""
        victims = evidence.read("victims")
        late = {victim["pid"] for victim in victims if victim["waited_s"] > thresholds["blocked_s"]}
        most = max((len(late & behind) for behind in waiting_for(victims).values()), default=0)
        blocked = most >= thresholds["victims"]
        if blocked:
            evidence.subjects["blocking_session"] = choose(evidence.read("blockers"), victims, role, idle_s)
        longest = max((victim["waited_s"] for victim in victims), default=0.0)
        return blocked, f"{plural(len(victims), 'session')} waiting, {most} of them long for the same, {longest:.0f} s"

    evidence.look(
        "sessions_blocked",
        ("victims", "blockers"),
        waiting,
        expected=f"fewer than {thresholds['victims']} sessions wait {thresholds['blocked_s']} s for another",
        call="Q4, pg_locks",
    )

    def foreign() -> tuple[bool, str]:
        blocked = evidence.status("sessions_blocked") == "finding"
        others = blocked and evidence.subjects["blocking_session"] is None
        return others, f"{'only others than' if others else 'a session of'} {role} to end" if blocked else "no queue"

    evidence.look(
        "blocker_not_ours",
        ("victims", "blockers"),
        foreign,
        expected="who blocks others belongs to the application",
        call="Q4, pg_locks",
    )

    def queued() -> tuple[bool, str]:
        found = queued_ddl(evidence.read("victims"))
        return bool(found), f"{plural(len(found), 'session')} wanting a whole table, with others behind"

    evidence.look(
        "ddl_queued",
        ("victims",),
        queued,
        expected="nobody waits behind a schema change",
        call="pg_locks",
    )

    def idling() -> tuple[bool, str]:
        idle = [session for session in evidence.read("blockers") if idles(session, idle_s)]
        longest = max((session["state_s"] for session in idle), default=0.0)
        return bool(idle), f"{plural(len(idle), 'session')} idling with locks that others wait for, {longest:.0f} s"

    evidence.look(
        "idle_in_transaction",
        ("blockers",),
        idling,
        expected=f"no blocking session idles in its transaction for more than {idle_s:.0f} s",
        call="Q4",
    )
