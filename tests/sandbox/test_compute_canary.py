"""A deployment with two target groups: ECS moves the traffic of a real balancer between real tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from daily_emr_sandbox.settings import TASK_PORT

from tests.sandbox.stack import Stack, eventually, running_stack

ALARM = "error-ratio"
# Two minutes of AWS are three seconds here.
CANARY = {"strategy": "CANARY", "canaryConfiguration": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 2}}
LONG = {"strategy": "CANARY", "canaryConfiguration": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 1440}}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("canary"), tasks=None) as stack:
        names = stack.names
        names["alternate"] = stack.target_group(f"{stack.settings.web}-alt")
        for group in (names["tg"], names["alternate"]):
            stack.elb.modify_target_group_attributes(
                TargetGroupArn=group, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "30"}]
            )
        names["rule"] = stack.elb.create_rule(
            ListenerArn=names["listener"],
            Priority=1,
            Conditions=[{"Field": "path-pattern", "Values": ["/*"]}],
            Actions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": weights(stack, 1, 0)}}],
        )["Rules"][0]["RuleArn"]
        stack.aws.boto("cloudwatch").put_metric_alarm(
            AlarmName=ALARM, Namespace="DailyEMR", MetricName="none", Statistic="Sum", Period=60, Threshold=1,
            EvaluationPeriods=1, ComparisonOperator="GreaterThanThreshold", TreatMissingData="ignore",
        )  # fmt: skip
        names["r1"] = stack.release(stack.image("r1"))
        stack.create(names["r1"], 2, loadBalancers=balanced(stack), deploymentConfiguration=CANARY)
        completed(stack, "SUCCESSFUL")
        yield stack


@pytest.fixture
def stack(running: Stack) -> Stack:
    """The stack with nothing under way, and short canaries."""
    ring(running, "OK")
    running.update(deploymentConfiguration={**CANARY, "bakeTimeInMinutes": 0})
    return running


def weights(stack: Stack, first: int, other: int) -> list[dict[str, Any]]:
    pairs = ((stack.names["tg"], first), (stack.names["alternate"], other))
    return [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in pairs]


def balanced(stack: Stack, **more: str) -> list[dict[str, Any]]:
    names = {
        "alternateTargetGroupArn": stack.names["alternate"],
        "productionListenerRule": stack.names["rule"],
        "roleArn": "arn:aws:iam::123456789012:role/daily-emr-sandbox-balancing",
    }
    entry = {"targetGroupArn": stack.names["tg"], "containerName": "web", "containerPort": TASK_PORT}
    return [{**entry, "advancedConfiguration": names | more}]


def ring(stack: Stack, state: str) -> None:
    stack.aws.boto("cloudwatch").set_alarm_state(AlarmName=ALARM, StateValue=state, StateReason="a test")


def shares(stack: Stack) -> dict[str, int]:
    """Weight of each group of the production rule, in percent."""
    (rule,) = stack.elb.describe_rules(RuleArns=[stack.names["rule"]])["Rules"]
    found = {one["TargetGroupArn"]: int(one["Weight"]) for one in rule["Actions"][0]["ForwardConfig"]["TargetGroups"]}
    names = {stack.names["tg"]: "first", stack.names["alternate"]: "other"}
    return {names[arn]: weight * 100 // sum(found.values()) for arn, weight in found.items()}


def serving(stack: Stack) -> str:
    """The group that has all the traffic."""
    (name,) = (name for name, share in shares(stack).items() if share == 100)
    return name


def completed(stack: Stack, status: str) -> dict[str, Any]:
    """The newest service deployment, when it ended so and only its tasks are left."""

    def ended() -> dict[str, Any] | None:
        newest, service = stack.rollouts()[0], stack.service()
        counts = (service["runningCount"], len(stack.tasks()), len(service["deployments"]))
        return newest if newest["status"] == status and counts == (2, 2, 1) else None

    return eventually(ended, f"the newest service deployment is {status}")


def at_stage(stack: Stack, stage: str) -> dict[str, Any]:
    return eventually(
        lambda: next((one for one in stack.rollouts()[:1] if one.get("lifecycleStage") == stage), None),
        f"the newest service deployment is at {stage}",
    )


def answers(stack: Stack, count: int = 100) -> Counter[tuple[int, str | None]]:
    """Status and revision of so many requests."""
    found = (stack.get("/") for _ in range(count))
    return Counter((one.status, one.json.get("TASK_REVISION")) for one in found)


def followed(stack: Stack, expected: set[str]) -> None:
    """The balancer looks at the rule a few times a second."""
    eventually(lambda: {revision for _, revision in answers(stack, 20)} == expected, f"{expected} answer")


def revision(arn: str) -> str:
    return arn.rsplit(":", 1)[1]


def test_a_good_release_gets_ten_percent_then_all_and_takes_the_other_group(stack):
    before, old = serving(stack), revision(stack.service()["taskDefinition"])
    new = stack.release(stack.image("good"))
    stack.update(taskDefinition=new, deploymentConfiguration={**LONG, "bakeTimeInMinutes": 1})
    at_stage(stack, "PRODUCTION_TRAFFIC_SHIFT")
    followed(stack, {old, revision(new)})
    assert answers(stack) == {(200, old): 90, (200, revision(new)): 10}
    assert sum(state == "healthy" for state in everywhere(stack).values()) == 4

    # The configuration of a deployment is the one it began with: only the next one is short.
    record = stack.rollouts()[0]
    stack.ecs.stop_service_deployment(serviceDeploymentArn=record["serviceDeploymentArn"], stopType="ROLLBACK")
    completed(stack, "ROLLBACK_SUCCESSFUL")
    assert serving(stack) == before
    stack.update(taskDefinition=new, deploymentConfiguration={**CANARY, "bakeTimeInMinutes": 1})
    at_stage(stack, "BAKE_TIME")
    assert len(stack.tasks()) == 4, "the old tasks run until the bake time is over"
    found = completed(stack, "SUCCESSFUL")

    assert serving(stack) != before
    assert answers(stack) == {(200, revision(new)): 100}
    (described,) = stack.ecs.describe_service_revisions(serviceRevisionArns=[found["targetServiceRevision"]["arn"]])[
        "serviceRevisions"
    ]
    (resolved,) = described["resolvedConfiguration"]["loadBalancers"]
    assert resolved["targetGroupArn"] == stack.names["alternate" if serving(stack) == "other" else "tg"]


def everywhere(stack: Stack) -> dict[str, str]:
    """State by address, in both groups."""
    return {
        one["Target"]["Id"]: one["TargetHealth"]["State"]
        for name in ("tg", "alternate")
        for one in stack.elb.describe_target_health(TargetGroupArn=stack.names[name])["TargetHealthDescriptions"]
    }


def test_a_release_that_crashes_never_gets_traffic_and_is_rolled_back(stack):
    before, old = serving(stack), revision(stack.service()["taskDefinition"])
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    stack.update(
        taskDefinition=stack.release(stack.image("crash"), RELEASE_DEFECT="crash"),
        deploymentConfiguration={**CANARY, **breaker},
    )
    seen: Counter[tuple[int, str | None]] = Counter()
    while stack.rollouts()[0]["status"] in ("PENDING", "IN_PROGRESS"):
        seen += answers(stack, 1)
    completed(stack, "ROLLBACK_SUCCESSFUL")
    assert seen.keys() == {(200, old)}
    assert serving(stack) == before


def test_an_alarm_during_the_canary_gives_the_traffic_back(stack):
    before, old = serving(stack), revision(stack.service()["taskDefinition"])
    watched = {"alarms": {"alarmNames": [ALARM], "enable": True, "rollback": True}}
    stack.update(
        taskDefinition=stack.release(stack.image("errors"), RELEASE_DEFECT="errors"),
        deploymentConfiguration={**LONG, **watched},
    )
    at_stage(stack, "PRODUCTION_TRAFFIC_SHIFT")
    ring(stack, "ALARM")
    found = completed(stack, "ROLLBACK_SUCCESSFUL")
    assert ALARM in found["rollback"]["reason"]
    assert serving(stack) == before
    followed(stack, {old})


def test_a_repair_goes_out_at_once_though_the_alarm_rings(stack):
    ring(stack, "ALARM")
    watched = {"alarms": {"alarmNames": [ALARM], "enable": True, "rollback": True}}
    new = stack.release(stack.image("repair"))
    stack.update(
        taskDefinition=new, deploymentConfiguration={**watched, "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0}
    )
    found = completed(stack, "SUCCESSFUL")
    assert "canaryConfiguration" not in found["deploymentConfiguration"]
    followed(stack, {revision(new)})


def test_a_newer_release_takes_the_place_of_a_canary(stack):
    before, old = serving(stack), revision(stack.service()["taskDefinition"])
    stack.update(taskDefinition=stack.release(stack.image("first")), deploymentConfiguration=LONG)
    at_stage(stack, "PRODUCTION_TRAFFIC_SHIFT")
    with pytest.raises(ClientError, match="can not be changed while a service deployment is in progress"):
        stack.update(deploymentConfiguration={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0})
    newest = stack.release(stack.image("second"))
    stack.update(taskDefinition=newest, deploymentConfiguration=LONG)
    eventually(lambda: serving_or_none(stack) == before, "the old tasks have all the traffic again")
    at_stage(stack, "PRODUCTION_TRAFFIC_SHIFT")
    eventually(lambda: len(stack.tasks()) == 4, "the tasks of the release between are gone")
    followed(stack, {old, revision(newest)})
    stack.ecs.stop_service_deployment(serviceDeploymentArn=stack.rollouts()[0]["serviceDeploymentArn"])
    completed(stack, "ROLLBACK_SUCCESSFUL")


def serving_or_none(stack: Stack) -> str | None:
    return next((name for name, share in shares(stack).items() if share == 100), None)


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": -1}, "between 0 and 1440"),
        ({"strategy": "ROLLING", "canaryConfiguration": {"canaryPercent": 10.0}}, "only with it"),
        ({"strategy": "CANARY", "canaryConfiguration": {"canaryPercent": 0.05}}, "multiple of 0.1"),
        ({"strategy": "CANARY", "canaryConfiguration": {"canaryBakeTimeInMinutes": 1441}}, "between 0 and 1440"),
        ({"strategy": "LINEAR"}, "ROLLING, BLUE_GREEN and CANARY only"),
    ],
)
def test_a_configuration_that_is_not_valid_is_refused(stack, configuration, message):
    with pytest.raises(ClientError, match=message):
        stack.update(deploymentConfiguration=configuration)


def test_the_groups_have_to_stand_in_the_rule(stack):
    stranger = stack.target_group("stranger")
    with pytest.raises(ClientError, match="must be associated with the productionListenerRule"):
        stack.update(loadBalancers=balanced(stack, alternateTargetGroupArn=stranger))
    with pytest.raises(ClientError, match="must differ"):
        stack.update(loadBalancers=balanced(stack, alternateTargetGroupArn=stack.names["tg"]))
    with pytest.raises(ClientError, match="roleArn"):
        stack.update(loadBalancers=balanced(stack, roleArn=""))
