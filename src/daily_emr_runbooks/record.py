"""The files of one run, read back: journal.jsonl while it goes, record.json when it is over."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CommandError

if TYPE_CHECKING:
    from .project import Project

JOURNAL = "journal.jsonl"
RECORD = "record.json"
VERDICT = "verdict.json"
Line = dict[str, Any]


@dataclass(frozen=True)
class RunFolder:
    """`<runs_dir>/<incident>/<run>/`."""

    path: Path

    @property
    def incident(self) -> str:
        return self.path.parent.name

    @property
    def run(self) -> str:
        return self.path.name

    def record(self) -> dict[str, Any] | None:
        """The record, or None when the run did not get that far."""
        try:
            found = json.loads((self.path / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def verdict(self) -> dict[str, Any]:
        """What the success gate made of the run, {"outcome", "sentence"}; empty where the command did not start it."""
        try:
            found = json.loads((self.path / VERDICT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def keep_verdict(self, outcome: str, sentence: str) -> None:
        """Keep the verdict beside the record: it may be stricter, and later reports have to say the same."""
        handle = os.open(self.path / VERDICT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"outcome": outcome, "sentence": sentence}, file)

    def ending(self) -> tuple[str, str]:
        """Outcome and sentence of the run. The verdict of the success gate counts more than the record, which a killed
        run has not.
        """
        judged = (self.record() or {}) | self.verdict()
        said = judged.get("sentence") or "The run left no record: it was killed, or it is still going."
        return str(judged.get("outcome") or "unknown"), str(said)

    def journal(self) -> list[Line]:
        """Whole lines of the journal; a torn last line of a killed run is left out."""
        lines, _ = read_lines(self.path / JOURNAL, 0)
        return lines


def folder_of(result: Mapping[str, Any]) -> Path | None:
    """The folder of the run that the result of a module names. One refused at its start has a record alone."""
    incident, record = result.get("incident"), result.get("record")
    if isinstance(record, str):
        return Path(record).parent
    folder = incident.get("folder") if isinstance(incident, Mapping) else None
    return Path(folder) if isinstance(folder, str) else None


def read_lines(path: Path, offset: int) -> tuple[list[Line], int]:
    """Complete JSON lines from a byte offset on, and the offset behind them. A missing file has no lines."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], offset
    whole = data[: data.rfind(b"\n") + 1]
    lines = []
    for raw in whole.splitlines():
        try:
            line = json.loads(raw)
        except ValueError:
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines, offset + len(whole)


def run_folders(runs_dir: Path) -> list[RunFolder]:
    """All runs, newest last, by the time at which they were last written."""
    journals = [path for path in runs_dir.glob(f"*/*/{JOURNAL}") if not path.parts[-3].startswith(".")]
    return [RunFolder(path.parent) for path in sorted(journals, key=lambda path: path.stat().st_mtime_ns)]


def runs_of(folder: Path) -> list[RunFolder]:
    """The runs of the incident in a folder, in the order in which they were opened."""
    found = [RunFolder(path) for path in folder.iterdir() if (path / JOURNAL).exists() or (path / RECORD).exists()]
    return sorted(found, key=lambda run: (_opened_at(run), run.run))


def _opened_at(run: RunFolder) -> str:
    lines = run.journal()
    return str(lines[0].get("at") if lines else (run.record() or {}).get("opened_at") or "")


def find_run(project: Project, wanted: str) -> RunFolder:
    """The run that `latest`, an incident id, or a path means. Raises CommandError when there is none."""
    if (path := Path(wanted)).exists():
        folder = path if path.is_dir() else path.parent
        if (folder / JOURNAL).exists() or (folder / RECORD).exists():
            return RunFolder(folder.absolute())
    runs = run_folders(project.runs_dir)
    if not runs:
        raise CommandError(f"There is no record yet in {project.runs_dir}: run a runbook first.")
    if wanted == "latest":
        return runs[-1]
    if matching := [run for run in runs if run.incident == wanted]:
        return matching[-1]
    newest = ", ".join(dict.fromkeys(run.incident for run in reversed(runs[-5:])))
    raise CommandError(f"There is no record of {wanted!a} in {project.runs_dir}. The newest are: {newest}.")
