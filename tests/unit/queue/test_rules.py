"""Each rule at its edge: beside a finding the near miss that is none, and what cannot be told."""

from __future__ import annotations

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import healthy as state_of
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_evidence import SYMPTOMS, QueueEvidence
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_findings import facts, judged, observe

from tests.unit.queue.readings import (
    CLAIMS,
    EXPORTS,
    MIB,
    NOW,
    NOW_MS,
    QUEUE,
    THRESHOLDS,
    Json,
    Spoil,
    both,
    failing,
    failure,
    healthy,
    healthy_messages,
    jobs,
    lost,
    setting,
    together,
    waiting,
)


def look(*spoils: Spoil, queue: Json = QUEUE, time_factor: float = 1.0) -> QueueEvidence:
    readings = healthy_messages() if queue["kind"] == "sqs" else healthy()
    for spoil in spoils:
        spoil(readings)
    return observe(readings, queue, THRESHOLDS, NOW, time_factor=time_factor)


def found(evidence: QueueEvidence) -> set[str]:
    return {item["name"] for item in evidence.observations if item["status"] == "finding"}


NAMES = sorted(item["name"] for item in look().observations)
# What is said of every queue that has a runbook behind it, and is no trouble.
STANDING = {"redrive_elsewhere", "drains_in_time"}


@pytest.mark.parametrize("queue", [QUEUE, CLAIMS, EXPORTS], ids=lambda queue: queue["component"])
def test_a_healthy_queue_has_no_finding_and_no_unknown(queue: Json) -> None:
    evidence = look(queue=queue)
    assert found(evidence) <= STANDING
    assert {item["status"] for item in evidence.observations if item["name"] not in STANDING} == {"ok"}
    assert sorted(item["name"] for item in evidence.observations) == NAMES
    assert len(NAMES) == len(set(NAMES))
    assert state_of(judged(evidence)) is True
    assert set(SYMPTOMS) <= set(NAMES)


def working(*ages_ms: int) -> Json:
    """Jobs that are worked at, for so long."""
    return {"sampled": len(ages_ms), "unlocked": 0, "ages_ms": list(ages_ms)}


