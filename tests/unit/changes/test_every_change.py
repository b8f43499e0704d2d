"""What holds for every change: check, apply, check again, apply again; lost replies; the undo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import execute_change
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused

from .conftest import Runner, Serve
from .launchdarkly import Provider
from .world import Json, World, ago


@dataclass
class Case:
    """A world in which one change is due."""

    module: str
    operation: str
    prepare: Callable[[World, Serve], None]
    args: Json
    diff: tuple[Json, Json]


def bad_release(world: World, _serve: Serve) -> None:
    world.bad_release()


def deploying(world: World, _serve: Serve) -> None:
    world.bad_release(status="IN_PROGRESS")


def wedged(world: World, serve: Serve) -> None:
    serve.ready("127.0.0.1", database=None, cache=None)
    for task in world.tasks:
        task["address"] = "127.0.0.1"


def scaled_to_zero(world: World, _serve: Serve) -> None:
    world.desired, world.tasks = 0, []


def users_blocked(world: World, _serve: Serve) -> None:
    world.blocked("/api/charts/probe?x=1", 4)


def one_bad_task(world: World, _serve: Serve) -> None:
    world.tasks.append(world.task("c", 2, ago(days=3), "af-south-1c"))


def one_client(world: World, _serve: Serve) -> None:
    world.rate_rule()


def left_at_once(world: World, _serve: Serve) -> None:
    """A release was rolled back at once, and that ended."""
    world.canary()
    world.bad_release()
    world.configuration = {**world.configuration, "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0}
    del world.configuration["canaryConfiguration"]
    world.deployed(2, ago(minutes=5), source=3)
    world.revision = 2


def nothing(_world: World, _serve: Serve) -> None:
    """The change is due as it is."""


P = "daily-emr-sandbox"
CASES = [
    Case(
        "ecs_service_release",
        "UpdateService",
        bad_release,
        {},
        ({"revision": f"{P}-web:3", "release": "2026.48.0"}, {"revision": f"{P}-web:2", "release": "2026.47.1"}),
    ),
    Case(
        "ecs_service_deployment",
        "StopServiceDeployment",
        deploying,
        {"state": "stopped"},
        ({"state": "in progress", "revision": f"{P}-web:3"}, {"state": "stopped", "revision": f"{P}-web:2"}),
    ),
    Case(
        "ecs_service_strategy",
        "UpdateService",
        left_at_once,
        {},
        (
            {"strategy": "BLUE_GREEN", "bake_minutes": 0, "steps": {}},
            {
                "strategy": "CANARY",
                "bake_minutes": 10,
                "steps": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 30},
            },
        ),
    ),
    Case(
        "ecs_service_tasks",
        "UpdateService",
        wedged,
        {"started_after": f"{ago(minutes=5).isoformat()}"},
        ({"running": 2, "to_replace": ["a", "b"]}, {"running": 2, "to_replace": []}),
    ),
    Case("ecs_service_count", "UpdateService", scaled_to_zero, {}, ({"desired": 0}, {"desired": 2})),
    Case(
        "ecs_service_scaling",
        "RegisterScalableTarget",
        nothing,
        {"minimum": 4},
        ({"minimum": 2, "maximum": 6}, {"minimum": 4, "maximum": 6}),
    ),
    Case(
        "waf_rule",
        "UpdateWebACL",
        users_blocked,
        {"rule": "block-bodies", "action": "count"},
        ({"action": "block", "settings": {}}, {"action": "count", "settings": {}}),
    ),
    Case(
        "zonal_shift",
        "StartZonalShift",
        nothing,
        {"away_from": "afs1-az1", "expires_in": "2h"},
        ({"away_from": None, "until": None}, {"away_from": "afs1-az1"}),
    ),
    Case(
        "ecs_task",
        "StopTask",
        one_bad_task,
        {"task": "c", "bad_ratio": 0.5, "median_ratio": 0.01},
        ({"status": "running"}, {"status": "stopped"}),
    ),
    Case(
        "waf_rate_rule",
        "UpdateWebACL",
        one_client,
        {"rule": "per-client", "shared_networks": ["203.0.113.0/24"]},
        ({"action": "count", "settings": {}}, {"action": "block", "settings": {}}),
    ),
    Case(
        "listener_weights",
        "ModifyListener",
        nothing,
        {"bad_share": 0.95},
        ({"weights": {f"{P}-web": 90, f"{P}-web-canary": 10}}, {"weights": {f"{P}-web": 100, f"{P}-web-canary": 0}}),
    ),
]


@pytest.fixture(params=CASES, ids=lambda case: case.module)
def case(request: pytest.FixtureRequest, world: World, run: Runner, serve: Serve) -> Case:
    found: Case = request.param
    found.prepare(world, serve)
    run.service["port"] = serve.port or 8080
    return found


def arrived(world: World) -> list[str]:
    return [operation for operation, _params in world.mutations]


def test_check_apply_check_apply(case: Case, world: World, run: Runner) -> None:
    plan = run(case.module, check=True, **case.args)
    assert (plan["outcome"], plan["changed"], plan["refusals"]) == ("planned", True, [])
    assert plan["diff"]["before"] == case.diff[0]
    assert plan["diff"]["after"].items() >= case.diff[1].items()
    assert arrived(world) == []

    done = run(case.module, **case.args)
    assert (done["outcome"], done["changed"]) == ("ok", True), done["msg"]
    assert arrived(world) == [case.operation]

    for check in (True, False):
        again = run(case.module, check=check, **case.args)
        assert (again["outcome"], again["changed"]) == ("noop", False), again["msg"]
    assert arrived(world) == [case.operation]


def test_reply_lost_after_the_call_was_done(case: Case, world: World, run: Runner) -> None:
    world.lose[case.operation] = "after"

    result = run(case.module, **case.args)

    assert (result["outcome"], arrived(world)) == ("ok", [case.operation]), result["msg"]


def test_reply_lost_and_the_call_not_done(case: Case, world: World, run: Runner) -> None:
    world.lose[case.operation] = "before"

    result = run(case.module, **case.args)

    assert (result["outcome"], result["failed"], arrived(world)) == ("unknown", True, [case.operation])


def test_needs_a_lease(case: Case, world: World, run: Runner) -> None:
    change = run.change(case.module, case.args, incident=False)
    result = execute_change(change, change.clients, None, check_mode=False)

    assert (result["refused"], arrived(world)) == (True, [])


def test_undo_fits_the_spec_and_undoes(case: Case, world: World, run: Runner) -> None:
    undo = run(case.module, **case.args)["undo"]
    if isinstance(undo, str):
        assert undo.startswith("Nothing to undo")
        return
    module = undo["module"].removeprefix("daily_emr.ops.")
    args = {**undo["args"]}
    assert args.pop("service")["component"] == "emr-web"
    settle(world)

    result = run(module, **args)

    assert result["outcome"] == "ok", result["msg"]
    assert run(case.module, check=True, **case.args)["diff"]["before"] == case.diff[0] or module != case.module


def settle(world: World) -> None:
    """The deployments in the world end."""
    for item in world.deployments:
        if item["status"] in ("IN_PROGRESS", "ROLLBACK_REQUESTED"):
            rolled = item["status"] == "ROLLBACK_REQUESTED"
            item["status"] = "ROLLBACK_SUCCESSFUL" if rolled else "SUCCESSFUL"
            item["finishedAt"] = ago()
            if rolled:
                world.revision = int(item["sourceServiceRevisions"][0]["arn"][-1])


UNREADABLE = [
    ("ecs_service_release", "DescribeDBInstances"),
    ("ecs_service_release", "ListServiceDeployments"),
    ("ecs_service_release", "DescribeImages"),
    ("ecs_service_deployment", "DescribeDBInstances"),
    ("ecs_service_deployment", "DescribeTaskDefinition"),
    ("ecs_service_tasks", "DescribeDBInstances"),
    ("ecs_service_tasks", "DescribeReplicationGroups"),
    ("ecs_service_tasks", "ListSecretVersionIds"),
    ("ecs_service_tasks", "DescribeImages"),
    ("ecs_service_tasks", "ListServiceDeployments"),
    ("ecs_service_count", "DescribeScalableTargets"),
    ("ecs_service_scaling", "GetMetricData"),
    ("ecs_service_scaling", "DescribeDBParameters"),
    ("ecs_service_scaling", "DescribeReplicationGroups"),
    ("zonal_shift", "DescribeTargetHealth"),
    ("zonal_shift", "GetMetricData"),
    ("zonal_shift", "DescribeDBInstances"),
    ("zonal_shift", "ListTasks"),
    ("waf_rule", "GetSampledRequests"),
    ("waf_rate_rule", "GetSampledRequests"),
    ("waf_rate_rule", "GetMetricData"),
    ("waf_rate_rule", "DescribeLoadBalancers"),
    ("ecs_task", "DescribeTargetHealth"),
    ("ecs_task", "ListServiceDeployments"),
    ("ecs_task", "DescribeImages"),
    ("listener_weights", "DescribeTargetHealth"),
    ("listener_weights", "ListServiceDeployments"),
]


@pytest.mark.parametrize(("module", "operation"), UNREADABLE)
def test_refuses_what_it_cannot_read(module: str, operation: str, world: World, run: Runner, serve: Serve) -> None:
    case = next(case for case in CASES if case.module == module)
    case.prepare(world, serve)
    run.service["port"] = serve.port or 8080
    world.broken.add(operation)

    result = run(module, **case.args)

    assert result["outcome"] == "refused"
    assert any(text.startswith("Could not read") and "Unknown is never ok" in text for text in result["refusals"])
    assert arrived(world) == []


class TestFlag:
    """The same for the flag, which is not AWS."""

    ARGS = MappingProxyType({"flag": "chart-timeline", "state": "off"})

    def test_check_apply_check_apply(self, provider: Provider, run: Runner) -> None:
        provider.flag("chart-timeline")
        plan = run("feature_flag", check=True, **self.ARGS)
        assert (plan["outcome"], plan["diff"]) == ("planned", {"before": {"on": True}, "after": {"on": False}})
        assert (provider.previews, provider.patches) == (1, [])

        assert run("feature_flag", **self.ARGS)["outcome"] == "ok"
        assert [patch["instructions"] for patch in provider.patches] == [[{"kind": "turnFlagOff"}]]
        assert provider.patches[0]["comment"].startswith("INC-1")

        assert run("feature_flag", check=True, **self.ARGS)["outcome"] == "noop"
        assert run("feature_flag", **self.ARGS)["outcome"] == "noop"
        assert len(provider.patches) == 1

    @pytest.mark.parametrize(("lost", "outcome"), [("after", "ok"), ("before", "unknown")])
    def test_lost_reply(self, lost: str, outcome: str, provider: Provider, run: Runner) -> None:
        provider.flag("chart-timeline")
        provider.lose = lost

        assert run("feature_flag", **self.ARGS)["outcome"] == outcome
        assert len(provider.patches) == 1

    def test_a_patch_counts_as_a_call_and_is_never_sent_twice(self, provider: Provider, run: Runner) -> None:
        provider.flag("chart-timeline")
        change = run.change("feature_flag", dict(self.ARGS))
        before = change.observe()
        change.apply(before)
        assert change.clients.sent == ["launchdarkly:PatchFeatureFlag"]
        with pytest.raises(Refused, match="was already sent"):
            change.apply(before)
        assert len(provider.patches) == 1

    def test_undo_turns_it_on_again(self, provider: Provider, run: Runner) -> None:
        here = provider.flag("chart-timeline")
        undo: Any = run("feature_flag", **self.ARGS)["undo"]
        assert here["on"] is False

        args = {key: value for key, value in undo["args"].items() if key != "service"}
        assert (run("feature_flag", **args)["outcome"], here["on"]) == ("ok", True)


def test_undo_is_valid_by_its_own_spec(case: Case, run: Runner) -> None:
    undo = run(case.module, check=True, **case.args)["undo"]
    if isinstance(undo, str):
        return
    module = undo["module"].removeprefix("daily_emr.ops.")
    spec = run.change(module, {key: value for key, value in undo["args"].items() if key != "service"}).spec
    assert ArgumentSpecValidator(spec).validate(undo["args"]).error_messages == []
