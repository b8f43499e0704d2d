# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the readings of a queue mean. May change without notice.

"""From readings to observations: pure, so that every rule can be tried without a system.

An observation is a finding, ok, or, when one of the readings it rests on is missing or does not tell, unknown.
"""

from __future__ import annotations

from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import plain_all
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_causes import (
    database,
    dead_letters,
    downstream,
    failures,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_estimate import (
    SAME_RATE,
    drain_time,
    fitting_workers,
    needed_workers,
    rate,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_evidence import (
    QueueEvidence,
    held_jobs,
    misplaced_jobs,
    waiting_jobs,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_options import BULLMQ
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings, plural

# One may come of a worker that was replaced.
_FEW_STALLS = 2
# Nobody gets in, or nobody is served.
_OUT = ("refused", "timeout", "closed", "no such host", "loading", "primary down")
_OURS = ("auth", "permission denied", "not installed", "error")
_GROUP_STATES = ("available", "snapshotting")
_CALL = "bullmq: two looks"


def observe(readings: Readings, queue: Json, thresholds: Json, at: str, *, time_factor: float = 1.0) -> QueueEvidence:
    """Every observation of one look."""
    evidence = QueueEvidence(readings, queue, thresholds, at, time_factor=time_factor)
    for part in (_server, _switches, _workers, _backlog, failures, database, downstream, dead_letters):
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

    def unreachable() -> tuple[bool | None, str]:
        """A login that is refused is ours, and says nothing of the server."""
        word = read("reached")["word"]
        return (None if word in _OURS else word in _OUT), word or "it answers"

    evidence.of_kind(
        BULLMQ,
        "redis_unreachable",
        ("reached",),
        unreachable,
        expected="a server that answers at its endpoint",
        call="connect",
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
        """In layout 5 a pause moves all jobs to another list; where it keeps none, somebody has written the keys."""
        state = read("jobs")["second"]
        counts = state["counts"]
        seen = f"{counts['wait']} jobs in wait and {counts['paused']} in paused, layout {state['layout'] or 'unknown'}"
        return misplaced_jobs(state) > 0, seen

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
        held = 0 if misplaced_jobs(state) else held_jobs(state)
        now = "paused" if state["paused"] else "not resumed wholly" if held else "running"
        return now != "running", f"{now}, {waiting_jobs(state)} jobs wait"

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
        # What lost its lock is worked at by nobody.
        waits, active = waiting_jobs(state), state["counts"]["active"] - jobs["active"]["unlocked"]
        seen = f"{waits} jobs wait, {active} are worked at, {rate(flow.completions)} are done"
        free = not state["paused"] and state["concurrency"] is None and state["rate_max"] is None
        still = waits > 0 and waiting_jobs(jobs["first"]) > 0 and active <= 0 and not flow.completions
        return bool(free and still and jobs["workers"]), seen

    evidence.of_kind(BULLMQ, "workers_idle", ("jobs",), idle, expected="workers that take what waits", call=_CALL)

    def stalled() -> tuple[bool, str]:
        jobs = read("jobs")
        unlocked, lately = jobs["active"]["unlocked"], jobs["stalled_lately"]
        seen = f"{unlocked} of {jobs['active']['sampled']} active jobs without their lock, {lately} stalled lately"
        return unlocked > 0 or lately >= _FEW_STALLS, seen

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
