#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: listener_weights
short_description: Abort a canary, by giving all traffic to the baseline target group
version_added: 0.1.0
description:
  - Gives the whole weight of a rule of the load balancer that divides traffic between target groups to O(baseline),
    in one call. Everything else in the rule, such as stickiness or authentication, stays as it is.
  - Nothing is changed when the other target groups have no weight already, or when nothing divides the traffic.
  - Refuses when the baseline has no healthy target, when the canary is not the bad one by O(bad_share), when more than
    one rule divides the traffic and none is named, and while a deployment of ECS owns the weights. For that one
    there is M(daily_emr.ops.ecs_service_deployment).
  - New requests follow at once; requests that are on their way end where they began.
author:
  - Daily EMR operations (@daily-emr)
options:
  baseline:
    description: Name of the target group of the release that is known to work. The default is that of O(service).
    type: str
  bad_share:
    description:
      - Share of the bad requests that the canary makes, from 0 to 1, as M(daily_emr.ops.error_attribution) measured
        it.
      - Required, except with O(weights).
    type: float
  weights:
    description: Weight of each target group of the rule, by name. For undoing.
    type: dict
  rule:
    description:
      - ARN of the rule, or of the listener for its default action. Required only where more than one divides the
        traffic.
    type: str
attributes:
  check_mode:
    description: Reports the weights that would be set, and every reason why they may not.
    support: full
  diff_mode:
    description: Shows the weight of each target group before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Abort the canary
  daily_emr.ops.listener_weights:
    service: "{{ web_service }}"
    bad_share: "{{ error_spike_health.subjects.bad_share }}"

- name: Give the canary its weight back
  daily_emr.ops.listener_weights:
    service: "{{ web_service }}"
    weights:
      daily-emr-staging-web: 90
      daily-emr-staging-web-canary: 10
"""

RETURN = r"""
outcome:
  description: How the change ended, one of V(ok), V(noop), V(refused), V(failed), V(unknown).
  returned: always
  type: str
  sample: ok
refusals:
  description: Why the change was refused, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: ["daily-emr-staging-web has no healthy target: it could not take the traffic, roll the release back instead."]
