"""Weights, one task and a rate rule: each refusal next to its control, the same world without the reason."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _request_log

from .conftest import Runner, Serve
from .world import LOG_GROUP, P, Spoil, World, ago, setting

CANARY = f"{P}-web-canary"


def weigh(baseline: int, canary: int) -> Spoil:
    def spoil(world: World, _serve: Serve) -> None:
        first, second = world.listener[0]["ForwardConfig"]["TargetGroups"]
        first["Weight"], second["Weight"] = baseline, canary

    return spoil


def second_rule(world: World, _serve: Serve | None = None) -> None:
    rule = {"RuleArn": "arn:rule", "Priority": "5", "IsDefault": False, "Actions": copy.deepcopy(world.listener)}
    world.listener_rules.append(rule)


def ecs_canary(world: World, _serve: Serve) -> None:
    world.configuration["strategy"] = "CANARY"
    world.bad_release(status="IN_PROGRESS")


WEIGHTS: list[tuple[str, Spoil]] = [
    (f"{P}-web has no healthy target", lambda world, _serve: world.unhealthy.update("ab")),
    ("The canary has 80 % of the traffic and makes 90 %", weigh(20, 80)),
    ("gets no traffic, so nothing shows that it is any better", weigh(0, 100)),
    ("2 rules divide the traffic", second_rule),
    ("ECS sets the weights while its CANARY deployment runs", ecs_canary),
    (f"No rule forwards to {P}-web", setting("listener", [{"Type": "redirect"}])),
]


@pytest.mark.parametrize(("sentence", "spoil"), WEIGHTS, ids=[row[0] for row in WEIGHTS])
def test_weights(sentence: str, spoil: Spoil, serve: Serve, run: Runner) -> None:
    refusals = run.refusals(serve, "listener_weights", {"bad_share": 0.9}, spoil)

    assert any(sentence in text for text in refusals), refusals


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({}, "give bad_share"),
        ({"bad_share": 0.79}, "makes 79 % of the bad requests, 80 % are needed"),
        ({"bad_share": 0.9, "baseline": f"{P}-wep"}, "Could not read the baseline targets"),
        ({"bad_share": 0.9, "rule": "arn:other"}, "arn:other does not forward"),
        ({"weights": {f"{P}-web": 90}}, f"divides between {P}-web, {CANARY}, not between {P}-web"),
        ({"weights": {f"{P}-web": 90, CANARY: "many"}}, "A weight is a whole number from 0 to 999"),
        ({"weights": {f"{P}-web": 0, CANARY: 0}}, "one is above 0"),
        ({"weights": {f"{P}-web": 1000, CANARY: 0}}, "A weight is a whole number from 0 to 999"),
    ],
)
def test_weights_need_evidence_and_sense(args: dict[str, object], sentence: str, world: World, run: Runner) -> None:
    assert run.plan("listener_weights", {"bad_share": 0.9})["outcome"] == "planned"

    result = run.plan("listener_weights", args)

    assert result["outcome"] == "refused"
    assert any(sentence in text for text in result["refusals"]), result["refusals"]
    assert world.mutations == []


def test_an_abort_keeps_what_else_the_rule_does(world: World, run: Runner) -> None:
    login = {
        "Type": "authenticate-oidc",
        "Order": 1,
        "AuthenticateOidcConfig": {
            "Issuer": "https://id.example",
            "AuthorizationEndpoint": "https://id.example/a",
            "TokenEndpoint": "https://id.example/t",
            "UserInfoEndpoint": "https://id.example/u",
            "ClientId": "web",
        },
    }
    world.listener = [login, {**world.listener[0], "Order": 2}]
    stickiness = world.listener[1]["ForwardConfig"]["TargetGroupStickinessConfig"]

    assert run("listener_weights", bad_share=0.9)["outcome"] == "ok"

    first, second = world.listener
    assert first["AuthenticateOidcConfig"] == {**login["AuthenticateOidcConfig"], "UseExistingClientSecret": True}
    assert second["ForwardConfig"]["TargetGroupStickinessConfig"] == stickiness
    assert second["Order"] == 2


def test_a_named_rule_is_changed_and_no_other(world: World, run: Runner) -> None:
    second_rule(world)

    result = run("listener_weights", bad_share=0.9, rule="arn:rule")

    assert [operation for operation, _params in world.mutations] == ["ModifyRule"]
    assert [item["Weight"] for item in world.listener[0]["ForwardConfig"]["TargetGroups"]] == [90, 10]
    undo = {key: value for key, value in result["undo"]["args"].items() if key != "service"}
    assert run("listener_weights", **undo)["outcome"] == "ok"
    weights = world.listener_rules[0]["Actions"][0]["ForwardConfig"]["TargetGroups"]
    assert [item["Weight"] for item in weights] == [90, 10]


@pytest.mark.parametrize("canaries", [0, 1])
def test_without_a_canary_there_is_nothing_to_abort(canaries: int, world: World, run: Runner) -> None:
    baseline, canary = world.listener[0]["ForwardConfig"]["TargetGroups"]
    world.listener[0]["ForwardConfig"]["TargetGroups"] = [baseline, *[{**canary, "Weight": 0}] * canaries]

    assert run("listener_weights", bad_share=0.9)["outcome"] == "noop"
    assert world.mutations == []


@pytest.mark.usefixtures("world")
def test_an_abort_says_what_it_leads_to(run: Runner) -> None:
    assert run.plan("listener_weights", {"bad_share": 0.9})["prediction"] == [
        "Removes 90 % of the bad requests.",
        f"2 healthy targets of {P}-web take all the traffic.",
    ]


OUTLIER = {"task": "c", "bad_ratio": 0.5, "median_ratio": 0.01}
TASK: list[tuple[str, Spoil]] = [
    ("1 healthy target would remain, 2 are needed", lambda world, _serve: world.unhealthy.add("a")),
    ("A deployment of daily-emr-sandbox-web:3 runs", lambda world, _serve: world.bad_release(status="IN_PROGRESS")),
    ("The image of daily-emr-sandbox-web:2 no longer exists", lambda world, _serve: world.images.discard(2)),
    ("c is not a running task", lambda world, _serve: world.tasks.pop()),
]


@pytest.fixture
def three_tasks(world: World) -> World:
    world.tasks.append(world.task("c", 2, ago(days=3), "af-south-1c"))
    return world


@pytest.mark.usefixtures("three_tasks")
@pytest.mark.parametrize(("sentence", "spoil"), TASK, ids=[row[0] for row in TASK])
def test_one_task(sentence: str, spoil: Spoil, serve: Serve, run: Runner) -> None:
    refusals = run.refusals(serve, "ecs_task", OUTLIER, spoil)

    assert any(sentence in text for text in refusals), refusals


@pytest.mark.usefixtures("three_tasks")
@pytest.mark.parametrize(
    ("ratio", "median", "outcome"),
    [(0.5, 0.09, "planned"), (0.5, 0.1, "refused"), (0.04, 0.0, "refused"), (0.06, 0.0, "planned")],
)
def test_only_an_outlier_is_stopped(ratio: float, median: float, outcome: str, run: Runner) -> None:
    result = run.plan("ecs_task", {"task": "c", "bad_ratio": ratio, "median_ratio": median})

    assert result["outcome"] == outcome
    if outcome == "refused":
        assert any("so one task is not the cause" in text for text in result["refusals"])


def logged(world: World, **bad: int) -> None:
    """A hundred requests of each task, so many of them bad."""
    world.log = [({"status": 200, "task": task, "duration": 40}, 100 - count) for task, count in bad.items()]
    world.log += [({"status": 500, "task": task, "duration": 40}, count) for task, count in bad.items() if count]


def test_the_outlier_is_read_from_the_log_when_nobody_names_it(
    three_tasks: World, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_request_log.time, "sleep", lambda _seconds: None)
    run.service["log_group"] = LOG_GROUP
    logged(three_tasks, a=1, b=0, c=60)
    assert run.plan("ecs_task", {"task": "c"})["outcome"] == "planned"

    logged(three_tasks, a=50, b=60, c=60)
    assert any("not the cause" in text for text in run.plan("ecs_task", {"task": "c"})["refusals"])

    logged(three_tasks, c=60)
    for args in ({"task": "c"}, {"task": "c", "bad_ratio": 0.5}):
        assert any("none of another one" in text for text in run.plan("ecs_task", args)["refusals"])

    three_tasks.log = None
    assert any("There is no log group" in text for text in run.plan("ecs_task", {"task": "c"})["refusals"])

    del run.service["log_group"]
    assert any("are not given" in text for text in run.plan("ecs_task", {"task": "c"})["refusals"])


def test_a_query_that_does_not_end_is_a_reading_that_is_missing(
    three_tasks: World, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(_request_log.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    monkeypatch.setattr(_request_log.time, "monotonic", lambda: clock[0])
    run.service["log_group"] = LOG_GROUP

    for status, sentence in (("Running", "did not end within 30 s"), ("Failed", "ended as Failed")):
        three_tasks.query_status = status
        refusals = run.plan("ecs_task", {"task": "c"})["refusals"]
        assert any(sentence in text and "Unknown is never ok" in text for text in refusals), refusals


def test_a_stop_says_what_carries_the_traffic(three_tasks: World, run: Runner) -> None:
    assert run.plan("ecs_task", OUTLIER)["prediction"] == [
        f"Until ECS has started another task of {P}-web:2, the traffic is carried by 2 healthy targets."
    ]
    assert three_tasks.mutations == []


def test_a_task_of_another_service_is_not_stopped(three_tasks: World, run: Runner) -> None:
    assert run.plan("ecs_task", {**OUTLIER, "task": "z"})["refusals"] == [
        f"z is not a running task of {P}-web: check its id."
    ]
    assert three_tasks.mutations == []


BLOCK = {"rule": "per-client", "shared_networks": ["203.0.113.0/24"]}


def spares(world: World, _serve: Serve | None = None) -> None:
    """The web ACL allows an IP set with the client in it."""
    world.ip_sets["facilities"] = ["192.0.2.0/24"]
    arn = "arn:aws:wafv2:af-south-1:123456789012:regional/ipset/facilities/i-1"
    allowing = world.rule("allow", {"Allow": {}}, 8)
    allowing["Statement"] = {"AndStatement": {"Statements": [{"IPSetReferenceStatement": {"ARN": arn}}] * 2}}
    world.rules.append(allowing)


RATE: list[tuple[str, Spoil]] = [
    ("counted nothing in the last 300 s", lambda world, _serve: world.samples.clear()),
    ("has counted for 60 s, 120 s are needed", lambda w, _serve: w.samples.clear() or w.counted("192.0.2.1", 20, 60)),
    (
        "counts 2 clients, and none makes nearly all",
        lambda world, _serve: world.counted("192.0.2.2", 6),
    ),
    ("The client sends 8 % of the requests, 30 % are needed", setting("metrics", {"RequestCount": 1500.0})),
    ("1 sampled request come from networks that many", lambda world, _serve: world.counted("203.0.113.9", 1)),
    ("come from networks that many users share", spares),
    ("1 sample of per-client show no client", lambda world, _serve: world.counted("somebody", 1)),
    ("AWS Firewall Manager owns the web ACL", setting("firewall_manager", True)),
    (
        "counts by CONSTANT, not by the address of a client",
        lambda w, _serve: w.rules[-1]["Statement"]["RateBasedStatement"].update(AggregateKeyType="CONSTANT"),
    ),
    (
        "keeps no sampled requests",
        lambda world, _serve: world.rules[-1]["VisibilityConfig"].update(SampledRequestsEnabled=False),
    ),
    ("is set to captcha, so nothing shows", lambda world, _serve: world.rules[-1].update(Action={"Captcha": {}})),
]


@pytest.mark.parametrize(("sentence", "spoil"), RATE, ids=[row[0] for row in RATE])
def test_rate_rule(sentence: str, spoil: Spoil, world: World, serve: Serve, run: Runner) -> None:
    world.rate_rule()

    refusals = run.refusals(serve, "waf_rate_rule", BLOCK, spoil)

    assert any(sentence in text for text in refusals), refusals


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({"rule": "per-client"}, "Nobody says which networks many users share"),
        ({"rule": "per-client", "shared_networks": ["Nairobi"]}, "one of them is not a network"),
        ({"rule": "rate"}, "rate is not a rate-based rule of daily-emr-sandbox: use one of per-client."),
    ],
)
def test_a_rate_rule_needs_what_must_not_be_blocked(
    args: dict[str, object], sentence: str, world: World, run: Runner
) -> None:
    world.rate_rule()
    result = run.plan("waf_rate_rule", args)

    assert result["outcome"] == "refused"
    assert any(sentence in text for text in result["refusals"]), result["refusals"]


def test_a_rate_rule_may_take_the_client_from_a_header(world: World, run: Runner) -> None:
    statement = world.rate_rule()["Statement"]["RateBasedStatement"]
    forwarded = {"HeaderName": "X-Forwarded-For", "FallbackBehavior": "NO_MATCH"}
    statement |= {"AggregateKeyType": "FORWARDED_IP", "ForwardedIPConfig": forwarded}
    for sample in world.samples:
        sample["Request"]["Headers"] = [{"Name": "x-forwarded-for", "Value": "192.0.2.7, 10.0.0.1"}]
    assert run.plan("waf_rate_rule", BLOCK)["outcome"] == "planned"

    world.samples[0]["Request"]["Headers"][0]["Value"] = "203.0.113.5"
    assert any("many users share" in text for text in run.plan("waf_rate_rule", BLOCK)["refusals"])


def test_a_rate_rule_may_always_be_set_back_to_count(world: World, run: Runner) -> None:
    world.rate_rule()["Action"] = {"Block": {}}
    world.samples.clear()

    assert run("waf_rate_rule", rule="per-client", action="count")["outcome"] == "ok"
    assert world.rules[-1]["Action"] == {"Count": {}}


def test_a_rate_rule_keeps_no_address_and_says_what_it_blocks(world: World, run: Runner) -> None:
    world.rate_rule()
    plan = run.plan("waf_rate_rule", BLOCK)

    assert plan["prediction"] == ["Blocks 1 client; the first sends 120 requests per minute, 40 % of all."]
    seen = str(run.change("waf_rate_rule", BLOCK).observe()) + str(plan)
    assert not any(word in seen for word in ("192.0.2", "203.0.113", "/api/charts"))
