"""What is asked of CloudWatch and Prometheus, what becomes of the answers, and that both count the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _slo_cloudwatch as cloudwatch
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, CallUnknown, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._slo import Series, burn_over, keep_ledgers
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_prometheus import Prometheus
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_spans import Pace, Span
from botocore.stub import ANY, Stubber

from tests.unit.changes.conftest import Serve
from tests.unit.slo.sources import Answered, CloudWatch, Json, PrometheusServer
from tests.unit.slo.traffic import AT, NO_CANARIES, policy

BALANCER = "app/daily/1"
PACE = Pace(AT)
HOUR = [Span(AT - timedelta(hours=1), AT, 60)]
SANDBOX: Any = SimpleNamespace(sandbox=True)
PRODUCTION: Any = SimpleNamespace(sandbox=False)


@pytest.fixture(scope="module")
def session() -> botocore.session.Session:
    return botocore.session.Session()


class Stubbed:
    """The clients, with one of CloudWatch that a Stubber stands behind."""

    def __init__(self, session: botocore.session.Session) -> None:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        self.client = session.create_client("cloudwatch", region_name="af-south-1", **keys)
        self.stub = Stubber(self.client)

    def read(self, _service: str) -> Any:
        return self.client

    def answers(self, answer: Json, **expected: Any) -> None:
        request = {"MetricDataQueries": ANY, "StartTime": ANY, "EndTime": ANY, **expected}
        self.stub.add_response("get_metric_data", answer, request)

    @contextmanager
    def all_asked(self) -> Iterator[Any]:
        with self.stub:
            yield self
        self.stub.assert_no_pending_responses()


@pytest.fixture
def stubbed(session: botocore.session.Session) -> Stubbed:
    return Stubbed(session)


def result(name: str, *values: float, status: str = "Complete", begin: int = 0) -> Json:
    """Values of the first minutes of the hour, from the ``begin``-th on."""
    times = [HOUR[0].start + timedelta(minutes=begin + number) for number in range(len(values))]
    return {"Id": name, "Timestamps": times, "Values": list(values), "StatusCode": status}


def pairs(series: Series) -> list[tuple[float, float]]:
    return [(count.bad, count.valid) for count in series.counts]


# -- CloudWatch -----------------------------------------------------------------------------------------------------


def test_every_kind_of_answer_is_asked_for(stubbed: Stubbed) -> None:
    listed = [{"Name": "LoadBalancer", "Value": BALANCER}]

    def metric(identity: str, name: str) -> Json:
        shape = {"Namespace": "AWS/ApplicationELB", "MetricName": name, "Dimensions": listed}
        return {"Id": identity, "MetricStat": {"Metric": shape, "Period": 60, "Stat": "Sum"}}

    queries = [
        *[metric(f"t{family}", f"HTTPCode_Target_{family}XX_Count") for family in (2, 3, 4)],
        metric("e5", "HTTPCode_ELB_5XX_Count"),
        metric("t5", "HTTPCode_Target_5XX_Count"),
    ]
    answer = {"MetricDataResults": [result("t2", 97), result("t5", 2), result("e5", 1)]}
    stubbed.answers(answer, MetricDataQueries=queries, StartTime=HOUR[0].start, EndTime=HOUR[0].end)
    with stubbed.all_asked() as clients:
        series = cloudwatch.read_requests(clients, BALANCER, PACE, HOUR)
    assert pairs(series) == [(3, 100)]
    assert series.counts[0].at == HOUR[0].start


def test_every_page_is_read(stubbed: Stubbed) -> None:
    first = {"MetricDataResults": [result("t5", 1, status="PartialData")], "NextToken": "more"}
    second = {"MetricDataResults": [result("t5", 2, begin=1), result("t2", 10)], "NextToken": "last"}
    stubbed.answers(first)
    stubbed.answers(second, NextToken="more")
    stubbed.answers({"MetricDataResults": [result("t2", 20, begin=1)]}, NextToken="last")
    with stubbed.all_asked() as clients:
        assert pairs(cloudwatch.read_requests(clients, BALANCER, PACE, HOUR)) == [(1, 11), (2, 22)]


@pytest.mark.parametrize("status", ["PartialData", "InternalError", "Forbidden"])
def test_a_part_of_the_values_is_no_answer(stubbed: Stubbed, status: str) -> None:
    stubbed.answers({"MetricDataResults": [result("t5", 0), result("t2", 9, status=status)]})
    with stubbed.all_asked() as clients, pytest.raises(CallUnknown, match="only a part"):
        cloudwatch.read_requests(clients, BALANCER, PACE, HOUR)


def test_without_an_error_there_is_no_series_of_errors_and_they_are_0(stubbed: Stubbed) -> None:
    stubbed.answers({"MetricDataResults": [result("t2", 9, 9), result("t5"), result("e5")]})
    with stubbed.all_asked() as clients:
        assert pairs(cloudwatch.read_requests(clients, BALANCER, PACE, HOUR)) == [(0, 9), (0, 9)]


def test_without_a_good_answer_the_errors_are_all_there_is(stubbed: Stubbed) -> None:
    stubbed.answers({"MetricDataResults": [result("t2"), result("e5", 9)]})
    with stubbed.all_asked() as clients:
        assert pairs(cloudwatch.read_requests(clients, BALANCER, PACE, HOUR)) == [(9, 9)]


def test_all_series_absent_is_no_data(stubbed: Stubbed) -> None:
    stubbed.answers({"MetricDataResults": [result(name) for name in ("t2", "t3", "t4", "t5", "e5")]})
    with stubbed.all_asked() as clients:
        series = cloudwatch.read_requests(clients, BALANCER, PACE, HOUR)
    assert series.counts == ()
    assert keep_ledgers(series, NO_CANARIES, policy(), AT) is None


class Counted:
    """The clients, with a CloudWatch that counted some requests."""

    def __init__(self, source: CloudWatch) -> None:
        self.source = source

    def read(self, _service: str) -> Any:
        return SimpleNamespace(get_metric_data=lambda **params: self.source.answer(params))


def counted(*requests: Answered, **more: Any) -> Any:
    return Counted(CloudWatch(requests, **more))


def test_what_the_balancer_answers_itself_is_bad_and_valid() -> None:
    at = AT.timestamp() - 60
    requests = [Answered(at, 200), Answered(at, 302), Answered(at, 404), Answered(at, 500)]
    requests += [Answered(at, 503, by_target=False), Answered(at, 460, by_target=False)]
    series = cloudwatch.read_requests(counted(*requests), BALANCER, PACE, HOUR)
    assert pairs(series)[-1] == (2, 5)


def test_a_total_outage_without_one_target_is_total() -> None:
    requests = [Answered(AT.timestamp() - 60 + number / 10, 503, by_target=False) for number in range(100)]
    series = cloudwatch.read_requests(counted(*requests), BALANCER, PACE, HOUR)
    assert burn_over(series, 5, policy().budget, AT).ratio == 1


def test_slow_requests_are_counted() -> None:
    at = AT.timestamp() - 60
    requests = [Answered(at, seconds=seconds) for seconds in (0.1, 0.6, 0.61, 3.0)]
    requests.append(Answered(at, 503, by_target=False))
    assert pairs(cloudwatch.read_slow(counted(*requests), BALANCER, 0.6, PACE, HOUR))[-1] == (2, 4)


def test_canaries_are_read_together() -> None:
    begin = AT.timestamp() - 120
    clients = counted(canaries={"north": {begin: 100.0, begin + 60: 0.0}, "south": {begin: 100.0}})
    north, south = cloudwatch.read_canaries(clients, ["north", "south"], PACE, HOUR)
    assert (pairs(north), pairs(south)) == ([(0, 1), (1, 1)], [(0, 1), (0, 0)])
    assert len(clients.source.asked) == 1


# -- time -----------------------------------------------------------------------------------------------------------


def spans(since: datetime, at: datetime, now: datetime | None = None) -> list[tuple[datetime, datetime, int]]:
    return [(span.start, span.end, span.period) for span in Pace(at).spans(since, now or at)]


def test_each_part_of_a_month_is_read_in_the_step_that_is_kept() -> None:
    at = datetime(2026, 10, 31, 12, 34, 56, tzinfo=UTC)
    since = datetime(2026, 10, 1, tzinfo=UTC)
    # 15 days before are the 16th, 12:34; two hours later minutes are surely kept, and 14:30 is where five of them end.
    border = datetime(2026, 10, 16, 14, 30, tzinfo=UTC)
    assert spans(since, at) == [(since, border, 300), (border, at, 60)]
    young = datetime(2026, 10, 20, tzinfo=UTC)
    assert spans(young, at) == [(young, at, 60)]


def test_an_old_month_is_read_in_hours_and_a_forgotten_one_is_not() -> None:
    at = datetime(2026, 6, 1, tzinfo=UTC)
    since = datetime(2026, 5, 1, tzinfo=UTC)
    assert [period for _start, _end, period in spans(since, at, datetime(2026, 7, 20, tzinfo=UTC))] == [3600, 300]
    assert [period for _start, _end, period in spans(since, at, datetime(2026, 12, 1, tzinfo=UTC))] == [3600]
    assert spans(since, at, datetime(2028, 1, 1, tzinfo=UTC)) == []


def test_spans_neither_overlap_nor_leave_a_gap() -> None:
    at = datetime(2026, 10, 31, 12, 34, 56, tzinfo=UTC)
    found = spans(at - timedelta(days=100), at)
    assert [period for _start, _end, period in found] == [3600, 300, 60]
    for (_start, end, coarse), (begin, _end, _period) in pairwise(found):
        assert end == begin
        assert begin.timestamp() % coarse == 0


@pytest.mark.parametrize(("factor", "period", "minutes"), [(60, 5, 5.0), (20, 5, 5 / 3), (1, 60, 1.0)])
def test_where_time_runs_faster_an_hour_is_shorter(factor: int, period: int, minutes: float) -> None:
    pace = Pace(AT, factor)
    (span,) = pace.spans(AT - timedelta(hours=1), AT)
    assert (span.end - span.start, span.period) == (timedelta(hours=1) / factor, period)
    # One request in each real second, of which those of the last real 3600 / factor / 2 seconds failed.
    half = 3600 / factor / 2
    requests = [Answered(AT.timestamp() - ago, 500 if ago <= half else 200) for ago in range(1, 3600)]
    series = cloudwatch.read_requests(counted(*requests), BALANCER, pace, [span])
    assert series.counts[0].minutes == pytest.approx(minutes)
    burn = burn_over(series, 60, policy().budget, AT)
    assert burn.valid == pytest.approx(3600 / factor, rel=0.1)
    assert burn.ratio == pytest.approx(0.5, abs=0.05)


def test_where_time_runs_faster_only_what_is_kept_is_asked_for() -> None:
    (span,) = Pace(AT, 20).spans(AT - timedelta(days=30), AT)
    assert span.end - span.start == timedelta(hours=3)


# -- Prometheus -----------------------------------------------------------------------------------------------------

Serving = Callable[..., tuple[Prometheus, PrometheusServer]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    made = Serve()
    yield made
    made.stop()


@pytest.fixture
def prometheus(serve: Serve) -> Serving:
    def make(*requests: Answered, labels: Json | None = None, **more: Any) -> tuple[Prometheus, PrometheusServer]:
        server = PrometheusServer(requests, **more)
        url = serve.handle("127.0.0.1", server.handler()) + "/prometheus/"
        return Prometheus(SANDBOX, url, labels or {}, server.scrape_s), server

    return make


def steady(per_minute: int, minutes: int, **more: Any) -> list[Answered]:
    begin = AT.timestamp() - minutes * 60
    return [Answered(begin + number * 60 / per_minute, **more) for number in range(per_minute * minutes)]


def test_prometheus_is_asked_the_expressions_of_the_book(prometheus: Serving) -> None:
    reader, server = prometheus(*steady(60, 60), labels={"job": 'emr"web'})
    reader.requests(PACE, HOUR)
    bad, valid = server.queries
    count, job = "http_server_request_duration_seconds_count", 'job="emr\\"web"'
    assert bad["query"] == f'(sum(increase({count}{{http_response_status_code=~"5..",{job}}}[75s])) or vector(0))'
    assert valid["query"] == f"sum(increase({count}{{{job}}}[75s]))"
    assert (bad["path"], bad["step"]) == ("/prometheus/api/v1/query_range", "60")
    assert (float(bad["start"]), float(bad["end"])) == (HOUR[0].start.timestamp() + 60, AT.timestamp())


def test_without_an_error_the_errors_are_0_and_without_a_request_nothing_is_known(prometheus: Serving) -> None:
    reader, server = prometheus(*steady(60, 60))
    counts = reader.requests(PACE, HOUR).counts
    assert {count.bad for count in counts} == {0}
    assert sum(count.valid for count in counts) == pytest.approx(3600, rel=0.02)
    # All tasks are dead for the last half hour: the errors stay 0 and mean nothing.
    server.lost = (AT.timestamp() - 1800, AT.timestamp())
    dead = reader.requests(PACE, HOUR)
    assert dead.counts[-1].at <= AT - timedelta(minutes=29)
    ledgers = keep_ledgers(dead, NO_CANARIES, policy(), AT)
    assert ledgers is not None
    assert ledgers.data_age_minutes > 25


def test_an_empty_result_is_no_data(prometheus: Serving) -> None:
    reader, _server = prometheus()
    assert reader.requests(PACE, HOUR).counts == ()


def test_slow_requests_need_a_bucket(prometheus: Serving) -> None:
    requests = steady(60, 60) + steady(20, 60, seconds=2.0)
    reader, server = prometheus(*requests)
    series = reader.slow(0.6, PACE, HOUR)
    assert burn_over(series, 60, policy().slow_ratio, AT).ratio == pytest.approx(0.25, rel=0.01)
    server.counters["fast"] = {}
    assert reader.slow(0.6, PACE, HOUR).counts == ()


def test_long_times_are_asked_for_in_parts(prometheus: Serving) -> None:
    reader, server = prometheus()
    reader.requests(PACE, [Span(AT - timedelta(days=8), AT, 60)])
    assert [query["query"].startswith("(") for query in server.queries] == [True, True, False, False]
    first, second = server.queries[:2]
    assert float(second["start"]) - float(first["end"]) == 60


BROKEN = {
    "not found": (404, {}),
    "busy": (503, {"status": "error"}),
    "html": (200, b"<html>"),
    "error": (200, {"status": "error", "errorType": "timeout"}),
    "vector": (200, {"status": "success", "data": {"resultType": "vector", "result": []}}),
    "no result": (200, {"status": "success", "data": {"resultType": "matrix"}}),
    "words": (200, {"status": "success", "data": {"resultType": "matrix", "result": [{"values": [[1, "many"]]}]}}),
    "warnings": (
        200,
        {"status": "success", "warnings": ["x"], "data": {"resultType": "matrix", "result": []}},
    ),
    "too long": (200, b'{"status": "success", "more": "' + b"x" * 2_000_000 + b'"}'),
}


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_an_answer_that_is_none_is_never_taken_for_one(prometheus: Serving, kind: str) -> None:
    reader, server = prometheus()
    server.instead = BROKEN[kind]
    with pytest.raises((CallUnknown, CallFailed)):
        reader.requests(PACE, HOUR)


def test_values_that_are_no_numbers_are_missing(prometheus: Serving) -> None:
    reader, server = prometheus()
    moment = AT.timestamp()
    values = [[moment - 120, "NaN"], [moment - 60, "+Inf"], [moment, "7.5"]]
    found = {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": values}]}}
    server.instead = (200, found)
    # Seven and a half within 75 s are six within 60.
    assert pairs(reader.requests(PACE, HOUR)) == [(6, 6)]


def test_nobody_answers() -> None:
    with pytest.raises(CallUnknown, match="got no answer"):
        Prometheus(SANDBOX, "http://127.0.0.1:9", {}, 15).requests(PACE, HOUR)


@pytest.mark.parametrize(
    ("environment", "url", "labels", "scrape_s"),
    [
        (PRODUCTION, None, {}, 15),
        (PRODUCTION, "", {}, 15),
        (PRODUCTION, "file:///etc/passwd", {}, 15),
        (SANDBOX, "https://prometheus.example", {}, 15),
        (PRODUCTION, "https://prometheus.example", {'job="x"} or up{a': "b"}, 15),
        (PRODUCTION, "https://prometheus.example", {}, 0),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    environment: Any, url: str | None, labels: Json, scrape_s: int
) -> None:
    with pytest.raises(Refused):
        Prometheus(environment, url, labels, scrape_s)


# -- both -----------------------------------------------------------------------------------------------------------


def morning() -> list[Answered]:
    """Two hours of 240 requests a minute. Every hundredth fails, for 24 minutes every third; 3 % are slow."""
    begin, requests = AT.timestamp() - 7200, []
    for number in range(2 * 60 * 240):
        at = begin + number / 4
        every = 3 if 2040 <= at - begin < 3480 else 100
        requests.append(Answered(at, 500 if number % every == 0 else 200, seconds=2.0 if number % 33 == 0 else 0.1))
    return requests


@pytest.mark.parametrize("scrape_s", [15, 30])
def test_cloudwatch_and_prometheus_agree_within_1_percent(prometheus: Serving, scrape_s: int) -> None:
    requests = morning()
    reader, _server = prometheus(*requests, scrape_s=scrape_s)
    times = [Span(AT - timedelta(hours=2), AT, 60)]
    one, other = cloudwatch.read_requests(counted(*requests), BALANCER, PACE, times), reader.requests(PACE, times)
    ledgers = [keep_ledgers(series, NO_CANARIES, policy(), AT) for series in (one, other)]
    assert ledgers[0] is not None
    assert ledgers[1] is not None
    assert ledgers[0].down_minutes == 24
    # Samples are taken some seconds into a minute, so an outage may touch one minute more.
    assert ledgers[1].down_minutes in (24, 25)
    for name in ("bad", "valid", "ratio", "fractional_minutes"):
        assert float(getattr(ledgers[1], name)) == pytest.approx(float(getattr(ledgers[0], name)), rel=0.01), name
    for minutes in (5, 30, 60, 120):
        burns = [burn_over(series, minutes, policy().budget, AT).burn for series in (one, other)]
        assert burns[1] == pytest.approx(burns[0], rel=0.01), minutes
    slow = cloudwatch.read_slow(counted(*requests), BALANCER, 0.6, PACE, times), reader.slow(0.6, PACE, times)
    ratios = [burn_over(series, 120, policy().slow_ratio, AT).ratio for series in slow]
    assert ratios[1] == pytest.approx(ratios[0], rel=0.01)
