# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What amazon.aws cannot set on a load balancer."""

from __future__ import annotations

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import State
from ansible_collections.daily_emr.ops.plugins.module_utils._resources import Json, Resource, absent

ZONAL_SHIFT = "zonal_shift.config.enabled"
"""Off unless somebody turns it on; without it ARC does not know the load balancer."""


class BalancerZonalShift(Resource):
    """Whether traffic of a load balancer can be moved out of a zone."""

    name: ClassVar[str] = "balancer_zonal_shift"

    def read(self) -> Json | None:
        reader = self.clients.read("elbv2")
        found = absent(lambda: reader.describe_load_balancers(Names=[self.called]), "LoadBalancerNotFound")
        if not found:
            return None
        arn = found["LoadBalancers"][0]["LoadBalancerArn"]
        attributes = reader.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
        values = {one["Key"]: one["Value"] for one in attributes}
        return {"enabled": values.get(ZONAL_SHIFT) == "true", "context": {"arn": arn}}

    def desired(self) -> Json:
        return {"enabled": True}

    def refusals(self, before: State) -> list[str]:
        return [] if before["present"] else [f"There is no load balancer {self.called}: make it first."]

    def apply(self, before: State) -> None:
        self.clients.write("elbv2", "ModifyLoadBalancerAttributes").modify_load_balancer_attributes(
            LoadBalancerArn=before["context"]["arn"], Attributes=[{"Key": ZONAL_SHIFT, "Value": "true"}]
        )


class ListenerRule(Resource):
    """The rule of a listener that forwards everything to two target groups. How it divides is ECS's to say."""

    name: ClassVar[str] = "listener_rule"
    arn: str | None = None
    spec: ClassVar[Json] = {
        "balancer": {"type": "str", "required": True},
        "port": {"type": "int", "required": True},
        "target_groups": {"type": "list", "elements": "str", "required": True},
    }
    PRIORITY: ClassVar[str] = "1"
    EVERYTHING: ClassVar[list[Json]] = [{"Field": "path-pattern", "Values": ["/*"]}]

    def read(self) -> Json | None:
        reader = self.clients.read("elbv2")
        listeners = reader.describe_listeners(LoadBalancerArn=self.settings["balancer"])["Listeners"]
        ours = [one["ListenerArn"] for one in listeners if one["Port"] == self.settings["port"]]
        if not ours:
            return {"paths": [], "target_groups": [], "context": {"listener": None, "rule": None, "weights": {}}}
        pages = reader.get_paginator("describe_rules").paginate(ListenerArn=ours[0])
        rules = [rule for page in pages for rule in page["Rules"] if rule["Priority"] == self.PRIORITY]
        forwards = [one for rule in rules for one in rule["Actions"] if one["Type"] == "forward"]
        groups = [one for forward in forwards for one in forward.get("ForwardConfig", {}).get("TargetGroups", [])]
        self.arn = rules[0]["RuleArn"] if rules else None
        weights = {one["TargetGroupArn"]: one.get("Weight", 1) for one in groups}
        return {
            "paths": [_pattern(one) for rule in rules for one in rule["Conditions"]],
            "target_groups": sorted(one["TargetGroupArn"] for one in groups),
            "context": {"listener": ours[0], "rule": self.arn, "weights": weights},
        }

    def desired(self) -> Json:
        return {
            "paths": [_pattern(one) for one in self.EVERYTHING],
            "target_groups": sorted(self.settings["target_groups"]),
        }

    def refusals(self, before: State) -> list[str]:
        if before["context"]["listener"] is None:
            return [f"{self.settings['balancer']} has no listener at port {self.settings['port']}: make it first."]
        groups = before["context"]["weights"].keys()
        # A rule of ours may have lost a group; one that leads elsewhere, or nowhere, is somebody else's.
        if before["context"]["rule"] and not (groups and groups <= set(self.settings["target_groups"])):
            where = f"at port {self.settings['port']} of {self.settings['balancer']}"
            return [
                f"The rule with priority {self.PRIORITY} {where} does not forward to the target groups of the "
                "service: move it to another priority, then run again."
            ]
        return []

    def apply(self, before: State) -> None:
        wanted: list[str] = self.settings["target_groups"]
        standing = {arn: before["context"]["weights"].get(arn, 0) for arn in wanted}
        # After an odd number of releases the other group has the tasks, so what carries traffic goes on to do so.
        weights = standing if any(standing.values()) else {arn: int(arn == wanted[0]) for arn in wanted}
        groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in weights.items()]
        actions = [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]
        if before["context"]["rule"]:
            client = self.clients.write("elbv2", "ModifyRule")
            client.modify_rule(RuleArn=before["context"]["rule"], Conditions=self.EVERYTHING, Actions=actions)
            return
        self.clients.write("elbv2", "CreateRule").create_rule(
            ListenerArn=before["context"]["listener"],
            Priority=int(self.PRIORITY),
            Conditions=self.EVERYTHING,
            Actions=actions,
        )

    def remarks(self) -> State:
        """The ARN, which the service wants to know; None where it is not made yet."""
        return {"arn": self.arn}


def _pattern(condition: Json) -> Json:
    """What a condition looks at; AWS says the same values in two places."""
    values: list[str] = condition.get("PathPatternConfig", condition).get("Values", [])
    return {"field": condition["Field"], "values": sorted(values)}


BALANCER_KINDS: dict[str, type[Resource]] = {kind.name: kind for kind in (BalancerZonalShift, ListenerRule)}
