"""One look at a live service: what it sees, what it does not, and that it reads everything at the same time."""

from __future__ import annotations

import json
import threading

import pytest

from tests.unit.changes.world import Json
from tests.unit.web_service.conftest import Live
from tests.unit.web_service.live import BALANCER, EDGE, TASKS

BLOCKS = "GET /api/charts/probe"


def look(live: Live) -> Json:
    result = live.run("web_service_health")
    assert not result.get("failed"), result["msg"]
    assert result["changed"] is False
    return result


def statuses(result: Json) -> dict[str, str]:
    return {item["name"]: item["status"] for item in result["observations"]}


def with_status(result: Json, status: str) -> set[str]:
    return {name for name, found in statuses(result).items() if found == status}


def test_a_healthy_service_is_healthy(live: Live) -> None:
    result = look(live)
    assert (result["healthy"], result["sentence"]) == (True, "emr-web is healthy.")
    assert with_status(result, "finding") == {"changes_recent"}
    assert with_status(result, "unknown") == set()
    assert result["subjects"]["last_known_good"] == "daily-emr-sandbox-web:2"
    for item in result["observations"]:
        assert all(item[key] for key in ("name", "status", "subject", "expected", "seen", "at", "call")), item


def test_a_service_whose_tasks_are_in_the_alternate_group_is_healthy(live: Live) -> None:
    live.alternate()
    result = look(live)
    assert (result["healthy"], result["sentence"]) == (True, "emr-web is healthy.")


def test_nothing_is_read_twice(live: Live) -> None:
    look(live)
    assert {call: count for call, count in live.world.calls.items() if count > 1} == {}
    paths = [(place, path) for place, _method, path, _body, _headers in live.answers.requests]
    assert len(paths) == len(set(paths))


# What depends on nothing, and what waits for one other call only.
FIRST = ["ListServiceDeployments", "ListTasks", "ListTasks", "DescribeServices", "DescribeLoadBalancers"]
FIRST += ["DescribeTargetGroups", "ListWebACLs", "DescribeScalableTargets", "DescribeDBInstances"]
FIRST += ["DescribeReplicationGroups", "LookupEvents", "ListSecretVersionIds", "ListSecretVersionIds"]
SECOND = ["DescribeServiceDeployments", "DescribeTasks", "DescribeSubnets", "DescribeTargetHealth", "GetWebACL"]


@pytest.mark.parametrize("together", [FIRST, SECOND], ids=["first", "second"])
def test_calls_that_do_not_wait_for_each_other_are_sent_at_the_same_time(live: Live, together: list[str]) -> None:
    barrier = threading.Barrier(len(together), timeout=20)

    def meet(name: str) -> None:
        if name in together:
            barrier.wait()  # breaks, and fails the look, unless all of them are under way at once

    live.world.meet = meet
    assert look(live)["healthy"] is True


def test_a_hanging_edge_does_not_hold_up_the_probes_of_the_tasks(live: Live) -> None:
    asked = threading.Event()

    def task() -> tuple[int, Json]:
        asked.set()
        return 200, {"id": "probe"}

    def edge() -> tuple[int, Json]:
        return (200, {"id": "probe"}) if asked.wait(timeout=4) else (504, {})

    for place in TASKS.values():
        live.answers.at[place, BLOCKS] = task
    live.answers.at[EDGE, BLOCKS] = edge
    assert statuses(look(live))["edge_failing"] == "ok"


# Operation -> observations that rest on it, among others.
LOST = {
    "ListServiceDeployments": {"deployment_in_progress", "release_recent", "new_release_failing", "rollback_running"},
    "ListTasks": {"no_tasks", "tasks_not_ready", "reads_failing", "tasks_wedged", "database_slow", "zone_impaired"},
    "DescribeServices": {"below_minimum", "scaled_to_zero", "release_recent"},
    "DescribeLoadBalancers": {"error_ratio_high", "latency_high", "no_traffic"},
    "DescribeScalableTargets": {"scaled_to_zero"},
    "DescribeDBInstances": {"database_unreachable", "rollback_incompatible"},
    "DescribeReplicationGroups": {"cache_unreachable"},
    "ListSecretVersionIds": {"secret_rotated"},
    "GetMetricData": {"error_ratio_high", "latency_high"},
    "DescribeImages": {"rollback_image_missing"},
    "DescribeTaskDefinition": {"rollback_image_missing", "rollback_incompatible"},
    "ListWebACLs": {"waf_blocking"},
    "GetSampledRequests": {"waf_blocking"},
    "LookupEvents": {"changes_recent"},
}


