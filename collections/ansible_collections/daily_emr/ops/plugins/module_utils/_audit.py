# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Journals read back and held against their chain and two witnesses: the lines that the table of the environment holds,
and the heads that are locked in the bucket of the audit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling
from ansible_collections.daily_emr.ops.plugins.module_utils._chain import parse, verify
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import INCIDENT_ID, JOURNAL

# What is made in bytes of a journal that nobody wrote: it is not read.
LONGEST = 256 * 1024 * 1024
UNLOCKED = (
    "It is not anchored in the bucket: nothing was changed, the run died, or its head could not be put. Who may write "
    "the table could have written both anew."
)

Anchors = Mapping[str, Sequence[Mapping[str, Any]]]
"""Run -> the lines of it that a witness holds."""


@dataclass(frozen=True)
class Audited:
    """What one journal is worth. anchors, heads: how many of its lines the table and the bucket hold; None for one that
    was not asked, or did not answer.
    """

    incident: str
    run: str
    lines: int
    anchors: int | None
    heads: int | None
    faults: list[str]

    @property
    def sentence(self) -> str:
        """The same in one sentence."""
        if self.faults:
            return f"{len(self.faults)} faults. {self.faults[0]}"
        if self.anchors is None:
            return "Its chain is whole. A cut end, or a journal written anew, shows only with the environment's table."
        if not self.anchors and not self.heads:
            return "Its chain is whole. It is not anchored: the table holds no line of it, as of a plan or a refusal."
        table = f"{self.anchors} of its lines are in the table as they are here" if self.anchors else ""
        bucket = "its head is in the bucket" if self.heads else ""
        found = f"Its chain is whole, and {' and '.join(filter(None, (table, bucket)))}."
        if not table:
            return f"{found} The table holds no line of it."
        return found if bucket else f"{found} {UNLOCKED if self.heads == 0 else 'The bucket was not asked.'}"

    def as_result(self) -> dict[str, Any]:
        return {**asdict(self), "sentence": self.sentence}


def audit(
    runs_dir: Path, incident: str, anchors: Anchors | None = None, heads: Anchors | OpsError | None = None
) -> list[Audited]:
    """Every journal of an incident in a folder of runs, oldest first. Raises Refused when there is none.

    anchors, heads: what table and bucket hold of the incident; None when nobody asked them, an error when the bucket
    did not answer: what nobody can say is a fault. A run that only a witness knows is one of another machine, or its
    folder was removed: it is listed with 0 lines, and it is a fault.
    """
    if not INCIDENT_ID.fullmatch(incident):
        raise Refused("incident_id must look like INC-20261122-013000-9f3a: letters, digits and dashes after INC-.")
    witnesses = _Witnesses(anchors, heads)
    paths = sorted((runs_dir / incident).glob(f"*/{JOURNAL}"))
    elsewhere = sorted(witnesses.runs() - {path.parent.name for path in paths})
    if not paths and not elsewhere:
        raise Refused(f"There is no journal of {incident} in {runs_dir}: look on the machine that it ran on.")
    found = [_audited(path, incident, witnesses) for path in paths]
    return found + [witnesses.audited(incident, run, 0, [witnesses.lost(run)]) for run in elsewhere]


@dataclass(frozen=True)
class _Witnesses:
    table: Anchors | None
    bucket: Anchors | OpsError | None

    @property
    def heads(self) -> Anchors | None:
        return None if isinstance(self.bucket, OpsError) else self.bucket

    def runs(self) -> set[str]:
        """The runs that one of them knows."""
        return {*(self.table or ()), *(self.heads or ())}

    def lost(self, run: str) -> str:
        """What is wrong with a run that only they know."""
        who = [word for word, held in (("table", self.table), ("bucket", self.heads)) if run in (held or ())]
        return (
            f"Lines of this run are in the {' and the '.join(who)}, and its journal is not here: look on the machine "
            "that it ran on."
        )

    def audited(self, incident: str, run: str, lines: int, faults: list[str]) -> Audited:
        """A journal with these faults, and that of a bucket that did not answer."""
        count, heads = (None if held is None else len(held.get(run, ())) for held in (self.table, self.heads))
        if isinstance(self.bucket, OpsError):
            faults = [*faults, f"Nobody can say what the bucket of the audit holds: {self.bucket.sentence}"]
        return Audited(incident, run, lines, count, heads, faults)


def _audited(path: Path, incident: str, witnesses: _Witnesses) -> Audited:
    run = path.parent.name
    try:
        if path.is_symlink() or path.stat().st_size > LONGEST:
            wrong = "The journal is a link, or far too big to be one: look at it."
            return witnesses.audited(incident, run, 0, [wrong])
        data = path.read_bytes()
    except OSError as error:
        return witnesses.audited(incident, run, 0, [f"The journal cannot be read ({error.strerror})."])
    held = ((found or {}).get(run, ()) for found in (witnesses.table, witnesses.heads))
    return witnesses.audited(incident, run, data.count(b"\n"), verify(data, incident, run, *held))


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
