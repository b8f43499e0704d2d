# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: why jobs of a queue fail or take long. May change without notice.

"""Observations of failures by class, and of what the jobs lean on: the database, what they call, dead letters. Pure."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import DATABASE_SERVES
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_estimate import SLOW_PACE, pace
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_evidence import waiting_jobs
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_options import BULLMQ, SQS
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, plural

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._queue_evidence import QueueEvidence

# Fewer than these are chance.
_FEW_FAILURES = 3
_FEW_DURATIONS = 3
# What other systems do to a job; a repetition may succeed. The rest is in the job or in our code.
_PASSING = ("dependency", "limit", "credentials", "database")
_CALL = "bullmq: two looks"


# -- failures ---------------------------------------------------------------------------------------------------------


def failures(evidence: QueueEvidence) -> None:
    read, thresholds, flow = evidence.read, evidence.thresholds, evidence.flow
    least = thresholds["class_failures"]

    def failing() -> tuple[bool, str]:
        jobs = read("jobs")
        failed, done = jobs["failed_lately"], (flow.completions or 0.0) * jobs["window_s"]
        limit = max(thresholds["failed_percent"] / 100 * (failed + done), _FEW_FAILURES)
        return failed > limit, f"{failed} failed in {jobs['window_s']:.0f} s, {done:.0f} were done"

    evidence.of_kind(
        BULLMQ,
        "jobs_failing",
        ("jobs",),
        failing,
        expected=f"at most {thresholds['failed_percent']} % of the jobs fail",
        call=_CALL,
    )

    def poison() -> tuple[bool, str]:
        """One class of a cause in the job or in our code, while other jobs are done."""
        groups = _recent(evidence)
        own = [group for group in groups if group["about"] not in _PASSING and group["count"] >= least]
        worst = own[0] if own and flow.completions else None
        evidence.subjects["poison"] = worst and worst["signature"]
        evidence.subjects["poison_count"] = worst and worst["count"]
        evidence.subjects["failed_before_ms"] = read("jobs")["second"]["at_ms"]
        if worst is None:
            return False, f"classes that fail now: {len(groups)}"
        return True, f"{worst['count']} times {described(worst)}"

    evidence.of_kind(
        BULLMQ,
        "one_class_fails",
        ("jobs",),
        poison,
        expected=f"fewer than {least} failures of one class that a repetition would not mend",
        call="ZRANGE failed, by class",
    )

    def left() -> tuple[bool, str]:
        """Failed because of something that has passed."""
        groups = read("jobs")["failures"]
        passing = [group for group in groups if group["about"] in _PASSING]
        quiet = [group for group in passing if group not in _recent(evidence)]
        count = sum(group["count"] for group in quiet)
        mine = [group["signature"] for group in quiet]
        evidence.subjects["redrive"] = {"signatures": mine, "count": count} if count >= least else None
        evidence.subjects.setdefault("failed_before_ms", read("jobs")["second"]["at_ms"])
        seen = ", ".join(f"{group['count']} times {described(group)}" for group in quiet[:3])
        return count >= least and len(quiet) == len(passing), seen or "none"

    evidence.of_kind(
        BULLMQ,
        "failed_jobs_left",
        ("jobs",),
        left,
        expected=f"fewer than {least} jobs that failed because of something that has passed",
        call="ZRANGE failed, by class",
    )


def _recent(evidence: QueueEvidence) -> list[Json]:
    """The classes that still fail."""
    jobs = evidence.read("jobs")
    quiet_ms = max(evidence.aws_seconds(evidence.thresholds["quiet_minutes"] * 60), jobs["window_s"]) * 1000
    found: list[Json] = [group for group in jobs["failures"] if jobs["first"]["at_ms"] - group["newest_ms"] <= quiet_ms]
    return found


def described(group: Json) -> str:
    code = f" {group['code']}" if group["code"] else ""
    return f"{group['class']}{code} in {group['job']} ({group['about']}, {group['signature']})"


# -- what the jobs lean on --------------------------------------------------------------------------------------------


def database(evidence: QueueEvidence) -> None:
    read, thresholds = evidence.read, evidence.thresholds

    def limit() -> tuple[bool, str]:
        status, cpu = read("database")["status"], read("CPU_of_the_database")
        used, maximum = read("connections_in_use"), read("max_connections")
        percent = 100 * used / maximum
        refused = sum(group["count"] for group in _about(evidence, "database"))
        at_limit = percent > thresholds["connections_percent"] or cpu > thresholds["database_cpu_percent"]
        seen = f"{status}, CPU {cpu:.0f} %, {used} of {maximum} connections, {refused} jobs failed at it"
        return at_limit or status not in DATABASE_SERVES or refused >= _FEW_FAILURES, seen

    evidence.look(
        "database_limit",
        ("database", "CPU_of_the_database", "connections_in_use", "max_connections"),
        limit,
        expected=(
            f"at most {thresholds['connections_percent']} % of the connections and "
            f"{thresholds['database_cpu_percent']} % of the CPU in use"
        ),
        call="cloudwatch:GetMetricData",
    )
    _connections(evidence)


def _connections(evidence: QueueEvidence) -> None:
    """Not the limit itself, but so near that not one worker more fits (A4.4b, M5)."""
    flow, pool = evidence.flow, evidence.queue["pool_per_worker"]

    def short() -> tuple[bool | None, str]:
        in_use, usable = flow.connections, flow.usable_connections
        if in_use is None or usable is None:
            return None, "nobody knows how many connections are left"
        return in_use + pool > usable, f"{in_use} of {usable} that may be used; a worker opens {pool}"

    evidence.look(
        "connections_short",
        ("connections_in_use", "max_connections"),
        short,
        expected="connections of the database for one more worker",
        call="cloudwatch:GetMetricData",
    )


def _about(evidence: QueueEvidence, *kinds: str) -> list[Json]:
    """The classes that still fail and are of these kinds; none where nobody could look."""
    if "jobs" not in evidence.readings.values:
        return []
    return [group for group in _recent(evidence) if group["about"] in kinds]


def downstream(evidence: QueueEvidence) -> None:
    read, queue, thresholds = evidence.read, evidence.queue, evidence.thresholds
    usual_ms = queue["usual_job_ms"]
    slow_ms = usual_ms * thresholds["slow_factor"]

    def slow() -> tuple[bool | None, str]:
        """By what jobs take, and, before slow ones are done, by how little the workers get done."""
        jobs = read("jobs")
        ages, durations = jobs["active"]["ages_ms"], jobs["durations_ms"]
        took: list[Any] = [*ages, *durations[: jobs["completed_lately"]]]
        middle = median(took) if len(took) >= _FEW_DURATIONS else None
        part = _pace_at_work(jobs)
        takes = "few jobs lately" if middle is None else f"a job takes {middle:.0f} ms, usually {usual_ms}"
        seen = f"{takes}, {'nothing waits' if part is None else f'{part:.0%} of the usual are done'}"
        return (middle is not None and middle > slow_ms) or (part is not None and part < SLOW_PACE), seen

    def _pace_at_work(jobs: Json) -> float | None:
        """The pace where jobs wait at both looks, workers have some in hand, and no switch keeps them."""
        states = (jobs["first"], jobs["second"])
        free = all(
            state["counts"]["active"] > jobs["active"]["unlocked"]
            and not state["paused"]
            and state["concurrency"] is None
            and state["rate_max"] is None
            for state in states
        )
        if not free:
            return None
        # The shorter of the two backlogs: it must have lasted from the one look to the other.
        flow = replace(evidence.flow, depth=min(waiting_jobs(state) for state in states))
        return pace(flow, jobs_per_worker=queue["jobs_per_worker"], usual_job_ms=usual_ms)

    evidence.of_kind(
        BULLMQ, "downstream_slow", ("jobs",), slow, expected=f"jobs that take less than {slow_ms} ms", call=_CALL
    )

    def dependency() -> tuple[bool, str]:
        groups = _about(evidence, "dependency", "limit", "credentials")
        count = sum(group["count"] for group in groups)
        seen = ", ".join(f"{group['count']} times {described(group)}" for group in groups[:3])
        everything = [] if evidence.flow.completions else _recent(evidence)
        count += sum(group["count"] for group in everything if group not in groups and group["about"] != "database")
        return count > _FEW_FAILURES, seen or "none"

    evidence.of_kind(
        BULLMQ,
        "dependency_failing",
        ("jobs",),
        dependency,
        expected="what the jobs call answers",
        call="ZRANGE failed, by class",
    )
    elsewhere = queue["downstream_runbook"]

    def of_another_runbook() -> tuple[bool | None, str]:
        """Whether what the jobs call has a runbook of its own, and is in trouble."""
        if not elsewhere:
            return False, "what the jobs call has no runbook of its own"
        statuses = [evidence.status(name) for name in ("dependency_failing", "downstream_slow")]
        if read("circuit")["on"]:
            return True, f"flag {queue['circuit_flag']} is on: run {elsewhere}"
        found = None if "unknown" in statuses and "finding" not in statuses else "finding" in statuses
        return found, f"run {elsewhere}" if found else "nothing that it would answer"

    evidence.look(
        "claims_api_failing",
        ("circuit",),
        of_another_runbook,
        expected="a claims API that answers",
        call="ZRANGE failed, by class; LaunchDarkly:GetFeatureFlags",
    )

    def sent_by_another() -> tuple[bool, str]:
        return bool(elsewhere), f"{elsewhere} decides" if elsewhere else "this runbook may send again"

    evidence.look(
        "redrive_elsewhere", (), sent_by_another, expected="jobs that may simply be repeated", call="inventory"
    )


def dead_letters(evidence: QueueEvidence) -> None:
    read = evidence.read

    def waiting() -> tuple[bool, str]:
        found = read("dead_letters")
        evidence.subjects["dead_letters_count"] = found["visible"]
        return found["visible"] > 0, f"{found['visible']} messages"

    evidence.of_kind(
        SQS,
        "dead_letters_waiting",
        ("dead_letters",),
        waiting,
        expected="an empty dead-letter queue",
        call="sqs:GetQueueAttributes",
    )

    def moving() -> tuple[bool, str]:
        running = [move for move in read("moves") if move["status"] in ("RUNNING", "CANCELLING")]
        return bool(running), f"{plural(len(running), 'task')} moving messages"

    evidence.of_kind(
        SQS,
        "move_running",
        ("moves",),
        moving,
        expected="no move of messages under way",
        call="sqs:ListMessageMoveTasks",
    )
