# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: controls of rehearsals. May change without notice.

"""What was rehearsed, not long ago, and with which figures."""

from __future__ import annotations

from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import (
    QUARTER,
    Look,
    Registry,
    Seen,
    Unknown,
    seen,
)

AREA = Registry("rehearsals")
check = AREA.check

CALLS = ("s3:ListObjectsV2", "s3:GetObject")
FAILOVER = "region_failover"


@check(
    "region_failover",
    "Failover to the second Region",
    "rehearsed less than {rehearsal_days} days ago, within RTO {rto_minutes} min and RPO {rpo_minutes} min",
    calls=CALLS,
    valid_for=QUARTER,
)
def region_failover(look: Look) -> Seen:
    keys = look.reports(f"rehearsals/{FAILOVER}/")
    if not keys:
        raise Unknown("No rehearsal of the failover to the second Region has left a report.")
    report = look.report(keys[-1])
    days = look.age(report.finished_at).days
    figures = ((report.rto_s, look.wanted["rto_minutes"]), (report.rpo_s, look.wanted["rpo_minutes"]))
    in_time = all(seconds is not None and seconds <= 60 * at_most for seconds, at_most in figures)
    return seen(
        report.ok and in_time and days < look.wanted["rehearsal_days"],
        measured={"days": days},
        ok=report.ok,
        rto_s=report.rto_s,
        rpo_s=report.rpo_s,
    )


@check(
    "runbooks",
    "Every runbook",
    "{runbooks} were each rehearsed with success less than {rehearsal_days} days ago",
    calls=CALLS,
    valid_for=QUARTER,
)
def runbooks(look: Look) -> Seen:
    state: dict[str, str] = {}
    for runbook in look.wanted["runbooks"]:
        keys = look.reports(f"rehearsals/{runbook}/")
        if not keys:
            state[runbook] = "never"
            continue
        report = look.report(keys[-1])
        recent = look.age(report.finished_at).days < look.wanted["rehearsal_days"]
        state[runbook] = "failed" if not report.ok else "good" if recent else "too long ago"
    if not state:
        raise Unknown("No runbook is named: put their names into readiness_runbooks.")
    if "never" in state.values():
        raise Unknown(f"No rehearsal has left a report of {', '.join(n for n, s in state.items() if s == 'never')}.")
    return seen(set(state.values()) == {"good"}, runbooks=state)
