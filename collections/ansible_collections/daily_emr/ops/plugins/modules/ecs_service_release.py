#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: ecs_service_release
short_description: Choose the release an ECS service runs, by default the last known good one
version_added: 0.1.0
description:
  - Makes an ECS service run the last known good release, or the given revision of its task definition.
  - A revision is known to be good when a successful deployment of it ran for O(good_after_s) before another revision
    came. When the revision that runs now is known to be good, nothing is changed.
  - Refuses a release that cannot run now, because its image no longer exists in ECR or is not pinned by digest,
    because it does not fit the schema of the database (tag C(schema_compat) of the task definition, tag
    C(schema_version) of the database), or because a secret it needs is gone. An older release is never chosen
    silently in its place.
  - Refuses while another rollback runs, when no earlier release is known to be good, and when the release that runs
    now carries a security fix.
  - Where the service deploys with a canary, a roll back does not - the bad release would keep the traffic meanwhile.
    All of it moves as soon as the new tasks are healthy, see O(at_once).
  - Refuses while such a deployment runs, because stopping that one is faster and ECS takes no other strategy meanwhile,
    see M(daily_emr.ops.ecs_service_deployment).
  - Does not wait until the tasks are replaced (2 to 6 minutes for two tasks).
author:
  - Daily EMR operations (@daily-emr)
options:
  revision:
    description:
      - The revision of the task definition, for example C(daily-emr-staging-web:42).
      - The default is the most recently deployed revision that is known to be good.
    type: str
  good_after_s:
    description: Seconds a successful deployment must have run before its revision is known to be good.
    type: int
    default: 86400
  proven:
    description:
      - Whether the revision must be known to be good. Undoing a rollback sets V(false).
      - Image, schema and secrets are checked in any case.
    type: bool
    default: true
  at_once:
    description:
      - Whether a service that deploys with the strategy C(CANARY) or C(LINEAR) gets all the traffic moved at once. Its
        strategy is C(BLUE_GREEN) from then on, and M(daily_emr.ops.ecs_service_strategy) gives it the one it had back.
      - Undoing a rollback sets V(false), so that what was taken away comes back as a canary.
    type: bool
    default: true
  bad_share:
    description:
      - Share of the bad requests that the release which runs now makes, from 0 to 1, as
        M(daily_emr.ops.error_attribution) measured it. The plan then says how much of the trouble the change would
        remove.
    type: float
attributes:
  check_mode:
    description: Reports the release that would run, and every reason why it may not.
    support: full
  diff_mode:
    description: Shows revision and release before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Roll back to the last known good release
  daily_emr.ops.ecs_service_release:
    service: "{{ web_service }}"

- name: Show what a roll back to a chosen revision would change
  daily_emr.ops.ecs_service_release:
    service: "{{ web_service }}"
    revision: daily-emr-staging-web:41
  check_mode: true
  diff: true
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
  sample: ["The image of daily-emr-staging-web:41 no longer exists in ECR: push it again by its digest."]
prediction:
  description: What the change will lead to, for whoever has to approve it. Empty without O(bad_share).
  returned: always
  type: list
  elements: str
  sample: ["Removes 41 % of the bad requests: below 80 % it will not fix it."]
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

from datetime import timedelta
from functools import partial
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import read_database
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import (
    ECS_SETS_WEIGHTS,
    GRADUAL,
    at_once,
    in_progress,
    moving_at_once,
    passed_over,
    proven_revisions,
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
    short_revision,
    spoken,
    unread,
)

# A roll back deeper than this is a decision for a person, who names the revision.
CANDIDATES = 5