prediction:
  description: What the change will lead to, for whoever has to approve it.
  returned: always
  type: list
  elements: str
  sample: ["Removes 97 % of the bad requests.", "2 healthy targets of daily-emr-staging-web take all the traffic."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample:
    module: daily_emr.ops.listener_weights
    args:
      weights:
        daily-emr-staging-web: 90
        daily-emr-staging-web-canary: 10
target:
  description: What the change is about.
  returned: always
  type: str
  sample: load-balancer/daily-emr-staging/weights
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._attribution import TIMES_WORSE
from ansible_collections.daily_emr.ops.plugins.module_utils._balancer import read_targets
from ansible_collections.daily_emr.ops.plugins.module_utils._listeners import read_forwards, with_weights
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import (
    ECS_SETS_WEIGHTS,
    ENOUGH_OF_THE_BAD,
    in_progress,
    read_history,
    read_service,
    removes,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    SERVICE_OPTION,
    Json,
    Readings,
    WebServiceChange,
    listed,
    plural,
    target_groups,
    unread,
)

HEAVIEST = 999  # of a target group, by AWS


class ListenerWeights(WebServiceChange):
    """How a rule of a load balancer divides the traffic."""

    name: ClassVar[str] = "listener_weights"
    imperative: ClassVar[bool] = False
    sends: ClassVar[tuple[str, ...]] = ("elbv2:ModifyListener", "elbv2:ModifyRule")
    spec: ClassVar[Json] = {
        "service": SERVICE_OPTION,
        "baseline": {"type": "str"},
        "bad_share": {"type": "float"},
        "weights": {"type": "dict"},
        "rule": {"type": "str"},
    }

    @property
    def target(self) -> str:
        return f"load-balancer/{self.service['load_balancer']}/weights"

    @property
    def _baseline(self) -> str:
        return str(self.params["baseline"] or self.service["target_group"])

    def _ours(self, group: str) -> bool:
        return group in target_groups(self.service)

    def observe(self) -> Json:
        clients, service = self.clients, self.service
        readings = Readings()
        readings.take(
            load_balancer_rules=lambda: read_forwards(clients, service["load_balancer"]),
            baseline_targets=lambda: read_targets(clients, [self._baseline]),
            service=lambda: read_service(clients, service["cluster"], service["service"]),
            history=lambda: read_history(clients, service["cluster"], service["service"]),
        )
        forwards = readings.need("load_balancer_rules")
        candidates = self._candidates(forwards)
        chosen = candidates[0] if len(candidates) == 1 else None
        return {
            "weights": chosen["weights"] if chosen else {},
            "context": {**readings.context(), "candidates": candidates, "chosen": chosen},
        }

    def _candidates(self, forwards: list[Json]) -> list[Json]:
        """The rules that may be meant: the one that is named, else those that divide, else one with the baseline."""
        mine = [item for item in forwards if self._baseline in item["weights"]]
        if self.params["rule"]:
            return [item for item in mine if item["arn"] == self.params["rule"]]
        return [item for item in mine if len(item["weights"]) > 1] or mine[:1]

    def wanted(self, before: Json) -> Json:
        weights = before["weights"]
        if self.params["weights"] is not None:
            return {"weights": {name: _whole(weight) for name, weight in self.params["weights"].items()}}
        carrying = [name for name, weight in weights.items() if weight]
        # After each second release with a canary of ECS the alternate group has it all, and that is no canary.
        if carrying == [self._baseline] or (
            len(carrying) == 1 and not self.params["baseline"] and self._ours(carrying[0])
        ):
            return {"weights": dict(weights)}
        whole = min(sum(weights.values()), HEAVIEST) or 1
        return {"weights": {**dict.fromkeys(weights, 0), self._baseline: whole}}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        reasons = unread(context)
        if context["chosen"] is None:
            return reasons + self._no_rule(context["candidates"])
        if self.params["weights"] is None:
            reasons += self._not_the_bad_one(before["weights"])
        else:
            reasons += self._not_weights(before["weights"])
        gets_traffic = {name for name, weight in self.wanted(before)["weights"].items() if weight}
        if self._baseline in gets_traffic and "baseline_targets" in context and not self._healthy(context):
            reasons.append(
                f"{self._baseline} has no healthy target: it could not take the traffic, roll the release back instead."
            )
        strategy = context.get("service", {}).get("strategy")
        if strategy in ECS_SETS_WEIGHTS and in_progress(context.get("history", [])):
            reasons.append(f"ECS sets the weights while its {strategy} deployment runs: stop the deployment instead.")
        return reasons

    def _no_rule(self, candidates: list[Json]) -> list[str]:
        if not candidates:
            where = f"{self.params['rule']} does not forward" if self.params["rule"] else "No rule forwards"
            return [f"{where} to {self._baseline}: check the name of the baseline and the rule."]
        places = listed(f"{item['arn']} (port {item['port']}, priority {item['priority']})" for item in candidates)
        return [f"{plural(len(candidates), 'rule')} divide the traffic of {self._baseline}: name one, of {places}."]

    def _not_the_bad_one(self, weights: dict[str, int]) -> list[str]:
        share = self.params["bad_share"]
        if share is None:
            return ["Nobody says how many of the bad requests the canary makes: measure it, and give bad_share."]
        if share < ENOUGH_OF_THE_BAD:
            return [
                f"The canary makes {share * 100:.0f} % of the bad requests, 80 % are needed: the baseline is bad as "
                "well, so look for another cause."
            ]
        everything = sum(weights.values()) or 1
        canary = (everything - weights.get(self._baseline, 0)) / everything
        if canary == 1:
            return [
                f"{self._baseline} gets no traffic, so nothing shows that it is any better: roll the release back "
                "instead."
            ]
        # The same comparison as in the attribution, of a share of the errors with a share of the traffic.
        if share * (1 - canary) <= TIMES_WORSE * canary * (1 - share):
            return [
                f"The canary has {canary * 100:.0f} % of the traffic and makes {share * 100:.0f} % of the bad "
                "requests: it is not clearly worse than the baseline, so look for another cause."
            ]
        return []

    def _not_weights(self, weights: dict[str, int]) -> list[str]:
        wanted: Json = self.wanted({"weights": weights})["weights"]
        if set(wanted) != set(weights):
            return [f"The rule divides between {listed(weights)}, not between {listed(wanted)}: give each a weight."]
        if any(weight is None or not 0 <= weight <= HEAVIEST for weight in wanted.values()) or not any(wanted.values()):
            return [f"A weight is a whole number from 0 to {HEAVIEST}, and one is above 0: correct the weights."]
        return []

    def _healthy(self, context: Json) -> int:
        return sum(target["state"] == "healthy" for target in context["baseline_targets"])

    def prediction(self, before: Json) -> list[str]:
        if self.params["weights"] is not None or "baseline_targets" not in before["context"]:
            return []
        healthy = plural(self._healthy(before["context"]), "healthy target")
        return [*removes(self.params["bad_share"]), f"{healthy} of {self._baseline} take all the traffic."]

    def apply(self, before: Json) -> None:
        chosen = before["context"]["chosen"]
        actions = with_weights(chosen, self.wanted(before)["weights"])
        if chosen["default"]:
            self.clients.write("elbv2", "ModifyListener").modify_listener(
                ListenerArn=chosen["arn"], DefaultActions=actions
            )
        else:
            self.clients.write("elbv2", "ModifyRule").modify_rule(RuleArn=chosen["arn"], Actions=actions)

    def aws_call(self, before: Json) -> str:
        return self.sends[not before["context"]["chosen"]["default"]]

    def resources(self, before: Json) -> list[str]:
        return [before["context"]["chosen"]["arn"]]

    def inverse(self, before: Json) -> Json | str:
        if not before["weights"]:
            return "Nothing divides the traffic, so there is nothing to undo."
        baseline = {"baseline": self.params["baseline"]} if self.params["baseline"] else {}
        arn = before["context"]["chosen"]["arn"]
        return self.step_back(self.name, weights=before["weights"], rule=arn, **baseline)


def _whole(weight: object) -> int | None:
    text = str(weight)
    return int(text) if text.isdecimal() and text.isascii() else None


ENTRY = change_entry(ListenerWeights)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
