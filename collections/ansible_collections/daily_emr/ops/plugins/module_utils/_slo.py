# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the mathematics of service levels. May change without notice.

"""From counted minutes to the error budget and how fast it burns: pure, and in minutes at AWS's own pace.

Two ledgers. R counts requests: E = bad / valid, and the budget is used by E / (1 - target). M counts minutes: one is
down when 5 % of its requests fail, or when synthetic requests fail from two places. Comparisons with a threshold are
exact: 14.4 times 0.1 % is a fraction here, not a float next to it.

https://sre.google/workbook/alerting-on-slos/ explains the pairs of windows.
"""

from __future__ import annotations

import calendar
import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused

DAY_MINUTES = 24 * 60
# Synthetic requests count from this many places: one place alone may have its own trouble.
VANTAGE_POINTS = 2


@dataclass(frozen=True)
class Count:
    """The bad and the valid requests of one minute, or of the few minutes that one value covers."""

    at: datetime
    minutes: float
    bad: float
    valid: float

    @property
    def end(self) -> datetime:
        return self.at + timedelta(minutes=self.minutes)


@dataclass(frozen=True)
class Series:
    """Counts in order. A minute without an entry is one of which nothing was reported; that is not 0 bad of 0."""

    counts: tuple[Count, ...] = ()
    # The shortest window over which its newest counts say something: a few of its steps.
    shortest_minutes: float = 0.0

    @classmethod
    def of(cls, counts: Iterable[Count], shortest_minutes: float = 0.0) -> Series:
        return cls(tuple(sorted(counts, key=lambda count: count.at)), shortest_minutes)

    def between(self, since: datetime, until: datetime) -> tuple[Count, ...]:
        """The counts that begin in [since, until)."""
        first, last = (bisect_left(self.counts, moment, key=lambda count: count.at) for moment in (since, until))
        return self.counts[first:last]


@dataclass(frozen=True)
class Policy:
    """The numbers of a service level and of what follows from it."""

    target: Fraction
    month_minutes: int
    since: datetime
    freeze_minutes: Fraction
    caution_left_minutes: Fraction
    down_ratio: Fraction
    down_requests: int
    min_bad: int
    min_valid: int
    stale_minutes: int
    forecast_hours: int
    slow_ratio: Fraction

    @property
    def budget(self) -> Fraction:
        """The part of the requests, or of the time, that may be bad."""
        return 1 - self.target

    @property
    def budget_minutes(self) -> Fraction:
        return self.budget * self.month_minutes

    @classmethod
    def from_params(cls, slo: Mapping[str, Any], at: datetime) -> Policy:
        """The option ``slo``; without month_minutes the budget is that of the calendar month in UTC."""
        names = ("target", "freeze_minutes", "caution_left_minutes", "down_ratio", "slow_ratio")
        exact = {name: Fraction(str(slo[name])) for name in names}
        reasons = [
            f"slo.{name} is {slo[name]}: write it as a part between 0 and 1, such as 0.999."
            for name in ("target", "down_ratio", "slow_ratio")
            if not 0 < exact[name] < 1
        ]
        reasons += [
            f"slo.{name} is {slo[name]}: it must be more than 0."
            for name in ("freeze_minutes", "down_requests", "min_bad", "min_valid", "stale_minutes", "forecast_hours")
            if slo[name] <= 0
        ]
        given = slo.get("month_minutes")
        if given is not None and given <= 0:
            reasons.append(f"slo.month_minutes is {given}: leave it out for the calendar month, or write 40320.")
        if reasons:
            raise Refused(*reasons)
        month = at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        whole = calendar.monthrange(month.year, month.month)[1] * DAY_MINUTES
        return cls(
            target=exact["target"],
            month_minutes=given or whole,
            since=at - timedelta(minutes=given) if given else month,
            freeze_minutes=exact["freeze_minutes"],
            caution_left_minutes=exact["caution_left_minutes"],
            down_ratio=exact["down_ratio"],
            down_requests=slo["down_requests"],
            min_bad=slo["min_bad"],
            min_valid=slo["min_valid"],
            stale_minutes=slo["stale_minutes"],
            forecast_hours=slo["forecast_hours"],
            slow_ratio=exact["slow_ratio"],
        )


