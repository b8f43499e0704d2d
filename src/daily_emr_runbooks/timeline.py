"""The course of a run, in words with both clocks, and as bars for a small picture."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from . import facts
from .text import clean, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .record import Line

LEFT, WIDTH, ROW = 64, 200, 18
"""Geometry of the picture in user units: labels to the left of the bars, room for a duration to their right."""
NARROWEST = 2.0


@dataclass(frozen=True)
class Entry:
    """One moment of the timeline."""

    utc: str
    eat: str
    text: str


@dataclass(frozen=True)
class Bar:
    """One phase in the picture."""

    phase: str
    x: float
    y: int
    width: float
    duration: str


def both_clocks(at: object) -> str:
    """A time in UTC and in East Africa Time, which is what the facilities and the on-call person live by."""
    moment = facts.moment(at)
    if moment is None:
        return "unknown"
    utc, eat = moment.astimezone(UTC), moment.astimezone(facts.EAT)
    day = "" if utc.date() == eat.date() else f"{eat:%Y-%m-%d} "
    return f"{utc:%Y-%m-%d %H:%M:%S} UTC, {day}{eat:%H:%M:%S} EAT"


def between(start: object, end: object) -> float | None:
    first, last = facts.moment(start), facts.moment(end)
    return (last - first).total_seconds() if first and last else None


def entries(journal: Iterable[Line]) -> list[Entry]:
    """One entry for each line that a reader wants to know about."""
    return [Entry(*clock_times(line.get("at")), text) for line in journal if (text := told(line))]


def told(line: Line) -> str:
    """What a line of a journal tells a reader; empty when it is of no interest."""
    tell = TOLD.get(str(line.get("kind")))
    return tell(line) if tell else ""


def clock_times(at: object) -> tuple[str, str]:
    """The time of day of a moment of the journal, in UTC and in East Africa Time."""
    moment = facts.moment(at)
    if moment is None:
        return "unknown", "unknown"
    return f"{moment.astimezone(UTC):%H:%M:%S}", f"{moment.astimezone(facts.EAT):%H:%M:%S}"


def _opened(line: Line) -> str:
    return f"Opened on {clean(line.get('component'))}"


def _observed(line: Line) -> str:
    found = facts.observations(line.get("observations"))
    bad = [observation.name for observation in found if observation.status == "finding"]
    unread = sum(observation.status == "unknown" for observation in found)
    return f"Looked: {', '.join(bad) or 'no findings'}" + (f"; {unread} not readable" if unread else "")


def _decided(line: Line) -> str:
    decided = facts.decision(line.get("decision", line))
    return f"Decided: {decided.sentence or decided.cause or decided.verdict}" if decided else ""


def _lease(line: Line) -> str:
    return f"Took the lease, fence {clean(line.get('fence', 'unknown'))}"


def _looked(line: Line) -> str:
    if line.get("outcome") == "refused":
        return _refused(line)
    return f"Would do {facts.step_name(line)}" if line.get("outcome") == "planned" else ""


def _planned(line: Line) -> str:
    return facts.planned_sentence(line)


def _intent(line: Line) -> str:
    return f"Began {facts.step_name(line)}"


def _outcome(line: Line) -> str:
    return facts.outcome_sentence(line)


def _refused(line: Line) -> str:
    return f"Refused: {' '.join(facts.refusals(line))}"


def _waited(line: Line) -> str:
    return facts.waited_sentence(line)


def _verified(line: Line) -> str:
    return clean(line.get("sentence") or ("Verified" if line.get("verified") is True else "Not verified"))


def _probed(line: Line) -> str:
    return f"Looked at a step in doubt: {facts.outcome_sentence(line)}"


def _cancelled(line: Line) -> str:
    return clean(line.get("msg") or "The run was stopped.")


def _closed(line: Line) -> str:
    return f"Closed: {clean(line.get('outcome') or 'unknown')}"


TOLD: dict[str, Callable[[Line], str]] = {
    "opened": _opened,
    "observed": _observed,
    "decided": _decided,
    "looked": _looked,
    "planned": _planned,
    "break_glass": facts.break_glass_sentence,
    "lease": _lease,
    "intent": _intent,
    "outcome": _outcome,
    "refused": _refused,
    "waited": _waited,
    "verified": _verified,
    "impact": facts.impact_sentence,
    "probed": _probed,
    "cancelled": _cancelled,
    "closed": _closed,
}


def bars(journal: Iterable[Line]) -> list[Bar]:
    """How long each phase took, on one scale. A line ends the time of its phase, the next line's time begins there."""
    marks = [
        (moment, facts.PHASE_OF_KIND[str(line["kind"])])
        for line in journal
        if line.get("kind") in facts.PHASE_OF_KIND and (moment := facts.moment(line.get("at")))
    ]
    if not marks or marks[0] == marks[-1]:
        return []
    start, total = marks[0][0], max((marks[-1][0] - marks[0][0]).total_seconds(), 1e-3)
    spans: list[tuple[str, datetime, datetime]] = []
    for (begin, _), (end, phase) in pairwise(marks):
        if spans and spans[-1][0] == phase:
            spans[-1] = (phase, spans[-1][1], end)
        else:
            spans.append((phase, begin, end))
    return [
        Bar(
            phase=phase,
            x=round(LEFT + WIDTH * (begin - start).total_seconds() / total, 1),
            y=index * ROW,
            width=round(max(WIDTH * (end - begin).total_seconds() / total, NARROWEST), 1),
            duration=seconds((end - begin).total_seconds()),
        )
        for index, (phase, begin, end) in enumerate(spans)
    ]
