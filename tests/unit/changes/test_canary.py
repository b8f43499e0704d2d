"""What runbooks do with a service whose releases begin as a canary of ECS."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from jinja2 import Environment, StrictUndefined, UndefinedError

from .conftest import Runner, Serve
from .world import Json, P, World, ago

BOTH = {"alternate_target_group": f"{P}-web-alt"}
ROLES = Path(__file__).resolve().parents[3] / "roles"
AT_ONCE = "All the traffic moves as soon as the new tasks are healthy, not step by step (CANARY)."


def odd(world: World, run: Runner) -> None:
    """After an odd number of releases the alternate group has the tasks and the traffic."""
    run.service |= BOTH
    world.groups = {f"{P}-web": "arn:tg", f"{P}-web-alt": "arn:alternate"}
    world.serving = "arn:alternate"
    groups = world.listener[0]["ForwardConfig"]["TargetGroups"]
    groups[0]["Weight"], groups[1] = 0, {"TargetGroupArn": "arn:alternate", "Weight": 100}


def test_a_roll_back_takes_no_canary_and_keeps_everything_else(world: World, run: Runner) -> None:
    before = world.canary()
    world.bad_release()

    assert run.plan("ecs_service_release", {})["prediction"] == [AT_ONCE]
    result = run("ecs_service_release")

    ((operation, params),) = world.mutations
    assert (result["outcome"], operation) == ("ok", "UpdateService")
    configuration = params["deploymentConfiguration"]
    assert (configuration["strategy"], configuration["bakeTimeInMinutes"]) == ("BLUE_GREEN", 0)
    assert configuration["alarms"] == {**before["alarms"], "enable": False, "rollback": False}
    same = before.keys() - {"strategy", "bakeTimeInMinutes", "alarms", "canaryConfiguration"}
    assert configuration.keys() == same | {"strategy", "bakeTimeInMinutes", "alarms"}
    assert all(configuration[key] == before[key] for key in same)


def test_what_was_rolled_back_comes_back_as_a_canary(world: World, run: Runner) -> None:
    world.canary()
    world.bad_release()
    undo = run("ecs_service_release")["undo"]
    world.deployments[0]["status"] = "SUCCESSFUL"
    run("ecs_service_strategy")
    world.deployments[0]["status"] = "SUCCESSFUL"
    world.mutations.clear()

    assert run("ecs_service_release", **undo["args"])["outcome"] == "ok"

    ((_, params),) = world.mutations
    assert "deploymentConfiguration" not in params
    assert world.configuration["strategy"] == "CANARY"


def test_the_strategy_comes_back_as_it_was(world: World, run: Runner) -> None:
    before = world.canary()
    world.bad_release()
    run("ecs_service_release")
    world.deployments[0]["status"] = "SUCCESSFUL"

    assert run("ecs_service_strategy")["outcome"] == "ok"

    assert world.configuration == before


def test_the_strategy_waits_for_the_deployment(world: World, run: Runner) -> None:
    world.canary()
    world.bad_release()
    run("ecs_service_release")

    refused = run("ecs_service_strategy")

    assert refused["refusals"] == [f"The deployment of {P}-web:2 is IN_PROGRESS: wait until it ends."]


@pytest.mark.parametrize(
    "configuration",
    [{}, {"strategy": "ROLLING"}, {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 15}],
    ids=["none", "rolling", "blue and green, as its owner wants it"],
)
def test_a_strategy_that_nobody_took_stays(configuration: Json, world: World, run: Runner) -> None:
    world.canary()
    world.bad_release()
    world.configuration = configuration

    assert run("ecs_service_strategy")["outcome"] == "noop"


def test_a_service_that_never_began_with_a_canary_gets_none(world: World, run: Runner) -> None:
    world.configuration |= {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0}

    assert run("ecs_service_strategy")["outcome"] == "noop"


def test_a_rolling_service_is_rolled_back_as_ever(world: World, run: Runner) -> None:
    world.bad_release()

    assert run.plan("ecs_service_release", {})["prediction"] == []
    run("ecs_service_release")

    assert "deploymentConfiguration" not in world.mutations[0][1]


def test_a_canary_under_way_is_stopped_and_not_rolled_back(world: World, run: Runner) -> None:
    world.canary()
    world.bad_release(status="IN_PROGRESS")

    refused = run.plan("ecs_service_release", {"revision": f"{P}-web:1"})
    plan = run.plan("ecs_service_deployment", {})

    assert any("The CANARY deployment of daily-emr-sandbox-web:3 runs: stop it" in one for one in refused["refusals"])
    assert plan["prediction"] == [
        f"All the traffic goes back at once, to the tasks of {P}-web:2 that still run (CANARY)."
    ]
    assert run("ecs_service_deployment")["outcome"] == "ok"
    assert [operation for operation, _ in world.mutations] == ["StopServiceDeployment"]


def test_a_canary_of_the_same_revision_is_stopped_so_that_a_good_one_can_be_deployed(world: World, run: Runner) -> None:
    world.canary()
    world.bad_release()
    world.deployed(3, ago(minutes=2), source=3, status="IN_PROGRESS")

    refused = run.plan("ecs_service_release", {})
    assert any("The CANARY deployment of daily-emr-sandbox-web:3 runs: stop it" in one for one in refused["refusals"])
    stop = run("ecs_service_deployment", bad_share=0.97, bad_revision="3")
    assert (stop["outcome"], stop["prediction"][1:]) == (
        "ok",
        ["They are of the same revision: this only lets another release be deployed before it ends."],
    )
    assert isinstance(stop["undo"], str)

    world.deployments[0]["status"] = "ROLLBACK_SUCCESSFUL"
    assert run("ecs_service_release")["outcome"] == "ok"
    assert [operation for operation, _ in world.mutations] == ["StopServiceDeployment", "UpdateService"]


def test_tasks_that_are_replaced_at_once_are_waited_for(world: World, run: Runner) -> None:
    world.bad_release()
    world.configuration |= {"strategy": "BLUE_GREEN"}
    world.deployed(3, ago(minutes=2), source=3, status="IN_PROGRESS")

    for module in ("ecs_service_release", "ecs_service_deployment"):
        refused = run.plan(module, {})["refusals"]
        assert [one.endswith("wait until it ends.") for one in refused] == [True], refused


def test_stuck_tasks_are_replaced_at_once(world: World, serve: Serve, run: Runner) -> None:
    world.canary()
    serve.ready("127.0.0.1", database=None, cache=None)
    run.service["port"] = serve.port
    for task in world.tasks:
        task["address"] = "127.0.0.1"
    since = {"started_after": ago(minutes=5).isoformat()}

    assert run.plan("ecs_service_tasks", since)["prediction"] == [AT_ONCE]
    run("ecs_service_tasks", **since)

    ((_, params),) = world.mutations
    assert params["forceNewDeployment"]
    assert params["deploymentConfiguration"]["strategy"] == "BLUE_GREEN"


def test_traffic_in_the_alternate_group_is_no_canary(world: World, run: Runner) -> None:
    odd(world, run)

    assert run("listener_weights", bad_share=0.95)["outcome"] == "noop"
    assert world.mutations == []


def test_traffic_that_ecs_divides_is_left_to_it(world: World, run: Runner) -> None:
    odd(world, run)
    world.canary()
    world.bad_release(status="IN_PROGRESS")
    world.listener[0]["ForwardConfig"]["TargetGroups"][0]["Weight"] = 10

    refused = run.plan("listener_weights", {"bad_share": 0.95})

    assert any("ECS sets the weights while its CANARY deployment runs" in one for one in refused["refusals"])


def test_healthy_targets_count_in_either_group(world: World, run: Runner) -> None:
    odd(world, run)

    assert run.plan("zonal_shift", {"away_from": "afs1-az1", "expires_in": "2h"})["outcome"] == "planned"


def test_an_alternate_group_that_is_not_made_yet_has_no_targets(world: World, run: Runner) -> None:
    run.service |= BOTH

    assert run.plan("zonal_shift", {"away_from": "afs1-az1", "expires_in": "2h"})["outcome"] == "planned"

    world.groups = {f"{P}-web-alt": "arn:alternate"}
    refused = run.plan("zonal_shift", {"away_from": "afs1-az1", "expires_in": "2h"})
    assert any("Could not read the targets" in one for one in refused["refusals"]), refused["refusals"]


@pytest.mark.parametrize(
    "name",
    [
        "app_outage/tasks/mitigations/roll_back_release",
        "app_outage/tasks/mitigations/recycle_tasks",
        "error_spike/tasks/mitigations/roll_back_release",
        "database_failover/tasks/mitigations/recycle_pools",
    ],
)
def test_a_mitigation_that_worked_does_not_fail_because_the_strategy_stays(name: str) -> None:
    task = yaml.safe_load((ROLES / f"{name}.yml").read_text())[-1]
    assert "daily_emr.ops.ecs_service_strategy" in task
    fails = Environment(undefined=StrictUndefined, autoescape=False).compile_expression(
        task["failed_when"], undefined_to_none=False
    )

    ended = {word: fails(**{task["register"]: {"outcome": word}}) for word in ("ok", "noop", "refused", "failed")}
    assert ended == dict.fromkeys(ended, False)
    assert fails(**{task["register"]: {"outcome": "unknown"}}) is True
    # Without a word of ours, whether something was changed is not known either.
    with pytest.raises(UndefinedError):
        fails(**{task["register"]: {"msg": "timed out"}})
