#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: zonal_shift
short_description: Move the traffic of a load balancer away from one availability zone
version_added: 0.1.0
description:
  - Starts a zonal shift of the load balancer away from an availability zone. It ends by itself after O(expires_in).
  - Nothing is changed when the traffic is already shifted away from that zone.
  - Refuses when the healthy tasks of the remaining zones could not carry the load, when targets fail there too, when
    traffic is already shifted away from another zone, and when the database is in the zone and nobody in the
    remaining zones reaches it.
  - Existing connections move within a few minutes.
author:
  - Daily EMR operations (@daily-emr)
options:
  state:
    description: Whether traffic is shifted away from a zone. V(absent) cancels a shift and is for undoing.
    type: str
    choices: [present, absent]
    default: present
  away_from:
    description: Id of the availability zone, for example V(afs1-az1). Required with O(state=present).
    type: str
  expires_in:
    description: When the shift ends by itself, from V(1m) to V(72h). Required with O(state=present).
    type: str
attributes:
  check_mode:
    description: Reports the shift that would be started, and every reason why it may not.
    support: full
  diff_mode:
    description: Shows the zone traffic is shifted away from, before and after.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Move traffic out of the impaired zone for two hours
  daily_emr.ops.zonal_shift:
    service: "{{ web_service }}"
    away_from: afs1-az1
    expires_in: 2h

- name: Let traffic return
  daily_emr.ops.zonal_shift:
    service: "{{ web_service }}"
    state: absent
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
  sample: ["1 healthy task in the remaining zones cannot carry the load of 2: raise the capacity first."]
undo:
  description: The module and arguments that would undo the change, or a sentence why nothing can.
  returned: always
  type: raw
  sample:
    module: daily_emr.ops.zonal_shift
    args:
      state: absent
target:
  description: What the change is about.
  returned: always
  type: str
  sample: load-balancer/daily-emr-staging
