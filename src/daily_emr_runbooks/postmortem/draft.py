"""The draft of a post-mortem, from the record of its incident: what was measured is told, the rest is asked for."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from .. import facts
from ..errors import CommandError
from ..facts import moment
from ..rendering import escape_markdown
from ..text import clean, seconds
from ..timeline import both_clocks
from .incident import DURATIONS, TIMES, Incident, minutes_text, share_text
from .privacy import Exposure, Privacy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

POSTMORTEM = "postmortem.md"
STATE = "postmortem.json"
DUE_AFTER = timedelta(hours=48)
MOST_SERIES = 40
"""Rows of the impact over time; the rest is in the record, and a reader needs no more to see its shape."""
NOT_KNOWN = "not known"
TO_FILL_IN = "To fill in:"
TO_BE_SET = "to be set"

_TIMES = dict(zip(TIMES, ("Impact began", "Detected", "Acknowledged", "Mitigated", "Resolved"), strict=True))
_DURATIONS = dict(
    zip(DURATIONS, ("Time to detect", "Time to acknowledge", "Time to mitigate", "Time to resolve"), strict=True)
)


@dataclass(frozen=True)
class Fact:
    """A measured value with its label: a row that the lint compares with the record."""

    label: str
    value: str


@dataclass(frozen=True)
class Draft:
    """Everything that the template shows; every text in it is one harmless line without a name of an operator."""

    incident: str
    title: str
    sentence: str
    header: list[Fact]
    impact: list[Fact]
    times: list[Fact]
    series: list[list[str]]
    series_left_out: int
    timeline: list[list[str]]
    actions: list[Action]
    told: list[list[str]]
    runs: list[list[str]]
    privacy: Privacy

    @property
    def measured(self) -> list[Fact]:
        return [*self.header, *self.impact, *self.times]


@dataclass(frozen=True)
class Action:
    """One step that a run took or tried, as it was meant and as it went."""

    name: str
    facts: list[Fact]
    predicted: list[str]


def due(incident: Incident) -> datetime | None:
    """By when the post-mortem is published; None while the incident is not resolved."""
    resolved = incident.at("resolved")
    return resolved + DUE_AFTER if resolved else None


def build(incident: Incident, privacy: Privacy) -> Draft:
    """Gather what the record knows."""

    def text(value: object) -> str:
        return incident.names.taken_out(clean(value))

    record = incident.record
    series = [row for row in record["impact"].get("series") or [] if facts.number(row.get("bad")) != 0]
    return Draft(
        incident=incident.name,
        title=text(record["title"]),
        sentence=text(f"{record['outcome']}: {record['sentence']}"),
        header=_header(incident, text),
        impact=_impact(incident, text),
        times=_times(incident, text),
        series=[[clean(_utc(row.get("at"))), *map(_figure, _values(row))] for row in series[:MOST_SERIES]],
        series_left_out=len(series[MOST_SERIES:]),
        timeline=[_moment(line, text) for line in record["timeline"]],
        actions=[_action(line, text) for line in record["actions"]],
        told=[[text(_utc(row.get("at"))), *(text(row.get(name) or "") for name in _TOLD)] for row in record["told"]],
        runs=[[text(row.get(name) or "") for name in _RUNS] for row in record["runs"]],
        privacy=privacy,
    )


_TOLD = ("channel", "event", "state", "ref")
_RUNS = ("run", "component", "runbook", "outcome", "sentence")


def render(incident: Incident, privacy: Privacy) -> str:
    """The draft as Markdown: the same record and the same answer always give the same text."""
    environment = Environment(
        loader=PackageLoader("daily_emr_runbooks"),
        autoescape=False,  # noqa: S701 - Markdown is escaped by finalize
        finalize=escape_markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("postmortem.md.j2").render(draft=build(incident, privacy))


def _header(incident: Incident, text: Callable[[object], str]) -> list[Fact]:
    record = incident.record
    mandatory, why = incident.mandatory
    by = due(incident)
    return [
        Fact("Severity", text(record["severity"])),
        Fact("Environment", text(record["environment"])),
        Fact("Components", text(", ".join(record["components"])) or "none"),
        Fact("Runbooks", text(", ".join(record["runbooks"])) or "none"),
        Fact("Due", f"{both_clocks(by.isoformat())}, 48 h after it was resolved" if by else "not resolved yet"),
        Fact("Mandatory", text(f"{'yes' if mandatory else 'no'}: {why}")),
    ]


def _impact(incident: Incident, text: Callable[[object], str]) -> list[Fact]:
    minutes, share, budget = (incident.impact(name) for name in ("minutes", "budget_share", "budget_minutes_month"))
    figures = [
        Fact("Minutes of impact", minutes_text(minutes)),
        Fact("Failed requests", _count(incident.impact("bad"))),
        Fact("Requests that count", _count(incident.impact("valid"))),
        Fact("Budget of the month", minutes_text(budget)),
        Fact("Part of it", share_text(share)),
    ]
    if any(fact.value == NOT_KNOWN for fact in figures):
        figures.append(Fact("Why something is not known", text(incident.why_unknown)))
    return figures


def _times(incident: Incident, text: Callable[[object], str]) -> list[Fact]:
    times = [Fact(label, _both(incident.record["times"][name])) for name, label in _TIMES.items()]
    durations = [Fact(label, _duration(incident.seconds(name))) for name, label in _DURATIONS.items()]
    seen_by = incident.record.get("mitigate_from")
    return [*times, *durations, *([Fact("Mitigated, as seen by", text(seen_by))] if seen_by else [])]


def _moment(line: Mapping[str, Any], text: Callable[[object], str]) -> list[str]:
    # Who acted is told as a role; a name in it has been taken out.
    named = [text(line.get(name) or "") for name in ("kind", "actor", "component", "summary", "evidence")]
    return [_utc(line["ts_utc"]), _eat(line["ts_utc"]), *named]


def _action(line: Mapping[str, Any], text: Callable[[object], str]) -> Action:
    undo = line.get("undo")
    told = [
        Fact("when", _both(line.get("at"))),
        Fact("component", text(line["component"])),
        Fact("target", text(line["target"])),
        Fact("outcome", text(line["outcome"])),
        Fact("took", _duration(facts.number(line.get("seconds")))),
        Fact("before", text(line.get("before"))),
        Fact("after", text(line.get("after"))),
        Fact("undo", text(facts.undo_sentence(undo))),
    ]
    return Action(text(line["step"]), told, [text(sentence) for sentence in facts.sentences(line.get("predicted"))])


def _values(row: Mapping[str, Any]) -> list[float | None]:
    return [facts.number(row.get(name)) for name in ("minutes", "bad", "valid", "p95_ms")]


def _figure(value: float | None) -> str:
    return NOT_KNOWN if value is None else f"{value:g}"


def _count(value: float | None) -> str:
    return NOT_KNOWN if value is None else f"{value:.0f}"


def _duration(value: float | None) -> str:
    return NOT_KNOWN if value is None else seconds(value)


def _both(at: object) -> str:
    return NOT_KNOWN if at is None else both_clocks(at)


def _utc(at: object) -> str:
    found = moment(at)
    return f"{found.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if found else NOT_KNOWN


def _eat(at: object) -> str:
    found = moment(at)
    return f"{found.astimezone(facts.EAT):%H:%M:%S}" if found else NOT_KNOWN


@dataclass(frozen=True)
class State:
    """What is kept of the last draft. digest: of its text, so that a person's words are never written over."""

    digest: str = ""
    privacy: Privacy = field(default_factory=Privacy)


