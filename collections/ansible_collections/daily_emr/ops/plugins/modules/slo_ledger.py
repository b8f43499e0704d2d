#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: slo_ledger
short_description: Keep one finished day of a web service, minute by minute
version_added: 0.1.0
description:
  - Reads the bad and the valid requests of every minute of a UTC day from CloudWatch, which keeps single minutes for 15
    days, and writes them into the runbooks' table. Whether a minute was down can only be told of a single minute.
  - A minute of which nothing was reported is left out, and never 0. The result says which ones are missing.
  - A day that is there is only replaced by one of which more minutes are known; a complete one by none. Refuses a day
    that is not over, or of which CloudWatch no longer has single minutes.
  - Minutes are those of the real clock, also in an environment whose clock runs faster.
  - Counts only, no request, no log line and nothing about a patient.
  - Needs no lease, because it changes no component.
author:
  - Daily EMR operations (@daily-emr)
options:
  day:
    description: The day in UTC, as C(2026-11-22).
    type: str
    required: true
  canaries:
    description:
      - Names of the CloudWatch Synthetics canaries that try the service, at least two, each in another place.
      - What they saw together is kept with the day.
    type: list
    elements: str
    default: []
  settle_minutes:
    description: Minutes after the end of a day before it is written; CloudWatch is late, and a day is written once.
    type: int
    default: 15
attributes:
  check_mode:
    description: Reads the day, and says what would be written.
    support: full
  diff_mode:
    description: Shows whether the day is there, how many of its minutes are missing, and its digest.
    support: full
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.service
"""

EXAMPLES = r"""
- name: Keep yesterday
  daily_emr.ops.slo_ledger:
    environment: "{{ emr_environment }}"
    service: "{{ web_service }}"
    day: "2026-11-22"
    canaries: [emr-nairobi, emr-kisumu]
"""

RETURN = r"""
outcome:
  description: How it ended, one of V(ok), V(noop), V(planned), V(refused), V(failed), V(unknown).
  returned: always
  type: str
  sample: ok
target:
  description: The day that it is about.
  returned: always
  type: str
  sample: slo/emr-web/2026-11-22
missing_minutes:
  description: Minutes of the day that nothing is known of; null when the day could not be read.
  returned: always
  type: int
  sample: 0
missing:
  description: Which minutes those are, in UTC; the first ten gaps.
  returned: always
  type: list
  elements: str
  sample: ["02:10-02:39"]
"""

from datetime import date, timedelta
from typing import Any, ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._slo import DAY_MINUTES
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_days import (
    DAY,
    Day,
    begin,
    day_of,
    item_of,
    read_day,
    unwritable,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_readings import read_counts
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_spans import Span
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import SERVICE_OPTION, Json, iso


class SloLedger(Change):
    """One day of the ledger."""

    name: ClassVar[str] = "slo_ledger"
    leased: ClassVar[bool] = False
    spec: ClassVar[Json] = {
        "service": SERVICE_OPTION,
        "day": {"type": "str", "required": True},
        "canaries": {"type": "list", "elements": "str", "default": []},
        "settle_minutes": {"type": "int", "default": 15},
    }

    def __init__(self, params: Any, clients: Clients) -> None:
        super().__init__(params, clients)
        self._seen: Day | None = None

    @property
    def day(self) -> date:
        """Raises Refused for what is no day."""
        text = self.params["day"]
        try:
            if DAY.fullmatch(text):
                return date.fromisoformat(text)
        except ValueError:
            pass
        raise Refused(f"{text!r} is no day: write it as 2026-11-22.")

    @property
    def component(self) -> str:
        return str(self.params["service"]["component"])

    @property
    def target(self) -> str:
        return f"slo/{self.component}/{self.params['day']}"

    def observe(self) -> Json:
        day = self.day
        item, now = read_day(self.clients, self.component, day)
        stored = day_of(item)
        why = unwritable(day, now, self.params["settle_minutes"])
        # What is complete cannot become better, and what cannot be written need not be read.
        found = None if why or (stored and stored.missing == 0) else self._read(day)
        self._seen = found or stored
        return {
            "written": bool(item),
            "missing_minutes": stored.missing if stored else DAY_MINUTES,
            "sha256": stored.sha256 if stored else "",
            "context": {"found": found, "why": why, "at": iso(now), "stored": item.get("sha256", {}).get("S", "")},
        }

    def _read(self, day: date) -> Day:
        span = Span(begin(day), begin(day) + timedelta(days=1), 60)
        return Day.of(day, *read_counts(self.clients, self.params["service"], self.params["canaries"], [span]))

    def wanted(self, before: Json) -> Json:
        found: Day | None = before["context"]["found"]
        here = {name: before[name] for name in ("written", "missing_minutes", "sha256")}
        if found is None:
            return here if before["sha256"] else {**here, "written": True, "sha256": "unknown"}
        if before["sha256"] and found.missing >= before["missing_minutes"]:
            return here
        return {"written": True, "missing_minutes": found.missing, "sha256": found.sha256}

    def refusals(self, before: Json) -> list[str]:
        why: str = before["context"]["why"]
        return [why] if why else []

    def prediction(self, before: Json) -> list[str]:
        found: Day | None = before["context"]["found"]
        if found is None:
            return []
        return [f"{found.day} is kept, with {found.missing} of {DAY_MINUTES} minutes missing."]

    def apply(self, before: Json) -> None:
        context = before["context"]
        # Whoever wrote a day since it was looked at has known as much, or more.
        condition: Json = {"ConditionExpression": "attribute_not_exists(pk)"}
        if before["written"]:
            condition = {
                "ConditionExpression": "sha256 = :seen",
                "ExpressionAttributeValues": {":seen": {"S": context["stored"]}},
            }
        self.clients.write("dynamodb", "PutItem").put_item(
            TableName=self.clients.environment.table,
            Item=item_of(self.component, context["found"], context["at"]),
            **condition,
        )

    def inverse(self, before: Json) -> Json | str:
        return "A day that was kept is a record, and is never taken back."

    def remarks(self) -> Json:
        seen = self._seen
        return {"missing_minutes": seen.missing if seen else None, "missing": seen.gaps if seen else []}


ENTRY = change_entry(SloLedger)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
