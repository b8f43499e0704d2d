#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: claim_ledger
short_description: Count the claims of the outbox by state, and reconcile what was sent
version_added: 0.2.0
description:
  - Reads how many claims are in which state, how long the oldest has waited, how many are due or overdue, and how many
    have an unknown outcome; and whether what was sent is what was accepted, rejected or is unknown.
  - Reads counts and ages over a read-only session of the runbooks' own role, which cannot read a claim.
author:
  - Daily EMR operations (@daily-emr)
options:
  settle_after_s:
    description: Seconds, at the pace of AWS, after which a claim in doubt may be asked for.
    type: int
    required: true
  due_hours:
    description: Hours within which a deadline counts as near.
    type: int
    default: 24
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.read
  - daily_emr.ops.database
"""

EXAMPLES = r"""
- name: Count the claims
  daily_emr.ops.claim_ledger:
    database: "{{ database }}"
    settle_after_s: 120
  register: ledger
"""

RETURN = r"""
states:
  description: Claims by state, of A5.4 of the incident domain.
  returned: success
  type: dict
  sample:
    acked: 1204
    deferred: 31
    unknown: 2
oldest_waiting_s:
  description: Age in seconds of the claim that has waited longest to be sent.
  returned: success
  type: float
  sample: 411.2
due:
  description: Open claims whose deadline is near.
  returned: success
  type: int
  sample: 3
overdue:
  description: Open claims whose deadline has passed.
  returned: success
  type: int
  sample: 0
unknown:
  description: Claims with an unknown outcome.
  returned: success
  type: int
  sample: 2
askable:
  description: Claims in doubt that the payer may be asked for now.
  returned: success
  type: int
  sample: 2
reconciliation:
  description: What was sent and what is known of it. C(add_up) says whether the sum is right.
  returned: success
  type: dict
  sample:
    sent: 1210
    accepted: 1204
    rejected: 4
    unknown: 2
    unsent: 31
    duplicates: 0
    add_up: true
settled:
  description: Whether the payer may be asked about every claim whose outcome is unknown.
  returned: success
  type: bool
  sample: true
seen:
  description: The same as RV(sentence).
  returned: success
  type: str
  sample: 1210 sent = 1204 accepted + 4 rejected + 2 unknown; 0 duplicates; 31 not sent yet
seconds:
  description: How long was waited, which is not at all.
  returned: success
  type: float
  sample: 0.0
sentence:
  description: The reconciliation in one sentence.
  returned: success
  type: str
  sample: 1210 sent = 1204 accepted + 4 rejected + 2 unknown; 0 duplicates; 31 not sent yet
"""

from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._claims_ledger import (
    UNKNOWN,
    WAITING,
    Ledger,
    read_ledger,
    settle_seconds,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress


def told(ledger: Ledger) -> dict[str, Any]:
    """The ledger as a result: counts and ages."""
    return {
        "states": dict(sorted(ledger.states.items())),
        "oldest_waiting_s": round(ledger.oldest(*WAITING), 1),
        "due": ledger.due,
        "overdue": ledger.overdue,
        "unknown": ledger.count(UNKNOWN),
        "askable": ledger.askable,
        "reconciliation": ledger.totals.as_result(),
        "sentence": ledger.totals.sentence,
        # For the timeline, where this stands as a wait.
        "settled": ledger.askable >= ledger.count(UNKNOWN),
        "seen": ledger.totals.sentence,
        "seconds": 0.0,
    }


def read(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    ledger = read_ledger(
        clients,
        params["database"],
        window_s=1.0,
        due_hours=params["due_hours"],
        settle_after_s=settle_seconds(clients, params["settle_after_s"]),
    )
    progress(ledger.totals.sentence)
    return told(ledger)


ENTRY = read_entry(
    {
        "database": DATABASE_OPTION,
        "settle_after_s": {"type": "int", "required": True},
        "due_hours": {"type": "int", "default": 24},
    },
    read,
)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
