"""Metric data as CloudWatch keeps it: values with counts, or sums of many, by namespace, name and dimensions."""

from __future__ import annotations

import datetime as dt
import math
import re
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Key = tuple[str, str, tuple[tuple[str, str], ...]]
"""Namespace, metric name, dimensions in order. Other dimensions are another metric: nothing is added up over them."""
Series = dict[float, float]
"""Start of a period (seconds since the epoch) -> value."""

KEPT_S = 3 * 3600
"""CloudWatch keeps periods below a minute for three hours."""
MINUTE = 60
TRIMMED_COUNT = re.compile(r"TC\((\d+(?:\.\d{1,10})?)?:(\d+(?:\.\d{1,10})?)?\)")
"""How many values lie between two bounds; bounds in per cent are not here."""


@dataclass(frozen=True)
class Datum:
    """What was put at one moment: one value some times over, or the sum of many (`low` and `high` differ then)."""

    at: float
    total: float
    low: float
    high: float
    count: float
    unit: str | None


class MetricStore:
    """All metric data of an account and region. Hold the mutex."""

    def __init__(self) -> None:
        self._data: dict[Key, deque[Datum]] = {}

    def put(self, namespace: str, members: Iterable[Mapping[str, Any]]) -> None:
        """Add data in the form of PutMetricData, checked already."""
        for member in members:
            at = _epoch(member.get("Timestamp"))
            data = self._data.setdefault(key_of(namespace, member["MetricName"], member.get("Dimensions")), deque())
            while data and data[0].at < time.time() - KEPT_S:
                data.popleft()
            data.extend(_data(member, at))

    def keys(self) -> list[Key]:
        """Every metric that has data."""
        return sorted(key for key, data in self._data.items() if data)

    def statistic(
        self, key: Key, statistic: str, period: int, start: float, end: float, unit: str | None = None
    ) -> Series:
        """One value for each period that has data; a period belongs to [start, end) by its beginning."""
        first = floor(start, period)
        buckets: dict[float, list[Datum]] = {}
        for datum in self._data.get(key, ()):
            begin = first + (datum.at - first) // period * period
            if first <= begin < end and datum.count > 0 and unit in {None, datum.unit}:
                buckets.setdefault(begin, []).append(datum)
        found = {begin: compute(statistic, data) for begin, data in sorted(buckets.items())}
        return {begin: value for begin, value in found.items() if value is not None}

    def unit(self, key: Key) -> str:
        return next((datum.unit for datum in self._data.get(key, ()) if datum.unit), "None")


def key_of(namespace: str, name: str, dimensions: Iterable[Mapping[str, str]] | None) -> Key:
    return namespace, name, tuple(sorted((item["Name"], item["Value"]) for item in dimensions or ()))


def floor(start: float, period: int) -> float:
    """Start of the first period: from a minute on, CloudWatch rounds down to the whole minute."""
    step = min(MINUTE, period)
    return start // step * step


def compute(statistic: str, data: list[Datum]) -> float | None:
    """Value of a statistic over data of one period; None when it cannot be told from sums."""
    count, total = sum(datum.count for datum in data), sum(datum.total for datum in data)
    match statistic:
        case "SampleCount":
            return count
        case "Sum":
            return total
        case "Average":
            return total / count
        case "Minimum":
            return min(datum.low for datum in data)
        case "Maximum":
            return max(datum.high for datum in data)
    if any(datum.low != datum.high for datum in data):
        return None
    if within := TRIMMED_COUNT.fullmatch(statistic):
        low, high = (float(bound) if bound else None for bound in within.groups())
        return sum(datum.count for datum in data if _is_within(datum.low, low, high))
    return _percentile(float(statistic[1:]), data)


def _is_within(value: float, low: float | None, high: float | None) -> bool:
    """The lower bound is outside, the upper one inside, as in the definition of the trimmed mean."""
    return (low is None or value > low) and (high is None or value <= high)


def _percentile(rank: float, data: list[Datum]) -> float:
    """Nearest rank: the smallest value that at least `rank` percent of the samples do not exceed."""
    wanted = rank / 100 * sum(datum.count for datum in data)
    passed, ordered = 0.0, sorted(data, key=lambda datum: datum.low)
    for datum in ordered:
        passed += datum.count
        if passed >= wanted or math.isclose(passed, wanted):
            return datum.low
    return ordered[-1].low


def _data(member: Mapping[str, Any], at: float) -> list[Datum]:
    unit = member.get("Unit")
    if member.get("StatisticValues"):
        told = {name: float(value) for name, value in member["StatisticValues"].items()}
        return [Datum(at, told["Sum"], told["Minimum"], told["Maximum"], told["SampleCount"], unit)]
    values = [float(value) for value in member.get("Values") or [member.get("Value") or 0.0]]
    counts = [float(count) for count in member.get("Counts") or [1.0] * len(values)]
    return [Datum(at, value * count, value, value, count, unit) for value, count in zip(values, counts, strict=True)]


def _epoch(moment: Any) -> float:
    """Seconds since the epoch; moto's times carry no zone and are UTC. None is now."""
    if moment is None:
        return time.time()
    if isinstance(moment, dt.datetime):
        return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
    return float(moment)