def read_state(folder: Path) -> State:
    """The state of the last draft. One that cannot be read is none: the draft then counts as a person's."""
    try:
        found = json.loads((folder / STATE).read_text(encoding="utf-8"))
        exposure = Exposure(found["data_exposure"]) if found["data_exposure"] else None
        return State(str(found["digest"]), Privacy(exposure, moment(found["aware_at"])))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return State()


def write_draft(incident: Incident, given: Privacy | None, *, again: bool) -> tuple[Path, Privacy]:
    """Write the draft next to the record, readable by the owner only; the path, and the answer that it was made with.

    given: the answer of now; None keeps that of the draft before. again: write a second draft beside an edited one.
    Raises CommandError where a person has edited the draft, unless again.
    """
    state = read_state(incident.folder)
    privacy = given or state.privacy
    path, text = incident.folder / POSTMORTEM, render(incident, privacy)
    if path.exists() and _digest(path.read_bytes()) != state.digest:
        if not again:
            raise CommandError(
                f"{path} has been edited, and what people wrote stays: add --again for a new draft beside it."
            )
        path = _free(incident.folder)
        _write(path, text)
        return path, privacy
    # The state first: killed in between, the old draft counts as edited, which loses nothing.
    aware = privacy.aware_at.isoformat() if privacy.aware_at else None
    kept = {"digest": _digest(text.encode()), "data_exposure": privacy.exposure, "aware_at": aware}
    _write(incident.folder / STATE, json.dumps(kept))
    _write(path, text)
    return path, privacy


def _free(folder: Path) -> Path:
    number = 2
    while (path := folder / f"postmortem-draft-{number}.md").exists():
        number += 1
    return path


def _write(path: Path, text: str) -> None:
    """Whole or not at all, and for the owner alone."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
