"""Thousands of jobs through everything that a runbook does to a queue, and through what happens to it meanwhile.

Two workers, a producer and the provider are real, and so are both key layouts; the changes are those of the program
that the modules use. Every acknowledged job must be done, failed or waiting in the end, and none done twice.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_program import PROGRAM
from daily_emr_sandbox.loop import wait_until
from daily_emr_sandbox.queues.producer import BULLMQ, node

from tests.sandbox.queue_stack import Stack, running_queues

# Of each layout: ten thousand in all.
JOBS = int(os.environ.get("JOBS", "5000"))
POISONED, BROKEN = 60, 200
CONCURRENCY, POOL_SIZE = 20, 5
PATIENT_S = 90.0
SLOW_S = 10.0
"""Much longer than it takes until a job whose lock is lost is given to another worker."""
TRIES = 5
STATES = ("wait", "paused", "active", "delayed", "prioritized", "completed", "failed")
LAYOUTS = {"notifications": 5, "claims": 6}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_queues(tmp_path_factory.mktemp("queues")) as stack:
        yield stack


@pytest.fixture
def stack(running: Stack) -> Iterator[Stack]:
    """Empty queues without workers, and new books."""
    with running.store.primary.connect() as session:
        for name in LAYOUTS:
            session.hdel(f"bull:{name}:meta", "paused")
            session.delete(*(f"bull:{name}:{state}" for state in STATES))
    running.books.forget()
    yield running
    running.end_workers()


class Queue:
    """A queue as a runbook has it."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.stack, self.name = stack, name

    def ask(self, command: str, **more: Any) -> dict[str, Any]:
        settings = self.stack.settings
        password = settings.queue_passfile.read_text().strip()
        place = {"host": settings.queue_address, "port": settings.queue_port, "user": settings.queue_runbook}
        place["password"] = password
        request = {
            "command": command,
            "queue": {"prefix": "bull", "name": self.name},
            "place": {**place, "tls": False},
            "client": "a-runbook",
            "connect_ms": 3000,
            "command_ms": 10_000,
            "expects": {"layout": LAYOUTS[self.name]},
            **more,
        }
        command_line = [node()[0], PROGRAM]
        done = subprocess.run(command_line, input=json.dumps(request).encode(), capture_output=True, check=False)
        answer = json.loads(done.stdout)
        assert answer["ok"], answer
        result: dict[str, Any] = answer["result"]
        return result

    def handles(self, kind: str) -> dict[str, Any]:
        """Those failed jobs whose errors are of a class, as a change takes them."""
        seen = self.ask("look", window_ms=60_000, between_ms=1, classify=500)
        signatures = [group["signature"] for group in seen["failures"] if group["class"] == kind]
        before_ms = int(time.time() * 1000)
        found = self.ask("failed", signatures=signatures, limit=1000, before_ms=before_ms)
        return {"handles": found["handles"], "before_ms": before_ms}

    def add(self, count: int, **what: str) -> int:
        """Add until so many are acknowledged: what is refused, as after a failover, is asked for again."""
        added = 0
        for _ in range(TRIES):
            added += self.stack.producer.add(self.name, count - added, **what)
            if added == count:
                return added
        raise AssertionError(f"only {added} of {count} jobs were acknowledged")

    def ledger(self) -> dict[str, int]:
        return self.stack.books.ledger()[self.name]

    def done(self, least: int) -> None:
        """Wait until so many jobs are done."""
        wait_until(lambda: self.ledger()["done"] >= least, f"{least} jobs are done", PATIENT_S, 0.3)

    def failed(self, least: int) -> None:
        wait_until(lambda: self.ledger()["failed"] >= least, f"{least} jobs failed", PATIENT_S, 0.3)

    def work(self) -> subprocess.Popen[bytes]:
        return self.stack.work(self.name, CONCURRENCY, POOL_SIZE)


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_job_is_lost_and_none_is_done_twice(stack: Stack, name: str) -> None:
    assert BULLMQ[name] == str(LAYOUTS[name])
    queue = Queue(stack, name)
    first, second = queue.work(), queue.work()
    acknowledged = queue.add(JOBS // 5)

    # Paused in the middle of the work, and resumed.
    queue.done(JOBS // 50)
    queue.ask("pause")
    acknowledged += queue.add(JOBS // 5)
    assert queue.ledger()["waiting"] >= JOBS // 5
    queue.ask("resume")

    # A worker dies with jobs in its hands.
    queue.done(JOBS // 5 + JOBS // 50)
    first.kill()
    first.wait()
    third = queue.work()

    # The provider refuses for a while, and some jobs cannot be done at all.
    queue.done(2 * JOBS // 5)
    stack.gateway.fail(503)
    acknowledged += queue.add(BROKEN)
    queue.failed(BROKEN)
    stack.gateway.fail(200)
    acknowledged += queue.add(POISONED, job="lab-result-ready", template="lab-result-v2")
    queue.failed(BROKEN + POISONED)

    # A failover while jobs are added and done; the workers are replaced after it.
    acknowledged += queue.add(JOBS // 5)
    stack.store.fail_over()
    for stuck in (second, third):
        stuck.kill()
        stuck.wait()
    for _ in range(2):
        queue.work()
    acknowledged += queue.add(JOBS - acknowledged)

    assert queue.ask("quarantine", **queue.handles("TemplateError"))["moved"] == POISONED
    assert queue.ask("retry", **queue.handles("GatewayError"))["moved"] == BROKEN
    queue.done(JOBS - POISONED)

    ledger = queue.ledger()
    assert ledger["acknowledged"] == acknowledged == JOBS
    assert (ledger["lost"], ledger["twice"]) == (0, 0)
    assert ledger["done"] == JOBS - POISONED
    assert ledger["waiting"] == ledger["active"] == ledger["delayed"] == ledger["failed"] == 0
    assert stack.books.elsewhere(name) == POISONED
    assert "synthetic message" not in stack.logs()


def test_a_job_whose_worker_stands_still_while_it_is_sent_is_not_sent_again(stack: Stack) -> None:
    """Its lock runs out, another worker takes it, and the provider still has its hands full with the first request."""
    queue = Queue(stack, "notifications")
    stack.gateway.slow(SLOW_S)
    try:
        first = queue.work()
        queue.add(1)
        wait_until(lambda: len(stack.gateway.arrivals) == 1, "the provider has it", PATIENT_S, 0.1)
        first.send_signal(signal.SIGSTOP)
        queue.work()

        queue.done(1)

        assert queue.ledger()["twice"] == 0
        first.kill()
    finally:
        stack.gateway.slow(0)


def pause_raw(queue: Queue) -> None:
    """What nobody may do: half of the jobs wait in one list then, and half in the other."""
    queue.add(20)
    with queue.stack.store.primary.connect() as session:
        session.hset(f"bull:{queue.name}:meta", "paused", "1")
    queue.add(20)


def test_the_books_would_show_a_job_that_is_lost_or_done_twice(stack: Stack) -> None:
    """The control: what the changes above must not do, done by raw keys, shows in the same books."""
    queue = Queue(stack, "notifications")
    pause_raw(queue)

    stack.producer.call(queue.name, "resume")

    assert queue.ledger()["lost"] == 20
    for _ in range(2):
        stack.gateway.note(f"{queue.name}-once-more")
    assert queue.ledger()["twice"] == 1


def test_the_program_refuses_what_raw_keys_left_behind(stack: Stack) -> None:
    """In layout 5 a resume would drop one of two filled lists, and the jobs in it."""
    queue = Queue(stack, "notifications")
    pause_raw(queue)

    with pytest.raises(AssertionError, match="both lists"):
        queue.ask("resume")

    assert queue.ledger()["lost"] == 0
    assert queue.ledger()["waiting"] == 40


def test_nothing_of_a_job_leaves_the_program(stack: Stack) -> None:
    queue = Queue(stack, "notifications")
    stack.producer.plant("Wanjiru 0712345678")
    queue.work()
    queue.add(5, job="lab-result-ready", template="lab-result-v2")
    queue.failed(5)

    answers = [queue.ask("look", window_ms=60_000, between_ms=1, classify=500), queue.handles("TemplateError")]

    assert "Wanjiru" not in json.dumps(answers)
    assert "Wanjiru" not in stack.logs()
    assert answers[1]["handles"], "there was something to tell of"
    with stack.store.primary.connect() as session:
        job = session.zrange(f"bull:{queue.name}:failed", 0, 0)[0].decode()
        assert b"Wanjiru" in session.hget(f"bull:{queue.name}:{job}", "failedReason"), "it was there"
