#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: feature_flag
short_description: Turn a LaunchDarkly feature flag off, or a switch of the operators on or off
version_added: 0.1.0
description:
  - Turns a feature flag off in the environment of the service, with one semantic patch. Running tasks follow within
    seconds.
  - Refuses a flag that guards a migration or a safety control (tags C(migration), C(safety)), a flag without an off
    variation, and a flag that was neither changed within the last 24 hours nor guards O(failing_route).
  - A flag that is a switch of the operators may be turned on and off at any time. Its tag says what it does when it is
    on. C(mode) puts the application into a mode, C(shed) leaves low-priority work undone, and C(circuit:NAME) opens
    the circuit breaker of the dependency NAME.
  - Refuses where the environment wants an approval; LaunchDarkly's own preview (C(dryRun)) says so before anything
    is sent.
  - Needs the environment variable C(LAUNCHDARKLY_ACCESS_TOKEN). The sandbox has its own token.
author:
  - Daily EMR operations (@daily-emr)
options:
  flag:
    description: Key of the flag.
    type: str
    required: true
  state:
    description:
      - Whether the flag is on.
      - V(on) is for the switches of the operators, and for undoing, where the flag was changed within the last 24
        hours.
    type: str
    choices: ["off", "on"]
    default: "off"
  failing_route:
    description:
      - The route that fails, for example V(/api/charts). A flag guards it when it has the tag C(route:/api/charts).
    type: str
attributes:
  check_mode:
    description: Asks LaunchDarkly for a preview and reports every reason why the flag may not be changed.
    support: full
  diff_mode:
    description: Shows whether the flag is on before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Turn off the flag that was turned on before charts began to fail
  daily_emr.ops.feature_flag:
    service: "{{ web_service }}"
    flag: chart-timeline
    state: "off"
    failing_route: /api/charts

- name: Open the circuit breaker of a provider that fails
  daily_emr.ops.feature_flag:
    service: "{{ web_service }}"
    flag: sha-circuit
    state: "on"
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
  sample: ["LaunchDarkly wants an approval for changes in production: ask for it there."]