PASSED = failure(20, "dependency", minutes_ago=6)
FAILS = failure(20, "dependency", minutes_ago=4)
# Observation -> readings that make it a finding, that just do not, and that leave it unknown.
TABLE: dict[str, tuple[list[Spoil], list[Spoil], list[Spoil]]] = {
    "redis_in_transition": (
        [setting("group", {"status": "modifying"})],
        [setting("group", {"status": "snapshotting"})],
        [lost("group")],
    ),
    "redis_unreachable": (
        [setting("reached", {"word": "refused"}), setting("reached", {"word": "loading"})],
        [],
        [setting("reached", {"word": "auth"}), lost("reached")],
    ),
    "redis_failed_over": (
        [setting("group_events", {"failovers": ["2026-11-22T01:01:00Z"]})],
        [setting("group_events", {"failovers": ["2026-11-22T00:59:00Z"]})],
        [lost("group_events")],
    ),
    "redis_memory_full": (
        [jobs(second={"server": {"memory_errors": 1}}), both(server={"used_bytes": 61 * MIB})],
        [both(server={"memory_errors": 5}), both(server={"used_bytes": 60 * MIB}), both(server={"limit_bytes": 0})],
        [lost("jobs")],
    ),
    "redis_may_evict": ([both(server={"policy": "allkeys-lru"})], [], [lost("jobs")]),
    "redis_cpu_high": (
        [setting("group_metrics", {"engine_cpu_percent": 91.0})],
        [setting("group_metrics", {"engine_cpu_percent": 90.0})],
        [setting("group_metrics", {"engine_cpu_percent": None}), lost("group_metrics")],
    ),
    "layout_unknown": ([both(layout=None, version=None)], [both(layout=6)], [lost("jobs")]),
    "lists_mixed": (
        [
            both(paused=True, counts={"wait": 1, "paused": 0}),
            both(counts={"wait": 1, "paused": 1}),
            both(counts={"wait": 0, "paused": 1}),
        ],
        [
            both(paused=True, counts={"wait": 0, "paused": 9}),
            both(layout=6, paused=True, counts={"wait": 9, "paused": 9}),
        ],
        [lost("jobs")],
    ),
    "queue_paused": (
        [both(paused=True, layout=6), both(layout=6, counts={"paused": 1})],
        # Nothing that a resume would mend.
        [both(counts={"paused": 9, "wait": 0})],
        [lost("jobs")],
    ),
    "pause_intended": (
        [setting("service", {"tags": {"maintenance": "INC-9"}}), setting("circuit", {"on": True})],
        [setting("service", {"tags": {"owner": "someone"}})],
        [lost("service"), lost("circuit")],
    ),
    "queue_throttled": (
        [both(concurrency=1), both(rate_max=1, rate_ms=2000)],
        [both(rate_max=None, rate_ms=1000)],
        [lost("jobs")],
    ),
    "workers_missing": (
        [setting("tasks", [{"id": "0"}]), jobs(workers=1), together(setting("tasks", []), jobs(workers=None))],
        [jobs(workers=2)],
        [jobs(workers=None), lost("tasks"), lost("jobs")],
    ),
    "workers_scaled_down": (
        [setting("service", {"desired": 1})],
        [setting("service", {"desired": 3})],
        [lost("service")],
    ),
    "workers_ending": (
        [together(setting("tasks", []), setting("stopped", [{"reason": "exited", "exit_codes": [1]}]))],
        [
            setting("tasks", []),
            setting("stopped", [{"reason": "exited", "exit_codes": [1]}]),
            together(
                setting("tasks", []),
                setting("service", {"desired": 0}),
                setting("stopped", [{"reason": "exited", "exit_codes": [1]}]),
            ),
        ],
        [lost("service"), lost("stopped")],
    ),
    "workers_disconnected": (
        [jobs(workers=0), jobs(workers=1)],
        [setting("tasks", [])],
        [jobs(workers=None), lost("jobs")],
    ),
    "workers_idle": (
        [
            together(waiting(9, arrivals=1, completions=0), both(counts={"wait": 9, "active": 0})),
            together(
                waiting(9, arrivals=1, completions=0),
                both(counts={"wait": 9, "active": 2}),
                jobs(active={"sampled": 2, "unlocked": 2, "ages_ms": []}),
            ),
        ],
        [
            together(waiting(9, arrivals=1, completions=0), both(counts={"wait": 9, "active": 1})),
            together(waiting(9, arrivals=1, completions=0.1), both(counts={"wait": 9, "active": 0})),
            together(waiting(9, arrivals=1, completions=0), both(counts={"wait": 9, "active": 0}), both(concurrency=1)),
            together(waiting(9, arrivals=1, completions=0), both(counts={"wait": 9, "active": 0}), jobs(workers=0)),
        ],
        [lost("jobs")],
    ),
    "jobs_stalled": (
        [jobs(active={"sampled": 4, "unlocked": 1, "ages_ms": []}), jobs(stalled_lately=2)],
        [jobs(active={"sampled": 4, "unlocked": 0, "ages_ms": []}), jobs(stalled_lately=1)],
        [lost("jobs")],
    ),
    "jobs_waiting_too_long": ([jobs(oldest_ms=61_000)], [jobs(oldest_ms=60_000), jobs(oldest_ms=None)], [lost("jobs")]),
    "backlog_deep": (
        [waiting(50, arrivals=2, completions=2), waiting(1801, arrivals=2, completions=3)],
        [waiting(49, arrivals=2, completions=2), waiting(1800, arrivals=2, completions=3)],
        [lost("jobs")],
    ),
    "drains_in_time": (
        [waiting(1800, arrivals=2, completions=3)],
        [waiting(1801, arrivals=2, completions=3), waiting(9, arrivals=2, completions=2)],
        [lost("jobs")],
    ),
    "arrivals_exceed": (
        [waiting(9, arrivals=2.3, completions=2)],
        [waiting(9, arrivals=2.2, completions=2)],
        [lost("jobs")],
    ),
    "jobs_failing": (
        [failing(lately=4), together(waiting(9, arrivals=9, completions=9), failing(lately=6))],
        [failing(lately=3), together(waiting(9, arrivals=9, completions=9), failing(lately=5))],
        [lost("jobs")],
    ),
    "one_class_fails": (
        [failing(failure(20)), failing(failure(20, "validation", code="422"))],
        [
            failing(failure(19)),
            failing(failure(20, minutes_ago=6)),
            failing(FAILS),
            # Where nothing is done at all, it is not the job.
            together(waiting(9, arrivals=1, completions=0), failing(failure(20))),
        ],
        [lost("jobs")],
    ),
    "failed_jobs_left": (
        [failing(PASSED), failing(failure(12, "limit", minutes_ago=6), failure(8, "database", minutes_ago=6))],
        [failing(FAILS), failing({**PASSED, "count": 19}), failing(PASSED, failure(1, "limit")), failing(failure(99))],
        [lost("jobs")],
    ),
    "database_limit": (
        [
            setting("connections_in_use", 41),
            setting("CPU_of_the_database", 71.0),
            setting("database", {"status": "rebooting"}),
            failing(failure(3, "database")),
        ],
        [setting("connections_in_use", 40), setting("CPU_of_the_database", 70.0), failing(failure(2, "database"))],
        [lost("database"), lost("CPU_of_the_database"), lost("connections_in_use"), lost("max_connections")],
    ),
    "connections_short": (
        [setting("connections_in_use", 39)],
        [setting("connections_in_use", 38)],
        [lost("connections_in_use"), lost("max_connections")],
    ),
    "downstream_slow": (
        [
            jobs(durations_ms=[1601] * 3),
            jobs(durations_ms=[], active=working(9000, 9000, 9000)),
            waiting(9, arrivals=1, completions=4.9),
        ],
        [
            jobs(durations_ms=[1600] * 3),
            jobs(durations_ms=[9000], active=working()),
            # Half of the ten a second that two workers do; less where nothing waits, or where a limit keeps them.
            waiting(9, arrivals=1, completions=5),
            waiting(7, arrivals=1, completions=4.9),
            together(waiting(9, arrivals=1, completions=4.9), both(rate_max=1, rate_ms=1000)),
            together(waiting(9, arrivals=1, completions=0), both(counts={"wait": 9, "active": 0})),
        ],
        [lost("jobs")],
    ),
    "dependency_failing": (
        [
            failing(failure(4, "dependency")),
            failing(failure(2, "limit"), failure(2, "credentials")),
            together(waiting(9, arrivals=1, completions=0), failing(failure(20))),
        ],
        [failing(failure(3, "dependency")), failing(PASSED), failing(failure(20))],
        [lost("jobs")],
    ),
    "claims_api_failing": ([], [failing(FAILS)], [lost("circuit")]),
    "redrive_elsewhere": ([], [failing(FAILS)], []),
    "dead_letters_waiting": ([], [], []),
    "move_running": ([], [], []),
}


