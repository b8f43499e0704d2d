"""From a database to a locked dump: what is refused, what is caught, what nobody can remove."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _changes, _dump_programs, _dump_source
from ansible_collections.daily_emr.ops.plugins.module_utils._dump_objects import (
    check_troubles,
    replication_trouble,
    size_trouble,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._dump_programs import find_program
from ansible_collections.daily_emr.ops.plugins.module_utils._dump_source import STATE
from ansible_collections.daily_emr.ops.plugins.module_utils._dumps import (
    BadDump,
    as_bytes,
    manifest_key,
    moment_of,
    name_of,
    read_manifest,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._restore_check import RestoreCheck
from botocore.exceptions import ClientError
from psycopg.rows import dict_row

from .conftest import Json, World, standby_as_replica


def leftovers(world: World) -> list[Path]:
    return list(world.work.iterdir())


def keys(world: World) -> list[str]:
    return [
        found["Key"].rpartition("/")[2] for found in world.s3.list_objects_v2(Bucket=world.bucket).get("Contents", [])
    ]


# A dump, and the four steps of everything that is written.


def test_check_apply_check_apply(world: World) -> None:
    seq = world.aws.calls.seq
    planned = world.call("database_dump", check=True)
    assert (planned["outcome"], planned["uploads"], leftovers(world)) == ("planned", [], [])

    dumped = world.call("database_dump", part_bytes=200_000)
    assert [upload["key"].rpartition("/")[2] for upload in dumped["uploads"]] == [
        "0001.dump", "0002.dump", "0003.dump", "globals.sql",
    ]  # fmt: skip
    assert world.mutations(seq) == []
    steps: list[tuple[str, Json]] = [
        ("database_dump_part", {"name": dumped["name"], **upload}) for upload in dumped["uploads"]
    ]
    steps.append(("database_dump_manifest", {"dump": dumped["dump"]}))
    for module, args in steps:
        mark = world.aws.calls.seq
        assert world.call(module, check=True, **args)["outcome"] == "planned"
        assert world.mutations(mark) == []
        assert world.call(module, **args)["outcome"] == "ok"
        assert world.mutations(mark) == ["PutObject"]
        assert world.call(module, check=True, **args)["outcome"] == "noop"
        assert world.call(module, **args)["outcome"] == "noop"
        assert world.mutations(mark) == ["PutObject"]

    found = world.call("database_dump_info", dump=dumped["name"])
    assert (found["verified"], found["troubles"], found["replication"]) == (True, [], {"COMPLETED": 5})
    assert found["manifest"]["rows"]["public.stays"] == 20000
    assert "public.scratch" not in found["manifest"]["rows"], "unlogged rows are in no dump"
    assert world.call("database_restore_check")["record"]["result"] == "passed", "parts are put together again"


def test_each_object_says_in_s3_what_the_manifest_says(world: World) -> None:
    manifest = world.there()
    name = manifest["dump"]
    for key in (f"{name}/0001.dump", f"{name}/globals.sql", manifest_key(name)):
        seen = world.s3.head_object(Bucket=world.bucket, Key=key, ChecksumMode="ENABLED")
        body = world.s3.get_object(Bucket=world.bucket, Key=key)["Body"].read()
        assert seen["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(body).digest()).decode()
        assert (seen["ServerSideEncryption"], seen["ObjectLockMode"]) == ("aws:kms", "GOVERNANCE")
        assert seen["SSEKMSKeyId"].startswith("arn:aws:kms:af-south-1:")
        assert seen["ObjectLockRetainUntilDate"] == moment_of(name) + timedelta(days=35)
        copied = world.s3.head_object(Bucket=world.settings.dumps_copy_bucket, Key=key)
        assert copied["ReplicationStatus"] == "REPLICA"
    assert b"PASSWORD" not in world.s3.get_object(Bucket=world.bucket, Key=f"{name}/globals.sql")["Body"].read()


def test_rows_that_are_written_meanwhile_are_neither_dumped_nor_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = _dump_source.read_state

    def later(connection: Any) -> Json:
        world.superuser("INSERT INTO beds SELECT 1000 + number, 'later' FROM generate_series(1, 5) AS number")
        state: Json = original(connection)
        return state

    monkeypatch.setattr(_dump_source, "read_state", later)
    try:
        manifest = world.back_up()
        assert manifest["rows"]["public.beds"] == 50
        content = world.s3.get_object(Bucket=world.bucket, Key=manifest["parts"][0]["key"])["Body"].read()
        (world.work / "meanwhile").write_bytes(content)
        copied = subprocess.run(
            [find_program("pg_restore", ""), "--data-only", "--table=beds", "--file=-", world.work / "meanwhile"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert sum("ward " in line for line in copied.splitlines()) == 50
        assert "later" not in copied
    finally:
        (world.work / "meanwhile").unlink(missing_ok=True)
        world.superuser("DELETE FROM beds WHERE id > 1000")


def test_the_replica_is_dumped_where_there_is_one(world: World) -> None:
    with standby_as_replica(world) as replica:
        manifest = world.back_up()
        assert manifest["source"] == {"instance": replica, "replica": True}
        assert manifest["rows"]["public.stays"] == 20000
        assert world.call("database_dump", check=True, replica="never")["source"]["replica"] is False

    refused = world.call("database_dump", check=True, replica="required")
    assert "has no read replica that is available" in refused["msg"]


def test_a_replica_that_is_behind_or_of_unknown_age_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "pg_stat_wal_receiver" in STATE, "equal positions prove nothing on a replica that follows nobody"
    with standby_as_replica(world):
        monkeypatch.setattr(
            _dump_source, "STATE", STATE.replace("THEN pg_catalog.now()\n            ELSE", "THEN NULL ELSE")
        )
        assert "up to when it is current" in world.call("database_dump")["msg"]
        monkeypatch.setattr(_dump_source, "STATE", STATE.replace("AS current_to", "- interval '1 h' AS current_to"))
        behind = world.call("database_dump")
    assert (behind["refused"], leftovers(world)) == (True, [])
    assert "is 3600 s behind" in behind["msg"]


# What fails leaves nothing that looks like a dump.


def test_a_dump_that_breaks_off_leaves_no_file_and_says_no_word_of_the_server(world: World) -> None:
    world.superuser("CREATE TABLE secretive (id integer); ALTER TABLE secretive ENABLE ROW LEVEL SECURITY")
    try:
        failed = world.call("database_dump")
    finally:
        world.superuser("DROP TABLE secretive")
    assert (failed["failed"], leftovers(world), keys(world)) == (True, [], [])
    assert "the role may not see every row: give it BYPASSRLS" in failed["msg"]
    assert "secretive" not in failed["msg"]


def test_a_dump_that_pg_dump_calls_whole_and_is_not_never_gets_its_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = _dump_source.full_read

    def damaged(dump: Path, *rest: Any) -> None:
        dump.write_bytes(dump.read_bytes()[:100_000])  # a disk that lied
        original(dump, *rest)

    monkeypatch.setattr(_dump_source, "full_read", damaged)

    failed = world.call("database_dump")

    assert "cannot be read to its end" in failed["msg"]
    assert (leftovers(world), keys(world)) == ([], [])


def test_without_a_head_of_the_migrations_there_is_no_dump(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dump_source, "HEADS", {"prisma": _dump_source.HEADS["prisma"]})

    assert "has no head of its migrations" in world.call("database_dump")["msg"]
    assert leftovers(world) == []


def test_the_head_is_prismas_where_there_is_one(world: World) -> None:
    world.superuser(
        "CREATE TABLE _prisma_migrations (migration_name text, finished_at timestamptz, rolled_back_at timestamptz);"
        "INSERT INTO _prisma_migrations VALUES ('20261101_beds', now() - interval '1 day', NULL),"
        " ('20261102_stays', now(), NULL), ('20261103_bad', NULL, NULL), ('20261104_worse', now(), now())"
    )
    try:
        dumped = world.call("database_dump")
    finally:
        world.superuser("DROP TABLE _prisma_migrations")
    assert dumped["dump"]["schema_head"] == {"prisma": "20261102_stays", "ops": "13"}


@pytest.mark.parametrize("how", ["shorter", "other bytes", "gone"])
def test_a_file_that_changed_after_it_was_measured_is_not_uploaded(world: World, how: str) -> None:
    dumped = world.call("database_dump")
    upload, file = dumped["uploads"][0], Path(dumped["file"])
    if how == "shorter":
        file.write_bytes(file.read_bytes()[:-1])
    elif how == "other bytes":
        file.write_bytes(b"x" + file.read_bytes()[1:])
    else:
        file.unlink()

    refused = world.call("database_dump_part", name=dumped["name"], **upload)

    assert (refused["refused"], keys(world)) == (True, [])
    assert "is not what was measured" in refused["msg"]


def test_a_truncated_upload_is_refused_by_s3_and_not_by_luck(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_changes, "PROBE_SECONDS", 0.0)
    # The trap: a stream that ends early is an object like any other.
    world.s3.put_object(Bucket=world.bucket, Key="stream", Body=b"half of a du")
    dumped = world.call("database_dump")
    upload = dumped["uploads"][0]
    read = _dump_programs.Slice.read

    def truncated(self: Any, size: int = -1) -> bytes:
        """The disk breaks in the middle of the upload, and zeros arrive."""
        found: bytes = read(self, size)
        return found[: len(found) // 2].ljust(len(found), b"\0")

    monkeypatch.setattr(_dump_programs.Slice, "read", truncated)

    failed = world.call("database_dump_part", name=dumped["name"], **upload)

    assert failed["outcome"] == "failed"
    assert "BadDigest" in failed["msg"]
    assert keys(world) == ["stream"]
    refused = world.call("database_dump_manifest", dump=dumped["dump"])
    assert (refused["refused"], keys(world)) == (True, ["stream"])
    assert f"{upload['key']} is gone, so this is no dump" in refused["msg"]


def test_a_folder_without_a_manifest_is_no_dump(world: World) -> None:
    now = datetime.now(UTC)
    good = world.back_up(name=name_of(now - timedelta(days=1)))
    begun = world.take(name=name_of(now))["name"]

    found = world.call("database_dump_info")

    assert found["manifest"]["dump"] == good["dump"]
    assert (found["verified"], found["incomplete"]) == (True, [begun])


def test_a_lost_reply_is_looked_at_and_the_part_is_not_sent_twice(world: World) -> None:
    dumped, mark = world.call("database_dump"), world.aws.calls.seq
    world.aws.faults.add(service="s3", operation="PutObject", kind="drop_after")

    put = world.call("database_dump_part", name=dumped["name"], **dumped["uploads"][0])

    assert (put["outcome"], world.mutations(mark)) == ("ok", ["PutObject"])
    assert "The reply was lost" in put["msg"]


# The lock.


def removals(world: World, key: str, version: str) -> dict[str, Callable[[], Any]]:
    """Every way to take an object away, or its lock; the lock has to hold against each."""
    at = {"Bucket": world.bucket, "Key": key, "VersionId": version}
    soon = datetime.now(UTC) + timedelta(seconds=5)
    act = runbook_client(world)
    return {
        "delete": lambda: act.delete_object(**at),
        "bypass": lambda: act.delete_object(**at, BypassGovernanceRetention=True),
        "shorten": lambda: act.put_object_retention(
            **at, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": soon}, BypassGovernanceRetention=True
        ),
        "suspend": lambda: act.put_bucket_versioning(
            Bucket=world.bucket, VersioningConfiguration={"Status": "Suspended"}
        ),
        "bucket": lambda: act.delete_bucket(Bucket=world.bucket),
    }


def runbook_client(world: World) -> Any:
    return world.aws.boto("s3")


@pytest.mark.parametrize("way", ["delete", "bypass", "shorten", "suspend", "bucket"])
def test_a_dump_cannot_be_removed(world: World, way: str) -> None:
    manifest = world.there()
    part = world.call("database_dump_info")["manifest"]["parts"][0]

    with pytest.raises(ClientError) as error:
        removals(world, part["key"], part["version_id"])[way]()

    assert error.value.response["Error"]["Code"] in ("AccessDenied", "InvalidBucketState", "BucketNotEmpty")
    assert world.call("database_dump_info", dump=manifest["dump"])["verified"]


def test_the_control_an_object_without_a_lock_can_be_removed(world: World) -> None:
    world.s3.put_object(Bucket=world.bucket, Key="unlocked", Body=b"x")
    version = world.s3.head_object(Bucket=world.bucket, Key="unlocked")["VersionId"]

    removals(world, "unlocked", version)["delete"]()

    assert world.s3.list_object_versions(Bucket=world.bucket).get("Versions", []) == []


def test_several_at_once_cannot_be_removed_either(world: World) -> None:
    part = {**world.there(), **world.call("database_dump_info")["manifest"]}["parts"][0]

    answer = world.s3.delete_objects(
        Bucket=world.bucket,
        Delete={"Objects": [{"Key": part["key"], "VersionId": part["version_id"]}]},
        BypassGovernanceRetention=True,
    )

    assert [error["Code"] for error in answer["Errors"]] == ["AccessDenied"]


def test_what_is_put_in_front_of_a_dump_hides_nothing(world: World) -> None:
    """A locked bucket allows a delete marker and a newer version: neither changes what is found and restored."""
    manifest = world.there()
    for key in (manifest_key(manifest["dump"]), manifest["parts"][0]["key"]):
        world.s3.put_object(Bucket=world.bucket, Key=key, Body=b"{}")
        world.s3.delete_object(Bucket=world.bucket, Key=key)
    assert "Contents" not in world.s3.list_objects_v2(Bucket=world.bucket, Prefix=f"{manifest['dump']}/m")

    found = world.call("database_dump_info")

    assert found["manifest"]["sha256"] == manifest["sha256"]
    assert found["verified"] is False
    assert any("manifest.json was hidden by a delete marker" in trouble for trouble in found["troubles"])
    assert any("manifest.json was written 1 more times" in trouble for trouble in found["troubles"])


def test_a_bucket_that_does_not_lock_or_encrypt_gets_no_dump(world: World) -> None:
    dumped, plain = world.call("database_dump"), "daily-emr-sandbox-plain"
    world.s3.create_bucket(Bucket=plain, CreateBucketConfiguration={"LocationConstraint": "af-south-1"})
    try:
        refused = world.call(
            "database_dump_part", name=dumped["name"], dumps={**world.dumps, "bucket": plain}, **dumped["uploads"][0]
        )
    finally:
        world.s3.delete_bucket(Bucket=plain)
    assert (refused["refused"], len(refused["refusals"])) == (True, 2)
    assert "does not lock its objects" in refused["msg"]
    assert "does not encrypt with aws:kms by default" in refused["msg"]


def test_another_content_under_the_same_name_is_refused(world: World) -> None:
    dumped = world.take()
    other = Path(dumped["folder"]) / "other"
    other.write_bytes(b"other")
    upload = {**dumped["uploads"][0], "path": str(other), "bytes": 5, "sha256": hashlib.sha256(b"other").hexdigest()}

    refused = world.call("database_dump_part", name=dumped["name"], **upload)

    assert "is there already with another content" in refused["msg"]
    shutil.rmtree(dumped["folder"])


# A dump that was damaged in S3, past the lock, as only a test can: each is caught.


def damage(world: World, manifest: Json, kind: str) -> None:
    part, name = manifest["parts"][0]["key"], manifest["dump"]
    stored = world.stored(part if kind != "roles cut" else manifest["globals"]["key"])
    content = stored.value
    if kind in ("cut", "roles cut"):
        stored.value = content[: len(content) // 2]
    elif kind == "bit":
        stored.value = content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]
    elif kind == "swapped":
        # Another good object, with a checksum in S3 that is its own.
        found = world.stored(manifest["globals"]["key"])
        stored.value, stored.checksum_value = found.value.ljust(len(content)), found.checksum_value
    elif kind == "part gone":
        with world.aws.mutex:
            world.aws.backend("s3").get_bucket(world.bucket).keys.pop(part)
    elif kind == "manifest gone":
        with world.aws.mutex:
            world.aws.backend("s3").get_bucket(world.bucket).keys.pop(manifest_key(name))
    else:
        value = json.loads(world.stored(manifest_key(name)).value)
        change: dict[str, Callable[[], Any]] = {
            "rows": lambda: value["rows"].update({"public.stays": 19999}),
            "half": lambda: value.pop("sha256"),
        }
        change[kind]()
        wrong, stored = as_bytes(value) if kind != "half" else as_bytes(value)[:400], world.stored(manifest_key(name))
        stored.value = wrong
        stored.checksum_value = base64.b64encode(hashlib.sha256(wrong).digest()).decode()


CAUGHT = {
    "cut": "bytes instead of",
    "roles cut": "bytes instead of",
    "bit": "its checksum is another one",
    "swapped": "has another checksum",
    "part gone": "is gone",
    "manifest gone": "there is no dump of the last",
    "half": "cannot be understood",
    "rows": "1 tables have other rows than when they were dumped, among them public.stays: 20000 instead of 19999",
}


@pytest.mark.parametrize("kind", CAUGHT)
def test_a_damaged_dump_is_caught_and_the_record_says_so(world: World, kind: str) -> None:
    damage(world, world.there(), kind)

    tried = world.call("database_restore_check")
    record = tried["record"]

    assert record["result"] == "failed"
    assert CAUGHT[kind] in record["summary"]
    assert (record["rto_seconds"], record["rpo_seconds"]) == (None, None)
    assert (record["removed"], leftovers(world)) == (True, [])
    assert record["checks"][-1]["result"] == "failed"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rows": {"public.beds": 49}}, "other rows than when they were dumped, among them"),
        ({"schema_head": {"ops": "12"}}, "The head of the migrations is another one"),
        ({"foreign_keys": 2}, "There are 1 foreign keys instead of 2"),
        ({"indexes": 99}, "There are 15 indexes instead of 99"),
    ],
)
def test_a_database_that_is_not_the_one_that_was_dumped_is_told_apart(world: World, change: Json, says: str) -> None:
    manifest = world.there()
    check = RestoreCheck(
        None,
        world.dumps,
        work_dir="",
        postgres_bin="",
        jobs=1,
        days=8,
        progress=lambda _text: None,
    )
    check._manifest = {**manifest, **change}
    # The source itself stands for what was restored: it is as the manifest says it.
    with world.database.primary.connect() as connection:
        connection.row_factory = dict_row
        with pytest.raises(BadDump, match=says):
            check._compare(connection)


@pytest.mark.parametrize("kind", ["cut", "swapped", "part gone", "manifest gone", "half"])
def test_what_can_be_seen_without_reading_the_dump_is_seen_at_once(world: World, kind: str) -> None:
    damage(world, world.there(), kind)

    found = world.call("database_dump_info")

    assert found["verified"] is False
    assert CAUGHT[kind] in found["sentence"]


# Figures and ages, pure.


def test_a_name_is_a_moment_and_sorts() -> None:
    moment = datetime(2026, 11, 30, 1, 30, tzinfo=UTC)
    assert name_of(moment) == "2026/11/30/013000Z"
    assert moment_of("2026/11/30/013000Z") == moment
    for bad in ("", "2026/13/30/013000Z", "2026/11/30/013000Z/", "../2026/11/30/013000Z"):
        with pytest.raises(Refused, match="must look like"):
            moment_of(bad)


@pytest.mark.parametrize(
    ("found", "minutes", "says"),
    [
        ({"COMPLETED": 3}, 600, ""),
        ({"PENDING": 3}, 14, ""),
        ({"PENDING": 1, "COMPLETED": 2}, 16, "1 objects still wait for their copy after 16 minutes"),
        ({"FAILED": 1, "COMPLETED": 2}, 0, "1 objects could not be copied to the second region"),
        ({"none": 3}, 0, "3 objects are not being copied to the second region"),
    ],
)
def test_copies_that_failed_or_wait_too_long_are_said(found: dict[str, int], minutes: int, says: str) -> None:
    assert replication_trouble(found, timedelta(minutes=minutes)) == says


@pytest.mark.parametrize(
    ("size", "earlier", "says"),
    [
        (119, [100, 100, 100], ""),
        (40, [100, 90, 110], "it is 60 % smaller than usual (40 bytes, median of the days before 100)"),
        (130, [100, 90, 110], "it is 30 % larger than usual"),
        (40, [100, 100], ""),
        (40, [0, 0, 0], ""),
    ],
)
def test_a_size_that_is_not_usual_is_said(size: int, earlier: list[int], says: str) -> None:
    found = size_trouble(size, earlier, 20)
    assert found.startswith(says)
    assert bool(found) == bool(says)
    assert size_trouble(size, earlier, 0) == ""


def test_the_sizes_of_the_days_before_are_those_of_their_manifests(world: World) -> None:
    manifest = world.there()
    for days, content in enumerate((b'{"bytes": 1000}', b'{"bytes": 1100}', b'{"bytes": 900}', b"{", b"[]"), start=1):
        name = name_of(moment_of(manifest["dump"]) - timedelta(days=days))
        world.s3.put_object(Bucket=world.bucket, Key=manifest_key(name), Body=content)

    found = world.call("database_dump_info", size_change_percent=20)

    assert "than usual" in found["sentence"]
    assert "median of the days before 1000" in found["sentence"]
    assert world.call("database_dump_info")["verified"]


@pytest.mark.parametrize(
    ("check", "says"),
    [
        (None, ["no dump was ever restored to try it"]),
        ({"result": "passed", "checked_at": "2026-11-29T00:00:00+00:00"}, []),
        ({"result": "passed", "checked_at": "2026-11-20T00:00:00+00:00"}, ["the newest restore check is 10 days old"]),
        ({"result": "passed"}, ["the newest restore check does not say when it was"]),
        (
            {"result": "unknown", "checked_at": "2026-11-29T00:00:00+00:00", "summary": "Nobody can say."},
            ["the newest restore check did not pass: Nobody can say"],
        ),
    ],
)
def test_a_restore_check_counts_only_when_it_passed_and_is_fresh(check: Json | None, says: list[str]) -> None:
    assert check_troubles(check, datetime(2026, 11, 30, tzinfo=UTC), 168) == says


def test_an_old_dump_is_said(world: World) -> None:
    world.back_up(name=name_of(datetime.now(UTC) - timedelta(hours=30)))

    assert "is 30 h old" in world.call("database_dump_info")["sentence"]
    assert world.call("database_dump_info", max_age_h=0)["verified"]


@pytest.mark.parametrize("field", ["rows", "schema_head", "lsn", "sha256", "parts", "globals", "current_to", "indexes"])
def test_a_manifest_that_lacks_something_is_none(world: World, field: str) -> None:
    name = world.there()["dump"]
    value = json.loads(world.stored(manifest_key(name)).value)
    read_manifest(as_bytes(value), name)
    for spoiled in ({**value, field: None}, {key: item for key, item in value.items() if key != field}):
        with pytest.raises(BadDump, match="The manifest of dump"):
            read_manifest(as_bytes(spoiled), name)
