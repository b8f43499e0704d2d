"""No secret and no synthetic patient value in any output, artifact or report; the canaries are planted everywhere."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from daily_emr_sandbox.client import Sandbox

from tests.integration.conftest import Operator

PATIENT = "Wanjiku-Canary-29481733"


@pytest.fixture(autouse=True)
def _healthy(healthy: None) -> None:
    """Start from a healthy system."""


def forms(value: str) -> set[bytes]:
    """A value as it could hide: raw, base64, URL- and JSON-escaped."""
    raw = value.encode()
    return {raw, base64.b64encode(raw), quote(value, safe="").encode(), json.dumps(value)[1:-1].encode()}


def hits(folder: Path, canaries: dict[str, str]) -> list[str]:
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found += [
                f"{name} in {path}" for name, value in canaries.items() if any(form in data for form in forms(value))
            ]
    return found


@pytest.mark.parametrize("fault", ["bad_release_errors", "broken_secret"])
def test_no_canary_in_outputs_artifacts_and_reports(operator: Operator, sandbox: Sandbox, fault: str) -> None:
    sandbox.plant(PATIENT)
    sandbox.break_(fault)
    secrets = sandbox.boto("secretsmanager")
    names = [entry["Name"] for entry in secrets.list_secrets()["SecretList"]]
    canaries = {name: secrets.get_secret_value(SecretId=name)["SecretString"] for name in names}
    canaries = {name: value for name, value in canaries.items() if len(value) > 8}  # too short to be told from chance
    canaries["patient"] = PATIENT
    canaries["session token"] = "IQoJb3JpZ2luX2VjEXAMPLECANARYTOKEN"

    run = operator.runbook(
        "run", "app_outage", "--environment", "sandbox", env={"AWS_SESSION_TOKEN": canaries["session token"]}
    )
    loud = operator.playbook("-vvvv", "--check", "--diff")
    report = operator.runbook("report", "latest", "--format", "both")
    operator.runs.mkdir(exist_ok=True)
    (operator.runs / "stdout").write_text(run.output + loud.output + report.output)

    assert hits(operator.runs, canaries) == []
    assert hits(sandbox.state_dir / "logs", {"patient": PATIENT}) == []
    assert not [path for path in operator.runs.rglob("*") if path.is_dir() and path.stat().st_mode & 0o077]

    # The control: the same search finds a canary that is there.
    (operator.runs / "leak").write_text(f"name={quote(PATIENT, safe='')}")
    assert hits(operator.runs, canaries) != []
