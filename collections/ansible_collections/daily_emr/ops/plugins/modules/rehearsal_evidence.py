#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: rehearsal_evidence
short_description: Keep what a rehearsal showed, where readiness looks for it
version_added: 0.1.0
description:
  - Makes evidence of the record of a run and of what people say of it, and puts it into the bucket of the dumps as
    C(rehearsals/<scenario>/YYYY/MM/DD/HHMMSSZ.json), encrypted and locked like them. A rehearsal that failed is kept as
    well.
  - Refuses the record of a run that was there before, or of another runbook, because neither was rehearsed.
  - Refuses production, because a rehearsal leaves a region, or breaks things, on purpose.
author:
  - Daily EMR operations (@daily-emr)
options:
  scenario:
    description: What was rehearsed, the name of a runbook or C(region_failover).
    type: str
    required: true
  record:
    description: The record of the run. Empty before it, when only the refusals are asked for, in check mode.
    type: dict
    required: true
  earlier_runs:
    description: Runs of the incident that were there before the rehearsal. The record of one of them is refused.
    type: list
    elements: str
    default: []
  exit_code:
    description: What the command of the scenario ended with. Anything but 0, or nothing, is no success.
    type: int
  hypothesis:
    description: What was expected to happen.
    type: str
    required: true
  participants:
    description: Who took part, each as role and name.
    type: list
    elements: str
    default: []
  rpo_s:
    description:
      - Seconds of acknowledged writes that were lost, as somebody measured them.
      - Without it, what the run itself said may be lost; without that it is not known, and readiness says so.
    type: float
  found:
    description: What was not as expected.
    type: list
    elements: str
    default: []
  actions:
    description: What has to be done about it, each with its owner.
    type: list
    elements: str
    default: []
  due_days:
    description: Days until the next rehearsal is due, at most 100.
    type: int
    default: 90
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.common.change
  - daily_emr.ops.dumps
"""

EXAMPLES = r"""
- name: Keep what the rehearsal showed
  daily_emr.ops.rehearsal_evidence:
    dumps: "{{ dumps }}"
    scenario: region_failover
    record: "{{ lookup('file', path) | from_json }}"
    earlier_runs: []
    exit_code: 0
    hypothesis: Users are served by the second region within an hour
    participants: ["incident commander: Wanjiru"]
"""

RETURN = r"""
outcome:
  description: How the change ended, one of V(ok), V(noop), V(planned), V(refused), V(failed), V(unknown).
  returned: always
  type: str
  sample: ok
evidence:
  description: What is kept.
  returned: always
  type: dict
  sample: {"scenario": "region_failover", "ok": true, "rto_s": 812.0, "rpo_s": 0.0, "next_due": "2027-02-28"}
refusals:
  description: Why the change was refused, and what to do instead.
  returned: always
  type: list
  elements: str
  sample: []
undo:
  description: Why nothing would undo it, in a sentence.
  returned: always
  type: str
  sample: "Nothing to undo: the object is locked until 2027-03-10T02:15:00+00:00, and goes by the bucket's own rule."
target:
  description: What the change is about.
  returned: always
  type: str
  sample: s3://daily-emr-staging-dumps-123456789012/rehearsals/region_failover/2026/11/30/021500Z.json
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import State
from ansible_collections.daily_emr.ops.plugins.module_utils._dump_objects import LockedDocument
from ansible_collections.daily_emr.ops.plugins.module_utils._dumps import DUMPS_OPTION, as_bytes, name_of
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import change_entry, run_module

Json = dict[str, Any]
PRODUCTION = "production"
SUCCEEDED = "succeeded"
SCENARIO = re.compile(r"[a-z][a-z0-9_]{0,59}")
# Readiness counts a rehearsal for so long.
LONGEST_DUE_DAYS = 100


