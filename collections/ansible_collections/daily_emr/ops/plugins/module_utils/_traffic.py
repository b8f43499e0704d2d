# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the traffic of a load balancer, minute by minute. May change without notice.

"""Requests, errors and who made them, as a series: one GetMetricData (incident domain, B.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._attribution import Count, Point, pooled
from ansible_collections.daily_emr.ops.plugins.module_utils._health_metrics import window

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

# An hour and a half: what is usual before an onset up to an hour ago.
_POINTS = 90
# Points that are "now"; three of them are what the alarms look at, five the short window of the fastest burn rate.
LATELY = 5
# Points over which failures are counted that are more than one or two (B.2, low-traffic guard).
_HOUR = 60
_LATENCY = 3
# RequestCount does not count requests for which no target could be chosen, so the answers are counted instead.
_SUMS = {
    "elb_5xx": "HTTPCode_ELB_5XX_Count",
    "elb_502": "HTTPCode_ELB_502_Count",
    "elb_503": "HTTPCode_ELB_503_Count",
    "elb_504": "HTTPCode_ELB_504_Count",
    "target_2xx": "HTTPCode_Target_2XX_Count",
    "target_3xx": "HTTPCode_Target_3XX_Count",
    "target_4xx": "HTTPCode_Target_4XX_Count",
    "target_5xx": "HTTPCode_Target_5XX_Count",
}
_VALID = ("target_2xx", "target_3xx", "target_4xx", "target_5xx", "elb_5xx")


@dataclass(frozen=True)
class Minute:
    """One period. A code that nobody reported did not happen, as long as anything was reported."""

    at: datetime
    codes: dict[str, int] = field(default_factory=dict)
    p95_ms: float | None = None

    @property
    def bad(self) -> int:
        return self.codes.get("elb_5xx", 0) + self.codes.get("target_5xx", 0)

    @property
    def requests(self) -> int:
        return sum(self.codes.get(name, 0) for name in _VALID)


@dataclass(frozen=True)
class Traffic:
    """The series, oldest first, without the periods in which nothing was reported."""

    minutes: list[Minute]
    period_s: int

    def since(self, moment: datetime) -> Traffic:
        return Traffic([minute for minute in self.minutes if minute.at >= moment], self.period_s)

    def before(self, moment: datetime) -> Traffic:
        return Traffic([minute for minute in self.minutes if minute.at < moment], self.period_s)

    def lately(self, now: datetime) -> Traffic:
        """The last periods by the clock, whether or not anything was reported in them."""
        return self.since(now - timedelta(seconds=(LATELY + 1) * self.period_s))

    def hour(self, now: datetime) -> Traffic:
        return self.since(now - timedelta(seconds=_HOUR * self.period_s))

    @property
    def points(self) -> list[Point]:
        return [Point(minute.at, minute.bad, minute.requests) for minute in self.minutes]

    @property
    def count(self) -> Count:
        return pooled(self.points)

    def sum(self, code: str) -> int:
        return sum(minute.codes.get(code, 0) for minute in self.minutes)

    @property
    def p95_ms(self) -> float | None:
        """The worst of the last periods with a value: percentiles cannot be averaged."""
        known = [minute.p95_ms for minute in self.minutes if minute.p95_ms is not None]
        return max(known[-_LATENCY:], default=None)

    @property
    def per_minute(self) -> float:
        minutes = self.minutes
        if not minutes:
            return 0.0
        spanned = (minutes[-1].at - minutes[0].at).total_seconds() + self.period_s
        return self.count.requests * 60 / spanned


def read_traffic(clients: Clients, balancer_arn: str, now: datetime) -> Traffic:
    period, _back = window(clients.environment.time_factor)
    dimensions = [{"Name": "LoadBalancer", "Value": balancer_arn.rpartition(":loadbalancer/")[2]}]

    def query(identity: str, name: str, stat: str) -> dict[str, object]:
        metric = {"Namespace": "AWS/ApplicationELB", "MetricName": name, "Dimensions": dimensions}
        return {"Id": identity, "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}}

    queries = [query(identity, name, "Sum") for identity, name in _SUMS.items()]
    pages = (
        clients.read("cloudwatch")
        .get_paginator("get_metric_data")
        .paginate(
            MetricDataQueries=[*queries, query("p95", "TargetResponseTime", "p95")],
            StartTime=now - timedelta(seconds=_POINTS * period),
            EndTime=now + timedelta(seconds=period),
            ScanBy="TimestampAscending",
        )
    )
    results = [result for page in pages for result in page["MetricDataResults"]]
    return Traffic(list(_minutes(results)), period)


def _minutes(results: list[dict[str, object]]) -> Iterable[Minute]:
    codes: dict[datetime, dict[str, int]] = {}
    p95: dict[datetime, float] = {}
    for result in results:
        pairs: Iterable[tuple[datetime, float]] = zip(result["Timestamps"], result["Values"], strict=True)  # type: ignore[call-overload]
        for at, value in pairs:
            if result["Id"] == "p95":
                p95[at] = value * 1000
            else:
                codes.setdefault(at, {})[str(result["Id"])] = round(value)
    return [Minute(at, codes[at], p95.get(at)) for at in sorted(codes)]
