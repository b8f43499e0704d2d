"""Metrics of the balancer and the web ACL, from the requests that really passed.

The recorder counts in the balancer's thread; every few seconds the control thread flushes the counts into
CloudWatch, each stamped with the second in which it happened. Response times keep their distribution (value and count
pairs), so percentiles are right.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..aws.server import AwsServer

Dimensions = tuple[tuple[str, str], ...]
Key = tuple[str, str, Dimensions]
"""Namespace, metric name, dimensions in order."""


@dataclass(frozen=True)
class Datum:
    """Values of one metric with one set of dimensions; `counts` as in PutMetricData, `at` in s since the epoch."""

    name: str
    dimensions: Mapping[str, str]
    values: list[float]
    counts: list[float] = field(default_factory=list)
    unit: str = "Count"
    at: float | None = None

    def as_member(self, now: dt.datetime) -> dict[str, Any]:
        """The form that moto's put_metric_data takes; what carries no time is of now."""
        at = now if self.at is None else dt.datetime.fromtimestamp(self.at, dt.UTC).replace(tzinfo=None)
        return {
            "MetricName": self.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in self.dimensions.items()],
            "Timestamp": at,
            "Values": self.values,
            "Counts": self.counts or [1.0] * len(self.values),
            "Unit": self.unit,
        }


def put(aws: AwsServer, namespace: str, data: Iterable[Datum]) -> None:
    """Store data points of an AWS namespace. Hold the mutex."""
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)  # moto keeps times without a zone, in UTC
    if members := [datum.as_member(now) for datum in data]:
        aws.backend("cloudwatch").put_metric_data(namespace, members)


class Recorder:
    """Counts of one load balancer since the last flush. Safe to use from two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: Counter[tuple[int, Key]] = Counter()
        self._times: defaultdict[tuple[int, Dimensions], Counter[float]] = defaultdict(Counter)

    def answered(
        self, *, balancer: str, zone: str, status: int, by_target: bool, group: str | None, seconds: float | None
    ) -> None:
        """One request is over.

        Args:
            balancer: dimension value, `app/<name>/<id>`.
            zone: of the target when one was chosen, else of the balancer's node.
            status: what the client got.
            by_target: a target made the answer; else the balancer did.
            group: dimension value of the target group a target was chosen from, `targetgroup/<name>/<id>`.
            seconds: from the request leaving the balancer to the answer, when a target answered.
        """
        base, by_group = _dimension_sets(balancer, zone, group)
        chosen = ["RequestCount"] if group else []
        own = []
        if by_target:
            chosen.append(f"HTTPCode_Target_{status // 100}XX_Count")
        elif status >= HTTPStatus.BAD_REQUEST:
            own.append(f"HTTPCode_ELB_{status // 100}XX_Count")
            if status in {500, 502, 503, 504}:
                own.append(f"HTTPCode_ELB_{status}_Count")
        at = int(time.time())
        with self._lock:
            for dimensions in base:
                for name in own:
                    self._sums[at, ("AWS/ApplicationELB", name, dimensions)] += 1
            for dimensions in base + by_group:
                for name in chosen:
                    self._sums[at, ("AWS/ApplicationELB", name, dimensions)] += 1
                if seconds is not None:
                    self._times[at, dimensions][round(seconds, 4)] += 1

    def judged(self, web_acl: str, rules: Iterable[str], action: str, region: str) -> None:
        """The web ACL let a request pass or not; `rules` are the metric names that took part."""
        name = {"BLOCK": "BlockedRequests", "ALLOW": "AllowedRequests", "COUNT": "CountedRequests"}[action]
        at = int(time.time())
        with self._lock:
            for rule in rules:
                dimensions = (("Region", region), ("Rule", rule), ("WebACL", web_acl))
                self._sums[at, ("AWS/WAFV2", name, dimensions)] += 1

    def take(self) -> dict[str, list[Datum]]:
        """Data since the last call, by namespace. What did not happen is not reported, as on AWS."""
        with self._lock:
            sums, times = self._sums, self._times
            self._sums, self._times = Counter(), defaultdict(Counter)
        data: dict[str, list[Datum]] = defaultdict(list)
        for (at, (namespace, name, dimensions)), count in sums.items():
            # A sum of n requests is n samples of 1: SampleCount and Average are then those of AWS.
            data[namespace].append(Datum(name, dict(dimensions), [1.0], [float(count)], at=at))
        for (at, dimensions), spread in times.items():
            values, counts = list(spread), [float(count) for count in spread.values()]
            told = Datum("TargetResponseTime", dict(dimensions), values, counts, "Seconds", at)
            data["AWS/ApplicationELB"].append(told)
        return data


def _dimension_sets(balancer: str, zone: str, group: str | None) -> tuple[list[Dimensions], list[Dimensions]]:
    """Dimension sets of one event: those of the load balancer, and those that name a target group as well.

    What the balancer answers itself is reported under the first ones only, as on AWS. The zone is that of the
    target; AWS names the zone of the balancer's node, of which there is one here.
    """
    by_balancer, by_zone = ("LoadBalancer", balancer), ("AvailabilityZone", zone)
    base: list[Dimensions] = [(by_balancer,), (by_zone, by_balancer)]
    if group is None:
        return base, []
    by_group = ("TargetGroup", group)
    return base, [(by_balancer, by_group), (by_zone, by_balancer, by_group)]


def host_counts(balancer: str, group: str, zones: Iterable[tuple[str, bool]], enabled: Iterable[str]) -> list[Datum]:
    """HealthyHostCount and UnHealthyHostCount of a target group, in total and for each enabled zone.

    Args:
        zones: zone of each target and whether it is healthy.
        enabled: zones of the load balancer.
    """
    pairs = list(zones)
    data = []
    for name, wanted in (("HealthyHostCount", True), ("UnHealthyHostCount", False)):
        base = {"LoadBalancer": balancer, "TargetGroup": group}
        total = sum(healthy is wanted for _, healthy in pairs)
        data.append(Datum(name, base, [float(total)]))
        for zone in enabled:
            count = sum(healthy is wanted for where, healthy in pairs if where == zone)
            data.append(Datum(name, {"AvailabilityZone": zone, **base}, [float(count)]))
    return data
