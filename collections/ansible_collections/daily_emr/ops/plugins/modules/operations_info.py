#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: operations_info
short_description: Say who works on an environment, whether changes are stopped, and what was rehearsed last
version_added: 0.1.0
description:
  - Looks at the lease of each component and at the switch that stops all changes, in the table of the environment.
  - Looks at the newest evidence of each rehearsal, in the bucket of the dumps.
  - A part that could not be read says so, with the reason, and never looks empty.
  - Leases are those of this table; one that a run in the second region holds is in the table there.
author:
  - Daily EMR operations (@daily-emr)
options:
  components:
    description: Whose leases are looked at.
    type: list
    elements: str
    required: true
  scenarios:
    description: Whose newest rehearsals are looked at.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Reads as ever.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.dumps
"""

EXAMPLES = r"""
- name: Look at what is going on
  daily_emr.ops.operations_info:
    environment: "{{ emr_environment }}"
    components: [emr-web, emr-db]
    scenarios: [region_failover]
    dumps: "{{ dumps }}"
"""

RETURN = r"""
leases:
  description: One for each component.
  returned: success
  type: list
  elements: dict
  contains:
    component:
      description: Whose lease it is.
      type: str
      sample: emr-web
    why:
      description: Why it is not known; empty when it is.
      type: str
      sample: ""
    held:
      description: Whether somebody works on it; null when it is not known.
      type: bool
      sample: true
    owner:
      description: Who; empty when it is not held, as everything below.
      type: str
      sample: wanjiru
    incident:
      description: For which incident.
      type: str
      sample: INC-20261122-013000-9f3a
    run:
      description: In which run.
      type: str
      sample: 20261122-013000-77c1
    since:
      description: Since when, in UTC, by the clock of the one who took it.
      type: str
      sample: "2026-11-22T01:30:04.120Z"
    lease_s:
      description: >-
        How long it lasts after the last sign of life of that run, in seconds; 0 when it is not held. The table does not
        say when that was.
      type: int
      sample: 60
changes:
  description: C(stopped) says why all changes are stopped and is empty when they are not; C(why) why that is not known.
  returned: success
  type: dict
  sample: {stopped: "", why: ""}
rehearsals:
  description: One for each scenario.
  returned: success
  type: list
  elements: dict
  contains:
    scenario:
      description: What was rehearsed.
      type: str
      sample: region_failover
    why:
      description: Why nothing is told of the last one; empty when it is.
      type: str
      sample: ""
    none:
      description: Whether it is known that none has left evidence here.
      type: bool
      sample: false
    ok:
      description: Whether it succeeded; null when it is not known, as everything below.
      type: bool
      sample: true
    finished_at:
      description: When it ended, in UTC.
      type: str
      sample: "2026-11-30T10:20:00+00:00"
    days:
      description: How many days ago that was.
      type: float
      sample: 12.4
    rto_s:
      description: The measured time to recover in seconds.
      type: float
      sample: 812.0
    rpo_s:
      description: Seconds of acknowledged writes that may have been lost.
      type: float
      sample: 0.0
    key:
      description: The key of its evidence.
      type: str
      sample: rehearsals/region_failover/2026/11/30/021500Z.json
"""

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._dumps import DUMPS_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Unanswered
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Report, Unknown
from ansible_collections.daily_emr.ops.plugins.module_utils._rehearsals import newest

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Params, Progress

LEASE: dict[str, Any] = {"why": "", "held": None, "owner": "", "incident": "", "run": "", "since": "", "lease_s": 0}
REHEARSAL: dict[str, Any] = {
    "why": "",
    "none": False,
    **dict.fromkeys(("ok", "finished_at", "days", "rto_s", "rpo_s", "key")),
}


def read(params: Params, clients: Clients, _progress: Progress) -> dict[str, Any]:
    """All parts; one that cannot be read leaves the others alone."""
    store = LeaseStore(clients, clients.environment.table)
    now, bucket = datetime.now(UTC), params["dumps"]["bucket"]
    return {
        "leases": leases(store, params["components"]),
        "changes": changes(store),
        "rehearsals": [
            {"scenario": one, **REHEARSAL, **rehearsal(clients, bucket, one, now)} for one in params["scenarios"]
        ],
    }


def leases(store: LeaseStore, components: list[str]) -> list[dict[str, Any]]:
    """The lease of each component. A table that is silent is not asked again and again."""
    found, silence = [], ""
    for component in components:
        try:
            if silence:
                raise Unanswered(silence)
            view = store.peek(component)
        except OpsError as error:
            silence = error.sentence if isinstance(error, Unanswered) else ""
            found.append({"component": component, **LEASE, "why": error.sentence})
            continue
        # Who held it last is nobody's business any more.
        said = {name: getattr(view, name) for name in LEASE if name not in ("why", "held")} if view.held else {}
        found.append({"component": component, **LEASE, "held": view.held, **said})
    return found


def changes(store: LeaseStore) -> dict[str, Any]:
    """Whether somebody has stopped all changes."""
    try:
        return {"stopped": store.why_stopped(), "why": ""}
    except OpsError as error:
        return {"stopped": "", "why": error.sentence}


def rehearsal(clients: Clients, bucket: str, scenario: str, now: datetime) -> dict[str, Any]:
    """The newest rehearsal of a scenario."""
    try:
        key = newest(clients, bucket, scenario)
        if not key:
            return {"why": f"{scenario} has left no evidence in {bucket}.", "none": True}
        report = Report.of(parsed(clients.evidence(bucket, key), key), key)
    except OpsError as error:
        return {"why": error.sentence}
    return {
        "ok": report.ok,
        "finished_at": report.finished_at.isoformat(),
        "days": round((now - report.finished_at) / timedelta(days=1), 1),
        "rto_s": report.rto_s,
        "rpo_s": report.rpo_s,
        "key": key,
    }


def parsed(text: str, key: str) -> dict[str, Any]:
    """An evidence as an object; Unknown where it is none."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unknown(f"{key} is not a report: it holds no JSON object.")
    return found


SPEC: dict[str, Any] = {
    "components": {"type": "list", "elements": "str", "required": True},
    "scenarios": {"type": "list", "elements": "str", "default": []},
    "dumps": DUMPS_OPTION,
}
ENTRY = read_entry(SPEC, read)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
