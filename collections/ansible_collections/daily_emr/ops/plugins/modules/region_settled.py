#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: region_settled
short_description: Wait for the replica of the second region to have caught up, or to be promoted
version_added: 0.1.0
description:
  - V(caught_up) waits until the replica has replayed all that the fenced first region has written. Where the first
    region is dead there is nothing to wait for. It says, and writes into the journal, how much may be lost.
  - V(promoted) waits until RDS calls the replica available and nobody's replica, and its server takes writes.
  - V(first_closed) does not wait, and fails unless the second side may be opened, which is when a failover has promoted
    the replica and the first region is fenced or dead. For in front of a step that cannot look for itself.
  - Changes nothing. Reports progress. In check mode it does not wait.
author:
  - Daily EMR operations (@daily-emr)
options:
  until:
    description: What is waited for.
    type: str
    choices: [caught_up, promoted, first_closed]
    required: true
  timeout:
    description: Seconds to wait, at the pace of AWS.
    type: int
    required: true
  interval:
    description: Seconds between two looks, at the pace of AWS.
    type: int
    default: 10
attributes:
  check_mode:
    description: Does not wait.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
extends_documentation_fragment:
  - daily_emr.ops.common
  - daily_emr.ops.database
  - daily_emr.ops.region
"""

EXAMPLES = r"""
- name: Wait until the replica has caught up, and say what may be lost
  daily_emr.ops.region_settled:
    recovery: "{{ recovery }}"
    database: "{{ recovery_database }}"
    until: caught_up
    timeout: 300
"""

RETURN = r"""
settled:
  description: Whether what was waited for has come.
  returned: always
  type: bool
  sample: true
fenced:
  description: Whether the first region is fenced; otherwise it is dead, and unfenced.
  returned: when it waited for V(caught_up)
  type: bool
  sample: true
loss:
  description: What may be lost, as C(seconds) and C(lost_since). Everything acknowledged before C(lost_since) is there.
  returned: when it waited for V(caught_up)
  type: dict
  sample: {"seconds": 4.2, "lost_since": "2026-11-22T01:29:51.120Z"}
sentence:
  description: The same in one sentence.
  returned: always
  type: str
  sample: "Nothing is lost: the first region is fenced, and the replica has replayed all of its log."
seconds:
  description: How long it took, in seconds.
  returned: when it waited
  type: float
  sample: 81.3
"""

import time
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Entry, read_entry, run_module
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_OPTION
from ansible_collections.daily_emr.ops.plugins.module_utils._region import (
    AVAILABLE,
    IN_THE_WAY,
    RECOVERY_OPTION,
    First,
    behind_bytes,
    judge_first,
    loss,
    promoted,
    spoken_loss,
    take_sides,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._region_findings import opening_second

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, Params, Progress
    from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

monotonic = time.monotonic
sleep = time.sleep
LEAST_INTERVAL_S = 0.25


def missing_for_position(context: Json) -> list[str]:
    """What keeps the position from being final; pure. Raises CallFailed when it never will be."""
    first = judge_first(context)
    if (reason := IN_THE_WAY.get(first)) is not None:
        raise CallFailed(reason)
    if (context.get("position") or {}).get("in_recovery") is False:
        raise CallFailed("The replica does not follow any more, so nobody can say what it has not: look at it in RDS.")
    if loss(context)["seconds"] is None:
        return ["the replica does not tell its position"]
    behind = behind_bytes(context)
    if first is First.FENCED and behind != 0:
        return ["the replica does not tell its position" if behind is None else f"{behind} bytes are not replayed"]
    return []


def missing_for_promotion(context: Json) -> list[str]:
    """What of the promotion has not come yet; pure."""
    replica, missing = context.get("replica"), []
    if replica is None:
        return ["RDS does not tell the replica"]
    if replica["status"] != AVAILABLE:
        missing.append(f"it is {replica['status']}")
    if replica["source"]:
        missing.append("RDS calls it a replica")
    elif not promoted(context):
        missing.append("its server takes no writes")
    return missing


def missing_for_opening(context: Json, asked: Params) -> list[str]:
    """Nothing, or CallFailed with all that keeps the second side closed; pure."""
    if reasons := opening_second(context, asked):
        raise CallFailed(" ".join(reasons))
    return []


MISSING = {
    "caught_up": lambda context, _asked: missing_for_position(context),
    "promoted": lambda context, _asked: missing_for_promotion(context),
    "first_closed": missing_for_opening,
}

SAID = {"promoted": "Promoted after {:.0f} s.", "first_closed": "The first region is closed."}


def settled(until: str, context: Json, passed: float) -> dict[str, Any]:
    """The result; pure. What may be lost is told before the promotion only: afterwards nobody can tell it any more."""
    found: dict[str, Any] = {"settled": True, "seconds": round(passed, 1)}
    if until != "caught_up":
        return {**found, "sentence": SAID[until].format(passed)}
    fenced, lost = judge_first(context) is First.FENCED, loss(context)
    sentence = spoken_loss(lost) if fenced else f"Unfenced. {spoken_loss(lost)}"
    return {**found, "fenced": fenced, "loss": lost, "sentence": sentence}


def wait(params: Params, clients: Clients, progress: Progress) -> dict[str, Any]:
    """Look until it has settled; raises CallFailed when it has not in time."""
    started = monotonic()
    deadline = started + clients.environment.seconds(params["timeout"])
    interval = max(clients.environment.seconds(params["interval"]), LEAST_INTERVAL_S)
    last = ""
    while True:
        context = take_sides(clients, params["recovery"], params["database"]).context()
        reasons = MISSING[params["until"]](context, params)
        passed = monotonic() - started
        if not reasons:
            found = settled(params["until"], context, passed)
            progress(found["sentence"])
            return found
        now = "; ".join(reasons)
        progress(f"{passed:.0f} s: {now}." if now != last else "")
        last = now
        if monotonic() >= deadline:
            raise CallFailed(
                f"{params['database']['instance']} is not {params['until'].replace('_', ' ')} within {passed:.0f} s: "
                f"{now}. Look at it before anything else is changed; nothing was sent twice."
            )
        sleep(min(interval, max(deadline - monotonic(), 0.0)))


SPEC: dict[str, Any] = {
    "recovery": RECOVERY_OPTION,
    "database": DATABASE_OPTION,
    "until": {"type": "str", "choices": ["caught_up", "promoted", "first_closed"], "required": True},
    "timeout": {"type": "int", "required": True},
    "interval": {"type": "int", "default": 10},
}
WAITING = read_entry(SPEC, wait)


def run(params: Params, context: Context) -> dict[str, Any]:
    """In check mode there is nothing to wait for, because nothing was begun."""
    if context.check_mode:
        return {"changed": False, "settled": False, "sentence": "Not waited for: check mode changed nothing."}
    return WAITING.run(params, context)


ENTRY = Entry(WAITING.argument_spec, run)


def main() -> None:
    run_module(ENTRY)


if __name__ == "__main__":
    main()
