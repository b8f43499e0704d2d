"""CloudWatch's metric data over an own store: right percentiles, metric math, periods below a minute.

Alarms are moto's: they can be put and described, nothing evaluates them.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from moto.cloudwatch.models import CloudWatchBackend
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult

from ..errors import AwsError
from .metric_math import MathError, Scope, Value, evaluate
from .metric_store import TRIMMED_COUNT, MetricStore, Series, floor, key_of

STATISTICS = {"SampleCount", "Average", "Sum", "Minimum", "Maximum"}
PERCENTILE = re.compile(r"p(?:100(?:\.0+)?|\d{1,2}(?:\.\d{1,10})?)")
ID = re.compile(r"[a-z]\w{0,254}")
SHORT_PERIODS = {1, 5, 10, 20, 30}
MINUTE = 60
MOST_QUERIES = 500
MOST_POINTS = 1_440
"""Data points that GetMetricStatistics returns at most."""
PAGE = 500


def store_of(backend: Any) -> MetricStore:
    """The data of an account and region; it lives and dies with moto's backend."""
    store: MetricStore = backend.__dict__.setdefault("sandbox_store", MetricStore())
    return store


def put_metric_data(self: Any, namespace: str, metric_data: list[dict[str, Any]]) -> None:
    for number, member in enumerate(metric_data, 1):
        self._validate_parameters_put_metric_data(member, number)
    store_of(self).put(namespace, metric_data)


def get_metric_data(self: Any) -> ActionResult:
    asked = self._get_params()
    queries = [dict(query) for query in asked.get("MetricDataQueries") or []]
    start, end = _utc(asked["StartTime"]), _utc(asked["EndTime"])
    _check_queries(queries, start, end)
    values = _evaluate(store_of(self.cloudwatch_backend), queries, start, end)
    ascending = asked.get("ScanBy") == "TimestampAscending"
    results = []
    for query in queries:
        if query.get("ReturnData", True):
            value = values[query["Id"]]
            if isinstance(value, float):
                raise _invalid(f"Error in expression '{query['Id']}': it must return time series, not a number.")
            series = value if isinstance(value, list) else [value]
            results += [_result(query["Id"], _label(query), one, ascending) for one in series]
    return ActionResult({"MetricDataResults": results, "Messages": []})


