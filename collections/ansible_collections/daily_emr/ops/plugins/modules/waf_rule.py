#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: waf_rule
short_description: Choose what one rule of a web ACL does with the requests it matches
version_added: 0.1.0
description:
  - Sets one rule to count, so that it no longer blocks users. Everything else in the web ACL stays as it is; the
    update fails when somebody else changed the web ACL in between.
  - Refuses without evidence that the rule blocks requests to the application's own routes, while an attack is
    suspected, and where AWS Firewall Manager owns the web ACL.
  - An attack is suspected when the rule matches more than O(attack_requests_per_minute), or when more than a fifth of
    the requests it blocks ask for routes the application does not have, as scanners do.
  - Counts requests by route; addresses, query strings and headers of the sampled requests are not kept.
  - Takes about a minute to reach every part of WAF.
author:
  - Daily EMR operations (@daily-emr)
options:
  rule:
    description: Name of the rule.
    type: str
    required: true
  action:
    description:
      - What the rule does. V(none) lifts the override of a rule group, whose own rules then decide.
      - The others than V(count) are for undoing.
    type: str
    choices: [count, block, allow, captcha, challenge, none]
    default: count
  settings:
    description: What the action carries, as WAF writes it, for example C(CustomResponse). For undoing.
    type: dict
    default: {}
  routes:
    description: Beginnings of the paths the application has.
    type: list
    elements: str
    default: [/api/, /login, /livez, /readyz, /version]
  minimum_samples:
    description: Sampled requests to the application's routes that the rule must have blocked.
    type: int
    default: 3
  attack_requests_per_minute:
    description: Requests per minute matched by the rule from which on an attack is suspected.
    type: int
    default: 6000
  window_s:
    description: Seconds to look back for sampled requests, at the pace of AWS.
    type: int
    default: 900