@dataclass(frozen=True)
class Pair:
    """A long and a short window: it fires while the budget burns faster than ``burn`` in both."""

    severity: str
    long_minutes: int
    short_minutes: int
    burn: Fraction


# Short is a twelfth of long, so that a page ends soon after the trouble does. Each uses 2, 5, 10 and 10 % of a month's
# budget before it fires.
PAIRS = (
    Pair("page", 60, 5, Fraction("14.4")),
    Pair("page", 6 * 60, 30, Fraction(6)),
    Pair("ticket", DAY_MINUTES, 2 * 60, Fraction(3)),
    Pair("ticket", 3 * DAY_MINUTES, 6 * 60, Fraction(1)),
)
# 5 % of the requests may be slow, and 14.4 times that would be 72 %: too late for anybody.
LATENCY_PAIRS = (Pair("page", 60, 5, Fraction(4)), Pair("page", 6 * 60, 30, Fraction(2)))
LONGEST_MINUTES = max(pair.long_minutes for pair in PAIRS)


@dataclass(frozen=True)
class Burn:
    """The requests of one window up to now. Without a valid one there is neither a ratio nor a burn."""

    window_minutes: int
    minutes: float
    bad: float
    valid: float
    budget: Fraction

    @property
    def ratio(self) -> float | None:
        return self.bad / self.valid if self.valid > 0 else None

    @property
    def burn(self) -> float | None:
        return float(Fraction(self.bad) / Fraction(self.valid) / self.budget) if self.valid > 0 else None

    def over(self, threshold: Fraction) -> bool:
        """Whether the budget burns faster than this; exactly as fast is not faster."""
        return self.valid > 0 and Fraction(self.bad) > threshold * self.budget * Fraction(self.valid)

    @property
    def calm(self) -> bool:
        """Whether the budget burns slower than it is given; without a request nobody can say so."""
        return self.valid > 0 and Fraction(self.bad) < self.budget * Fraction(self.valid)


@dataclass(frozen=True)
class Verdict:
    """What one pair says. ``fires`` is None when it cannot tell; then, and when few requests hold it back, ``why``."""

    pair: Pair
    long: Burn
    short: Burn
    fires: bool | None
    source: str
    held_back: bool = False

    @property
    def why(self) -> str:
        if self.held_back:
            return f"{self.long.bad:.0f} bad of {self.long.valid:.0f} requests are too few to call anybody"
        return "no request was counted in one of its windows" if self.fires is None else ""


@dataclass(frozen=True)
class Ledgers:
    """Both ledgers of a month so far. Minutes that nothing is known of are counted apart: neither up nor down."""

    since: datetime  # the first minute that anything is known of
    bad: float
    valid: float
    down_minutes: float  # M
    fractional_minutes: float  # the sum of bad / valid over the minutes
    undecided_minutes: float  # many bad among too few requests: only R counts them
    missing_minutes: float  # in gaps longer than data may be late
    coarse_minutes: float  # judged several at once, because their single values are not kept
    data_age_minutes: float

    @property
    def ratio(self) -> Fraction | None:
        """E, the bad part of the valid requests."""
        return Fraction(self.bad) / Fraction(self.valid) if self.valid > 0 else None

    def budget_used(self, policy: Policy) -> float | None:
        """R: the part of the month's budget that is used, 1 when all of it is."""
        return None if self.ratio is None else float(self.ratio / policy.budget)

    def equivalent_minutes(self, policy: Policy) -> Fraction | None:
        """R in minutes: those of a total outage in a month of even traffic."""
        return None if self.ratio is None else self.ratio * policy.month_minutes

    def spent_minutes(self, policy: Policy) -> Fraction:
        """The higher one of both ledgers."""
        return max(Fraction(self.down_minutes), self.equivalent_minutes(policy) or Fraction(0))


