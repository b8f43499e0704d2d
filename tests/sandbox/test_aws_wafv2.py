"""WAFv2: the whole web ACL is replaced under a lock token, samples come from the balancer, bad rules are refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from daily_emr_sandbox.network.waf import Request, Samples

from tests.sandbox.aws_only import Aws, refusal, running_aws

VISIBLE = {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with running_aws(tmp_path_factory.mktemp("waf")) as running:
        yield running


@pytest.fixture(scope="module")
def waf(aws: Aws) -> Any:
    return aws.client("wafv2")


def match(name: str, priority: int, action: dict[str, Any]) -> dict[str, Any]:
    statement = {
        "SearchString": b"/.git", "FieldToMatch": {"UriPath": {}}, "PositionalConstraint": "STARTS_WITH",
        "TextTransformations": [{"Priority": 0, "Type": "NONE"}],
    }  # fmt: skip
    visible = VISIBLE | {"MetricName": f"{name}-metric"}
    return {
        "Name": name,
        "Priority": priority,
        "Statement": {"ByteMatchStatement": statement},
        "VisibilityConfig": visible,
        **action,
    }


def managed(name: str, priority: int, **action: Any) -> dict[str, Any]:
    group = {"VendorName": "AWS", "Name": "AWSManagedRulesCommonRuleSet"}
    rule = match(name, priority, action)
    return rule | {"Statement": {"ManagedRuleGroupStatement": group}}


BLOCK = {"Action": {"Block": {}}}
RULES = [match("files", 1, BLOCK), managed("common", 2, OverrideAction={"None": {}})]


@pytest.fixture
def acl(waf: Any, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    name = f"acl-{abs(hash(request.node.name)) % 10**9}"
    made = waf.create_web_acl(
        Name=name, Scope="REGIONAL", DefaultAction={"Allow": {}}, Rules=RULES,
        VisibilityConfig=VISIBLE | {"MetricName": name},
    )["Summary"]  # fmt: skip
    yield read(waf, made)
    waf.delete_web_acl(Name=name, Scope="REGIONAL", Id=made["Id"], LockToken=read(waf, made)["LockToken"])


def read(waf: Any, known: dict[str, Any]) -> dict[str, Any]:
    found = waf.get_web_acl(Name=known["Name"], Scope="REGIONAL", Id=known["Id"])
    return found["WebACL"] | {"LockToken": found["LockToken"]}


def update(waf: Any, acl: dict[str, Any], **changes: Any) -> str:
    kept = {key: acl[key] for key in ("Name", "Id", "DefaultAction", "VisibilityConfig", "Rules", "LockToken")}
    return str(waf.update_web_acl(Scope="REGIONAL", **kept | changes)["NextLockToken"])


def test_rules_come_back_as_they_were_given(acl):
    assert acl["Rules"] == RULES


def test_one_action_is_changed_and_the_token_moves_on(aws, waf, acl):
    rules = [acl["Rules"][0] | {"Action": {"Count": {}}}, *acl["Rules"][1:]]
    token = update(waf, acl, Rules=rules)
    after = read(waf, acl)
    assert (after["Rules"], after["LockToken"]) == (rules, token)
    assert token != acl["LockToken"]
    with aws.server.mutex:  # this is where the balancer looks
        (seen,) = [one for one in aws.server.backend("wafv2").wacls.values() if one.arn == acl["ARN"]]
        assert seen.rules[0].to_dict()["Action"] == {"Count": {}}


def test_an_old_token_is_refused_and_changes_nothing(waf, acl):
    update(waf, acl)
    with pytest.raises(ClientError) as error:
        update(waf, acl, Rules=[])
    assert refusal(error.value) == ("WAFOptimisticLockException", 400)
    assert read(waf, acl)["Rules"] == RULES


def test_an_update_replaces_everything(waf, acl):
    bodies = {"busy": {"ContentType": "TEXT_PLAIN", "Content": "Later."}}
    update(waf, acl, Rules=[], Description="ours", CustomResponseBodies=bodies, TokenDomains=["daily-emr.test"])
    found = read(waf, acl)
    assert (found["Description"], found["CustomResponseBodies"]) == ("ours", bodies)

    update(waf, found, Rules=[])
    found = read(waf, acl)
    assert found["Rules"] == []
    assert not {key for key in ("CustomResponseBodies", "TokenDomains") if found.get(key)}
    assert not found.get("Description")


def test_an_unknown_acl_is_not_found(waf, acl):
    with pytest.raises(ClientError) as error:
        waf.get_web_acl(Name=acl["Name"], Scope="REGIONAL", Id="00000000-0000-0000-0000-000000000000")
    assert error.value.response["Error"]["Code"] == "WAFNonexistentItemException"


RATE = {"RateBasedStatement": {"Limit": 9, "AggregateKeyType": "IP"}}


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param([match("a", 1, BLOCK), match("b", 1, BLOCK)], id="same priority"),
        pytest.param([match("a", 1, BLOCK), match("a", 2, BLOCK)], id="same name"),
        pytest.param([match("a", 1, {})], id="no action"),
        pytest.param([match("a", 1, BLOCK | {"OverrideAction": {"None": {}}})], id="action and override"),
        pytest.param([managed("a", 1, **BLOCK)], id="action on a rule group"),
        pytest.param([managed("a", 1)], id="rule group without override"),
        pytest.param([match("a", 1, BLOCK) | {"Statement": RATE}], id="rate limit below 10"),
    ],
)
def test_rules_that_make_no_sense_are_refused(aws, waf, acl, rules):
    unchecked = aws.client("wafv2", parameter_validation=False)  # the sandbox refuses, not the client
    with pytest.raises(ClientError) as error:
        update(unchecked, acl, Rules=rules)
    assert refusal(error.value) == ("WAFInvalidParameterException", 400)
    assert read(waf, acl)["LockToken"] == acl["LockToken"]


@pytest.fixture
def samples(aws: Aws) -> Iterator[Samples]:
    kept, before = Samples(), aws.server.sampled_requests
    aws.server.sampled_requests = kept.between
    yield kept
    aws.server.sampled_requests = before


def ask(waf: Any, acl: dict[str, Any], rule: str = "files-metric", hours: float = 1, most: int = 100) -> dict[str, Any]:
    now = dt.datetime.now(dt.UTC)
    window = {"StartTime": now - dt.timedelta(hours=hours), "EndTime": now + dt.timedelta(minutes=1)}
    found: dict[str, Any] = waf.get_sampled_requests(
        WebAclArn=acl["ARN"], RuleMetricName=rule, Scope="REGIONAL", TimeWindow=window, MaxItems=most
    )
    return found


def test_samples_are_those_of_the_balancer(waf, acl, samples):
    request = Request("GET", "/api/charts/81723", "q=x", {"host": "app", "cookie": "secret"}, "198.51.100.7")
    for _ in range(3):
        samples.add(acl["ARN"], "files-metric", "BLOCK", request)
    found = ask(waf, acl, most=2)
    assert (len(found["SampledRequests"]), found["PopulationSize"]) == (2, 3)
    first = found["SampledRequests"][0]
    assert (first["Action"], first["Request"]["URI"], first["Request"]["ClientIP"]) == (
        "BLOCK", "/api/charts/{id}", "198.51.100.7",
    )  # fmt: skip
    assert ask(waf, acl, "common-metric")["SampledRequests"] == []


def test_the_window_reaches_three_hours_back_at_most(waf, acl):
    window = ask(waf, acl, hours=24)["TimeWindow"]
    assert window["EndTime"] - window["StartTime"] < dt.timedelta(hours=3, minutes=2)


def test_samples_of_what_is_not_there_are_refused(waf, acl):
    for known, rule in ((acl, "no-such-metric"), (acl | {"ARN": acl["ARN"] + "x"}, "files-metric")):
        with pytest.raises(ClientError) as error:
            ask(waf, known, rule)
        assert error.value.response["Error"]["Code"] == "WAFNonexistentItemException"
