"""No secret and no synthetic patient value in any output, artifact or report; the canaries are planted everywhere."""

from __future__ import annotations

import base64
import configparser
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


def planted(sandbox: Sandbox) -> dict[str, str]:
    """Every value that must stay where it is: what secrets hold and held, the keys of this run, a patient's name."""
    secrets = sandbox.boto("secretsmanager")
    found = {}
    for entry in secrets.list_secrets()["SecretList"]:
        for version, stages in entry["SecretVersionsToStages"].items():
            value = secrets.get_secret_value(SecretId=entry["Name"], VersionId=version)["SecretString"]
            found[f"{entry['Name']} {' '.join(stages)}"] = value
    keys = configparser.ConfigParser(interpolation=None)
    keys.read(sandbox.description["credentials_file"])
    found |= {name: value for name, value in keys["default"].items() if name != "aws_access_key_id"}
    found["launchdarkly"] = (sandbox.state_dir / "launchdarkly_token").read_text().strip()
    found["ambient session token"] = "IQoJb3JpZ2luX2VjEXAMPLECANARYTOKEN"
    found["patient"] = PATIENT
    # What is shorter cannot be told from chance.
    return {name: value for name, value in found.items() if len(value) > 8}


@pytest.mark.parametrize(("fault", "outcome"), [("bad_release_errors", "succeeded"), ("broken_secret", "refused")])
def test_no_canary_in_outputs_artifacts_and_reports(
    operator: Operator, sandbox: Sandbox, fault: str, outcome: str
) -> None:
    sandbox.plant(PATIENT)
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
