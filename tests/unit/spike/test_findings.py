"""Tables of readings, and what is found in them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._attribution import DIMENSIONS
from ansible_collections.daily_emr.ops.plugins.module_utils._spike_findings import (
    Attribution,
    attribute,
    result_of,
    state_of,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._spike_readings import LOG_READINGS
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Readings, iso

from tests.unit.spike import readings as made
from tests.unit.spike.readings import CASES, GOOD, NOW, ONSET, SERVICE, THRESHOLDS

SPIKE = {"errors_elevated", "sudden_onset"}


def look(readings: Readings, known: list[str] | None = None) -> Attribution:
    return attribute(readings, SERVICE, THRESHOLDS, str(iso(NOW)), known)


def by_status(found: Attribution, status: str) -> set[str]:
    return {item["name"] for item in found.observations if item["status"] == status}


@pytest.mark.parametrize(("build", "findings", "state"), CASES, ids=[case[0].__name__ for case in CASES])
def test_trouble_and_what_is_found(build: Callable[[], Readings], findings: set[str], state: bool | None) -> None:
    found = look(build())
    spike = SPIKE if found.status("errors_elevated") == "finding" else set()

    assert by_status(found, "finding") == findings | spike
    assert state_of(found) is state


@pytest.mark.parametrize(
    ("build", "subjects"),
    [
        (made.bad_canary, {"bad_release": made.NEW, "bad_revision": "3", "bad_share": 1.0}),
        (made.bad_flag, {"bad_route": "/api/charts/:id"}),
        (made.bad_flag, {"suspect_flag": {"key": "new-chart-view", "on": True, "route": "/api/charts/:id"}}),
        (made.bad_task, {"bad_task": "t3", "task_ratio": 0.1667, "median_task_ratio": 0.0}),
        (made.bad_zone, {"bad_zone": "af-south-1c", "bad_zone_id": None}),
        (made.bad_tenant, {"bad_tenant": "e0e0"}),
        (made.provider_fails, {"bad_dependency": "sha", "circuit_flag": "sha-circuit", "shed_flags": ["no-reports"]}),
        (made.crawler, {"rate_rule": "per-client"}),
        (made.balancer_fails, {"balancer_codes": {"504": 190}}),
        (made.bad_release_everywhere, {"suspect_deployment": "daily-emr-staging-web:3", "bad_release": None}),
        (made.slow_route, {"slow_route": "/api/appointments", "bad_route": None}),
        (made.login_refused, {"client_error_codes": {"401": 300}}),
        (made.healthy, {"circuit_flag": None, "bad_share": None, "onset": None, "suspect_flag": None}),
    ],
)
def test_subjects_are_what_a_mitigation_acts_on(build: Callable[[], Readings], subjects: dict[str, Any]) -> None:
    found = look(build()).subjects

    assert {name: found[name] for name in subjects} == subjects


def test_an_observation_is_about_the_value_that_explains() -> None:
    about = {item["name"]: item["subject"] for item in look(made.bad_canary()).observations}

    assert about["release_explains"] == made.NEW
    assert about["errors_elevated"] == "emr-web"


NEEDED = {
    "bad": {f"{name}_explains" for name in DIMENSIONS} | {"newest_release_explains", "new_error_signature"},
    "requests_by_task": {"task_explains"},
    "requests_by_tenant": {"tenant_explains"},
    "known_bad": {"new_error_signature"},
    "history": {"deployment_near_onset", "deployment_in_progress"},
    "flag_changes": {"flag_near_onset"},
    "secrets": {"secret_near_onset"},
    "events": {"call_near_onset"},
    "forwards": {"traffic_divided"},
    "counted": {"client_dominates"},
    "service": {"newest_release_explains"},
    "traffic": {"errors_elevated", "latency_high", "balancer_generates", "sudden_onset", "unexplained", "load_up"},
}


@pytest.mark.parametrize(("reading", "unknown"), NEEDED.items(), ids=list(NEEDED))
def test_what_was_not_read_is_unknown_and_nothing_else_turns_into_ok(reading: str, unknown: set[str]) -> None:
    full = look(made.bad_canary())
    without = made.bad_canary()
    del without.values[reading]
    without.unread[reading] = "AccessDenied"
    found = look(without)

    assert unknown <= by_status(found, "unknown")
    turned = by_status(full, "finding") & by_status(found, "ok")
    # With the traffic goes the judgement that errors are elevated, but no split turns to ok.
    assert turned == set()


def test_the_kinds_of_changes_that_were_not_read_are_named() -> None:
    readings = made.bad_canary()
    del readings.values["events"]
    readings.unread["events"] = "throttled"

    result = result_of(look(readings))

    assert result["suspects_unread"] == ["call"]
    assert [item["name"] for item in result["suspects"]] == ["daily-emr-staging-web:3"]
    assert result["suspects"][0]["minutes_before"] == 4.0


@pytest.mark.parametrize("sentence", ["the service names no log_group", "There is no log group /x."])
def test_no_log_group_is_a_finding_and_what_it_would_say_unknown(sentence: str) -> None:
    readings = made.bad_canary()
    for name in LOG_READINGS:
        readings.values.pop(name, None)
        readings.unread[name] = sentence
    readings.values["no_logs"] = sentence

    found = look(readings)

    assert found.status("no_logs") == "finding"
    assert {f"{name}_explains" for name in DIMENSIONS} | {"unexplained"} <= by_status(found, "unknown")
    assert found.status("errors_elevated") == "finding"
    assert result_of(found)["shares"] == {}


def test_the_table_has_the_shares_and_the_worst_first() -> None:
    result = result_of(look(made.bad_canary()))

    assert result["shares"]["release"] == [
        {"value": made.NEW, "bad": 720, "requests": 1020, "share": 1.0, "ratio": 0.7059, "p95_ms": 40.0},
        {"value": made.OLD, "bad": 0, "requests": 2700, "share": 0.0, "ratio": 0.0, "p95_ms": 40.0},
    ]
    assert result["onset"] == {"at": iso(ONSET), "before": 0.0, "after": 0.08}
    assert set(result["signatures"]) == {f"500 {route} none" for route in made.ROUTES}


def test_a_signature_that_was_there_before_is_not_new() -> None:
    before = [entry for route in made.ROUTES for entry in made.bad(1, route=route)]
    readings = made.bad_canary()
    readings.values["known_bad"] = made.texts(
        made.counted(before, "status >= 500 | stats count(*) as bad by status, route |")
    )

    assert look(readings).status("new_error_signature") == "ok"


@pytest.mark.parametrize(
    ("known", "status"),
    [
        (["500 /api/appointments none"], "ok"),
        (["500 /api/charts/:id none"], "finding"),
        ([], "finding"),
        (None, "unknown"),
    ],
)
def test_after_a_change_the_signatures_are_compared_with_those_of_the_first_look(
    known: list[str] | None, status: str
) -> None:
    readings = made.readings([*made.usual(), *made.bad(5, route="/api/appointments")], GOOD)
    readings.values["period"] = made.period(NOW - timedelta(minutes=5))

    found = look(readings, known)

    assert found.status("new_error_signature") == status
    assert state_of(found) is True


def test_after_a_change_only_what_came_after_it_counts() -> None:
    readings = made.bad_canary()
    readings.values["traffic"] = made.minutes([(80, GOOD), (8, made.errors(24)), (2, GOOD)])
    assert state_of(look(readings)) is False

    readings.values["period"] = made.period(NOW - timedelta(minutes=2))
    assert state_of(look(readings)) is True


def test_names_from_outside_are_one_line() -> None:
    readings = made.readings([*made.usual(), *made.bad(200, route="/api/\x1b[31m\nx")], made.errors(20))

    assert look(readings).subjects["bad_route"] == "/api/ [31m x"