attributes:
  check_mode:
    description: Reports the action the rule would get, and every reason why it may not.
    support: full
  diff_mode:
    description: Shows the action of this one rule before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Let the rule that blocks users only count
  daily_emr.ops.waf_rule:
    service: "{{ web_service }}"
    rule: block-large-bodies
    action: count
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
  sample: ["block-bots is not a rule of daily-emr-staging: use one of block-large-bodies, common-rules."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample:
    module: daily_emr.ops.waf_rule
    args:
      rule: block-large-bodies
      action: block
target:
  description: What the change is about.
  returned: always
  type: str
  sample: web-acl/daily-emr-staging/block-large-bodies
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._waf import (
    acl_resources,
    action_of,
    blocked_requests,
    read_acl,
    update_acl,
    with_action,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    SERVICE_OPTION,
    Json,
    Readings,
    WebServiceChange,
    listed,
    plural,
    unread,
)

SCANNER_SHARE = 0.2


class WafRule(WebServiceChange):
    """What one rule of a web ACL does."""

    name: ClassVar[str] = "waf_rule"
    imperative: ClassVar[bool] = False
    sends: ClassVar[tuple[str, ...]] = ("wafv2:UpdateWebACL",)
    spec: ClassVar[Json] = {
        "service": SERVICE_OPTION,
        "rule": {"type": "str", "required": True},
        "action": {
            "type": "str",
            "choices": ["count", "block", "allow", "captcha", "challenge", "none"],
            "default": "count",
        },
        "settings": {"type": "dict", "default": {}},
        "routes": {
            "type": "list",
            "elements": "str",
            "default": ["/api/", "/login", "/livez", "/readyz", "/version"],
        },
        "minimum_samples": {"type": "int", "default": 3},
        "attack_requests_per_minute": {"type": "int", "default": 6000},
        "window_s": {"type": "int", "default": 900},
    }

    # The whole web ACL as it was observed: an update replaces everything. Kept out of the context, and so of every
    # record, because its rules may name addresses.
    _read: Json

    @property
    def target(self) -> str:
        return f"web-acl/{self.service['web_acl']['name']}/{self.params['rule']}"

    def observe(self) -> Json:
        clients, wanted = self.clients, self.service["web_acl"]
        if wanted["scope"] != "REGIONAL":
            raise OpsError("A web ACL of CloudFront is changed in us-east-1, outside this environment: do it by hand.")
        readings = Readings()
        readings.take(web_ACL=lambda: read_acl(clients, wanted["name"], wanted["scope"]))
        self._read = readings.need("web_ACL")
        acl = self._read["acl"]
        context: Json = {
            "rules": [rule["Name"] for rule in acl["Rules"]],
            "owned": acl.get("ManagedByFirewallManager", False),
        }
        rule = next((rule for rule in acl["Rules"] if rule["Name"] == self.params["rule"]), None)
        if rule is None:
            return {"action": None, "settings": {}, "context": {**context, "unread": {}}}
        state = action_of(rule)
        # Never below a minute: WAF samples in steps of its own.
        window_s = max(self.aws_seconds(self.params["window_s"]), 60.0)
        evidence = Readings()
        if self.params["action"] == "count" and state["action"] != "count":
            evidence.take(
                sampled_requests=lambda: blocked_requests(
                    clients, acl, wanted["scope"], rule, window_s=window_s, routes=self.params["routes"]
                )
            )
        context["sampled"] = rule.get("VisibilityConfig", {}).get("SampledRequestsEnabled", False)
        context["group"] = "OverrideAction" in rule
        return {**state, "context": {**context, **evidence.context()}}

    def wanted(self, before: Json) -> Json:
        return {"action": self.params["action"], "settings": self.params["settings"]}

    def refusals(self, before: Json) -> list[str]:
        context, rule, action = before["context"], self.params["rule"], self.params["action"]
        if before["action"] is None:
            name = self.service["web_acl"]["name"]
            return [f"{rule} is not a rule of {name}: use one of {listed(context['rules'])}."]
        reasons = []
        if context["owned"]:
            reasons.append(
                "AWS Firewall Manager owns the web ACL and would undo the change: change its policy instead."
            )
        if action not in (
            ("count", "none") if context["group"] else ("count", "block", "allow", "captcha", "challenge")
        ):
            kind = "a rule group, which can only be set to count or none" if context["group"] else "not a rule group"
            reasons.append(f"{rule} is {kind}: choose another action.")
        if action != "count":
            return reasons
        if before["action"] == "allow":
            reasons.append(f"{rule} allows requests, so counting would block more of them: look for another rule.")
        if not context["sampled"]:
            reasons.append(
                f"{rule} keeps no sampled requests, so what it blocks is unknown: decide by the logs of WAF."
            )
        reasons += unread(context)
        if "sampled_requests" in context:
            reasons += self._evidence_refusals(context["sampled_requests"])
        return reasons

    def _evidence_refusals(self, seen: Json) -> list[str]:
        rule = self.params["rule"]
        reasons = []
        blocked = sum(seen["routes"].values())
        if blocked < self.params["minimum_samples"]:
            reasons.append(
                f"{rule} blocked {plural(blocked, 'sampled request')} to the application's routes in the last "
                f"{seen['window_s']:.0f} s, {self.params['minimum_samples']} are needed: nothing shows users are hit."
            )
        if seen["per_minute"] > self.params["attack_requests_per_minute"]:
            reasons.append(
                f"An attack is suspected: {rule} matches {seen['per_minute']:.0f} requests per minute from at least "
                f"{plural(seen['clients'], 'client')}: keep it, and call the security lead."
            )
        elif seen["elsewhere"] > SCANNER_SHARE * max(seen["samples"], 1):
            reasons.append(
                f"An attack is suspected: {seen['elsewhere']} of {plural(seen['samples'], 'blocked request')} ask for "
                "routes the application does not have, as scanners do: keep the rule, and call the security lead."
            )
        return reasons

    def apply(self, before: Json) -> None:
        changed = with_action(self._read["acl"], self.params["rule"], self.params["action"], self.params["settings"])
        update_acl(self.clients, self._read, changed, self.service["web_acl"]["scope"])

    def resources(self, before: Json) -> list[str]:
        return acl_resources(self.clients, self._read["acl"])

    def inverse(self, before: Json) -> Json | str:
        if before["action"] is None:
            return "There is no such rule, so there is nothing to undo."
        args: Json = {"rule": self.params["rule"], "action": before["action"]}
        return self.step_back(self.name, **args, **({"settings": before["settings"]} if before["settings"] else {}))

    def done(self, before: Json, after: Json) -> bool:
        """The rule has the action, and no other rule was touched."""
        wanted = self.wanted(before)
        return bool(after["action"] == wanted["action"] and after["context"]["rules"] == before["context"]["rules"])

    def traces(self, before: Json) -> Json:
        return {"rules": before["context"]["rules"]}


ENTRY = change_entry(WafRule)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
