"""WAF and feature flags: each refusal next to its control, the same world without the reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import Runner, Serve
from .launchdarkly import Provider
from .world import Json, Spoil, World, setting

COUNT = {"rule": "block-bodies"}

WAF: list[tuple[Json, str, Spoil]] = [
    (COUNT, "blocked 0 sampled requests to the application's routes", lambda world, _serve: world.samples.clear()),
    (COUNT, "An attack is suspected: 3 of 7 blocked requests", lambda world, _serve: world.blocked("/wp-admin", 3)),
    (COUNT, "An attack is suspected: block-bodies matches 10000 requests per minute", setting("population", 150_000)),
    (COUNT, "AWS Firewall Manager owns the web ACL", setting("firewall_manager", True)),
    (
        COUNT,
        "keeps no sampled requests",
        lambda world, _serve: world.rules[0]["VisibilityConfig"].update(SampledRequestsEnabled=False),
    ),
    (COUNT, "allows requests", lambda world, _serve: world.rules[0].update(Action={"Allow": {}})),
]


@pytest.mark.parametrize(("args", "sentence", "spoil"), WAF, ids=[row[1] for row in WAF])
def test_waf(args: Json, sentence: str, spoil: Spoil, world: World, serve: Serve, run: Runner) -> None:
    world.blocked("/api/charts/7", 4)

    refusals = run.refusals(serve, "waf_rule", args, spoil)

    assert any(sentence in text for text in refusals), refusals


@pytest.mark.usefixtures("world")
def test_waf_names_the_rules_there_are(run: Runner) -> None:
    result = run.plan("waf_rule", {"rule": "blok-bodies"})
    assert result["refusals"] == [
        "blok-bodies is not a rule of daily-emr-sandbox: use one of block-bodies, common, rate."
    ]


def test_waf_changes_one_rule_only_and_undoes_it_exactly(world: World, run: Runner) -> None:
    world.rules[0]["Action"] = {"Block": {"CustomResponse": {"ResponseCode": 429}}}
    world.blocked("/login", 4)
    before = [dict(rule) for rule in world.rules]

    undo = run("waf_rule", **COUNT)["undo"]
    assert world.rules == [{**before[0], "Action": {"Count": {}}}, *before[1:]]

    run("waf_rule", **{key: value for key, value in undo["args"].items() if key != "service"})
    assert world.rules == before


def test_waf_rule_group_is_overridden(world: World, run: Runner) -> None:
    world.blocked("/login", 4)
    assert run("waf_rule", rule="common")["outcome"] == "ok"
    assert world.rules[2]["OverrideAction"] == {"Count": {}}
    assert "Action" not in world.rules[2]


def test_waf_loses_no_change_somebody_else_made(world: World, run: Runner) -> None:
    world.blocked("/login", 4)
    change = run.change("waf_rule", COUNT)
    before = change.observe()
    world.lock += 1

    with pytest.raises(Exception, match="WAFOptimisticLockException"):
        change.apply(before)
    assert world.rules[0]["Action"] == {"Block": {}}


def test_waf_keeps_no_address_and_no_path(world: World, run: Runner) -> None:
    world.blocked("/api/charts/4711?name=canary", 4, client="198.51.100.77")
    world.blocked("/canary", 1, client="198.51.100.78")
    seen = str(run.change("waf_rule", COUNT).observe())
    assert "/api/" in seen
    assert not any(word in seen for word in ("4711", "canary", "198.51.100"))


FLAG: list[tuple[str, Callable[[Provider], object]]] = [
    ("tagged migration and must not be turned off", lambda provider: provider.flag("f", tags=("migration",))),
    (
        "tagged safety and must not be turned off",
        lambda provider: provider.flag("f", tags=("safety", "route:/api/charts")),
    ),
    ("was not changed within 24 hours", lambda provider: provider.flag("f", hours=25)),
    ("was not changed within 24 hours", lambda provider: provider.flag("f", hours=25, tags=("route:/api/orders",))),
    ("has no off variation", lambda provider: provider.flag("f").pop("offVariation")),
    ("is archived", lambda provider: provider.flags["f"].update(archived=True)),
    ("wants an approval", lambda provider: setattr(provider, "approval", True)),
    ("There is no flag f", lambda provider: provider.flags.clear()),
]


@pytest.mark.parametrize(("sentence", "spoil"), FLAG)
def test_flag(sentence: str, spoil: Callable[[Provider], object], provider: Provider, run: Runner) -> None:
    args = {"flag": "f", "failing_route": "/api/charts/7"}
    provider.flag("f", hours=23)
    assert run.plan("feature_flag", args)["outcome"] == "planned"
    spoil(provider)

    result = run.plan("feature_flag", args)

    assert result["outcome"] == "refused"
    assert any(sentence in text for text in result["refusals"]), result["refusals"]
    assert provider.patches == []


def test_an_old_flag_may_be_turned_off_when_it_guards_the_failing_route(provider: Provider, run: Runner) -> None:
    provider.flag("f", hours=300, tags=("route:/api/charts",))
    assert run.plan("feature_flag", {"flag": "f", "failing_route": "/api/charts/7"})["outcome"] == "planned"
    assert run.plan("feature_flag", {"flag": "f", "failing_route": "/api/chartsx"})["outcome"] == "refused"


def test_an_old_flag_is_not_turned_on(provider: Provider, run: Runner) -> None:
    provider.flag("f", on=False, hours=25)
    assert run.plan("feature_flag", {"flag": "f", "state": "on"})["outcome"] == "refused"
    provider.flag("f", on=False, hours=1)
    assert run.plan("feature_flag", {"flag": "f", "state": "on"})["outcome"] == "planned"


@pytest.mark.parametrize("url", ["https://app.launchdarkly.com", "http://192.0.2.1"])
def test_the_sandbox_never_asks_the_real_launchdarkly(url: str, run: Runner) -> None:
    run.service["feature_flags"]["api_url"] = url
    result = run.plan("feature_flag", {"flag": "f"})
    assert (result["refused"], "not a loopback address" in result["msg"]) == (True, True)


@pytest.mark.parametrize("state", ["on", "off"])
def test_a_mode_is_turned_on_and_off_at_any_time(state: str, provider: Provider, run: Runner) -> None:
    args = {"flag": "read-only", "state": state}
    provider.flag("read-only", on=state == "off", hours=9000, tags=("mode",))
    assert run.plan("feature_flag", args)["outcome"] == "planned"
    provider.approval = True
    assert "wants an approval" in run.plan("feature_flag", args)["msg"]
    provider.approval = False
    provider.flag("read-only", on=state == "off", hours=9000, tags=("mode", "safety"))
    assert run.plan("feature_flag", args)["outcome"] == "refused"


SWITCHES = [("circuit:sha",), ("shed",), ("mode",), ("circuit:sha", "route:/api/claims")]


@pytest.mark.parametrize("tags", SWITCHES)
@pytest.mark.parametrize("state", ["on", "off"])
def test_a_switch_is_turned_on_and_off_at_any_time(
    tags: tuple[str, ...], state: str, provider: Provider, run: Runner
) -> None:
    here = provider.flag("f", on=state == "off", hours=2000, tags=tags)

    result = run("feature_flag", flag="f", state=state)

    assert (result["outcome"], here["on"], len(provider.patches)) == ("ok", state == "on", 1), result["msg"]
    undo = {key: value for key, value in result["undo"]["args"].items() if key != "service"}
    assert (run("feature_flag", **undo)["outcome"], here["on"]) == ("ok", state == "off")


@pytest.mark.parametrize("tags", [("circuitous",), ("shedding",), ("route:/api/charts",), ("circuit:sha", "safety")])
@pytest.mark.parametrize("state", ["on", "off"])
def test_other_old_flags_are_no_switches(tags: tuple[str, ...], state: str, provider: Provider, run: Runner) -> None:
    provider.flag("f", on=state == "off", hours=2000, tags=tags)

    assert run("feature_flag", flag="f", state=state)["outcome"] == "refused"
    assert provider.patches == []


def test_a_switch_says_what_it_leads_to(provider: Provider, run: Runner) -> None:
    provider.flag("f", on=False, hours=2000, tags=("circuit:sha", "route:/api/claims"))
    provider.flag("s", on=True, hours=2000, tags=("shed",))

    assert run.plan("feature_flag", {"flag": "f", "state": "on"})["prediction"] == [
        "Calls to sha fail at once, without waiting, until the flag is off again; what depends on it: /api/claims."
    ]
    assert run.plan("feature_flag", {"flag": "s"})["prediction"] == ["Low-priority work is done again."]
