"""The gate of releases and the status of an environment, by their playbooks, against a sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from daily_emr_sandbox.client import Sandbox

from tests.integration.conftest import Operator, Run, Witness
from tests.integration.modules import PREFIX

pytestmark = pytest.mark.usefixtures("mended")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def held(sandbox: Sandbox) -> Iterator[None]:
    """Somebody works on the application."""
    table = sandbox.boto("dynamodb")
    key = {"pk": {"S": "lease#emr-web"}, "sk": {"S": "lease"}}
    about = {name: {"S": name} for name in ("rvn", "host", "run")} | {"incident": {"S": "INC-7"}}
    more = {"held": {"BOOL": True}, "fence": {"N": "7"}, "owner": {"S": "amina@laptop"}, "lease_s": {"N": "120"}}
    since = {"since": {"S": "2026-01-01T00:00:00Z"}}
    table.put_item(TableName=f"{PREFIX}-runbooks", Item={**key, **about, **more, **since})
    yield
    table.delete_item(TableName=f"{PREFIX}-runbooks", Key=key)


def asked(operator: Operator, folder: Path, kind: str) -> tuple[Run, dict[str, Any]]:
    """The gate's run and its answer."""
    inputs = {"release_gate_kind": kind, "release_gate_commit": COMMIT, "release_gate_folder": str(folder)}
    run = operator.start(
        "ansible-playbook", "-i", "inventories/sandbox", "playbooks/release_gate.yml", "-e", json.dumps(inputs)
    )
    return run, json.loads((folder / "release_gate.json").read_text())


def test_a_rollback_may_always_go_and_the_answer_is_signed(
    operator: Operator, sandbox: Sandbox, tmp_path: Path
) -> None:
    witness = Witness(sandbox)

    run, answer = asked(operator, tmp_path / "gate", "rollback")

    assert run.returncode == 0, run.output
    assert (answer["allowed"], answer["commit"], answer["environment"]) == (True, COMMIT, "sandbox")
    assert "could not be signed" not in " ".join(answer["reasons"])
    assert {call["operation"] for call in witness.mutating()} <= {"Sign"}, "the gate changes nothing"
    der = sandbox.boto("kms").get_public_key(KeyId=f"alias/{PREFIX}-release-gate")["PublicKey"]
    key = load_der_public_key(der)
    assert isinstance(key, EllipticCurvePublicKey)
    said = (tmp_path / "gate/release_gate.json").read_bytes()
    signature = (tmp_path / "gate/release_gate.sig").read_bytes()
    key.verify(signature, said, ECDSA(SHA256()))
    with pytest.raises(InvalidSignature):
        key.verify(signature, said.replace(b"true", b"false", 1), ECDSA(SHA256()))


@pytest.mark.usefixtures("held")
def test_while_an_incident_is_open_only_what_mends_may_go(operator: Operator, tmp_path: Path) -> None:
    run, answer = asked(operator, tmp_path / "release", "release")
    assert run.returncode != 0
    assert answer["allowed"] is False
    assert "INC-7" in " ".join(answer["reasons"])

    run, answer = asked(operator, tmp_path / "mitigation", "mitigation")
    assert run.returncode == 0, run.output
    assert answer["allowed"] is True


def test_the_month_has_a_page(operator: Operator, tmp_path: Path) -> None:
    run = operator.start(
        "ansible-playbook",
        "-i",
        "inventories/sandbox",
        "playbooks/slo.yml",
        "-e",
        json.dumps({"slo_folder": str(tmp_path / "slo")}),
    )
    assert run.returncode == 0, run.output
    pages = list((tmp_path / "slo").rglob("*.html"))
    assert pages
    assert "<script" not in pages[0].read_text()


@pytest.mark.usefixtures("held")
def test_status_says_who_works_on_what(operator: Operator, sandbox: Sandbox) -> None:
    witness = Witness(sandbox)
    run = operator.runbook("status", "-i", "sandbox")
    assert "amina@laptop" in run.output
    assert "INC-7" in run.output
    assert witness.mutating() == []
