# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: bad and valid requests as CloudWatch counted them. May change without notice.

"""GetMetricData: what the load balancer answered, minute by minute, and how its canaries fared.

RequestCount is not used: it misses every request for which no target could be chosen, which is all of them in a total
outage. A kind of answer is only reported when there is one, so a missing kind is 0 where another one was reported, and
where none was, nothing is known. That filling is done here: metric math fills a metric only when it has a value in the
span, and a healthy service has no error that could lend it one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallUnknown
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._slo import Series
    from ansible_collections.daily_emr.ops.plugins.module_utils._slo_spans import Pace, Span

_BAD = {"e5": "HTTPCode_ELB_5XX_Count", "t5": "HTTPCode_Target_5XX_Count"}
_VALID = {**{f"t{family}": f"HTTPCode_Target_{family}XX_Count" for family in (2, 3, 4)}, **_BAD}


def balancer_dimension(clients: Clients, name: str) -> str:
    """``app/<name>/<id>``, as its metrics know the load balancer."""
    found = clients.read("elbv2").describe_load_balancers(Names=[name])["LoadBalancers"][0]
    return str(found["LoadBalancerArn"]).rpartition(":loadbalancer/")[2]


def read_requests(clients: Clients, balancer: str, pace: Pace, spans: Sequence[Span]) -> Series:
    """Answers of the 5xx kinds, of targets and of the load balancer itself, among all valid ones."""

    def queries(period: int) -> list[Json]:
        return [_balancer(identity, name, balancer, period, "Sum") for identity, name in _VALID.items()]

    def count(values: Json) -> tuple[float, float]:
        return sum(values.get(identity, 0.0) for identity in _BAD), sum(values.values())

    return pace.series({period: _counts(found, count) for period, found in _all(clients, queries, spans).items()})


def read_slow(clients: Clients, balancer: str, slow_s: float, pace: Pace, spans: Sequence[Span]) -> Series:
    """Requests that took longer than slow_s, among those that a target answered.

    They are counted: percentiles cannot be added up over time.
    """

    def queries(period: int) -> list[Json]:
        stats = {"answered": "SampleCount", "fast": f"TC(:{slow_s:g})"}
        return [_balancer(identity, "TargetResponseTime", balancer, period, stat) for identity, stat in stats.items()]

    def count(values: Json) -> tuple[float, float]:
        answered = values.get("answered", 0.0)
        return answered - values.get("fast", 0.0), answered

    return pace.series({period: _counts(found, count) for period, found in _all(clients, queries, spans).items()})


def read_p95(clients: Clients, balancer: str, spans: Sequence[Span]) -> dict[datetime, float]:
    """The 95th percentile of the time that targets took to answer, in seconds, for each step that has one."""

    def queries(period: int) -> list[Json]:
        return [_balancer("p95", "TargetResponseTime", balancer, period, "p95")]

    found = _all(clients, queries, spans)
    return {at: values["p95"] for steps in found.values() for at, values in steps.items()}


def read_canaries(clients: Clients, names: Sequence[str], pace: Pace, spans: Sequence[Span]) -> list[Series]:
    """Failed runs among all runs, one series for each canary."""

    def queries(period: int) -> list[Json]:
        return [
            _metric(f"{prefix}{number}", "CloudWatchSynthetics", "SuccessPercent", {"CanaryName": name}, period, stat)
            for number, name in enumerate(names)
            for prefix, stat in (("runs", "SampleCount"), ("percent", "Sum"))
        ]

    def count_of(number: int) -> Callable[[Json], tuple[float, float]]:
        def count(values: Json) -> tuple[float, float]:
            runs = values.get(f"runs{number}", 0.0)
            return runs - values.get(f"percent{number}", 0.0) / 100, runs

        return count

    values = _all(clients, queries, spans)
    return [
        pace.series({period: _counts(found, count_of(number)) for period, found in values.items()})
        for number, _name in enumerate(names)
    ]


def _counts(
    values: dict[datetime, Json], count: Callable[[Json], tuple[float, float]]
) -> dict[datetime, tuple[float, float]]:
    return {at: count(found) for at, found in values.items()}


def _balancer(identity: str, name: str, balancer: str, period: int, stat: str) -> Json:
    return _metric(identity, "AWS/ApplicationELB", name, {"LoadBalancer": balancer}, period, stat)


def _metric(identity: str, namespace: str, name: str, dimensions: Json, period: int, stat: str) -> Json:
    listed = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    shape = {"Namespace": namespace, "MetricName": name, "Dimensions": listed}
    return {"Id": identity, "MetricStat": {"Metric": shape, "Period": period, "Stat": stat}}


def _all(
    clients: Clients, queries: Callable[[int], list[Json]], spans: Sequence[Span]
) -> dict[int, dict[datetime, Json]]:
    """The values of each step that has any, as {period: {start: {id: value}}}."""
    values: dict[int, dict[datetime, Json]] = {}
    for span in spans:
        steps = values.setdefault(span.period, {})
        for item in _results(clients, queries(span.period), span):
            for moment, value in zip(item["Timestamps"], item["Values"], strict=True):
                steps.setdefault(moment.astimezone(UTC), {})[item["Id"]] = value
    return values


def _results(clients: Clients, queries: list[Json], span: Span) -> list[Json]:
    """The results of every page. Raises CallUnknown when CloudWatch gives a part of the values only."""
    request: Json = {"MetricDataQueries": queries, "StartTime": span.start, "EndTime": span.end}
    results: list[Json] = []
    while True:
        answer = clients.read("cloudwatch").get_metric_data(**request)
        page, more = answer["MetricDataResults"], answer.get("NextToken")
        results += page
        # Of a page that another one follows, a part is all that can be there.
        fine = ("Complete", "PartialData") if more else ("Complete",)
        if answer.get("Messages") or any(item.get("StatusCode", "Complete") not in fine for item in page):
            raise CallUnknown("cloudwatch:GetMetricData gave only a part of the values: run again in a minute.")
        if not more:
            return results
        request["NextToken"] = more
