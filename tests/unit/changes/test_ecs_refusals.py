"""Release, deployment and tasks: each refusal next to its control, the same world without the reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from .conftest import Runner, Serve
from .world import Json, Spoil, World, ago, setting


def wedged_since() -> str:
    return ago(minutes=5).isoformat()


RELEASE: list[tuple[str, Spoil]] = [
    ("The image of daily-emr-sandbox-web:2 no longer exists in ECR", lambda world, _serve: world.images.discard(2)),
    (
        "daily-emr-sandbox-web:2 runs with schema 12-14, the database has 15",
        lambda world, _serve: world.database.update(schema_version="15"),
    ),
    ("The database has no tag schema_version", lambda world, _serve: world.database.update(schema_version="")),
    ("daily-emr-sandbox-web:2 has no tag schema_compat", lambda world, _serve: world.task_tags[2].pop("schema_compat")),
    ("No earlier release is known to be good", lambda world, _serve: world.deployments.__delitem__(slice(1, None))),
    (
        "A rollback from daily-emr-sandbox-web:3 already runs",
        lambda world, _serve: world.deployments[0].update(status="ROLLBACK_IN_PROGRESS"),
    ),
    ("is not pinned by digest", setting("pinned", False)),
    ("needs the secret", lambda world, _serve: world.secrets.pop("daily-emr/sandbox/DATABASE_URL")),
    ("carries a security fix", lambda world, _serve: world.task_tags[3].update(security_fix="CVE-2026-1")),
    ("The service is scaled to zero", setting("desired", 0)),
    ("The service is DRAINING: only an ACTIVE service", setting("status", "DRAINING")),
    ("daily-emr-sandbox-web:2 is deregistered", lambda world, _serve: world.deregistered.add(2)),
]


@pytest.mark.parametrize(("sentence", "spoil"), RELEASE, ids=[row[0] for row in RELEASE])
def test_release(sentence: str, spoil: Spoil, world: World, serve: Serve, run: Runner) -> None:
    world.bad_release()

    refusals = run.refusals(serve, "ecs_service_release", {}, spoil)

    assert any(sentence in text for text in refusals), refusals


def test_release_names_the_older_one_but_does_not_take_it(world: World, serve: Serve, run: Runner) -> None:
    world.bad_release()
    refusals = run.refusals(serve, "ecs_service_release", {}, RELEASE[0][1])
    assert "daily-emr-sandbox-web:1 (release 2026.45.3) is known to be good and could run" in refusals[-1]

    chosen = run.plan("ecs_service_release", {"revision": "daily-emr-sandbox-web:1"})
    assert (chosen["outcome"], chosen["diff"]["after"]["release"]) == ("planned", "2026.45.3")


@pytest.mark.parametrize(
    ("revision", "sentence"),
    [("daily-emr-sandbox-web:3", "is not known to be good"), ("other:2", "is not a revision of the task definition")],
)
@pytest.mark.usefixtures("world")
def test_release_that_is_not_proven_or_not_ours(revision: str, sentence: str, run: Runner) -> None:
    result = run.plan("ecs_service_release", {"revision": revision})

    assert any(sentence in text for text in result["refusals"]), result


@pytest.mark.usefixtures("world")
def test_a_release_that_ran_a_day_is_left_alone(run: Runner) -> None:
    assert run.plan("ecs_service_release", {})["outcome"] == "noop"


@pytest.mark.parametrize(("ran", "outcome"), [(timedelta(hours=25), "noop"), (timedelta(hours=23), "planned")])
def test_a_release_is_good_after_a_day(ran: timedelta, outcome: str, world: World, run: Runner) -> None:
    world.deployed(3, ago() - ran, source=2)
    world.revision = 3

    assert run.plan("ecs_service_release", {})["outcome"] == outcome


DEPLOYMENT: list[tuple[str, Spoil]] = [
    (
        "daily-emr-sandbox-web:3 carries a security fix",
        lambda world, _serve: world.task_tags[3].update(security_fix="x"),
    ),
    (
        "A rollback of another deployment runs",
        lambda world, _serve: world.deployments[1].update(status="ROLLBACK_IN_PROGRESS"),
    ),
    ("no revision to return to", lambda world, _serve: world.deployments[0].update(sourceServiceRevisions=[])),
    ("The image of daily-emr-sandbox-web:2 no longer exists", lambda world, _serve: world.images.discard(2)),
    ("runs with schema 12-14, the database has 15", lambda world, _serve: world.database.update(schema_version="15")),
    (
        "replaces tasks of daily-emr-sandbox-web:3 by tasks of",
        lambda world, _serve: world.deployments[0].update(
            sourceServiceRevisions=[world.deployments[0]["targetServiceRevision"]]
        ),
    ),
    (
        "waits at a lifecycle hook",
        lambda world, _serve: world.deployments[0].update(
            lifecycleHookDetails=[{"targetType": "PAUSE", "status": "AWAITING_ACTION"}]
        ),
    ),
]


@pytest.mark.parametrize(("sentence", "spoil"), DEPLOYMENT, ids=[row[0] for row in DEPLOYMENT])
def test_deployment(sentence: str, spoil: Spoil, world: World, serve: Serve, run: Runner) -> None:
    world.bad_release(status="IN_PROGRESS")

    refusals = run.refusals(serve, "ecs_service_deployment", {}, spoil)

    assert any(sentence in text for text in refusals), refusals


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ("2", "daily-emr-sandbox-web:2 makes the bad requests and would get all the traffic"),
        ("daily-emr-sandbox-web:2", "daily-emr-sandbox-web:2 makes the bad requests and would get all the traffic"),
        ("1", "Revision 1 makes the bad requests, not daily-emr-sandbox-web:3"),
        ("", "The log does not tell which revision makes the bad requests"),
    ],
)
def test_a_deployment_of_what_may_mend_it_is_never_stopped(bad: str, sentence: str, world: World, run: Runner) -> None:
    world.bad_release(status="IN_PROGRESS")

    refused = run("ecs_service_deployment", bad_revision=bad)

    assert (refused["outcome"], world.mutations) == ("refused", [])
    assert any(sentence in text for text in refused["refusals"]), refused["refusals"]


@pytest.mark.parametrize("bad", ["3", "daily-emr-sandbox-web:3"])
def test_a_deployment_of_what_makes_the_bad_requests_is_stopped(bad: str, world: World, run: Runner) -> None:
    world.bad_release(status="IN_PROGRESS")

    assert run("ecs_service_deployment", bad_revision=bad)["outcome"] == "ok"


@pytest.mark.parametrize("status", ["ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS", "SUCCESSFUL", "STOPPED"])
def test_a_deployment_that_does_not_go_forward_is_never_stopped(status: str, world: World, run: Runner) -> None:
    world.bad_release(status=status)

    assert run("ecs_service_deployment")["outcome"] == "noop"
    assert world.mutations == []


def test_a_deployment_that_went_through_meanwhile_was_not_stopped(world: World, run: Runner) -> None:
    world.bad_release(status="IN_PROGRESS")
    world.ecs_StopServiceDeployment = lambda _params: world.deployments[0].update(status="SUCCESSFUL") or {}  # type: ignore[method-assign]

    assert run("ecs_service_deployment")["outcome"] == "unknown"


def told(**reasons: str | None) -> Spoil:
    return lambda _world, serve: serve.ready("127.0.0.1", **reasons)


def rotated(world: World, _serve: Serve) -> None:
    world.secrets["daily-emr/sandbox/DATABASE_URL"] = ago(hours=1)


def recycled(minutes: float) -> Spoil:
    return lambda world, _serve: (world.deployed(2, ago(minutes=minutes), source=2), None)[1]


TASKS: list[tuple[str, Spoil]] = [
    ("The database is down: 2 tasks of 2 cannot use it (refused)", told(database="refused", cache=None)),
    ("The cache is down: 2 tasks of 2 cannot use it (timeout)", told(database=None, cache="timeout")),
    ("The database is rebooting", lambda world, _serve: world.database.update(status="rebooting")),
    ("The cache is modifying", setting("cache_status", "modifying")),
    (
        "A deployment of daily-emr-sandbox-web:3 runs",
        lambda world, _serve: (world.deployed(3, ago(minutes=6), 2, "IN_PROGRESS"), None)[1],
    ),
    ("is not pinned by digest", setting("pinned", False)),
    ("no longer exists in ECR", lambda world, _serve: world.images.discard(2)),
    ("minimumHealthyPercent is 50", lambda world, _serve: world.configuration.update(minimumHealthyPercent=50)),
    ("maximumPercent is 100", lambda world, _serve: world.configuration.update(maximumPercent=100)),
    ("The tasks were replaced", recycled(7)),
    ("no task has proved the new value", rotated),
    ("The tasks already have the current secrets and are refused", told(database="auth", cache=None)),
    ("No task runs", lambda world, _serve: world.tasks.clear()),
]


@pytest.fixture
def wedged(world: World, serve: Serve) -> World:
    serve.ready("127.0.0.1", database=None, cache=None)
    for task in world.tasks:
        task["address"] = "127.0.0.1"
    return world


@pytest.mark.usefixtures("wedged")
@pytest.mark.parametrize(("sentence", "spoil"), TASKS, ids=[row[0] for row in TASKS])
def test_tasks(sentence: str, spoil: Spoil, serve: Serve, run: Runner) -> None:
    refusals = run.refusals(serve, "ecs_service_tasks", {"started_after": wedged_since()}, spoil)

    assert any(sentence in text for text in refusals), refusals


def test_tasks_may_be_recycled_again_after_the_cooldown(wedged: World, serve: Serve, run: Runner) -> None:
    run.service["port"] = serve.port
    recycled(11)(wedged, serve)

    assert run.plan("ecs_service_tasks", {"started_after": wedged_since()})["outcome"] == "planned"


@pytest.mark.parametrize(("reason", "outcome"), [(None, "planned"), ("auth", "refused")])
def test_a_newer_task_proves_or_disproves_a_rotated_secret(
    reason: str | None, outcome: str, wedged: World, serve: Serve, run: Runner
) -> None:
    run.service["port"] = serve.port
    rotated(wedged, serve)
    serve.ready("127.0.0.2", database=reason, cache=None)
    wedged.tasks[1] |= {"startedAt": ago(minutes=30), "address": "127.0.0.2"}

    result = run.plan("ecs_service_tasks", {"started_after": wedged_since()})

    assert result["outcome"] == outcome, result["msg"]


def test_a_recycle_is_the_cure_where_every_task_has_the_secret_before(wedged: World, serve: Serve, run: Runner) -> None:
    run.service["port"] = serve.port
    rotated(wedged, serve)
    serve.ready("127.0.0.1", database="auth", cache=None)

    assert run.plan("ecs_service_tasks", {"started_after": wedged_since()})["outcome"] == "planned"


def test_silent_tasks_are_not_recycled_because_a_hanging_dependency_accepts_too(
    world: World, run: Runner, listening: tuple[str, int]
) -> None:
    """A database that hangs accepts connections; tasks that wait for it say nothing."""
    world.tasks = [{**task, "address": "127.0.0.1"} for task in world.tasks]
    run.service["port"] = 1  # nobody listens there
    world.database |= {"address": listening[0], "port": listening[1]}
    result = run.plan("ecs_service_tasks", {"started_after": wedged_since()})
    assert any("No task says whether it can use the database" in text for text in result["refusals"])

    world.database["port"] = 1
    result = run.plan("ecs_service_tasks", {"started_after": wedged_since()})
    assert any("accepts no connection" in text for text in result["refusals"])


@pytest.mark.usefixtures("wedged")
@pytest.mark.parametrize(
    "moment", [lambda: "yesterday", lambda: "2026-11-22T01:30:00", lambda: ago(hours=-1).isoformat()],
    ids=["no time", "no zone", "in an hour"],
)  # fmt: skip
def test_tasks_wants_a_time_in_the_past_with_its_zone(moment: Callable[[], str], serve: Serve, run: Runner) -> None:
    run.service["port"] = serve.port
    assert run.plan("ecs_service_tasks", {"started_after": moment()})["failed"] is True


@pytest.mark.usefixtures("wedged")
def test_tasks_that_started_after_are_left_alone(serve: Serve, run: Runner) -> None:
    run.service["port"] = serve.port
    assert run.plan("ecs_service_tasks", {"started_after": ago(days=4).isoformat()})["outcome"] == "noop"


@pytest.mark.parametrize(
    ("module", "status", "args", "prediction"),
    [
        ("ecs_service_release", "SUCCESSFUL", {"bad_share": 0.934}, ["Removes 93 % of the bad requests."]),
        (
            "ecs_service_release",
            "SUCCESSFUL",
            {"bad_share": 0.41},
            ["Removes 41 % of the bad requests: below 80 % it will not fix it."],
        ),
        ("ecs_service_release", "SUCCESSFUL", {}, []),
        ("ecs_service_deployment", "IN_PROGRESS", {"bad_share": 0.8}, ["Removes 80 % of the bad requests."]),
    ],
)
def test_a_plan_says_how_much_of_the_trouble_it_removes(
    module: str, status: str, args: Json, prediction: list[str], world: World, run: Runner
) -> None:
    world.bad_release(status=status)

    assert run.plan(module, args)["prediction"] == prediction
