# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The journal of a run: append-only JSON lines, on disk before the thing they announce is done."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._chain import chained, genesis, head, parse
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused

JOURNAL = "journal.jsonl"
RECORD = "record.json"
KINDS = frozenset(
    {
        "opened",
        "observed",
        "decided",
        "looked",
        "planned",
        "lease",
        "intent",
        "outcome",
        "refused",
        "probed",
        "waited",
        "verified",
        "impact",
        "break_glass",
        "cancelled",
        "closed",
    }
)
INCIDENT_ID = re.compile(r"INC-[A-Za-z0-9][A-Za-z0-9-]{0,60}")

INCIDENT_SPEC: dict[str, Any] = {
    "id": {"type": "str", "required": True},
    "run": {"type": "str", "required": True},
    "folder": {"type": "path", "required": True},
    "component": {"type": "str", "required": True},
    "fence": {"type": "int"},
    "owner": {"type": "str"},
    "lease_seconds": {"type": "int"},
    "plan": {"type": "str"},
}


@dataclass(frozen=True)
class Session:
    """The open incident of this run, as it travels from task to task.

    fence is set while the lease is held, plan once there is one: its digest (_plan.py).
    """

    id: str
    run: str
    folder: Path
    component: str
    fence: int | None = None
    owner: str = ""
    lease_seconds: int = 0
    plan: str = ""

    @classmethod
    def from_params(cls, params: Mapping[str, Any] | None) -> Session | None:
        if not params:
            return None
        return cls(
            id=params["id"],
            run=params["run"],
            folder=Path(params["folder"]),
            component=params["component"],
            fence=params.get("fence"),
            owner=params.get("owner") or "",
            lease_seconds=params.get("lease_seconds") or 0,
            plan=params.get("plan") or "",
        )

    def as_params(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "run": self.run,
            "folder": str(self.folder),
            "component": self.component,
            "fence": self.fence,
            "owner": self.owner,
            "lease_seconds": self.lease_seconds,
            "plan": self.plan,
        }


class Journal:
    """The journal in one run folder. One run writes it; a lock orders its processes.

    A line that was torn by a crash is kept, closed with a newline and skipped when read: the gap in seq shows it. Each
    line holds the hash of the one before (`_chain.py`).
    """

    def __init__(self, folder: Path, incident: str, run: str, component: str = "") -> None:
        self.folder = folder
        self.path = folder / JOURNAL
        self._head = {"incident": incident, "run": run, "component": component}

    @classmethod
    def of(cls, session: Session) -> Journal:
        return cls(session.folder, session.id, session.run, session.component)

    def create(self) -> None:
        """Make the run folder, readable by this user only. Raises Refused when there is no place for it."""
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.mkdir(mode=0o700)
            _sync_folder(self.folder.parent)
        except OSError as error:
            raise Refused(
                f"The run folder {self.folder} cannot be made ({error.strerror}): make room, or set DAILY_EMR_RUNS."
            ) from error

    def append(self, kind: str, **body: Any) -> dict[str, Any]:
        """Write one line and return it once it is on the disk. Raises Refused when it could not be written."""
        if kind not in KINDS:
            raise ValueError(f"{kind} is not a kind of journal line")
        try:
            return self._append(kind, body)
        except OSError as error:
            raise Refused(
                f"The journal {self.path} cannot be written ({error.strerror}): make room on the disk."
            ) from error

    def _append(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(self.path, flags, 0o600), "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            written = file.read()
            torn = bool(written) and not written.endswith(b"\n")
            line = {"seq": written.count(b"\n") + torn + 1, "at": utc_now(), "kind": kind, **self._head, **body}
            line = chained(line, head(written) or genesis(line))
            data = (b"\n" if torn else b"") + json.dumps(line).encode() + b"\n"
            if file.write(data) != len(data):
                raise OSError(28, "short write")
            os.fsync(file.fileno())
        _sync_folder(self.folder)
        return line

    def read(self) -> list[dict[str, Any]]:
        """Every whole line, oldest first."""
        if not self.path.exists():
            return []
        return [line for raw in self.path.read_bytes().split(b"\n") if (line := parse(raw)) is not None]


def write_record(folder: Path, record: Mapping[str, Any]) -> Path:
    """Write record.json in one piece: whoever reads it sees the whole record or none."""
    path, draft = folder / RECORD, folder / f".{RECORD}"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
        json.dump(record, file, indent=2, default=str)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    _sync_folder(folder)
    return path


def runs_folder(given: str | None, project: Path) -> Path:
    """Where run folders are: what was given, else the environment variable, else .runs in the project."""
    return Path(given or os.environ.get("DAILY_EMR_RUNS") or project / ".runs").absolute()


def utc_now() -> str:
    """Now, as the journal writes it: UTC, ISO 8601, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
