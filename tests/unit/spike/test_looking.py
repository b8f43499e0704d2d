"""The module against a service in trouble: what it asks, and what it makes of the answers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._attribution import DIMENSIONS

from tests.unit.changes.world import Json
from tests.unit.spike.conftest import MINUTE, Spike
from tests.unit.spike.readings import NEW, ROUTES, bad, errors, request, usual


def canary_in_trouble(spike: Spike) -> None:
    """Ten minutes of errors, all of a release that was deployed four minutes before."""
    world = spike.world
    world.series = [{"target_2xx": 290, "target_4xx": 10, "p95": 0.04}] * 80 + [{**errors(24), "p95": 0.04}] * 10
    world.log = [*usual(), *[(request(release=NEW, route=route), 100) for route in ROUTES]]
    world.log += [entry for route in ROUTES for entry in bad(80, release=NEW, route=route)]
    world.deployed(3, world.now - 14 * MINUTE, source=2)
    world.revision = 3
    world.events = [("PutParameter", "ssm.amazonaws.com", 30), ("PutMetricData", "monitoring.amazonaws.com", 11)]
    world.rate_rule()
    spike.flags.flag("sha-circuit", "circuit:sha")
    spike.flags.flag("new-chart-view", "route:/api/charts", on=True)
    spike.flags.changed("new-chart-view", world.now - 40 * MINUTE)
    spike.flags.changed("new-chart-view", world.now - 11 * MINUTE, environment="staging")


def findings(result: Json) -> set[str]:
    return {item["name"] for item in result["observations"] if item["status"] == "finding"}


def test_a_canary_in_trouble_is_found_with_its_suspects(spike: Spike) -> None:
    canary_in_trouble(spike)

    result = spike.look()

    assert [item["name"] for item in result["observations"] if item["status"] == "unknown"] == []
    assert {"errors_elevated", "sudden_onset", "release_explains", "newest_release_explains"} <= findings(result)
    assert (result["subjects"]["bad_release"], result["subjects"]["bad_share"]) == (NEW, 1.0)
    assert [(item["kind"], item["minutes_before"]) for item in result["suspects"]] == [
        ("deployment", 4.0),
        ("call", 20.0),
        ("flag", 30.0),
    ]
    assert (result["healthy"], result["sentence"]) == (False, "emr-web is not healthy: errors_elevated.")
    assert spike.said == [result["sentence"]]
    assert spike.world.mutations == []


def test_the_log_is_asked_about_the_time_since_the_onset_and_before_it_for_signatures(spike: Spike) -> None:
    canary_in_trouble(spike)
    spike.look()

    onset = int((spike.world.now - 10 * MINUTE).timestamp())
    windows = [query["startTime"] - onset for query in spike.world.queries]
    assert len(windows) == len(DIMENSIONS) + 3
    assert sorted(set(windows)) == [-80 * 60, 0]
    assert windows.count(-80 * 60) == 1
    (before,) = [query for query in spike.world.queries if query["startTime"] < onset]
    assert before["endTime"] == onset


def test_after_a_change_the_log_is_asked_about_the_time_since_then(spike: Spike) -> None:
    canary_in_trouble(spike)
    since = spike.world.now - 3 * MINUTE

    result = spike.look(since=since.isoformat(), known_signatures=[])

    assert {query["startTime"] for query in spike.world.queries} == {int(since.timestamp())}
    assert (result["onset"], result["suspects"]) == (None, [])
    assert "new_error_signature" in findings(result)
    assert not any("auditlog" in path for path in spike.flags.asked)
    assert not any(call.startswith("LookupEvents") for call in spike.world.calls)


def test_a_healthy_service_is_healthy_and_nobody_looks_for_suspects(spike: Spike) -> None:
    spike.world.series = [{"target_2xx": 290, "target_4xx": 10, "p95": 0.04}] * 90
    spike.world.log = list(usual())

    result = spike.look()

    assert (result["healthy"], findings(result) - {"traffic_divided"}) == (True, set())
    assert "traffic_divided" in findings(result)
    assert not any(call.startswith("LookupEvents") for call in spike.world.calls)


UNREADABLE = {
    "GetMetricData": "errors_elevated",
    "DescribeLoadBalancers": "errors_elevated",
    "StartQuery": "release_explains",
    "GetQueryResults": "release_explains",
    "ListServiceDeployments": "deployment_near_onset",
    "ListSecretVersionIds": "secret_near_onset",
    "LookupEvents": "call_near_onset",
    "DescribeListeners": "traffic_divided",
    "GetSampledRequests": "client_dominates",
    "GetWebACL": "client_dominates",
    "DescribeServices": "newest_release_explains",
}


@pytest.mark.parametrize(("operation", "name"), UNREADABLE.items(), ids=list(UNREADABLE))
def test_what_cannot_be_read_is_unknown_with_its_reason(operation: str, name: str, spike: Spike) -> None:
    canary_in_trouble(spike)
    spike.world.broken.add(operation)

    result = spike.look()

    (found,) = [item for item in result["observations"] if item["name"] == name]
    assert found["status"] == "unknown"
    assert "AccessDeniedException" in found["seen"]


def test_launchdarkly_out_of_reach_leaves_its_own_questions_open_and_no_other(spike: Spike) -> None:
    canary_in_trouble(spike)
    spike.service["feature_flags"]["api_url"] = "http://127.0.0.1:1"

    result = spike.look()

    assert [item["name"] for item in result["observations"] if item["status"] == "unknown"] == ["flag_near_onset"]
    assert result["suspects_unread"] == ["flag"]


def test_a_log_group_that_is_not_there_is_a_finding(spike: Spike) -> None:
    canary_in_trouble(spike)
    spike.world.log = None
    assert "no_logs" in findings(spike.look())

    spike.service["log_group"] = None
    assert "no_logs" in findings(spike.look())


def test_only_keys_and_times_of_changed_flags_are_kept_and_every_page_is_read(spike: Spike) -> None:
    canary_in_trouble(spike)
    for number in range(50):
        spike.flags.changed(f"f{number}", spike.world.now - timedelta(minutes=30, seconds=-number))

    result = spike.look()

    near = next(item for item in result["observations"] if item["name"] == "flag_near_onset")
    assert "50 more" in near["seen"]
    assert "somebody" not in str(result)
    assert sum("auditlog" in path for path in spike.flags.asked) == 3


def test_too_many_changes_to_be_read_are_unknown_not_left_out(spike: Spike) -> None:
    canary_in_trouble(spike)
    spike.world.events = [("UpdateThing", "ec2.amazonaws.com", 20.0)] * 151

    result = spike.look()

    assert result["suspects_unread"] == ["call"]


def test_a_client_that_a_rule_counts_is_found_and_its_address_is_not_kept(spike: Spike) -> None:
    canary_in_trouble(spike)

    result = spike.look()

    assert "client_dominates" in findings(result)
    assert result["subjects"]["rate_rule"] == "per-client"
    assert "192.0.2" not in str(result)


def test_a_time_without_a_zone_is_refused(spike: Spike) -> None:
    result = spike.run("error_attribution", since="2026-11-22T01:30:00")

    assert result["failed"]
    assert "is not a UTC timestamp" in result["msg"]