def test_the_table_has_every_observation() -> None:
    assert sorted(TABLE) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_at_its_edge(name: str) -> None:
    findings, near_misses, unknowns = TABLE[name]
    for spoil in findings:
        assert look(spoil).status(name) == "finding", look(spoil).observations
    for spoil in near_misses:
        assert look(spoil).status(name) == "ok", look(spoil).observations
    for spoil in unknowns:
        assert look(spoil).status(name) == "unknown", look(spoil).observations


# Observation -> (readings that make it a finding, readings that just do not), of a queue of claims.
OF_CLAIMS: dict[str, tuple[list[Spoil], list[Spoil]]] = {
    "claims_api_failing": (
        [failing(FAILS), jobs(durations_ms=[9000] * 3), setting("circuit", {"on": True})],
        [failing(PASSED), failing(failure(20))],
    ),
    "redrive_elsewhere": ([failing(PASSED)], []),
    "pause_intended": ([setting("circuit", {"on": True})], []),
}
# The same of a queue of SQS.
OF_EXPORTS: dict[str, tuple[list[Spoil], list[Spoil]]] = {
    "dead_letters_waiting": ([setting("dead_letters", {"visible": 1})], []),
    "move_running": (
        [setting("moves", [{"status": "RUNNING"}]), setting("moves", [{"status": "CANCELLING"}])],
        [setting("moves", [{"status": "COMPLETED"}])],
    ),
    "jobs_waiting_too_long": (
        [setting("message_metrics", {"oldest_s": 61.0})],
        [
            setting("message_metrics", {"oldest_s": 60.0}),
            together(setting("messages", {"visible": 0}), setting("message_metrics", {"oldest_s": None})),
        ],
    ),
    "workers_missing": ([setting("tasks", [])], []),
    "workers_scaled_down": ([setting("service", {"desired": 0})], []),
}


