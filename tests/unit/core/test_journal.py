"""The journal: what it says is on the disk, nobody else can read it, and a crash tears at most its last line."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, write_record


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "INC-1" / "run-1", "INC-1", "run-1", "emr-web")
    made.create()
    return made


def test_lines_come_back_as_they_were_written_in_order_and_numbered(journal: Journal) -> None:
    journal.append("opened", runbook="app_outage")
    journal.append("refused", msg="no")

    first, second = journal.read()
    assert (first["seq"], first["kind"], first["runbook"], first["component"]) == (1, "opened", "app_outage", "emr-web")
    assert (second["seq"], second["msg"]) == (2, "no")
    assert first["at"].endswith("Z")
    assert len(first["at"]) == len("2026-11-22T01:30:00.000Z")


def test_only_the_owner_may_read_the_folder_and_its_files(journal: Journal) -> None:
    journal.append("opened")
    write_record(journal.folder, {"schema": 1})

    assert stat.S_IMODE(journal.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in journal.folder.iterdir()} == {0o600}


def test_a_line_torn_by_a_crash_is_skipped_and_shows_as_a_gap(journal: Journal) -> None:
    journal.append("opened")
    with journal.path.open("ab") as file:
        file.write(b'{"seq": 2, "kind": "inte')

    assert [line["seq"] for line in journal.read()] == [1]
    journal.append("closed")

    assert [(line["seq"], line["kind"]) for line in journal.read()] == [(1, "opened"), (3, "closed")]
    assert b'"inte\n' in journal.path.read_bytes()  # evidence is kept, not cut off


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_wherever_the_last_line_is_torn_the_others_are_read(journal: Journal, cut: int) -> None:
    journal.append("opened")
    journal.append("refused", msg="x" * 40)
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[:-cut])

    # Without its newline the last line is still whole.
    assert [line["kind"] for line in journal.read()] == (["opened", "refused"] if cut == 1 else ["opened"])


def test_a_line_is_on_the_disk_before_append_returns(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        events.append(f"fsync {kind} with {journal.path.stat().st_size > 0}")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    journal.append("opened")
    events.append("returned")

    assert events == ["fsync file with True", "fsync folder with True", "returned"]


def test_a_full_disk_is_a_refusal_that_says_so(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(Refused, match=r"cannot be written .No space left on device.: make room"):
        journal.append("intent")


def test_a_run_folder_is_never_used_twice(journal: Journal) -> None:
    with pytest.raises(Refused, match="cannot be made"):
        journal.create()


def test_a_journal_that_was_replaced_by_a_link_is_not_followed(journal: Journal, tmp_path: Path) -> None:
    journal.path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(Refused):
        journal.append("opened")
    assert not (tmp_path / "elsewhere").exists()


def test_a_kind_that_nobody_knows_is_a_fault_of_our_own(journal: Journal) -> None:
    with pytest.raises(ValueError, match="not a kind"):
        journal.append("whatever")


def test_writers_at_the_same_time_get_whole_lines_and_different_numbers(journal: Journal) -> None:
    def write(_number: int) -> None:
        for _ in range(10):
            journal.append("waited", sentence="x" * 500)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [line["seq"] for line in journal.read()] == list(range(1, 41))


def test_a_record_is_replaced_in_one_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_record(tmp_path, {"schema": 1, "outcome": "noop"})

    def crash(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        write_record(tmp_path, {"schema": 1, "outcome": "unknown"})

    kept: dict[str, Any] = json.loads((tmp_path / "record.json").read_text())
    assert kept["outcome"] == "noop"
