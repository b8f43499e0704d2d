# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: reads what a service level rests on, ledger first. May change without notice.

"""The month, the month before and the last four weeks: finished days from the ledger, the rest from CloudWatch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._clients import gather
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._slo import VANTAGE_POINTS, Count, Series, together
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_cloudwatch import (
    balancer_dimension,
    read_canaries,
    read_requests,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_days import Day, begin, read_days, unpacked, unwritable
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_spans import Pace, Span
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients


@dataclass(frozen=True)
class Kept:
    """What was read: series over the whole window, which days the ledger has, and which of its items are damaged."""

    first: date
    readings: Readings
    days: Mapping[date, Day] = field(default_factory=dict)
    damaged: Sequence[str] = ()

    @property
    def requests(self) -> Series:
        found: Series = self.readings.values.get("requests", Series())
        return found

    @property
    def synthetic(self) -> Series:
        found: Series = self.readings.values.get("synthetic", Series())
        return found

    def unwritten(self, at: datetime, settle_minutes: int) -> tuple[list[date], list[date]]:
        """Finished days that the ledger has not: those that can still be written, and those that no longer can."""
        writable, lost = [], []
        for day in days_between(self.first, at.date()):
            if day not in self.days:
                if not unwritable(day, at, settle_minutes):
                    writable.append(day)
                elif begin(day) + timedelta(days=2) <= at:
                    lost.append(day)
        return writable, lost


def clock(clients: Clients) -> datetime:
    """What time it is by AWS's clock; by ours where AWS has not said."""
    try:
        return clients.aws_time()
    except OpsError:
        return datetime.now(UTC)


def days_between(first: date, until: date) -> list[date]:
    """The days from first, without the last one."""
    return [first + timedelta(days=number) for number in range((until - first).days)]


def month_before(at: datetime) -> date:
    """The first day of the month before; four weeks back is never earlier."""
    return (at.date().replace(day=1) - timedelta(days=1)).replace(day=1)


def read_counts(
    clients: Clients, service: Json, canaries: Sequence[str], spans: Sequence[Span]
) -> tuple[Series, Series]:
    """Requests, and what canaries saw together. Raises OpsError when one of them cannot be read."""
    if canaries and len(set(canaries)) < VANTAGE_POINTS:
        raise Refused(f"canaries has fewer than {VANTAGE_POINTS} places: name another one, or none.")
    pace = Pace(spans[-1].end)
    balancer = balancer_dimension(clients, service["load_balancer"])
    calls: dict[str, Any] = {"requests": lambda: read_requests(clients, balancer, pace, spans)}
    if canaries:
        calls["canaries"] = lambda: read_canaries(clients, canaries, pace, spans)
    found = gather(**calls)
    for value in found.values():
        if isinstance(value, OpsError):
            raise value
    return found["requests"], together(found.get("canaries", []))


def read_kept(clients: Clients, service: Json, canaries: Sequence[str], at: datetime) -> Kept:
    """Everything from the first day of the month before until now. What cannot be read is said, and never made up."""
    first, today = month_before(at), at.date()
    readings = Readings()
    try:
        days, damaged = read_days(clients, service["component"], first, today - timedelta(days=1))
    except OpsError as error:
        readings.unread["requests"] = f"the ledger in {clients.environment.table} cannot be read: {error.sentence}"
        return Kept(first, readings)
    since = next((day for day in days_between(first, today) if day not in days), today)
    # The minutes of the real clock: a ledger that a faster one wrote would have no days.
    spans = Pace(at).spans(begin(since))
    live: tuple[Series, Series] = (Series(), Series())
    if spans:
        readings.take(live=lambda: read_counts(clients, service, canaries, spans))
        if "live" in readings.unread:
            readings.unread["requests"] = readings.unread.pop("live")
            return Kept(first, readings, days, damaged)
        live = readings.values.pop("live")
    texts = [[day.requests for day in days.values()], [day.synthetic for day in days.values()]]
    for name, series, words in zip(("requests", "synthetic"), live, texts, strict=True):
        readings.values[name] = merged(series, dict(zip(days, words, strict=True)))
    return Kept(first, readings, days, damaged)


def merged(live: Series, ledger: Mapping[date, str]) -> Series:
    """One series: a day of the ledger stands for whatever was read of it now."""
    counts: list[Count] = [count for count in live.counts if count.at.date() not in ledger]
    for day, text in ledger.items():
        counts += unpacked(text, day)
    return Series.of(counts, live.shortest_minutes)