class Release(WebServiceChange):
    """The release an ECS service runs."""

    name: ClassVar[str] = "ecs_service_release"
    imperative: ClassVar[bool] = False
    sends: ClassVar[tuple[str, ...]] = ("ecs:UpdateService",)
    spec: ClassVar[Json] = {
        "service": SERVICE_OPTION,
        "revision": {"type": "str"},
        "good_after_s": {"type": "int", "default": 86400},
        "proven": {"type": "bool", "default": True},
        "at_once": {"type": "bool", "default": True},
        "bad_share": {"type": "float"},
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
        running = readings.need("service")
        # History is in real time also where AWS's pace is not: a day of proof is never divided by the time factor.
        good = proven_revisions(readings.values.get("history", []), self.params["good_after_s"], running["read_at"])
        asked = short_revision(self.params["revision"]) if self.params["revision"] else None
        target = asked or next(iter(good), None)
        given_up = passed_over(readings.values.get("history", []), target, running["revision"]) if target else []
        names = list(dict.fromkeys([running["revision"], *given_up, *([asked] if asked else []), *good[:CANDIDATES]]))
        releases = Readings()
        releases.take(**{name: partial(read_release, clients, service, name) for name in names})
        readings.unread.update({f"release {name}": why for name, why in releases.unread.items()})
        return {
            "revision": running["revision"],
            "release": releases.values.get(running["revision"], {}).get("release"),
            "context": {**readings.context(), "good": good, "asked": asked, "given_up": given_up}
            | {"releases": releases.values},
        }

    def wanted(self, before: Json) -> Json:
        context = before["context"]
        revision = context["asked"] or next(iter(context["good"]), None)
        return {"revision": revision, "release": context["releases"].get(revision, {}).get("release")}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        running, revision = context["service"], self.wanted(before)["revision"]
        reasons = unread(context)
        if running["status"] != "ACTIVE":
            reasons.append(f"The service is {running['status']}: only an ACTIVE service can be rolled back.")
        if running["desired"] == 0:
            reasons.append("The service is scaled to zero, so a release would not start: restore the count first.")
        moving = rolling_back(context.get("history", []))
        if moving:
            reasons.append(
                f"A rollback from {moving['revision']} already runs ({moving['status']}): wait until it ends."
            )
        deploying = in_progress(context.get("history", []))
        if deploying and running["strategy"] in ECS_SETS_WEIGHTS:
            way = "stop it instead, the tasks before it still run and take the traffic at once; or wait until it ends."
            if same_revision(deploying) and running["strategy"] not in GRADUAL:
                way = "wait until it ends."
            reasons.append(f"The {running['strategy']} deployment of {deploying['revision']} runs: {way}")
        reasons += [
            f"{name} carries a security fix: let the security lead decide, then deploy by hand."
            for name in dict.fromkeys([before["revision"], *context["given_up"]])
            if context["releases"].get(name, {}).get("security_fix")
        ]
        if revision is None:
            return reasons + self._no_good_release(context)
        if revision.rsplit(":", 1)[0] != before["revision"].rsplit(":", 1)[0]:
            reasons.append(
                f"{revision} is not a revision of the task definition of {before['revision']}: check the name."
            )
        if self.params["proven"] and "history" in context and revision not in context["good"]:
            reasons.append(
                f"{revision} is not known to be good: no successful deployment of it ran for {self._good_after()}. "
                f"Choose one of {', '.join(context['good']) or 'none'}, or set proven to false if you know better."
            )
        if revision in context["releases"] and "database" in context:
            schema = context["database"]["schema_version"]
            misfits = unfit(context["releases"][revision], schema)
            reasons += misfits + (_alternative(context, revision, schema) if misfits else [])
        return reasons

    def prediction(self, before: Json) -> list[str]:
        moving = moving_at_once(before["context"]["service"]) if self.params["at_once"] else []
        return [*removes(self.params["bad_share"]), *moving]

    def _no_good_release(self, context: Json) -> list[str]:
        if "history" not in context:
            return []
        return [
            f"No earlier release is known to be good (a successful deployment that ran for {self._good_after()}): "
            "name the revision, or fix forward."
        ]

    def _good_after(self) -> str:
        return spoken(timedelta(seconds=self.params["good_after_s"]))

    def apply(self, before: Json) -> None:
        self.clients.write("ecs", "UpdateService").update_service(
            cluster=self.service["cluster"],
            service=self.service["service"],
            taskDefinition=self.wanted(before)["revision"],
            **(at_once(before["context"]["service"]) if self.params["at_once"] else {}),
        )

    def inverse(self, before: Json) -> Json | str:
        return self.step_back(self.name, revision=before["revision"], proven=False, at_once=False)

    def done(self, before: Json, after: Json) -> bool:
        return bool(after["revision"] == self.wanted(before)["revision"])


def _alternative(context: Json, revision: str, schema: str | None) -> list[str]:
    """Name the next good release that could run. It is an older one, so a person chooses it."""
    for name in context["good"]:
        release = context["releases"].get(name)
        if name != revision and release and not unfit(release, schema):
            return [
                f"{name} (release {release['release']}) is known to be good and could run: set revision to choose it."
            ]
    return []


ENTRY = change_entry(Release)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