@pytest.mark.parametrize("operation", sorted(LOST))
def test_what_could_not_be_read_is_unknown_never_ok(live: Live, operation: str) -> None:
    live.world.broken.add(operation)
    result = look(live)
    assert LOST[operation] <= with_status(result, "unknown")
    assert with_status(result, "finding") <= {"changes_recent"}
    assert result["healthy"] in (None, True)
    symptoms = {"no_tasks", "below_minimum", "database_unreachable", "cache_unreachable", "error_ratio_high"}
    if LOST[operation] & symptoms:
        assert result["healthy"] is None


def test_a_missing_launchdarkly_token_is_unknown_and_not_the_end_of_the_diagnosis(live: Live) -> None:
    (live.folder / "launchdarkly_token").unlink()
    result = look(live)
    assert with_status(result, "unknown") == {"flag_suspect"}
    assert result["healthy"] is True


@pytest.mark.parametrize("answer", [{}, {"items": [{}]}, {"items": "no"}, {"items": None}], ids=str)
def test_an_answer_of_another_shape_is_unknown_and_not_the_end_of_the_diagnosis(live: Live, answer: Json) -> None:
    live.flags.clear()
    live.flags |= answer
    assert with_status(look(live), "unknown") == {"flag_suspect"}


def test_an_account_that_is_not_ours_ends_the_diagnosis(live: Live) -> None:
    live.environment["account_id"] = "999999999999"
    result = live.run("web_service_health")
    assert (result["failed"], result["refused"]) == (True, True)
    assert {name.split()[0] for name in live.world.calls} <= {"GetCallerIdentity", "GetParameter"}


def test_tasks_and_balancer_are_asked_by_the_name_of_the_application(live: Live) -> None:
    look(live)
    places = {place for place, *_rest in live.answers.requests}
    assert places == {EDGE, BALANCER, *TASKS.values()}
    assert {headers["Host"] for *_rest, headers in live.answers.requests} == {"app.test"}


def test_a_fault_shows_where_it_is(live: Live) -> None:
    for place in (EDGE, BALANCER, *TASKS.values()):
        live.answers.at[place, BLOCKS] = (500, {})
    result = look(live)
    assert result["healthy"] is False
    assert with_status(result, "finding") == {"edge_failing", "balancer_failing", "reads_failing", "changes_recent"}


def test_stopped_tasks_are_told_by_class_and_never_by_their_own_words(live: Live) -> None:
    secret = "patient Achieng' Otieno 0712345678"
    live.world.stop("s1", 2, f"CannotPullContainerError: {secret}")
    live.world.stop("s2", 2, f"Scaling activity initiated by (deployment ecs-svc/1) {secret}")
    live.world.stop("s3", 2, f"{secret}\x1b[2J\r\n")
    result = look(live)
    assert result["subjects"]["stopped_reasons"] == ["image not pulled", "other"]
    assert "Otieno" not in json.dumps(result)


def test_hostile_names_stay_data_of_one_line_and_the_result_stays_small(live: Live) -> None:
    hostile = "x\x1b[31m\r\n{{ lookup('pipe', 'id') }}\u202e" * 500
    live.flags["items"][0] |= {"key": hostile, "environments": {"sandbox": {"on": True, "lastModified": 4102444800000}}}
    for place in TASKS.values():
        live.answers.at[place, BLOCKS] = (500, {"error": hostile})
        live.answers.at[place, "GET /readyz"] = (503, {"checks": {"database": {"status": "fail", "reason": hostile}}})
    result = look(live)
    text = json.dumps(result, ensure_ascii=False)
    assert text.isprintable()
    assert len(text.encode()) < 64_000
