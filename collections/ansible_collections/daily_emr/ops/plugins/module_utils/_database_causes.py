# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what a database may be short of. May change without notice.

"""Observations of connections, load, storage and age, and of a host that is sick without any of them. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import Trouble
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, plural

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._database_evidence import DatabaseEvidence

_GIB = 1024**3
# A2.1: average active sessions per vCPU above which they queue.
# A host at its CPU, or a volume without burst credits, is as slow on the other side: no failover (A2.4, cause 6).
_CPU_PERCENT = 90
_IO_BALANCE_PERCENT = 20
_LOAD_PER_CPU = 2
# Instance classes up to .large have two vCPUs: https://aws.amazon.com/rds/instance-types/
_CPUS = {"micro": 2, "small": 2, "medium": 2, "large": 2}
# Share of the connections that the tasks of the application may take.
_FITTING = 0.8
# The first alarm of A2.1; autovacuum works against it from 200 million on.
_TRANSACTION_IDS = 1_000_000_000
# Read replicas of RDS name their slots so.
_REPLICA_SLOT = "rds_"
# Active, but not working: they wait for a lock, or for the commit to arrive at the standby.
_WAITING = ("Lock",)
_WAITING_FOR = ("SyncRep",)
# A write or a login that ends so may be the host's; a lock, a full disk or a missing grant is not.
_SICK = (Trouble.TIMEOUT, Trouble.CLOSED, Trouble.REFUSED)


def cpus(instance_class: str) -> int:
    """vCPUs of an instance class: 2 up to large, 4 for xlarge, 4 for each of the multiples of it."""
    size = instance_class.rpartition(".")[2]
    if found := re.fullmatch(r"(\d*)xlarge", size):
        return 4 * int(found.group(1) or 1)
    return _CPUS.get(size, 2)


def working(sessions: list[Json]) -> int:
    """Sessions that work on a statement now, and do not wait for others."""
    return sum(
        row["n"]
        for row in sessions
        if row["state"] == "active" and row["wait_event_type"] not in _WAITING and row["wait_event"] not in _WAITING_FOR
    )


def load(evidence: DatabaseEvidence) -> None:
    read, thresholds = evidence.read, evidence.thresholds
    subjects = evidence.subjects
    limit = evidence.readings.values.get("connection_limit")
    subjects["fitting_tasks"] = None if limit is None else int(limit * _FITTING) // thresholds["connections_per_task"]

    def exhausted() -> tuple[bool, str]:
        used, maximum = read("connections")["used"], read("connections")["maximum"]
        return used * 100 > maximum * thresholds["connections_percent"], f"{used} of {maximum} in use"

    evidence.look(
        "connections_exhausted",
        ("connections",),
        exhausted,
        expected=f"at most {thresholds['connections_percent']} % of the connections in use",
        call="Q3",
    )

    def scaled() -> tuple[bool, str]:
        allowed, running = (read("capacity") or {}).get("maximum", 0), len(read("tasks"))
        fitting = subjects["fitting_tasks"]
        return max(allowed, running) > fitting, f"{running} run, up to {allowed} may; the pools of {fitting} fit"

    evidence.look(
        "scaled_out",
        ("connection_limit", "capacity", "tasks"),
        scaled,
        expected="no more tasks than the connections fit",
        call="application-autoscaling:DescribeScalableTargets, ecs:DescribeTasks, Q3",
    )
    processors = cpus(
        (evidence.readings.values.get("instance") or {}).get("class") or evidence.database["instance_class"]
    )
    most = _LOAD_PER_CPU * processors

    def loaded() -> tuple[bool, str]:
        average = (evidence.readings.values.get("metrics") or {}).get("load")
        now = working(read("sessions"))
        # Whoever waits for a lock counts in DBLoad, too; then only what works now tells.
        waiting = any(row["wait_event_type"] in _WAITING for row in read("sessions"))
        high = now > most or (average is not None and average > most and not waiting)
        return high, f"{plural(now, 'session')} at work, DBLoad {'unknown' if average is None else f'{average:.1f}'}"

    evidence.look(
        "load_high",
        ("sessions",),
        loaded,
        expected=f"at most {most} sessions at work for {processors} vCPU",
        call="Q2, cloudwatch:GetMetricData DBLoad",
    )

    def metric(name: str) -> float | None:
        value: float | None = (evidence.readings.values.get("metrics") or {}).get(name)
        return value

    def hot() -> tuple[bool | None, str]:
        percent = metric("cpu_percent")
        return (None, "no value") if percent is None else (percent > _CPU_PERCENT, f"CPU {percent:.0f} %")

    evidence.look(
        "cpu_high",
        ("metrics",),
        hot,
        expected=f"CPU at most {_CPU_PERCENT} %",
        call="cloudwatch:GetMetricData CPUUtilization",
    )

    def exhausted_io() -> tuple[bool | None, str]:
        """Whether the volume has used up what it may do above its baseline (A2.4, cause 6)."""
        balances = [metric("io_balance_percent"), metric("byte_balance_percent")]
        known = [value for value in balances if value is not None]
        if len(known) < len(balances):
            return None, "no value"
        return min(known) < _IO_BALANCE_PERCENT, f"{min(known):.0f} % of the I/O balance left"

    evidence.look(
        "io_exhausted",
        ("metrics",),
        exhausted_io,
        expected=f"at least {_IO_BALANCE_PERCENT} % of the I/O balance",
        call="cloudwatch:GetMetricData EBSIOBalance%, EBSByteBalance%",
    )

    def dominates() -> tuple[bool, str]:
        now, busy = working(read("sessions")), read("busy")
        n = busy[0]["n"] if busy else 0
        # One or two sessions with the same statement are daily life.
        return n > processors and n * 2 > now, f"{n} of {plural(now, 'session')} work on the same statement"

    evidence.look(
        "query_dominates",
        ("sessions", "busy"),
        dominates,
        expected="no statement that most sessions work on",
        call="Q2 by query_id",
    )

    def lengthy() -> tuple[bool, str]:
        found = read("transactions")
        subjects["longest_transaction_s"] = round(found["longest_s"], 1)
        seconds = evidence.aws_seconds(thresholds["transaction_s"])
        longest = found["longest_writing_s"]
        return (
            longest > seconds,
            f"{plural(found['writing'], 'transaction')} have written, the longest for {longest:.0f} s",
        )

    subjects["longest_transaction_s"] = None
    evidence.look(
        "long_transactions",
        ("transactions",),
        lengthy,
        expected=f"no transaction that has written is older than {thresholds['transaction_s']} s at the pace of AWS",
        call="Q9",
    )
    evidence.look(
        "prepared_transactions",
        ("prepared",),
        lambda: (read("prepared")["prepared"] > 0, plural(read("prepared")["prepared"], "prepared transaction")),
        expected="no prepared transaction",
        call="Q12",
    )
    evidence.look(
        "migration_failed",
        ("migrations",),
        lambda: (read("migrations")["failed"] > 0, plural(read("migrations")["failed"], "unfinished migration")),
        expected="every migration ended",
        call="Q10",
    )


def storage(evidence: DatabaseEvidence) -> None:
    read, thresholds = evidence.read, evidence.thresholds
    evidence.subjects["orphaned_slot"] = None

    def low() -> tuple[bool | None, str]:
        free, gib = read("metrics")["free_bytes"], read("instance")["allocated_gib"]
        if free is None or not gib:
            return None, "no value of the free storage"
        percent = 100 * free / (gib * _GIB)
        return percent < thresholds["free_storage_percent"], f"{percent:.0f} % of {gib} GiB free"

    evidence.look(
        "storage_low",
        ("metrics", "instance"),
        low,
        expected=f"at least {thresholds['free_storage_percent']} % of the storage free",
        call="cloudwatch:GetMetricData FreeStorageSpace",
    )

    def orphaned() -> tuple[bool | None, str]:
        """Inactive, nobody's, and keeping back a good part of the storage."""
        if not read("instance")["allocated_gib"]:
            return None, "RDS does not say how much storage there is"
        known = set(evidence.database["slots"])
        replicas = bool(read("instance")["replicas"])
        most = read("instance")["allocated_gib"] * _GIB * thresholds["slot_retained_percent"] / 100
        slots = read("slots")
        for slot in slots:
            owned = slot["name"] in known or (replicas and slot["name"].startswith(_REPLICA_SLOT))
            retained = slot["retained_bytes"] or 0.0
            # What CloudWatch says is of the slot that lags most, which is the first.
            if slot is slots[0]:
                retained = max(retained, (evidence.readings.values.get("metrics") or {}).get("slot_bytes") or 0.0)
            if not (slot["active"] or owned) and retained > most:
                evidence.subjects["orphaned_slot"] = slot["name"]
                return True, f"{slot['name']} is inactive and keeps {retained / _GIB:.1f} GiB"
        inactive = sum(not slot["active"] for slot in slots)
        return False, f"{inactive} of {plural(len(slots), 'slot')} inactive, none keeps much"

    evidence.look(
        "slot_orphaned",
        ("slots", "instance"),
        orphaned,
        expected="every slot that keeps much is read by somebody",
        call="Q6",
    )

    def old() -> tuple[bool, str]:
        ids = max(
            read("ages")["transaction_ids"], (evidence.readings.values.get("metrics") or {}).get("transaction_ids") or 0
        )
        return ids > _TRANSACTION_IDS, f"{ids / 1e6:.0f} million transaction ids in use"

    evidence.look(
        "wraparound_near",
        ("ages",),
        old,
        expected=f"at most {_TRANSACTION_IDS / 1e6:.0f} million transaction ids in use",
        call="Q7, cloudwatch:GetMetricData MaximumUsedTransactionIDs",
    )


