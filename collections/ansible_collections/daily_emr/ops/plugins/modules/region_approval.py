#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: region_approval
short_description: Approve a failover to the second region, under one's own name
version_added: 0.1.0
description:
  - Writes into the runbooks' table that the caller approves the promotion of the replica for an incident, with at
    most so much loss. The name is that of the caller's session, as STS tells it, and the time is AWS's.
  - A session whose name is made up by a program is refused. Whether a name is its bearer's own, only the trust policy
    of the role can say.
  - Acts under a role of its own, because who may act is denied to write approvals.
  - An approval counts for 30 minutes, for this incident and this loss only. Who asked for the failover does not
    count. No earlier approval is written over.
  - Needs no lease, because it changes no component.
author:
  - Daily EMR operations (@daily-emr)
options:
  incident_id:
    description: The incident whose failover is approved, as the refused run named it.
    type: str
    required: true
  replica:
    description: Identifier of the replica that may be promoted.
    type: str
    required: true
  max_loss_s:
    description: Seconds of acknowledged writes that may be lost at most.
    type: int
    required: true
  approver_role_pattern:
    description: Regular expression that the name of the caller's role has to match, instead of that of who acts.
    type: str
    required: true
attributes:
  check_mode:
    description: Says what would be approved.
    support: full
  diff_mode:
    description: Shows whether it is approved, before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
"""

EXAMPLES = r"""
- name: Approve the failover
  daily_emr.ops.region_approval:
    incident_id: INC-20261122-013000-9f3a
    replica: daily-emr-staging-db-replica
    max_loss_s: 300
    approver_role_pattern: "{{ emr_approver_role_pattern }}"
"""

RETURN = r"""
outcome:
  description: How it ended, one of V(ok), V(noop), V(refused), V(failed), V(unknown).
  returned: always
  type: str
  sample: ok
prediction:
  description: What is approved, in plain sentences.
  returned: always
  type: list
  elements: str
  sample: ["wanjiru approves that daily-emr-staging-db-replica is promoted for INC-1, with up to 300 s of loss."]
target:
  description: What the change is about.
  returned: always
  type: str
  sample: approval/INC-20261122-013000-9f3a/wanjiru
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._approvals import (
    AHEAD,
    VALID,
    digest_of,
    key_of,
    person_of,
    read_approvals,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import approver_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, iso, parse_utc


class RegionApproval(Change):
    """The approval of one person."""

    name: ClassVar[str] = "region_approval"
    leased: ClassVar[bool] = False
    spec: ClassVar[Json] = {
        "incident_id": {"type": "str", "required": True},
        "replica": {"type": "str", "required": True},
        "max_loss_s": {"type": "int", "required": True},
        "approver_role_pattern": {"type": "str", "required": True},
    }

    @property
    def person(self) -> str:
        return self.clients.prove().operator

    @property
    def target(self) -> str:
        return f"approval/{self.params['incident_id']}/{self.person}"

    @property
    def _digest(self) -> str:
        target = f"database/{self.params['replica']}"
        return digest_of(self.clients.environment.name, self.params["incident_id"], target, self.params["max_loss_s"])

    def observe(self) -> Json:
        found, now = read_approvals(self.clients, self.params["incident_id"])
        mine = [one for one in found if one.session == self.person and one.digest == self._digest]
        good = any(-AHEAD <= now - parse_utc(one.at) < VALID / 2 for one in mine)
        return {"approved": self._digest if good else "", "context": {"at": str(iso(now))}}

    def wanted(self, before: Json) -> Json:
        return {"approved": self._digest}

    def refusals(self, before: Json) -> list[str]:
        if not person_of(self.person):
            return [
                f"Your session is called {self.person}, which names nobody: assume the role with your own name "
                "(role_session_name of the profile), and run again."
            ]
        if self.params["max_loss_s"] < 0:
            return ["max_loss_s is below 0: say the seconds that may be lost."]
        return []

    def prediction(self, before: Json) -> list[str]:
        asked = self.params
        return [
            f"{self.person} approves that {asked['replica']} is promoted for {asked['incident_id']}, with up to "
            f"{asked['max_loss_s']} s of loss. That cannot be taken back."
        ]

    def apply(self, before: Json) -> None:
        at = before["context"]["at"]
        said = {"digest": {"S": self._digest}, "at": {"S": at}, "by": {"S": self.clients.prove().arn}}
        self.clients.write("dynamodb", "PutItem").put_item(
            TableName=self.clients.environment.table,
            Item={**key_of(self.params["incident_id"], self.person, at), **said},
            ConditionExpression="attribute_not_exists(pk)",
        )

    def inverse(self, before: Json) -> Json | str:
        return "It ends by itself after 30 minutes."


ENTRY = approver_entry(RegionApproval)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