def _evaluate(store: MetricStore, queries: list[dict[str, Any]], start: float, end: float) -> dict[str, Value]:
    """Value of every query: metrics first, then expressions, each after those it refers to."""
    values: dict[str, Value] = {}
    period = 0
    for query in queries:
        if stat := query.get("MetricStat"):
            metric = stat["Metric"]
            key = key_of(metric["Namespace"], metric["MetricName"], metric.get("Dimensions"))
            values[query["Id"]] = store.statistic(key, stat["Stat"], int(stat["Period"]), start, end, stat.get("Unit"))
            period = max(period, int(stat["Period"]))
    metrics = list(values)
    waiting = {query["Id"]: query["Expression"] for query in queries if "Expression" in query}
    step = period or next((int(query["Period"]) for query in queries if query.get("Period")), MINUTE)
    first = floor(start, step)
    times = [first + step * number for number in range(max(0, -int((first - end) // step)))]
    while waiting:
        ready = [one for one, text in waiting.items() if not _names(text) & waiting.keys()]
        if not ready:
            one = next(iter(waiting))
            raise _invalid(f"Error in expression '{one}': the expressions refer to each other in a circle.")
        for one in ready:
            try:
                values[one] = evaluate(waiting[one], Scope(values, metrics, [at for at in times if at < end]))
            except MathError as error:
                raise _invalid(f"Error in expression '{one}': {error}.") from error
            del waiting[one]
    return values


def _names(expression: str) -> set[str]:
    """What an expression may refer to: the words outside its texts."""
    return set(re.findall(r"[a-z]\w*", re.sub(r"\"[^\"]*\"|'[^']*'", "", expression)))


def _label(query: dict[str, Any]) -> str:
    metric = query.get("MetricStat", {}).get("Metric", {})
    label: str = query.get("Label") or metric.get("MetricName") or query["Id"]
    return label


def _check_queries(queries: list[dict[str, Any]], start: float, end: float) -> None:
    if start >= end:
        raise _invalid("The parameter EndTime must be greater than StartTime.")
    if not 1 <= len(queries) <= MOST_QUERIES:
        raise _invalid(f"The collection MetricDataQueries must have between 1 and {MOST_QUERIES} members.")
    ids = [query["Id"] for query in queries]
    if len(set(ids)) < len(ids):
        raise _invalid("The values for parameter id in MetricDataQueries are not unique.")
    if not any(query.get("ReturnData", True) for query in queries):
        raise _invalid("At least one query must return data.")
    for query in queries:
        if not ID.fullmatch(query["Id"]):
            raise _invalid(f"The value {query['Id']} for parameter Id must begin with a lower case letter.")
        if ("MetricStat" in query) == ("Expression" in query):
            raise _invalid(f"The query {query['Id']} must have exactly one of MetricStat and Expression.")
        if stat := query.get("MetricStat"):
            _check_period(int(stat["Period"]))
            _check_statistic(stat["Stat"])


def _check_period(period: int) -> None:
    if period not in SHORT_PERIODS and (period < MINUTE or period % MINUTE):
        raise _invalid(f"The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60, and is {period}.")


def _check_statistic(statistic: str) -> None:
    if statistic not in STATISTICS and not PERCENTILE.fullmatch(statistic) and not TRIMMED_COUNT.fullmatch(statistic):
        raise _invalid(f"The statistic {statistic} is not one of {', '.join(sorted(STATISTICS))}, pNN or TC(from:to).")


def _result(query_id: str, label: str, series: Series, ascending: bool) -> dict[str, Any]:
    times = sorted(series, reverse=not ascending)
    return {
        "Id": query_id,
        "Label": label,
        "Timestamps": [dt.datetime.fromtimestamp(at, dt.UTC) for at in times],
        "Values": [series[at] for at in times],
        "StatusCode": "Complete",
    }


def get_metric_statistics(self: Any) -> ActionResult:
    asked = self._get_params()
    plain, extended = asked.get("Statistics") or [], asked.get("ExtendedStatistics") or []
    if bool(plain) == bool(extended):
        raise AwsError("InvalidParameterCombination", "Give exactly one of Statistics and ExtendedStatistics.", 400)
    start, end, period = _utc(asked["StartTime"]), _utc(asked["EndTime"]), int(asked["Period"])
    if start >= end:
        raise AwsError("InvalidParameterValue", "The parameter StartTime must be less than the parameter EndTime.", 400)
    _check_period(period)
    if (end - start) / period > MOST_POINTS:
        message = f"You have requested more than {MOST_POINTS} datapoints: use a longer period or a shorter time."
        raise AwsError("InvalidParameterCombination", message, 400)
    store = store_of(self.cloudwatch_backend)
    key = key_of(asked["Namespace"], asked["MetricName"], asked.get("Dimensions"))
    points: dict[float, dict[str, Any]] = {}
    for name in [*plain, *extended]:
        _check_statistic(name)
        for at, value in store.statistic(key, name, period, start, end, asked.get("Unit")).items():
            point = points.setdefault(at, {"Timestamp": dt.datetime.fromtimestamp(at, dt.UTC), "Unit": store.unit(key)})
            if name in STATISTICS:
                point[name] = value
            else:
                point.setdefault("ExtendedStatistics", {})[name] = value
    return ActionResult({"Label": asked["MetricName"], "Datapoints": list(points.values())})


def list_metrics(self: Any) -> ActionResult:
    asked = self._get_params()
    wanted = [(item["Name"], item.get("Value")) for item in asked.get("Dimensions") or []]
    found = [
        {"Namespace": space, "MetricName": name, "Dimensions": [{"Name": n, "Value": v} for n, v in dimensions]}
        for space, name, dimensions in store_of(self.cloudwatch_backend).keys()  # noqa: SIM118 - not a dict
        if asked.get("Namespace") in {None, space}
        and asked.get("MetricName") in {None, name}
        and all(any(n == key and value in {None, v} for n, v in dimensions) for key, value in wanted)
    ]
    try:
        first = int(asked.get("NextToken") or 0)
    except ValueError:
        raise AwsError("InvalidParameterValue", "Request parameter NextToken is invalid", 400) from None
    more = {"NextToken": str(first + PAGE)} if first + PAGE < len(found) else {}
    return ActionResult({"Metrics": found[first : first + PAGE], **more})


def _utc(moment: dt.datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationError", message, 400)


def install(aws: Any) -> None:  # noqa: ARG001 - the data is with moto's backend
    CloudWatchBackend.put_metric_data = put_metric_data
    for action in (get_metric_data, get_metric_statistics, list_metrics):
        setattr(CloudWatchResponse, action.__name__, action)
