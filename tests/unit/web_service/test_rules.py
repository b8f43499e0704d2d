"""Each rule at its edge: the exact findings of every fault, and beside a finding the near miss that is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _health_findings as findings
from ansible_collections.daily_emr.ops.plugins.module_utils._health_readings import stop_class
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Readings

from tests.unit.web_service.readings import (
    BAD,
    BLOCKED,
    ERROR,
    GOOD,
    NOW,
    SERVICE,
    THRESHOLDS,
    TIMEOUT,
    broken,
    deployed,
    healthy,
    ready,
    stopped,
    task,
    users_fail,
    with_tasks,
)

USERS = {"edge_failing", "balancer_failing"}
FOUND = {
    "bad_release_crash": {"deployment_in_progress", "new_release_crashing", "release_recent", "stopped_tasks"},
    "bad_release_errors": USERS | {"new_release_failing", "reads_failing", "release_recent"},
    "rollback_image_deleted": USERS
    | {"new_release_failing", "reads_failing", "release_recent", "rollback_image_missing"},
    "wedged_tasks": USERS | {"reads_failing", "tasks_wedged"},
    "scaled_to_zero": USERS | {"no_tasks", "scaled_to_zero"},
    "bad_flag": USERS | {"flag_suspect", "reads_failing"},
    "broken_secret": USERS | {"database_auth_failing", "reads_failing", "secret_rotated", "tasks_not_ready"},
    "zone_impaired": {"reads_failing", "tasks_not_ready", "zone_impaired"},
    "waf_block": USERS | {"edge_blocking", "waf_blocking"},
    "database_down": USERS | {"database_unreachable", "reads_failing", "tasks_not_ready"},
    "slow_database": USERS | {"database_slow", "reads_failing", "tasks_wedged"},
}
SUBJECTS = {
    "bad_release_crash": ("new_release_crashing", BAD),
    "rollback_image_deleted": ("rollback_image_missing", GOOD),
    "bad_flag": ("flag_suspect", "new-chart-view"),
    "broken_secret": ("secret_rotated", "daily-emr/staging/DATABASE_URL"),
    "zone_impaired": ("zone_impaired", "a"),
    "waf_block": ("waf_blocking", "block-scanners"),
    "database_down": ("database_unreachable", "emr-web"),
}


def observe(readings: Readings) -> dict[str, dict[str, Any]]:
    made = findings.observe(readings, SERVICE, THRESHOLDS, NOW).observations
    assert len(made) == len({item["name"] for item in made})
    return {item["name"]: item for item in made}


def found(readings: Readings) -> set[str]:
    return {name for name, item in observe(readings).items() if item["status"] == "finding"}


@pytest.mark.parametrize("fault", FOUND)
def test_a_fault_is_found_exactly_where_it_shows(fault: str) -> None:
    assert found(broken(fault)) == FOUND[fault]


@pytest.mark.parametrize("fault", SUBJECTS)
def test_an_observation_names_what_it_is_about(fault: str) -> None:
    name, subject = SUBJECTS[fault]
    assert observe(broken(fault))[name]["subject"] == subject


def one_wedged(readings: Readings) -> None:
    with_tasks(readings, task(1, "a", chart=TIMEOUT), task(2, "b"))


def one_hangs_for_its_dependency(readings: Readings) -> None:
    with_tasks(readings, task(1, "a", ready=ready(database="timeout"), chart=TIMEOUT), task(2, "b"))


def one_errs(readings: Readings) -> None:
    with_tasks(readings, task(1, "a", chart=ERROR), task(2, "b"))


def zone_of_two_errs(readings: Readings) -> None:
    with_tasks(readings, task(1, "a", chart=ERROR), task(2, "a", chart=ERROR), task(3, "b"), task(4, "b"))


def one_of_two_in_the_zone_errs(readings: Readings) -> None:
    with_tasks(readings, task(1, "a", chart=ERROR), task(2, "a"), task(3, "b"), task(4, "b"))


def slow_everywhere(readings: Readings) -> None:
    with_tasks(readings, task(1, "a", ready=ready(database="timeout", ms=2000)), task(2, "b", ready=ready(ms=501)))


def slow_where_it_is_cut_off(readings: Readings) -> None:
    with_tasks(readings, task(1, "a", ready=ready(database="timeout", ms=2000)), task(2, "b", ready=ready(ms=500)))


def every_zone_is_cut_off(readings: Readings) -> None:
    cut_off = {"ready": ready(database="timeout"), "chart": TIMEOUT}
    with_tasks(readings, task(1, "a", **cut_off), task(2, "b", **cut_off))


def new_release_in_one_zone(readings: Readings) -> None:
    deployed(readings, BAD, "IN_PROGRESS")
    with_tasks(readings, task(1, "a", BAD, ready=ready(cache="timeout"), chart=TIMEOUT), task(2, "b"))


def new_release_errs(readings: Readings) -> None:
    deployed(readings, BAD)
    with_tasks(readings, task(3, "a", BAD, chart=ERROR), task(4, "b", BAD, chart=ERROR))


def old_release_fails_too(readings: Readings) -> None:
    deployed(readings, BAD, "IN_PROGRESS")
    with_tasks(readings, task(1, "a", BAD, chart=ERROR), task(2, "b", GOOD, chart=ERROR))


def new_release_fails_for_the_database(readings: Readings) -> None:
    deployed(readings, BAD)
    failing = {"ready": ready(database="refused"), "chart": ERROR}
    with_tasks(readings, task(1, "a", BAD, **failing), task(2, "b", BAD, **failing))


def database_is_modified(readings: Readings) -> None:
    readings.values["database"]["status"] = "modifying"


def we_cannot_reach_the_database(readings: Readings) -> None:
    readings.values["database_accepts"] = False


def nobody_reaches_the_database(readings: Readings) -> None:
    with_tasks(readings)
    readings.values["database"]["status"] = "failed"
    readings.values["database_accepts"] = False


def one_task_cannot_reach_the_database(readings: Readings) -> None:
    with_tasks(readings, task(1, "a", ready=ready(database="refused")), task(2, "b"))


def new_tasks_crashed(readings: Readings) -> None:
    deployed(readings, BAD, "IN_PROGRESS")
    readings.values["stopped_tasks"] = [stopped(BAD, "exited", 1)]


def new_tasks_were_replaced(readings: Readings) -> None:
    deployed(readings, BAD, "IN_PROGRESS")
    readings.values["stopped_tasks"] = [stopped(BAD, findings.REPLACED, 143)]


def old_tasks_crashed(readings: Readings) -> None:
    deployed(readings, BAD, "IN_PROGRESS")
    readings.values["stopped_tasks"] = [stopped(GOOD, "exited", 1)]


def flag(changed_at: str = "2026-11-22T01:00:00Z", on: bool = True, tag: str = "route:/api/charts") -> Any:
    def spoil(readings: Readings) -> None:
        readings.values["flags"] = [{"key": "f", "tags": [tag], "on": on, "changed_at": changed_at}]
        with_tasks(readings, task(1, "a", chart=ERROR), task(2, "b", chart=ERROR))

    return spoil


def flag_and_no_failure(readings: Readings) -> None:
    flag()(readings)
    with_tasks(readings, task(1, "a"), task(2, "b"))


def blocked(samples: int) -> Any:
    def spoil(readings: Readings) -> None:
        readings.values["blocked"] = {"r": {"routes": {"/api/": samples}, "samples": samples}}

    return spoil


def forbidden_by_the_application(readings: Readings) -> None:
    users_fail(readings, BLOCKED)
    with_tasks(readings, task(1, "a", chart=BLOCKED))


def forbidden_in_front_of_it(readings: Readings) -> None:
    users_fail(readings, BLOCKED)


def errors(count: float) -> Any:
    return lambda readings: readings.values["metrics"].update(errors=count)


def secret_changed(moment: str) -> Any:
    return lambda readings: readings.values["secrets"].update(s=moment)


def nothing_good(readings: Readings) -> None:
    readings.values["proven"] = []
    del readings.values["last_known_good"]


def schema(version: str | None) -> Any:
    return lambda readings: readings.values["database"].update(schema_version=version)


Spoil = Callable[[Readings], object]
EDGES: list[tuple[str, Spoil, Spoil]] = [
    # observation, where it is a finding, where it is not
    ("tasks_wedged", one_wedged, one_errs),
    ("tasks_wedged", one_wedged, one_hangs_for_its_dependency),
    ("zone_impaired", one_hangs_for_its_dependency, one_wedged),
    ("zone_impaired", one_hangs_for_its_dependency, one_errs),
    ("zone_impaired", one_hangs_for_its_dependency, every_zone_is_cut_off),
    ("zone_impaired", one_hangs_for_its_dependency, new_release_in_one_zone),
    ("zone_impaired", zone_of_two_errs, one_of_two_in_the_zone_errs),
    ("new_release_failing", new_release_errs, old_release_fails_too),
    ("new_release_failing", new_release_errs, new_release_fails_for_the_database),
    ("new_release_failing", new_release_errs, one_errs),
    ("database_slow", slow_everywhere, slow_where_it_is_cut_off),
    ("database_unreachable", nobody_reaches_the_database, we_cannot_reach_the_database),
    ("database_unreachable", new_release_fails_for_the_database, database_is_modified),
    ("database_unreachable", new_release_fails_for_the_database, one_task_cannot_reach_the_database),
    ("new_release_crashing", new_tasks_crashed, new_tasks_were_replaced),
    ("new_release_crashing", new_tasks_crashed, old_tasks_crashed),
    ("flag_suspect", flag(), flag(on=False)),
    ("flag_suspect", flag(), flag(changed_at="2026-11-20T01:00:00Z")),
    ("flag_suspect", flag(), flag(tag="route:/api/claims")),
    ("flag_suspect", flag(), flag_and_no_failure),
    ("waf_blocking", blocked(3), blocked(2)),
    ("edge_blocking", forbidden_in_front_of_it, forbidden_by_the_application),
    ("error_ratio_high", errors(46.0), errors(45.0)),
    ("secret_rotated", secret_changed("2026-11-22T01:00:00Z"), secret_changed("2026-11-22T00:30:00Z")),
    ("rollback_image_missing", nothing_good, lambda _readings: None),
    ("rollback_incompatible", schema("15"), schema("14")),
    ("rollback_incompatible", schema(None), schema("12")),
]


@pytest.mark.parametrize(("name", "spoil", "near_miss"), EDGES)
def test_a_finding_and_its_near_miss(name: str, spoil: Spoil, near_miss: Spoil) -> None:
    bad, good = healthy(), healthy()
    spoil(bad)
    near_miss(good)
    assert name in found(bad)
    assert observe(good)[name]["status"] == "ok"


CLASSES = [
    ("CannotPullContainerError: pull image manifest: not found", "image gone"),
    ("CannotPullContainerError: dial tcp 10.0.0.1:443: i/o timeout", "image out of reach"),
    ("CannotPullContainerError: something else", "image not pulled"),
    ("ResourceInitializationError: unable to pull secrets: AccessDeniedException", "secrets refused"),
    ("ResourceInitializationError: unable to pull secrets: ResourceNotFoundException", "secrets gone"),
    ("ResourceInitializationError: failed to validate logger args", "secrets or network not ready"),
    ("Task failed ELB health checks in (target-group arn:aws:x)", "failed health checks"),
    ("Capacity is unavailable at this time. Please try again later", "no Fargate capacity"),
    ("You've reached the limit on the number of vCPUs you can run concurrently", "quota of vCPUs"),
    ("Scaling activity initiated by (deployment ecs-svc/1)", "scaled in or replaced"),
    ("Essential container in task exited", "exited"),
    ("patient 12345678 caused this", "other"),
]


@pytest.mark.parametrize(("text", "name"), CLASSES)
def test_a_reason_is_reduced_to_its_class(text: str, name: str) -> None:
    assert stop_class({"stoppedReason": text}) == name


def test_memory_is_told_by_the_container_and_the_platform_by_the_stop_code() -> None:
    killed = {"reason": "OutOfMemoryError: Container killed due to memory usage", "exitCode": 137}
    text = "Essential container in task exited"
    assert stop_class({"stoppedReason": text, "containers": [killed]}) == "out of memory"
    assert stop_class({"stoppedReason": "Task is being stopped", "stopCode": "InfrastructureHealth"}) == "platform"
