# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the ladder of a redrive. May change without notice.

"""How many claims each step of a half-open redrive lets go, how fast, and when it stops. Pure.

One claim, then five, then 10, 25, 50 and 100 % of the normal rate for a while (incident domain, A5.4, M7). Then the
breaker closes, because new claims take the normal rate again, and the rest goes out beside them at half of it. Its
bounds stand here and not among the inputs: a wish to be fast must not be able to flood the payer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.daily_emr.ops.plugins.module_utils._claims_ledger import (
    AFTERWARDS,
    DEFERRED,
    FAILURES,
    OTHER,
    OUTCOMES,
    READY,
    REJECTED,
    SENDING,
    UNKNOWN,
    Slice,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import plural

# A step that went worse than this is the last one.
MOST_ERRORS = 0.05
MOST_TIMES_SLOWER = 2.0
# What an input may say. The payer's limits are not known (A5.0), so nobody may claim that they are far off.
MOST_PER_MINUTE = 600.0
MOST_STEP_MINUTES = 30


@dataclass(frozen=True)
class Rung:
    """One step: at most so many claims (None: what its time allows), at a share of the normal rate."""

    claims: int | None
    share: float
    rest: bool = False


LADDER = (
    Rung(1, 0.10),
    Rung(5, 0.10),
    Rung(None, 0.10),
    Rung(None, 0.25),
    Rung(None, 0.50),
    Rung(None, 1.00),
    Rung(None, 0.50, rest=True),
)
STEPS = range(1, len(LADDER) + 1)
_CANARIES = [rung for rung in LADDER if rung.claims]


@dataclass(frozen=True)
class Allowance:
    """What one step may let go."""

    claims: int
    per_second: float


def allowance(step: int, waiting: int, normal_per_minute: float, step_s: float) -> Allowance:
    """What a step lets go of those that wait. step_s: how long a step by time lasts, in real seconds."""
    rung = LADDER[step - 1]
    per_second = normal_per_minute / 60 * rung.share
    by_time = waiting if rung.rest else max(math.floor(per_second * step_s), 1)
    return Allowance(min(waiting, by_time if rung.claims is None else rung.claims), per_second)


def bound_refusals(step: int, normal_per_minute: float, step_minutes: int) -> list[str]:
    """Why the inputs are not those of this ladder."""
    reasons = []
    if step not in STEPS:
        reasons.append(f"There is no step {step}: the ladder has the steps 1 to {len(LADDER)}.")
    if not 0 < normal_per_minute <= MOST_PER_MINUTE:
        reasons.append(
            f"claims_api.normal_per_minute is {normal_per_minute:g}: set it to what is sent on a usual day, "
            f"more than 0 and at most {MOST_PER_MINUTE:g}."
        )
    if not 1 <= step_minutes <= MOST_STEP_MINUTES:
        reasons.append(f"step_minutes is {step_minutes}: set it to 1 to {MOST_STEP_MINUTES}.")
    return reasons


def stop_reasons(seen: Slice, normal_p95_ms: int) -> list[str]:
    """Why a redrive must stop at what is known of this step now. Claims under way count for neither side."""
    throttled = seen.count(outcomes=["throttled"])
    tried = seen.count(outcomes=[*OUTCOMES, *AFTERWARDS, OTHER])
    bad = {
        "failed": seen.count(outcomes=FAILURES),
        "refused for the credentials": seen.count(outcomes=["unauthorized"]),
        "rejected": seen.count(REJECTED),
        "with an answer nobody knows": seen.count(outcomes=[OTHER]),
    }
    reasons = []
    if throttled:
        reasons.append(f"the payer asks for less (429, {plural(throttled, 'claim')})")
    if tried and sum(bad.values()) > MOST_ERRORS * tried:
        words = ", ".join(f"{number} {what}" for what, number in bad.items() if number)
        reasons.append(f"{words} of {tried} tried, more than {MOST_ERRORS:.0%}")
    if unknown := seen.count(UNKNOWN):
        reasons.append(f"{plural(unknown, 'claim')} with an unknown outcome")
    if seen.p95_ms > MOST_TIMES_SLOWER * normal_p95_ms:
        reasons.append(f"P95 {seen.p95_ms} ms, more than {MOST_TIMES_SLOWER:g} times the usual {normal_p95_ms} ms")
    return reasons


def open_claims(seen: Slice) -> int:
    """Claims of a step whose end is still to come."""
    return seen.count(READY, SENDING)


def last_taken(before: Mapping[int, Slice]) -> int:
    """The last of the earlier steps that let something go; 0 when none did."""
    return max((step for step, seen in before.items() if seen.released), default=0)


def rung_of(step: int, before: Mapping[int, Slice]) -> int:
    """The rung that a step stands on. A step that found nothing to let go is not climbed, so none is left out: what
    waits later begins where the last good step ended. The rest needs one good step.
    """
    last = last_taken(before)
    if LADDER[step - 1].rest:
        return step if last else len(_CANARIES)
    return min(step, last + 1)


def previous_refusals(before: Mapping[int, Slice], normal_p95_ms: int) -> list[str]:
    """Why the last step that let something go does not allow another one."""
    step = last_taken(before)
    if not step:
        return []
    seen = before[step]
    reasons = [f"Step {step} must be the last one: {why}." for why in stop_reasons(seen, normal_p95_ms)]
    if under_way := open_claims(seen):
        reasons.append(f"{plural(under_way, 'claim')} of step {step} are still under way: wait for them first.")
    if back := seen.count(DEFERRED):
        reasons.append(f"{plural(back, 'claim')} of step {step} came back unsent: look at why first.")
    return reasons


def seconds_to_drain(waiting: int, normal_per_minute: float, step_s: float, step: int = 1) -> float:
    """How long the ladder takes from a step on, when nothing stops it."""
    seconds = 0.0
    for number in range(step, len(LADDER) + 1):
        part = allowance(number, waiting, normal_per_minute, step_s)
        waiting -= part.claims
        seconds += part.claims / part.per_second
    return seconds


def step_name(run: str, step: int) -> str:
    """One redrive is one run: another run begins with its first step."""
    return f"{run}/{step}"
