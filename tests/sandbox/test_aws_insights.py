"""Logs Insights: the language, and the API that runs it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from daily_emr_sandbox.aws.overlays.insights import Query, QueryError, row_of
from daily_emr_sandbox.loop import wait_until

from tests.sandbox.aws_only import Aws, refusal, running_aws

NOON = 1_795_435_200_000
"""2026-11-23 12:00:00 UTC in milliseconds."""


def event(second: float, route: str, status: int, duration: float, **more: Any) -> dict[str, Any]:
    line = {"route": route, "status": status, "duration": duration, **more}
    return row_of(NOON + int(second * 1000), json.dumps(line), ptr=f"p{second:g}")


EVENTS = [
    event(0, "/login", 200, 10, release="r1"),
    event(10, "/api/charts", 500, 30, release="r2", error="TypeError"),
    event(20, "/api/charts", 201, 50, release="r1"),
    event(61, "/api/charts", 503, 70, release="r2", upstream={"name": "database", "ms": [60, 70]}),
    event(62, "/login", 200, 90.5, release="r1"),
    row_of(NOON + 63_000, "2026-11-23 ERROR no json", ptr="p63"),
]


def run(text: str) -> list[dict[str, str]]:
    return [{cell["field"]: cell["value"] for cell in row} for row in Query(text).run(EVENTS)]


def column(text: str, name: str) -> list[str | None]:
    return [row.get(name) for row in run(text)]


def test_events_come_newest_first_with_what_identifies_them() -> None:
    rows = run("fields @timestamp, route | filter status >= 500")

    assert rows == [
        {"@timestamp": "2026-11-23 12:01:01.000", "route": "/api/charts", "@ptr": "p61"},
        {"@timestamp": "2026-11-23 12:00:10.000", "route": "/api/charts", "@ptr": "p10"},
    ]


def test_without_fields_the_message_is_shown() -> None:
    (row,) = run("filter @message like 'no json'")

    assert set(row) == {"@timestamp", "@message", "@ptr"}


@pytest.mark.parametrize(
    ("condition", "places"),
    [
        ("status = 200", ["p62", "p0"]),
        ("status != 200", ["p61", "p20", "p10"]),
        ("status >= 500 and duration < 50", ["p10"]),
        ("status >= 500 or route = '/login'", ["p62", "p61", "p10", "p0"]),
        ("status = 500 or status = 503 and release = 'r1'", ["p10"]),
        ("(status = 500 or status = 503) and release = 'r2'", ["p61", "p10"]),
        ("not (release = 'r2') and ispresent(release)", ["p62", "p20", "p0"]),
        ("route like 'chart'", ["p61", "p20", "p10"]),
        ("route not like /^.api/", ["p63", "p62", "p0"]),
        (r"route like /^\/api\/c/ and status < 500", ["p20"]),
        ("error =~ /(?i)type/", ["p10"]),
        ("status in [201, 503]", ["p61", "p20"]),
        ("release not in ['r1']", ["p63", "p61", "p10"]),
        ("upstream.name = 'database'", ["p61"]),
        ("upstream.ms.1 = 70", ["p61"]),
        ("duration * 2 - 20 > 100", ["p62", "p61"]),
        ("coalesce(error, 'none') = 'none'", ["p63", "p62", "p61", "p20", "p0"]),
        ("`status` = '500'", ["p10"]),
    ],
)
def test_a_condition_keeps_the_events_that_meet_it(condition: str, places: list[str]) -> None:
    assert column(f"filter {condition}", "@ptr") == places


def test_totals_by_several_columns() -> None:
    text = """
        # bad requests of each release and route
        filter ispresent(status)
        | stats count(*) as requests, sum(status >= 500) as bad, pct(duration, 95) as p95, avg(duration)
            by release, route
        | sort bad desc, requests desc, release
    """
    assert run(text) == [
        {"release": "r2", "route": "/api/charts", "requests": "2", "bad": "2", "p95": "70", "avg(duration)": "50"},
        {"release": "r1", "route": "/login", "requests": "2", "bad": "0", "p95": "90.5", "avg(duration)": "50.25"},
        {"release": "r1", "route": "/api/charts", "requests": "1", "bad": "0", "p95": "50", "avg(duration)": "50"},
    ]


def test_the_bad_requests_of_each_route_and_release() -> None:
    text = (
        "fields route, status, release | filter status>=500"
        " | stats count() as c, pct(duration,95) as p95 by route, release | sort c desc | limit 20"
    )
    assert run(text)[0] == {"route": "/api/charts", "release": "r2", "c": "2", "p95": "70"}


def test_totals_over_time() -> None:
    text = "stats count(*) as requests, sum(status>=500)/count(*) as ratio by bin(60s) as minute | sort minute"
    assert run(text) == [
        {"minute": "2026-11-23 12:00:00.000", "requests": "3", "ratio": "0.3333"},
        {"minute": "2026-11-23 12:01:00.000", "requests": "3", "ratio": "0.3333"},
    ]
    assert column("stats count(*) by bin(1m) | sort `bin(1m)` desc", "bin(1m)")[0] == "2026-11-23 12:01:00.000"
    assert len(run("stats count(*) by bin(500ms)")) == len(EVENTS)


@pytest.mark.parametrize(
    ("total", "value"),
    [
        ("count(*)", "6"),
        ("count()", "6"),
        ("count(error)", "1"),
        ("count_distinct(release)", "2"),
        ("min(duration)", "10"),
        ("max(@timestamp)", str(NOON + 63_000)),
        ("pct(duration, 50)", "50"),
        ("100 * sum(status >= 500) / count(status)", "40"),
    ],
)
def test_a_total_over_everything(total: str, value: str) -> None:
    assert run(f"stats {total} as it") == [{"it": value}]


def test_a_total_over_nothing_is_no_row() -> None:
    """Missing is not zero: a group without events does not exist."""
    assert run("filter status = 999 | stats count(*)") == []


def test_what_is_grouped_can_be_filtered_and_shortened() -> None:
    text = "stats count(*) as n by route | filter n > 1 and ispresent(route) | sort n desc | limit 1 | display route"
    assert run(text) == [{"route": "/api/charts"}]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("parse @message '* *' as a, b", 0),
        ("fields @message | dedup route", 18),
        ("filter status >> 500", 15),
        ("filter status >=", 16),
        ("stats count(*) by", 17),
        ("stats route by release", 6),
        ("stats stddev(duration)", 6),
        ("filter count(*) > 1", 7),
        ("filter route like /(/", 18),
        ("stats count(*) by bin(60)", 22),
        ("limit 0", 6),
        ("limit many", 6),
        ("filter 'open", 7),
        ("fields a |", 10),
        ("fields a b", 9),
        ("SELECT * FROM logs", 0),
        ("", 0),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(text: str, place: int) -> None:
    with pytest.raises(QueryError) as refused:
        Query(text)
    assert refused.value.start == place


GROUP = "/ecs/daily-emr-sandbox-web"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with running_aws(tmp_path_factory.mktemp("logs")) as running:
        logs = running.client("logs")
        logs.create_log_group(logGroupName=GROUP)
        logs.create_log_stream(logGroupName=GROUP, logStreamName="web/web/1")
        now = int(time.time() * 1000)
        lines = [{"route": "/login", "status": status} for status in (200, 500, 200)]
        events = [{"timestamp": now - 60_000 + n, "message": json.dumps(line)} for n, line in enumerate(lines)]
        logs.put_log_events(logGroupName=GROUP, logStreamName="web/web/1", logEvents=events)
        yield running


@pytest.fixture(scope="module")
def logs(aws: Aws) -> Any:
    return aws.client("logs")


def start(logs: Any, text: str = "stats count(*) as n", minutes: float = 5, **asked: Any) -> str:
    now = int(time.time())
    wanted = {"logGroupName": GROUP, "startTime": int(now - minutes * 60), "endTime": now, "queryString": text} | asked
    started: str = logs.start_query(**{key: value for key, value in wanted.items() if value is not None})["queryId"]
    return started


def results(logs: Any, query: str) -> dict[str, Any]:
    wait_until(lambda: logs.get_query_results(queryId=query)["status"] == "Complete", "the query is complete")
    found: dict[str, Any] = logs.get_query_results(queryId=query)
    return found


def test_a_query_walks_its_states(logs: Any) -> None:
    query, seen = start(logs, "filter status >= 500 | stats count(*) as n by route"), []
    deadline = time.monotonic() + 20
    while "Complete" not in seen and time.monotonic() < deadline:
        found = logs.get_query_results(queryId=query)
        seen.append(found["status"])
        assert found["results"] == [] or found["status"] == "Complete"
    assert list(dict.fromkeys(seen))[-2:] == ["Running", "Complete"]
    assert found["results"] == [[{"field": "route", "value": "/login"}, {"field": "n", "value": "1"}]]
    assert found["statistics"]["recordsScanned"] == 3
    (described,) = [one for one in logs.describe_queries(logGroupName=GROUP)["queries"] if one["queryId"] == query]
    assert described["status"] == "Complete"


def test_a_query_reads_its_time_and_groups_only(logs: Any) -> None:
    assert results(logs, start(logs, minutes=0.5))["results"] == []
    arn = logs.describe_log_groups()["logGroups"][0]["logGroupArn"]
    by_arn = start(logs, logGroupName=None, logGroupIdentifiers=[arn])
    assert results(logs, by_arn)["results"] == [[{"field": "n", "value": "3"}]]
    assert len(results(logs, start(logs, "fields status", limit=2))["results"]) == 2


def test_a_stopped_query_has_no_result(logs: Any) -> None:
    query = start(logs)
    assert logs.stop_query(queryId=query)["success"] is True
    assert logs.get_query_results(queryId=query)["status"] == "Cancelled"
    with pytest.raises(ClientError) as error:
        logs.stop_query(queryId=query)
    assert refusal(error.value) == ("InvalidParameterException", 400)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"queryString": "select 1"}, "MalformedQueryException"),
        ({"logGroupName": "/ecs/other"}, "ResourceNotFoundException"),
        ({"logGroupNames": [GROUP]}, "InvalidParameterException"),
        ({"startTime": 2_000_000_000}, "InvalidParameterException"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(logs: Any, asked: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as error:
        start(logs, **asked)
    assert refusal(error.value) == (code, 400)


def test_a_malformed_query_says_where(logs: Any) -> None:
    with pytest.raises(ClientError) as error:
        start(logs, "filter status >> 500")
    assert error.value.response["queryCompileError"]["location"] == {"startCharOffset": 15, "endCharOffset": 16}


def test_asking_logs_changes_nothing(logs: Any, aws: Aws) -> None:
    before = aws.server.calls.seq
    results(logs, start(logs))
    assert [call["mutating"] for call in aws.server.calls.since(before) if call["mutating"]] == []
