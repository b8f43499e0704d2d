"""A journal that was changed is found out, and one that was not is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _chain
from ansible_collections.daily_emr.ops.plugins.module_utils._audit import anchors_of, audit
from ansible_collections.daily_emr.ops.plugins.module_utils._chain import verify
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal

from tests import journals
from tests.journals import INCIDENT, RUN

from .conftest import TABLE

if TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Session


@pytest.mark.parametrize("closed", [True, False])
def test_a_journal_as_it_was_written_has_no_fault(tmp_path: Path, closed: bool) -> None:
    data = journals.write(tmp_path / RUN, 1, closed=closed)

    assert verify(data, INCIDENT, RUN) == []
    assert verify(data, INCIDENT, RUN, journals.mirrored(data)) == []


def test_whatever_was_changed_is_found(tmp_path: Path) -> None:
    data = journals.write(tmp_path / RUN, 2)
    anchors = journals.mirrored(data)

    assert [name for name, changed in journals.attacks(data) if not verify(changed, INCIDENT, RUN, anchors)] == []


def test_without_the_anchors_an_end_that_was_cut_off_is_not_found(tmp_path: Path) -> None:
    """The control of the test above: what they are for."""
    data = journals.write(tmp_path / RUN, 2)
    rows = data.splitlines(keepends=True)

    assert verify(b"".join(rows[:-2]), INCIDENT, RUN) == []


def test_without_the_hashes_an_edited_value_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = journals.write(tmp_path / RUN, 2)
    monkeypatch.setattr(_chain, "hash_of", lambda line: line.get("hash"))

    assert verify(data.replace(b"wanjiru", b"nobody1"), INCIDENT, RUN) == []


def test_a_line_that_a_crash_tore_is_told_and_the_lines_behind_it_follow_the_last_whole_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path / RUN, INCIDENT, RUN)
    journal.create()
    journal.append("opened", environment="staging")
    with journal.path.open("ab") as file:
        file.write(b'{"seq": 2, "kind": "inte')
    journal.append("closed")

    assert verify(journal.path.read_bytes(), INCIDENT, RUN) == [
        "Line 2 is not whole: the run was killed while it wrote it, or somebody changed it."
    ]


def test_a_journal_from_before_the_chain_says_so() -> None:
    old = b'{"seq": 1, "kind": "opened", "incident": "INC-1", "run": "run-1"}\n'

    assert verify(old, "INC-1", "run-1")[0].startswith("Line 1 has no hash: it was put in, or written before")


def test_a_journal_of_another_run_does_not_pass_for_this_one(tmp_path: Path) -> None:
    data = journals.write(tmp_path / RUN, 3)

    assert "belongs to another incident or run" in " ".join(verify(data, INCIDENT, "another"))


def test_the_folder_of_an_incident_is_held_against_the_table(tmp_path: Path) -> None:
    data = journals.write(tmp_path / INCIDENT / RUN, 4)
    anchors = {RUN: journals.mirrored(data)}

    whole, alone = audit(tmp_path, INCIDENT, anchors)[0], audit(tmp_path, INCIDENT)[0]
    assert (whole.faults, whole.anchors, alone.anchors) == ([], len(anchors[RUN]), None)
    assert "are in the table as they are here" in whole.sentence
    assert "shows only with the environment's table" in alone.sentence
    assert "not anchored" in audit(tmp_path, INCIDENT, {})[0].sentence
    lost = audit(tmp_path, INCIDENT, {**anchors, "20261122-020000-0000": anchors[RUN]})[1]
    assert lost.faults
    assert lost.lines == 0


@pytest.mark.parametrize("incident", ["INC-1", "../../etc", "", "INC-../x"])
def test_an_incident_that_is_not_there_or_no_name_is_refused(tmp_path: Path, incident: str) -> None:
    with pytest.raises(Refused):
        audit(tmp_path, incident)


def test_the_table_holds_the_lines_of_the_lease_and_of_the_changes(clients: Clients, leased: Session) -> None:
    from ansible_collections.daily_emr.ops.plugins.module_utils._lease import Lease, LeaseStore

    journal, store = Journal.of(leased), LeaseStore(clients, TABLE)
    journal.append("opened", environment="staging")
    store.record(journal.append("lease", fence=leased.fence))
    line = journal.append("intent", step="toy", target="toy/1", fence=leased.fence)
    store.record_intent(Lease.of(leased), line)

    anchors = anchors_of(clients, leased.id)
    assert {run: [line["seq"] for line in kept] for run, kept in anchors.items()} == {leased.run: [2, 3]}
    assert verify(journal.path.read_bytes(), leased.id, leased.run, anchors[leased.run]) == []