@pytest.mark.parametrize(
    ("queue", "name", "rule"),
    [(CLAIMS, name, rule) for name, rule in OF_CLAIMS.items()] + [(EXPORTS, *item) for item in OF_EXPORTS.items()],
)
def test_a_rule_of_another_queue_at_its_edge(queue: Json, name: str, rule: tuple[list[Spoil], list[Spoil]]) -> None:
    for spoil in rule[0]:
        assert look(spoil, queue=queue).status(name) == "finding"
    for spoil in rule[1]:
        assert look(spoil, queue=queue).status(name) == "ok"


def test_messages_of_unknown_age_are_unknown_not_young() -> None:
    evidence = look(setting("message_metrics", {"oldest_s": None}), queue=EXPORTS)
    assert evidence.status("jobs_waiting_too_long") == "unknown"


def test_what_is_measured_in_minutes_of_aws_is_faster_where_time_is() -> None:
    spoil = jobs(oldest_ms=4000)
    assert look(spoil).status("jobs_waiting_too_long") == "ok"
    assert look(spoil, time_factor=20).status("jobs_waiting_too_long") == "finding"


def test_completions_are_reckoned_where_nobody_counts_them() -> None:
    """What came in and is neither open nor failed was done."""
    evidence = look(
        jobs(
            first={"completed_ever": None, "counts": {"wait": 10, "active": 4, "failed": 0}},
            second={"completed_ever": None, "counts": {"wait": 5, "active": 4, "failed": 3}, "added": 1030},
        )
    )
    # 30 came, 5 fewer are open, 3 of the 35 have failed.
    assert (evidence.flow.arrivals, evidence.flow.completions) == (3.0, 3.2)


def test_the_subjects_are_what_mitigations_act_on() -> None:
    evidence = look(failing(failure(34), failure(4)), waiting(1000, arrivals=9, completions=10))
    assert (evidence.subjects["poison"], evidence.subjects["failed_before_ms"]) == ("s-code", NOW_MS + 10_000)
    # 9 + 1000/1800 a second, at 5 a worker, is two workers; 40 of 50 connections may be used, 14 are.
    assert (evidence.subjects["needed_workers"], evidence.subjects["fitting_workers"]) == (2, 6)
    left = look(failing(PASSED, {**PASSED, "signature": "other", "count": 7}))
    assert left.subjects["redrive"] == {"signatures": ["s-dependency", "other"], "count": 27}


def test_numbers_and_classes_are_all_that_is_kept() -> None:
    told = facts(look(failing(failure(34))))
    assert told["flow"]["depth"] == 2
    assert told["failures"] == [
        {"job": "send", "class": "TemplateError", "code": None, "about": "code", "signature": "s-code", "count": 34}
    ]
