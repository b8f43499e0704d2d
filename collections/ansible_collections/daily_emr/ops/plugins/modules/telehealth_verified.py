#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: telehealth_verified
short_description: Verify that patients are seen again, by real joins
version_added: 0.1.0
description:
  - Looks at telehealth again and again until it was good O(passes) times in a row. One look that is not good, or that
    could not be read, starts the count anew.
  - A look is good when no symptom of M(daily_emr.ops.telehealth_health) is found, O(success) of at least O(joins) real
    joins since the first look, of the last 15 minutes at most, succeeded at the provider that new sessions go to, and
    the newest join of the application's own bot there did too.
  - While visits are booked by phone another goal counts, because nobody can be seen online. A look is good when at
    least O(bookings) visits were booked since the first look and none of them online.
  - When the goal changes, to visits by phone or back, or to another provider, everything begins anew with that look.
  - Makes a test room at each provider, which ends by itself. Changes nothing.
  - When it cannot succeed any more before time is up it returns V(false) instead of failing, so that the runbook can go
    on from there; or null, when the last bad look saw nothing bad but could not see everything.
author:
  - Daily EMR operations (@daily-emr)
options:
  success:
    description: Share of joins that must succeed, 0 to 1.
    type: float
    required: true
  joins:
    description: Joins that a look must have counted.
    type: int
    required: true
  bookings:
    description: Bookings that a look must have counted while visits are booked by phone.
    type: int
    required: true
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
  - daily_emr.ops.telehealth
  - daily_emr.ops.telehealth.diagnosis
"""

EXAMPLES = r"""
- name: Look at telehealth for half an hour
  daily_emr.ops.telehealth_verified:
    telehealth: "{{ telehealth }}"
    thresholds: "{{ telehealth_degradation_thresholds }}"
    success: 0.99
    joins: 30
    bookings: 5
    passes: 7
    interval: 300
    timeout: 3600
  register: telehealth_degradation_verification
"""

RETURN = r"""
verified:
  description: Whether it was good often enough in a row; null when nobody can tell, and in check mode.
  returned: success
  type: bool
  sample: true
reached:
  description: What was proven where it is not that patients are seen online; empty otherwise.
  returned: success
  type: str
  sample: visits are booked by phone until a provider is well again
passes:
  description: Good looks in a row at the end.
  returned: success
  type: int
  sample: 7
looks:
  description: All looks that were taken.
  returned: success
  type: int
  sample: 9
seconds:
  description: How long it took, in seconds.
  returned: success
  type: float
  sample: 2411.4
failing:
  description: What the last look that was not good saw.
  returned: success
  type: list
  elements: str
  sample: ["joins: 97 of 120 joins succeeded (80.8%)"]
sentence:
  description: The result in one sentence.
  returned: success
  type: str
  sample: Good 7 times in a row, each time with real joins.
"""

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_findings import judged, observe
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_flags import ON, PHONE, PROVIDER
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_options import TELEHEALTH_HEALTH_SPEC
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_readings import read_all, sole_provider
from ansible_collections.daily_emr.ops.plugins.module_utils._verification import (
    Clock,
    Look,
    sort_out,
    until_verified,
    verified_entry,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, iso, plural

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Params, Progress
    from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_joins import Joins
    from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_steady import Samples
    from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Readings

monotonic = time.monotonic
sleep = time.sleep
BY_PHONE = "visits are booked by phone until a provider is well again"


def joined(values: Json, provider: str, success: float, least: int) -> tuple[list[str], list[str]]:
    """Whether enough joins succeeded at the provider, and the bot's; what was not read is an unknown of the health."""
    bad: list[str] = []
    unread: list[str] = []
    joins: Joins | None = values.get("joins")
    if joins is not None:
        figures = joins.of(provider=provider).total
        if figures.joins < least:
            unread.append(f"joins: {figures.joins} of the {least} at {provider} that prove something")
        elif figures.success < success:
            bad.append(f"joins: {figures.seen}")
    samples: Samples | None = values.get("active_samples")
    if samples is not None:
        good, seen = samples.newest()
        if not good:
            (unread if good is None else bad).append(f"bot: {seen}")
    return bad, unread


def booked(values: Json, least: int) -> tuple[list[str], list[str]]:
    """Whether visits are booked, and all of them by phone."""
    found: dict[str, int] | None = values.get("bookings")
    if found is None:
        return [], ["bookings: they could not be read"]
    online = sum(count for channel, count in found.items() if channel != "phone")
    if online:
        return [f"bookings: {plural(online, 'visit')} booked online"], []
    if found.get("phone", 0) < least:
        return [], [f"bookings: {found.get('phone', 0)} of the {least} that prove something"]
    return [], []


@dataclass
class _Looks:
    """Looks at one goal since a moment: that visits are booked by phone, or that patients join at a provider."""

    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    goal: str = ""

    def look(self, params: Params, clients: Clients) -> Look:
        """Look at everything once."""
        now = datetime.now(UTC)
        telehealth, thresholds = params["telehealth"], params["thresholds"]
        readings = read_all(clients, telehealth, thresholds["probe_timeout_s"], now, rooms=True, since=self.since)
        goal, why = _goal(readings)
        if not goal:
            return Look([], [f"goal: {why}"])
        if self.goal and goal != self.goal:
            was, self.goal, self.since = self.goal, goal, now
            return Look([], [f"goal: it was {was} and is {goal} now, so everything begins anew"])
        self.goal = goal
        if goal == PHONE:
            return Look(*booked(readings.values, params["bookings"]))
        at, pace = str(iso(now)), clients.environment.time_factor
        evidence = observe(readings, telehealth, thresholds, at, time_factor=pace)
        known = "joins" in readings.values
        # Stricter than the symptom, which takes its place only where the joins could not be read.
        bad, unread = sort_out(item for item in judged(evidence) if not (known and item["name"] == "joins_failing"))
        more_bad, more_unread = joined(readings.values, goal, params["success"], params["joins"])
        return Look([*more_bad, *bad], [*more_unread, *unread])


def _goal(readings: Readings) -> tuple[str, str]:
    """What has to be proven: visits by phone, or joins at one provider; empty, and why, where nobody knows."""
    phone, provider = (readings.values.get(f"{name}_flag") for name in (PHONE, PROVIDER))
    if phone is None:
        return "", readings.unread[f"{PHONE}_flag"]
    if phone.value == ON:
        return PHONE, ""
    active = sole_provider(provider) if provider is not None else None
    return (active, "") if active else ("", readings.unread["active_look"])


def verify(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """Look until it was good often enough in a row, or until it cannot be any more before time is up."""
    looks = _Looks()
    found = until_verified(
        params, clients, progress, look=looks.look, clock=Clock(monotonic, sleep), proof="real joins or bookings"
    )
    return {**found, "reached": BY_PHONE if looks.goal == PHONE else ""}


_ENTRY = verified_entry(
    {
        **TELEHEALTH_HEALTH_SPEC,
        "success": {"type": "float", "required": True},
        "joins": {"type": "int", "required": True},
        "bookings": {"type": "int", "required": True},
    },
    verify,
)


def run(params: Params, context: Context) -> dict[str, Any]:
    return {"reached": "", **_ENTRY.run(params, context)}


ENTRY = replace(_ENTRY, run=run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
