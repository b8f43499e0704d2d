#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: claim_redrive
short_description: Let one step of the deferred claims go
version_added: 0.2.0
description:
  - Lets the claims of one step of a half-open redrive go, while the circuit breaker stays open for all others. The
    steps are one claim, five claims, then 10, 25, 50 and 100 % of the normal rate for O(step_minutes) each, then
    the rest at half of it, beside new claims.
  - The application sends them at the rate of the step, preauthorisations and inpatients first, then the oldest
    deadlines. A claim is never sent from here.
  - Nothing is changed when the step was taken in this run already, or when no claim is deferred. A step that found
    nothing to let go is not climbed, so no step is ever left out.
  - Refuses while an outcome is unknown, when the API does not answer a harmless read just now, when the breaker does
    not keep the other claims back, when the step before is still under way, or had more than 5 % errors, an
    answer 429, or a P95 of more than twice the usual. No input changes these bounds.
author:
  - Daily EMR operations (@daily-emr)
options:
  step:
    description: Number of the step, V(1) to V(7).
    type: int
    required: true
  step_minutes:
    description: How long a step by rate lasts, in minutes at the pace of AWS, V(1) to V(30).
    type: int
    default: 5
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.claims
  - daily_emr.ops.database
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Send one claim, to see whether it arrives
  daily_emr.ops.claim_redrive:
    claims_api: "{{ claims_api }}"
    database: "{{ database }}"
    service: "{{ web_service }}"
    step: 1
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
  sample: ["3 claims have an unknown outcome: ask the payer for each of them first."]
prediction:
  description: What the change will lead to, for whoever has to approve it.
  returned: always
  type: list
  elements: str
  sample: ["1 of 240 claims goes out at 0.2 a second; the whole backlog takes about 23 min when nothing stops it."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample: "None for what was sent; daily_emr.ops.claim_deferral takes back what was not."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: claims/sha
"""

from datetime import timedelta
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._claims_api import Reply, log_in
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_changes import ClaimsChange
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_ladder import (
    LADDER,
    Allowance,
    allowance,
    bound_refusals,
    previous_refusals,
    rung_of,
    seconds_to_drain,
    step_name,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_ledger import (
    DEFERRED,
    UNKNOWN,
    Slice,
    read_slices,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_options import CLAIMS_API_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._database_readings import read_switch
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    SERVICE_OPTION,
    Json,
    Readings,
    plural,
    spoken,
    unread,
)

# As long as a worker waits for an answer, and more.
ABANDONED_S = 120
RELEASE = "SELECT ops.claims_release(%(step)s, %(at_most)s::integer, %(per_second)s::float8) AS released"


class Redrive(ClaimsChange):
    """One step of a redrive."""

    name: ClassVar[str] = "claim_redrive"
    # The name of the step makes the same call twice one step.
    imperative: ClassVar[bool] = False
    irreversible: ClassVar[str] = "claims that were sent stay sent"
    # The steps of a redrive are one thing in a plan, and how many claims wait moves.
    volatile: ClassVar[frozenset[str]] = frozenset({"step", "released"})
    spec: ClassVar[Json] = {
        "claims_api": CLAIMS_API_OPTION,
        "database": DATABASE_OPTION,
        "service": SERVICE_OPTION,
        "step": {"type": "int", "required": True},
        "step_minutes": {"type": "int", "default": 5},
    }

    @property
    def _step_s(self) -> float:
        return self.aws_seconds(self.params["step_minutes"] * 60)

    @property
    def _run(self) -> str:
        return (self.params.get("incident") or {}).get("run") or "no run"

    def observe(self) -> Json:
        step = self.params["step"]
        readings = Readings()
        readings.take(
            claim_ledger=lambda: self.ledger(ABANDONED_S),
            steps=lambda: read_slices(
                self.clients, self.database, {number: step_name(self._run, number) for number in range(1, step + 1)}
            ),
            circuit=lambda: read_switch(
                self.clients, self.params["service"]["feature_flags"], self.claims_api["circuit_flag"]
            ),
            claims_api=self._read,
        )
        ledger, steps = readings.need("claim_ledger"), readings.need("steps")
        taken = steps.pop(step, Slice())
        context = {
            "waiting": ledger.count(DEFERRED),
            # One that is on its way for too long was left by a worker that died.
            "unknown": max(ledger.count(UNKNOWN), ledger.askable),
            "before": steps,
            "held": readings.values.get("circuit", {}).get("on"),
            "api": readings.values.get("claims_api"),
            "unread": readings.unread,
        }
        return {"step": step, "released": taken.released, "context": context}

    def _read(self) -> Reply:
        """A token and the harmless read; the first of the two that is not answered well."""
        api = self.api
        reply, token = log_in(self.clients, api, self.claims_api)
        return api.facility(token) if reply.ok else reply

    def wanted(self, before: Json) -> Json:
        """What the step would let go; a step that was taken is taken."""
        released = before["released"]
        if not released and not self._bounds():
            released = self._allowed(before).claims
        return {"step": self.params["step"], "released": released or (1 if self._bounds() else 0)}

    def _bounds(self) -> list[str]:
        return bound_refusals(self.params["step"], self.claims_api["normal_per_minute"], self.params["step_minutes"])

    def _allowed(self, before: Json) -> Allowance:
        rung = rung_of(self.params["step"], before["context"]["before"])
        return allowance(rung, before["context"]["waiting"], self.claims_api["normal_per_minute"], self._step_s)

    def refusals(self, before: Json) -> list[str]:
        context, step = before["context"], self.params["step"]
        if bounds := self._bounds():
            return bounds
        reasons = unread(context)
        if context["unknown"]:
            reasons.append(
                f"{plural(context['unknown'], 'claim')} with an unknown outcome: ask the payer for each "
                "of them first, a claim that is sent again may be a second one."
            )
        if context["api"] is not None and not context["api"].ok:
            reasons.append(
                f"The claims API does not answer a harmless read ({context['api'].seen}): wait until it does."
            )
        if context["held"] is False and not LADDER[step - 1].rest:
            reasons.append(
                f"{self.claims_api['circuit_flag']} is off, so other claims go out beside those of the step: "
                "turn it on first."
            )
        return reasons + previous_refusals(context["before"], self.claims_api["normal_p95_ms"])

    def calls(self, before: Json) -> int:
        return len(LADDER)

    def prediction(self, before: Json) -> list[str]:
        if self._bounds():
            return []
        waiting, step = before["context"]["waiting"], self.params["step"]
        allowed = self._allowed(before)
        left = seconds_to_drain(waiting, self.claims_api["normal_per_minute"], self._step_s, step)
        go = "goes" if allowed.claims == 1 else "go"
        return [
            f"{allowed.claims} of {plural(waiting, 'claim')} {go} out, at most {allowed.per_second:.3g} a second; the "
            f"whole backlog takes about {spoken(timedelta(seconds=left))} when nothing stops it."
        ]

    def apply(self, before: Json) -> None:
        allowed = self._allowed(before)
        self.call(
            "claims_release",
            RELEASE,
            step=step_name(self._run, self.params["step"]),
            at_most=allowed.claims,
            per_second=allowed.per_second,
        )

    def done(self, before: Json, after: Json) -> bool:
        """How many were there when it was taken may have changed since it was looked at; a step is taken once."""
        return bool(after["released"])

    def inverse(self, before: Json) -> Json | str:
        return "None for what was sent; daily_emr.ops.claim_deferral takes back what was not."


ENTRY = change_entry(Redrive)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
