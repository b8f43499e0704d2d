"""No secret and no synthetic patient value in any output, artifact or report; the canaries are planted everywhere."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from daily_emr_sandbox.client import Sandbox

from tests.integration.canaries import PATIENT, hits, planted
from tests.integration.conftest import Operator


@pytest.fixture(autouse=True)
def _healthy(healthy: None) -> None:
    """Start from a healthy system."""


@pytest.mark.parametrize(("fault", "outcome"), [("bad_release_errors", "succeeded"), ("broken_secret", "refused")])
def test_no_canary_in_outputs_artifacts_and_reports(
    operator: Operator, sandbox: Sandbox, fault: str, outcome: str
) -> None:
    sandbox.break_(fault)
    canaries = planted(sandbox)
    assert len(canaries) >= (7 if fault == "broken_secret" else 6), sorted(canaries)

    loud = operator.playbook("-vvvv", "--check", "--diff")
    assert loud.record()["mode"] == "plan", loud.output
    run = operator.runbook(
        "run", "app_outage", "--environment", "sandbox", env={"AWS_SESSION_TOKEN": canaries["ambient session token"]}
    )
    assert run.record()["outcome"] == outcome, run.output
    report = operator.runbook("report", "latest", "--format", "both")
    assert report.returncode == 0, report.output
    (operator.runs / "stdout").write_text(run.output + loud.output + report.output)

    assert hits(operator.runs, canaries) == []
    assert hits(sandbox.state_dir / "logs", {"patient": PATIENT}) == []
    assert not [path for path in operator.runs.rglob("*") if path.is_dir() and path.stat().st_mode & 0o077]

    # The control: the same search finds a canary that is there.
    (operator.runs / "leak").write_text(f"name={quote(PATIENT, safe='')}")
    assert hits(operator.runs, canaries) != []
