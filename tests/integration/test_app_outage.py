"""The application is down, the runbook runs: right cause, right action, health proven from outside."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from daily_emr_sandbox.client import Sandbox

from tests.integration.conftest import ROOT, Operator, Witness, rested


@dataclass(frozen=True)
class Expected:
    """What a fault has to lead to: the cause, the steps that are done, or the words of the refusal."""

    cause: str
    done: list[str] = field(default_factory=list)
    words: str = ""

    @property
    def outcome(self) -> str:
        return "succeeded" if self.done else "refused"


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


@pytest.fixture(autouse=True)
def _healthy(healthy: None) -> None:
    """Each fault starts from a healthy system."""


@pytest.fixture(scope="module")
def recorded() -> Iterator[list[dict[str, object]]]:
    """What each fault led to; written for docs/faults.md when asked for."""
    rows: list[dict[str, object]] = []
    yield rows
    if os.environ.get("UPDATE_FAULTS"):
        Path(ROOT / "docs/faults.json").write_text(json.dumps(rows, indent=2) + "\n")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_and_mended_or_handed_over(
    operator: Operator, sandbox: Sandbox, fault: str, recorded: list[dict[str, object]]
) -> None:
    expected = FAULTS[fault]
    rested(sandbox)
    sandbox.break_(fault)

    witness = Witness(sandbox)
    plan = operator.playbook("--check", "--diff")
    assert witness.mutating() == [], "check mode sends no mutating call"
    planned = plan.record()
    assert planned["decision"]["cause"] == expected.cause, plan.output
    assert (plan.returncode == 0) == bool(expected.done), plan.output
    if expected.done:
        assert planned["outcome"] == "planned"
        assert [step["step"] for step in planned["steps"] if step["outcome"] == "planned"] == expected.done

    witness = Witness(sandbox)
    run = operator.playbook()
    record = run.record()
    assert record["outcome"] == expected.outcome, run.output
    assert record["decision"]["cause"] == expected.cause
    assert [step["step"] for step in record["steps"] if step["outcome"] == "ok"] == expected.done
    assert (run.returncode == 0) == bool(expected.done)
    if expected.done:
        assert len(witness.changes()) == 1, "one mitigation is one call"
        assert record["verification"]["verified"] is True
    else:
        assert witness.changes() == []
        assert expected.words in " ".join(run.output.split())

    ledger = sandbox.ledger()
    assert ledger["lost"] == 0, "every acknowledged write is still there"
    recorded.append(
        {
            "fault": fault,
            "cause": expected.cause,
            "done": expected.done,
            "outcome": record["outcome"],
            "seconds": ledger["recovery_seconds"] if expected.done else None,
            "sentence": record["sentence"],
        }
    )

    if expected.done:
        witness = Witness(sandbox)
        again = operator.playbook()
        assert again.returncode == 0, again.output
        assert again.record()["outcome"] == "noop"
        assert "changed=0" in again.output
        assert witness.mutating() == [], "a healthy system costs no mutating call"


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
