"""The two playbooks as they are run: exit codes, records, and nothing left behind when something fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import PLANTED, World
from .test_dumps import damage

ROOT = Path(__file__).parents[3]


class Runner:
    """Runs a playbook of the project against the stack, with an inventory as the project's own."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder, self.output = world, folder, ""
        settings = world.settings
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "emr_environment": {
                "name": "sandbox", "account_id": settings.account_id, "region": settings.region,
                "role_pattern": "daily-emr-sandbox-runbook-act", "table": "daily-emr-sandbox-runbooks",
                "fingerprint_parameter": "/daily-emr/sandbox/fingerprint", "endpoint_url": settings.endpoint_url,
                "credentials_file": str(settings.credentials_file),
            },
        }  # fmt: skip
        database = {
            "component": "emr-db", "instance": settings.database_name, "secret": settings.database_secret,
            "name": "emr",
            "application_role": "emr_application", "read_only_flag": "read-only",
            "login": {
                "user": "emr_runbook", "method": "passfile", "sslmode": "disable",
                "passfile": str(settings.database_passfile),
            },
        }  # fmt: skip
        hosts = {"emr-dumps": {"bucket": {"name": settings.dumps_bucket}}, "emr-db": {"database": database}}
        self.inventory = folder / "hosts.json"
        self.inventory.write_text(json.dumps({"all": {"vars": variables, "hosts": hosts}}))

    def play(self, playbook: str, *arguments: str, inputs: dict[str, Any] | None = None) -> int:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_"))}
        given = {f"{playbook}_work_dir": str(self.world.work)} | (inputs or {})
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(self.inventory),
                str(ROOT / f"playbooks/{playbook}.yml"), "-e", json.dumps(given), *arguments,
            ],
            cwd=ROOT, capture_output=True, text=True, check=False,
            env={**kept, "ANSIBLE_HOME": str(self.folder / "home"), "DAILY_EMR_RUNS": str(self.folder / "runs")},
        )  # fmt: skip
        self.output = done.stdout + done.stderr
        return done.returncode

    def record(self) -> dict[str, Any]:
        (path,) = (self.folder / "runs").glob("*/*/record.json")
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def lease_is_free(self, component: str) -> bool:
        items = self.world.aws.boto("dynamodb").scan(TableName="daily-emr-sandbox-runbooks")["Items"]
        return [item["held"]["BOOL"] for item in items if item["pk"]["S"].endswith(component) and "held" in item] == [
            False
        ]


@pytest.fixture
def runner(world: World, tmp_path: Path) -> Runner:
    world.there()
    world.empty()
    # The lease of the tests that call modules is given back: here the playbooks take it.
    world.call("incident", state="closed", incident=world.lease)
    world.lease = None
    return Runner(world, tmp_path)


def objects(world: World) -> list[str]:
    return [found["Key"] for found in world.s3.list_objects_v2(Bucket=world.bucket).get("Contents", [])]


def test_a_backup_ends_with_a_dump_and_shows_no_secret_and_no_row(runner: Runner, world: World) -> None:
    assert runner.play("backup", "-vvv") == 0, runner.output

    assert runner.record()["outcome"] == "succeeded"
    assert "is whole, locked until" in runner.record()["sentence"]
    assert len(objects(world)) == 3
    assert list(world.work.iterdir()) == []
    assert runner.lease_is_free("emr-dumps")
    written = "".join(path.read_text() for path in (runner.folder / "runs").rglob("*") if path.is_file())
    passwords = [line.rpartition(":")[2] for line in world.settings.database_passfile.read_text().splitlines()]
    for secret in (*passwords, PLANTED):
        assert secret not in runner.output + written


def test_a_backup_that_fails_says_so_and_leaves_nothing(runner: Runner, world: World) -> None:
    world.superuser("CREATE TABLE hidden (id integer); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY")
    try:
        assert runner.play("backup") != 0
    finally:
        world.superuser("DROP TABLE hidden")

    assert runner.record()["outcome"] == "failed_clean"
    assert "give it BYPASSRLS" in runner.record()["sentence"]
    assert (objects(world), list(world.work.iterdir())) == ([], [])
    assert runner.lease_is_free("emr-dumps")


def test_an_upload_that_breaks_off_leaves_no_manifest_and_no_file(runner: Runner, world: World) -> None:
    world.aws.faults.add(service="s3", operation="PutObject", kind="error", code="AccessDenied", status=403)
    try:
        assert runner.play("backup") != 0
    finally:
        world.aws.faults.remove()

    assert runner.record()["outcome"] == "failed_clean"
    assert (objects(world), list(world.work.iterdir())) == ([], [])


def test_a_dump_that_is_not_good_ends_the_restore_check_with_an_error_and_a_record(
    runner: Runner, world: World
) -> None:
    damage(world, world.there(), "bit")

    assert runner.play("restore_check") != 0

    assert runner.record()["outcome"] == "failed_partial"
    assert "its checksum is another one" in runner.record()["sentence"]
    (key,) = [key for key in objects(world) if key.startswith("restore_checks/")]
    kept = json.loads(world.s3.get_object(Bucket=world.bucket, Key=key)["Body"].read())
    assert (kept["result"], kept["removed"]) == ("failed", True)
    assert list(world.work.iterdir()) == []
    assert runner.lease_is_free("emr-dumps.restore_check")


def test_nobody_sends_a_dump_elsewhere_by_an_extra_var(runner: Runner, world: World) -> None:
    mark = world.aws.calls.seq

    assert runner.play("backup", inputs={"bucket": {"name": "somewhere-else"}}) != 0

    assert "bucket is not an input of this runbook" in runner.output
    assert world.aws.calls.since(mark) == []
