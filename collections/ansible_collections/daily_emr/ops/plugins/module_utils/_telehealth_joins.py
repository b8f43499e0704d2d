# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: who could join a consultation. May change without notice.

"""Joins, counted by what they have in common: the application writes one line for each, Insights adds them up.

A line names a version, a network and a way, and nobody. No line at all is an answer of its own: it is neither good nor
bad, and fewer than a handful of joins prove nothing either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._request_log import MOST_ROWS, ask
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

if TYPE_CHECKING:
    from datetime import datetime

    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

PARTS = ("provider", "app_version", "isp", "transport", "region")
UNNAMED = "unknown"
JOINS = (
    f'filter event = "join" | stats count(*) as joins, sum(joined) as good, sum(poor) as poor '
    f"by {', '.join((*PARTS, 'failure'))} | sort joins desc | limit {MOST_ROWS}"
)
PACE = (
    'filter event = "join" and joined = 1 | stats count(*) as joins, pct(ms, 95) as p95, avg(rtt_ms) as rtt '
    f"by region | sort joins desc | limit {MOST_ROWS}"
)
BOOKINGS = 'filter event = "booking" | stats count(*) as bookings by channel | sort bookings desc'


@dataclass(frozen=True)
class Figures:
    """Joins that were tried, those that came to sound and pictures, and those of them that were of poor quality."""

    joins: int = 0
    good: int = 0
    poor: int = 0

    @property
    def bad(self) -> int:
        return self.joins - self.good

    @property
    def success(self) -> float:
        """0 to 1; only for who has looked at joins first."""
        return self.good / self.joins if self.joins else 0.0

    @property
    def seen(self) -> str:
        if not self.joins:
            return "no join"
        return f"{self.good} of {self.joins} joins succeeded ({self.success:.1%})"

    def __add__(self, more: Figures) -> Figures:
        return Figures(self.joins + more.joins, self.good + more.good, self.poor + more.poor)

    def __sub__(self, less: Figures) -> Figures:
        return Figures(self.joins - less.joins, self.good - less.good, self.poor - less.poor)


def succeed(figures: Figures, least: int, share: float) -> bool | None:
    """Whether so many joins succeed as should; None when there were too few to say."""
    return None if figures.joins < least else figures.success >= share


@dataclass(frozen=True)
class Group:
    """The joins that have everything in common."""

    parts: dict[str, str]
    failure: str
    figures: Figures


@dataclass(frozen=True)
class Joins:
    """All joins of a period."""

    groups: tuple[Group, ...]

    @property
    def total(self) -> Figures:
        return _sum(self.groups)

    def of(self, **parts: str) -> Joins:
        """Those that have these parts."""
        wanted = parts.items()
        return Joins(tuple(group for group in self.groups if wanted <= group.parts.items()))

    def by(self, part: str) -> dict[str, Figures]:
        """Figures by the values of one part, the most joins first."""
        found: dict[str, Figures] = {}
        for group in self.groups:
            found[group.parts[part]] = found.get(group.parts[part], Figures()) + group.figures
        return dict(sorted(found.items(), key=lambda item: -item[1].joins))

    def failed(self, kind: Callable[[str], bool] = bool) -> int:
        """Joins that failed in a way; without one, all that failed."""
        if kind is bool:
            return self.total.bad
        return sum(group.figures.bad for group in self.groups if kind(group.failure))

    @property
    def failures(self) -> dict[str, int]:
        """How many failed in which way, the most first."""
        ways: Counter[str] = Counter()
        for group in self.groups:
            if group.figures.bad:
                ways[group.failure or UNNAMED] += group.figures.bad
        return dict(ways.most_common())


@dataclass(frozen=True)
class Pace:
    """How long it took to sound and pictures, and how far the relay was, in one region."""

    region: str
    joins: int
    p95_ms: float
    rtt_ms: float | None


def read_joins(clients: Clients, log_group: str, start: datetime, end: datetime) -> Joins:
    return joins_of(ask(clients, log_group, JOINS, start, end))


def joins_of(rows: Iterable[Json]) -> Joins:
    """Joins from rows of the query; what a line does not name is unknown, and stays a value of its own."""
    return Joins(
        tuple(
            Group(
                parts={part: str(row.get(part) or UNNAMED) for part in PARTS},
                failure=str(row.get("failure") or ""),
                figures=Figures(*(int(float(row.get(name) or 0)) for name in ("joins", "good", "poor"))),
            )
            for row in rows
        )
    )


def read_pace(clients: Clients, log_group: str, start: datetime, end: datetime) -> list[Pace]:
    return [
        Pace(
            region=str(row.get("region") or UNNAMED),
            joins=int(float(row["joins"])),
            p95_ms=float(row["p95"]),
            rtt_ms=float(row["rtt"]) if "rtt" in row else None,
        )
        for row in ask(clients, log_group, PACE, start, end)
        if "p95" in row
    ]


def read_bookings(clients: Clients, log_group: str, start: datetime, end: datetime) -> dict[str, int]:
    """New bookings by channel, video or phone."""
    rows = ask(clients, log_group, BOOKINGS, start, end)
    return {str(row.get("channel") or UNNAMED): int(float(row["bookings"])) for row in rows}


@dataclass(frozen=True)
class Culprit:
    """The one value of a part that failures have in common while all others are well."""

    value: str
    figures: Figures
    others: Figures

    @property
    def seen(self) -> str:
        return f"{self.value}: {self.figures.seen}; all others: {self.others.seen}"


def culprit(joins: Joins, part: str, *, explains: float, success: float, least: int) -> Culprit | None:
    """Whether one value of a part explains the failures: it has most of them, and the others are well without it.

    least: how many failures say something, and how many joins of the others prove that they are well.
    """
    if joins.total.bad < least:
        return None
    for value, figures in joins.by(part).items():
        others = joins.total - figures
        explained = figures.bad >= explains * joins.total.bad and figures.success < success
        if explained and others.joins >= least and others.success >= success:
            return Culprit(value, figures, others)
    return None


def _sum(groups: Iterable[Group]) -> Figures:
    return sum((group.figures for group in groups), Figures())
