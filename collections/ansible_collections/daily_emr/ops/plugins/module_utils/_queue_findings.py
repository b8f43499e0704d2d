# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the readings of a queue mean. May change without notice.

"""From readings to observations: pure, so that every rule can be tried without a system.

An observation is a finding, ok, or, when one of the readings it rests on is missing or does not tell, unknown.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import DATABASE_SERVES
from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import plain_all
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_estimate import (
    SAME_RATE,
    drain_time,
    fitting_workers,
    needed_workers,
    rate,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_evidence import QueueEvidence, waiting_jobs
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_options import BULLMQ, SQS
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings, plural

# Fewer than these are chance.
_FEW_FAILURES = 3
_FEW_DURATIONS = 3
# What other systems do to a job; a repetition may succeed. The rest is in the job or in our code.
_PASSING = ("dependency", "limit", "credentials", "database")
_GROUP_STATES = ("available", "snapshotting")
_CALL = "bullmq: two looks"


def observe(readings: Readings, queue: Json, thresholds: Json, at: str, *, time_factor: float = 1.0) -> QueueEvidence:
    """Every observation of one look."""
    evidence = QueueEvidence(readings, queue, thresholds, at, time_factor=time_factor)
    for part in (_server, _switches, _workers, _backlog, _failures, _database, _downstream, _dead_letters):
        part(evidence)
    evidence.subjects = plain_all(evidence.subjects)
    return evidence


def judged(evidence: QueueEvidence) -> list[Json]:
    return [item for item in evidence.observations if item["symptom"]]


def facts(evidence: QueueEvidence) -> Json:
    """What is worth keeping beside the observations: numbers and classes alone."""
    values, flow = evidence.readings.values, evidence.flow
    jobs = values.get("jobs") or {}
    return {
        "flow": {
            "depth": flow.depth,
            "arrivals": flow.arrivals,
            "completions": flow.completions,
            "workers": flow.workers,
            "connections": flow.connections,
            "usable_connections": flow.usable_connections,
        },
        "drain": drain_time(flow.drain_s),
        "version": (jobs.get("second") or {}).get("version"),
        "counts": (jobs.get("second") or {}).get("counts"),
        "messages": {name: (values.get("messages") or {}).get(name) for name in ("visible", "in_flight", "delayed")}
        if evidence.sqs
        else None,
        "oldest_s": oldest_s(evidence),
        "failures": [_group(item) for item in jobs.get("failures", [])[:10]],
        "server": (jobs.get("second") or {}).get("server"),
        "group_metrics": values.get("group_metrics"),
    }


def _group(item: Json) -> Json:
    return {name: item[name] for name in ("job", "class", "code", "about", "signature", "count")}


def oldest_s(evidence: QueueEvidence) -> float | None:
    values = evidence.readings.values
    if evidence.sqs:
        age: float | None = (values.get("message_metrics") or {}).get("oldest_s")
        return age
    waited = (values.get("jobs") or {}).get("oldest_ms")
    return None if waited is None else round(waited / 1000, 1)


# -- the server -------------------------------------------------------------------------------------------------------


def _server(evidence: QueueEvidence) -> None:
    read, thresholds = evidence.read, evidence.thresholds

    def in_transition() -> tuple[bool, str]:
        group = read("group")
        return group["status"] not in _GROUP_STATES, f"{group['status']}, primary {_primary(group)}"

    evidence.of_kind(
        BULLMQ,
        "redis_in_transition",
        ("group",),
        in_transition,
        expected="a replication group that is available",
        call="elasticache:DescribeReplicationGroups",
    )

    def failed_over() -> tuple[bool, str]:
        events = read("group_events")
        late = [
            at
            for at in events["failovers"]
            if evidence.lately(at, events["read_at"], thresholds["failover_recent_minutes"])
        ]
        return bool(late), f"failover at {late[-1]}" if late else "no failover lately"

    evidence.of_kind(
        BULLMQ,
        "redis_failed_over",
        ("group_events",),
        failed_over,
        expected="no failover lately",
        call="elasticache:DescribeEvents",
    )

    def memory() -> tuple[bool, str]:
        first, second = read("jobs")["first"]["server"], read("jobs")["second"]["server"]
        refused = second["memory_errors"] - first["memory_errors"]
        used = 100 * second["used_bytes"] / second["limit_bytes"] if second["limit_bytes"] else None
        share = "no limit" if used is None else f"{used:.0f} % of its memory in use"
        full = used is not None and used >= thresholds["memory_percent"]
        return refused > 0 or full, f"{share}, {refused} writes refused for it, policy {second['policy']}"

    evidence.of_kind(
        BULLMQ,
        "redis_memory_full",
        ("jobs",),
        memory,
        expected=f"less than {thresholds['memory_percent']} % of the memory in use, and no write refused",
        call="INFO memory, errorstats",
    )

    def evicts() -> tuple[bool, str]:
        policy = read("jobs")["second"]["server"]["policy"]
        return policy != "noeviction", f"maxmemory-policy {policy}"

    evidence.of_kind(
        BULLMQ, "redis_may_evict", ("jobs",), evicts, expected="maxmemory-policy noeviction", call="INFO memory"
    )

    def busy() -> tuple[bool | None, str]:
        percent = read("group_metrics")["engine_cpu_percent"]
        if percent is None:
            return None, "EngineCPUUtilization has no value"
        return percent > thresholds["engine_cpu_percent"], f"EngineCPUUtilization {percent:.0f} %"

    evidence.of_kind(
        BULLMQ,
        "redis_cpu_high",
        ("group_metrics",),
        busy,
        expected=f"at most {thresholds['engine_cpu_percent']} % of the engine's CPU",
        call="cloudwatch:GetMetricData",
    )


def _primary(group: Json) -> str:
    return next((name for name, role in group["roles"].items() if role == "primary"), "unknown")


# -- what somebody switched -------------------------------------------------------------------------------------------


def _switches(evidence: QueueEvidence) -> None:
    read, queue = evidence.read, evidence.queue

    def mixed() -> tuple[bool, str]:
        """In layout 5 a pause moves all jobs to another list; both filled, somebody has written the keys."""
        state = read("jobs")["second"]
        counts = state["counts"]
        seen = f"{counts['wait']} jobs in wait and {counts['paused']} in paused, layout {state['layout'] or 'unknown'}"
        by_hand = state["layout"] == 5 and state["paused"] and counts["wait"] > 0  # noqa: PLR2004  # of BullMQ
        return bool(by_hand or (state["layout"] == 5 and counts["wait"] and counts["paused"])), seen  # noqa: PLR2004

    evidence.of_kind(
        BULLMQ, "lists_mixed", ("jobs",), mixed, expected="jobs where this version of BullMQ keeps them", call=_CALL
    )

    def unknown_layout() -> tuple[bool, str]:
        state = read("jobs")["second"]
        return state["layout"] is None, f"version {state['version'] or 'none'}"

    evidence.of_kind(
        BULLMQ, "layout_unknown", ("jobs",), unknown_layout, expected="BullMQ 5 or 6", call="HGET meta version"
    )

    def paused() -> tuple[bool, str]:
        state = read("jobs")["second"]
        return state["paused"], f"{'paused' if state['paused'] else 'running'}, {waiting_jobs(state)} jobs wait"

    evidence.of_kind(BULLMQ, "queue_paused", ("jobs",), paused, expected="a queue that is not paused", call=_CALL)

    def intended() -> tuple[bool, str]:
        tags, circuit = read("service")["tags"], read("circuit")["on"]
        why = [f"tag maintenance of {queue['worker_service']}"] if tags.get("maintenance") else []
        why += [f"flag {queue['circuit_flag']} is on"] if circuit else []
        return bool(why), " and ".join(why) or "nobody says that it is meant to stand"

    evidence.look(
        "pause_intended",
        ("service", "circuit"),
        intended,
        expected="nobody who keeps the queue from working on purpose",
        call="ecs:DescribeServices, LaunchDarkly:GetFeatureFlags",
    )

    def throttled() -> tuple[bool, str]:
        state = read("jobs")["second"]
        tighter = [
            f"{words} {found} instead of {usual or 'none'}"
            for words, found, usual in (
                ("concurrency", state["concurrency"], queue["usual_concurrency"]),
                ("rate", _per_second(state), queue["usual_rate"]),
            )
            if found is not None and (not usual or found < usual)
        ]
        return bool(tighter), ", ".join(tighter) or "no limit tighter than usual"

    evidence.of_kind(
        BULLMQ, "queue_throttled", ("jobs",), throttled, expected="the usual limits of the queue", call=_CALL
    )
    state = (evidence.readings.values.get("jobs") or {}).get("second") or {}
    evidence.subjects["concurrency"] = state.get("concurrency")
    evidence.subjects["rate"] = _per_second(state) if state else None


def _per_second(state: Json) -> float | None:
    """The rate limit that stands on the queue, in jobs a second."""
    if not state["rate_max"] or not state["rate_ms"]:
        return None
    return float(state["rate_max"] * 1000 / state["rate_ms"])


# -- workers ----------------------------------------------------------------------------------------------------------


def _workers(evidence: QueueEvidence) -> None:
    read, queue = evidence.read, evidence.queue
    expected = queue["worker_expected"]

    def missing() -> tuple[bool | None, str]:
        running = len(read("tasks"))
        connected = running if evidence.sqs else read("jobs")["workers"]
        if connected is None:
            return (True if running < expected else None), f"{running} tasks run, the server does not list its clients"
        return min(running, connected) < expected, f"{running} tasks run, {connected} are connected"

    needs = ("tasks",) if evidence.sqs else ("tasks", "jobs")
    evidence.look(
        "workers_missing",
        needs,
        missing,
        expected=f"at least {plural(expected, 'worker')} at the queue",
        call="ecs:ListTasks, CLIENT LIST",
    )

    def scaled_down() -> tuple[bool, str]:
        desired = read("service")["desired"]
        return desired < expected, f"{desired} are asked for"

    evidence.look(
        "workers_scaled_down",
        ("service",),
        scaled_down,
        expected=f"at least {plural(expected, 'worker')} asked for",
        call="ecs:DescribeServices",
    )

    def ending() -> tuple[bool, str]:
        """Asked for, and they do not stay."""
        service, running = read("service"), len(read("tasks"))
        ended = [task for task in read("stopped") if "exit" in task["reason"] or any(task["exit_codes"])]
        short = running < min(expected, service["desired"])
        return short and bool(ended), f"{running} of {service['desired']} run, {plural(len(ended), 'task')} ended"

    evidence.look(
        "workers_ending",
        ("service", "tasks", "stopped"),
        ending,
        expected="workers that stay",
        call="ecs:DescribeTasks",
    )

    def disconnected() -> tuple[bool | None, str]:
        running, connected = len(read("tasks")), read("jobs")["workers"]
        if connected is None:
            return None, "the server does not list its clients"
        return running >= expected and connected < running, f"{connected} of {plural(running, 'worker')} connected"

    evidence.of_kind(
        BULLMQ,
        "workers_disconnected",
        ("tasks", "jobs"),
        disconnected,
        expected="every worker that runs is connected to the primary",
        call="CLIENT LIST",
    )

    def idle() -> tuple[bool | None, str]:
        """Connected, with work before them, and they take none."""
        jobs, flow = read("jobs"), evidence.flow
        state = jobs["second"]
        waits, active = waiting_jobs(state), state["counts"]["active"]
        seen = f"{waits} jobs wait, {active} are worked at, {rate(flow.completions)} are done"
        free = not state["paused"] and state["concurrency"] is None and state["rate_max"] is None
        still = waits > 0 and waiting_jobs(jobs["first"]) > 0 and not active and not flow.completions
        return bool(free and still and jobs["workers"]), seen

    evidence.of_kind(BULLMQ, "workers_idle", ("jobs",), idle, expected="workers that take what waits", call=_CALL)

    def stalled() -> tuple[bool, str]:
        active = read("jobs")["active"]
        return active["unlocked"] > 0, f"{active['unlocked']} of {active['sampled']} active jobs without their lock"

    evidence.of_kind(
        BULLMQ, "jobs_stalled", ("jobs",), stalled, expected="active jobs whose workers hold their locks", call=_CALL
    )


# -- the backlog ------------------------------------------------------------------------------------------------------


def _backlog(evidence: QueueEvidence) -> None:
    queue, thresholds, flow = evidence.queue, evidence.thresholds, evidence.flow
    needs = ("messages", "message_metrics") if evidence.sqs else ("jobs",)
    limit_s = evidence.aws_seconds(queue["oldest_s"])
    call = "sqs:GetQueueAttributes, cloudwatch:GetMetricData" if evidence.sqs else _CALL

    def waiting() -> tuple[bool | None, str]:
        age = oldest_s(evidence)
        if age is None:
            return (None, "no age of the oldest message") if evidence.sqs and flow.depth else (False, "none waits")
        return age > limit_s, f"the oldest waits for {age:.0f} s"

    evidence.look(
        "jobs_waiting_too_long", needs, waiting, expected=f"no job older than {limit_s:.0f} s waits", call=call
    )

    within_s = evidence.aws_seconds(thresholds["drain_minutes"] * 60)

    def seen() -> str:
        return (
            f"{flow.depth} wait, {rate(flow.arrivals)} arrive, {rate(flow.completions)} are done: drained in "
            f"{drain_time(flow.drain_s)}"
        )

    def deep() -> tuple[bool | None, str]:
        if flow.depth is not None and flow.depth < thresholds["deep_jobs"]:
            return False, seen()
        return (None if flow.drain_s is None else flow.drain_s > within_s), seen()

    evidence.look(
        "backlog_deep",
        needs,
        deep,
        expected=f"fewer than {thresholds['deep_jobs']} jobs, or no more than drain in {within_s:.0f} s",
        call=call,
    )

    def drains() -> tuple[bool | None, str]:
        drain = flow.drain_s
        return (None if drain is None else bool(flow.completions) and drain <= within_s), seen()

    evidence.look("drains_in_time", needs, drains, expected="nothing that has to drain", call=call)
    evidence.subjects["needed_workers"] = needed_workers(flow, within_s)
    in_use, usable = flow.connections, flow.usable_connections
    if in_use is not None and usable is not None and "tasks" in evidence.readings.values:
        running, pool = len(evidence.read("tasks")), queue["pool_per_worker"]
        fitting = fitting_workers(running=running, usable=usable, in_use=in_use, pool=pool)
        evidence.subjects["fitting_workers"] = min(fitting, queue["worker_maximum"])

    def burst() -> tuple[bool | None, str]:
        if flow.arrivals is None or flow.completions is None:
            return None, seen()
        return flow.arrivals * 100 > (100 + thresholds["burst_percent"]) * (flow.completions + SAME_RATE), seen()

    evidence.look("arrivals_exceed", needs, burst, expected="no more jobs arrive than are done", call=call)


# -- failures ---------------------------------------------------------------------------------------------------------


def _failures(evidence: QueueEvidence) -> None:
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
        worst = own[0] if own and evidence.flow.completions else None
        evidence.subjects["poison"] = worst and worst["signature"]
        evidence.subjects["poison_count"] = worst and worst["count"]
        evidence.subjects["failed_before_ms"] = read("jobs")["second"]["at_ms"]
        if worst is None:
            return False, f"{plural(len(groups), 'class')[:-1] if len(groups) == 1 else str(len(groups)) + ' classes'}"
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


def _database(evidence: QueueEvidence) -> None:
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


def _about(evidence: QueueEvidence, *kinds: str) -> list[Json]:
    """The classes that still fail and are of these kinds; none where nobody could look."""
    if "jobs" not in evidence.readings.values:
        return []
    return [group for group in _recent(evidence) if group["about"] in kinds]


def _downstream(evidence: QueueEvidence) -> None:
    read, queue, thresholds = evidence.read, evidence.queue, evidence.thresholds
    usual_ms = queue["usual_job_ms"]
    slow_ms = usual_ms * thresholds["slow_factor"]

    def slow() -> tuple[bool | None, str]:
        jobs = read("jobs")
        ages, durations = jobs["active"]["ages_ms"], jobs["durations_ms"]
        took: list[Any] = [*ages, *durations[: jobs["completed_lately"]]]
        if len(took) < _FEW_DURATIONS:
            return False, f"{plural(len(took), 'job')} lately"
        middle = median(took)
        return middle > slow_ms, f"a job takes {middle:.0f} ms, usually {usual_ms}"

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


def _dead_letters(evidence: QueueEvidence) -> None:
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
