#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: plan_approval
short_description: Approve the plan of a run, under one's own name
version_added: 0.1.0
description:
  - Shows a plan, and writes into the runbooks' table that the caller approves it. The name is that of the caller's
    session, as STS tells it, and the time is AWS's.
  - The digest is that of the plan which is shown. Nobody approves a digest that they were only told.
  - An approval counts for 15 minutes, for this plan only, and for one run. Who runs it does not count.
  - Acts under a role of its own, because who may act is denied to write approvals.
  - Needs no lease, because it changes no component.
author:
  - Daily EMR operations (@daily-emr)
options:
  plan:
    description: What C(plan.json) of the run holds that wants the approval.
    type: str
    required: true
  accepted_loss:
    description: For a plan that cannot be taken back, what is lost, in the words of the plan.
    type: str
    default: ""
  approver_role_pattern:
    description: Regular expression that the name of the caller's role has to match, instead of that of who acts.
    type: str
    required: true
attributes:
  check_mode:
    description: Shows the plan, and says what would be approved.
    support: full
  diff_mode:
    description: Shows whether it is approved, before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
"""

EXAMPLES = r"""
- name: Approve a plan
  daily_emr.ops.plan_approval:
    environment: "{{ emr_environment }}"
    plan: "{{ lookup('ansible.builtin.file', approval_plan) }}"
    approver_role_pattern: "{{ emr_approver_role_pattern }}"
"""

RETURN = r"""
outcome:
  description: How it ended, one of V(ok), V(noop), V(refused), V(failed), V(unknown).
  returned: always
  type: str
  sample: ok
prediction:
  description: The plan that is approved, in plain sentences.
  returned: always
  type: list
  elements: str
  sample: ["app_outage on emr-web in production (123456789012, af-south-1), because of bad_release."]
target:
  description: What the change is about.
  returned: always
  type: str
  sample: approval/0f2c88d1-9be41c20-5f8e0b6d9f1c4ab2a0f4c6f3d1e2b7a9/wanjiru
"""

import json
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._approvals import AHEAD, key_of, person_of, read_approvals
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import approver_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._plan import (
    accepted_loss,
    checked_plan,
    described,
    digest_of_plan,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._plan_approvals import VALID
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, iso, parse_utc


class PlanApproval(Change):
    """The approval of one person."""

    name: ClassVar[str] = "plan_approval"
    leased: ClassVar[bool] = False
    spec: ClassVar[Json] = {
        "plan": {"type": "str", "required": True},
        "accepted_loss": {"type": "str", "default": ""},
        "approver_role_pattern": {"type": "str", "required": True},
    }

    @property
    def plan(self) -> Json:
        """Raises Refused for what is no plan of this environment."""
        try:
            written = json.loads(self.params["plan"])
            plan = checked_plan(written["plan"])
            told = str(written["digest"])
        except (ValueError, KeyError, TypeError) as error:
            raise Refused("That file is no plan: name the plan.json that the refused run printed.") from error
        if told != digest_of_plan(plan):
            raise Refused("The plan in that file is not the one that its digest names: have it planned again.")
        here = self.clients.environment
        if (plan["environment"], plan["account"]) != (here.name, here.account_id):
            raise Refused(f"That is a plan of another environment than {here.name}: name the right inventory.")
        return plan

    @property
    def person(self) -> str:
        return self.clients.prove().operator

    @property
    def _digest(self) -> str:
        return digest_of_plan(self.plan)

    @property
    def target(self) -> str:
        return f"approval/{self._digest}/{self.person}"

    def observe(self) -> Json:
        found, now = read_approvals(self.clients, self._digest)
        mine = [one for one in found if one.session == self.person]
        good = any(-AHEAD <= now - parse_utc(one.at) < VALID / 3 for one in mine)
        return {"approved": self._digest if good else "", "context": {"at": str(iso(now))}}

    def wanted(self, before: Json) -> Json:
        return {"approved": self._digest}

    def refusals(self, before: Json) -> list[str]:
        if not person_of(self.person):
            return [
                f"Your session is called {self.person}, which names nobody: assume the role with your own name "
                "(role_session_name of the profile), and run again."
            ]
        loss = accepted_loss(self.plan)
        if loss and _plain(self.params["accepted_loss"]) != _plain(loss):
            return [f"It cannot be taken back. Say what you accept: -e 'approval_accepted_loss={loss}'."]
        return []

    def prediction(self, before: Json) -> list[str]:
        return [*described(self.plan), f"{self.person} approves it, for one run within 15 minutes."]

    def apply(self, before: Json) -> None:
        at = before["context"]["at"]
        said = {
            "digest": {"S": self._digest},
            "at": {"S": at},
            "by": {"S": self.clients.prove().arn},
            "plan": {"S": json.dumps(self.plan, sort_keys=True)},
            "accepted_loss": {"S": accepted_loss(self.plan)},
        }
        self.clients.write("dynamodb", "PutItem").put_item(
            TableName=self.clients.environment.table,
            Item={**key_of(self._digest, self.person, at), **said},
            ConditionExpression="attribute_not_exists(pk)",
        )

    def inverse(self, before: Json) -> Json | str:
        return "It ends by itself after 15 minutes."


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".")


ENTRY = approver_entry(PlanApproval)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