"""

import math
import re
from datetime import timedelta
from functools import partial
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._balancer import read_balancer, read_shift, read_targets
from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import peak, read_database, read_tasks, ready
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import read_service
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    SERVICE_OPTION,
    Json,
    Readings,
    WebServiceChange,
    iso,
    listed,
    parse_utc,
    plural,
    target_groups,
    unread,
)

# Tasks busier than this on average have no room for a burst.
FULL_PERCENT = 80
SHORTEST = timedelta(minutes=1)
LONGEST = timedelta(hours=72)


class ZonalShift(WebServiceChange):
    """The zone a load balancer sends no traffic to."""

    name: ClassVar[str] = "zonal_shift"
    imperative: ClassVar[bool] = True
    sends: ClassVar[tuple[str, ...]] = ("arc-zonal-shift:StartZonalShift", "arc-zonal-shift:CancelZonalShift")
    # The end is counted from the call on.
    volatile: ClassVar[frozenset[str]] = frozenset({"until"})
    spec: ClassVar[Json] = {
        "service": SERVICE_OPTION,
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "away_from": {"type": "str"},
        "expires_in": {"type": "str"},
    }

    @property
    def target(self) -> str:
        return f"load-balancer/{self.service['load_balancer']}"

    def observe(self) -> Json:
        clients, service = self.clients, self.service
        where = (clients, service["cluster"], service["service"])
        readings = Readings()
        readings.take(
            load_balancer=lambda: read_balancer(clients, service["load_balancer"]),
            service=lambda: read_service(*where),
            targets=lambda: read_targets(clients, target_groups(service)),
            tasks=lambda: read_tasks(*where),
            database=lambda: read_database(clients, service["database"]),
        )
        balancer, now = readings.need("load_balancer"), readings.need("service")["read_at"]
        readings.take(
            zonal_shift=lambda: read_shift(clients, balancer["arn"], now),
            CPU_of_the_tasks=lambda: self._cpu(now),
        )
        self._ask_the_rest(readings)
        shift = readings.need("zonal_shift") or {}
        return {"away_from": shift.get("away_from"), "until": shift.get("until"), "context": readings.context()}

    def _cpu(self, now: str) -> float:
        names = {"ClusterName": self.service["cluster"], "ServiceName": self.service["service"]}
        return peak(self.clients, "AWS/ECS", "CPUUtilization", "Average", now, **names)

    def _ask_the_rest(self, readings: Readings) -> None:
        """Where the database is in the zone itself, ask the tasks of the other zones whether they reach it."""
        zone = self._zone_name(readings.values)
        if zone is None or readings.values.get("database", {}).get("zone") != zone:
            return
        timeout_s = (self.service.get("probes") or {}).get("timeout_s") or 3.0
        probes = Readings()
        rest = [task for task in readings.values.get("tasks", []) if task["zone"] != zone]
        probes.take(**{task["id"]: partial(ready, task["address"], self.service["port"], timeout_s) for task in rest})
        readings.values["ready"] = probes.values
        readings.unread.update(probes.unread)

    def _zone_name(self, context: Json) -> str | None:
        zones: dict[str, str] = context["load_balancer"]["zones"]
        return zones.get(self.params["away_from"] or "")

    def wanted(self, before: Json) -> Json:
        if self.params["state"] == "absent":
            return {"away_from": None, "until": None}
        if before["away_from"] == self.params["away_from"]:
            return {"away_from": before["away_from"], "until": before["until"]}
        length = parse_length(self.params["expires_in"])
        until = iso(parse_utc(before["context"]["service"]["read_at"]) + length) if length else None
        return {"away_from": self.params["away_from"], "until": until}

    def refusals(self, before: Json) -> list[str]:
        context = before["context"]
        shift = context["zonal_shift"] or {}
        if self.params["state"] == "absent":
            if shift.get("id") is None:
                return ["The shift was started by AWS (autoshift), not by us: end it in the ARC console."]
            return []
        reasons = unread(context) + self._input_refusals(context)
        if context["zonal_shift"] is None:
            reasons.append("Zonal shift is not enabled for the load balancer: set zonal_shift.config.enabled to true.")
        elif before["away_from"]:
            reasons.append(
                f"Traffic is already shifted away from {before['away_from']} until {before['until']}: "
                "two zones at once are too many, cancel that shift first."
            )
        zone = self._zone_name(context)
        if zone:
            reasons += _capacity_refusals(context, zone) + _database_refusals(context, zone)
        return reasons

    def _input_refusals(self, context: Json) -> list[str]:
        reasons = []
        zones = context["load_balancer"]["zones"]
        if self.params["away_from"] not in zones:
            reasons.append(
                f"away_from {self.params['away_from']} is not a zone of the load balancer: use one of {listed(zones)}."
            )
        length = parse_length(self.params["expires_in"])
        if length is None or not SHORTEST <= length <= LONGEST:
            reasons.append(f"expires_in {self.params['expires_in']} is not between 1m and 72h: write it as 30m or 2h.")
        return reasons

    def apply(self, before: Json) -> None:
        context = before["context"]
        if self.params["state"] == "absent":
            self.clients.write("arc-zonal-shift", "CancelZonalShift").cancel_zonal_shift(
                zonalShiftId=context["zonal_shift"]["id"]
            )
            return
        incident = (self.params.get("incident") or {}).get("id", "")
        self.clients.write("arc-zonal-shift", "StartZonalShift").start_zonal_shift(
            resourceIdentifier=context["load_balancer"]["arn"],
            awayFrom=self.params["away_from"],
            expiresIn=self.params["expires_in"],
            comment=f"{incident} {self.name}".strip(),
        )

    def aws_call(self, before: Json) -> str:
        return self.sends[int(self.params["state"] == "absent")]

    def resources(self, before: Json) -> list[str]:
        return [before["context"]["load_balancer"]["arn"]]

    def inverse(self, before: Json) -> Json | str:
        if self.params["state"] == "absent":
            return "None by itself: start a shift again with a new expiry, if the zone is still impaired."
        return self.step_back(self.name, state="absent")

    def done(self, before: Json, after: Json) -> bool:
        """AWS sets the expiry to the second, we only foresee it."""
        return bool(after["away_from"] == self.wanted(before)["away_from"])

    def untouched(self, before: Json, after: Json) -> bool:
        """ARC shows a shift, or its end, as soon as it has taken the call."""
        return bool(after["away_from"] == before["away_from"])


def parse_length(text: str | None) -> timedelta | None:
    """``30m`` or ``2h``, as StartZonalShift takes it."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mh])", text or "")
    if not found:
        return None
    return timedelta(**{{"m": "minutes", "h": "hours"}[found.group(2)]: int(found.group(1))})


def _capacity_refusals(context: Json, zone: str) -> list[str]:
    """Whether the healthy tasks outside the zone carry the load, and whether they are healthy at all."""
    if not {"targets", "tasks", "CPU_of_the_tasks"} <= context.keys():
        return []
    place = {task["address"]: task["zone"] for task in context["tasks"]}
    rest = [target for target in context["targets"] if place.get(target["address"], target["zone"]) not in (zone, None)]
    healthy = [target for target in rest if target["state"] == "healthy"]
    failing = [target for target in rest if target["state"] == "unhealthy"]
    load = len(context["tasks"]) * context["CPU_of_the_tasks"] / FULL_PERCENT
    needed = max(1, math.ceil(load))
    reasons = []
    if failing:
        seen = plural(len(failing), "target")
        reasons.append(f"{seen} in the remaining zones fail too, so one zone is not the cause: look for another.")
    if len(healthy) < needed:
        reasons.append(
            f"{plural(len(healthy), 'healthy task')} in the remaining zones cannot carry the load of {needed}: "
            "raise the capacity first."
        )
    return reasons


def _database_refusals(context: Json, zone: str) -> list[str]:
    if context.get("database", {}).get("zone") != zone:
        return []
    if any(probe["checks"].get("database", "unknown") is None for probe in context["ready"].values()):
        return []
    return [
        "The database is in that zone and no task in the remaining zones is known to reach it: fail the database over "
        "first (runbook database_failover)."
    ]


ENTRY = change_entry(ZonalShift)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
