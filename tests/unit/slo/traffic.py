"""Synthetic traffic, and the policy that it is judged by."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._slo import Count, Policy, Series

SLO: dict[str, Any] = {
    "target": 0.999,
    "month_minutes": None,
    "freeze_minutes": 28.0,
    "caution_left_minutes": 7.0,
    "down_ratio": 0.05,
    "down_requests": 50,
    "min_bad": 10,
    "min_valid": 50,
    "stale_minutes": 15,
    "forecast_hours": 6,
    "slow_seconds": 0.6,
    "slow_ratio": 0.05,
}
# November has 30 days; the month is 20 days old.
AT = datetime(2026, 11, 21, tzinfo=UTC)
NO_CANARIES = Series()

Rate = Callable[[float], tuple[float, float]]


def policy(at: datetime = AT, **more: Any) -> Policy:
    return Policy.from_params({**SLO, **more}, at)


def minutes(rate: Rate, *, last: float, at: datetime = AT, step: float = 1.0) -> Series:
    """The last minutes before ``at``; rate says (bad, valid) of a minute by how many minutes ago it began."""
    steps = round(last / step)
    counts = []
    for number in range(steps, 0, -1):
        bad, valid = rate(number * step)
        counts.append(Count(at - timedelta(minutes=number * step), step, bad * step, valid * step))
    return Series.of(counts)


def steady(ratio: float, valid: float = 1000.0) -> Rate:
    return lambda _ago: (ratio * valid, valid)


def outage(ratio: float, *, of_the_last: float, valid: float = 1000.0) -> Rate:
    """Fine, until so many minutes ago."""
    return lambda ago: (ratio * valid if ago <= of_the_last + 1e-9 else 0.0, valid)
