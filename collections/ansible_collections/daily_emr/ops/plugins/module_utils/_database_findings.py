# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the readings of a database mean. May change without notice.

"""From readings to observations: pure, so that every rule can be tried without a system.

An observation is a finding, ok, or, when one of the readings it rests on is missing or does not tell, unknown.
"""

from __future__ import annotations

import re
from functools import partial
from statistics import median_low

from ansible_collections.daily_emr.ops.plugins.module_utils._database_application import application
from ansible_collections.daily_emr.ops.plugins.module_utils._database_causes import host, load, storage
from ansible_collections.daily_emr.ops.plugins.module_utils._database_evidence import DatabaseEvidence
from ansible_collections.daily_emr.ops.plugins.module_utils._database_locks import locks
from ansible_collections.daily_emr.ops.plugins.module_utils._database_sessions import Attempt
from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import DATABASE_SERVES
from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import plain_all
from ansible_collections.daily_emr.ops.plugins.module_utils._health_probes import reachable
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import Trouble
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings, listed, plural

# States that nothing but a restore, AWS or the owner of the key ends.
_BROKEN = re.compile(
    r"failed|stopp(ed|ing)|incompatible-.*|inaccessible-.*|restore-error|insufficient-capacity|delet.*"
)
STORAGE_FULL = "storage-full"
# A failover that has not ended after this time is not awaited any more (A2.2), minutes at the pace of AWS.
_FAILOVER_MINUTES = 10
# Nobody gets in: refused, no answer, or a connection that ends before the login.
_OUT = (Trouble.REFUSED, Trouble.TIMEOUT, Trouble.CLOSED)
# How far one gets: each is asked of who came past those before it.
_GATES = (
    ("endpoint_refusing", _OUT, "connections are accepted"),
    ("starting_up", (Trouble.STARTING,), "the server takes sessions"),
    ("connections_refused", (Trouble.TOO_MANY,), "a free connection"),
    ("login_failing", (Trouble.AUTH,), "the login of the runbook is accepted"),
)
# Troubles of a write that are our own: no grant, no table.
_OURS = (Trouble.DENIED, Trouble.ERROR)


def observe(
    readings: Readings, database: Json, thresholds: Json, at: str, *, time_factor: float = 1.0
) -> DatabaseEvidence:
    """Every observation of one look."""
    evidence = DatabaseEvidence(reachable(readings), database, thresholds, at, time_factor=time_factor)
    for part in (_instance, _failovers, _standby, _entrance, _node, locks, load, storage, application, host):
        part(evidence)
    evidence.subjects = plain_all(evidence.subjects)
    return evidence


def judged(evidence: DatabaseEvidence) -> list[Json]:
    return [item for item in evidence.observations if item["symptom"]]


def facts(readings: Readings) -> Json:
    """What is worth keeping beside the observations: numbers alone."""
    values = readings.values
    told: Json = {name: values[name] for name in ("bloat", "replicas", "replay") if name in values}
    told["metrics"] = values.get("metrics")
    told["round_trips_ms"] = values.get("round_trips")
    told["write_ms"] = values["write"].ms if "write" in values else None
    told["login_ms"] = values["login"].ms if "login" in values else None
    return told


def _instance(evidence: DatabaseEvidence) -> None:
    found = evidence.readings.values.get("instance") or {}
    evidence.subjects |= {name: found.get(name) for name in ("status", "zone", "standby_zone", "allocated_gib")}
    status = str(found.get("status"))
    serves, broken, full = status in DATABASE_SERVES, bool(_BROKEN.fullmatch(status)), status == STORAGE_FULL
    rules = {
        "instance_not_available": (not serves, "a state in which RDS serves connections"),
        "storage_full": (full, "room for data"),
        "instance_broken": (broken, "a state that RDS can run the instance in"),
        "instance_in_transition": (not (serves or broken or full), "no change of state under way"),
    }
    for name, (bad, expected) in rules.items():
        evidence.look(
            name,
            ("instance",),
            partial(lambda bad: (bad, status), bad),
            expected=expected,
            call="rds:DescribeDBInstances",
        )

    def due() -> tuple[bool, str]:
        waiting = [*evidence.read("maintenance"), *evidence.read("instance")["pending"]]
        return bool(waiting), f"pending: {listed(waiting)}"

    evidence.look(
        "maintenance_pending",
        ("instance", "maintenance"),
        due,
        expected="no change is pending",
        call="rds:DescribePendingMaintenanceActions, rds:DescribeDBInstances",
    )


def _failovers(evidence: DatabaseEvidence) -> None:
    evidence.subjects["failover_started_at"] = None

    def last(kind: str) -> str:
        return max((event["at"] for event in evidence.read("events")["failovers"] if event["kind"] == kind), default="")

    def under_way() -> tuple[bool, str]:
        began, ended, now = last("started"), last("completed"), evidence.read("events")["read_at"]
        running = bool(began) and ended < began and not evidence.older(began, now, minutes=_FAILOVER_MINUTES)
        evidence.subjects["failover_started_at"] = began if running else None
        return running, f"started {began}, completed {ended or 'never'}" if began else "no failover in the last day"

    def lately() -> tuple[bool, str]:
        ended, now = last("completed"), evidence.read("events")["read_at"]
        minutes = evidence.thresholds["failover_quiet_minutes"]
        return bool(ended) and not evidence.older(ended, now, minutes=minutes), (
            f"completed {ended}" if ended else "no failover in the last day"
        )

    call = "rds:DescribeEvents"
    evidence.look("failover_in_progress", ("events",), under_way, expected="no failover under way", call=call)
    evidence.look(
        "failover_recent",
        ("events",),
        lately,
        expected=f"no failover in the last {evidence.thresholds['failover_quiet_minutes']} min",
        call=call,
    )