prediction:
  description: What the change will lead to, for whoever has to approve it.
  returned: always
  type: list
  elements: str
  sample: ["Calls to sha fail at once, without waiting, until the flag is off again; what depends on it: /api/claims."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample:
    module: daily_emr.ops.feature_flag
    args:
      flag: chart-timeline
      state: "on"
target:
  description: What the change is about.
  returned: always
  type: str
  sample: flag/daily-emr/staging/chart-timeline
"""

from datetime import UTC, datetime, timedelta
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._launchdarkly import (
    TURN_OFF,
    TURN_ON,
    LaunchDarkly,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    SERVICE_OPTION,
    Json,
    Readings,
    WebServiceChange,
    iso,
    listed,
    since,
    unread,
)

NEVER_TURNED_OFF = {"migration", "safety"}
ROUTE = "route:"
# Tags of the switches that operators are there to turn, in both directions and at any time.
MODE = "mode"
SHED = "shed"
CIRCUIT = "circuit:"
RECENT = timedelta(hours=24)


class FeatureFlag(WebServiceChange):
    """Whether a feature flag is on."""

    name: ClassVar[str] = "feature_flag"
    imperative: ClassVar[bool] = False
    spec: ClassVar[Json] = {
        "service": SERVICE_OPTION,
        "flag": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["off", "on"], "default": "off"},
        "failing_route": {"type": "str"},
    }

    @property
    def target(self) -> str:
        where = self.service["feature_flags"]
        return f"flag/{where['project']}/{where['environment']}/{self.params['flag']}"

    @property
    def _provider(self) -> LaunchDarkly:
        return LaunchDarkly(self.clients.environment, self.service["feature_flags"])

    @property
    def _instruction(self) -> Json:
        return TURN_OFF if self.params["state"] == "off" else TURN_ON

    def observe(self) -> Json:
        provider, key = self._provider, self.params["flag"]
        readings = Readings()
        readings.take(feature_flag=lambda: provider.flag(key))
        found = readings.need("feature_flag")
        if found is None or provider.environment not in found["flag"].get("environments", {}):
            return {"on": None, "context": {"unread": readings.unread}}
        here = found["flag"]["environments"][provider.environment]
        if here["on"] is not self.wanted({})["on"]:
            readings.take(approval_rule=lambda: provider.needs_approval(key, self._instruction))
        context = {
            "tags": sorted(found["flag"].get("tags", [])),
            "archived": found["flag"].get("archived", False),
            "has_off_variation": here.get("offVariation") is not None,
            "changed_at": iso(datetime.fromtimestamp(here["lastModified"] / 1000, UTC)),
            "read_at": found["read_at"],
            "needs_approval": readings.values.get("approval_rule", False),
            "unread": readings.unread,
        }
        return {"on": here["on"], "context": context}

    def wanted(self, before: Json) -> Json:
        return {"on": self.params["state"] == "on"}

    def refusals(self, before: Json) -> list[str]:
        flag, context = self.params["flag"], before["context"]
        where = self.service["feature_flags"]
        reasons = unread(context)
        if before["on"] is None:
            return [
                *reasons,
                f"There is no flag {flag} in {where['project']}, environment {where['environment']}: check its key.",
            ]
        if context["archived"]:
            reasons.append(f"{flag} is archived, so no task asks for it: look for another cause.")
        if context["needs_approval"]:
            reasons.append(f"LaunchDarkly wants an approval for changes in {where['environment']}: ask for it there.")
        protected = NEVER_TURNED_OFF.intersection(context["tags"])
        may_turn = is_switch(context["tags"]) and not protected
        recent = since(context["changed_at"], context["read_at"]) <= RECENT
        if self.params["state"] == "on":
            return reasons + (
                [] if recent or may_turn else [f"{flag} was not changed within 24 hours, so there is nothing to undo."]
            )
        if protected:
            reasons.append(f"{flag} is tagged {listed(protected)} and must not be turned off: ask its owner.")
        if not context["has_off_variation"]:
            reasons.append(f"{flag} has no off variation, so what users would get is unknown: give it one first.")
        if not recent and not may_turn and not self._guards_the_failing_route(context["tags"]):
            reasons.append(
                f"{flag} was not changed within 24 hours (last {context['changed_at']}) and does not guard a route "
                "that fails: look for another cause, or name the failing route."
            )
        return reasons

    def _guards_the_failing_route(self, tags: list[str]) -> bool:
        failing = self.params["failing_route"]
        routes = [tag.removeprefix(ROUTE).rstrip("/") for tag in tags if tag.startswith(ROUTE)]
        return bool(failing) and any(failing == route or failing.startswith(f"{route}/") for route in routes)

    def prediction(self, before: Json) -> list[str]:
        tags = before["context"].get("tags", [])
        routes = [tag.removeprefix(ROUTE) for tag in tags if tag.startswith(ROUTE)]
        leans = f"; what depends on it: {listed(routes)}" if routes else ""
        turned_on = self.params["state"] == "on"
        effect = "fail at once, without waiting, until the flag is off again" if turned_on else "are made again"
        sentences = [
            f"Calls to {tag.removeprefix(CIRCUIT)} {effect}{leans}." for tag in tags if tag.startswith(CIRCUIT)
        ]
        if SHED in tags:
            words = "stays undone until the flag is off again" if turned_on else "is done again"
            sentences.append(f"Low-priority work {words}{f': {listed(routes)}' if routes else ''}.")
        return sentences

    def apply(self, before: Json) -> None:
        incident = (self.params.get("incident") or {}).get("id", "")
        self.clients.declare("launchdarkly", "PatchFeatureFlag")
        self._provider.change(self.params["flag"], self._instruction, f"{incident} {self.name}".strip())

    def inverse(self, before: Json) -> Json | str:
        if before["on"] is None:
            return "There is no such flag, so there is nothing to undo."
        return self.step_back(self.name, flag=self.params["flag"], state="on" if before["on"] else "off")


def is_switch(tags: list[str]) -> bool:
    """Whether the flag is there for operators, not for a feature."""
    return any(tag in (MODE, SHED) or tag.startswith(CIRCUIT) for tag in tags)


ENTRY = change_entry(FeatureFlag)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
