"""A desk with keys of people, who sign as bin/attest does it."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._attestations import ATTESTATION, WAIVER, Desk

from tests.unit.content.test_content import ROOT
from tests.unit.readiness.world import NOW

TODAY = NOW.date()
PEOPLE = {
    "amina@example.org": "role:clinical_safety_lead,role:risk_owner",
    "baraka@example.org": "role:medical_lead,role:clinical_safety_lead",
    "chebet@example.org": "role:ciso",
}


@dataclass
class Signing:
    """The folder of an environment, and the keys of those who may sign there."""

    folder: Path
    keys: dict[str, Path] = field(default_factory=dict)

    def desk(self, today: date = TODAY, environment: str = "production") -> Desk:
        return Desk(self.folder, environment, today)

    def sign(self, path: Path, key: str, kind: str = "attestation") -> Path:
        """As a person does it: with the script of the project."""
        command = [str(ROOT / "bin/attest"), str(path), str(self.keys[key])]
        subprocess.run([*command, "--waiver"] if kind == "waiver" else command, check=True, capture_output=True)
        return path

    def attest(self, name: str = "board", key: str = "", **values: Any) -> Path:
        said = {
            "control": "people.change_board",
            "environment": "production",
            "statement": "The board looked at the risk log and the downtime plan.",
            "signer": "amina@example.org",
            "role": "clinical_safety_lead",
            "date": date(2026, 11, 20),
            "expires": date(2027, 2, 1),
        } | values
        return self._write(self.folder / "attestations" / f"{name}.yml", said, key, "attestation")

    def waive(self, name: str = "risk", key: str = "", **values: Any) -> Path:
        said = {
            "control": "database.multi_az",
            "environment": "production",
            "reason": "The second zone is built next week.",
            "signer": "amina@example.org",
            "role": "risk_owner",
            "date": date(2026, 11, 20),
            "expires": date(2026, 12, 20),
        } | values
        return self._write(self.folder / "waivers" / f"{name}.yml", said, key, "waiver")

    def artifact(self, text: str = "risk log") -> dict[str, str]:
        (self.folder / "artifacts").mkdir(exist_ok=True)
        (self.folder / "artifacts/risks.txt").write_text(text)
        return {"artifact": "risks.txt", "artifact_sha256": hashlib.sha256(text.encode()).hexdigest()}

    def _write(self, path: Path, said: dict[str, Any], key: str, kind: str) -> Path:
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump({name: value for name, value in said.items() if value is not None}))
        return self.sign(path, key or said["signer"], kind)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    made = {name: folder / name for name in [*PEOPLE, "stranger@example.org"]}
    for path in made.values():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return made


@pytest.fixture
def signing(tmp_path: Path, keys: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Signing]:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    folder = tmp_path / "production"
    folder.mkdir()
    lines = [
        f'{name},{roles} namespaces="{ATTESTATION},{WAIVER}" {" ".join(public(keys[name]))}'
        for name, roles in PEOPLE.items()
    ]
    (folder / "allowed_signers").write_text("\n".join(lines) + "\n")
    return Signing(folder, keys)


def public(key: Path) -> list[str]:
    return Path(f"{key}.pub").read_text().split()[:2]
