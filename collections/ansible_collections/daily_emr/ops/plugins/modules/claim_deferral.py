#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: claim_deferral
short_description: Put the claims aside that are ready to be sent
version_added: 0.2.0
description:
  - Defers every claim that is ready to be sent, so that it is neither tried nor failed while the payer does not answer.
    No attempt of a claim is used up, and no claim is lost. They are sent again by M(daily_emr.ops.claim_redrive).
  - It also takes back what a step of a redrive has not sent yet.
  - A claim that is on its way, and one whose outcome is unknown, stays what it is.
  - Nothing is changed when no claim is ready. Refuses while claims flow as usual, because its breaker is off.
author:
  - Daily EMR operations (@daily-emr)
options:
  held:
    description:
      - Whether the breaker is turned on beside this, so that it does not matter what it is now. For a plan of both, and
        where claims have to be taken back at once.
    type: bool
    default: false
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.claims
  - daily_emr.ops.database
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Put the claims aside until the payer answers again
  daily_emr.ops.claim_deferral:
    claims_api: "{{ claims_api }}"
    database: "{{ database }}"
    service: "{{ web_service }}"
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
  sample: ["claims-submit-queue-only is off, so claims become ready again at once: turn it on first."]
prediction:
  description: What the change will lead to, for whoever has to approve it.
  returned: always
  type: list
  elements: str
  sample: ["12 claims wait until they are released; 3 of all open ones are due within a day."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample: "daily_emr.ops.claim_redrive lets them go again, step by step."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: claims/sha
"""

from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._claims_changes import ClaimsChange
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_ledger import DEFERRED, READY
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_options import CLAIMS_API_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._database_readings import read_switch
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    SERVICE_OPTION,
    Json,
    Readings,
    plural,
    unread,
)

DEFER = "SELECT ops.claims_defer(%(at_most)s::integer) AS deferred"
# More than any outbox has waiting at one time; the function wants a number.
ALL = 1_000_000


class Deferral(ClaimsChange):
    """Whether claims are ready to be sent."""

    name: ClassVar[str] = "claim_deferral"
    imperative: ClassVar[bool] = False
    # Claims go on being made.
    volatile: ClassVar[frozenset[str]] = frozenset({"ready"})
    spec: ClassVar[Json] = {
        "claims_api": CLAIMS_API_OPTION,
        "database": DATABASE_OPTION,
        "service": SERVICE_OPTION,
        "held": {"type": "bool", "default": False},
    }
    # What the server said it had moved; None until it answered.
    _moved: int | None = None

    def observe(self) -> Json:
        readings = Readings()
        readings.take(
            claim_ledger=self.ledger,
            circuit=lambda: read_switch(
                self.clients, self.params["service"]["feature_flags"], self.claims_api["circuit_flag"]
            ),
        )
        ledger = readings.need("claim_ledger")
        context = {
            "deferred": ledger.count(DEFERRED),
            "due": ledger.due,
            "held": readings.values.get("circuit", {}).get("on"),
            "unread": readings.unread,
        }
        return {"ready": ledger.count(READY), "context": context}

    def wanted(self, before: Json) -> Json:
        return {"ready": 0}

    def refusals(self, before: Json) -> list[str]:
        if self.params["held"]:
            return []
        reasons = unread(before["context"])
        if before["context"]["held"] is False:
            reasons.append(
                f"{self.claims_api['circuit_flag']} is off, so claims flow and those that are deferred would be "
                "forgotten: turn it on first."
            )
        return reasons

    def calls(self, before: Json) -> int:
        """Claims that become ready on the way are put aside as well, before the first of them is let go."""
        return 2

    def prediction(self, before: Json) -> list[str]:
        return [
            f"{plural(before['ready'], 'claim')} more will wait until a redrive, {before['context']['deferred']} do "
            f"already; {before['context']['due']} of all open ones are due within a day."
        ]

    def apply(self, before: Json) -> None:
        (row,) = self.call("claims_defer", DEFER, at_most=ALL)
        self._moved = int(row["deferred"])

    def done(self, before: Json, after: Json) -> bool:
        """Claims go on being made, so those that are ready now need not be those that were ready before."""
        return self._moved is not None or not after["ready"]

    def inverse(self, before: Json) -> Json | str:
        return "daily_emr.ops.claim_redrive lets them go again, step by step."


ENTRY = change_entry(Deferral)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
