# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The chain of a journal: each line holds the hash of the one before it, and its own. Pure.

The chain shows that a line was edited, removed, moved or put in. That the end was cut off, or that the whole journal
was written anew, shows only against a witness: the lines that the table of the environment holds, and the heads that
the bucket of the audit holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Line = Mapping[str, Any]


def chained(line: Line, prev: str) -> dict[str, Any]:
    """The line with the hash of the one before it and its own, and with nothing that JSON does not know."""
    body: dict[str, Any] = json.loads(json.dumps({**line, "prev": prev}, default=str))
    return {**body, "hash": hash_of(body)}


def hash_of(line: Line) -> str:
    """SHA-256 of the hash before the line and of its canonical form, in hexadecimal digits."""
    body = {key: value for key, value in line.items() if key not in ("hash", "prev")}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{line.get('prev')}\n{canonical}".encode()).hexdigest()


def genesis(line: Line) -> str:
    """What stands for the hash before the first line: it binds the journal to its incident, run and environment."""
    words = ("daily_emr journal", *(str(line.get(key) or "") for key in ("incident", "run", "environment")))
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def head(data: bytes) -> str:
    """The hash of the newest whole line; empty when there is none."""
    for raw in reversed(data.split(b"\n")):
        if (line := parse(raw)) is not None:
            return str(line.get("hash") or "")
    return ""


def parse(raw: bytes) -> dict[str, Any] | None:
    """A line of a journal; None when it is not whole."""
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None


def verify(data: bytes, incident: str, run: str, anchors: Sequence[Line] = (), heads: Sequence[Line] = ()) -> list[str]:
    """What is wrong with a journal, one sentence for each fault; empty when nothing is.

    data: the whole file. incident, run: whose journal it has to be. anchors, heads: those of its lines that the table
    and the bucket keep, in any order.
    """
    if not data:
        return ["The journal is empty."]
    faults = list(_chain_faults(data.split(b"\n"), incident, run))
    faults += _anchor_faults(data, anchors, "table of the environment")
    return faults + list(_anchor_faults(data, heads, "bucket of the audit"))


def _chain_faults(raw_lines: list[bytes], incident: str, run: str) -> Iterator[str]:
    if raw_lines[-1]:
        yield f"Line {len(raw_lines)} has no end: the run was killed while it wrote it, or it was cut."
    else:
        raw_lines = raw_lines[:-1]
    before: str | None = None
    for number, raw in enumerate(raw_lines, start=1):
        line = parse(raw)
        if line is None:
            yield f"Line {number} is not whole: the run was killed while it wrote it, or somebody changed it."
            continue
        if line.get("seq") != number:
            yield f"Line {number} says that it is line {line.get('seq')!a:.20}: lines were removed, moved or put in."
        if (line.get("incident"), line.get("run")) != (incident, run):
            yield f"Line {number} belongs to another incident or run."
        if not isinstance(line.get("hash"), str):
            yield f"Line {number} has no hash: it was put in, or written before journals had a chain."
        elif line["hash"] != hash_of(line):
            yield f"Line {number} was edited: its hash is another one."
        elif raw != json.dumps(line).encode():
            yield f"Line {number} was edited: it is not as it was written."
        if line.get("prev") != (genesis(line) if before is None else before):
            yield f"Line {number} does not follow the line before it: lines were edited, removed, moved or put in."
        before = str(line.get("hash"))


def _anchor_faults(data: bytes, anchors: Sequence[Line], witness: str) -> Iterator[str]:
    here = {line.get("seq"): line for raw in data.split(b"\n") if (line := parse(raw)) is not None}
    for anchor in sorted(anchors, key=lambda line: int(line["seq"])):
        seq = anchor["seq"]
        if seq not in here:
            yield f"Line {seq} is missing: the {witness} holds it."
        elif here[seq].get("hash") != anchor.get("hash"):
            yield f"Line {seq} is another one than the {witness} holds."
