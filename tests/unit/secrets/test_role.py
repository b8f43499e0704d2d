"""The playbook against an AWS alone: places are made, a rotation that was killed goes on where it stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.aws_only import Aws, running_aws

from .conftest import bookkeeping
from .stores import PREFIX, ROOT

Json = dict[str, Any]

NAME = "SESSION_PASSWORD"
FULL = f"{PREFIX}/{NAME}"
OLD = "an-old-password-of-the-sessions-Kanari"
MUTATIONS = {"CreateSecret", "PutSecretValue", "UpdateSecretVersionStage", "ReplicateSecretToRegions"}


@dataclass
class Operator:
    """Runs playbooks/secrets.yml with the inventory of the sandbox."""

    aws: Aws
    folder: Path

    def __post_init__(self) -> None:
        settings = self.aws.settings
        known = {"account_id": settings.account_id, "region": settings.region, "time_factor": 60.0}
        known |= {"endpoint_url": settings.endpoint_url, "credentials_file": str(settings.credentials_file)}
        (self.folder / "sandbox.json").write_text(json.dumps(known))

    def __call__(self, *arguments: str, **inputs: str) -> tuple[str, Json, list[str]]:
        """What was printed, the record, and the mutating calls."""
        since, runs = self.aws.server.calls.seq, self.folder / "runs"
        before = set(runs.glob("*/*/record.json"))
        given = [part for name, value in inputs.items() for part in ("-e", json.dumps({f"secrets_{name}": value}))]
        environ = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder / "home"),
            "LC_ALL": "C.UTF-8",
            "DAILY_EMR_SANDBOX": str(self.folder),
            "DAILY_EMR_RUNS": str(runs),
        }
        done = subprocess.run(
            ["ansible-playbook", "-i", "inventories/sandbox", "playbooks/secrets.yml", "-vv", *given, *arguments],
            cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False,
        )  # fmt: skip
        made = set(runs.glob("*/*/record.json")) - before
        record = json.loads(made.pop().read_text()) if made else {}
        calls = [call["operation"] for call in self.aws.server.calls.since(since)]
        return done.stdout, record, [operation for operation in calls if operation in MUTATIONS]


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    folder = tmp_path_factory.mktemp("role")
    with running_aws(folder / "aws") as aws:
        bookkeeping(aws)
        yield Operator(aws, folder)


@pytest.fixture
def client(operator: Operator) -> Any:
    return operator.aws.client("secretsmanager")


def test_a_place_is_planned_then_made_and_then_there(operator: Operator, client: Any) -> None:
    wish: Json = {"state": "present", "only": ["MFL_API_KEY", "DHIS2_TOKEN"]}

    output, record, calls = operator("--check", **wish)
    assert (record["outcome"], calls) == ("planned", []), output
    output, record, calls = operator(**wish)
    assert (record["outcome"], calls) == ("succeeded", ["CreateSecret", "CreateSecret"]), output
    assert client.describe_secret(SecretId=f"{PREFIX}/MFL_API_KEY")["ReplicationStatus"][0]["Status"] == "InSync"
    # Without anything to make there is no record either.
    output, record, calls = operator(**wish)
    assert (record, calls) == ({}, []), output

    output, record, calls = operator(only=["MFL_API_KEY"], checks=["present", "value", "replica"])
    assert "MFL_API_KEY: it has no value yet" in output
    assert (record, calls) == ({}, [])


def test_a_rotation_goes_on_where_it_was_killed(operator: Operator, client: Any) -> None:
    client.create_secret(Name=FULL, SecretString=OLD)
    wish = {"state": "rotated", "rotate": NAME, "made_after": "2020-01-01T00:00:00Z", "recycle": False}
    output, record, calls = operator("--check", **wish)
    assert (record["outcome"], calls) == ("noop", []), output

    # As it is when a run was killed after its first step: a value waits.
    client.put_secret_value(SecretId=FULL, SecretString="k" * 64, VersionStages=["AWSPENDING"])
    output, record, calls = operator(**wish)
    assert (record["outcome"], calls) == ("succeeded", ["UpdateSecretVersionStage"]), output
    assert client.get_secret_value(SecretId=FULL)["SecretString"] == "k" * 64
    assert record["steps"][-1]["undo"]["module"] == "daily_emr.ops.secret_current_version"

    # After its second step nothing is left but the tasks.
    output, record, calls = operator(**wish)
    assert (record["outcome"], calls) == ("noop", []), output
    everything = "".join(path.read_text() for path in operator.folder.glob("runs/**/*") if path.is_file())
    assert [value for value in (OLD, "k" * 64) if value in output + everything] == []


def test_what_the_inventory_does_not_know_is_refused(operator: Operator) -> None:
    output, record, calls = operator(state="rotated", rotate="OTHER_KEY")

    assert "There is no such key" in output
    assert (record, calls) == ({}, [])