class RehearsalEvidence(LockedDocument):
    """What one rehearsal showed."""

    name: ClassVar[str] = "rehearsal_evidence"
    spec: ClassVar[Json] = {
        "dumps": DUMPS_OPTION,
        "scenario": {"type": "str", "required": True},
        "record": {"type": "dict", "required": True},
        "earlier_runs": {"type": "list", "elements": "str", "default": []},
        "exit_code": {"type": "int"},
        "hypothesis": {"type": "str", "required": True},
        "participants": {"type": "list", "elements": "str", "default": []},
        "rpo_s": {"type": "float"},
        "found": {"type": "list", "elements": "str", "default": []},
        "actions": {"type": "list", "elements": "str", "default": []},
        "due_days": {"type": "int", "default": 90},
    }

    @property
    def key(self) -> str:
        if not SCENARIO.fullmatch(self.params["scenario"]):
            raise Refused("scenario must be the name of a runbook, such as region_failover.")
        return f"rehearsals/{self.params['scenario']}/{self.begun}.json"

    @property
    def begun(self) -> str:
        return name_of(self._moment("opened_at"))

    def content(self, before: State) -> bytes:
        return as_bytes(self.evidence())

    def remarks(self) -> Json:
        try:
            return {"evidence": self.evidence()}
        except Refused:  # said already, and there is none
            return {"evidence": {}}

    def more_refusals(self, before: State) -> list[str]:
        asked, reasons = self.params, []
        if self.clients.environment.name == PRODUCTION:
            reasons.append("A rehearsal leaves a region or breaks things on purpose: run it in staging or the sandbox.")
        if not 0 < asked["due_days"] <= LONGEST_DUE_DAYS:
            reasons.append(
                f"due_days is {asked['due_days']}: the next rehearsal is due within {LONGEST_DUE_DAYS} days."
            )
        if not asked["hypothesis"].strip():
            reasons.append("hypothesis is empty: say what is expected to happen, before it does.")
        return reasons

    def evidence(self) -> Json:
        """The evidence of the incident domain, F.4. Pure: of the record and of what people said."""
        record, asked = self.params["record"], self.params
        self._own(record)
        steps = record.get("steps") or []
        finished = self._moment("closed_at")
        rpo = asked["rpo_s"] if asked["rpo_s"] is not None else said_loss(record)
        return {
            "schema": 1,
            "kind": "rehearsal",
            "scenario": asked["scenario"],
            "environment": self.clients.environment.name,
            "time_factor": self.clients.environment.time_factor,
            "incident": record.get("incident", ""),
            "run": record.get("run", ""),
            "operator": record.get("operator", ""),
            "participants": list(asked["participants"]),
            "hypothesis": asked["hypothesis"],
            # A run that found nothing to do has rehearsed nothing.
            "ok": record.get("outcome") == SUCCEEDED and asked["exit_code"] == 0,
            "outcome": record.get("outcome", ""),
            "summary": record.get("sentence", ""),
            "started_at": record.get("opened_at", ""),
            "finished_at": record.get("closed_at", ""),
            "rto_s": record.get("seconds"),
            "rpo_s": rpo,
            "predicted": [text for step in steps for text in step.get("prediction") or []],
            "steps": [
                {name: step.get(name) for name in ("step", "target", "outcome", "seconds", "undo")} for step in steps
            ],
            "found": list(asked["found"]),
            "actions": list(asked["actions"]),
            "next_due": (finished + timedelta(days=asked["due_days"])).date().isoformat(),
        }

    def _own(self, record: Json) -> None:
        """Refuse what this rehearsal did not do. Before everything else: the same evidence again is no news."""
        if record and record.get("run") in {None, "", *self.params["earlier_runs"]}:
            raise Refused(
                f"record is that of run {record.get('run')}, which was there before: the scenario has left none of its "
                "own, so nothing was rehearsed. Look at why it did not start."
            )
        if record and record.get("runbook") != self.params["scenario"]:
            raise Refused(f"record is that of {record.get('runbook')}, and not of {self.params['scenario']}.")

    def _moment(self, name: str) -> datetime:
        try:
            return datetime.fromisoformat(str(self.params["record"][name])).astimezone(UTC)
        except KeyError:
            if self.params["record"]:
                raise Refused(f"record is not that of a run: it has no {name}.") from None
            return datetime.now(UTC)  # before the run, when only the refusals are asked for
        except ValueError:
            raise Refused(f"record is not that of a run: {name} is no time.") from None


def said_loss(record: Json) -> float | None:
    """What the run said may be lost before it promoted, in seconds; None when it said nothing."""
    for line in reversed(record.get("journal") or []):
        found = line.get("loss") if line.get("kind") == "waited" else None
        if found and found.get("seconds") is not None and "fenced" in line:
            return float(found["seconds"])
    return None


ENTRY = change_entry(RehearsalEvidence)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
