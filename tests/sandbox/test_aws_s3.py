"""S3 of the sandbox refuses what AWS refuses of a locked bucket, compares checksums, and copies."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._heads import heads_of, keep_head
from botocore.exceptions import ClientError
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.seed_audit import LOCK_DAYS, seed_audit
from daily_emr_sandbox.seed_dumps import seed_dumps

from tests.sandbox.aws_only import Aws, refusal, running_aws

UNTIL = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
BODY = b"synthetic"
SHA256 = base64.b64encode(hashlib.sha256(BODY).digest()).decode()


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with running_aws(tmp_path_factory.mktemp("s3")) as running:
        for seed in (seed_dumps, seed_audit):
            seed(running.settings, running.server, [{"Key": "app", "Value": "daily-emr"}])
        yield running


@pytest.fixture(scope="module")
def locked(aws: Aws) -> dict[str, str]:
    """A locked object, as parameters of a call."""
    bucket = aws.settings.dumps_bucket
    made = aws.client("s3").put_object(
        Bucket=bucket, Key="locked", Body=BODY, ChecksumAlgorithm="SHA256", ChecksumSHA256=SHA256,
        ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=UNTIL,
    )  # fmt: skip
    return {"Bucket": bucket, "Key": "locked", "VersionId": made["VersionId"]}


def refused(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**params)
    return refusal(error.value)[0]


def test_a_lock_holds_against_whoever_wants_to_bypass_it(aws, locked):
    s3 = aws.client("s3")
    assert refused(s3.delete_object, **locked) == "AccessDenied"
    assert refused(s3.delete_object, **locked, BypassGovernanceRetention=True) == "AccessDenied"
    shorter = {"Mode": "GOVERNANCE", "RetainUntilDate": UNTIL - dt.timedelta(hours=1)}
    assert (
        refused(s3.put_object_retention, **locked, Retention=shorter, BypassGovernanceRetention=True) == "AccessDenied"
    )
    longer = {"Mode": "GOVERNANCE", "RetainUntilDate": UNTIL + dt.timedelta(hours=1)}
    s3.put_object_retention(**locked, Retention=longer)
    suspended = {"Status": "Suspended"}
    assert refused(s3.put_bucket_versioning, Bucket=locked["Bucket"], VersioningConfiguration=suspended) == (
        "InvalidBucketState"
    )
    assert s3.get_object(**locked)["Body"].read() == BODY


def test_what_arrives_is_compared_with_its_checksum(aws):
    s3, bucket = aws.client("s3"), aws.settings.dumps_bucket
    args = {"Bucket": bucket, "Key": "torn", "ChecksumAlgorithm": "SHA256", "ChecksumSHA256": SHA256}
    assert refused(s3.put_object, Body=BODY[:4], **args) == "BadDigest"
    assert refused(s3.head_object, Bucket=bucket, Key="torn") == "404"


def test_an_object_tells_its_length_checksum_encryption_lock_and_copy(aws, locked):
    seen = aws.client("s3").head_object(**locked, ChecksumMode="ENABLED")
    assert (seen["ContentLength"], seen["ChecksumSHA256"]) == (len(BODY), SHA256)
    assert (seen["ServerSideEncryption"], seen["ObjectLockMode"]) == ("aws:kms", "GOVERNANCE")
    assert seen["ReplicationStatus"] == "COMPLETED"
    copied = aws.client("s3").head_object(Bucket=aws.settings.dumps_copy_bucket, Key="locked")
    assert (copied["ReplicationStatus"], copied["ObjectLockMode"]) == ("REPLICA", "GOVERNANCE")


def test_a_copy_that_has_no_bucket_has_failed(aws):
    s3, bucket = aws.client("s3"), "daily-emr-sandbox-alone"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "af-south-1"})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    rule = {
        "ID": "all", "Status": "Enabled", "Priority": 1, "Filter": {"Prefix": ""},
        "DeleteMarkerReplication": {"Status": "Disabled"}, "Destination": {"Bucket": "arn:aws:s3:::nowhere-at-all"},
    }  # fmt: skip
    s3.put_bucket_replication(
        Bucket=bucket, ReplicationConfiguration={"Role": "arn:aws:iam::1:role/x", "Rules": [rule]}
    )
    s3.put_object(Bucket=bucket, Key="x", Body=BODY)
    seen = s3.head_object(Bucket=bucket, Key="x")
    assert (seen["ReplicationStatus"], seen["ServerSideEncryption"]) == ("FAILED", "AES256")


def test_calls_have_their_names_in_the_log(aws):
    mark = aws.server.calls.seq
    aws.client("s3").list_object_versions(Bucket=aws.settings.dumps_bucket)
    aws.client("s3").put_object(Bucket=aws.settings.dumps_bucket, Key="named", Body=BODY)
    told = [(call["operation"], call["mutating"]) for call in aws.server.calls.since(mark)]
    assert told == [("ListObjectVersions", False), ("PutObject", True)]


@pytest.fixture
def clients(aws: Aws) -> Clients:
    """What the runbooks call with."""
    settings = aws.settings
    where = {"account_id": settings.account_id, "region": settings.region}
    aws.client("ssm").put_parameter(
        Name="/daily-emr/sandbox/fingerprint", Type="String", Value=json.dumps({"environment": "sandbox", **where}),
        Overwrite=True,
    )  # fmt: skip
    described = {
        "name": "sandbox", **where, "role_pattern": "daily-emr-sandbox-runbook-act",
        "table": "daily-emr-sandbox-runbooks", "fingerprint_parameter": "/daily-emr/sandbox/fingerprint",
        "endpoint_url": settings.endpoint_url, "credentials_file": str(settings.credentials_file),
    }  # fmt: skip
    return Clients(Environment.from_params(described), environ={})


def test_the_head_of_a_journal_is_locked_and_is_bookkeeping_in_the_log(aws, clients, monkeypatch):
    mark, settings = aws.server.calls.seq, aws.settings
    line = {"seq": 9, "at": "2026-11-22T01:30:00Z", "hash": "a" * 64, "incident": "INC-1", "run": "run-1"}
    until = keep_head(clients, line)
    assert heads_of(clients, "INC-1") == {"run-1": [{"seq": 9, "hash": "a" * 64}]}
    (version,) = aws.client("s3").list_object_versions(Bucket=settings.audit_bucket)["Versions"]
    where = {"Bucket": settings.audit_bucket, "Key": "heads/INC-1/run-1/9.json", "VersionId": version["VersionId"]}
    assert refused(aws.client("s3").delete_object, **where) == "AccessDenied"
    left = until - dt.datetime.now(dt.UTC)
    assert left > dt.timedelta(days=LOCK_DAYS) - dt.timedelta(minutes=5)

    sandbox = Sandbox(settings.state_dir)
    monkeypatch.setattr(Sandbox, "description", {"account_id": settings.account_id})
    monkeypatch.setattr(Sandbox, "calls", lambda _self, since=0: aws.server.calls.since(since))
    assert [call["operation"] for call in sandbox.calls(mark) if call["mutating"]] == ["PutObject", "DeleteObject"]
    assert [call["operation"] for call in sandbox.changes(mark)] == ["DeleteObject"], "to add a head is no change"
    aws.client("s3").put_object(Bucket=settings.dumps_bucket, Key="heads/x", Body=BODY)
    assert [call["operation"] for call in sandbox.changes(mark)] == ["DeleteObject", "PutObject"]
