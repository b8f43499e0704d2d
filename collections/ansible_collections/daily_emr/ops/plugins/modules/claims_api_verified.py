#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: claims_api_verified
short_description: Verify that claims flow again, or that an outage of the payer is contained, and reconcile
version_added: 0.2.0
description:
  - Looks again and again until it was good O(passes) times in a row. One look that is not good, or that could not be
    read, starts the count anew.
  - Where claims are sent, a look is good when no symptom of M(daily_emr.ops.claims_api_health) is found, our own
    facility can be read, and 98 % of the submissions of the last minutes were accepted, if there were enough to tell.
  - Where claims are held, it is good when facilities are answered about eligibility and no claim goes out. Where only
    eligibility is answered without the payer, claims must flow beside it.
  - In both cases sent = accepted + rejected + unknown must hold, and no claim may be with the payer twice.
  - Changes nothing and submits nothing.
  - When it cannot succeed any more before time is up it returns V(false) instead of failing, so that the runbook can go
    on from there; or null, when the last bad look saw nothing bad but could not see everything.
author:
  - Daily EMR operations (@daily-emr)
options:
  passes:
    description: Good looks in a row.
    type: int
    required: true
  interval:
    description: Seconds between two looks, at the pace of AWS.
    type: int
    required: true
  timeout:
    description: Seconds after which it gives up, at the pace of AWS.
    type: int
    required: true
attributes:
  check_mode:
    description: Does not look, because nothing was changed.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: N/A
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.claims
  - daily_emr.ops.claims.diagnosis
  - daily_emr.ops.database
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Look at the claims for half an hour
  daily_emr.ops.claims_api_verified:
    claims_api: "{{ claims_api }}"
    database: "{{ database }}"
    service: "{{ web_service }}"
    thresholds: "{{ claims_api_outage_thresholds }}"
    passes: 20
    interval: 90
    timeout: 5400
  register: claims_api_outage_verification
"""

RETURN = r"""
verified:
  description: Whether it was good often enough in a row; null when nobody can tell, and in check mode.
  returned: success
  type: bool
  sample: true
goal:
  description:
    - What was verified, V(recovered) or V(contained). The second means that claims are held until the payer is back.
  returned: when it looked
  type: str
  sample: recovered
reached:
  description: What that means, for the end of the record.
  returned: when it looked
  type: str
  sample: claims and eligibility work again
reconciliation:
  description: What was sent and what is known of it, by the last look; null when it could not be read.
  returned: when it looked
  type: dict
  sample:
    sent: 1210
    accepted: 1206
    rejected: 4
    unknown: 0
    unsent: 0
    duplicates: 0
    add_up: true
passes:
  description: Good looks in a row at the end.
  returned: success
  type: int
  sample: 20
looks:
  description: All looks that were taken.
  returned: success
  type: int
  sample: 23
seconds:
  description: How long it took, in seconds.
  returned: success
  type: float
  sample: 611.4
failing:
  description: What the last look that was not good saw.
  returned: success
  type: list
  elements: str
  sample: ["unknown_outcomes: 2 claims with an unknown outcome"]
sentence:
  description: The result in one sentence.
  returned: success
  type: str
  sample: Good 20 times in a row, each time with a read of our own facility. 1210 sent = 1206 accepted + 4 rejected.
"""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._claims_findings import (
    few_accepted,
    judged,
    not_contained,
    observe,
    switched,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_ledger import Ledger, read_ledger
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_options import CLAIMS_HEALTH_SPEC
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_readings import read_all
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._verification import (
    Clock,
    Look,
    sort_out,
    until_verified,
    verified_entry,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings, iso, plural

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress

monotonic = time.monotonic
sleep = time.sleep
RECOVERED = "recovered"
CONTAINED = "contained"
REACHED = {
    RECOVERED: "claims and eligibility work again",
    CONTAINED: "it is contained, not over: care goes on and no claim is lost; run this again when the payer answers",
}


class Watch:
    """The looks of one verification, and what the last of them saw."""

    def __init__(self) -> None:
        self.goal = RECOVERED
        self.ledger: Ledger | None = None

    def look(self, params: Params, clients: Clients) -> Look:
        """Look at everything once; what counts depends on whether claims are held."""
        claims_api, thresholds = params["claims_api"], params["thresholds"]
        readings = read_all(clients, claims_api, params["database"], params["service"], thresholds)
        at, pace = str(iso(datetime.now(UTC))), clients.environment.time_factor
        evidence = observe(readings, claims_api, thresholds, at, time_factor=pace)
        self.ledger = readings.values.get("ledger")
        claims_held, unverified = switched(readings)
        if not claims_held and not unverified:
            self.goal = RECOVERED
            bad, unread = sort_out(judged(evidence))
            few = few_accepted(self.ledger, thresholds["min_calls"]) if self.ledger else ""
            return Look([*bad, *([few] if few else [])], unread)
        self.goal = CONTAINED
        bad, unread = sort_out(not_contained(evidence, claims_held=claims_held))
        if claims_held:
            lately = self._sent_lately(params, clients)
            unread += [f"claims_sent: {why}" for why in lately.unread.values()]
            if number := lately.values.get("calls"):
                bad.append(f"claims_sent: {plural(number, 'submission')} since the look before")
        return Look(bad, unread)

    @staticmethod
    def _sent_lately(params: Params, clients: Clients) -> Readings:
        """How many submissions went out since the look before, although claims are held."""
        window_s = clients.environment.seconds(params["interval"])
        hours, readings = params["thresholds"]["due_hours"], Readings()
        readings.take(
            calls=lambda: read_ledger(
                clients, params["database"], window_s=window_s, due_hours=hours, settle_after_s=0.0
            ).calls()
        )
        return readings


def verify(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """Look until it was good often enough in a row, or until it cannot be any more before time is up."""
    watch = Watch()
    result = until_verified(
        params,
        clients,
        progress,
        look=watch.look,
        clock=Clock(monotonic, sleep),
        proof="a look at our own facility, the workers' submissions and the outbox",
    )
    totals = watch.ledger.totals if watch.ledger else None
    closing: Json = {
        "goal": watch.goal,
        "reached": REACHED[watch.goal],
        "reconciliation": totals.as_result() if totals else None,
    }
    sentence = f"{result['sentence']} {totals.sentence if totals else 'The claims could not be counted'}."
    return {**result, **closing, "sentence": sentence}


ENTRY = verified_entry(CLAIMS_HEALTH_SPEC, verify)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
