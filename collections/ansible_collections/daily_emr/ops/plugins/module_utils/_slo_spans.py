# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: over which times, in which steps, a service level is read. May change without notice.

"""From a window at AWS's pace to the requests that are sent: both readers count in the same steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ansible_collections.daily_emr.ops.plugins.module_utils._slo import Count, Series

# How long CloudWatch keeps values of a minute, of five minutes and of an hour.
_KEPT = ((timedelta(days=455), 3600), (timedelta(days=63), 300), (timedelta(days=15), 60))
# A value that is about to expire may be gone when the request arrives; more than the coarsest step.
_MARGIN = timedelta(hours=2)
# Younger than this, every minute can still be read by itself.
MINUTES_KEPT = _KEPT[-1][0] - _MARGIN
# Where time runs faster (the sandbox), CloudWatch's shorter periods are used; it reports every two seconds.
_SHORT_PERIODS = (5, 10, 30, 60)
_SHORT_KEPT = timedelta(hours=3)
# A window holds so many steps at least: the newest one is not over yet, and is reported late.
_STEPS_IN_A_WINDOW = 3


@dataclass(frozen=True)
class Span:
    """A time on the environment's clock, and the step in seconds in which it is read."""

    start: datetime
    end: datetime
    period: int

    def pages(self, most: int) -> Iterator[Span]:
        """The same in parts of at most so many steps."""
        start = self.start
        while start < self.end:
            end = min(self.end, start + timedelta(seconds=most * self.period))
            yield Span(start, end, self.period)
            start = end


@dataclass(frozen=True)
class Pace:
    """The clock of the environment next to that of AWS: both say ``at`` now, one of them runs faster."""

    at: datetime
    factor: float = 1.0

    def aws(self, moment: datetime) -> datetime:
        return self.at - (self.at - moment) * self.factor

    def real(self, moment: datetime) -> datetime:
        return self.at - (self.at - moment) / self.factor

    def spans(self, since: datetime, now: datetime | None = None) -> list[Span]:
        """Spans from ``since`` (at AWS's pace) until ``at``, each in the shortest step that is kept at its age."""
        start, now = self.real(since), max(self.at, now or datetime.now(UTC))
        if self.factor > 1:
            period = next((step for step in _SHORT_PERIODS if step >= 60 / self.factor), _SHORT_PERIODS[-1])
            return [Span(_floor(max(start, now - _SHORT_KEPT), period), self.at, period)]
        # A step begins where a coarser one ends, on the grid of that one: no minute is counted twice.
        grids = (_KEPT[0][1], *(period for _kept, period in _KEPT))
        begins = [_floor(now - kept + _MARGIN, grid) for (kept, _period), grid in zip(_KEPT, grids, strict=False)]
        found = []
        for (_kept, period), begin, end in zip(_KEPT, begins, (*begins[1:], self.at), strict=True):
            first, last = max(_floor(start, period), begin), min(end, self.at)
            if first < last:
                found.append(Span(first, last, period))
        return found

    def series(self, counted: dict[int, dict[datetime, tuple[float, float]]]) -> Series:
        """Counts on AWS's clock, of {period: {start: (bad, valid)}} on that of the environment."""
        counts = [
            Count(self.aws(start), period * self.factor / 60, bad, valid)
            for period, found in counted.items()
            for start, (bad, valid) in found.items()
        ]
        finest = min(counted, default=0)
        return Series.of(counts, _STEPS_IN_A_WINDOW * finest * self.factor / 60)


def _floor(moment: datetime, period: int) -> datetime:
    """The moment rounded down to a whole period, as CloudWatch does."""
    return datetime.fromtimestamp(moment.timestamp() // period * period, UTC)
