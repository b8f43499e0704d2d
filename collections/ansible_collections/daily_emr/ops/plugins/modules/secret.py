#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: secret
short_description: Have a secret, without a value, in AWS Secrets Manager
version_added: 0.3.0
description:
  - Makes the secret of O(entry) with its KMS key, its tags and its replica, with one call, and without a value.
  - A secret that is there is left as it is, whatever it holds. M(daily_emr.ops.secrets_health) says what is not as it
    should be.
  - M(community.aws.secretsmanager_secret) cannot do this. It always sends a value, which is empty when none is
    given, and by default it writes that over the value of a secret that exists.
author:
  - Daily EMR operations (@daily-emr)
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.secrets
  - daily_emr.ops.secrets.entry
"""

EXAMPLES = r"""
- name: Make the place for the key of the facility registry
  daily_emr.ops.secret:
    store: "{{ secrets_store }}"
    entry:
      name: MFL_API_KEY
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

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._secrets_changes import SecretChange
from ansible_collections.daily_emr.ops.plugins.module_utils._secrets_options import ENTRY_OPTION, STORE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json


class Placeholder(SecretChange):
    """Whether a secret exists."""

    name: ClassVar[str] = "secret"
    # Bootstrap makes secrets as whoever may build, whose role need not trust itself. A name that is taken is refused by
    # AWS, so a late call changes nothing.
    scoped: ClassVar[bool] = False
    spec: ClassVar[Json] = {"store": STORE_OPTION, "entry": ENTRY_OPTION}

    def observe(self) -> Json:
        secret, _versions = self.look()
        return {"exists": secret is not None and not secret["deleted"], "context": {"secret": secret}}

    def wanted(self, before: Json) -> Json:
        return {"exists": True}

    def refusals(self, before: Json) -> list[str]:
        secret = before["context"]["secret"]
        return self.missing(secret) if secret else []

    def prediction(self, before: Json) -> list[str]:
        copied = f", with a replica in {self.store['copy_region']}" if self.entry["replicated"] else ""
        return [f"An empty secret{copied}: tasks that ask for it do not start until a value is put in."]

    def apply(self, before: Json) -> None:
        store, replicas = self.store, []
        if self.entry["replicated"]:
            replicas = [{"Region": store["copy_region"], "KmsKeyId": store["copy_kms_key"]}]
        tags = {"component": store["component"], **store["tags"]}
        self.clients.write("secretsmanager", "CreateSecret").create_secret(
            Name=self.full_name,
            Description=self.entry["about"],
            KmsKeyId=store["kms_key"],
            Tags=[{"Key": key, "Value": str(value)} for key, value in sorted(tags.items())],
            **({"AddReplicaRegions": replicas} if replicas else {}),
        )

    def inverse(self, before: Json) -> Json | str:
        return "Nothing to undo: an empty secret is used by nobody."


ENTRY = change_entry(Placeholder)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
