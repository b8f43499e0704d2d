#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: database_settled
short_description: Wait until a failover is over, or until a database is available again
version_added: 0.1.0
description:
  - Waits until RDS says that a failover has ended, the instance is in a state in which it serves, another node answers,
    and several new connections in a row have written and were acknowledged.
  - The write is one row of the runbooks' own schema. It is the only thing that the wait changes.
  - Ends early when RDS has abandoned the failover that was asked for.
  - What cannot be read is not good. Reports progress. Being stopped in the middle changes nothing.
  - In check mode it does not wait.
author:
  - Daily EMR operations (@daily-emr)
options:
  failover:
    description: Whether a failover has to end. Otherwise it is enough that the database is available.
    type: bool
    required: true
  since:
    description:
      - The time from which on events of RDS count, as a UTC timestamp such as V(2026-11-22T01:30:00Z).
      - At most a day old.
    type: str
    required: true
  node_before:
    description:
      - Address of the node that was primary before, as the server itself knows it. Another one has to answer.
      - The default accepts any.
    type: str
    default: ""
  writes:
    description: Acknowledged writes in a row, each in a new connection.
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
    description: Says what would be waited for, and does not wait.
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
    failover: true
    since: "2026-11-22T01:30:00Z"
    node_before: 10.0.21.14
    timeout: 600
"""

RETURN = r"""
outcome:
  description: V(ok) when it has settled, V(planned) in check mode, V(failed) otherwise.
  returned: always
  type: str
  sample: ok
step:
  description: What was waited for, V(await_failover) or V(await_availability).
  returned: always
  type: str
  sample: await_failover
settled:
  description: Whether it has settled.
  returned: always
  type: bool
  sample: true
abandoned:
  description: Whether RDS has abandoned the failover that was asked for, so that none will come.
  returned: always
  type: bool
  sample: false
seconds:
  description: How long it took, in seconds.
  returned: when it waited
  type: float
  sample: 81.3
seconds_to_writable:
  description: Seconds from the beginning of the wait to the first of the acknowledged writes, null when there was none.
  returned: when it waited
  type: float
  sample: 71.2
events:
  description: What RDS said of failovers since the given time, the oldest first, as C(kind) and C(at).
  returned: when it waited
  type: list
  elements: dict
  sample:
    - kind: started
      at: "2026-11-22T01:30:04.000Z"
node:
  description: Address of the node that acknowledged the last write, null when none did.
  returned: when it waited
  type: str
  sample: 10.0.22.31
target:
  description: What was waited for.
  returned: always
  type: str
  sample: database/daily-emr-staging-db
"""

import time
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._database_settled import Settling, look
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Entry, read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import StepOutcome
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import parse_utc

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Params, Progress

monotonic = time.monotonic
sleep = time.sleep
# A look costs two calls and a session; more than four looks a second would only heat the API.
LEAST_INTERVAL_S = 0.25


def wait(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """Look until it has settled, the failover was abandoned, or the time is up."""
    parse_utc(params["since"])
    started = monotonic()
    deadline = started + clients.environment.seconds(params["timeout"])
    interval = max(clients.environment.seconds(params["interval"]), LEAST_INTERVAL_S)
    settling, last = Settling(params), ""
    while True:
        news = settling.see(look(clients, params["database"]), monotonic() - started)
        passed = monotonic() - started
        for text in news:
            progress(f"{passed:.0f} s: {text}")
        missing = settling.missing()
        if not missing:
            return _result(params, StepOutcome.OK, f"It has settled after {passed:.0f} s.", settling, passed)
        now = "; ".join(missing)
        if settling.abandoned:
            why = "RDS abandoned the failover because there was one recently, so none will come: look for another cause"
            return _result(params, StepOutcome.FAILED, f"{why}. Missing: {now}.", settling, passed)
        if monotonic() >= deadline:
            why = f"{params['database']['instance']} has not settled within {passed:.0f} s: {now}. "
            advice = "Nothing was sent twice; look at the instance before anything else is changed."
            return _result(params, StepOutcome.FAILED, why + advice, settling, passed)
        # Said once, but told at every look: the lease lives on progress.
        progress(f"{passed:.0f} s: {now}." if now != last else "")
        last = now
        sleep(min(interval, max(deadline - monotonic(), 0.0)))


def plan(params: Params, _clients: Clients, _progress: Progress) -> dict[str, Any]:
    """What would be waited for."""
    what = "a failover is over" if params["failover"] else "the instance is available"
    return _result(params, StepOutcome.PLANNED, f"It would be waited until {what} and new connections can write.")


def _result(
    params: Params, outcome: StepOutcome, sentence: str, settling: Settling | None = None, passed: float = 0.0
) -> dict[str, Any]:
    """A wait is a step of its own, in the record, too: a run may do nothing else."""
    facts: dict[str, Any] = {
        "step": "await_failover" if params["failover"] else "await_availability",
        "target": f"database/{params['database']['instance']}",
        "outcome": str(outcome),
        "diff": {},
        "undo": "Nothing to undo: it only waited.",
        "msg": sentence,
        "refused": False,
        "refusals": [],
        "settled": outcome is StepOutcome.OK,
        "abandoned": bool(settling and settling.abandoned),
    }
    if settling:
        facts |= {"seconds": round(passed, 1), **settling.facts()}
    return facts | ({"failed": True} if outcome is StepOutcome.FAILED else {})


SPEC: dict[str, Any] = {
    "database": DATABASE_OPTION,
    "failover": {"type": "bool", "required": True},
    "since": {"type": "str", "required": True},
    "node_before": {"type": "str", "default": ""},
    "writes": {"type": "int", "default": 3},
    "timeout": {"type": "int", "required": True},
    "interval": {"type": "int", "default": 5},
}
WAITING = read_entry(SPEC, wait)
PLANNING = read_entry(SPEC, plan)


def run(params: Params, context: Context) -> dict[str, Any]:
    """In check mode there is nothing to wait for, because nothing was begun."""
    return (PLANNING if context.check_mode else WAITING).run(params, context)


ENTRY = Entry(WAITING.argument_spec, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
