#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: waf_rate_rule
short_description: Let a rate-based rule of a web ACL block what it has counted
version_added: 0.1.0
description:
  - Sets a rate-based rule from count to block, so that a client that sends too much no longer reaches the application.
    Everything else in the web ACL stays as it is; the update fails when somebody else changed the web ACL in between.
  - Blocks only what was seen while the rule counted. Refuses unless it counted for O(counted_for_s), one client makes
    nearly all of what it counted, and that client sends at least O(least_share) of all requests.
  - Refuses when one of the clients comes from a network that many users share, which is one of O(shared_networks) or
    of the IP sets that the web ACL allows or the rule spares. Without any such network it refuses, because nobody can
    say that no facility would be blocked.
  - Refuses a rule that counts by something else than the address of a client, and where AWS Firewall Manager owns the
    web ACL.
  - Counts clients; addresses, paths and headers of the sampled requests are not kept.
  - Takes about a minute to reach every part of WAF.
author:
  - Daily EMR operations (@daily-emr)
options:
  rule:
    description: Name of the rule.
    type: str
    required: true
  action:
    description: What the rule does. V(count) is the way back.
    type: str
    choices: [block, count]
    default: block
  settings:
    description: What the action carries, as WAF writes it, for example C(CustomResponse). For undoing.
    type: dict
    default: {}
  shared_networks:
    description:
      - Networks that many users come from, such as those of facilities behind one address and of mobile carriers.
      - They are compared and never kept.
    type: list
    elements: str
    default: []
  counted_for_s:
    description: Seconds that the rule must have counted, at the pace of AWS.
    type: int
    default: 120
  least_share:
    description: Share of all requests that the one client must send, from 0 to 1.
    type: float
    default: 0.3
  window_s:
    description: Seconds to look back for sampled requests, at the pace of AWS.
    type: int
    default: 300
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
- name: Block the client that sends a third of all requests
  daily_emr.ops.waf_rate_rule:
    service: "{{ web_service }}"
    rule: rate-per-client
    shared_networks:
      - 192.0.2.0/24

- name: Let the rule only count again
  daily_emr.ops.waf_rate_rule:
    service: "{{ web_service }}"
    rule: rate-per-client
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
  sample: ["rate-per-client has counted for 40 s, 120 s are needed: run again later."]
