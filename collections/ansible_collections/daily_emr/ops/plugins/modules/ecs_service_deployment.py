#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: ecs_service_deployment
short_description: Stop the deployment of an ECS service and roll it back
version_added: 0.1.0
description:
  - Stops the deployment that is in progress, with the stop type C(ROLLBACK), so that ECS returns to the revision
    before it.
  - Under the strategies C(BLUE_GREEN), C(CANARY) and C(LINEAR) the tasks of that revision still run, also in the bake
    time after all the traffic has moved, and ECS gives them all of it at once.
  - When no deployment is in progress, or the deployment is rolling back already, nothing is changed.
  - Refuses when there is no revision to return to, when that revision cannot run now (image, schema of the database,
    secrets), when the deployment replaces tasks of one and the same revision, and when it waits at a lifecycle hook.
  - Under C(CANARY) and C(LINEAR) it is stopped also when it replaces tasks of one and the same revision. That mends
    nothing, but no other release can be deployed before it ends, which may take most of an hour.
  - Refuses when it is not the deployed revision that makes the bad requests, see O(bad_revision) - the deployment may
    be the one that mends them.
  - Does not wait until the rollback ends (1 to 5 minutes).
author:
  - Daily EMR operations (@daily-emr)
options:
  state:
    description: The deployment in progress is stopped.
    type: str
    choices: [stopped]
    default: stopped
  bad_share:
    description:
      - Share of the bad requests that the release being deployed makes, from 0 to 1, as
        M(daily_emr.ops.error_attribution) measured it. The plan then says how much of the trouble the change would
        remove.
    type: float
  bad_revision:
    description:
      - The revision that makes the bad requests, as M(daily_emr.ops.error_attribution) found it - its number or its
        whole name, or empty where a release makes them and the log does not tell its revision.
      - The deployment is stopped only when it leads to this revision. Without the option nothing is asked.
    type: str
attributes:
  check_mode:
    description: Reports the deployment that would be stopped, and every reason why it may not.
    support: full
  diff_mode:
    description: Shows the state of the deployment and the revision it leads to, before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Stop the deployment in progress and return to the revision before it
  daily_emr.ops.ecs_service_deployment:
    service: "{{ web_service }}"
    state: stopped

- name: Stop it only when it is what brings the errors
  daily_emr.ops.ecs_service_deployment:
    service: "{{ web_service }}"
    bad_revision: daily-emr-staging-web:42
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
  sample: ["The deployment has no revision to return to: roll forward with a release that works."]
