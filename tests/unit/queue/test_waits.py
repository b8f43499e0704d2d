"""What is waited for after a change, and what proves that a queue works."""

from __future__ import annotations

import hmac
import importlib
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _queue_program
from ansible_collections.daily_emr.ops.plugins.modules import queue_verified

from tests.unit.changes.world import Json
from tests.unit.queue.conftest import QueueRunner, QueueWorld, Valkey, add, now_ms, work
from tests.unit.queue.readings import (
    Spoil,
    both,
    failing,
    failure,
    healthy,
    jobs,
    lost,
    setting,
    together,
    waiting,
)
from tests.unit.web_service.conftest import Clock

LOOKS = {"passes": 2, "interval": 10, "timeout": 60}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for name in ("queue_verified", "queue_settled", "queue_redriven"):
        module = importlib.import_module(f"ansible_collections.daily_emr.ops.plugins.modules.{name}")
        monkeypatch.setattr(module, "monotonic", made.monotonic)
        monkeypatch.setattr(module, "sleep", made.sleep)
    return made


def verify(run: QueueRunner, monkeypatch: pytest.MonkeyPatch, *spoils: Spoil, check: bool = False) -> Json:
    """Verify a queue whose looks are these, the last one again and again."""
    left = list(spoils)

    def read_all(*_args: Any) -> Any:
        readings = healthy()
        (left.pop(0) if len(left) > 1 else left[0])(readings)
        return readings

    monkeypatch.setattr(queue_verified, "read_all", read_all)
    result = run.read("queue_verified", check=check, **LOOKS)
    assert not result.get("failed"), result["msg"]
    return result


def well(_readings: Any) -> None:
    """As it should be."""