class State(StrEnum):
    """Whether releases may go out."""

    OPEN = "OPEN"
    CAUTION = "CAUTION"
    FREEZE = "FREEZE"
    UNKNOWN = "UNKNOWN"


def together(vantage_points: Sequence[Series]) -> Series:
    """One series of what synthetic requests saw: a minute is bad when they failed from at least two places.

    Minutes in which fewer than two places reported say nothing.
    """
    reports: dict[datetime, list[Count]] = {}
    for series in vantage_points:
        for count in series.counts:
            if count.valid > 0:
                reports.setdefault(count.at, []).append(count)
    counts = []
    for at, found in reports.items():
        if len(found) >= VANTAGE_POINTS:
            # Of a value that covers several runs, most must have failed.
            failing = sum(2 * count.bad > count.valid for count in found)
            minutes = found[0].minutes
            counts.append(Count(at, minutes, minutes if failing >= VANTAGE_POINTS else 0.0, minutes))
    return Series.of(counts, max((series.shortest_minutes for series in vantage_points), default=0.0))


def keep_ledgers(requests: Series, synthetic: Series, policy: Policy, at: datetime) -> Ledgers | None:
    """Both ledgers from the beginning of the month until now; None when nothing at all is known of it.

    The first minute with a report begins the ledger: before it the service may not have been there.
    """
    counted = {count.at: count for count in requests.between(policy.since, at)}
    tried = {count.at: count for count in synthetic.between(policy.since, at)}
    known = sorted(moment for moment in counted.keys() | tried.keys() if moment in tried or counted[moment].valid > 0)
    if not known:
        return None
    down, fractions, undecided, coarse = [], [], [], []
    missing, seen_until = 0.0, known[0]
    for moment in known:
        requested, attempt = counted.get(moment), tried.get(moment)
        minutes = (requested or tried[moment]).minutes
        missing += _gap(seen_until, moment, policy)
        seen_until = max(seen_until, moment + timedelta(minutes=minutes))
        if minutes > 1:
            coarse.append(minutes)
        many = False
        if requested and requested.bad > 0 and requested.valid > 0:
            fractions.append(minutes * min(1.0, requested.bad / requested.valid))
            many = Fraction(requested.bad) >= policy.down_ratio * Fraction(requested.valid)
        if (many and requested and requested.valid >= policy.down_requests) or (attempt and attempt.bad > 0):
            down.append(minutes)
        elif many:
            undecided.append(minutes)
    return Ledgers(
        since=known[0],
        bad=math.fsum(count.bad for count in counted.values()),
        valid=math.fsum(count.valid for count in counted.values()),
        down_minutes=math.fsum(down),
        fractional_minutes=math.fsum(fractions),
        undecided_minutes=math.fsum(undecided),
        missing_minutes=missing + _gap(seen_until, at, policy),
        coarse_minutes=math.fsum(coarse),
        data_age_minutes=max(0.0, _minutes(at - seen_until)),
    )


def _gap(seen_until: datetime, moment: datetime, policy: Policy) -> float:
    """Minutes of silence. A few without a request are a quiet night; more of them than data may be late are a gap."""
    silent = _minutes(moment - seen_until)
    return silent if silent > policy.stale_minutes else 0.0


def _minutes(span: timedelta) -> float:
    return span.total_seconds() / 60


def freeze_state(ledgers: Ledgers | None, policy: Policy) -> State:
    """Whether releases may go out; UNKNOWN when the data is missing or late, or what is missing could change it."""
    if ledgers is None or ledgers.data_age_minutes > policy.stale_minutes:
        return State.UNKNOWN
    return spent_state(ledgers, policy)


