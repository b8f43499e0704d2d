"""The record of an incident, `<runs>/INC-…/incident.json`: its shape is looked at, no figure reckoned anew."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import CommandError
from ..facts import moment, number
from ..incidents import INCIDENT
from .people import Names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from ..project import Project

FILE = "incident.json"
SCHEMA = 1
TIMES = ("impact_began", "detected", "acknowledged", "mitigated", "resolved")
DURATIONS = ("detect", "acknowledge", "mitigate", "resolve")
_TEXTS = ("incident", "title", "severity", "environment", "state", "outcome", "sentence")
_NAMES = ("components", "runbooks")
_TABLES = {
    "timeline": ("ts_utc", "kind", "summary"),
    "actions": ("component", "step", "target", "outcome"),
    "told": ("channel", "event", "state"),
    "runs": ("run", "component", "runbook", "outcome"),
}

SEVERE = frozenset({"SEV1", "SEV2"})
MANDATORY_SHARE = 0.2
MANDATORY_MINUTES = 8.6
"""A fifth of the budget of a month of 30 days: from here on one incident needs a post-mortem, whatever its severity."""


@dataclass(frozen=True)
class Incident:
    """An incident as its record tells it. record: the parsed file; names: people who must not be named."""

    folder: Path
    record: Mapping[str, Any]
    names: Names

    @property
    def name(self) -> str:
        return str(self.record["incident"])

    @property
    def severity(self) -> str:
        return str(self.record["severity"])

    def at(self, name: str) -> datetime | None:
        """One of TIMES; None where the record does not know it."""
        return moment(self.record["times"].get(name))

    def seconds(self, name: str) -> float | None:
        """One of DURATIONS; None where the record does not know it."""
        return number(self.record["durations_s"].get(name))

    def impact(self, name: str) -> float | None:
        """A figure of the impact; None where the record does not know it."""
        return number(self.record["impact"].get(name))

    @property
    def mandatory(self) -> tuple[bool, str]:
        """Whether a post-mortem has to be written, and why. An impact that nobody knows counts as a great one."""
        minutes, share = self.impact("minutes"), self.impact("budget_share")
        if self.severity in SEVERE:
            return True, f"every {self.severity} has one"
        if minutes is None and share is None:
            return True, f"the impact is not known: {self.why_unknown}"
        if (share or 0) >= MANDATORY_SHARE or (minutes or 0) >= MANDATORY_MINUTES:
            return True, f"it cost {minutes_text(minutes)}, {share_text(share)}"
        return False, f"it cost {minutes_text(minutes)}, less than a fifth of the budget of the month"

    @property
    def why_unknown(self) -> str:
        why = self.record["impact"].get("why")
        return str(why).rstrip(".") if why else "the record does not say why"


def minutes_text(minutes: float | None) -> str:
    return "not known" if minutes is None else f"{minutes:.1f} min"


def share_text(share: float | None) -> str:
    """A part of 1 for people."""
    return "not known" if share is None else f"{100 * share:.1f} % of the budget of the month"


def find_incident(project: Project, name: str) -> Incident:
    """An incident of this machine. Raises CommandError when it has no record, or one of another shape."""
    if not INCIDENT.fullmatch(name):
        raise CommandError("An incident is named like INC-20261122-013000-9f3a: `runbook report` names the last ones.")
    folder = project.runs_dir / name
    if not folder.is_dir():
        raise CommandError(f"There is no {name} in {project.runs_dir}: `runbook report` names the last ones.")
    return read_incident(folder, Names.of_runs(project.runs_dir))


def read_incident(folder: Path, names: Names) -> Incident:
    """Read the record in a folder. Raises CommandError: missing, no JSON, another schema or another shape."""
    path = folder / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CommandError(
            f"{folder.name} has no {FILE} yet: let the record of the incident be written, then ask again."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CommandError(f"{path} cannot be read as JSON: write the record of the incident again.") from error
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != SCHEMA or isinstance(schema, bool):
        raise CommandError(f"{path} is of schema {schema!a}, and this version reads {SCHEMA}: use the same version.")
    if wrong := next(_faults(found), ""):
        raise CommandError(f"{path} is no record of an incident: {wrong}. Write the record of the incident again.")
    if found["incident"] != folder.name:
        raise CommandError(f"{path} is about {found['incident']!a}, not about {folder.name}: put it where it belongs.")
    return Incident(folder, found, names)


def _faults(record: Mapping[str, Any]) -> Iterator[str]:
    """What is not as agreed, as the middle of a sentence. Times and figures may be null, which is "not known"."""
    yield from (f"{name} is no text" for name in _TEXTS if not isinstance(record.get(name), str))
    yield from (f"{name} is no list of names" for name in _NAMES if not _list_of(record.get(name), str))
    for name, columns in _TABLES.items():
        rows = record.get(name)
        if not _list_of(rows, dict) or any(column not in row for row in rows or () for column in columns):
            yield f"{name} is no list of rows with {', '.join(columns)}"
    for name, (keys, kind, right) in _MEASURED.items():
        body = record.get(name)
        for key in keys:
            if not isinstance(body, dict) or key not in body:
                yield f"{name}.{key} is missing"
            elif body[key] is not None and not right(body[key]):
                yield f"{name}.{key} is no {kind}"
    impact = record.get("impact")
    if isinstance(impact, dict) and not _list_of(impact.get("series") or [], dict):
        yield "impact.series is no list"


def _figure(value: Any) -> bool:
    found = number(value)
    return found is not None and math.isfinite(found)


def _time(value: Any) -> bool:
    return isinstance(value, str) and moment(value) is not None


def _list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


_MEASURED = {
    "times": (TIMES, "time", _time),
    "durations_s": (DURATIONS, "figure", _figure),
    "impact": (("minutes", "bad", "valid", "budget_minutes_month", "budget_share"), "figure", _figure),
}