def test_good_looks_in_a_row_prove_it(run: QueueRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    result = verify(run, monkeypatch, jobs(oldest_ms=61_000), well)
    assert (result["verified"], result["passes"], result["looks"]) == (True, 2, 3)


NOT_GOOD = {
    "jobs_waiting_too_long": jobs(oldest_ms=61_000),
    "backlog_deep": waiting(500, arrivals=2, completions=2),
    "jobs_failing": failing(failure(5), lately=9),
    "jobs_stalled": jobs(stalled_lately=3),
    "queue_paused": both(paused=True, layout=6),
    "workers_missing": jobs(workers=1),
    "no_completions": waiting(3, arrivals=0, completions=0),
    # Good for the queue, and paid for by the database.
    "database_limit": setting("connections_in_use", 45),
}


@pytest.mark.parametrize("name", NOT_GOOD)
def test_what_is_not_good_is_named(name: str, run: QueueRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    result = verify(run, monkeypatch, NOT_GOOD[name])
    assert (result["verified"], result["passes"]) == (False, 0)
    assert any(text.startswith(f"{name}: ") for text in result["failing"]), result["failing"]


def test_an_oldest_job_that_grows_older_is_not_good(run: QueueRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    ages = [jobs(oldest_ms=ms) for ms in range(30_000, 60_000, 5_000)]
    result = verify(run, monkeypatch, *ages)
    assert result["failing"] == ["oldest_grows: from 50 s to 55 s"]
    # A young one may grow older.
    assert verify(run, monkeypatch, jobs(oldest_ms=1_000), jobs(oldest_ms=9_000))["verified"] is True


def test_an_unknown_is_no_pass(run: QueueRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    assert verify(run, monkeypatch, together(lost("CPU_of_the_database")))["verified"] is None
    assert verify(run, monkeypatch, together(lost("tasks")))["verified"] is None


def test_check_mode_verifies_nothing(run: QueueRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    assert verify(run, monkeypatch, well, check=True)["verified"] is None


def settle(run: QueueRunner, *, check: bool = False, **more: Any) -> Json:
    return run.read("queue_settled", check=check, **{"workers": 0, "timeout": 60, **more})


def test_a_queue_at_rest_is_not_waited_for(run: QueueRunner, redis: Valkey, version: int) -> None:
    redis.jobs(version, add(3), work())
    result = settle(run, drained=True)
    assert (result["outcome"], result["step"], result["settled"]) == ("ok", "await_drain", True)


UNSETTLED: dict[str, tuple[Json, Json]] = {
    "the replication group is modifying": ({"group_status": "modifying"}, {}),
    "0 of 2 workers are connected": ({}, {"workers": 2}),
    "0 of 2 workers run": ({"tasks": []}, {"workers": 2}),
    "could not read the service": ({"broken": {"DescribeServices"}}, {}),
}


@pytest.mark.parametrize("words", UNSETTLED)
def test_what_is_missing_is_named_when_time_is_up(
    words: str, run: QueueRunner, redis: Valkey, queues: QueueWorld
) -> None:
    redis.jobs(5, add(1))
    attributes, more = UNSETTLED[words]
    for name, value in attributes.items():
        setattr(queues, name, value)
    result = settle(run, **more)
    assert (result["failed"], result["outcome"], result["settled"]) == (True, "failed", False)
    assert words in result["msg"]


def test_an_old_backlog_is_waited_for(run: QueueRunner, redis: Valkey) -> None:
    redis.jobs(5, add(2, opts={"timestamp": 1_700_000_000_000}))
    assert settle(run)["outcome"] == "ok"
    result = settle(run, drained=True)
    assert result["outcome"] == "failed"
    assert "2 wait, the oldest for" in result["msg"]


def test_a_wait_is_only_planned_in_check_mode(run: QueueRunner, redis: Valkey) -> None:
    assert redis.all_jobs() == 0
    assert settle(run, check=True)["outcome"] == "planned"


def handle(redis: Valkey, job: int) -> str:
    """As the program names a job."""
    key = redis.client.info("replication")["master_replid"].encode()
    return hmac.digest(key, f"bull\0notifications\0{job}".encode(), "sha256").hex()[:12]


def test_a_slice_that_is_not_done_in_time_is_not_good(run: QueueRunner, redis: Valkey) -> None:
    redis.jobs(5, add(5, "bad"), work(bad=("GatewayError", "the gateway answered 503")))
    (group,) = run.read("queue_health")["facts"]["failures"]
    step = run("queue_redrive", signatures=[group["signature"]], failed_before_ms=now_ms(), number=1, reconciled=True)
    assert "No worker is at the queue" in step["msg"]
    redis.jobs(5, add(3))
    judged = run.read("queue_redriven", jobs=[handle(redis, job) for job in (6, 7, 8)], timeout=60)
    assert (judged["good"], judged["pending"]) == (False, 3)
    assert judged["sentence"] == "3 jobs were sent again, 0 of them failed again, 3 are not done."


def test_a_job_that_is_nowhere_any_more_is_not_done(run: QueueRunner, redis: Valkey, version: int) -> None:
    redis.jobs(version, add(3), work())
    jobs = [handle(redis, job) for job in (1, 2, 3)]
    assert run.read("queue_redriven", jobs=jobs, timeout=60)["good"] is True
    redis.jobs(version, {"do": "remove", "id": "2"})
    judged = run.read("queue_redriven", jobs=jobs, timeout=60)
    assert (judged["good"], judged["gone"], judged["pending"]) == (False, 1, 0)
    assert judged["sentence"] == "3 jobs were sent again, 0 of them failed again, 1 are nowhere any more."


def test_a_job_that_moved_while_it_was_looked_for_is_found_at_the_second_look(
    run: QueueRunner, redis: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = [{"pending": 0, "failed": 0, "completed": done, "gone": 2 - done} for done in (1, 2)]
    monkeypatch.setattr(_queue_program, "run_program", lambda *_asked: {"ok": True, "result": looks.pop(0)})
    judged = run.read("queue_redriven", jobs=[handle(redis, job) for job in (1, 2)], timeout=60)
    assert (judged["good"], judged["gone"], looks) == (True, 0, [])
