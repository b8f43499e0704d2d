"""After the run and after the second one: every key has a place, one is rotated and in use, no value is anywhere."""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from daily_emr_sandbox.client import Sandbox

PREFIX = "daily-emr/sandbox"
KEYS = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / "inventories/common/secrets.yml"


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


@pytest.fixture
def secrets(sandbox):
    """Ours; RDS has one of its own."""
    found = sandbox.boto("secretsmanager").list_secrets()["SecretList"]
    return {entry["Name"]: entry for entry in found if entry["Name"].startswith(PREFIX)}


def test_every_key_has_a_place_and_a_replica(sandbox, secrets):
    names = {f"{PREFIX}/{key['name']}" for key in yaml.safe_load(KEYS.read_text())["secrets_keys"]}
    assert names <= set(secrets)
    client = sandbox.boto("secretsmanager")
    for name in names:
        about = client.describe_secret(SecretId=name)
        assert [item["Status"] for item in about["ReplicationStatus"]] == ["InSync"]


def test_what_was_made_is_empty_and_what_was_there_kept_its_value(secrets):
    with_value = {name for name, entry in secrets.items() if entry.get("SecretVersionsToStages")}
    assert with_value == {f"{PREFIX}/DATABASE_URL", f"{PREFIX}/SESSION_PASSWORD"}


def test_the_password_was_rotated_once_and_its_users_recycled_once(sandbox):
    calls = sandbox.changes()
    counted = Counter(call["operation"] for call in calls)
    assert {name: counted[name] for name in ("PutSecretValue", "UpdateSecretVersionStage", "UpdateService")} == {
        "PutSecretValue": 1,
        "UpdateSecretVersionStage": 1,
        "UpdateService": 1,
    }
    order = [call["operation"] for call in calls]
    assert order.index("PutSecretValue") < order.index("UpdateSecretVersionStage") < order.index("UpdateService")
    assert set(order) <= {
        "CreateSecret", "ReplicateSecretToRegions", "PutSecretValue", "UpdateSecretVersionStage", "UpdateService",
    }  # fmt: skip


def test_every_task_was_started_after_the_rotation(sandbox):
    changed = sandbox.boto("secretsmanager").describe_secret(SecretId=f"{PREFIX}/SESSION_PASSWORD")["LastChangedDate"]
    ecs, cluster = sandbox.boto("ecs"), "daily-emr-sandbox"
    tasks = ecs.describe_tasks(cluster=cluster, tasks=ecs.list_tasks(cluster=cluster)["taskArns"])["tasks"]
    assert len(tasks) >= 2
    assert all(task["startedAt"] > changed for task in tasks)


def test_every_lease_was_released_and_every_run_ended_well(sandbox):
    items = sandbox.boto("dynamodb").scan(TableName="daily-emr-sandbox-runbooks")["Items"]
    leases = [item for item in items if item["sk"]["S"] == "lease"]
    assert [lease["held"]["BOOL"] for lease in leases] == [False]
    records = [json.loads(path.read_text()) for path in Path(os.environ["DAILY_EMR_RUNS"]).glob("*/*/record.json")]
    assert {record["outcome"] for record in records if record["mode"] == "run"} <= {"succeeded", "noop"}


def forms(value: str) -> set[bytes]:
    raw = value.encode()
    return {raw, base64.b64encode(raw), quote(value, safe="").encode(), json.dumps(value)[1:-1].encode()}


def test_no_value_is_in_a_journal_a_record_or_the_table(sandbox, secrets):
    client = sandbox.boto("secretsmanager")
    values = [
        client.get_secret_value(SecretId=name, VersionId=version)["SecretString"]
        for name, entry in secrets.items()
        for version in entry.get("SecretVersionsToStages") or {}
    ]
    assert len(values) >= 3
    everything = [path.read_bytes() for path in Path(os.environ["DAILY_EMR_RUNS"]).rglob("*") if path.is_file()]
    items = sandbox.boto("dynamodb").scan(TableName="daily-emr-sandbox-runbooks")["Items"]
    everything.append(json.dumps(items, default=str).encode())
    assert everything
    assert [value for value in values if any(form in data for form in forms(value) for data in everything)] == []
