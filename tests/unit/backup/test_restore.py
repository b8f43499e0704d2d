"""Trying a dump: the record that is kept, and that the server is gone whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import psycopg
import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _restore_check, _restore_server
from ansible_collections.daily_emr.ops.plugins.module_utils._dump_programs import place_of
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._restore_server import fresh_folder, fresh_server

from .conftest import World


def servers(world: World) -> list[str]:
    """Servers of PostgreSQL whose data lies in the work folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if str(world.work).encode() in words and b"postgres" in words:
            found.append(path.parent.name)
    return found


def left(world: World) -> tuple[list[str], list[Path]]:
    return servers(world), list(world.work.iterdir())


def test_a_good_dump_passes_with_its_figures_and_the_record_is_kept(world: World) -> None:
    manifest = world.there()
    assert world.call("database_restore_check", check=True)["outcome"] == "planned"
    assert left(world) == ([], [])

    tried = world.call("database_restore_check")
    record = tried["record"]

    assert (record["result"], record["dump"], record["removed"]) == ("passed", manifest["dump"], True)
    assert [check["name"] for check in record["checks"]] == [
        "checksums", "full_read", "restore", "rows", "schema_head", "foreign_keys", "amcheck",
    ]  # fmt: skip
    seconds = record["seconds"]
    assert record["rto_seconds"] == pytest.approx(sum(seconds[step] for step in ("download", "start", "restore")))
    told = datetime.fromisoformat(record["checked_at"]) - datetime.fromisoformat(manifest["current_to"])
    assert record["rpo_seconds"] == pytest.approx(told.total_seconds(), abs=1)
    assert left(world) == ([], [])

    mark = world.aws.calls.seq
    args = {"record": record}
    assert world.call("database_restore_record", check=True, **args)["outcome"] == "planned"
    assert world.call("database_restore_record", **args)["outcome"] == "ok"
    assert world.call("database_restore_record", check=True, **args)["outcome"] == "noop"
    assert world.call("database_restore_record", **args)["outcome"] == "noop"
    assert world.mutations(mark) == ["PutObject"]
    found = world.call("database_dump_info", max_check_age_h=168)
    assert found["verified"]
    assert found["restore_check"] == {**record, "key": found["restore_check"]["key"]}
    assert found["restore_check"]["key"].startswith("restore_checks/20")


def test_a_check_that_did_not_pass_is_kept_and_is_no_good_news(world: World) -> None:
    tried = world.call("database_restore_check")
    assert tried["record"]["result"] == "failed"
    assert world.call("database_restore_record", record=tried["record"])["outcome"] == "ok"
    world.there()

    found = world.call("database_dump_info", max_check_age_h=168)

    assert found["verified"] is False
    assert "the newest restore check did not pass" in found["sentence"]


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("full_read", OpsError("The disk broke.")),
        ("run", OSError(28, "The disk broke.")),
    ],
)
def test_whatever_breaks_the_server_is_gone_and_nobody_says_that_it_passed(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception
) -> None:
    world.there()

    def breaks(*_args: object, **_more: object) -> None:
        raise error

    monkeypatch.setattr(_restore_check, step, breaks)

    record = world.call("database_restore_check")["record"]

    assert record["result"] in ("failed", "unknown")
    assert (record["removed"], left(world)) == (True, ([], []))
    assert "The disk broke" in record["summary"]


