#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_current_version
short_description: Make the value of a secret that waits the current one, once it is proved
version_added: 0.3.0
description:
  - Moves the label C(AWSCURRENT) to the version with the label C(AWSPENDING), or to O(version), with one call.
    Before that the new value is looked at and tried by the test of O(entry), with something that only reads.
  - Nothing is to be done where the current version was made after O(made_after) and none waits.
  - Refuses a version that is older than the current one (unless O(version) names it), that holds the same value,
    that has not the shape of its key, that the other side does not accept, and one of which nobody can say whether
    it does.
  - For rotation by the calendar, while the current value works. M(daily_emr.ops.secret_version_stage) is for an
    incident of the claims API; it refuses exactly then.
  - Running tasks keep the value that they were started with until they are recycled.
  - Needs C(secretsmanager:GetSecretValue) for this secret.
author:
  - Daily EMR operations (@daily-emr)
options:
  made_after:
    description: The time the current version must be made after, as a UTC timestamp. Without it any version will do.
    type: str
    default: ""
  version:
    description: Id of the version to make current, to go back to one. Without it the one that waits.
    type: str
    default: ""
  claims_api:
    description: The inventory variable C(claims_api), for an entry that is tried there.
    type: dict
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.secrets
  - daily_emr.ops.secrets.entry
"""

EXAMPLES = r"""
- name: Test the new password of the sessions and promote it
  daily_emr.ops.secret_current_version:
    store: "{{ secrets_store }}"
    entry:
      name: SESSION_PASSWORD
      source: generated
    made_after: "2026-11-22T01:30:00Z"
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
  sample: ["daily-emr/staging/MFL_API_KEY is scheduled for deletion: restore it, if it is needed."]
prediction:
  description: What the change will lead to, for whoever has to approve it.
  returned: always
  type: list
  elements: str
  sample: ["Tasks that ask for it do not start until a value is put in."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample: "Nothing to undo: an empty secret is used by nobody."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: secret/daily-emr/staging/MFL_API_KEY
"""

import hmac
from functools import partial
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._secret_shapes import trouble
from ansible_collections.daily_emr.ops.plugins.module_utils._secrets_changes import SecretChange
from ansible_collections.daily_emr.ops.plugins.module_utils._secrets_options import ENTRY_OPTION, STORE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._secrets_proofs import prove
from ansible_collections.daily_emr.ops.plugins.module_utils._secrets_readings import CURRENT, PENDING, pending
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    Json,
    Readings,
    given,
    parse_utc,
    unread,
)


class CurrentVersion(SecretChange):
    """Which version of a secret is the current one."""

    name: ClassVar[str] = "secret_current_version"
    sends: ClassVar[tuple[str, ...]] = ("secretsmanager:UpdateSecretVersionStage",)
    spec: ClassVar[Json] = {
        "store": STORE_OPTION,
        "entry": ENTRY_OPTION,
        "made_after": {"type": "str", "default": ""},
        "version": {"type": "str", "default": ""},
        "claims_api": {"type": "dict"},
    }

    def observe(self) -> Json:
        secret, found = self.look()
        current = found.get(CURRENT, {})
        asked = self.params["version"]
        if asked:
            candidate = next((item for item in found.values() if item["id"] == asked), {"id": asked, "at": None})
        else:
            candidate = pending(found)
        context = {"secret": secret, "current": current, "candidate": candidate, "unread": {}}
        if candidate and candidate["id"] != current.get("id") and candidate["at"]:
            stages = {item["id"]: stage for stage, item in found.items()}
            context |= self._try(stages[candidate["id"]], bool(current))
        return {"current": current.get("id"), "context": context}

    def _try(self, stage: str, has_current: bool) -> Json:
        """What can be said of the new value. The values stay in this method."""
        read, name = self.clients.secret_value, self.full_name
        readings = Readings()
        calls = {"new_value": partial(read, name, stage=stage)}
        if has_current:
            calls["current_value"] = partial(read, name, stage=CURRENT)
        readings.take(**calls)
        said: Json = {"unread": readings.unread}
        new, old = readings.values.get("new_value"), readings.values.get("current_value")
        if new is None:
            return said
        said["shape"] = trouble(new.reveal(), self.entry["shape"])
        said["same"] = old is not None and hmac.compare_digest(new.reveal().encode(), old.reveal().encode())
        if not said["shape"] and not said["same"]:
            readings.take(proof=partial(prove, self.clients, self.entry, new, self.params["claims_api"]))
            said["proof"] = readings.values.get("proof")
        return said

    def wanted(self, before: Json) -> Json:
        context, made_after = before["context"], self.params["made_after"]
        if context["candidate"]:
            return {"current": context["candidate"]["id"]}
        current = context["current"]
        if current and (not made_after or parse_utc(current["at"]) > parse_utc(made_after)):
            return {"current": before["current"]}
        # Where none waits there is something to say, and nothing to do.
        return {"current": f"what is {PENDING}"}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        reasons = self.missing(context["secret"])
        if reasons:
            return reasons
        candidate, current = context["candidate"], context["current"]
        if not candidate:
            return [f"No version of {self.full_name} waits as {PENDING}: put a new value in first."]
        if not candidate["at"]:
            return [
                f"{self.full_name} has no version {candidate['id']} that still has a label: it cannot be gone back to."
            ]
        reasons = unread(context)
        if not self.params["version"] and current and parse_utc(candidate["at"]) < parse_utc(current["at"]):
            reasons.append(
                f"The version {PENDING} is older than the current one, so it is a leftover: put a new one in."
            )
        if context.get("same"):
            reasons.append("The new version holds the value that is current already: ask for a new one.")
        if context.get("shape"):
            reasons.append(f"The new value of {self.entry['name']} {context['shape']}: put another one in.")
        proof = context.get("proof")
        if proof is not None and not proof.accepted:
            why = "does not accept it" if proof.accepted is False else "does not say whether it does"
            reasons.append(
                f"The new value of {self.entry['name']} was tried, and the other side {why} ({proof.seen}): "
                "it is not promoted."
            )
        return reasons

    def prediction(self, before: Json) -> list[str]:
        proof = before["context"].get("proof")
        tried = f"The new value was tried: {proof.seen}." if proof else ""
        tasks = "Tasks get it when they are recycled."
        return [line for line in (tried, self.entry["effect"], tasks) if line]

    def apply(self, before: Json) -> None:
        current = {"RemoveFromVersionId": before["current"]} if before["current"] else {}
        self.clients.write("secretsmanager", "UpdateSecretVersionStage").update_secret_version_stage(
            SecretId=self.full_name,
            VersionStage=CURRENT,
            MoveToVersionId=before["context"]["candidate"]["id"],
            **current,
        )

    def inverse(self, before: Json) -> Json | str:
        """Secrets Manager keeps the version that was current, with the label AWSPREVIOUS."""
        if not before["current"]:
            return "Nothing to undo: there was no value before."
        args = {"store": given(self.store), "entry": given(self.entry), "version": before["current"]}
        if self.params["claims_api"]:
            args["claims_api"] = given(self.params["claims_api"])
        return {"module": f"daily_emr.ops.{self.name}", "args": args}


ENTRY = change_entry(CurrentVersion)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
