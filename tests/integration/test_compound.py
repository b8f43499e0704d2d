"""Two incidents at once: each runbook finds its own cause, changes what is its own, and leaves the other's alone.

Neither says anything of a patient, a claim or a key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from daily_emr_sandbox.client import Sandbox

from tests.integration.conftest import TIME_FACTOR, Operator, Witness
from tests.integration.rehearsal import seen
from tests.integration.test_secrets import PATIENT, hits, planted

pytestmark = pytest.mark.xdist_group("compound")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """In the place of the shared one: with claims and telehealth."""
    box = Sandbox(tmp_path_factory.mktemp("compound") / "state")
    box.up(time_factor=TIME_FACTOR, parts=("claims", "telehealth"))
    try:
        yield box
    finally:
        box.down()


def test_a_payer_and_a_telehealth_provider_that_are_down_together_are_two_incidents(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.plant(PATIENT)
    for fault in ("sha_down", "telehealth_api_down"):
        sandbox.break_(fault)
    for fault in ("sha_down", "telehealth_api_down"):
        sandbox.await_alarm(fault)
    telehealth, claims = (
        Operator(sandbox, tmp_path / name, name) for name in ("telehealth_degradation", "claims_api_outage")
    )
    witness = Witness(sandbox)

    run = telehealth.playbook("-vvvv")
    record = run.record()
    assert (record["outcome"], record["decision"]["cause"]) == ("succeeded", "control_api"), run.output + seen(record)
    [change] = witness.changes()
    assert (change["flag"], change["value"]) == ("telehealth-provider", "secondary")
    assert sandbox.telehealth_sessions()["dropped"] == 0

    plan = claims.playbook("--check", "--diff")
    planned = plan.record()
    assert (planned["outcome"], planned["decision"]["cause"]) == ("planned", "payer_down"), plan.output + seen(planned)
    assert witness.changes() == [change]
    assert sandbox.claims()["moved_by_runbook"] == 0

    keys = json.loads(Path(sandbox.description["telehealth"]["keys_file"]).read_text())
    canaries = planted(sandbox) | {f"probe key of {name}": key for name, key in keys.items()}
    assert len(canaries) > len(keys) + 4, sorted(canaries)
    (tmp_path / "stdout").write_text(run.output + plan.output)
    assert hits(tmp_path, canaries) == []
    assert hits(sandbox.state_dir / "logs", {"patient": PATIENT}) == []
    (tmp_path / "leak").write_text(PATIENT)
    assert hits(tmp_path, canaries) != [], "the control: the same search finds what is there"
