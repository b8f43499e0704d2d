# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: when a failover is allowed and what it costs. May change without notice.

"""The preconditions of a failover (incident domain, A2.4, M6), and what it will cost. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._database_changes import BLIND
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    Json,
    listed,
    parse_utc,
    plural,
    since,
    spoken,
    unread,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# How far the clock that wrote the option may be ahead of AWS's.
CLOCKS_APART = timedelta(minutes=1)
# A host that was impaired ten minutes ago may be well by now. To read it all takes real seconds everywhere.
FRESH_S, FRESH_LEAST_S = 600, 60
# What the domain asks for (A2.4, M6); an input may ask for more, never for less.
QUIET_MINUTES, RESTORABLE_MINUTES, TRANSACTION_S = 30, 10, 60
# Seconds without writes, at the pace of AWS (incident domain, A2.4).
OUTAGE_P50_S, OUTAGE_P95_S = 75, 180
DNS_TTL_S, CLIENT_CACHE_S = 5, 30
_MB = 1_000_000
# What a check needs to have been read.
_NEEDS = {
    "no failover in the quiet period": "events",
    "no long write": "sessions",
    "no prepared transaction": "sessions",
    "writes stopped": "read_only_flag",
}


def failovers_since(events: Json, moment: str) -> int:
    """How many failovers RDS has begun or ended since then."""
    kinds = [event["kind"] for event in events["failovers"] if parse_utc(event["at"]) >= parse_utc(moment)]
    return max(kinds.count("started"), kinds.count("completed"))


def preconditions(context: Json, params: Json, seconds: Callable[[float], float]) -> dict[str, list[str]]:
    """Each precondition that could be looked at, with what stands against it; what could not be read stands alone.

    seconds: a period of AWS's pace on the clock of this environment.
    """
    checks: dict[str, Callable[[], list[str]]] = {
        "limits of the runbook": lambda: _limits(params),
        "a fresh diagnosis": lambda: _diagnosis(context, params, seconds),
        "a standby": lambda: _standby(context["instance"]),
        "available": lambda: _status(context["instance"]),
        "no failover in the quiet period": lambda: _quiet(context, params, seconds),
        "nothing pending": lambda: _pending(context["instance"]),
        "parameters in sync": lambda: _parameters(context["instance"]),
        "logs that arrive": lambda: _restorable(context["instance"], params, seconds),
        "no long write": lambda: _writers(context["sessions"], params, seconds),
        "no prepared transaction": lambda: _prepared(context["sessions"]),
    }
    if params["quiesced"]:
        checks["writes stopped"] = lambda: _quiesced(context["read_only_flag"], params)
    found = {name: check() for name, check in checks.items() if _NEEDS.get(name, "instance") in context}
    missing = unread(context)
    if "sessions" in context["unread"]:
        missing.append(
            "When the host of the primary is gone, RDS fails over by itself within two minutes: run again then, and "
            "open a case with AWS when it has not."
        )
    return found | ({"everything readable": missing} if missing else {})


def predicted(before: Json, checks: dict[str, list[str]], budget_minutes: float) -> list[str]:
    """What a failover will do and cost, in sentences."""
    context = before["context"]
    met = [name for name, reasons in checks.items() if not reasons]
    missed = [name for name, reasons in checks.items() if reasons]
    eligible = f"Not eligible, for want of: {', '.join(missed)}." if missed else "Eligible for a failover."
    budget_s = budget_minutes * 60
    shares = [f"{100 * outage_s / budget_s:.0f} %" for outage_s in (OUTAGE_P50_S, OUTAGE_P95_S)]
    sentences = [
        f"{eligible} Given: {', '.join(met)}.",
        f"Zones now: primary {before['zone']}, standby {before['standby_zone']}; then the other way round.",
    ]
    if "sessions" in context:
        found = context["sessions"]
        sentences.append(
            f"The longest transaction is {found['longest_s']:.0f} s old, "
            f"{plural(found['writing'], 'open transaction')} has written; each that is open then is lost."
        )
    tasks, rate = context.get("tasks"), context.get("log_rate")
    sentences += [
        f"{'An unknown number of tasks' if tasks is None else plural(tasks, 'task')} in service will lose all sessions "
        "and their requests in flight.",
        "How much log is written is not known."
        if rate is None
        else f"{rate / _MB:.1f} MB of log are written in a second; the standby has to replay the last of it.",
        f"Writes are predicted to fail for {OUTAGE_P50_S} s (p50) to {OUTAGE_P95_S} s (p95).",
        f"That costs {shares[0]} to {shares[1]} of an error budget of {budget_minutes:g} minutes.",
        f"The DNS name of the endpoint lives {DNS_TTL_S} s; clients must not keep it for {CLIENT_CACHE_S} s or more.",
    ]
    return sentences


def _limits(params: Json) -> list[str]:
    rules = (
        ("quiet_minutes", params["quiet_minutes"] < QUIET_MINUTES, f"at least {QUIET_MINUTES}"),
        ("restorable_minutes", params["restorable_minutes"] > RESTORABLE_MINUTES, f"at most {RESTORABLE_MINUTES}"),
        ("transaction_s", params["transaction_s"] > TRANSACTION_S, f"at most {TRANSACTION_S}"),
    )
    return [
        f"{name} is {params[name]}, which would take a precondition of a failover away: set it to {allowed}."
        for name, beyond, allowed in rules
        if beyond
    ]


def _diagnosis(context: Json, params: Json, seconds: Callable[[float], float]) -> list[str]:
    moment, now = parse_utc(params["since"]), parse_utc(context["instance"]["read_at"])
    if moment > now + CLOCKS_APART:
        return [f"{params['since']} is in the future: give the time of the diagnosis."]
    if moment < now - timedelta(seconds=max(seconds(FRESH_S), FRESH_LEAST_S)):
        age = spoken(now - moment)
        return [f"The diagnosis is {age} old, and the host may be well by now: run the runbook from its start."]
    return []


def _standby(instance: Json) -> list[str]:
    if not instance["multi_az"]:
        return [
            "The instance is not Multi-AZ, so nothing could take over: only a reboot in place or a restore is left."
        ]
    if not instance["standby_zone"]:
        return ["RDS names no zone of a standby, so it may not be there: wait until it is rebuilt, then run again."]
    return []


def _status(instance: Json) -> list[str]:
    if instance["status"] == "available":
        return []
    return [
        f"The instance is {instance['status']}, and RDS fails over none that is not available: wait until it is, "
        "then run again."
    ]


def _quiet(context: Json, params: Json, seconds: Callable[[float], float]) -> list[str]:
    events = context["events"]["failovers"]
    if not events:
        return []
    last = events[-1]
    age = since(last["at"], context["events"]["read_at"])
    if age.total_seconds() >= seconds(params["quiet_minutes"] * 60):
        return []
    return [
        f"The last failover was {last['kind']} {spoken(age)} ago, and RDS abandons another one so soon: wait until "
        f"{params['quiet_minutes']} minutes have passed, and look for another cause meanwhile."
    ]


def _pending(instance: Json) -> list[str]:
    if not instance["pending"]:
        return []
    return [
        f"Changes of the instance are pending ({listed(instance['pending'])}) and may be applied on the way: apply or "
        "withdraw them first."
    ]


def _parameters(instance: Json) -> list[str]:
    apart = {name: status for name, status in instance["parameters"].items() if status != "in-sync"}
    return [
        f"The parameter group {name} is {status or 'in an unknown state'}, so the database would come back with other "
        "settings: settle that first."
        for name, status in sorted(apart.items())
    ]


def _restorable(instance: Json, params: Json, seconds: Callable[[float], float]) -> list[str]:
    if instance["restorable_at"] is None:
        return ["RDS names no latest restorable time, so nothing says that logs arrive: turn automatic backups on."]
    age = since(instance["restorable_at"], instance["read_at"])
    if age.total_seconds() <= seconds(params["restorable_minutes"] * 60):
        return []
    return [
        f"The latest restorable time is {spoken(age)} ago, so the log no longer gets away from the primary, and the "
        "standby may be behind: open a case with AWS before anything is failed over."
    ]


def _writers(sessions: Json, params: Json, seconds: Callable[[float], float]) -> list[str]:
    if not sessions["sees_all"]:
        return [BLIND]
    reasons = []
    if sessions["in_recovery"]:
        reasons.append("The node at the endpoint is in recovery, so a failover is under way: wait until it is over.")
    if sessions["longest_writing_s"] > seconds(params["transaction_s"]):
        reasons.append(
            f"A transaction that has written is open for {sessions['longest_writing_s']:.0f} s, and rolling it back "
            "makes the outage longer: let it end, or end its session, then run again."
        )
    return reasons


def _prepared(sessions: Json) -> list[str]:
    if not sessions["prepared"]:
        return []
    return [
        f"{plural(sessions['prepared'], 'prepared transaction')} would survive and keep their locks: commit or roll "
        "back what is prepared first."
    ]


def _quiesced(flag: Json, params: Json) -> list[str]:
    if flag["on"]:
        return []
    return [
        f"The flag {params['database']['read_only_flag']} is off, so the application still writes: turn it on, wait "
        "until the writes under way have ended, then run again."
    ]
