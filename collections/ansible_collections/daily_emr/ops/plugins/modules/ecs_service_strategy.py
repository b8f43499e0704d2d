#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: ecs_service_strategy
short_description: Give an ECS service back the deployment strategy that a runbook took from it
version_added: 0.1.0
description:
  - M(daily_emr.ops.ecs_service_release) and M(daily_emr.ops.ecs_service_tasks) deploy at once where the service deploys
    with the strategy C(CANARY) or C(LINEAR), and ECS then keeps C(BLUE_GREEN) without a bake time. This makes the next
    release begin as a canary again, with the whole deployment configuration of the last one that did.
  - Nothing is changed when the strategy is another one, or when no deployment before was a gradual one.
  - Refuses while a deployment or a rollback runs, because ECS takes no other strategy then.
  - Starts no deployment.
author:
  - Daily EMR operations (@daily-emr)
attributes:
  check_mode:
    description: Reports the strategy that would be given back, and every reason why it may not.
    support: full
  diff_mode:
    description: Shows strategy, share and time of the canary before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Let the next release begin as a canary again
  daily_emr.ops.ecs_service_strategy:
    service: "{{ web_service }}"
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
  sample: ["The deployment of daily-emr-staging-web:41 is IN_PROGRESS: wait until it ends."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample: "Nothing to undo: the service deploys as it did before the incident."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: service/daily-emr-staging/daily-emr-staging-web
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import (
    GRADUAL,
    gradual_before,
    in_progress,
    read_history,
    read_service,
    rolling_back,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    SERVICE_OPTION,
    Json,
    Readings,
    WebServiceChange,
    unread,
)


class Strategy(WebServiceChange):
    """How the next releases of an ECS service are deployed."""

    name: ClassVar[str] = "ecs_service_strategy"
    imperative: ClassVar[bool] = False
    sends: ClassVar[tuple[str, ...]] = ("ecs:UpdateService",)
    spec: ClassVar[Json] = {"service": SERVICE_OPTION}

    @property
    def target(self) -> str:
        return self.ecs_target

    def observe(self) -> Json:
        where = (self.clients, self.service["cluster"], self.service["service"])
        readings = Readings()
        readings.take(service=lambda: read_service(*where), history=lambda: read_history(*where))
        service, history = readings.need("service"), readings.need("history")
        context = {**readings.context(), "earlier": gradual_before(service, history)}
        return {**_shown(service["configuration"]), "context": context}

    def wanted(self, before: Json) -> Json:
        earlier = before["context"]["earlier"]
        return _shown(earlier) if earlier else before

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        reasons = unread(context)
        if context["service"]["status"] != "ACTIVE":
            reasons.append(f"The service is {context['service']['status']}: only an ACTIVE service can be changed.")
        moving = in_progress(context["history"]) or rolling_back(context["history"])
        if moving:
            reasons.append(f"The deployment of {moving['revision']} is {moving['status']}: wait until it ends.")
        return reasons

    def apply(self, before: Json) -> None:
        self.clients.write("ecs", "UpdateService").update_service(
            cluster=self.service["cluster"],
            service=self.service["service"],
            deploymentConfiguration=before["context"]["earlier"],
        )

    def inverse(self, before: Json) -> Json | str:
        return "Nothing to undo: the service deploys as it did before the incident."


def _shown(configuration: Json) -> Json:
    """Strategy, bake time and the steps of a deployment configuration."""
    strategy = configuration.get("strategy", "ROLLING")
    steps = configuration.get(GRADUAL.get(strategy, ""), {})
    return {"strategy": strategy, "bake_minutes": configuration.get("bakeTimeInMinutes"), "steps": steps}


ENTRY = change_entry(Strategy)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
