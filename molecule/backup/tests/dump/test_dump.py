"""After both runs: a dump and the record of its restore in the bucket, locked, and nothing left on this machine."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from daily_emr_sandbox.client import Sandbox

BUCKET = "daily-emr-sandbox-dumps-123456789012"


@pytest.fixture
def s3():
    return Sandbox().boto("s3")


def test_both_runs_succeeded():
    records = [json.loads(path.read_text()) for path in Path(os.environ["DAILY_EMR_RUNS"]).glob("*/*/record.json")]
    done = {record["runbook"]: record["outcome"] for record in records if record["mode"] == "run"}
    assert done == {"backup": "succeeded", "restore_check": "succeeded"}


def test_dump_manifest_and_record_are_there_and_cannot_be_removed(s3):
    objects = s3.list_object_versions(Bucket=BUCKET)["Versions"]
    assert sorted(Path(found["Key"]).suffix for found in objects) == [".dump", ".json", ".json", ".sql"]
    for found in objects:
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.delete_object(
                Bucket=BUCKET, Key=found["Key"], VersionId=found["VersionId"], BypassGovernanceRetention=True
            )
    assert len(s3.list_object_versions(Bucket=BUCKET)["Versions"]) == 4


def test_the_record_has_figures_and_says_that_the_server_is_gone(s3):
    (key,) = [found["Key"] for found in s3.list_objects_v2(Bucket=BUCKET, Prefix="restore_checks/")["Contents"]]
    record = json.load(s3.get_object(Bucket=BUCKET, Key=key)["Body"])
    assert (record["result"], record["removed"]) == ("passed", True)
    assert record["rto_seconds"] > 0
    assert record["rpo_seconds"] > 0
    assert list(Path(tempfile.gettempdir()).glob("daily-emr-*-sandbox-*")) == []