def host(evidence: DatabaseEvidence) -> None:
    """After all others: it is what remains."""
    others = (
        "load_high",
        "query_dominates",
        "sessions_blocked",
        "connections_exhausted",
        "connections_refused",
        "storage_full",
        "storage_low",
        "node_read_only",
        "cpu_high",
        "io_exhausted",
    )

    def times_of_tasks() -> tuple[int, int]:
        """How many tasks find the database fast, and how many find it slow or cannot use it."""
        probes = evidence.probes if "task_probes" in evidence.readings.values else []
        slow_ms = evidence.thresholds["database_slow_ms"]
        times = [probe.ms("database") for probe in probes if probe.reason("database") == ""]
        fast = sum(ms is not None and ms <= slow_ms for ms in times)
        slow = sum(ms is not None and ms > slow_ms for ms in times)
        return fast, slow + sum(bool(probe.reason("database")) for probe in probes)

    def impaired() -> tuple[bool | None, str]:
        write = evidence.readings.values.get("write")
        latency = (evidence.readings.values.get("metrics") or {}).get("write_latency_s")
        most_ms = evidence.thresholds["write_latency_ms"]
        stuck = write is not None and (write.ms > most_ms if write.trouble is None else write.trouble in _SICK)
        signs = evidence.found("database_slow")
        signs += ["writes are slow"] if stuck and evidence.found("write_failing") else []
        measured = latency is not None and latency * 1000 > most_ms
        past = f"WriteLatency {latency * 1000:.0f} ms" if measured and latency is not None else ""
        if not signs:
            # CloudWatch is minutes late: what it says alone may be over.
            unseen = evidence.unknown("database_slow", "write_failing")
            if unseen:
                return None, f"not known: {', '.join(unseen)}"
            return False, f"reads and writes are fast{f' now, after {past}' if past else ''}"
        signs += [past] if past else []
        if reasons := evidence.found(*others):
            return False, f"{', '.join(signs)}; explained by {', '.join(reasons)}"
        if unseen := evidence.unknown(*others):
            return None, f"{', '.join(signs)}; not known: {', '.join(unseen)}"
        # Two views: what is slow from here alone may be the way from here.
        fast, slow = times_of_tasks()
        if not measured and (fast or not slow):
            words = "a task finds it fast" if fast else "nobody else finds it slow"
            return None, f"{', '.join(signs)}; {words}, so that it may be the way from here"
        return True, f"{', '.join(signs)}; neither load, locks, storage nor connections explain it"

    evidence.look(
        "host_impaired",
        (),
        impaired,
        expected="a host that is fast, or a reason why it is not",
        call="SELECT 1, W1, cloudwatch:GetMetricData WriteLatency",
    )
