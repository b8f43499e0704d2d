"""An AWS, a Vault and a file of SOPS that hold the same values, and plays that ask for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from daily_emr_sandbox.seed_audit import seed_audit

from tests.sandbox.aws_only import Aws, running_aws

from .stores import PREFIX, ROOT, Sops, Vault, running_vault

Json = dict[str, Any]


@dataclass
class World:
    """The stores, and an environment that points at one of them."""

    aws: Aws
    vault: Vault
    sops: Sops | None
    folder: Path
    secrets: Json = field(default_factory=dict)

    @property
    def environment(self) -> Json:
        settings = self.aws.settings
        return {
            "name": "sandbox",
            "account_id": settings.account_id,
            "region": settings.region,
            "role_pattern": "^daily-emr-sandbox-runbook-(act|diagnose)$",
            "table": "daily-emr-sandbox-runbooks",
            "fingerprint_parameter": "/daily-emr/sandbox/fingerprint",
            "endpoint_url": settings.endpoint_url,
            "credentials_file": str(settings.credentials_file),
            "time_factor": 1.0,
        }

    def put(self, name: str, value: str) -> None:
        """Put the same value into all three."""
        client = self.aws.client("secretsmanager")
        full = f"{PREFIX}/{name}"
        known = {entry["Name"] for entry in client.list_secrets()["SecretList"]}
        if full in known:
            client.put_secret_value(SecretId=full, SecretString=value)
        else:
            client.create_secret(Name=full, SecretString=value)
        self.vault.values[name] = value
        self.secrets[name] = value
        if self.sops:
            self.sops.encrypt(self.secrets)

    def backend(self, name: str) -> Json:
        """What the inventory says for this backend."""
        if name == "hashi_vault":
            return {"backend": name, "url": self.vault.url, "auth_method": "token"}
        if name == "sops":
            assert self.sops
            return {
                "backend": name,
                "file": str(self.sops.file),
                "age_identities": str(self.sops.identities),
            }
        return {"backend": name}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("secrets")
    with running_aws(folder / "aws") as aws, running_vault() as vault:
        bookkeeping(aws)
        sops = Sops(folder) if Sops.there() else None
        yield World(aws, vault, sops, folder)


def bookkeeping(aws: Aws) -> None:
    """The fingerprint, the table and the bucket of the runbooks."""
    settings = aws.settings
    about = {"environment": "sandbox", "account_id": settings.account_id, "region": settings.region}
    aws.client("ssm").put_parameter(Name="/daily-emr/sandbox/fingerprint", Value=json.dumps(about), Type="String")
    aws.client("dynamodb").create_table(
        TableName="daily-emr-sandbox-runbooks",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )
    seed_audit(settings, aws.server, [{"Key": "app", "Value": "daily-emr"}])


@dataclass
class Play:
    """Runs a play with the plugins of the project, in a folder where everything that it writes stays."""

    world: World
    folder: Path
    more: dict[str, str] = field(default_factory=dict)

    def __call__(self, tasks: list[Json], backend: str, *arguments: str, **variables: Any) -> str:
        """Everything that ansible-playbook printed."""
        path = self.write(tasks, backend, variables)
        return self.start("ansible-playbook", "-i", "localhost,", "-c", "local", str(path), *arguments)

    def by_runner(self, tasks: list[Json], backend: str, *arguments: str) -> str:
        """Everything that ansible-runner printed; its artifacts, an event for each line, stay in the folder."""
        path = self.write(tasks, backend, {})
        line = " ".join(["-i", "localhost,", "-c", "local", *arguments])
        return self.start(
            "ansible-runner", "run", str(self.folder / "runner"), "--playbook", str(path), "--project-dir", str(ROOT),
            f"--cmdline={line}",
        )  # fmt: skip

    def write(self, tasks: list[Json], backend: str, variables: Json) -> Path:
        settings = {
            "emr_environment": self.world.environment,
            "emr_secret_prefix": PREFIX,
            "emr_secrets": self.world.backend(backend),
            "ansible_python_interpreter": sys.executable,
            **variables,
        }
        play = {"name": "Ask", "hosts": "localhost", "gather_facts": False, "vars": settings, "tasks": tasks}
        path = self.folder / "play.yml"
        path.write_text(json.dumps([play]))
        return path

    def start(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=ROOT, env=self.environ(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        return done.stdout

    def environ(self) -> dict[str, str]:
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder / "home"),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_LOG_PATH": str(self.folder / "ansible.log"),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "local"),
            "ANSIBLE_REMOTE_TEMP": str(self.folder / "remote"),
            "TMPDIR": str(self.folder),
            "DAILY_EMR_RUNS": str(self.folder / "runs"),
            "VAULT_TOKEN": self.world.vault.token,
            **self.more,
        }


@pytest.fixture
def play(stores: World, tmp_path: Path) -> Play:
    stores.vault.state = "unsealed"
    return Play(stores, tmp_path)