def _standby(evidence: DatabaseEvidence) -> None:
    def missing() -> tuple[bool, str]:
        found = evidence.read("instance")
        zone = found["standby_zone"]
        words = "Multi-AZ" if found["multi_az"] else "no Multi-AZ"
        return not (found["multi_az"] and zone), f"{words}, standby in {zone or 'no zone'}"

    def behind() -> tuple[bool | None, str]:
        found = evidence.read("instance")
        if not found["restorable_at"]:
            return None, "RDS does not say until when it could be restored"
        late = evidence.older(
            found["restorable_at"], found["read_at"], minutes=evidence.thresholds["restorable_minutes"]
        )
        return late, f"restorable until {found['restorable_at']}"

    call = "rds:DescribeDBInstances"
    evidence.look("standby_missing", ("instance",), missing, expected="a standby in another zone", call=call)
    evidence.look(
        "standby_behind",
        ("instance",),
        behind,
        expected=f"restorable until {evidence.thresholds['restorable_minutes']} min ago or later",
        call=call,
    )


def _entrance(evidence: DatabaseEvidence) -> None:
    def gate(number: int) -> tuple[bool | None, str]:
        """Who was turned away before says nothing of the gates behind; who came through says that all are open."""
        login: Attempt = evidence.read("login")
        if login.trouble is None:
            return False, f"a session after {login.ms:.0f} ms"
        if login.trouble in _GATES[number][1]:
            others = _reaching(evidence) if login.trouble in _OUT else 0
            seen = f"{login.trouble} after {login.ms:.0f} ms"
            if others is None:
                return None, f"{seen}, and it is not known whether the tasks reach it"
            # Others get in: it is our own place that does not, as from outside of the network.
            return (None, f"{seen}, but {plural(others, 'task')} reach it") if others else (True, seen)
        passed = any(login.trouble in troubles for _name, troubles, _expected in _GATES[number + 1 :])
        return (False if passed else None), f"{login.trouble} after {login.ms:.0f} ms"

    for number, (name, _troubles, expected) in enumerate(_GATES):
        evidence.look(name, ("login",), partial(gate, number), expected=expected, call="a new session")


def _reaching(evidence: DatabaseEvidence) -> int | None:
    """Tasks that say that they can use the database, or that the balancer can use and we cannot reach either.

    None when neither could be read.
    """
    if "task_probes" in evidence.readings.values:
        return sum(probe.reason("database") == "" for probe in evidence.probes)
    if "targets" in evidence.readings.unread:
        return None
    return len([one for one in evidence.readings.values.get("targets", []) if one["state"] == "healthy"])


def _node(evidence: DatabaseEvidence) -> None:
    node = evidence.readings.values.get("node") or {}
    evidence.subjects["node"] = {name: node.get(name) for name in ("address", "port", "started")}
    thresholds = evidence.thresholds

    def read_only() -> tuple[bool, str]:
        """In recovery, refusing W1, or told so by a setting that somebody left on the role or on the database."""
        told = {row["role"] for row in evidence.read("read_only_roles")}
        reasons = ["in recovery"] if evidence.read("node")["in_recovery"] else []
        reasons += ["refuses a write"] if evidence.read("write").trouble is Trouble.READ_ONLY else []
        soft = told & {"", evidence.database["application_role"]}
        reasons += ["default_transaction_read_only is set"] if soft else []
        return bool(reasons), ", ".join(reasons) or "takes writes"

    evidence.look(
        "node_read_only",
        ("node", "read_only_roles", "write"),
        read_only,
        expected="a primary that takes writes",
        call="Q1, W1",
    )

    def unwritten() -> tuple[bool | None, str]:
        """Not acknowledged, or only after a time that no healthy host needs."""
        write: Attempt = evidence.read("write")
        if write.trouble is None:
            return write.ms > thresholds["write_latency_ms"], f"acknowledged after {write.ms:.0f} ms"
        seen = f"{write.trouble} after {write.ms:.0f} ms"
        if not write.connected:
            login = evidence.readings.values.get("login")
            # One session was let in at the same moment as the other was not: it flaps.
            flaps = login is not None and login.trouble is None and write.trouble in _OUT
            return (True if flaps else None), f"no session to write in: {seen}"
        return (None if write.trouble in _OURS else True), seen

    evidence.look(
        "write_failing",
        ("write",),
        unwritten,
        expected=f"a write is acknowledged within {thresholds['write_latency_ms']} ms",
        call="W1 in a session of its own",
    )

    def slow() -> tuple[bool, str]:
        middle = median_low(evidence.read("round_trips"))
        return middle > thresholds["database_slow_ms"], f"{middle:.0f} ms for a trivial query"

    evidence.look(
        "database_slow",
        ("round_trips",),
        slow,
        expected=f"at most {thresholds['database_slow_ms']} ms",
        call="SELECT 1",
    )

    def damaged() -> tuple[bool | None, str]:
        probes = [evidence.readings.values[name] for name in ("login", "write") if name in evidence.readings.values]
        if any(probe.trouble is Trouble.CORRUPT for probe in probes) or evidence.readings.values.get("damaged"):
            return True, "a probe found a damaged page"
        ages = evidence.readings.values.get("ages")
        if ages is None:
            return None, "no session to read the failed checksums in"
        return ages["checksum_failures"] > 0, plural(ages["checksum_failures"], "failed checksum")

    evidence.look("corruption", (), damaged, expected="no damaged page", call="pg_stat_database, W1")
