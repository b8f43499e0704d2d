#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: claim_redrive_settled
short_description: Wait until the claims of one step of a redrive have their answers, or must be stopped
version_added: 0.2.0
description:
  - Looks at the claims of one step of M(daily_emr.ops.claim_redrive) until all of them have an answer, and says at once
    when the step goes badly. That is more than 5 % errors, an answer 429, an unknown outcome, or a P95 of more than
    twice the usual.
  - Changes nothing. When RV(stop) says why, M(daily_emr.ops.claim_deferral) takes back what was not sent yet.
author:
  - Daily EMR operations (@daily-emr)
options:
  step:
    description: Number of the step, V(1) to V(7).
    type: int
    required: true
  timeout:
    description: Seconds after which it gives up, at the pace of AWS.
    type: int
    required: true
  interval:
    description: Seconds between two looks, at the pace of AWS.
    type: int
    default: 5
attributes:
  check_mode:
    description: Does not wait, because nothing was let go.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.claims
  - daily_emr.ops.database
"""

EXAMPLES = r"""
- name: Wait until the one claim has its answer
  daily_emr.ops.claim_redrive_settled:
    claims_api: "{{ claims_api }}"
    database: "{{ database }}"
    step: 1
    timeout: 300
"""

RETURN = r"""
settled:
  description: Whether all claims of the step have an answer, and none of them is a reason to stop.
  returned: success
  type: bool
  sample: true
stop:
  description: Why the redrive must stop here.
  returned: success
  type: list
  elements: str
  sample: ["the payer asks for less (429, 1 claim)"]
counts:
  description: Claims of the step by state.
  returned: success
  type: dict
  sample:
    acked: 5
seen:
  description: The same without the time, for the timeline.
  returned: success
  type: str
  sample: step 2, 5 acked
sentence:
  description: The result in one sentence.
  returned: success
  type: str
  sample: "Step 2: 5 acked, after 12 s."
seconds:
  description: How long it took, in seconds.
  returned: success
  type: float
  sample: 12.1
"""

import time
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._claims_ladder import (
    STEPS,
    open_claims,
    step_name,
    stop_reasons,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_ledger import Slice, read_slice
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_options import CLAIMS_API_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Entry, read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Params, Progress

monotonic = time.monotonic
sleep = time.sleep
# A look costs one session; more than four looks a second would only heat the database.
LEAST_INTERVAL_S = 0.25


def wait(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """Look until every claim has its answer, there is a reason to stop, or the time is up."""
    if params["step"] not in STEPS:
        raise Refused(f"There is no step {params['step']}: the ladder has the steps 1 to {len(STEPS)}.")
    started = monotonic()
    deadline = started + clients.environment.seconds(params["timeout"])
    interval = max(clients.environment.seconds(params["interval"]), LEAST_INTERVAL_S)
    name = step_name((params.get("incident") or {}).get("run") or "no run", params["step"])
    last = ""
    while True:
        seen = read_slice(clients, params["database"], name)
        passed = monotonic() - started
        stop = stop_reasons(seen, params["claims_api"]["normal_p95_ms"])
        left = open_claims(seen)
        if not stop and left and monotonic() >= deadline:
            stop = [f"{left} of {seen.released} have no answer after {passed:.0f} s"]
        if stop or not left:
            return result(params["step"], seen, stop, passed)
        now = described(seen)
        # Said once, but told at every look: the lease lives on progress.
        progress(f"Step {params['step']}: {now}." if now != last else "")
        last = now
        sleep(min(interval, max(deadline - monotonic(), 0.0)))


def result(step: int, seen: Slice, stop: list[str], passed: float) -> dict[str, Any]:
    why = f"; stop: {'; '.join(stop)}" if stop else ""
    return {
        "settled": not stop,
        "stop": stop,
        "counts": by_state(seen),
        "seen": f"step {step}, {described(seen)}{why}",
        "sentence": f"Step {step}: {described(seen)}, after {passed:.0f} s{why}.",
        "seconds": round(passed, 1),
    }


def by_state(seen: Slice) -> dict[str, int]:
    return {state: seen.count(state) for state in sorted({state for state, _outcome in seen.counts})}


def described(seen: Slice) -> str:
    return ", ".join(f"{number} {state}" for state, number in by_state(seen).items()) or "no claim"


def plan(_params: Params, _clients: Clients, _progress: Progress) -> dict[str, Any]:
    """Nothing was let go, so there is nothing to wait for."""
    nothing = "Nothing was let go."
    return {"settled": True, "stop": [], "counts": {}, "seen": nothing, "sentence": nothing, "seconds": 0.0}


SPEC: dict[str, Any] = {
    "claims_api": CLAIMS_API_OPTION,
    "database": DATABASE_OPTION,
    "step": {"type": "int", "required": True},
    "timeout": {"type": "int", "required": True},
    "interval": {"type": "int", "default": 5},
}
WAITING = read_entry(SPEC, wait, kind="waited")
PLANNING = read_entry(SPEC, plan, kind="waited")


def run(params: Params, context: Context) -> dict[str, Any]:
    return (PLANNING if context.check_mode else WAITING).run(params, context)


ENTRY = Entry(WAITING.argument_spec, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
