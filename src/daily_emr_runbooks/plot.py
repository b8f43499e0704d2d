"""The course of an incident as a picture: errors and latency over time, and when something was done. Pure geometry.

Everything is in the units of the picture, which is as wide as a phone: there one unit is one pixel, so that its letters
can be read, and on a larger screen it grows. The template draws what stands here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from . import facts
from .impact import Count, Impact

WIDTH = 360
LEFT, RIGHT = 62, 352
LEVELS, LEVEL = 3, 14
"""Numbers of actions that stand too close to each other go into up to three rows."""
HEAD = 18
"""Room for the title of the upper part; below it are the numbers."""
PANEL = 90
GAP = 34
LINE = 16
LONGEST_LABEL = 46
PER_CENT = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
MILLISECONDS = (100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000)


@dataclass(frozen=True)
class Panel:
    """One of the two curves. path: of SVG; threshold: where the limit is drawn, None for none."""

    title: str
    top: int
    bottom: int
    most: str
    path: str
    threshold: float | None


@dataclass(frozen=True)
class Band:
    """A stretch in which facilities could not work."""

    x: float
    width: float


@dataclass(frozen=True)
class Mark:
    """An action: where its line stands, its number above, and the same number with words below the curves."""

    number: int
    x: float
    y: int
    label_y: int
    label: str


@dataclass(frozen=True)
class Plot:
    """A whole picture."""

    height: int
    bottom: int
    panels: list[Panel]
    bands: list[Band]
    marks: list[Mark]
    begin: str
    end: str
    description: str


def drawn(felt: Impact, actions: Iterable[Mapping[str, Any]]) -> Plot | None:
    """The picture of an incident; None when nothing was counted.

    actions: those of the record of the incident, numbered in their order; each that has a time has one mark.
    """
    if not felt.counts:
        return None
    done = [
        _Done(number, moment, action)
        for number, action in enumerate(actions, 1)
        if (moment := facts.moment(action["at"]))
    ]
    moments = [one.at for one in done]
    first = min([felt.counts[0].at, *moments])
    last = max([felt.counts[-1].end, *moments])
    scale = _Scale(first, last)
    levels = _levels([scale.x(one.at) for one in done])
    upper = HEAD + LEVEL * (max(levels, default=0) + 1)
    lower = upper + PANEL + GAP
    bottom = lower + PANEL
    worst = max(100 * count.ratio for count in felt.counts)
    slowest = max((count.p95_ms or 0.0 for count in felt.counts), default=0.0)
    per_cent, ms = _most(worst, PER_CENT), _most(slowest, MILLISECONDS)
    limit = 100 * felt.down_ratio
    return Plot(
        height=bottom + 2 * LINE + LINE * len(done) + 8,
        bottom=bottom,
        panels=[
            Panel(
                "Failed requests",
                upper,
                upper + PANEL,
                f"{per_cent:.0f} %",
                _path(scale, upper, per_cent, [(count, 100 * count.ratio) for count in felt.counts]),
                _height(upper, limit, per_cent) if 0 < limit <= per_cent else None,
            ),
            Panel(
                "P95 of the time to answer",
                lower,
                bottom,
                f"{ms:.0f} ms" if ms < MILLISECONDS[3] else f"{ms / 1000:.0f} s",
                _path(scale, lower, ms, [(count, count.p95_ms) for count in felt.counts]),
                None,
            ),
        ],
        bands=_bands(scale, felt),
        marks=[
            Mark(one.number, scale.x(one.at), upper - 8 - level * LEVEL, bottom + (row + 2) * LINE, _label(one))
            for row, (one, level) in enumerate(zip(done, levels, strict=True), 1)
        ],
        begin=_clock(first),
        end=_clock(last),
        description=_description(felt, worst, slowest, len(done)),
    )


@dataclass(frozen=True)
class _Done:
    number: int
    at: datetime
    action: Mapping[str, Any]


@dataclass(frozen=True)
class _Scale:
    first: datetime
    last: datetime

    def x(self, at: datetime) -> float:
        whole = max((self.last - self.first).total_seconds(), 1e-3)
        return round(LEFT + (RIGHT - LEFT) * (at - self.first).total_seconds() / whole, 1)


def _most(value: float, steps: Iterable[float]) -> float:
    """The upper end of an axis: the first step that holds the value."""
    return next((step for step in steps if step >= value), value)


def _height(top: int, value: float, most: float) -> float:
    return round(top + PANEL * (1 - min(value, most) / most), 1)


def _path(scale: _Scale, top: int, most: float, values: Iterable[tuple[Count, float | None]]) -> str:
    """A line in steps; it is broken where nothing is known."""
    found: list[str] = []
    reached: datetime | None = None
    for count, value in values:
        if value is None:
            reached = None
            continue
        follows = reached is not None and abs(count.at - reached) < timedelta(seconds=1)
        y = _height(top, value, most)
        found.append(f"{'L' if follows else 'M'}{scale.x(count.at)} {y}H{scale.x(count.end)}")
        reached = count.end
    return "".join(found)


def _bands(scale: _Scale, felt: Impact) -> list[Band]:
    stretches: list[tuple[datetime, datetime]] = []
    for count in (count for count in felt.counts if felt.down(count)):
        if stretches and abs(count.at - stretches[-1][1]) < timedelta(seconds=1):
            stretches[-1] = (stretches[-1][0], count.end)
        else:
            stretches.append((count.at, count.end))
    return [Band(scale.x(begin), round(scale.x(end) - scale.x(begin), 1)) for begin, end in stretches]


def _levels(places: list[float]) -> list[int]:
    """For each number the row it stands in, so that two of them do not cover each other."""
    levels: list[int] = []
    taken = [float("-inf")] * LEVELS
    for number, x in enumerate(places):
        level = next((level for level in range(LEVELS) if x - taken[level] >= LEVEL), number % LEVELS)
        taken[level] = x
        levels.append(level)
    return levels


def _label(one: _Done) -> str:
    label = f"{_clock(one.at, seconds=True)} {one.action['step']}: {one.action['outcome']}"
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"


def _clock(at: datetime, *, seconds: bool = False) -> str:
    utc = at.astimezone(UTC)
    return f"{utc:%H:%M:%S}" if seconds else f"{utc:%H:%M} UTC, {at.astimezone(facts.EAT):%H:%M} EAT"


def _description(felt: Impact, worst: float, slowest: float, done: int) -> str:
    down = f"{felt.minutes:.1f} min were down" if felt.minutes else "no minute was down"
    slow = f"the slowest P95 was {slowest:.0f} ms" if slowest else "no target answered"
    return (
        f"From {_clock(felt.counts[0].at)} to {_clock(felt.counts[-1].end)}: at most {worst:.1f} % of the requests "
        f"of a minute failed, {slow}, and {down}. Marked: {done} action{'' if done == 1 else 's'}."
    )
