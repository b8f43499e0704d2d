#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_version_stage
short_description: Make another version of the secret of a claims API the current one, once it is proved
version_added: 0.2.0
description:
  - Moves the label C(AWSCURRENT) of the secret to the version that has the label O(stage), with one call. Before that
    it asks the API for a token and for our own facility with that version.
  - The new value is put there by somebody else, as C(AWSPENDING); whoever runs this is the second person. The value is
    used in memory for the request of the token and is never shown, logged or kept.
  - Refuses when there is no such version, when the API does not accept it, when nobody can tell whether it does, and
    when the current one still works.
  - A new version (V(AWSPENDING)) is also refused when it is older than the current one, and unless the API refuses the
    current one just now, so that an outage never changes a key.
  - Running tasks keep the value that they were started with until they are recycled.
  - Needs C(secretsmanager:GetSecretValue) for this secret.
author:
  - Daily EMR operations (@daily-emr)
options:
  stage:
    description:
      - Label of the version to promote. V(AWSPENDING) is a new value, V(AWSPREVIOUS) the one before the current.
    type: str
    choices: [AWSPENDING, AWSPREVIOUS]
    default: AWSPENDING
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.claims
"""

EXAMPLES = r"""
- name: Promote the new key of the claims API
  daily_emr.ops.secret_version_stage:
    claims_api: "{{ claims_api }}"
    stage: AWSPENDING
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
  sample: ["daily-emr/staging/SHA_API_KEY has no version AWSPENDING: ask the payer for a new key and put it there."]
prediction:
  description: What the change will lead to, for whoever has to approve it.
  returned: always
  type: list
  elements: str
  sample: ["The API gives a token for AWSPENDING and answers our own facility; tasks get it when they are recycled."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample:
    module: daily_emr.ops.secret_version_stage
    args:
      stage: AWSPREVIOUS
target:
  description: What the change is about.
  returned: always
  type: str
  sample: secret/daily-emr/staging/SHA_API_KEY
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_api import ClaimsApi, Reply
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_changes import PROBE_TIMEOUT_S
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_options import CLAIMS_API_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    Json,
    Readings,
    given,
    iso,
    parse_utc,
    unread,
)

CURRENT = "AWSCURRENT"
PENDING = "AWSPENDING"
PREVIOUS = "AWSPREVIOUS"


class VersionStage(Change):
    """Which version of a secret is the current one."""

    name: ClassVar[str] = "secret_version_stage"
    imperative: ClassVar[bool] = False
    sends: ClassVar[tuple[str, ...]] = ("secretsmanager:UpdateSecretVersionStage",)
    spec: ClassVar[Json] = {
        "claims_api": CLAIMS_API_OPTION,
        "stage": {"type": "str", "choices": [PENDING, PREVIOUS], "default": PENDING},
    }

    @property
    def _secret(self) -> str:
        return str(self.params["claims_api"]["secret"])

    @property
    def target(self) -> str:
        return f"secret/{self._secret}"

    def observe(self) -> Json:
        stage, readings = self.params["stage"], Readings()
        readings.take(versions=self._versions)
        versions = readings.need("versions")
        current, candidate = versions.get(CURRENT, {}), versions.get(stage, {})
        before = {"current": current.get("id")}
        # Nobody is asked anything when there is nothing to promote.
        if candidate and candidate["id"] != current.get("id"):
            readings.take(new_value=lambda: self._proof(candidate["id"]))
            if current:
                readings.take(current_value=lambda: self._proof(current["id"]))
        context = {
            "candidate": candidate,
            "current": current,
            "proof": readings.values.get("new_value"),
            "current_proof": readings.values.get("current_value"),
            "unread": readings.unread,
        }
        return before | {"context": context}

    def _versions(self) -> dict[str, Json]:
        """Id and date of the version with each label."""
        answer = self.clients.read("secretsmanager").list_secret_version_ids(SecretId=self._secret)
        return {
            stage: {"id": version["VersionId"], "at": iso(version["CreatedDate"])}
            for version in answer["Versions"]
            for stage in version.get("VersionStages", [])
        }

    def _proof(self, version: str) -> Reply:
        """What the API answers to this version: to the token, and, when it gave one, to the harmless read. What is
        proved is what gets the label, so it is not asked for by a label, which somebody may move meanwhile.
        """
        api = ClaimsApi(self.clients.environment, self.params["claims_api"], PROBE_TIMEOUT_S)
        reply, token = api.token(self.clients.secret_value(self._secret, version=version))
        return api.facility(token) if reply.ok else reply

    def wanted(self, before: Json) -> Json:
        """Where nothing has the label there is something to say, and nothing to do."""
        return {"current": before["context"]["candidate"].get("id", f"what is {self.params['stage']}")}

    def refusals(self, before: Json) -> list[str]:
        context, stage = before["context"], self.params["stage"]
        candidate, current = context["candidate"], context["current"]
        if not candidate:
            return [
                f"{self._secret} has no version {stage}: ask the payer for a new key, and let somebody else put it in."
            ]
        # A step back needs no word on the version that it leaves.
        needed = {name: why for name, why in context["unread"].items() if stage == PENDING or name != "current_value"}
        reasons = unread({"unread": needed})
        if stage == PENDING and current and parse_utc(candidate["at"]) < parse_utc(current["at"]):
            reasons.append(
                f"The version {stage} is older than the current one, so it is a leftover: put a new one there."
            )
        proof, current_proof = context["proof"], context["current_proof"]
        if proof is not None and not proof.ok:
            why = "does not accept it" if proof.refused else "does not say whether it does"
            reasons.append(f"The version {stage} was tried, and the API {why} ({proof.seen}): it is not promoted.")
        if current_proof is not None and current_proof.ok:
            reasons.append("The current version works, so a promotion would mend nothing: recycle the tasks instead.")
        elif stage == PENDING and "current_value" not in needed and not (current_proof and current_proof.refused):
            seen = current_proof.seen if current_proof else "there is none"
            reasons.append(
                f"The API does not say that it refuses the current version ({seen}), so a new key may mend nothing: "
                "wait until it answers."
            )
        return reasons

    def prediction(self, before: Json) -> list[str]:
        if not before["context"]["candidate"]:
            return []
        return [
            f"The API gives a token for {self.params['stage']} and answers our own facility; tasks get it when they "
            "are recycled."
        ]

    def apply(self, before: Json) -> None:
        self.clients.write("secretsmanager", "UpdateSecretVersionStage").update_secret_version_stage(
            SecretId=self._secret,
            VersionStage=CURRENT,
            MoveToVersionId=before["context"]["candidate"]["id"],
            RemoveFromVersionId=before["current"],
        )

    def resources(self, before: Json) -> list[str]:
        return [self.clients.environment.secret_arn(self._secret)]

    def inverse(self, before: Json) -> Json | str:
        """Secrets Manager gives the version that was current the label AWSPREVIOUS."""
        args = {"claims_api": given(self.params["claims_api"]), "stage": PREVIOUS}
        return {"module": f"daily_emr.ops.{self.name}", "args": args}


ENTRY = change_entry(VersionStage)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
