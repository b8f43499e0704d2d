# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: how the rules of a load balancer divide the traffic. May change without notice.

"""The rules that divide traffic between target groups by weight, and the same rules with other weights."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

_GROUPS_PAGE = 20  # the most target groups DescribeTargetGroups is asked for at once


def read_forwards(clients: Clients, load_balancer: str) -> list[Json]:
    """Every rule and default action that forwards: ARN, port, priority, actions, and weights by target group name."""
    elbv2 = clients.read("elbv2")
    arn = elbv2.describe_load_balancers(Names=[load_balancer])["LoadBalancers"][0]["LoadBalancerArn"]
    found: list[Json] = []
    for page in elbv2.get_paginator("describe_listeners").paginate(LoadBalancerArn=arn):
        for listener in page["Listeners"]:
            rules = elbv2.get_paginator("describe_rules").paginate(ListenerArn=listener["ListenerArn"])
            found += [_forward(rule, listener) for one in rules for rule in one["Rules"]]
    forwards = [item for item in found if item["weights"]]
    names = _names(clients, sorted({group for item in forwards for group in item["weights"]}))
    for item in forwards:
        item["groups"] = {names[group]: group for group in item["weights"]}
        item["weights"] = {names[group]: weight for group, weight in item["weights"].items()}
    return forwards


def _forward(rule: Json, listener: Json) -> Json:
    """The default rule of a listener has no ARN that ModifyRule takes: its actions belong to the listener."""
    default = rule.get("IsDefault", False)
    actions = listener["DefaultActions"] if default else rule["Actions"]
    return {
        "arn": listener["ListenerArn"] if default else rule["RuleArn"],
        "default": default,
        "port": listener.get("Port"),
        "priority": rule.get("Priority", "default"),
        "actions": actions,
        "weights": _weights(actions),
    }


def _weights(actions: list[Json]) -> dict[str, int]:
    for action in actions:
        tuples = action.get("ForwardConfig", {}).get("TargetGroups", [])
        if tuples:
            return {item["TargetGroupArn"]: int(item.get("Weight", 1)) for item in tuples}
        if action.get("TargetGroupArn"):
            return {action["TargetGroupArn"]: 1}
    return {}


def _names(clients: Clients, arns: list[str]) -> dict[str, str]:
    elbv2 = clients.read("elbv2")
    pages = [
        elbv2.describe_target_groups(TargetGroupArns=arns[start : start + _GROUPS_PAGE])["TargetGroups"]
        for start in range(0, len(arns), _GROUPS_PAGE)
    ]
    return {group["TargetGroupArn"]: group["TargetGroupName"] for page in pages for group in page}


def with_weights(forward: Json, weights: Mapping[str, int]) -> list[Json]:
    """The actions of a rule with other weights, as ModifyListener and ModifyRule take them; all else stays."""
    actions: list[Json] = copy.deepcopy(forward["actions"])
    arns = {group: weights[name] for name, group in forward["groups"].items()}
    for action in actions:
        for item in action.get("ForwardConfig", {}).get("TargetGroups", []):
            item["Weight"] = arns[item["TargetGroupArn"]]
        if action["Type"] == "forward" and "ForwardConfig" in action:
            action.pop("TargetGroupArn", None)
        if "AuthenticateOidcConfig" in action:
            # The secret is never shown, and is lost unless it is said to stay.
            action["AuthenticateOidcConfig"]["UseExistingClientSecret"] = True
            action["AuthenticateOidcConfig"].pop("ClientSecret", None)
    return actions
