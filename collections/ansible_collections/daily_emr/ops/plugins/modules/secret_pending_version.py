#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_pending_version
short_description: Have a new value of a secret that waits to be tested
version_added: 0.3.0
description:
  - Puts a new value into the secret of O(entry) with the label C(AWSPENDING), unless a version that was made after
    O(made_after) is there already, waiting or current. Nobody uses a waiting version.
  - The value is made here (O(entry.source=generated)), or it is read from the environment variable that
    O(value_variable) names, in the process of this module. It is never an option, a variable or a file.
  - The first value of an empty secret is current at once; AWS decides so.
  - Refuses a value that has not the shape of its key.
  - M(daily_emr.ops.secret_current_version) tests the new value and promotes it.
author:
  - Daily EMR operations (@daily-emr)
options:
  made_after:
    description: The time the newest version must be made after, as a UTC timestamp such as V(2026-11-22T01:30:00Z).
    type: str
    required: true
  value_variable:
    description: Name of the environment variable that holds a value that somebody else issued.
    type: str
    default: ""
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.secrets
  - daily_emr.ops.secrets.entry
"""

EXAMPLES = r"""
- name: Make a new password for the sessions
  daily_emr.ops.secret_pending_version:
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

import os
import re
import secrets
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._secret_shapes import trouble
from ansible_collections.daily_emr.ops.plugins.module_utils._secrets_changes import SecretChange
from ansible_collections.daily_emr.ops.plugins.module_utils._secrets_options import (
    ENTRY_OPTION,
    GENERATED,
    STORE_OPTION,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._secrets_readings import CURRENT, PENDING, pending
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, parse_utc

# 384 bits, in 64 letters that need no quoting anywhere.
GENERATED_BYTES = 48
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


class PendingVersion(SecretChange):
    """Whether a secret has a version that is new enough, waiting or current."""

    name: ClassVar[str] = "secret_pending_version"
    spec: ClassVar[Json] = {
        "store": STORE_OPTION,
        "entry": ENTRY_OPTION,
        "made_after": {"type": "str", "required": True},
        "value_variable": {"type": "str", "default": ""},
    }

    def observe(self) -> Json:
        secret, found = self.look()
        moment = parse_utc(self.params["made_after"])
        made = [version["at"] for stage, version in found.items() if stage in (CURRENT, PENDING)]
        newest = any(parse_utc(at) > moment for at in made)
        return {"new_version": newest, "context": {"secret": secret, "versions": found}}

    def wanted(self, before: Json) -> Json:
        return {"new_version": True}

    def refusals(self, before: Json) -> list[str]:
        secret = before["context"]["secret"]
        reasons = self.missing(secret)
        if secret and secret["rotates"]:
            reasons.append(f"AWS rotates {self.full_name} by itself: use RotateSecret, or turn that off first.")
        return reasons + self._source_refusals()

    def _source_refusals(self) -> list[str]:
        if self.entry["source"] == GENERATED:
            return []
        name = self.entry["name"]
        variable = self.params["value_variable"]
        if not VARIABLE.fullmatch(variable):
            return [
                f"{name} is issued by somebody else: put the new value into an environment variable in capitals and "
                "name that variable in value_variable, or put it in as AWSPENDING yourself."
            ]
        value = os.environ.get(variable, "")
        if not value:
            return [f"The environment variable {variable} is not set or is empty: put the new value of {name} there."]
        why = trouble(value, self.entry["shape"])
        return [f"The new value of {name} {why}: it was not sent."] if why else []

    def prediction(self, before: Json) -> list[str]:
        found, name = before["context"]["versions"], self.entry["name"]
        if not found:
            return [f"It is the first value of {name}, so it is current at once and cannot be tested before."]
        lines = [f"A new value of {name} waits as {PENDING}; nobody uses it until it is promoted."]
        if pending(found):
            lines.append(f"The value that waited since {pending(found)['at']} is dropped.")
        lines.append(f"Before it is promoted it is tried: {self.entry['test']['kind']}.")
        if self.entry["used_by"]:
            lines.append(f"After that the tasks of {', '.join(self.entry['used_by'])} are to be replaced.")
        return [*lines, *filter(None, [self.entry["effect"]])]

    def apply(self, before: Json) -> None:
        generated = self.entry["source"] == GENERATED
        value = secrets.token_urlsafe(GENERATED_BYTES) if generated else os.environ[self.params["value_variable"]]
        self.clients.write("secretsmanager", "PutSecretValue").put_secret_value(
            SecretId=self.full_name, SecretString=value, VersionStages=[PENDING]
        )

    def inverse(self, before: Json) -> Json | str:
        return "Nothing to undo: nobody uses a version that waits, and the next one takes its place."


ENTRY = change_entry(PendingVersion)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
