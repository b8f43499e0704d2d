"""The database does not serve: most often it is left alone, and a failover happens once, when everything allows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

from tests.integration.conftest import PATIENT_S, Killed, Operator, Witness, rested
from tests.integration.rehearsal import Expected, Rows, recording, rehearse, whole

DATABASE = "daily-emr-sandbox-db"
FAIL_OVER = ["feature_flag", "database_failover", "await_failover", "feature_flag"]
FAULTS = {
    "primary_impaired": Expected("host_impaired", FAIL_OVER, changes=3),
    "reply_dropped": Expected("host_impaired", FAIL_OVER, changes=3),
    "old_primary_returns": Expected("host_impaired", FAIL_OVER, changes=3),
    "failover_running": Expected("failover_running", ["await_failover"], changes=0, plan=False),
    "pools_stuck_error": Expected("pools_stuck", ["ecs_service_tasks"]),
    "pools_stuck_hang": Expected("pools_stuck", ["ecs_service_tasks"]),
    "lock_storm": Expected("lock_queue", ["database_session"], changes=0),
    "idle_in_transaction": Expected("idle_transaction", ["database_session"], changes=0),
    "connection_storm": Expected("connection_storm", ["ecs_service_scaling"]),
    "storage_full": Expected("storage_full", ["database_storage", "await_availability"]),
    "orphaned_slot": Expected("orphaned_slot", ["database_slot"], changes=0),
    "credentials_rotated": Expected("broken_credentials", words="put the previous version of the secret back"),
    "standby_lagging": Expected("host_impaired", words="restorable"),
    "failover_refused": Expected("host_impaired", words="last failover"),
}
# Without those that go the way of another one, with other signs.
WHOLE = whole(FAULTS, "pools_stuck_error", "idle_in_transaction", "standby_lagging", "failover_refused")


@pytest.fixture(autouse=True)
def _healthy(healthy: None) -> None:
    """Each fault starts from a healthy system."""


@pytest.fixture
def operator(sandbox: Sandbox, tmp_path: Path) -> Operator:
    return Operator(sandbox, tmp_path / "runs", "database_failover")


@pytest.fixture(scope="module")
def recorded() -> Iterator[Rows]:
    with recording("database_failover") as rows:
        yield rows


@pytest.mark.parametrize("fault", WHOLE)
def test_a_fault_is_named_and_mended_or_handed_over(
    operator: Operator, sandbox: Sandbox, fault: str, recorded: Rows
) -> None:
    rested(sandbox)
    sandbox.break_(fault)
    rehearse(operator, sandbox, fault, FAULTS[fault], recorded)


def test_locks_that_look_like_a_sick_host_are_ended_first(operator: Operator, sandbox: Sandbox, recorded: Rows) -> None:
    """One run, two rounds: with the locks gone the host is seen to be sick, and only then it is failed over."""
    operator.inputs["verify_timeout_s"] = 2400  # the first round is looked at until then, and is not good
    sandbox.break_("primary_impaired")
    sandbox.break_("lock_storm")
    expected = Expected("host_impaired", ["database_session", *FAIL_OVER], changes=3, plan=False)
    rehearse(operator, sandbox, "lock_storm and primary_impaired", expected, recorded)


def test_a_bad_release_during_a_failover_is_handed_to_its_own_runbook(operator: Operator, sandbox: Sandbox) -> None:
    sandbox.break_("bad_release_errors")
    sandbox.break_("failover_running")
    witness = Witness(sandbox)
    run = operator.playbook("-e", "database_failover_verify_timeout_s=900")
    assert run.record()["decision"]["cause"] == "not_the_database", run.output
    assert "run runbooks/app_outage.yml" in " ".join(run.output.split())
    assert witness.changes() == [], "a failover that runs by itself and a bad release: the database is left alone"


def test_a_healthy_database_is_left_alone(operator: Operator, sandbox: Sandbox) -> None:
    witness = Witness(sandbox)
    run = operator.playbook()
    assert run.returncode == 0, run.output
    assert run.record()["outcome"] == "noop"
    assert witness.mutating() == []


def reboots(witness: Witness) -> int:
    return sum(call["operation"] == "RebootDBInstance" for call in witness.changes())


def started(sandbox: Sandbox) -> bool:
    events = sandbox.boto("rds").describe_events(SourceIdentifier=DATABASE, SourceType="db-instance")["Events"]
    return any(event["Message"].startswith("Multi-AZ instance failover started") for event in events)


@pytest.mark.parametrize("moment", ["the call", "the wait"])
def test_a_run_that_was_killed_is_finished_without_a_second_failover(
    operator: Operator, sandbox: Sandbox, moment: str
) -> None:
    sandbox.break_("primary_impaired")
    witness = Witness(sandbox)
    if moment == "the call":
        # The call was received, its answer is on the way for longer than the run lives.
        sandbox.fault("rds", "RebootDBInstance", "stall", ms=5000)
    Killed(operator, "-e", "incident_lease_seconds=30").when(
        lambda: reboots(witness) == 1 and (moment == "the call" or started(sandbox)), moment
    )

    again = operator.playbook("-e", "incident_take_over=OPS-1", "-e", "incident_lease_seconds=30")
    assert again.returncode == 0, again.output
    assert again.record()["outcome"] in ("succeeded", "noop")
    assert reboots(witness) == 1
    written = sandbox.ledger()["acknowledged"]
    wait_until(lambda: sandbox.ledger()["acknowledged"] > written, "users write again", PATIENT_S)
    assert sandbox.ledger()["lost"] == 0
    last = operator.playbook()
    assert last.record()["outcome"] == "noop", last.output
