"""What an incident did to facilities, from the counts of the web service that its runs have journalled. Pure.

A minute is down when so many of its requests failed that it is an outage for the facilities, and when there were enough
requests to judge by: the ledger of minutes of the error budget (`daily_emr.ops.error_budget`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from . import facts
from .text import clean

NOBODY_READ = "No run of this incident got as far as reading it."
SILENCE_MINUTES = 0.5
"""Less than that without a count is rounding, and no silence."""

LONGEST_MINUTES = 24 * 60
"""CloudWatch's steps end at an hour; what is longer than a day is none of its own."""


@dataclass(frozen=True)
class Count:
    """The requests of one step. minutes: of AWS, which are shorter than those of the clock where time runs faster."""

    at: datetime
    end: datetime
    minutes: float
    bad: float
    valid: float
    p95_ms: float | None

    @property
    def ratio(self) -> float:
        return min(1.0, self.bad / self.valid)


@dataclass(frozen=True)
class Impact:
    """What is known of it. Without counts there are no numbers; why: what is not known, and the reason."""

    counts: tuple[Count, ...] = ()
    down_ratio: float = 0.0
    down_requests: float = 0.0
    budget_minutes: float | None = None
    time_factor: float = 1.0
    why: str = ""

    def down(self, count: Count) -> bool:
        """Whether users could not work in this step."""
        many = Fraction(count.bad) >= Fraction(str(self.down_ratio)) * Fraction(count.valid)
        return many and count.bad > 0 and count.valid >= self.down_requests

    @property
    def began(self) -> datetime | None:
        """The first minute that was down; None when none was, or when nothing is known."""
        return next((count.at for count in self.counts if self.down(count)), None)

    def down_until(self, at: datetime) -> list[datetime]:
        """The ends of the minutes that were down and over at a time."""
        return [count.end for count in self.counts if self.down(count) and count.end <= at]

    @property
    def minutes(self) -> float | None:
        """Minutes that were down."""
        if not self.counts:
            return None
        return round(math.fsum(count.minutes for count in self.counts if self.down(count)), 3)

    @property
    def budget_share(self) -> float | None:
        """The part of the month's budget that it took, 1 when all of it: by the minutes that were down, or by the
        failed parts of all minutes where these are more.
        """
        if self.minutes is None or not self.budget_minutes:
            return None
        parts = math.fsum(count.minutes * count.ratio for count in self.counts)
        return round(max(self.minutes, parts) / self.budget_minutes, 6)

    def as_json(self) -> dict[str, Any]:
        """As the record of the incident has it."""
        known = bool(self.counts)
        return {
            "minutes": self.minutes,
            "bad": math.fsum(count.bad for count in self.counts) if known else None,
            "valid": math.fsum(count.valid for count in self.counts) if known else None,
            "budget_minutes_month": self.budget_minutes,
            "budget_share": self.budget_share,
            "time_factor": self.time_factor if known else None,
            "series": [
                {
                    "at": facts.utc(count.at),
                    "minutes": count.minutes,
                    "bad": count.bad,
                    "valid": count.valid,
                    "p95_ms": count.p95_ms,
                }
                for count in self.counts
            ],
            "why": self.why,
        }


def measured(lines: Iterable[Mapping[str, Any]]) -> Impact:
    """The impact of an incident, from the lines of kind `impact` of all its runs, oldest first.

    Of a step that several runs have read the newest reading counts, and the rules are those of the newest one.
    """
    read = list(lines)
    known = [line for line in read if line.get("known") is True]
    counts: dict[datetime, Count] = {}
    for line in known:
        counts |= {count.at: count for count in _counts(line)}
    reasons = [clean(line.get("why") or NOBODY_READ) for line in read if line.get("known") is not True]
    if not counts:
        return Impact(why=reasons[-1] if reasons else NOBODY_READ)
    rules = known[-1]
    found = Impact(
        counts=tuple(counts[at] for at in sorted(counts)),
        down_ratio=facts.number(rules.get("down_ratio")) or 0.0,
        down_requests=facts.number(rules.get("down_requests")) or 0.0,
        budget_minutes=facts.number(rules.get("budget_minutes_month")),
        time_factor=_factor(rules),
    )
    late = reasons[-1:] if read[-1] is not known[-1] else []
    return replace(found, why=" ".join(_gaps(found, late)))


def _gaps(found: Impact, late: list[str]) -> list[str]:
    """What is not known although there are counts, as sentences."""
    first, last = found.counts[0], found.counts[-1]
    said = [f"Nothing is known behind {last.end:%H:%M:%S} UTC: {why}" for why in late]
    if found.down(first):
        said.append("The first minute that was read was down already, so it may have begun earlier.")
    whole = (last.end - first.at).total_seconds() * found.time_factor / 60
    silent = whole - math.fsum(count.minutes for count in found.counts)
    if silent > SILENCE_MINUTES:
        said.append(f"In {silent:.0f} of {whole:.0f} minutes no request was counted: nothing is known of them.")
    return said


def _counts(line: Mapping[str, Any]) -> Iterable[Count]:
    factor = _factor(line)
    for entry in line.get("series") or []:
        if not isinstance(entry, Mapping):
            continue
        at = facts.moment(entry.get("at"))
        minutes, bad, valid = (facts.number(entry.get(name)) for name in ("minutes", "bad", "valid"))
        if at is None or not minutes or bad is None or not valid:
            continue
        if not 0 < minutes <= LONGEST_MINUTES or bad < 0 or valid < 0:
            continue
        end = at + timedelta(minutes=minutes / factor)
        yield Count(at.astimezone(UTC), end.astimezone(UTC), minutes, bad, valid, facts.number(entry.get("p95_ms")))


def _factor(line: Mapping[str, Any]) -> float:
    factor = facts.number(line.get("time_factor"))
    return factor if factor and factor > 0 else 1.0
