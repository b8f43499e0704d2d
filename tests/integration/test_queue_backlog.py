"""Jobs wait or fail: what keeps them is found, and nothing is sent again or scaled that would do harm."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from daily_emr_sandbox.client import Sandbox

from tests.integration.conftest import TIME_FACTOR, Operator, Witness
from tests.integration.rehearsal import Expected, Rows, recording, rehearse

# Its own sandbox: one for all of them.
pytestmark = pytest.mark.xdist_group("queue_backlog")

EVERY = {
    "queue_paused": Expected("paused_and_forgotten", ["queue_state", "await_drain"], changes=0, writes=True),
    "queue_throttled": Expected("throttle_left_on", ["queue_limit", "await_drain"], changes=0, writes=True),
    "workers_dead": Expected("workers_disconnected", ["queue_worker_tasks", "await_drain"]),
    "queue_failover": Expected("workers_idle", ["queue_worker_tasks", "await_drain"], also="workers_disconnected"),
    "jobs_stalled": Expected("jobs_stalled", ["queue_worker_tasks", "await_drain"]),
    "poison_jobs": Expected("poison", ["queue_quarantine"], changes=0, writes=True),
    "queue_burst": Expected("burst", ["queue_worker_count", "await_drain"]),
    "failed_jobs_left": Expected("failed_jobs_left", ["queue_redrive"] * 4, changes=0, writes=True),
    "downstream_slow": Expected("downstream_slow", words="Do not scale the workers"),
    "downstream_fails": Expected("dependency_failing", words="Mend what the jobs call"),
    "workers_database_bound": Expected("database_at_its_limit", words="Do not scale the workers"),
    "queue_memory_full": Expected("redis_full", words="larger node type"),
    "exports_consumer_dead": Expected("workers_scaled_down", ["queue_worker_count", "await_drain"]),
    "exports_dead_letters": Expected("dead_letters", ["sqs_move_task", "await_drain"]),
}


# Half a minute each: the others have their signs in tests/sandbox, and their cause in tests/unit.
MAIN = ("failed_jobs_left", "workers_database_bound")
FAULTS = EVERY if os.environ.get("UPDATE_FAULTS") else {fault: EVERY[fault] for fault in MAIN}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    box = Sandbox(tmp_path_factory.mktemp("queues") / "state")
    box.up(time_factor=TIME_FACTOR, parts=("queues",))
    try:
        yield box
    finally:
        box.down()


@pytest.fixture(autouse=True)
def _mended(mended: None) -> None:
    """Each fault starts from a healthy system."""


@pytest.fixture
def operator(sandbox: Sandbox, tmp_path: Path) -> Operator:
    found = Operator(sandbox, tmp_path / "runs", "queue_backlog")
    found.limit = "notifications"
    return found


@pytest.fixture(scope="module")
def recorded() -> Iterator[Rows]:
    with recording("queue_backlog") as rows:
        yield rows


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_and_mended_or_handed_over(
    operator: Operator, sandbox: Sandbox, fault: str, recorded: Rows
) -> None:
    if fault.startswith("exports_"):
        operator.limit = "exports"
    sandbox.break_(fault)
    sandbox.await_alarm(fault)
    rehearse(operator, sandbox, fault, FAULTS[fault], recorded)
    for counts in sandbox.queue_ledger().values():
        assert (counts["lost"], counts["twice"]) == (0, 0)


def test_workers_rest_while_the_database_fails_over(sandbox: Sandbox, tmp_path: Path) -> None:
    operator = Operator(sandbox, tmp_path / "runs", "database_failover")
    operator.inputs["pause_queues"] = "true"
    sandbox.break_("primary_impaired")
    witness = Witness(sandbox)
    run = operator.run()
    record = run.record()
    assert record["outcome"] == "succeeded", run.output
    assert run.returncode == 0, run.output
    switched = [("queue_state", "queue/claims"), ("queue_state", "queue/notifications")]
    done = [(step["step"], step["target"]) for step in record["steps"] if step["outcome"] == "ok"]
    assert done[1:3] == switched, "after the application only reads"
    assert [step for step, _ in done[3:5]] == ["database_failover", "await_failover"]
    assert done[5:7] == switched, "before the application writes again"
    assert witness.written()
    for counts in sandbox.queue_ledger().values():
        assert counts["lost"] == 0
