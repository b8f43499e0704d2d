#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_replication
short_description: Have a replica of a secret in the copy region
version_added: 0.3.0
description:
  - Asks AWS Secrets Manager for a replica of the secret of O(entry) in the copy region of O(store), under the KMS
    key of that region. A replica that exists, or is being made, is left alone.
  - Refuses where AWS says that the replica failed, because making it again needs it to be removed first.
  - Does nothing where O(entry.replicated=false); a replica that is there stays.
author:
  - Daily EMR operations (@daily-emr)
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.secrets
  - daily_emr.ops.secrets.entry
"""

EXAMPLES = r"""
- name: Have the key of the facility registry in the copy region, too
  daily_emr.ops.secret_replication:
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

FAILED = "Failed"


class Replication(SecretChange):
    """Whether a secret has a replica."""

    name: ClassVar[str] = "secret_replication"
    spec: ClassVar[Json] = {"store": STORE_OPTION, "entry": ENTRY_OPTION}

    def observe(self) -> Json:
        secret, _versions = self.look()
        status = ((secret or {}).get("replicas") or {}).get(self.store["copy_region"])
        return {"replica": status not in (None, FAILED), "context": {"secret": secret, "status": status}}

    def wanted(self, before: Json) -> Json:
        return {"replica": before["replica"] or bool(self.entry["replicated"])}

    def refusals(self, before: Json) -> list[str]:
        region = self.store["copy_region"]
        reasons = self.missing(before["context"]["secret"])
        if before["context"]["status"] == FAILED:
            reasons.append(
                f"The replica of {self.full_name} in {region} failed: look whether its KMS key and the name are free "
                "there, remove the replica, and run again."
            )
        return reasons

    def apply(self, before: Json) -> None:
        self.clients.write("secretsmanager", "ReplicateSecretToRegions").replicate_secret_to_regions(
            SecretId=self.full_name,
            AddReplicaRegions=[{"Region": self.store["copy_region"], "KmsKeyId": self.store["copy_kms_key"]}],
        )

    def inverse(self, before: Json) -> Json | str:
        return "Nothing to undo: a replica is read by nobody until the region is changed."


ENTRY = change_entry(Replication)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