prediction:
  description: What the change will lead to, for whoever has to approve it.
  returned: always
  type: list
  elements: str
  sample: ["Blocks 1 client; the first sends 1240 requests per minute, 41 % of all."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample:
    module: daily_emr.ops.waf_rate_rule
    args:
      rule: rate-per-client
      action: count
target:
  description: What the change is about.
  returned: always
  type: str
  sample: web-acl/daily-emr-staging/rate-per-client
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._balancer import read_balancer
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._health_metrics import requests_per_minute
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._waf import (
    COUNTS_BY_ADDRESS,
    NEARLY_ALL,
    acl_resources,
    action_of,
    counted_requests,
    read_acl,
    read_shared_networks,
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


class WafRateRule(WebServiceChange):
    """Whether a rate-based rule of a web ACL blocks."""

    name: ClassVar[str] = "waf_rate_rule"
    imperative: ClassVar[bool] = False
    sends: ClassVar[tuple[str, ...]] = ("wafv2:UpdateWebACL",)
    spec: ClassVar[Json] = {
        "service": SERVICE_OPTION,
        "rule": {"type": "str", "required": True},
        "action": {"type": "str", "choices": ["block", "count"], "default": "block"},
        "settings": {"type": "dict", "default": {}},
        "shared_networks": {"type": "list", "elements": "str", "default": []},
        "counted_for_s": {"type": "int", "default": 120},
        "least_share": {"type": "float", "default": 0.3},
        "window_s": {"type": "int", "default": 300},
    }

    # The whole web ACL as it was observed: an update replaces everything. Kept out of the context, and so of every
    # record, because its rules may name addresses.
    _read: Json

    @property
    def target(self) -> str:
        return f"web-acl/{self.service['web_acl']['name']}/{self.params['rule']}"

    def observe(self) -> Json:
        clients, where = self.clients, self.service["web_acl"]
        if where["scope"] != "REGIONAL":
            raise OpsError("A web ACL of CloudFront is changed in us-east-1, outside this environment: do it by hand.")
        readings = Readings()
        readings.take(web_ACL=lambda: read_acl(clients, where["name"], where["scope"]))
        self._read = readings.need("web_ACL")
        acl = self._read["acl"]
        rule = next((rule for rule in acl["Rules"] if rule["Name"] == self.params["rule"]), None)
        rate = (rule or {}).get("Statement", {}).get("RateBasedStatement")
        context: Json = {
            "rules": [rule["Name"] for rule in acl["Rules"] if "RateBasedStatement" in rule["Statement"]],
            "owned": acl.get("ManagedByFirewallManager", False),
        }
        if rule is None or rate is None:
            return {"action": None, "settings": {}, "context": {**context, "unread": {}}}
        state = action_of(rule)
        context["counts_by"] = rate["AggregateKeyType"]
        context["sampled"] = rule.get("VisibilityConfig", {}).get("SampledRequestsEnabled", False)
        evidence = Readings()
        if self.params["action"] == "block" and state["action"] == "count":
            self._ask(evidence, acl, rule)
        return {**state, "context": {**context, **evidence.context()}}

    def _ask(self, evidence: Readings, acl: Json, rule: Json) -> None:
        clients, scope = self.clients, self.service["web_acl"]["scope"]
        # Never below a minute: WAF samples in steps of its own.
        window_s = max(self.aws_seconds(self.params["window_s"]), 60.0)
        found = Readings()
        found.take(
            shared_networks=lambda: read_shared_networks(clients, acl, scope, rule, self.params["shared_networks"])
        )
        evidence.unread.update(found.unread)
        shared = found.values.get("shared_networks", [])
        evidence.values["networks"] = len(shared)
        evidence.take(
            sampled_requests=lambda: counted_requests(clients, acl, scope, rule, window_s=window_s, shared=shared),
            requests=lambda: requests_per_minute(clients, read_balancer(clients, self.service["load_balancer"])["arn"]),
        )

    def wanted(self, before: Json) -> Json:
        return {"action": self.params["action"], "settings": self.params["settings"]}

    def refusals(self, before: Json) -> list[str]:
        context, rule = before["context"], self.params["rule"]
        if before["action"] is None:
            name = self.service["web_acl"]["name"]
            return [f"{rule} is not a rate-based rule of {name}: use one of {listed(context['rules'])}."]
        reasons = []
        if context["owned"]:
            reasons.append(
                "AWS Firewall Manager owns the web ACL and would undo the change: change its policy instead."
            )
        if self.params["action"] == "count":
            return reasons
        if before["action"] != "count":
            reasons.append(
                f"{rule} is set to {before['action']}, so nothing shows what it would block: let it count first."
            )
            return reasons
        if context["counts_by"] not in COUNTS_BY_ADDRESS:
            reasons.append(
                f"{rule} counts by {context['counts_by']}, not by the address of a client: it would block everybody "
                "who is counted together, so decide by hand."
            )
        if not context["sampled"]:
            reasons.append(
                f"{rule} keeps no sampled requests, so what it counts is unknown: decide by the logs of WAF."
            )
        reasons += unread(context)
        if not context["networks"] and "shared_networks" not in context["unread"]:
            reasons.append(
                "Nobody says which networks many users share, so a facility could be blocked: give shared_networks."
            )
        if context["counts_by"] in COUNTS_BY_ADDRESS and "sampled_requests" in context:
            reasons += self._evidence_refusals(context["sampled_requests"], context.get("requests"))
        return reasons

    def _evidence_refusals(self, seen: Json, requests: float | None) -> list[str]:
        rule = self.params["rule"]
        if not seen["samples"]:
            return [f"{rule} counted nothing in the last {seen['window_s']:.0f} s, so it would block nothing."]
        reasons = []
        needed_s = self.aws_seconds(self.params["counted_for_s"])
        if seen["counted_for_s"] < needed_s:
            reasons.append(
                f"{rule} has counted for {seen['counted_for_s']:.0f} s, {needed_s:.0f} s are needed: run again later."
            )
        if seen["unreadable"]:
            reasons.append(
                f"{plural(seen['unreadable'], 'sample')} of {rule} show no client: decide by the logs of WAF."
            )
        if seen["shared"]:
            reasons.append(
                f"{plural(seen['shared'], 'sampled request')} come from networks that many users share: blocking would "
                "shut facilities out, so shed load by other means."
            )
        if seen["most"] < NEARLY_ALL * seen["samples"]:
            reasons.append(
                f"{rule} counts {plural(seen['clients'], 'client')}, and none makes nearly all of it: these may be "
                "users, so call the security lead."
            )
        if requests is not None and seen["most_per_minute"] < self.params["least_share"] * requests:
            reasons.append(
                f"The client sends {self._share(seen, requests) * 100:.0f} % of the requests, "
                f"{self.params['least_share'] * 100:.0f} % are needed: it is not what burdens the service."
            )
        return reasons

    def _share(self, seen: Json, requests: float) -> float:
        return min(seen["most_per_minute"] / requests, 1.0) if requests else 1.0

    def prediction(self, before: Json) -> list[str]:
        seen, requests = before["context"].get("sampled_requests"), before["context"].get("requests")
        if not seen or not seen["samples"] or requests is None:
            return []
        return [
            f"Blocks {plural(seen['clients'], 'client')}; the first sends {seen['most_per_minute']:.0f} requests per "
            f"minute, {self._share(seen, requests) * 100:.0f} % of all."
        ]

    def apply(self, before: Json) -> None:
        changed = with_action(self._read["acl"], self.params["rule"], self.params["action"], self.params["settings"])
        update_acl(self.clients, self._read, changed, self.service["web_acl"]["scope"])

    def resources(self, before: Json) -> list[str]:
        return acl_resources(self.clients, self._read["acl"])

    def inverse(self, before: Json) -> Json | str:
        if before["action"] not in ("block", "count"):
            return f"The rule was set to {before['action']}: set it back by daily_emr.ops.waf_rule."
        args: Json = {"rule": self.params["rule"], "action": before["action"]}
        return self.step_back(self.name, **args, **({"settings": before["settings"]} if before["settings"] else {}))


ENTRY = change_entry(WafRateRule)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
