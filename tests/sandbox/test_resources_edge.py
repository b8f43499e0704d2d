"""CloudFront, its secret header, the rule that asks for it, and its log: four steps each, and what a request meets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._edge_rule import CANARY, exactly
from ansible_collections.daily_emr.ops.plugins.module_utils._resources_canary import SCRIPT
from botocore.exceptions import ClientError
from daily_emr_sandbox.account import certify
from daily_emr_sandbox.network.waf import Rates, Request, WebAcl

from tests.sandbox.aws_only import refusal
from tests.sandbox.building import NAME, Builder, building

ROOT = Path(__file__).resolve().parents[2]
SECRET = "daily-emr/sandbox/ORIGIN_HEADER"
HEADER = "x-daily-emr-origin"
PROBES = "196.0.2.7/32"
RULE = "only-through-the-edge"
SCOPE = {"scope": "REGIONAL"}


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    with building(tmp_path_factory.mktemp("edge")) as made:
        yield made


@pytest.fixture(scope="module")
def value(builder: Builder) -> str:
    """Of the secret, made by its kind."""
    kind = {"kms_key": "alias/aws/secretsmanager"}
    builder.four_steps("secret_value", SECRET, "CreateSecret", **kind)
    return str(builder.aws.client("secretsmanager").get_secret_value(SecretId=SECRET)["SecretString"])


@pytest.fixture(scope="module")
def settings(builder: Builder, value: str) -> dict[str, Any]:
    assert value
    return {
        "alias": "app.daily-emr.test",
        "origin": "origin.app.daily-emr.test",
        "certificate": certify(builder.aws.server),
        "header": HEADER,
        "secret": SECRET,
    }


@pytest.fixture(scope="module")
def distribution(builder: Builder, settings: dict[str, Any]) -> dict[str, Any]:
    """State of the distribution, made in four steps."""
    made = builder.four_steps("distribution", NAME, "CreateDistributionWithTags", **settings)
    return dict(made["diff"]["after"])


@pytest.fixture(scope="module")
def cloudfront(builder: Builder) -> Any:
    return builder.aws.client("cloudfront")


def configuration(cloudfront: Any) -> tuple[str, str, dict[str, Any]]:
    (listed,) = cloudfront.list_distributions()["DistributionList"]["Items"]
    answer = cloudfront.get_distribution_config(Id=listed["Id"])
    return listed["Id"], answer["ETag"], answer["DistributionConfig"]


def test_a_secret_that_was_made_empty_gets_a_value_and_one_that_has_a_value_keeps_it(builder, value):
    client = builder.aws.client("secretsmanager")
    client.create_secret(Name="empty")
    builder.four_steps("secret_value", "empty", "PutSecretValue", kms_key="alias/aws/secretsmanager")
    assert client.get_secret_value(SecretId="empty")["SecretString"] != value


@pytest.mark.usefixtures("distribution")
def test_a_drifted_distribution_is_shown_and_mended_and_what_others_said_is_kept(builder, settings, cloudfront):
    identity, etag, config = configuration(cloudfront)
    config["ViewerCertificate"]["MinimumProtocolVersion"] = "TLSv1"
    config["Origins"]["Items"][0]["CustomHeaders"] = {"Quantity": 0, "Items": []}
    config["Comment"] = "as somebody called it"
    cloudfront.update_distribution(Id=identity, IfMatch=etag, DistributionConfig=config)

    outcome, plan, sent = builder.have("distribution", NAME, check=True, **settings)
    assert (outcome, sent) == ("planned", [])
    changed = {key for key in plan["diff"]["after"] if plan["diff"]["before"].get(key) != plan["diff"]["after"][key]}
    assert changed == {"tls", "secret_header"}
    outcome, owned, sent = builder.have("distribution", NAME, state="adopted", **settings)
    assert (owned["failed"], sent) == (True, [])
    outcome, _result, sent = builder.have("distribution", NAME, **settings)
    assert (outcome, sent) == ("ok", ["UpdateDistribution"])
    assert configuration(cloudfront)[2]["Comment"] == "as somebody called it"
    assert builder.have("distribution", NAME, **settings)[0] == "noop"


def test_the_value_of_the_header_is_in_no_result(builder, settings, distribution, cloudfront):
    value = builder.aws.client("secretsmanager").get_secret_value(SecretId=SECRET)["SecretString"]
    builder.have("distribution", NAME, **settings)
    sent = configuration(cloudfront)[2]["Origins"]["Items"][0]["CustomHeaders"]["Items"]
    assert sent == [{"HeaderName": HEADER, "HeaderValue": value}]
    assert value not in str(builder.have("distribution", NAME, check=True, **{**settings, "origin": "other.test"}))
    assert distribution["secret_header"] is True


@pytest.mark.usefixtures("distribution")
def test_somebody_elses_change_is_not_overwritten(cloudfront):
    identity, _etag, config = configuration(cloudfront)
    with pytest.raises(ClientError) as stale:
        cloudfront.update_distribution(Id=identity, IfMatch="AN_OLD_ONE", DistributionConfig=config)
    assert refusal(stale.value) == ("PreconditionFailed", 412)


@pytest.mark.usefixtures("distribution")
def test_a_certificate_that_is_not_there_is_refused(builder, settings):
    other = {**settings, "certificate": "arn:aws:acm:eu-west-1:123456789012:certificate/elsewhere"}
    outcome, result, _sent = builder.have("distribution", NAME, **other)
    assert outcome == "failed"
    assert "InvalidViewerCertificate" in result["msg"]


@pytest.fixture(scope="module")
def acl(builder: Builder, value: str) -> dict[str, Any]:
    """The web ACL with the rule, made in four steps."""
    assert value
    builder.have("web_acl", NAME, **SCOPE, rate_limit=10000, managed=["AWSManagedRulesCommonRuleSet"])
    probes = builder.four_steps("address_set", f"{NAME}-probes", "CreateIPSet", **SCOPE, addresses=[PROBES])
    rule = {**SCOPE, "header": HEADER, "secret": SECRET, "addresses_arn": probes["diff"]["after"]["arn"]}
    made = builder.four_steps("origin_rule", NAME, "UpdateWebACL", **rule)
    assert value not in str(made)
    return rule


def judge(
    builder: Builder, acl: dict[str, Any], client: str, asked: str = "GET /api/charts", **headers: str
) -> tuple[str, int]:
    """What the web ACL, as it stands, does with a request."""
    waf = builder.aws.client("wafv2")
    (found,) = waf.list_web_acls(Scope="REGIONAL")["WebACLs"]
    rules = waf.get_web_acl(Name=NAME, Scope="REGIONAL", Id=found["Id"])["WebACL"]["Rules"]
    stands = WebAcl(
        arn=found["ARN"], metric=NAME, rules=rules, default_action={"Allow": {}},
        ip_sets={acl["addresses_arn"]: [PROBES]},
    )  # fmt: skip
    method, path = asked.split()
    sent = {name.replace("_", "-"): text for name, text in headers.items()}
    verdict = stands.judge(Request(method, path, "", sent, client), Rates(1))
    return verdict.action, verdict.status


def test_only_what_came_through_the_edge_or_from_a_probe_gets_in(builder, acl, value):
    assert judge(builder, acl, "203.0.113.9", x_daily_emr_origin=value)[0] == "ALLOW"
    assert judge(builder, acl, "203.0.113.9") == ("BLOCK", 403)
    assert judge(builder, acl, "203.0.113.9", x_daily_emr_origin="guess") == ("BLOCK", 403)
    assert judge(builder, acl, PROBES.partition("/")[0])[0] == "ALLOW"


@pytest.mark.parametrize("asked", ["GET /readyz/", "GET /readyz/../login", "GET /api/readyz", "POST /readyz"])
def test_the_canary_of_the_second_region_gets_its_one_answer_and_nothing_else(builder, acl, asked):
    """It asks for the load balancer without the header, from addresses that nobody knows beforehand."""
    assert judge(builder, acl, "203.0.113.9", "GET /readyz")[0] == "ALLOW"
    assert judge(builder, acl, "203.0.113.9", asked) == ("BLOCK", 403)


def test_the_canary_asks_for_what_the_rule_lets_through():
    defaults = yaml.safe_load((ROOT / "roles/alarms/defaults/main.yml").read_text())
    path = exactly({"UriPath": {}}, defaults["alarms_canary_path"])
    assert CANARY["AndStatement"]["Statements"] == [exactly({"Method": {}}, "GET"), path]
    assert "method: 'GET'" in SCRIPT


def test_after_a_rotation_both_values_get_in_before_the_edge_sends_the_new_one(builder, acl, value, settings):
    client = builder.aws.client("secretsmanager")
    client.put_secret_value(SecretId=SECRET, SecretString="another")
    assert builder.have("origin_rule", NAME, **acl)[2] == ["UpdateWebACL"]
    for header in (value, "another"):
        assert judge(builder, acl, "203.0.113.9", x_daily_emr_origin=header)[0] == "ALLOW"
    assert builder.have("origin_rule", NAME, **acl)[0] == "noop"
    assert builder.have("distribution", NAME, **settings)[2] == ["UpdateDistribution"]


def test_a_rule_that_a_runbook_set_to_count_is_left_so(builder, acl):
    waf = builder.aws.client("wafv2")
    (found,) = waf.list_web_acls(Scope="REGIONAL")["WebACLs"]
    answer = waf.get_web_acl(Name=NAME, Scope="REGIONAL", Id=found["Id"])
    rules = [{**one, "Action": {"Count": {}}} if one["Name"] == RULE else one for one in answer["WebACL"]["Rules"]]
    waf.update_web_acl(
        Name=NAME, Scope="REGIONAL", Id=found["Id"], LockToken=answer["LockToken"], Rules=rules,
        DefaultAction={"Allow": {}}, VisibilityConfig=answer["WebACL"]["VisibilityConfig"],
    )  # fmt: skip
    assert builder.have("origin_rule", NAME, **acl)[0] == "noop"


@pytest.mark.usefixtures("acl")
def test_the_probes_that_are_let_in_follow_the_inventory(builder):
    settings = {**SCOPE, "addresses": ["196.0.2.8/32"]}
    assert builder.steps("address_set", f"{NAME}-probes", **settings)[:3] == [
        ("planned", []), ("ok", ["UpdateIPSet"]), ("noop", []),
    ]  # fmt: skip


def test_the_log_of_the_edge_is_delivered_without_what_could_name_a_patient(builder, distribution):
    name, bucket = f"{NAME}-edge", {"bucket": "audit", "prefix": "edge"}
    builder.four_steps("log_source", name, "PutDeliverySource", resource_arn=distribution["arn"])
    to = builder.four_steps("log_destination", name, "PutDeliveryDestination", **bucket)["diff"]["after"]["arn"]
    made = builder.four_steps("log_delivery", name, "CreateDelivery", destination_arn=to)
    assert not {"cs-uri-stem", "cs-uri-query", "cs(Cookie)", "cs(Referer)"} & set(made["diff"]["after"]["fields"])

    logs = builder.aws.client("logs", region="us-east-1")
    (delivery,) = logs.describe_deliveries()["deliveries"]
    logs.update_delivery_configuration(id=delivery["id"], recordFields=["cs-uri-query"])
    assert builder.steps("log_delivery", name, destination_arn=to)[:3] == [
        ("planned", []), ("ok", ["UpdateDeliveryConfiguration"]), ("noop", []),
    ]  # fmt: skip
