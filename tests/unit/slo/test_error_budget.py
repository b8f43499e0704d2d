"""One look at the budget: what it sees, what it does not, and what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from ansible_collections.daily_emr.ops.plugins.doc_fragments import slo
from ansible_collections.daily_emr.ops.plugins.modules import error_budget

from tests.unit.changes.conftest import Serve
from tests.unit.changes.world import Json
from tests.unit.slo.conftest import NOW, Budget
from tests.unit.slo.sources import Answered, CloudWatch, PrometheusServer

# The calendar month may have begun a minute ago, so each look is at the last four weeks.
FOUR_WEEKS = {"month_minutes": 40_320}


def requests(bad_ago: range = range(0), per_minute: int = 60, last: int = 120, **more: object) -> list[Answered]:
    """Requests of the last minutes; those that came in the minutes of bad_ago failed."""
    begin = NOW.timestamp()
    return [
        Answered(begin - ago * 60 + number * 60 / per_minute, 500 if ago in bad_ago else 200, **more)
        for ago in range(last, 0, -1)
        for number in range(per_minute)
    ]


def look(budget: Budget, **more: object) -> Json:
    result = budget(**{"slo": FOUR_WEEKS, **more})
    assert not result.get("failed"), result["msg"]
    assert result["changed"] is False
    json.dumps(result)
    return result


def statuses(result: Json) -> dict[str, str]:
    return {item["name"]: item["status"] for item in result["observations"]}


def test_a_healthy_service_has_its_budget(budget: Budget) -> None:
    budget.world.cloudwatch = CloudWatch(requests())
    result = look(budget)
    assert (result["state"], result["verdict"]) == ("OPEN", "none")
    assert set(statuses(result).values()) == {"ok"}
    assert result["ledgers"]["requests"] == {
        "bad": 0,
        "valid": 7200,
        "ratio": 0,
        "budget_used": 0,
        "equivalent_minutes": 0,
    }
    assert (result["ledgers"]["budget_left_minutes"], result["ledgers"]["freeze_left_minutes"]) == (40.32, 28)
    assert result["freeze_in_minutes"] is None
    assert result["sentence"].startswith("emr-web is OPEN: 0.0 min down")
    assert budget.said == [result["sentence"]]
    for item in result["observations"]:
        assert all(item[key] for key in ("name", "status", "subject", "expected", "seen", "at", "call")), item
    assert budget.world.mutations == []


def test_check_mode_reads_the_same(budget: Budget) -> None:
    budget.world.cloudwatch = CloudWatch(requests())
    assert budget(check=True, slo=FOUR_WEEKS) == budget(slo=FOUR_WEEKS)


def test_a_total_outage_pages_and_freezes(budget: Budget) -> None:
    budget.world.cloudwatch = CloudWatch(requests(bad_ago=range(1, 29)))
    result = look(budget)
    assert (result["state"], result["verdict"]) == ("FREEZE", "page")
    assert result["ledgers"]["minutes"]["down"] == 28
    found = statuses(result)
    assert {name for name, status in found.items() if status == "finding"} == {
        "burning_fast",
        "burning_slow",
        "budget_spent",
    }
    (fast,) = [item for item in result["observations"] if item["name"] == "burning_fast"]
    assert (fast["symptom"], fast["subject"]) == (True, "emr-web")
    # 28 minutes of 60 failed: 46.67 % of the hour, a burn of 466.7.
    assert "466.7 over 60 min" in fast["seen"]


def test_slow_requests_page(budget: Budget) -> None:
    budget.world.cloudwatch = CloudWatch(requests(seconds=2.0))
    result = look(budget)
    assert statuses(result)["latency_burning"] == "finding"
    assert statuses(result)["burning_fast"] == "ok"
    assert result["verdict"] == "page"


def test_one_error_at_night_calls_nobody_and_is_not_called_fine(budget: Budget) -> None:
    night = requests(per_minute=1, last=60)
    night[-2] = Answered(night[-2].at, 500)
    budget.world.cloudwatch = CloudWatch(night)
    result = look(budget)
    found = statuses(result)
    assert result["verdict"] == "none"
    assert (found["burning_fast"], found["low_traffic"], found["no_data"]) == ("unknown", "finding", "ok")
    assert result["pairs"][0]["held_back"] is True


def test_at_night_canaries_tell(budget: Budget) -> None:
    night = requests(per_minute=1, last=60)
    night[-2] = Answered(night[-2].at, 500)
    runs = {NOW.timestamp() - ago * 60: 100.0 for ago in range(1, 61)}
    budget.world.cloudwatch = CloudWatch(night, {"nairobi": runs, "kisumu": runs})
    result = look(budget, canaries=["nairobi", "kisumu"])
    assert statuses(result)["burning_fast"] == "ok"
    assert {pair["source"] for pair in result["pairs"]} == {"synthetic"}
    failing = {**runs, NOW.timestamp() - 60: 0.0}
    budget.world.cloudwatch = CloudWatch(night, {"nairobi": failing, "kisumu": failing})
    assert look(budget, canaries=["nairobi", "kisumu"])["verdict"] == "page"


def test_one_canary_is_refused(budget: Budget) -> None:
    result = budget(canaries=["nairobi", "nairobi"])
    assert (result["refused"], "fewer than 2" in result["msg"]) == (True, True)


def test_no_data_is_its_own_answer(budget: Budget) -> None:
    result = look(budget)
    assert (result["state"], result["verdict"]) == ("UNKNOWN", "unknown")
    found = statuses(result)
    assert found.pop("no_data") == "finding"
    assert found.pop("low_traffic") == "finding"
    assert set(found.values()) == {"unknown"}
    assert result["ledgers"] == {
        "known": False,
        "month_minutes": 40_320,
        "budget_minutes": 40.32,
        "freeze_minutes": 28,
    }
    assert {burn["burn"] for burn in result["burns"]} == {None}
    assert result["sentence"] == (
        "emr-web is UNKNOWN: nothing is known of this month; whether somebody must be called is unknown."
    )


@pytest.mark.parametrize("operation", ["GetMetricData", "DescribeLoadBalancers"])
def test_what_could_not_be_read_is_unknown_never_ok(budget: Budget, operation: str) -> None:
    budget.world.cloudwatch = CloudWatch(requests())
    budget.world.broken.add(operation)
    result = look(budget)
    assert set(statuses(result).values()) == {"unknown"}
    assert (result["state"], result["verdict"]) == ("UNKNOWN", "unknown")
    assert "AccessDenied" in result["observations"][0]["seen"]


def test_old_data_is_no_data(budget: Budget) -> None:
    budget.world.cloudwatch = CloudWatch([item for item in requests() if item.at < NOW.timestamp() - 1200])
    result = look(budget)
    assert (result["state"], result["verdict"]) == ("UNKNOWN", "unknown")
    assert (statuses(result)["no_data"], statuses(result)["budget_spent"]) == ("finding", "unknown")
    assert result["ledgers"]["data_age_minutes"] == 20
    assert "the newest data is 20 min old" in result["sentence"]


def test_the_calendar_month_is_the_default(budget: Budget) -> None:
    at = datetime(2026, 2, 3, 12, tzinfo=UTC)
    result = look(budget, slo={}, at=at.isoformat())
    assert (result["ledgers"]["budget_minutes"], result["read_at"]) == (40.32, "2026-02-03T12:00:00.000Z")


def test_a_time_without_a_zone_is_not_guessed(budget: Budget) -> None:
    assert "not a UTC timestamp" in budget(at="2026-02-03T12:00:00")["msg"]


def test_the_options_are_those_of_the_documentation() -> None:
    import yaml

    documented = yaml.safe_load(error_budget.DOCUMENTATION)["options"]
    for part in (slo.ModuleDocFragment.DOCUMENTATION, slo.ModuleDocFragment.CANARIES):
        documented |= yaml.safe_load(part)["options"]
    own = {name: option for name, option in error_budget.BUDGET_SPEC.items() if name != "service"}
    assert documented.keys() == own.keys()
    assert {name: option.get("default") for name, option in documented["slo"]["suboptions"].items()} == {
        name: option.get("default") for name, option in own["slo"]["options"].items()
    }


# -- Prometheus -----------------------------------------------------------------------------------------------------


@pytest.fixture
def serve() -> Iterator[Serve]:
    made = Serve()
    yield made
    made.stop()


def test_both_sources_say_the_same(budget: Budget, serve: Serve) -> None:
    found = requests(bad_ago=range(10, 20), last=180)
    budget.world.cloudwatch = CloudWatch(found)
    url = serve.handle("127.0.0.1", PrometheusServer(found).handler())
    one, other = look(budget), look(budget, source="prometheus", prometheus_url=url)
    for name in ("state", "verdict"):
        assert one[name] == other[name]
    assert statuses(one) == statuses(other)
    ledgers = [result["ledgers"]["requests"]["budget_used"] for result in (one, other)]
    assert ledgers[1] == pytest.approx(ledgers[0], rel=0.01)
    for before, after in zip(one["burns"], other["burns"], strict=True):
        if before["window_minutes"] >= 60:
            assert after["burn"] == pytest.approx(before["burn"], rel=0.01)
    assert {item["call"] for item in other["observations"]} == {"Prometheus:QueryRange"}


def test_prometheus_without_an_address_is_refused(budget: Budget) -> None:
    assert budget(source="prometheus")["refused"] is True


def test_a_prometheus_that_is_down_is_unknown(budget: Budget, serve: Serve) -> None:
    server = PrometheusServer([])
    server.instead = (503, {})
    url = serve.handle("127.0.0.1", server.handler())
    result = look(budget, source="prometheus", prometheus_url=url)
    assert set(statuses(result).values()) == {"unknown"}
    assert result["state"] == "UNKNOWN"
