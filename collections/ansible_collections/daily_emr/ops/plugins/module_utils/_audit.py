# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Journals read back and held against their chain, and against the lines that the table of the environment mirrors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling
from ansible_collections.daily_emr.ops.plugins.module_utils._chain import parse, verify
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import INCIDENT_ID, JOURNAL

# What is made in bytes of a journal that nobody wrote: it is not read.
LONGEST = 256 * 1024 * 1024

Anchors = Mapping[str, Sequence[Mapping[str, Any]]]
"""Run -> the lines of it that the table holds."""


@dataclass(frozen=True)
class Audited:
    """What one journal is worth. anchors: how many of its lines the table holds; None when nobody asked it."""

    incident: str
    run: str
    lines: int
    anchors: int | None
    faults: list[str]

    @property
    def sentence(self) -> str:
        """The same in one sentence."""
        if self.faults:
            return f"{len(self.faults)} faults. {self.faults[0]}"
        if self.anchors is None:
            return "Its chain is whole. A cut end, or a journal written anew, shows only with the environment's table."
        if not self.anchors:
            return "Its chain is whole. It is not anchored: the table holds no line of it, as of a plan or a refusal."
        return f"Its chain is whole, and {self.anchors} of its lines are in the table as they are here."

    def as_result(self) -> dict[str, Any]:
        return {**asdict(self), "sentence": self.sentence}


def audit(runs_dir: Path, incident: str, anchors: Anchors | None = None) -> list[Audited]:
    """Every journal of an incident in a folder of runs, oldest first. Raises Refused when there is none.

    anchors: what the table holds of the incident; None when nobody asked it. A run that is only in the table is one of
    another machine, or its folder was removed: it is listed with 0 lines, and it is a fault.
    """
    if not INCIDENT_ID.fullmatch(incident):
        raise Refused("incident_id must look like INC-20261122-013000-9f3a: letters, digits and dashes after INC-.")
    paths = sorted((runs_dir / incident).glob(f"*/{JOURNAL}"))
    elsewhere = sorted(set(anchors or {}) - {path.parent.name for path in paths})
    if not paths and not elsewhere:
        raise Refused(f"There is no journal of {incident} in {runs_dir}: look on the machine that it ran on.")
    found = [_audited(path, incident, anchors) for path in paths]
    lost = "The table holds lines of this run and its journal is not here: look on the machine that it ran on."
    return found + [Audited(incident, run, 0, len((anchors or {})[run]), [lost]) for run in elsewhere]


def _audited(path: Path, incident: str, anchors: Anchors | None) -> Audited:
    run = path.parent.name
    kept = list((anchors or {}).get(run, ()))
    count = None if anchors is None else len(kept)
    try:
        if path.is_symlink() or path.stat().st_size > LONGEST:
            return Audited(incident, run, 0, count, ["The journal is a link, or far too big to be one: look at it."])
        data = path.read_bytes()
    except OSError as error:
        return Audited(incident, run, 0, count, [f"The journal cannot be read ({error.strerror})."])
    return Audited(incident, run, data.count(b"\n"), count, verify(data, incident, run, kept))


def anchors_of(clients: Clients, incident: str) -> dict[str, list[dict[str, Any]]]:
    """The lines of all runs of an incident that the table of the environment holds. Raises OpsError."""
    found: dict[str, list[dict[str, Any]]] = {}
    for item in _items(clients, incident):
        line = parse(item.get("line", {}).get("S", "").encode())
        run = str(item["sk"]["S"]).split("#")[1]
        # A line that cannot be read is one that is not there: its number is told, and no hash is like it.
        seq = int(str(item["sk"]["S"]).rpartition("#")[2])
        found.setdefault(run, []).append({"seq": seq, "hash": (line or {}).get("hash")})
    return found


def _items(clients: Clients, incident: str) -> Iterator[dict[str, Any]]:
    pages = clients.read("dynamodb").get_paginator("query")
    asked = {
        "TableName": clients.environment.table,
        "KeyConditionExpression": "pk = :incident AND begins_with(sk, :journal)",
        "ExpressionAttributeValues": {":incident": {"S": f"incident#{incident}"}, ":journal": {"S": "journal#"}},
        "ConsistentRead": True,
    }
    with calling("dynamodb:Query"):
        for page in pages.paginate(**asked):
            yield from page["Items"]
