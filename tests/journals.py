"""Journals as runs write them, and every way to change one afterwards."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._chain import chained, genesis, parse
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INCIDENT, RUN = "INC-20261122-013000-9f3a", "20261122-013000-77c1"
MIRRORED = ("lease", "intent", "outcome", "closed")
Line = dict[str, Any]


def write(folder: Path, seed: int, *, closed: bool = True) -> bytes:
    """The journal of a run with one change or several, and unlike texts, by the writer that runs use."""
    chance = random.Random(seed)
    journal = Journal(folder, INCIDENT, RUN, "emr-web")
    journal.create()
    journal.append("opened", runbook="app_outage", environment="staging", mode="run", fence_seen=chance.randint(0, 9))
    for number in range(chance.randint(1, 6)):
        status = chance.choice(["ok", "finding", "unknown"])
        observed = {"name": f"finding_{number}", "status": status, "seen": [chance.random(), None, "né\u202e\n"]}
        journal.append("observed", observations=[observed], healthy=chance.choice([True, False, None]))
    journal.append("decided", cause="bad_release", sentence="Errors come only from tasks of the newest release.")
    journal.append("lease", fence=chance.randint(1, 9), owner="wanjiru@laptop", taken_over="")
    for number in range(chance.randint(1, 2)):
        facts = {"step": "ecs_service_release", "target": f"service/emr-web-{number}", "imperative": False}
        journal.append("intent", **facts, diff={"before": {"release": "b"}, "after": {"release": "a"}})
        journal.append("outcome", **facts, outcome="ok", seconds=round(chance.random(), 3))
    journal.append("verified", verified=True, reached="it is healthy again")
    if closed:
        journal.append("closed", outcome="succeeded", sentence="It is healthy again.", lease="released")
    return journal.path.read_bytes()


def mirrored(data: bytes) -> list[Line]:
    """Those of its lines that the table holds."""
    return [line for line in lines(data) if line["kind"] in MIRRORED]


def heads(data: bytes) -> list[Line]:
    """What the bucket holds of it: the line that was its newest when the run ended."""
    return lines(data)[-1:]


def rewritten(data: bytes, at: int = 0) -> bytes:
    """The journal with one line that says something else, and that line and all behind it with hashes that fit."""
    rows = data.splitlines(keepends=True)
    return b"".join([*rows[:at], *_anew(json.loads(rows[at]), rows[at + 1 :])])


def forgeries(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What its chain does not show, nor a table that was changed with it: written anew from each line on, and cut."""
    rows = data.splitlines(keepends=True)
    for at in range(len(rows)):
        yield f"everything from line {at + 1} on written anew", rewritten(data, at)
    for end in range(1, len(rows)):
        yield f"everything behind line {end} cut off", b"".join(rows[:end])


def lines(data: bytes) -> list[Line]:
    return [line for raw in data.split(b"\n") if (line := parse(raw)) is not None]


def attacks(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Each line edited, removed, doubled, moved and torn; the end cut; lines put in; all of it chained anew."""
    rows = data.splitlines(keepends=True)
    for at, row in enumerate(rows):
        before, after = rows[:at], rows[at + 1 :]
        line = json.loads(row)
        yield f"line {at + 1} removed", b"".join(before + after)
        yield f"line {at + 1} doubled", b"".join([*before, row, row, *after])
        yield f"line {at + 1} cut in two", b"".join([*before, row[: len(row) // 2], b"\n", *after])
        yield f"line {at + 1} cut in two, at the end", b"".join([*before, row[: len(row) // 2]])
        yield f"line {at + 1} without its end", b"".join([*before, row[:-1]])
        yield f"line {at + 1} with a space", b"".join([*before, row.replace(b": ", b":  ", 1), *after])
        for key in line:
            edited = {**line, key: _other(line[key])}
            yield f"{key} of line {at + 1} edited", b"".join([*before, _row(edited), *after])
            fewer = {name: value for name, value in line.items() if name != key}
            yield f"{key} of line {at + 1} left out", b"".join([*before, _row(fewer), *after])
        anew = chained({**_body(line), "at": "2026-11-22T01:30:00.000Z"}, line["prev"])
        yield f"line {at + 1} edited, with a new hash", b"".join([*before, _row(anew), *after])
        yield f"everything from line {at + 1} on chained anew", b"".join([*before, *_anew(line, after)])
        if after:
            yield f"line {at + 1} moved", b"".join([*before, after[0], row, *after[1:]])
            yield f"line {at + 1} and what follows cut off", b"".join(before) or rows[-1]
    last = json.loads(rows[-1])
    more = chained({**_body(last), "seq": len(rows) + 1, "prev": last["hash"]}, "0" * 64)
    yield "a line put at the end", data + _row(more)
    first = json.loads(rows[0])
    for key in ("incident", "run", "environment"):
        bound = {**_body(first), key: "another"}
        yield (
            f"{key} changed and all chained anew",
            b"".join(_chain([bound, *(_body(json.loads(r)) for r in rows[1:])])),
        )
    yield "emptied", b""


def _other(value: Any) -> Any:
    return f"{value}." if not isinstance(value, bool) else not value


def _body(line: Line) -> Line:
    return {key: value for key, value in line.items() if key not in ("prev", "hash")}


def _row(line: Line) -> bytes:
    return json.dumps(line).encode() + b"\n"


def _anew(line: Line, after: list[bytes]) -> list[bytes]:
    """A line that was edited, and those behind it with new hashes."""
    first = {**_body(line), "at": "2026-11-22T01:30:00.000Z"}
    return _chain([first, *(_body(json.loads(row)) for row in after)], line["prev"])


def _chain(bodies: list[Line], prev: str = "") -> list[bytes]:
    made = []
    prev = prev or genesis(bodies[0])
    for body in bodies:
        line = chained(body, prev)
        made.append(_row(line))
        prev = line["hash"]
    return made
