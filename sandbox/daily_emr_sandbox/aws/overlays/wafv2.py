"""WAFv2: sampled requests from the real balancer, and an update that replaces the whole web ACL, checked first."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from moto.core.responses import ActionResult
from moto.wafv2.models import FakeRule, WAFV2Backend
from moto.wafv2.responses import WAFV2Response

from ..errors import AwsError

MOST_SAMPLES = 500
SAMPLES_KEPT = dt.timedelta(hours=3)
RULE_ACTIONS = {"Allow", "Block", "Count", "Captcha", "Challenge"}
OVERRIDES = {"None", "Count"}
GROUP_STATEMENTS = {"ManagedRuleGroupStatement", "RuleGroupReferenceStatement"}
SMALLEST_RATE, LARGEST_RATE = 10, 2_000_000_000

_update, _create = WAFV2Backend.update_web_acl, WAFV2Response.create_web_acl
_describe_rule = FakeRule.to_dict


def to_dict(self: Any) -> dict[str, Any]:
    """A rule as it was given: AWS does not answer members that are not set."""
    return {key: value for key, value in _describe_rule(self).items() if value is not None}


def update_web_acl(
    self: Any, name: str, _id: str, default_action: Any, rules: Any, description: Any, visibility_config: Any,
    lock_token: str, *optional: Any,
) -> str:  # fmt: skip
    """UpdateWebACL replaces: what it does not name is gone afterwards (moto would keep it)."""
    check_rules(rules or [])
    acl = self.get_web_acl(None, name, _id)
    token: str = _update(self, name, _id, default_action, rules, description, visibility_config, lock_token, *optional)
    acl.rules = acl.rules if rules else []
    acl.description = description or ""
    members = ("custom_response_bodies", "captcha_config", "challenge_config", "token_domains", "association_config")
    for member, value in zip(members, optional, strict=True):
        setattr(acl, member, value)
    return token


def create_web_acl(self: Any) -> Any:
    check_rules(json.loads(self.body).get("Rules") or [])
    return _create(self)


def check_rules(rules: list[dict[str, Any]]) -> None:
    """Refuse rules that AWS refuses.

    Raises:
        AwsError: WAFInvalidParameterException.
    """
    for key in ("Name", "Priority"):
        if len({rule[key] for rule in rules}) < len(rules):
            raise _invalid(f"Two rules have the same {key.lower()}.", "RULE", key)
    for rule in rules:
        (kind,) = [kind for kind, value in rule["Statement"].items() if value is not None] or [""]
        _check_action(rule, kind)
        if kind == "RateBasedStatement" and not SMALLEST_RATE <= rule["Statement"][kind]["Limit"] <= LARGEST_RATE:
            raise _invalid(f"The limit of rule {rule['Name']} is out of range.", "RATE_BASED_STATEMENT", "Limit")


def _check_action(rule: dict[str, Any], kind: str) -> None:
    name = rule["Name"]
    action, override = list(rule.get("Action") or {}), list(rule.get("OverrideAction") or {})
    if kind in GROUP_STATEMENTS:
        if action or len(override) != 1 or override[0] not in OVERRIDES:
            message = f"Rule {name} uses a rule group: it takes an override action, None or Count."
            raise _invalid(message, "RULE_ACTION", name)
    elif override or len(action) != 1 or action[0] not in RULE_ACTIONS:
        raise _invalid(f"Rule {name} takes exactly one action and no override action.", "RULE_ACTION", name)


def install(aws: Any) -> None:
    def get_sampled_requests(self: Any) -> ActionResult:
        asked = json.loads(self.body)
        limit = int(asked["MaxItems"])
        if not 1 <= limit <= MOST_SAMPLES:
            raise _invalid(f"MaxItems must be between 1 and {MOST_SAMPLES}.", "MAX_ITEMS", str(limit))
        if asked["Scope"] == "CLOUDFRONT":
            self.region = "global"
        acl = next((acl for acl in self.wafv2_backend.wacls.values() if acl.arn == asked["WebAclArn"]), None)
        if acl is None or asked["RuleMetricName"] not in _metrics(acl):
            raise AwsError(
                "WAFNonexistentItemException",
                "AWS WAF couldn't perform the operation because your resource doesn't exist.",
                400,
            )
        now = dt.datetime.now(dt.UTC)
        start, end = (_moment(asked["TimeWindow"][key]) for key in ("StartTime", "EndTime"))
        start = max(start, now - SAMPLES_KEPT)
        if start > end:
            raise _invalid("The time window ends before it starts.", "TIME_WINDOW", "EndTime")
        found = aws.sampled_requests(acl.arn, asked["RuleMetricName"], start, end)
        window = {"StartTime": start, "EndTime": end}
        return ActionResult({"SampledRequests": found[-limit:], "PopulationSize": len(found), "TimeWindow": window})

    def list_resources_for_web_acl(self: Any) -> ActionResult:
        asked = json.loads(self.body)
        acl = next((acl for acl in self.wafv2_backend.wacls.values() if acl.arn == asked["WebACLArn"]), None)
        if acl is None:
            raise AwsError("WAFNonexistentItemException", "AWS WAF couldn't find the web ACL.", 400)
        kind = ":loadbalancer/app/" if asked.get("ResourceType") != "API_GATEWAY" else ":/restapis/"
        return ActionResult({"ResourceArns": [arn for arn in acl.associated_resources if kind in arn]})

    FakeRule.to_dict = to_dict
    WAFV2Backend.update_web_acl = update_web_acl
    WAFV2Response.create_web_acl = create_web_acl
    WAFV2Response.get_sampled_requests = get_sampled_requests
    WAFV2Response.list_resources_for_web_acl = list_resources_for_web_acl


def _metrics(acl: Any) -> set[str]:
    """Metric names that samples can be asked for: the rules', and those for the whole."""
    return {"ALL", "Default_Action", *(rule.visibility_config["MetricName"] for rule in acl.rules)}


def _moment(value: Any) -> dt.datetime:
    return dt.datetime.fromtimestamp(float(value), dt.UTC)


def _invalid(message: str, field: str, parameter: str) -> AwsError:
    # Field and Parameter as in AWS's WAFInvalidParameterException.
    return AwsError("WAFInvalidParameterException", message, 400, Field=field, Parameter=parameter, Reason=message)