def spent_state(ledgers: Ledgers, policy: Policy) -> State:
    """The same however old the data is, such as of a month that is over."""
    spent = ledgers.spent_minutes(policy)
    state = _state_at(spent, policy)
    at_worst = max(spent, Fraction(ledgers.down_minutes) + Fraction(ledgers.missing_minutes))
    return state if state == _state_at(at_worst, policy) else State.UNKNOWN


def _state_at(spent: Fraction, policy: Policy) -> State:
    if spent >= policy.freeze_minutes:
        return State.FREEZE
    return State.CAUTION if policy.freeze_minutes - spent <= policy.caution_left_minutes else State.OPEN


def burn_over(series: Series, window_minutes: int, budget: Fraction, at: datetime) -> Burn:
    """The burn of the last minutes; at least so many of them that the newest counts have arrived."""
    minutes = max(float(window_minutes), series.shortest_minutes)
    counts = series.between(at - timedelta(minutes=minutes), at)
    bad, valid = math.fsum(count.bad for count in counts), math.fsum(count.valid for count in counts)
    return Burn(window_minutes, minutes, bad, valid, budget)


def judge(requests: Series, synthetic: Series, pair: Pair, budget: Fraction, policy: Policy, at: datetime) -> Verdict:
    """What a pair says of now.

    Requests decide when there are enough of them: at night one failure among fifty would be 2 %. Else synthetic
    requests do, and without those a pair that would fire is held back.
    """
    verdict = _compare(requests, pair, budget, at, "requests")
    if enough(verdict, policy):
        return verdict
    instead = _compare(synthetic, pair, budget, at, "synthetic")
    if instead.fires is not None:
        return instead
    if verdict.fires:
        return Verdict(pair, verdict.long, verdict.short, fires=False, source="requests", held_back=True)
    return verdict


def enough(verdict: Verdict, policy: Policy) -> bool:
    """The guard: whether so many requests were bad, and so many were there, that their ratio says something."""
    return verdict.long.bad >= policy.min_bad and verdict.short.valid >= policy.min_valid


def _compare(series: Series, pair: Pair, budget: Fraction, at: datetime, source: str) -> Verdict:
    long, short = (burn_over(series, minutes, budget, at) for minutes in (pair.long_minutes, pair.short_minutes))
    known = long.valid > 0 and short.valid > 0
    return Verdict(pair, long, short, (long.over(pair.burn) and short.over(pair.burn)) if known else None, source)


def call_for(verdicts: Iterable[Verdict]) -> str:
    """Whom the verdicts call together: ``page``, ``ticket`` or ``none``; ``unknown`` when one of them cannot tell."""
    found = list(verdicts)
    for severity in ("page", "ticket"):
        if any(verdict.fires and verdict.pair.severity == severity for verdict in found):
            return severity
    return "unknown" if any(verdict.fires is None for verdict in found) else "none"


@dataclass(frozen=True)
class Forecast:
    """When releases freeze if it goes on like in the last hour. minutes is None when it never does, or nobody knows."""

    minutes: float | None
    page: bool | None


def forecast_freeze(ledgers: Ledgers | None, fastest: Verdict, policy: Policy) -> Forecast:
    """ttf = (freeze - M) / (burn of 1 h x budget). It calls somebody while there is still something to save."""
    burn = fastest.long.burn
    if ledgers is None or burn is None:
        return Forecast(None, None)
    left = policy.freeze_minutes - Fraction(ledgers.down_minutes)
    if left <= 0:
        return Forecast(0.0, False)
    if burn == 0:
        return Forecast(None, False)
    minutes = float(left) / (burn * float(policy.budget))
    if fastest.fires is None:
        return Forecast(minutes, None)
    soon = minutes < policy.forecast_hours * 60 and fastest.long.over(Fraction(1))
    return Forecast(minutes, soon and (fastest.source == "synthetic" or enough(fastest, policy)))
