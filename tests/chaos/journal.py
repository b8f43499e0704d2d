"""Journals of runs, changed afterwards in every way: each has to be found out (fault table, row 52)."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ansible_collections.daily_emr.ops.plugins.module_utils._chain import verify

from tests import journals
from tests.chaos.rows import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

JOURNALS = {"ci": 25, "long": 1000}


def line(seed: int, size: Literal["ci", "long"], say: Callable[[str], None]) -> Iterable[Row]:
    """Each journal as it was written, then with each change; with the lines that the table holds as anchors. Then with
    the table changed as the journal was, and the bucket left as it is, as it has to be.
    """
    yield _journals(seed, size, say)
    yield _with_the_table(seed, size, say)


def _journals(seed: int, size: Literal["ci", "long"], say: Callable[[str], None]) -> Row:
    started, faults, tried, unseen = time.monotonic(), [], 0, 0
    for number in range(seed, seed + JOURNALS[size]):
        data = _written(number)
        anchors = journals.mirrored(data)
        if found := verify(data, journals.INCIDENT, journals.RUN, anchors):
            faults.append(f"journal {number}, unchanged: {found[0]}")
        for name, changed in journals.attacks(data):
            tried += 1
            if not verify(changed, journals.INCIDENT, journals.RUN, anchors):
                faults.append(f"journal {number}: {name}, and it was not found")
            unseen += name.endswith("edited") and _reads_well(changed)
    say(f"{tried} changes to {JOURNALS[size]} journals")
    control = f"{unseen} edited lines read as well as before where nobody compares hashes" if unseen else ""
    return Row("journals changed afterwards are found", tried, tuple(faults), control, time.monotonic() - started)


def _with_the_table(seed: int, size: Literal["ci", "long"], say: Callable[[str], None]) -> Row:
    """Who can write the table writes lines into it that fit what was made of the journal; the head stays as it was."""
    started, faults, tried, unseen = time.monotonic(), [], 0, 0
    for number in range(seed, seed + JOURNALS[size]):
        data = _written(number)
        heads = journals.heads(data)
        if found := verify(data, journals.INCIDENT, journals.RUN, journals.mirrored(data), heads):
            faults.append(f"journal {number}, unchanged: {found[0]}")
        for name, changed in journals.forgeries(data):
            tried += 1
            anchors = journals.mirrored(changed)
            if not verify(changed, journals.INCIDENT, journals.RUN, anchors, heads):
                faults.append(f"journal {number}: {name} here and in the table, and it was not found")
            unseen += not verify(changed, journals.INCIDENT, journals.RUN, anchors)
    say(f"{tried} changes to {JOURNALS[size]} journals and their lines in the table")
    control = f"{unseen} of them are not found where nobody asks the bucket" if unseen else ""
    name = "journals changed together with the table are found"
    return Row(name, tried, tuple(faults), control, time.monotonic() - started)


def _written(number: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return journals.write(Path(folder) / journals.RUN, number)


def _reads_well(data: bytes) -> bool:
    """What can be said of a journal without its chain: whether its lines are whole and numbered."""
    rows = [json.loads(raw) for raw in data.splitlines()]
    return [row.get("seq") for row in rows] == list(range(1, len(rows) + 1))
