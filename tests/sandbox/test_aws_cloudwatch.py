"""Metric data: statistics and percentiles that are right, metric math, and what CloudWatch refuses."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from daily_emr_sandbox.aws.overlays.metric_math import MathError, Scope, evaluate
from daily_emr_sandbox.network.metrics import Datum, put

from tests.sandbox.aws_only import Aws, refusal, running_aws

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with running_aws(tmp_path_factory.mktemp("cloudwatch")) as running:
        yield running


@pytest.fixture(scope="module")
def cloudwatch(aws: Aws) -> Any:
    return aws.client("cloudwatch")


@pytest.fixture
def space() -> str:
    """A namespace that nobody else uses."""
    return f"Test/{next(NUMBERS)}"


BASE = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0) - dt.timedelta(minutes=10)


def minute(number: int, seconds: float = 0) -> dt.datetime:
    return BASE + dt.timedelta(minutes=number, seconds=seconds)


def stored(cloudwatch, space: str, name: str, values: dict[int, float], **more: Any) -> None:
    data = [{"MetricName": name, "Timestamp": minute(at, 7), "Value": value, **more} for at, value in values.items()]
    cloudwatch.put_metric_data(Namespace=space, MetricData=data)


def metric(space: str, query_id: str, name: str, stat: str = "Sum", period: int = 60, **more: Any) -> dict[str, Any]:
    found = {"Namespace": space, "MetricName": name, "Dimensions": more.pop("dimensions", [])}
    return {"Id": query_id, "MetricStat": {"Metric": found, "Period": period, "Stat": stat}, **more}


def ask(
    cloudwatch, *queries: dict[str, Any], start: dt.datetime | None = None, end: dt.datetime | None = None, **more: Any
) -> dict[str, dict[str, Any]]:
    window = {"StartTime": start or minute(0), "EndTime": end or minute(5)}
    answer = cloudwatch.get_metric_data(MetricDataQueries=list(queries), **window, **more)
    return {result["Id"]: result for result in answer["MetricDataResults"]}


def by_minute(result: dict[str, Any]) -> dict[int, float]:
    pairs = zip(result["Timestamps"], result["Values"], strict=True)
    return {int((at - BASE).total_seconds() // 60): value for at, value in pairs}


@pytest.mark.parametrize(
    ("stat", "value"),
    [
        ("Sum", 5050), ("Average", 50.5), ("Minimum", 1), ("Maximum", 100), ("SampleCount", 100),
        ("p0", 1), ("p1", 1), ("p50", 50), ("p95", 95), ("p99", 99), ("p99.9", 100), ("p100", 100),
        ("TC(:60)", 60), ("TC(60:)", 40), ("TC(10:60.5)", 50), ("TC(100:)", 0),
    ],
)  # fmt: skip
def test_every_statistic_of_single_values(cloudwatch, space, stat, value):
    data = [{"MetricName": "m", "Timestamp": minute(0, 1), "Value": float(n)} for n in range(100, 0, -1)]
    cloudwatch.put_metric_data(Namespace=space, MetricData=data)
    assert by_minute(ask(cloudwatch, metric(space, "q", "m", stat))["q"]) == {0: value}


@pytest.mark.parametrize(
    ("stat", "value"), [("p50", 1), ("p90", 1), ("p91", 20), ("p99", 20), ("Average", 2.9), ("Sum", 29)]
)
def test_counts_weigh_in_percentiles_and_sums(cloudwatch, space, stat, value):
    cloudwatch.put_metric_data(
        Namespace=space,
        MetricData=[{"MetricName": "m", "Timestamp": minute(0), "Values": [20.0, 1.0], "Counts": [1.0, 9.0]}],
    )
    assert by_minute(ask(cloudwatch, metric(space, "q", "m", stat))["q"]) == {0: pytest.approx(value)}


def test_sums_of_many_have_no_percentile(cloudwatch, space):
    told = {"SampleCount": 4, "Sum": 10, "Minimum": 1, "Maximum": 4}
    cloudwatch.put_metric_data(
        Namespace=space, MetricData=[{"MetricName": "m", "Timestamp": minute(0), "StatisticValues": told}]
    )
    found = ask(
        cloudwatch,
        metric(space, "avg", "m", "Average"),
        metric(space, "p", "m", "p95"),
        metric(space, "c", "m", "TC(:3)"),
    )
    assert [by_minute(found[name]) for name in ("avg", "p", "c")] == [{0: 2.5}, {}, {}]


def test_the_balancer_puts_in_process_and_everybody_reads_it(aws, cloudwatch):
    elb, name = "AWS/ApplicationELB", "TargetResponseTime"
    with aws.server.mutex:
        put(aws.server, elb, [Datum(name, {"LoadBalancer": "x"}, [0.1, 2.0], [19.0, 1.0])])
    now = dt.datetime.now(dt.UTC)
    query = metric(elb, "q", name, "p95", dimensions=[{"Name": "LoadBalancer", "Value": "x"}])
    found = ask(cloudwatch, query, start=now - dt.timedelta(minutes=2), end=now + dt.timedelta(minutes=1))
    assert found["q"]["Values"] == [0.1]


def test_other_dimensions_are_another_metric(cloudwatch, space):
    zone = [{"Name": "Zone", "Value": "a"}]
    stored(cloudwatch, space, "m", {0: 1.0})
    stored(cloudwatch, space, "m", {0: 5.0}, Dimensions=zone)
    found = ask(cloudwatch, metric(space, "all", "m"), metric(space, "zone", "m", dimensions=zone))
    assert (found["all"]["Values"], found["zone"]["Values"]) == ([1.0], [5.0])


def test_periods_belong_by_their_beginning_and_the_end_is_excluded(cloudwatch, space):
    stored(cloudwatch, space, "m", {0: 1.0, 1: 2.0, 2: 4.0, 5: 8.0})
    inside = ask(cloudwatch, metric(space, "q", "m"), start=minute(0, 30), end=minute(2))
    assert by_minute(inside["q"]) == {0: 1.0, 1: 2.0}
    whole = ask(cloudwatch, metric(space, "q", "m", period=300), end=minute(10))
    assert by_minute(whole["q"]) == {0: 7.0, 5: 8.0}


def test_periods_below_a_minute(cloudwatch, space):
    data = [{"MetricName": "m", "Timestamp": minute(0, at), "Value": 1.0} for at in (0, 4, 5, 11)]
    cloudwatch.put_metric_data(Namespace=space, MetricData=data)
    found = ask(cloudwatch, metric(space, "q", "m", period=5), ScanBy="TimestampAscending")
    assert [(at - BASE).total_seconds() for at in found["q"]["Timestamps"]] == [0, 5, 10]
    assert found["q"]["Values"] == [2.0, 1.0, 1.0]


def test_newest_first_unless_told_otherwise(cloudwatch, space):
    stored(cloudwatch, space, "m", {0: 1.0, 1: 2.0})
    assert ask(cloudwatch, metric(space, "q", "m"))["q"]["Values"] == [2.0, 1.0]
    assert ask(cloudwatch, metric(space, "q", "m"), ScanBy="TimestampAscending")["q"]["Values"] == [1.0, 2.0]


def test_no_data_is_no_value(cloudwatch, space):
    assert ask(cloudwatch, metric(space, "q", "nothing"))["q"]["Values"] == []


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("errors / requests", {0: 0.1}),
        ("FILL(errors, 0) / requests", {0: 0.1, 1: 0, 3: 0}),
        ("100 * FILL(errors, 0) / (requests + 10)", {0: 5.0, 1: 0, 3: 0}),
        ("IF(requests > 15, 1, 0)", {0: 0, 1: 1, 3: 1}),
        ("IF(FILL(errors, 0) > 0 AND requests < 50, requests)", {0: 10}),
        ("SUM(METRICS())", {0: 11, 1: 20, 3: 40}),
        ("MAX([requests, errors])", {0: 10, 1: 20, 3: 40}),
        ("MIN(METRICS(\"req\")) - 1", {0: 9, 1: 19, 3: 39}),
        ("AVG(METRICS())", {0: 5.5, 1: 20, 3: 40}),
        ("requests - AVG(requests)", {0: pytest.approx(-40 / 3), 1: pytest.approx(-10 / 3), 3: pytest.approx(50 / 3)}),
        ("RATE(requests)", {1: 10 / 60, 3: 20 / 120}),
        ("FILL(requests, REPEAT)", {0: 10, 1: 20, 2: 20, 3: 40, 4: 40}),
        ("FILL(requests, LINEAR)", {0: 10, 1: 20, 2: 30, 3: 40}),
        ("-requests ^ 2", {0: 100, 1: 400, 3: 1600}),
        ("errors / (requests - 10)", {}),
    ],
)  # fmt: skip
def test_metric_math(cloudwatch, space, expression, values):
    stored(cloudwatch, space, "requests", {0: 10.0, 1: 20.0, 3: 40.0})
    stored(cloudwatch, space, "errors", {0: 1.0})
    queries = [metric(space, name, name, ReturnData=False) for name in ("requests", "errors")]
    if "FILL(errors" in expression:
        # FILL has a value in every period; where requests has none, the quotient has none.
        filled = ask(cloudwatch, *queries, {"Id": "f", "Expression": "FILL(errors, 0)"})["f"]
        assert by_minute(filled).keys() == set(range(5))
    found = ask(cloudwatch, *queries, {"Id": "e1", "Expression": expression, "Label": "it"})
    assert list(found) == ["e1"]
    assert found["e1"]["Label"] == "it"
    assert by_minute(found["e1"]) == values


def test_an_expression_may_refer_to_a_later_one_and_an_array_gives_several_series(cloudwatch, space):
    stored(cloudwatch, space, "m", {0: 2.0})
    first = {"Id": "e1", "Expression": "e2 * 10"}
    second = {"Id": "e2", "Expression": "m1 + 1", "ReturnData": False}
    assert by_minute(ask(cloudwatch, first, second, metric(space, "m1", "m", ReturnData=False))["e1"]) == {0: 30}
    answer = cloudwatch.get_metric_data(
        MetricDataQueries=[
            metric(space, "m1", "m"), metric(space, "m2", "m"), {"Id": "e", "Expression": "METRICS() * 2"},
        ],
        StartTime=minute(0), EndTime=minute(5),
    )  # fmt: skip
    assert [result["Values"] for result in answer["MetricDataResults"] if result["Id"] == "e"] == [[4.0], [4.0]]


@pytest.mark.parametrize(
    ("queries", "words"),
    [
        ([{"Id": "e", "Expression": "m9 + 1"}], "m9"),
        ([{"Id": "e", "Expression": "m1 +"}], "ends too early"),
        ([{"Id": "e", "Expression": "m1 m1"}], "unexpected"),
        ([{"Id": "e", "Expression": "ANOMALY_DETECTION_BAND(m1)"}], "ANOMALY_DETECTION_BAND"),
        ([{"Id": "e", "Expression": "SUM(m1)"}], "time series"),
        ([{"Id": "e", "Expression": "f"}, {"Id": "f", "Expression": "e"}], "circle"),
        ([{"Id": "M", "Expression": "m1"}], "lower case"),
        ([{"Id": "m1", "Expression": "1"}], "not unique"),
        ([metric("x", "q", "m", "p101")], "p101"),
        ([metric("x", "q", "m", "Median")], "Median"),
        ([metric("x", "q", "m", "TC(5)")], "TC(5)"),
        ([metric("x", "q", "m", period=45)], "Period"),
    ],
)  # fmt: skip
def test_what_cloudwatch_refuses(cloudwatch, space, queries, words):
    stored(cloudwatch, space, "m", {0: 1.0})
    with pytest.raises(ClientError) as error:
        ask(cloudwatch, metric(space, "m1", "m"), *queries)
    assert refusal(error.value) == ("ValidationError", 400)
    assert words in error.value.response["Error"]["Message"]


def test_a_time_that_runs_backwards_is_refused(cloudwatch, space):
    with pytest.raises(ClientError) as error:
        ask(cloudwatch, metric(space, "q", "m"), start=minute(5), end=minute(5))
    assert error.value.response["Error"]["Code"] == "ValidationError"


def test_get_metric_statistics(cloudwatch, space):
    stored(cloudwatch, space, "m", {0: 1.0, 1: 3.0}, Unit="Percent")
    window = {"Namespace": space, "MetricName": "m", "StartTime": minute(0), "EndTime": minute(5)}
    plain = cloudwatch.get_metric_statistics(**window, Period=300, Statistics=["Average", "SampleCount", "Maximum"])
    (point,) = plain["Datapoints"]
    assert (point["Average"], point["SampleCount"], point["Maximum"], point["Unit"]) == (2.0, 2.0, 3.0, "Percent")
    extended = cloudwatch.get_metric_statistics(**window, Period=300, ExtendedStatistics=["p50", "p99"])
    assert extended["Datapoints"][0]["ExtendedStatistics"] == {"p50": 1.0, "p99": 3.0}
    with pytest.raises(ClientError) as error:
        cloudwatch.get_metric_statistics(**window | {"EndTime": minute(2000)}, Period=60, Statistics=["Sum"])
    assert error.value.response["Error"]["Code"] == "InvalidParameterCombination"


def test_list_metrics(cloudwatch, space):
    zone = [{"Name": "Zone", "Value": "a"}]
    stored(cloudwatch, space, "m", {0: 1.0}, Dimensions=zone)
    stored(cloudwatch, space, "n", {0: 1.0})
    names = lambda **more: [one["MetricName"] for one in cloudwatch.list_metrics(Namespace=space, **more)["Metrics"]]  # noqa: E731
    assert (names(), names(MetricName="n"), names(Dimensions=zone)) == (["m", "n"], ["n"], ["m"])
    assert names(Dimensions=[{"Name": "Zone", "Value": "b"}]) == []


def test_alarms_are_described_with_their_missing_data_treatment(cloudwatch):
    cloudwatch.put_metric_alarm(
        AlarmName="silence", Namespace="AWS/ApplicationELB", MetricName="RequestCount", Statistic="Sum", Period=60,
        EvaluationPeriods=5, Threshold=1, ComparisonOperator="LessThanThreshold", TreatMissingData="breaching",
    )  # fmt: skip
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=["silence"])["MetricAlarms"]
    assert (alarm["TreatMissingData"], alarm["Threshold"], alarm["MetricName"]) == ("breaching", 1.0, "RequestCount")


@pytest.mark.parametrize("expression", ["(1", "[m", "m(", "IF(m)", "FILL(1, 0)", "$", "1 / 0", "METRICS(", "[1]"])
def test_a_broken_expression_is_an_error_not_a_crash(expression):
    with pytest.raises(MathError):
        evaluate(expression, Scope({"m": {0.0: 1.0}}, ["m"], [0.0]))
