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
    """Each journal as it was written, then with each change; with the lines that the table holds as anchors."""
    started, faults, tried, unseen = time.monotonic(), [], 0, 0
    for number in range(seed, seed + JOURNALS[size]):
        with tempfile.TemporaryDirectory() as folder:
            data = journals.write(Path(folder) / journals.RUN, number)
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
    yield Row("journals changed afterwards are found", tried, tuple(faults), control, time.monotonic() - started)


def _reads_well(data: bytes) -> bool:
    """What can be said of a journal without its chain: whether its lines are whole and numbered."""
    rows = [json.loads(raw) for raw in data.splitlines()]
    return [row.get("seq") for row in rows] == list(range(1, len(rows) + 1))