prediction:
  description: What the change will lead to, for whoever has to approve it. Empty without O(bad_share).
  returned: always
  type: list
  elements: str
  sample: ["Removes 97 % of the bad requests."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample:
    module: daily_emr.ops.ecs_service_release
    args:
      revision: daily-emr-staging-web:42
      proven: false
      at_once: false
target:
  description: What the change is about.
  returned: always
  type: str
  sample: service/daily-emr-staging/daily-emr-staging-web
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import read_database
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import (
    ECS_SETS_WEIGHTS,
    GRADUAL,
    RUNNING,
    in_progress,
    read_history,
    read_release,
    read_service,
    removes,
    rolling_back,
    same_revision,
    unfit,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    SERVICE_OPTION,
    Json,
    Readings,
    WebServiceChange,
    unread,
)


class Deployment(WebServiceChange):
    """Whether a deployment of an ECS service goes forward."""

    name: ClassVar[str] = "ecs_service_deployment"
    imperative: ClassVar[bool] = True
    sends: ClassVar[tuple[str, ...]] = ("ecs:StopServiceDeployment",)
    spec: ClassVar[Json] = {
        "service": SERVICE_OPTION,
        "state": {"type": "str", "choices": ["stopped"], "default": "stopped"},
        "bad_share": {"type": "float"},
        "bad_revision": {"type": "str"},
    }

    @property
    def target(self) -> str:
        return self.ecs_target

    def observe(self) -> Json:
        clients, service = self.clients, self.service
        where = (clients, service["cluster"], service["service"])
        readings = Readings()
        readings.take(
            service=lambda: read_service(*where),
            history=lambda: read_history(*where),
            database=lambda: read_database(clients, service["database"]),
        )
        deployment = in_progress(readings.need("history"))
        if deployment is None:
            return {"state": "stopped", "revision": None, "context": readings.context()}
        previous = next(iter(deployment["from"]), None)
        readings.take(
            deployed_release=lambda: read_release(clients, service, deployment["revision"]),
            **({"previous_release": lambda: read_release(clients, service, previous)} if previous else {}),
        )
        context = {**readings.context(), "deployment": deployment, "previous": previous}
        return {"state": "in progress", "revision": deployment["revision"], "context": context}

    def wanted(self, before: Json) -> Json:
        if before["state"] == "stopped":
            return {"state": "stopped", "revision": before["revision"]}
        return {"state": "stopped", "revision": before["context"]["previous"]}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        deployment, previous = context["deployment"], context["previous"]
        reasons = unread(context)
        if rolling_back(context["history"]):
            reasons.append("A rollback of another deployment runs: wait until it ends.")
        if context.get("deployed_release", {}).get("security_fix"):
            reasons.append(
                f"{deployment['revision']} carries a security fix: let the security lead decide, then stop it by hand."
            )
        if deployment["waits_at_hook"]:
            reasons.append(
                "The deployment waits at a lifecycle hook: answer the hook with ROLLBACK instead of stopping it."
            )
        if previous is None:
            reasons.append("The deployment has no revision to return to: roll forward with a release that works.")
        elif same_revision(deployment) and context.get("service", {}).get("strategy") not in GRADUAL:
            reasons.append(f"The deployment replaces tasks of {previous} by tasks of {previous}: wait until it ends.")
        if "previous_release" in context and "database" in context:
            reasons += unfit(context["previous_release"], context["database"]["schema_version"])
        return (
            reasons if same_revision(deployment) else reasons + self._not_the_bad_one(deployment["revision"], previous)
        )

    def _not_the_bad_one(self, deployed: str, previous: str | None) -> list[str]:
        """Stopping a deployment gives all the traffic to the revision before it, which may be the one that fails."""
        bad = self.params["bad_revision"]
        if bad is None:
            return []
        if not bad:
            return [
                f"The log does not tell which revision makes the bad requests: look whether it is {deployed}, "
                "then stop its deployment by hand."
            ]
        if previous and _number(bad) == _number(previous):
            return [f"{previous} makes the bad requests and would get all the traffic: let {deployed} be deployed."]
        if _number(bad) != _number(deployed):
            return [f"Revision {bad} makes the bad requests, not {deployed}: let its deployment go on."]
        return []

    def prediction(self, before: Json) -> list[str]:
        strategy, previous = before["context"]["service"]["strategy"], before["context"]["previous"]
        back = [f"All the traffic goes back at once, to the tasks of {previous} that still run ({strategy})."]
        back = back if strategy in ECS_SETS_WEIGHTS else []
        if same_revision(before["context"]["deployment"]):
            return [*back, "They are of the same revision: this only lets another release be deployed before it ends."]
        return [*removes(self.params["bad_share"]), *back]

    def apply(self, before: Json) -> None:
        self.clients.write("ecs", "StopServiceDeployment").stop_service_deployment(
            serviceDeploymentArn=before["context"]["deployment"]["arn"], stopType="ROLLBACK"
        )

    def resources(self, before: Json) -> list[str]:
        return [*super().resources(before), before["context"]["deployment"]["arn"]]

    def inverse(self, before: Json) -> Json | str:
        if before["state"] == "stopped":
            return "Nothing was stopped, so there is nothing to undo."
        if same_revision(before["context"]["deployment"]):
            return f"Nothing to undo: the tasks before the deployment are of {before['revision']} too."
        return self.step_back("ecs_service_release", revision=before["revision"], proven=False, at_once=False)

    def done(self, before: Json, after: Json) -> bool:
        """A deployment that went through in the meantime was not stopped, so its own state decides."""
        stopped = before["context"]["deployment"]["arn"]
        status = {item["arn"]: item["status"] for item in after["context"]["history"]}.get(stopped)
        return status is not None and status not in (*RUNNING, "SUCCESSFUL")

    def traces(self, before: Json) -> Json:
        return {"deployment": {"arn": before["context"]["deployment"]["arn"]}}

    def untouched(self, before: Json, after: Json) -> bool:
        """A deployment that is to stop says so at once; one that went through was not stopped."""
        asked = before["context"]["deployment"]["arn"]
        status = {item["arn"]: item["status"] for item in after["context"]["history"]}.get(asked)
        return status in (*RUNNING, "SUCCESSFUL")


def _number(revision: str) -> str:
    """Of its name; a task knows the one or the other."""
    return revision.rpartition(":")[2]


ENTRY = change_entry(Deployment)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
