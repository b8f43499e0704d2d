# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: a month of a service level, and what is left of the one before. May change without notice.

"""Both ledgers of the calendar month beside the last four weeks, day by day; and whether a freeze goes on. Pure.

A freeze ends when the month rolls and seven days went by on which the budget burnt slower than it is given. The first
of a month alone would be an invitation: the facilities have had the outage all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._slo import (
    DAY_MINUTES,
    Burn,
    Policy,
    Series,
    State,
    burn_over,
    keep_ledgers,
    spent_state,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_days import begin
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_findings import (
    Budget,
    as_json,
    assess,
    describe_budget,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_readings import Kept, days_between, month_before
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, iso

ROLLING_DAYS = 28


@dataclass(frozen=True)
class Carried:
    """What the month before has left: its state at its end, since when it was frozen, and how calm it was since."""

    state: State | None = None  # None where nothing is known of that month: the service may not have been there
    frozen_on: date | None = None
    calm_days: int = 0  # the longest run of calm days since

    def holds(self, wanted: int) -> bool | None:
        """Whether the freeze goes on; wanted: calm days in a row that end it. None when nobody can say whether it was
        frozen, and it was not calm for so long that this is all the same.
        """
        if self.frozen_on is None or self.calm_days >= wanted:
            return False
        return True if self.state == State.FREEZE else None


def calendar_policy(slo: Mapping[str, Any], at: datetime) -> Policy:
    """The policy of the calendar month in UTC, whatever the inventory counts over elsewhere."""
    return Policy.from_params({**slo, "month_minutes": None}, at)


def rolling_policy(slo: Mapping[str, Any], at: datetime) -> Policy:
    return Policy.from_params({**slo, "month_minutes": ROLLING_DAYS * DAY_MINUTES}, at)


def month_budget(kept: Kept, slo: Mapping[str, Any], at: datetime) -> Budget:
    """The budget of the calendar month so far."""
    return assess(kept.readings, calendar_policy(slo, at), at)


def burn_of_day(requests: Series, day: date, policy: Policy) -> Burn:
    """The burn of one UTC day."""
    whole = replace(requests, shortest_minutes=0.0)
    return burn_over(whole, DAY_MINUTES, policy.budget, begin(day) + timedelta(days=1))


def longest_calm(requests: Series, first: date, until: date, policy: Policy) -> int:
    """The longest run of days, from first and without the last one, on each of which burn was known and below 1."""
    longest = run = 0
    for day in days_between(first, until):
        run = run + 1 if burn_of_day(requests, day, policy).calm else 0
        longest = max(longest, run)
    return longest


def carried_freeze(kept: Kept, slo: Mapping[str, Any], at: datetime) -> Carried:
    """What the month before has left."""
    rolled = begin(at.date().replace(day=1))
    policy = calendar_policy(slo, rolled - timedelta(minutes=1))
    ledgers = keep_ledgers(kept.requests, kept.synthetic, policy, rolled)
    if ledgers is None:
        return Carried()
    state = spent_state(ledgers, policy)
    if state not in (State.FREEZE, State.UNKNOWN):
        return Carried(state)
    # Where nobody knows whether it was frozen, calm days count from the end of that month.
    frozen_on = _frozen_on(kept, policy, rolled.date()) if state == State.FREEZE else rolled.date() - timedelta(days=1)
    return Carried(state, frozen_on, longest_calm(kept.requests, frozen_on + timedelta(days=1), at.date(), policy))


def _frozen_on(kept: Kept, policy: Policy, rolled: date) -> date:
    """The day from whose end on the month was frozen until it was over."""
    day = rolled
    while day > policy.since.date():
        ledgers = keep_ledgers(kept.requests, kept.synthetic, policy, begin(day))
        if ledgers is None or ledgers.spent_minutes(policy) < policy.freeze_minutes:
            break
        day -= timedelta(days=1)
    # It was not frozen yet when `day` began, so it froze on it.
    return day


def day_rows(kept: Kept, policy: Policy, at: datetime) -> list[Json]:
    """The days of the month so far, the oldest first. What is not known is null, and never 0."""
    rows = []
    for day in days_between(policy.since.date(), at.date() + timedelta(days=1)):
        end = min(begin(day) + timedelta(days=1), at)
        ledgers = keep_ledgers(kept.requests, kept.synthetic, replace(policy, since=begin(day)), end)
        burn = burn_of_day(kept.requests, day, policy).burn
        stored = kept.days.get(day)
        row: Json = {"day": str(day), "source": "ledger" if stored else "live" if ledgers else "none"}
        row |= {
            "bad": ledgers.bad if ledgers else None,
            "valid": ledgers.valid if ledgers else None,
            "down_minutes": ledgers.down_minutes if ledgers else None,
            "burn": None if burn is None else round(burn, 3),
            "missing_minutes": stored.missing if stored else None,
            "finished": begin(day) + timedelta(days=1) <= at,
        }
        rows.append(row)
    return rows


def month_page(kept: Kept, service: Json, slo: Mapping[str, Any], at: datetime, settle: int) -> Json:
    """The month as plain data, for the page and for programs."""
    budget = month_budget(kept, slo, at)
    rolling = assess(kept.readings, rolling_policy(slo, at), at)
    unread = "requests" in kept.readings.unread
    writable, lost = kept.unwritten(at, settle)
    carried = None if unread else carried_freeze(kept, slo, at)
    return {
        "component": service["component"],
        "read_at": iso(at),
        "month": f"{at:%Y-%m}",
        "state": str(budget.state),
        "sentence": describe_budget(budget, service),
        "calendar": as_json(budget),
        "rolling": as_json(rolling),
        "rolling_days": ROLLING_DAYS,
        "carried": carried
        and {
            "state": carried.state and str(carried.state),
            "frozen_on": carried.frozen_on and str(carried.frozen_on),
            "calm_days": carried.calm_days,
        },
        "days": [] if unread else day_rows(kept, budget.policy, at),
        "unread": sorted(kept.readings.unread.values()),
        "damaged": sorted(kept.damaged),
        "to_write": [str(day) for day in writable],
        "lost": [str(day) for day in lost if day >= month_before(at)],
    }
