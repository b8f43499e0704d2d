#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_settled
short_description: Wait until a database takes writes again, after a failover or a change
version_added: 0.1.0
description:
  - Waits until RDS calls the instance available and new connections have written O(writes) times in a row; with
    O(failover) also until RDS has said that a failover has completed since O(since), and with O(node_before) until
    another node answers.
  - Follows events, node and a row of its own schema, never the status alone, which RDS shows as available before the
    first connection works.
  - Ends at once when RDS abandons the failover. Being stopped in the middle changes nothing.
  - It is a step of its own where waiting is the right answer to an incident.
author:
  - Daily EMR operations (@daily-emr)
options:
  since:
    description: Only events after this UTC timestamp count.
    type: str
    required: true
  failover:
    description: Whether a failover must have completed.
    type: bool
    required: true
  node_before:
    description: Address of the node that was primary and must not be any more. The default accepts any.
    type: str
    default: ""
  writes:
    description: Writes in a row, each over a new connection.
    type: int
    default: 3
  timeout:
    description: Seconds to wait, at the pace of AWS.
    type: int
    required: true
  interval:
    description: Seconds between two looks, at the pace of AWS.
    type: int
    default: 5
attributes:
  check_mode:
    description: Does not wait and writes nothing; says that it would wait.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.database
"""

EXAMPLES = r"""
- name: Wait until the standby has taken over and new connections can write
  daily_emr.ops.database_settled:
    database: "{{ database }}"
    since: "2026-11-22T01:30:00Z"
    failover: true
    node_before: 10.0.1.17
    timeout: 600
"""

RETURN = r"""
settled:
  description: Whether the database has settled; false only in check mode, otherwise the task fails.
  returned: success
  type: bool
  sample: true
outcome:
  description: V(ok), or V(planned) in check mode.
  returned: success
  type: str
  sample: ok
node:
  description: Address of the node that takes writes.
  returned: success
  type: str
  sample: 10.0.2.31
seconds:
  description: How long it took, in seconds.
  returned: success
  type: float
  sample: 83.4
"""

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._database_instance import (
    WRITE,
    place_of,
    read_events,
    read_instance,
    read_node,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION, session
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings, parse_utc

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Params, Progress

monotonic = time.monotonic
sleep = time.sleep
# More than four looks a second would only heat the API.
LEAST_INTERVAL_S = 0.25


def look(clients: Clients, params: Params) -> Readings:
    """The instance, its events since the given time, and, when it has an address, one write over a new connection."""
    database, moment = params["database"], parse_utc(params["since"])
    readings = Readings()
    readings.take(
        instance=lambda: read_instance(clients, database["instance"]),
        events=lambda: [
            event for event in read_events(clients, database["instance"]) if parse_utc(event["at"]) >= moment
        ],
    )
    if "instance" in readings.values:
        readings.take(node=lambda: _written(clients, database, readings.values["instance"]))
    return readings


def _written(clients: Clients, database: Json, instance: Json) -> Json:
    """The node that acknowledged a write just now."""
    with session(clients, database, place_of(instance), write=True) as found:
        node = read_node(found)
        found.execute(WRITE)
    return node


def missing(readings: Readings, params: Params) -> list[str]:
    """What is not as it must be yet; pure. What could not be read is missing, too."""
    found = readings.values
    kinds = [event["kind"] for event in found.get("events", [])]
    reasons = [f"the {name} could not be read: {why}" for name, why in readings.unread.items()]
    if "instance" in found and found["instance"]["status"] != "available":
        reasons.append(f"the instance is {found['instance']['status']}")
    if params["failover"] and "events" in found and "failover completed" not in kinds:
        began = "failover started" in kinds
        reasons.append("RDS has not said that the failover is complete" if began else "no failover has started")
    if "node" in found:
        node = found["node"]
        if node["in_recovery"] or node["read_only"]:
            reasons.append(f"{node['address']} takes no writes")
        if params["node_before"] and node["address"] == params["node_before"]:
            reasons.append(f"{node['address']} still answers, which was primary before")
    return reasons


def wait(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """Look until it has settled; raises CallFailed when it has not in time, or when RDS gave up."""
    started = monotonic()
    deadline = started + clients.environment.seconds(params["timeout"])
    interval = max(clients.environment.seconds(params["interval"]), LEAST_INTERVAL_S)
    last, good = "", 0
    while True:
        readings = look(clients, params)
        reasons = missing(readings, params)
        passed = monotonic() - started
        good = 0 if reasons else good + 1
        if good >= params["writes"]:
            node = str(readings.values["node"]["address"])
            progress(f"Settled after {passed:.0f} s: {node} takes writes.")
            return _step(params, "ok", f"{node} takes writes after {passed:.0f} s.", passed, node)
        kinds = [event["kind"] for event in readings.values.get("events", [])]
        if params["failover"] and "failover abandoned" in kinds and "failover completed" not in kinds:
            raise CallFailed("RDS abandoned the failover because another one was too recent: open a case with AWS.")
        now = "; ".join(reasons) or f"{good} of {params['writes']} writes in a row"
        # Said once, but told at every look: the lease lives on progress.
        progress(f"{passed:.0f} s: {now}." if now != last else "")
        last = now
        if monotonic() >= deadline:
            raise CallFailed(
                f"{params['database']['instance']} has not settled within {passed:.0f} s: {now}. "
                "Look at it before anything else is changed."
            )
        sleep(min(interval, max(deadline - monotonic(), 0.0)))


def _step(params: Params, outcome: str, sentence: str, passed: float, node: str) -> dict[str, Any]:
    return {
        "step": "await_failover" if params["failover"] else "await_availability",
        "target": f"db/{params['database']['instance']}",
        "outcome": outcome,
        "settled": outcome == "ok",
        "diff": {"before": {}, "after": {}},
        "undo": "Nothing was changed, so there is nothing to undo.",
        "msg": sentence,
        "node": node,
        "seconds": round(passed, 1),
    }


_WAITS = read_entry(
    {
        "database": DATABASE_OPTION,
        "since": {"type": "str", "required": True},
        "failover": {"type": "bool", "required": True},
        "node_before": {"type": "str", "default": ""},
        "writes": {"type": "int", "default": 3},
        "timeout": {"type": "int", "required": True},
        "interval": {"type": "int", "default": 5},
    },
    wait,
)
_PLANS = read_entry(
    _WAITS.argument_spec,
    lambda params, _clients, _progress: _step(params, "planned", "It would be waited for.", 0.0, ""),
)


def run(params: Params, context: Context) -> dict[str, Any]:
    """Wait; a plan says that it would."""
    return (_PLANS if context.check_mode else _WAITS).run(params, context)


ENTRY = replace(_WAITS, run=run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
