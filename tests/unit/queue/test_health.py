"""One look at a live queue: what it sees of both key layouts, what it does not, and that nothing of a job gets out."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _queue_program
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_program import runtime

from tests.unit.changes.world import Json
from tests.unit.queue.conftest import PLANTED, QueueRunner, QueueWorld, Valkey, add, work

EXPORTS = {"component": "exports", "kind": "sqs", "dead_letters": "exports-dead-letters", "worker_expected": 2}


def look(run: QueueRunner, **more: Any) -> Json:
    result = run.read("queue_health", **more)
    assert not result.get("failed"), result["msg"]
    return result


def with_status(result: Json, status: str) -> set[str]:
    return {item["name"] for item in result["observations"] if item["status"] == status}


def test_depth_age_and_failures_of_both_layouts(redis: Valkey, run: QueueRunner, version: int) -> None:
    bad = {"bad": ("TemplateError", PLANTED), "sms": ("GatewayError", f"the gateway answered 503 to {{{PLANTED}}}")}
    redis.jobs(version, add(20, "bad", data={"patient": PLANTED}), add(4, "sms"), add(3), work(**bad), add(6))
    result = look(run)
    facts = result["facts"]
    assert facts["version"].startswith(f"bullmq:{version}.")
    assert (facts["flow"]["depth"], facts["counts"]["failed"], facts["counts"]["completed"]) == (6, 24, 3)
    assert facts["oldest_s"] < 60
    told = [(item["job"], item["class"], item["code"], item["about"], item["count"]) for item in facts["failures"]]
    assert told == [("bad", "TemplateError", None, "code", 20), ("sms", "GatewayError", "503", "dependency", 4)]
    # No worker is connected: nothing is done, so nobody can say that the job is to blame.
    assert {"workers_missing", "workers_disconnected", "dependency_failing"} <= with_status(result, "finding")


@pytest.mark.parametrize(
    ("kind", "message", "told"),
    [
        ("error", "sorry, too many clients already", ("DatabaseError", None, "database")),
        ("AxiosError", "Request failed with status code 422", ("AxiosError", "422", "validation")),
        ("Error", "connect ECONNREFUSED 10.0.0.1:443", ("Error", "ECONNREFUSED", "dependency")),
        ("Error", "The operation timed out", ("Error", None, "dependency")),
        ("GatewayError", 'the gateway refused {"status": 422}', ("GatewayError", None, "dependency")),
        ("ClaimNotSent", "connect", ("Error", None, "dependency")),
        ("Error", "certificate has expired", ("Error", None, "credentials")),
        ("HttpError", "HTTP 401", ("HttpError", "401", "credentials")),
        ("HttpError", "HTTP 429", ("HttpError", "429", "limit")),
        # What stands behind a brace is data, and so is a first word that is no class.
        ("Otieno", 'refused {"code": 503}', ("Error", None, "code")),
    ],
)
def test_classes_of_failures(kind: str, message: str, told: tuple[Any, ...], redis: Valkey, run: QueueRunner) -> None:
    redis.jobs(5, add(1, "bad"), work(bad=(kind, message)))
    (group,) = look(run)["facts"]["failures"]
    assert (group["class"], group["code"], group["about"]) == told


def test_a_paused_backlog_is_seen_in_both_layouts(redis: Valkey, run: QueueRunner, version: int) -> None:
    """In layout 5 the list of waiting jobs is empty then."""
    redis.jobs(version, add(60), {"do": "pause"}, {"do": "concurrency", "value": 1})
    result = look(run)
    assert {"queue_paused", "queue_throttled", "backlog_deep"} <= with_status(result, "finding")
    assert result["facts"]["flow"]["depth"] == 60
    assert result["subjects"]["concurrency"] == 1
    assert "lists_mixed" in with_status(result, "ok")


def test_a_pause_by_raw_keys_is_seen(redis: Valkey, run: QueueRunner) -> None:
    redis.jobs(5, add(5), {"do": "raw_pause"})
    assert "lists_mixed" in with_status(look(run), "finding")


# What could not be read -> observations that rest on it, among others.
LOST = {
    "DescribeReplicationGroups": {"redis_in_transition", "queue_paused", "jobs_waiting_too_long", "jobs_stalled"},
    "DescribeEvents": {"redis_failed_over"},
    "GetMetricData": {"redis_cpu_high", "database_limit"},
    "DescribeDBParameters": {"database_limit"},
    "DescribeServices": {"workers_scaled_down", "pause_intended"},
    "ListTasks": {"workers_missing"},
}


@pytest.mark.parametrize("operation", sorted(LOST))
def test_what_could_not_be_read_is_unknown_never_ok(
    operation: str, redis: Valkey, run: QueueRunner, queues: QueueWorld
) -> None:
    redis.jobs(5, add(1))
    queues.broken.add(operation)
    result = look(run)
    assert LOST[operation] <= with_status(result, "unknown")
    assert result["healthy"] is not True


def test_a_queue_that_cannot_be_reached_is_unknown(run: QueueRunner, queues: QueueWorld, redis: Valkey) -> None:
    queues.port = 1
    result = look(run)
    seen = next(item["seen"] for item in result["observations"] if item["name"] == "queue_paused")
    assert "refused" in seen
    assert with_status(result, "finding") == {"redis_unreachable"}
    assert result["healthy"] is False
    assert redis.all_jobs() == 0


def test_a_flag_that_nobody_can_read_leaves_the_pause_unexplained(redis: Valkey, run: QueueRunner) -> None:
    redis.jobs(5, add(1), {"do": "pause"})
    run.queue |= {"circuit_flag": "queue-only"}
    assert {"pause_intended", "claims_api_failing"} <= with_status(look(run), "unknown")


def test_messages_and_dead_letters(run: QueueRunner, queues: QueueWorld, redis: Valkey) -> None:
    run.queue |= EXPORTS
    queues.metrics["ApproximateAgeOfOldestMessage"] = 61.0
    result = look(run)
    assert {"jobs_waiting_too_long", "dead_letters_waiting"} <= with_status(result, "finding")
    assert result["subjects"]["dead_letters_count"] == 40
    assert result["facts"]["messages"] == {"visible": 3, "in_flight": 0, "delayed": 0}
    assert redis.all_jobs() == 0


def test_events_of_a_failover_are_told_by_their_words(redis: Valkey, run: QueueRunner, queues: QueueWorld) -> None:
    redis.jobs(5, add(1))
    queues.events = [{"Message": "Failover from master node a to replica node b completed", "Date": datetime.now(UTC)}]
    assert "redis_failed_over" in with_status(look(run), "finding")
    queues.events = [{"Message": "Replication group created", "Date": datetime.now(UTC)}]
    assert "redis_failed_over" in with_status(look(run), "ok")


def test_nothing_of_a_job_gets_out(redis: Valkey, run: QueueRunner, version: int, tmp_path: Path) -> None:
    redis.jobs(
        version,
        add(3, "bad", data={"patient": PLANTED}, opts={"jobId": "claim-Otieno"}),
        add(3, "Otieno 0712345678"),
        work(bad=("OtienoError", PLANTED)),
    )
    told = json.dumps([look(run), *map(str, tmp_path.rglob("*"))])
    assert "0712345678" not in told
    assert "claim-Otieno" not in told


def test_the_password_is_on_no_command_line(
    redis: Valkey, run: QueueRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the program in a process of its own, as it is in earnest."""
    monkeypatch.undo()
    monkeypatch.setattr(_queue_program, "runtime", lambda: str(spy))
    spy, heard = tmp_path / "node", tmp_path / "heard"
    spy.write_text(f'#!/bin/sh\necho "$@" > {heard}\nenv >> {heard}\nexec {runtime()} "$@"\n')
    spy.chmod(spy.stat().st_mode | stat.S_IXUSR)
    redis.client.config_set("requirepass", "s3cret-word")
    redis.client.execute_command("AUTH", "s3cret-word")
    try:
        place = {"host": "127.0.0.1", "port": redis.port, "user": "default", "password": "s3cret-word", "tls": False}
        request = _queue_program._request(run.queue, place, "counters", {})
        answer = _queue_program.run_program(request, 20.0)
    finally:
        redis.client.config_set("requirepass", "")
    assert answer is not None
    assert answer["ok"] is True
    assert "s3cret-word" not in heard.read_text()
    assert os.sep in heard.read_text()


def test_a_program_that_does_not_end_is_no_answer(
    run: QueueRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    sleeper = tmp_path / "node"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o700)
    monkeypatch.setattr(_queue_program, "runtime", lambda: str(sleeper))
    assert _queue_program.run_program(_queue_program._request(run.queue, {}, "counters", {}), 0.1) is None
