#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: queue_settled
short_description: Wait until a queue has come to rest
version_added: 0.1.0
description:
  - Waits, changing nothing, until the replication group is available, the workers run and are connected, no deployment
    of them is under way, and, with O(drained), the oldest job is younger than its limit again.
  - Fails when that is not so in time, with what is missing.
  - Reports progress. Being stopped in the middle changes nothing.
author:
  - Daily EMR operations (@daily-emr)
options:
  workers:
    description: Workers that must run and be connected.
    type: int
    required: true
  drained:
    description: Whether the backlog must be gone as well.
    type: bool
    default: false
  timeout:
    description: Seconds to wait, at the pace of AWS, but at least thirty real ones.
    type: int
    required: true
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.queue
attributes:
  check_mode:
    description: Does not wait; as a step of its own it is planned.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Wait until the workers are back
  daily_emr.ops.queue_settled:
    queue: "{{ queue }}"
    workers: 2
    timeout: 600
"""

RETURN = r"""
settled:
  description: Whether everything is as it must be; false in check mode, which does not wait.
  returned: success
  type: bool
  sample: true
step:
  description: V(await_drain) with O(drained), else V(await_workers).
  returned: success
  type: str
  sample: await_workers
outcome:
  description: V(ok) when it has settled, V(planned) in check mode, V(failed) otherwise.
  returned: always
  type: str
  sample: ok
seconds:
  description: How long it took, in seconds.
  returned: success
  type: float
  sample: 14.2
"""

import time
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import read_tasks
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Entry, read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import StepOutcome
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_changes import SERVING
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_evidence import waiting_jobs
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_options import BULLMQ, QUEUE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_program import ask, place_of, read_group
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_readings import read_message_metrics, read_messages
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import read_service
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings, plural

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Params, Progress

monotonic = time.monotonic
sleep = time.sleep
LEAST_S = 30.0
INTERVAL_S = 1.0


def missing(params: Params, clients: Clients) -> list[str]:
    """What is not settled yet. A reading that failed is missing, too."""
    queue, wanted = params["queue"], params["workers"]
    where = (clients, queue["worker_cluster"], queue["worker_service"])
    readings = Readings()
    readings.take(service=lambda: read_service(*where), tasks=lambda: read_tasks(*where))
    if queue["kind"] == BULLMQ:
        readings.take(group=lambda: read_group(clients, queue["replication_group"]))
        group = readings.values.get("group")
        readings.take(jobs=lambda: ask(clients, queue, place_of(clients, queue, group), "brief"))
    else:
        readings.take(
            messages=lambda: read_messages(clients, queue["name"]),
            message_metrics=lambda: read_message_metrics(clients, queue["name"]),
        )
    values = readings.values
    reasons = [f"could not read the {name.replace('_', ' ')}" for name in sorted(readings.unread)]
    status = values.get("group", {}).get("status")
    if status and status not in SERVING:
        reasons.append(f"the replication group is {status}")
    rollout = (values.get("service", {}).get("deployment") or {}).get("rollout")
    if rollout == "IN_PROGRESS":
        reasons.append("a deployment of the workers runs")
    running = len(values.get("tasks", []))
    if running < wanted:
        reasons.append(f"{running} of {plural(wanted, 'worker')} run")
    connected = values.get("jobs", {}).get("workers")
    if connected is not None and connected < wanted:
        reasons.append(f"{connected} of {plural(wanted, 'worker')} are connected")
    return reasons + (_waits(queue, values, clients) if params["drained"] else [])


def _waits(queue: Json, values: Json, clients: Clients) -> list[str]:
    """What is left of the backlog."""
    limit_s = clients.environment.seconds(queue["oldest_s"])
    if "jobs" in values:
        waits, age_ms = waiting_jobs(values["jobs"]), values["jobs"]["oldest_ms"]
        age = None if age_ms is None else age_ms / 1000
    elif "messages" in values and "message_metrics" in values:
        waits, age = values["messages"]["visible"], values["message_metrics"]["oldest_s"]
        if waits and age is None:
            return [f"{plural(waits, 'message')} wait, and nobody knows how old the oldest is"]
    else:
        return []
    return [f"{waits} wait, the oldest for {age:.0f} s"] if age is not None and age > limit_s else []


def wait(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """Look until nothing is missing, or until the time is up."""
    started = monotonic()
    deadline = started + max(clients.environment.seconds(params["timeout"]), LEAST_S)
    last = ""
    while True:
        try:
            reasons = missing(params, clients)
        except OpsError as error:
            reasons = [error.sentence.rstrip(".")]
        passed = monotonic() - started
        if not reasons:
            return _result(params, StepOutcome.OK, f"The queue has come to rest after {passed:.0f} s.", passed)
        now = "; ".join(reasons)
        if monotonic() >= deadline:
            why = f"The queue did not come to rest within {passed:.0f} s: {now}. Look at it before anything is changed."
            return _result(params, StepOutcome.FAILED, why, passed)
        # Said once, but told at every look: the lease lives on progress.
        progress(f"{passed:.0f} s: {now}." if now != last else "")
        last = now
        sleep(INTERVAL_S)


def plan(params: Params, _clients: Clients, _progress: Progress) -> dict[str, Any]:
    """What would be waited for."""
    what = "the backlog is gone" if params["drained"] else "the workers are at the queue"
    return _result(params, StepOutcome.PLANNED, f"It would be waited until {what}.")


def _result(params: Params, outcome: StepOutcome, sentence: str, passed: float = 0.0) -> dict[str, Any]:
    """A wait is a step of its own, in the record, too: a run may do nothing else."""
    facts: dict[str, Any] = {
        "step": "await_drain" if params["drained"] else "await_workers",
        "target": f"queue/{params['queue']['component']}",
        "outcome": str(outcome),
        "diff": {},
        "undo": "Nothing to undo: it only waited.",
        "msg": sentence,
        "refused": False,
        "refusals": [],
        "settled": outcome is StepOutcome.OK,
        "seconds": round(passed, 1),
    }
    return facts | ({"failed": True} if outcome is StepOutcome.FAILED else {})


SPEC: dict[str, Any] = {
    "queue": QUEUE_OPTION,
    "workers": {"type": "int", "required": True},
    "drained": {"type": "bool", "default": False},
    "timeout": {"type": "int", "required": True},
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