def test_a_fault_of_our_own_takes_the_server_along(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.there()

    def breaks(*_args: object) -> None:
        assert servers(world), "the server runs by now"
        raise KeyError("PLANTED-PATIENT-NOTE")

    monkeypatch.setattr(_restore_check, "read_content", breaks)

    failed = world.call("database_restore_check")

    assert failed["msg"].startswith("internal error in database_restore_check: KeyError")
    assert left(world) == ([], [])


def test_a_bucket_that_cannot_be_read_is_unknown_and_not_a_bad_dump(world: World) -> None:
    world.there()
    world.aws.faults.add(service="s3", operation="GetObject", kind="error", code="AccessDenied", status=403, count=None)
    try:
        record = world.call("database_restore_check")["record"]
    finally:
        world.aws.faults.remove()

    assert record["result"] == "unknown"
    assert record["summary"].startswith("Nobody can say whether")


def test_older_programs_than_the_server_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.there()
    monkeypatch.setattr(_restore_check, "version_of", lambda _program: "17.4")

    refused = world.call("database_restore_check")

    assert "PostgreSQL 17.4 cannot restore a dump of 18.6" in refused["msg"]
    assert left(world) == ([], [])


def test_a_foreign_key_that_was_never_validated_is_looked_at(world: World) -> None:
    world.superuser(
        "CREATE TABLE visits (id integer PRIMARY KEY, stay integer); INSERT INTO visits VALUES (1, -1);"
        "ALTER TABLE visits ADD CONSTRAINT visits_stay FOREIGN KEY (stay) REFERENCES stays (id) NOT VALID"
    )
    try:
        world.back_up()
        record = world.call("database_restore_check")["record"]
    finally:
        world.superuser("DROP TABLE visits")

    assert record["result"] == "failed"
    assert "Rows of public.visits have no partner that the foreign key visits_stay asks for" in record["summary"]


def test_a_damaged_index_is_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator class whose order depends on the hour: the index is built by one order and read by another."""
    monkeypatch.setattr(_restore_check, "BTREES", _restore_check.BTREES.replace("WHERE", "WHERE spoil() AND", 1))
    original = _restore_check.RestoreCheck._amcheck

    def spoiled(self: object, connection: psycopg.Connection[object]) -> None:
        connection.execute("CREATE FUNCTION spoil() RETURNS boolean LANGUAGE sql AS 'SELECT true'")
        connection.execute(
            "CREATE FUNCTION turned(integer, integer) RETURNS integer LANGUAGE sql IMMUTABLE"
            " AS 'SELECT btint4cmp($1, $2)';"
            "CREATE OPERATOR CLASS turning FOR TYPE integer USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =,"
            " OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 turned(integer, integer);"
            "CREATE INDEX beds_turning ON public.beds USING btree (id turning);"
            "CREATE OR REPLACE FUNCTION turned(integer, integer) RETURNS integer LANGUAGE sql IMMUTABLE"
            " AS 'SELECT btint4cmp($2, $1)'"
        )
        original(self, connection)  # type: ignore[arg-type]

    monkeypatch.setattr(_restore_check.RestoreCheck, "_amcheck", spoiled)
    world.there()

    record = world.call("database_restore_check")["record"]

    assert record["result"] == "failed"
    assert "amcheck says that the index public.beds_turning is damaged" in record["summary"]


KILLED = """
import os, sys, time
from ansible_collections.daily_emr.ops.plugins.module_utils._restore_server import fresh_folder, fresh_server
with fresh_folder(sys.argv[1], "killed") as folder, fresh_server(folder, "", lambda text: None) as server:
    print("runs", flush=True)
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_check_left_is_removed_by_the_next_one(world: World) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(world.work)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "runs\n"), done.stderr
    assert len(servers(world)) >= 1
    assert place_of(str(world.work), "killed").exists()

    with fresh_folder(str(world.work), "killed") as folder:
        assert servers(world) == []
        assert list(folder.iterdir()) == []
    assert left(world) == ([], [])


def test_the_server_listens_on_nothing_but_its_own_socket(world: World) -> None:
    with fresh_folder(str(world.work), "socket") as folder, fresh_server(folder, "", lambda _text: None) as server:
        assert folder.stat().st_mode & 0o777 == 0o700
        with server.connect() as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == {"listen_addresses": ""}
    assert json.dumps([str(path) for path in world.work.iterdir()]) == "[]"


def test_a_server_that_does_not_start_is_an_error_and_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_restore_server, "SETTINGS", {"no_such_setting": "1"})
    with (
        pytest.raises(OpsError, match="ended at its start"),
        fresh_folder(str(world.work), "broken") as folder,
        fresh_server(folder, "", lambda _text: None),
    ):
        pass
    assert left(world) == ([], [])
