"""Requests fail or are slow: who makes the bad ones is found, and only that is taken away."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

from tests.integration.conftest import (
    PATIENT_S,
    TIME_FACTOR,
    Operator,
    Witness,
    rested,
    trouble_is_older,
    unsuspicious,
)
from tests.integration.modules import PREFIX
from tests.integration.rehearsal import Expected, Rows, recording, rehearse, whole

FAULTS = {
    # Requests of the release before are in the log only if both answered some for a second.
    "new_release_fails": Expected("bad_release", ["ecs_service_release"], also="release_everywhere"),
    "canary_fails": Expected("bad_canary", ["listener_weights"]),
    "one_route_fails": Expected("bad_route", words="Ask the owner of the route"),
    "one_zone_errors": Expected("zone_cut_off", ["zonal_shift"]),
    "one_task_errors": Expected("bad_task", words="1 healthy target would remain"),
    "one_tenant_fails": Expected("bad_tenant", words="Lower the severity to SEV3"),
    "flag_fails": Expected("bad_flag", ["feature_flag"]),
    "slow_third_party": Expected("bad_dependency", ["feature_flag"]),
    "latency_without_errors": Expected("queueing", words="Something that all share is short"),
}
# Without those that go the way of another one, with other signs.
WHOLE = whole(FAULTS, "one_route_fails", "one_tenant_fails", "latency_without_errors")
# Where a flag that was changed shortly before, by the test before, would be another cause.
JUDGED_BY_CHANGES = {"new_release_fails", "one_route_fails"}


@pytest.fixture(autouse=True)
def _healthy(healthy: None) -> None:
    """Each fault starts from a healthy system."""


@pytest.fixture
def operator(sandbox: Sandbox, tmp_path: Path) -> Operator:
    return Operator(sandbox, tmp_path / "runs", "error_spike")


@pytest.fixture(scope="module")
def recorded() -> Iterator[Rows]:
    with recording("error_spike") as rows:
        yield rows


@pytest.mark.parametrize("fault", WHOLE)
def test_a_fault_is_named_and_mended_or_handed_over(
    operator: Operator, sandbox: Sandbox, fault: str, recorded: Rows
) -> None:
    rested(sandbox)
    if fault in JUDGED_BY_CHANGES:
        unsuspicious(sandbox)
    sandbox.break_(fault)
    sandbox.await_alarm(fault)
    rehearse(operator, sandbox, fault, FAULTS[fault], recorded)


def test_a_bad_task_that_can_be_spared_is_stopped(operator: Operator, sandbox: Sandbox) -> None:
    sandbox.boto("ecs").update_service(cluster=PREFIX, service=f"{PREFIX}-web", desiredCount=3)
    wait_until(lambda: len(sandbox.status()["tasks"]) == 3, "a third task runs", PATIENT_S)
    sandbox.break_("one_task_errors")
    sandbox.await_alarm("one_task_errors")
    rehearse(operator, sandbox, "one_task_errors", Expected("bad_task", ["ecs_task"]), [])


def test_an_error_spike_of_the_claims_api_is_not_blamed_on_a_release(operator: Operator, sandbox: Sandbox) -> None:
    """The release is deployed once more, without harm, and then the claims API becomes slow."""
    ecs, web = sandbox.boto("ecs"), {"cluster": PREFIX, "service": f"{PREFIX}-web"}
    ecs.update_service(**web, forceNewDeployment=True)

    def deployed() -> bool:
        (service,) = ecs.describe_services(cluster=web["cluster"], services=[web["service"]])["services"]
        return [deployment["rolloutState"] for deployment in service["deployments"]] == ["COMPLETED"]

    wait_until(deployed, "the deployment is over", PATIENT_S)
    sandbox.break_("slow_third_party")
    sandbox.await_alarm("slow_third_party")
    rehearse(operator, sandbox, "slow_third_party", Expected("bad_dependency", ["feature_flag"]), [])


def test_one_error_in_fifty_at_night_calls_nobody(operator: Operator, sandbox: Sandbox) -> None:
    # What failed an hour ago is of the day.
    wait_until(lambda: trouble_is_older(sandbox, timedelta(hours=1) / TIME_FACTOR), "the day is over", PATIENT_S)
    sandbox.break_("night_traffic")
    witness = Witness(sandbox)
    run = operator.playbook()
    assert run.record()["outcome"] == "noop", run.output
    assert witness.mutating() == []


def test_without_metrics_nothing_is_known_and_nothing_is_done(operator: Operator, sandbox: Sandbox) -> None:
    sandbox.break_("metrics_missing")
    sandbox.await_alarm("metrics_missing")
    witness = Witness(sandbox)
    run = operator.playbook()
    assert run.record()["decision"]["verdict"] == "undetermined", run.output
    assert witness.changes() == []
