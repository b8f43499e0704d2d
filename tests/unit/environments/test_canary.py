"""What bootstrap makes for releases that begin as a canary, and what of it ECS may move afterwards."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils import _clients
from ansible_collections.daily_emr.ops.plugins.module_utils._account import builder_clients, builder_environment
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import execute_change
from ansible_collections.daily_emr.ops.plugins.modules.account_resource import KINDS

from tests.unit.changes.conftest import Runner
from tests.unit.changes.world import Json, P, Wire, World

FIRST, OTHER = "arn:first", "arn:other"
BALANCER = "arn:balancer"
SERVICE: Json = {
    "cluster": P,
    "family": f"{P}-web",
    "count": 2,
    "subnets": ["subnet-1"],
    "security_groups": ["sg-1"],
    "target_group": FIRST,
    "container": "web",
    "port": 8080,
    "alarms": [f"{P}-error-ratio"],
    "canary": {
        "percent": 10,
        "minutes": 30,
        "bake_minutes": 10,
        "alternate_target_group": OTHER,
        "rule": "arn:rule",
        "role_arn": "arn:role",
    },
}
RULE: Json = {"balancer": BALANCER, "port": 443, "target_groups": [FIRST, OTHER]}
ALARM: Json = {
    "balancer": f"app/{P}/1",
    "target_groups": ["targetgroup/a/1", "targetgroup/b/2"],
    "least": 1,
    "periods": 1,
    "topic_arn": "arn:topic",
}


class Account(World):
    """An account in which bootstrap makes a service, the rule before it, and an alarm."""

    def __init__(self) -> None:
        super().__init__()
        self.made: Json | None = None
        self.rollout = "COMPLETED"
        self.alarm: Json | None = None

    def sts_GetCallerIdentity(self, _params: Json) -> Json:
        return {"Account": "123456789012", "Arn": f"arn:aws:sts::123456789012:assumed-role/{P}-bootstrap/someone"}

    def ecs_DescribeServices(self, _params: Json) -> Json:
        if self.made is None:
            return {"services": []}
        deployment = {"status": "PRIMARY", "rolloutState": self.rollout}
        return {"services": [{**self.made, "status": "ACTIVE", "deployments": [deployment]}]}

    def ecs_CreateService(self, params: Json) -> Json:
        kept = ("deploymentConfiguration", "networkConfiguration", "loadBalancers")
        self.made = {key: params[key] for key in kept if key in params}
        return {}

    def ecs_UpdateService(self, params: Json) -> Json:
        assert self.made is not None
        self.made |= {key: value for key, value in params.items() if key in self.made}
        return {}

    def elbv2_DescribeRules(self, _params: Json) -> Json:
        return {"Rules": [{"RuleArn": "arn:default", "Priority": "default", "Actions": []}, *self.listener_rules]}

    def elbv2_CreateRule(self, params: Json) -> Json:
        assert params["ListenerArn"] == "arn:listener"
        rule = {"RuleArn": "arn:rule", "Priority": str(params["Priority"]), "Actions": params["Actions"]}
        # AWS says the values in two places.
        conditions = [{**one, "PathPatternConfig": {"Values": one["Values"]}} for one in params["Conditions"]]
        self.listener_rules = [{**rule, "Conditions": conditions}]
        return {"Rules": self.listener_rules}

    def cloudwatch_DescribeAlarms(self, _params: Json) -> Json:
        return {"MetricAlarms": [self.alarm] if self.alarm else []}

    def cloudwatch_PutMetricAlarm(self, params: Json) -> Json:
        self.alarm = {key: value for key, value in params.items() if key != "Tags"}
        return {}


class Builder:
    def __init__(self, account: Account, runner: Runner) -> None:
        self.account, self.environment = account, {**runner.environment, "domain": "app.test", "time_factor": 1}

    def __call__(self, kind: str, settings: Json, *, check: bool = False) -> Json:
        checked = ArgumentSpecValidator(KINDS[kind].spec).validate(settings)
        assert not checked.error_messages, checked.error_messages
        clients = builder_clients(builder_environment(self.environment, f"^{P}-bootstrap$"))
        params: Any = {"name": f"{P}-web", "tags": {"app": "daily-emr"}, "settings": checked.validated_parameters}
        return execute_change(KINDS[kind](params, clients), clients, None, check_mode=check)

    def four_steps(self, kind: str, settings: Json, operation: str) -> Json:
        """Check, apply, check again, apply again; what was sent."""
        assert self(kind, settings, check=True)["outcome"] == "planned"
        assert self.account.mutations == []
        assert self(kind, settings)["outcome"] == "ok"
        assert self(kind, settings, check=True)["outcome"] == self(kind, settings)["outcome"] == "noop"
        ((sent, params),) = self.account.mutations
        assert sent == operation
        self.account.mutations.clear()
        return dict(params)


@pytest.fixture(scope="module")
def wire() -> Wire:
    return Wire(botocore.session.Session())


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, wire: Wire) -> Account:
    made = wire.world = Account()
    monkeypatch.setattr(_clients, "session", lambda: wire.session)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    return made


@pytest.fixture
def build(account: Account, tmp_path: Any) -> Builder:
    return Builder(account, Runner(account, tmp_path))


def test_a_service_is_made_with_a_canary(build: Builder) -> None:
    sent = build.four_steps("container_service", SERVICE, "CreateService")

    deployment = sent["deploymentConfiguration"]
    assert (deployment["strategy"], deployment["bakeTimeInMinutes"]) == ("CANARY", 10)
    assert deployment["canaryConfiguration"] == {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 30}
    assert deployment["alarms"]["rollback"]
    (balanced,) = sent["loadBalancers"]
    assert balanced["advancedConfiguration"] == {
        "alternateTargetGroupArn": OTHER,
        "productionListenerRule": "arn:rule",
        "roleArn": "arn:role",
    }


def test_workers_are_replaced_step_by_step(build: Builder) -> None:
    worker = {key: SERVICE[key] for key in ("cluster", "family", "count", "subnets", "security_groups")}

    sent = build.four_steps("container_service", worker, "CreateService")

    assert sent["deploymentConfiguration"]["strategy"] == "ROLLING"
    assert "loadBalancers" not in sent


def test_groups_that_a_release_swapped_are_as_wanted(build: Builder, account: Account) -> None:
    build("container_service", SERVICE)
    build("listener_rule", RULE)
    account.mutations.clear()
    assert account.made is not None
    (balanced,) = account.made["loadBalancers"]
    more = {**balanced["advancedConfiguration"], "alternateTargetGroupArn": FIRST}
    account.made["loadBalancers"] = [{**balanced, "targetGroupArn": OTHER, "advancedConfiguration": more}]
    groups = account.listener_rules[0]["Actions"][0]["ForwardConfig"]["TargetGroups"]
    groups[0]["Weight"], groups[1]["Weight"] = 0, 100

    assert build("container_service", SERVICE)["outcome"] == build("listener_rule", RULE)["outcome"] == "noop"
    assert account.mutations == []


def test_what_a_runbook_left_at_once_is_mended_without_a_deployment(build: Builder, account: Account) -> None:
    build("container_service", SERVICE)
    account.mutations.clear()
    assert account.made is not None
    left = {**account.made["deploymentConfiguration"], "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0}
    left["alarms"] = {**left["alarms"], "enable": False, "rollback": False}
    account.made["deploymentConfiguration"] = left

    sent = build.four_steps("container_service", SERVICE, "UpdateService")

    assert (sent["deploymentConfiguration"]["strategy"], "loadBalancers" in sent) == ("CANARY", False)
    assert sent["deploymentConfiguration"]["alarms"]["enable"]


def test_a_service_without_a_second_group_gets_it(build: Builder, account: Account) -> None:
    build("container_service", {**SERVICE, "canary": None})
    account.mutations.clear()

    sent = build.four_steps("container_service", SERVICE, "UpdateService")

    assert sent["loadBalancers"][0]["advancedConfiguration"]["alternateTargetGroupArn"] == OTHER


def test_the_strategy_is_not_changed_during_a_deployment(build: Builder, account: Account) -> None:
    build("container_service", {**SERVICE, "canary": None})
    account.mutations.clear()
    account.rollout = "IN_PROGRESS"

    refused = build("container_service", SERVICE)

    assert refused["refusals"] == [
        f"{P}-web is being deployed, and ECS takes no other strategy then: run again when it ended."
    ]
    assert account.mutations == []


def test_the_rule_gives_all_to_the_first_group_and_says_its_arn(build: Builder) -> None:
    sent = build.four_steps("listener_rule", RULE, "CreateRule")

    assert sent["Actions"][0]["ForwardConfig"]["TargetGroups"] == [
        {"TargetGroupArn": FIRST, "Weight": 1},
        {"TargetGroupArn": OTHER, "Weight": 0},
    ]
    assert build("listener_rule", RULE)["arn"] == "arn:rule"


@pytest.mark.parametrize(
    ("standing", "mended"),
    [
        ({FIRST: 1}, {FIRST: 1, OTHER: 0}),
        ({OTHER: 100}, {FIRST: 0, OTHER: 100}),
        ({FIRST: 0}, {FIRST: 1, OTHER: 0}),
        ({FIRST: 90, OTHER: 10}, {FIRST: 90, OTHER: 10}),
    ],
)
def test_a_rule_that_lost_a_group_or_its_path_gets_it_back_and_traffic_stays_where_it_is(
    standing: dict[str, int], mended: dict[str, int], build: Builder, account: Account
) -> None:
    build("listener_rule", RULE)
    account.mutations.clear()
    account.elbv2_ModifyRule = lambda params: (  # type: ignore[method-assign]
        account.listener_rules[0].update(Actions=params["Actions"], Conditions=params["Conditions"]) or {"Rules": []}
    )
    (rule,) = account.listener_rules
    groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in standing.items()]
    rule["Actions"] = [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]
    rule["Conditions"] = [{"Field": "path-pattern", "Values": ["/api/*"]}]

    sent = build.four_steps("listener_rule", RULE, "ModifyRule")

    sent_groups = sent["Actions"][0]["ForwardConfig"]["TargetGroups"]
    assert {one["TargetGroupArn"]: one["Weight"] for one in sent_groups} == mended


@pytest.mark.parametrize(
    "action",
    [
        {"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": "arn:theirs", "Weight": 1}]}},
        {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}},
    ],
    ids=["to others", "nowhere"],
)
def test_a_rule_of_somebody_else_is_never_overwritten(action: Json, build: Builder, account: Account) -> None:
    build("listener_rule", RULE)
    account.mutations.clear()
    account.listener_rules[0]["Actions"] = [action]

    refused = build("listener_rule", RULE)

    assert (refused["outcome"], account.mutations) == ("refused", [])
    assert "does not forward to the target groups of the service" in refused["refusals"][0]


def test_a_listener_that_is_not_there_is_named(build: Builder) -> None:
    refused = build("listener_rule", {**RULE, "port": 80})

    assert refused["refusals"] == [f"{BALANCER} has no listener at port 80: make it first."]


def test_the_alarm_counts_the_targets_of_both_groups(build: Builder) -> None:
    sent = build.four_steps("targets_alarm", ALARM, "PutMetricAlarm")

    assert sent["Metrics"][-1]["Expression"] == "FILL(group1,0)+FILL(group2,0)"
    assert (sent["ComparisonOperator"], sent["Threshold"], sent["TreatMissingData"]) == (
        "LessThanThreshold",
        1.0,
        "breaching",
    )
    groups = [one["MetricStat"]["Metric"]["Dimensions"][1]["Value"] for one in sent["Metrics"][:-1]]
    assert groups == ALARM["target_groups"]
