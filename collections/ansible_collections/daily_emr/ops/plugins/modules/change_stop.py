#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: change_stop
short_description: Stop all changes of an environment, or let them go on
version_added: 0.1.0
description:
  - Every change of every run looks at this switch in the transaction that announces it. While it is set, none is sent,
    wherever it runs, and each refusal says who stopped changes, since when and why.
  - A call that is under way is not held up. Nothing is taken back.
  - The name is that of the caller's session, as STS tells it, and the time is AWS's.
  - Needs no lease, because it changes no component.
author:
  - Daily EMR operations (@daily-emr)
options:
  state:
    description: V(present) stops all changes, V(absent) lets them go on.
    type: str
    choices: [present, absent]
    required: true
  reason:
    description: Why, in plain words; shown to everybody who is refused. Needed for V(present).
    type: str
    default: ""
attributes:
  check_mode:
    description: Says whether changes would be stopped.
    support: full
  diff_mode:
    description: Shows whether they are stopped, before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
"""

EXAMPLES = r"""
- name: Stop all changes
  daily_emr.ops.change_stop:
    environment: "{{ emr_environment }}"
    state: present
    reason: AWS says that its own API answers wrongly
"""

RETURN = r"""
outcome:
  description: How it ended, one of V(ok), V(noop), V(refused), V(failed), V(unknown).
  returned: always
  type: str
  sample: ok
target:
  description: What the change is about.
  returned: always
  type: str
  sample: switch/production
"""

import re
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change
from ansible_collections.daily_emr.ops.plugins.module_utils._halts import SWITCH
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import aws_time
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

# It is shown on every terminal that is refused.
REASON = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .,:;_/()'-]{2,200}")


class ChangeStop(Change):
    """Whether all changes of an environment are stopped."""

    name: ClassVar[str] = "change_stop"
    leased: ClassVar[bool] = False
    spec: ClassVar[Json] = {
        "state": {"type": "str", "choices": ["present", "absent"], "required": True},
        "reason": {"type": "str", "default": ""},
    }

    @property
    def target(self) -> str:
        return f"switch/{self.clients.environment.name}"

    def observe(self) -> Json:
        table = self.clients.environment.table
        found = self.clients.read("dynamodb").get_item(TableName=table, Key=SWITCH, ConsistentRead=True)
        return {"stopped": found.get("Item", {}).get("stopped", {}).get("BOOL", False)}

    def wanted(self, before: Json) -> Json:
        return {"stopped": self.params["state"] == "present"}

    def refusals(self, before: Json) -> list[str]:
        if self.params["state"] == "present" and not REASON.fullmatch(self.params["reason"]):
            return ["Say why, in a few plain words: everybody who is refused reads it."]
        return []

    def apply(self, before: Json) -> None:
        said = {
            "by": self.clients.prove().operator,
            "at": aws_time(self.clients.proven_at),
            "reason": self.params["reason"] if self.params["state"] == "present" else "",
        }
        item = {**SWITCH, "stopped": {"BOOL": self.wanted(before)["stopped"]}}
        self.clients.write("dynamodb", "PutItem").put_item(
            TableName=self.clients.environment.table,
            Item={**item, **{name: {"S": text} for name, text in said.items()}},
        )

    def inverse(self, before: Json) -> Json | str:
        state = "present" if before["stopped"] else "absent"
        return {"module": f"daily_emr.ops.{self.name}", "args": {"state": state, "reason": self.params["reason"]}}


ENTRY = change_entry(ChangeStop)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
