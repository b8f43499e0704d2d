"""Which post-mortems are still to be published, and how much time is left: made for a schedule."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ..errors import CommandError
from ..timeline import both_clocks
from .document import Document
from .draft import DUE_AFTER, POSTMORTEM, due
from .incident import FILE, SEVERE, read_incident
from .people import Names

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

MARKS = (24, 36, 44)
"""Hours after the resolution at which people are reminded; after DUE_AFTER it is overdue."""
NOT_KNOWN = "not known"


@dataclass(frozen=True)
class Reminder:
    """A post-mortem that is not published. hours_left: None where it is not known, below 0 when it is overdue.

    alarming: overdue, or nobody can tell whether it is.
    """

    incident: str
    severity: str
    status: str
    due: str
    hours_left: float | None
    mark: str
    alarming: bool


def reminders(runs_dir: Path, now: datetime) -> list[Reminder]:
    """Every incident of this machine whose post-mortem is to be published and is not; the most urgent first."""
    found = []
    folders = sorted(path for path in runs_dir.glob("INC-*") if path.is_dir())
    for folder in folders:
        reminder = _of_folder(folder, now) if (folder / FILE).exists() else _without_record(folder)
        if reminder:
            found.append(reminder)
    return sorted(found, key=lambda one: (not one.alarming, one.hours_left is None, one.hours_left or 0, one.incident))


def _of_folder(folder: Path, now: datetime) -> Reminder | None:
    try:
        incident = read_incident(folder, Names())
        written = Document.read(folder / POSTMORTEM) if (folder / POSTMORTEM).exists() else None
    except CommandError as error:
        return _unreadable(folder, error.sentence)
    if (written and written.published) or not (incident.mandatory[0] or written):
        return None
    status = written.status.cells[1] if written and written.status and written.status.cells[1:] else "without status"
    status = status if written else "not begun"
    by = due(incident)
    if by is None:
        return Reminder(folder.name, incident.severity, status, "48 h after it is resolved", None, "", alarming=False)
    left = (by - now) / timedelta(hours=1)
    return Reminder(
        folder.name, incident.severity, status, both_clocks(by.isoformat()), left, _mark(left), alarming=left < 0
    )


def _mark(hours_left: float) -> str:
    since = DUE_AFTER / timedelta(hours=1) - hours_left
    if hours_left < 0:
        return "OVERDUE: tell the incident commander"
    return next((f"reminder {mark} h" for mark in reversed(MARKS) if since >= mark), "")


def _without_record(folder: Path) -> Reminder | None:
    """Runs that were no plans, of a severity that needs a post-mortem, whose record nobody has written yet."""
    for path in folder.glob("*/record.json"):
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return _unreadable(folder, f"{path} cannot be read as JSON.")
        if isinstance(run, dict) and run.get("mode") == "run" and run.get("severity") in SEVERE:
            return _unreadable(folder, f"{folder.name} has no {FILE} yet: let its record be written.")
    return None


def _unreadable(folder: Path, why: str) -> Reminder:
    return Reminder(folder.name, NOT_KNOWN, NOT_KNOWN, f"{NOT_KNOWN}: {why}", None, NOT_KNOWN, alarming=True)
