#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: claim_reconciliation
short_description: Ask the payer what became of claims with an unknown outcome, and write it down
version_added: 0.2.0
description:
  - Asks the payer for each claim in doubt by our own identifier, at most one a second (at the pace of AWS), and writes
    the answers of one batch into the outbox with one statement. What the payer has becomes accepted or
    rejected. What it does not have is deferred, so that a redrive may send it.
  - Submits nothing. A claim in doubt is never sent again from here.
  - Stops at the first question that is not answered, such as one answered with 429; what was answered until then is
    written down. When nothing was answered nothing is changed.
  - Asks only for claims that are in doubt for O(settle_after_s), because a younger one may still be under way.
  - Nothing is changed when no outcome is unknown. Refuses when the API gives no token.
  - Identifiers stay in the process that asks. What is shown are counts.
author:
  - Daily EMR operations (@daily-emr)
options:
  batch:
    description: Most claims to ask for in one step, V(1) to V(100).
    type: int
    default: 50
  settle_after_s:
    description: Seconds, at the pace of AWS, for which a claim must have been in doubt.
    type: int
    required: true
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.claims
  - daily_emr.ops.database
"""

EXAMPLES = r"""
- name: Ask the payer about the claims whose answers were lost
  daily_emr.ops.claim_reconciliation:
    claims_api: "{{ claims_api }}"
    database: "{{ database }}"
    settle_after_s: 120
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
  sample: ["The claims API gives no token (503 in 12 ms), so nobody can be asked: wait until it does."]
prediction:
  description: What the change will lead to, for whoever has to approve it.
  returned: always
  type: list
  elements: str
  sample: ["The payer is asked for 50 of 120 claims, at most 1 a second; nothing is sent again."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample: "Nothing to undo: what the payer says of a claim is written down."
stopped:
  description: Why not all of the batch were asked for; empty when they were. Then nobody is to be asked on.
  returned: always
  type: str
  sample: the payer asks for less (429)
target:
  description: What the change is about.
  returned: always
  type: str
  sample: claims/sha
"""

import json
import time
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._claims_api import log_in
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_changes import DUE_HOURS, ClaimsChange
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_ledger import (
    IN_DOUBT,
    LIMIT_S,
    SUMMARY,
    UNKNOWN,
    settle_seconds,
    stamp,
    summed,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_options import CLAIMS_API_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_reconciliation import (
    INTERVAL_S,
    MOST_PER_STEP,
    Asked,
    ask_all,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION, endpoint, session
from ansible_collections.daily_emr.ops.plugins.module_utils._verification import Clock
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings, plural, unread

monotonic = time.monotonic
sleep = time.sleep
# More than can be asked for in one incident at one a second.
MOST_IN_DOUBT = 10_000
SETTLE = """
SELECT ops.claim_settle(
    a.claim, a.since, a.answer, a.response, a.copies, make_interval(secs => %(older_than_s)s::float8)) AS state
FROM jsonb_to_recordset(%(answers)s::jsonb)
  AS a(claim bigint, since timestamptz, answer text, response text, copies integer)"""


class Reconciliation(ClaimsChange):
    """How many claims have an unknown outcome."""

    name: ClassVar[str] = "claim_reconciliation"
    imperative: ClassVar[bool] = False
    # Workers that are asked to stop may still leave claims in doubt.
    volatile: ClassVar[frozenset[str]] = frozenset({"unknown"})
    spec: ClassVar[Json] = {
        "claims_api": CLAIMS_API_OPTION,
        "database": DATABASE_OPTION,
        "batch": {"type": "int", "default": 50},
        "settle_after_s": {"type": "int", "required": True},
    }
    _asked: Asked = Asked()

    def observe(self) -> Json:
        readings = Readings()
        readings.take(claims=self._in_doubt, token=lambda: log_in(self.clients, self.api, self.claims_api))
        found = readings.need("claims")
        context = {**found, "token": readings.values.get("token"), "unread": readings.unread}
        return {"unknown": found["unknown"], "context": context}

    def _in_doubt(self) -> Json:
        place = endpoint(self.clients, self.database)
        with session(self.clients, self.database, place, limit_s=LIMIT_S) as found:
            states = summed(found.execute(SUMMARY, {"due_hours": DUE_HOURS}).fetchall())["states"]
            rows = found.execute(IN_DOUBT, {"at_most": MOST_IN_DOUBT, "older_than_s": self._settle_s}).fetchall()
        claims = [
            {"claim": int(row["claim"]), "identifier": str(row["identifier"]), "since": stamp(row["since"])}
            for row in rows
        ]
        # Those that a worker left when it died say that they are being sent, for too long.
        return {"unknown": max(states.get(UNKNOWN, 0), len(claims)), "claims": claims}

    @property
    def _settle_s(self) -> float:
        return settle_seconds(self.clients, self.params["settle_after_s"])

    @property
    def _batch(self) -> int:
        return int(min(max(self.params["batch"], 1), MOST_PER_STEP))

    def wanted(self, before: Json) -> Json:
        askable = len(before["context"]["claims"])
        return {"unknown": before["unknown"] - (min(self._batch, askable) or before["unknown"])}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        reasons = unread({"unread": {name: why for name, why in context["unread"].items() if name != "claims"}})
        if not 1 <= self.params["batch"] <= MOST_PER_STEP:
            reasons.append(f"batch is {self.params['batch']}: set it to 1 to {MOST_PER_STEP}.")
        if not context["claims"]:
            reasons.append(
                f"{plural(before['unknown'], 'claim')} became unknown less than {self.params['settle_after_s']} s ago, "
                "and may still be under way: ask in a while."
            )
        if context["token"] is not None and not context["token"][0].ok:
            seen = context["token"][0].seen
            reasons.append(f"The claims API gives no token ({seen}), so nobody can be asked: wait until it does.")
        return reasons

    def calls(self, before: Json) -> int:
        """As many batches as there are, and some for claims that come into doubt meanwhile."""
        return 3 + int(before["unknown"]) // self._batch

    def prediction(self, before: Json) -> list[str]:
        number = min(self._batch, len(before["context"]["claims"]))
        return [
            f"The payer is asked for {number} of {plural(before['unknown'], 'claim')}, at most one in "
            f"{self._interval_s:.3g} s; nothing is sent again."
        ]

    @property
    def _interval_s(self) -> float:
        return self.aws_seconds(INTERVAL_S)

    def apply(self, before: Json) -> None:
        api, (_reply, token) = self.api, before["context"]["token"]
        claims = before["context"]["claims"][: self._batch]
        self._asked = ask_all(claims, lambda name: api.fate(token, name), Clock(monotonic, sleep), self._interval_s)
        if not self._asked.answers:
            raise CallFailed(
                f"Nobody told what became of a claim ({self._asked.stopped}), so nothing was written down."
            )
        self.call("claim_settle", SETTLE, answers=json.dumps(self._asked.answers), older_than_s=self._settle_s)

    def remarks(self) -> Json:
        return {"stopped": self._asked.stopped}

    def done(self, before: Json, after: Json) -> bool:
        told = {item["claim"] for item in self._asked.answers}
        return bool(told) and not told & {item["claim"] for item in after["context"]["claims"]}

    def inverse(self, before: Json) -> Json | str:
        return "Nothing to undo: what the payer says of a claim is written down."


ENTRY = change_entry(Reconciliation)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
