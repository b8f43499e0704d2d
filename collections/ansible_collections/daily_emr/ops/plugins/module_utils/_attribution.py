# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: who makes the bad requests, and since when. May change without notice.

"""From counts of requests to the value of a dimension that explains the bad ones, and to the minute they began. Pure.

Both questions are one comparison: two groups of requests, and whether one ratio of bad requests is enough for both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

# In the order in which they are looked at (incident domain, A3.2).
DIMENSIONS = ("release", "route", "zone", "task", "tenant", "dependency")
# The value of requests that do not say. For a dependency it says something: none failed and none was slow.
UNKNOWN = "unknown"
NONE = "none"

# A value that makes 80 % of the bad requests and has 57 % of all requests is three times as bad as the others.
TIMES_WORSE = 3.0
# Chi square with one degree of freedom: exceeded by chance once in a thousand comparisons.
CLEARLY = 10.83
# An onset is the best of up to some dozens of comparisons: chance must be rarer, one in ten thousand for each.
CLEARLY_AMONG_MANY = 15.14
# A stretch in the middle is the best of some thousands: one in a million.
CLEARLY_AMONG_THOUSANDS = 23.93
# An onset at least doubles the ratio; less is drift.
TIMES_MORE = 2.0
# Trouble is over where the ratio falls to a tenth of what it is now.
OVER = 10
# Values on either side of an onset: fewer say nothing of what is usual, or of what goes on.
LEAST_BEFORE = 5
LEAST_AFTER = 2

Json = dict[str, Any]


@dataclass(frozen=True)
class Count:
    """Bad requests and all requests of one value, and the 95th percentile of their durations where it is known."""

    bad: int
    requests: int
    p95_ms: float | None = None

    @property
    def ratio(self) -> float:
        return self.bad / self.requests if self.requests else 0.0


@dataclass(frozen=True)
class Split:
    """Whether one value of a dimension explains the bad requests; None when what was counted does not tell."""

    dimension: str
    explains: bool | None
    value: str | None
    share: float
    seen: str


@dataclass(frozen=True)
class Point:
    """One minute of the whole service."""

    at: datetime
    bad: int
    requests: int


@dataclass(frozen=True)
class Onset:
    """The first minute of the worse part, and the ratio of bad requests before and after."""

    at: datetime
    before: float
    after: float


def evidence(first: Count, second: Count) -> float:
    """How much better two ratios describe two groups of requests than one does (likelihood ratio, as chi square)."""
    pooled = Count(first.bad + second.bad, first.requests + second.requests)
    apart = _likelihood(first, first.ratio) + _likelihood(second, second.ratio)
    return max(0.0, 2 * (apart - _likelihood(first, pooled.ratio) - _likelihood(second, pooled.ratio)))


def _likelihood(count: Count, ratio: float) -> float:
    """Logarithm of the likelihood of a count under a ratio, without its constant."""
    good = count.requests - count.bad
    bad_part = count.bad * math.log(ratio) if count.bad else 0.0
    return bad_part + (good * math.log1p(-ratio) if good else 0.0)


def clearly_worse(one: Count, others: Count, times: float = TIMES_WORSE, least: float = CLEARLY) -> bool:
    """Whether one ratio is well above the other, and not by chance. Without other requests nothing is compared."""
    if not others.requests or one.ratio <= times * others.ratio:
        return False
    return evidence(one, others) >= least


def rest_of(counts: Mapping[str, Count], value: str) -> Count:
    others = [count for name, count in counts.items() if name != value]
    return Count(sum(count.bad for count in others), sum(count.requests for count in others))


def split(dimension: str, counts: Mapping[str, Count], total_bad: int, least_share: float) -> Split:
    """Whether one value of the dimension explains the bad requests.

    It does when it makes at least the share of them, and its own ratio is well above that of the others: a value that
    has all the traffic makes all the bad requests and explains nothing. Not so a dependency: a request only names the
    one that failed or was slow, so that it explains even when every request names it. Bad requests that do not say
    their value could be of any: where they could turn the answer, it is unknown.
    """
    if not total_bad:
        return Split(dimension, explains=False, value=None, share=0.0, seen="no bad requests")
    named = {name: count for name, count in counts.items() if name not in (UNKNOWN, NONE)}
    unsaid = total_bad - sum(count.bad for name, count in counts.items() if name != UNKNOWN)
    if not any(count.bad for count in named.values()):
        if unsaid > (1 - least_share) * total_bad:
            return Split(dimension, explains=None, value=None, share=0.0, seen=f"{unsaid} bad requests do not say it")
        return Split(dimension, explains=False, value=None, share=0.0, seen=f"no bad request names a {dimension}")
    worst = max(sorted(named), key=lambda name: named[name].bad)
    count, others = named[worst], rest_of(counts, worst)
    share = count.bad / total_bad
    seen = (
        f"{worst} makes {share:.0%} of {total_bad} bad requests, {count.ratio:.1%} of its own are bad, "
        f"{others.ratio:.1%} of the others"
    )
    everywhere = not others.requests
    explains: bool | None = share >= least_share and (
        clearly_worse(count, others) or (everywhere and dimension == "dependency")
    )
    if share >= least_share and everywhere and not explains:
        seen = f"{worst} has all the requests, so it explains nothing"
    elif not explains and (count.bad + unsaid) / total_bad >= least_share > share:
        explains, seen = None, f"{seen}; {unsaid} do not say their {dimension}"
    return Split(dimension, explains=explains, value=worst, share=round(share, 4), seen=seen)


def slowest(dimension: str, counts: Mapping[str, Count], limit_ms: float, least_requests: int) -> Split:
    """The one value of a dimension that is slow while the others are not. Percentiles are compared, never averaged."""
    known = {
        name: count.p95_ms
        for name, count in counts.items()
        if count.p95_ms is not None and count.requests >= least_requests and name != UNKNOWN
    }
    slow = {name: p95 for name, p95 in known.items() if p95 > limit_ms}
    if not known:
        return Split(dimension, explains=None, value=None, share=0.0, seen="no value has enough requests")
    worst = max(sorted(known), key=lambda name: known[name])
    alone = len(slow) == 1 and len(known) > 1 and worst != NONE
    requests = sum(count.requests for count in counts.values())
    share = counts[worst].requests / requests
    seen = f"P95 of {worst} is {known[worst]:.0f} ms; {len(slow)} of {len(known)} are above {limit_ms:.0f} ms"
    return Split(dimension, explains=alone, value=worst if slow else None, share=round(share, 4), seen=seen)


def outlier(counts: Mapping[str, Count], value: str) -> tuple[float, float] | None:
    """Ratio of one value, and the median ratio of the others; None when there is nothing to compare."""
    others = [count.ratio for name, count in counts.items() if name not in (value, UNKNOWN) and count.requests]
    if not others or value not in counts or not counts[value].requests:
        return None
    return counts[value].ratio, median(others)


def change_point(points: Sequence[Point]) -> Onset | None:
    """The minute in which the trouble that goes on now began.

    The series is divided where two ratios describe it better than one, and again within the parts, until chance could
    explain what is left (each part as one binomial). From the end backwards, all parts that are clearly worse than one
    that is long enough belong to the trouble, with short pauses; one that is ten times better than the last does not,
    so that trouble which ended before is left out. Minutes that nobody counted are left out, not filled with zeros.
    """
    parts = _parts(sorted((point for point in points if point.requests), key=lambda point: point.at))
    if len(parts) > 1 and len(parts[-1]) < LEAST_AFTER:
        parts[-2:] = [[*parts[-2], *parts[-1]]]
    counts = [pooled(part) for part in parts]
    usual = [count for part, count in zip(parts, counts, strict=True) if len(part) >= LEAST_BEFORE]

    def goes_on(number: int) -> bool:
        """Whether a part is trouble that is not ten times better than the last part."""
        worse = any(clearly_worse(counts[number], one, TIMES_MORE, CLEARLY_AMONG_MANY) for one in usual)
        return worse and counts[number].ratio * OVER >= counts[-1].ratio

    first = len(parts)
    while first:
        pauses = 1 < first < len(parts) and len(parts[first - 1]) < LEAST_BEFORE and goes_on(first - 2)
        if not pauses and not goes_on(first - 1):
            break
        first -= 1
    if first in (0, len(parts)):
        return None
    trouble = pooled(point for part in parts[first:] for point in part)
    return Onset(parts[first][0].at, counts[first - 1].ratio, trouble.ratio)


def _parts(points: list[Point]) -> list[list[Point]]:
    """The series, cut where a stretch of it is clearly another than the rest, and so on within the pieces.

    A stretch may end before the series does, so that trouble, peace and trouble again are three pieces, though no
    single cut tells them apart (circular binary segmentation, Olshen and others, Biostatistics 5, 2004).
    """
    sums = [Count(0, 0)]
    for point in points:
        sums.append(Count(sums[-1].bad + point.bad, sums[-1].requests + point.requests))

    def apart(start: int, end: int) -> float:
        stretch = Count(sums[end].bad - sums[start].bad, sums[end].requests - sums[start].requests)
        return evidence(stretch, Count(sums[-1].bad - stretch.bad, sums[-1].requests - stretch.requests))

    length = len(points)
    cuts = [(CLEARLY_AMONG_MANY, place, length) for place in range(1, length)]
    cuts += [
        (CLEARLY_AMONG_THOUSANDS, start, end)
        for start in range(1, length - LEAST_BEFORE)
        for end in range(start + LEAST_BEFORE, length)
    ]
    found = max(((apart(start, end) - least, start, end) for least, start, end in cuts), default=(0.0, 0, 0))
    if found[0] <= 0:
        return [points]
    _strength, start, end = found
    return [part for piece in (points[:start], points[start:end], points[end:]) if piece for part in _parts(piece)]


def pooled(points: Iterable[Point]) -> Count:
    found = list(points)
    return Count(sum(point.bad for point in found), sum(point.requests for point in found))


def suspects(changes: Iterable[Json], onset: datetime, start: datetime, end: datetime) -> list[Json]:
    """The changes between start and end, the nearest to the onset first.

    Each change has "kind", "name" and "at" (a datetime); it gets "minutes_before", negative after the onset. At the
    same distance one before the onset comes first: what comes later can only have been seen late.
    """
    near = [
        # Adding 0.0 makes zero of minus zero.
        {**change, "minutes_before": round((onset - change["at"]).total_seconds() / 60, 1) + 0.0}
        for change in changes
        if start <= change["at"] <= end
    ]
    return sorted(near, key=lambda item: (abs(item["minutes_before"]), item["minutes_before"] < 0, item["name"]))


def marginals(rows: Iterable[Mapping[str, Any]], dimension: str) -> dict[str, int]:
    """Bad requests by value of one dimension, from rows that are grouped by all of them."""
    absent = NONE if dimension == "dependency" else UNKNOWN
    found: dict[str, int] = {}
    for row in rows:
        value = str(row.get(dimension) or absent)
        found[value] = found.get(value, 0) + int(row["bad"])
    return found


def signature(row: Mapping[str, Any]) -> str:
    """What makes two errors the same one: status, route template and the dependency that failed."""
    words = [row.get("status") or UNKNOWN, row.get("route") or UNKNOWN, row.get("dependency") or NONE]
    return " ".join(str(word) for word in words)


def signatures(rows: Iterable[Mapping[str, Any]], least: int) -> list[str]:
    """The signatures that came at least so often, the most frequent first."""
    found: dict[str, int] = {}
    for row in rows:
        found[signature(row)] = found.get(signature(row), 0) + int(row["bad"])
    return sorted((name for name, count in found.items() if count >= least), key=lambda name: (-found[name], name))
