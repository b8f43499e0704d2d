"""The application is down, the runbook runs: right cause, right action, health proven from outside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from daily_emr_sandbox.client import Sandbox

from tests.integration.conftest import Operator, Witness, rested
from tests.integration.rehearsal import Expected, Rows, recording, rehearse, whole

FAULTS = {
    "bad_release_crash": Expected("release_crashes", ["ecs_service_deployment"]),
    "bad_release_errors": Expected("bad_release", ["ecs_service_release"]),
    "wedged_tasks": Expected("wedged_tasks", ["ecs_service_tasks"]),
    "scaled_to_zero": Expected("scaled_to_zero", ["ecs_service_count"]),
    "bad_flag": Expected("bad_flag", ["feature_flag"]),
    "zone_impaired": Expected("zone_impaired", ["zonal_shift"]),
    "waf_block": Expected("rule_blocks_users", ["waf_rule"]),
    "rollback_image_deleted": Expected("bad_release", words="no longer exists in ECR"),
    "broken_secret": Expected("broken_secret", words="This is not an application problem"),
    "database_down": Expected("database_unreachable", words="run runbooks/database_failover.yml"),
    "slow_database": Expected("slow_database", words="This is not an application problem"),
    "cache_down": Expected("cache_unreachable", words="This is not an application problem"),
}
# Without those that go the way of another one, with other signs.
WHOLE = whole(FAULTS, "broken_secret", "slow_database", "cache_down")


@pytest.fixture(autouse=True)
def _healthy(healthy: None) -> None:
    """Each fault starts from a healthy system."""


@pytest.fixture(scope="module")
def recorded() -> Iterator[Rows]:
    with recording("app_outage") as rows:
        yield rows


@pytest.mark.parametrize("fault", WHOLE)
def test_a_fault_is_named_and_mended_or_handed_over(
    operator: Operator, sandbox: Sandbox, fault: str, recorded: Rows
) -> None:
    rested(sandbox)
    sandbox.break_(fault)
    rehearse(operator, sandbox, fault, FAULTS[fault], recorded)


def test_a_healthy_system_is_left_alone(operator: Operator, sandbox: Sandbox) -> None:
    witness = Witness(sandbox)
    run = operator.playbook()
    assert run.returncode == 0, run.output
    assert run.record()["outcome"] == "noop"
    assert "changed=0" in run.output
    assert witness.mutating() == []


def test_a_held_lease_names_its_holder_and_is_left_alone(operator: Operator, sandbox: Sandbox) -> None:
    sandbox.break_("scaled_to_zero")
    table = sandbox.boto("dynamodb")
    key = {"pk": {"S": "lease#emr-web"}, "sk": {"S": "lease"}}
    held = {"held": {"BOOL": True}, "fence": {"N": "7"}, "rvn": {"S": "x"}, "owner": {"S": "amina@laptop"}}
    about = {
        "host": {"S": "laptop"},
        "incident": {"S": "INC-7"},
        "run": {"S": "r1"},
        "since": {"S": "2026-01-01T00:00:00Z"},
    }
    table.put_item(TableName="daily-emr-sandbox-runbooks", Item={**key, **held, **about, "lease_s": {"N": "120"}})
    try:
        witness = Witness(sandbox)
        run = operator.playbook()
        assert run.returncode != 0
        assert "amina@laptop" in run.output
        assert "INC-7" in run.output
        assert witness.mutating() == []
    finally:
        table.delete_item(TableName="daily-emr-sandbox-runbooks", Key=key)
