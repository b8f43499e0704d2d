# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: holds a run to its plan. May change without notice.

"""The plan as contract: nothing is sent that is not in it, from another state, or more often than it says."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._plan import (
    budget,
    checked_plan,
    digest_of_plan,
    moved,
    same_step,
)

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change, State
    from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Session

PLAN = "plan.json"
# What the session of planned work says instead of a digest: a backup, a rotation, the evidence of a rehearsal. Their
# playbooks are no mitigation that is chosen by a diagnosis; a closed calendar stops them (_calendars.py).
PLANNED_WORK = "planned_work"


def contract_of(change: Change, before: State, wanted: State) -> dict[str, Any]:
    """What a plan says of a step that was looked at. calls: how often it may be sent; 0 where nothing is to be done."""
    steady_before, steady_after = steady(change, before), steady(change, wanted)
    idle = bool(steady_before) and steady_before == steady_after
    return {
        "step": change.name,
        "module": type(change).__module__.rpartition(".")[2],
        "target": change.share,
        "before": steady_before,
        "after": steady_after,
        "irreversible": change.irreversible,
        "loses_data": change.loses_data,
        "approved_apart": change.approved_apart,
        "calls": 0 if idle else change.calls(before),
    }


def steady(change: Change, state: State) -> dict[str, Any]:
    """A state without what only refusals need and without what moves by itself, as JSON has it."""
    kept = {key: value for key, value in state.items() if key != "context" and key not in change.volatile}
    return dict(json.loads(json.dumps(kept, default=str)))


def permit(
    change: Change, session: Session, lines: Sequence[Mapping[str, Any]], before: State, wanted: State
) -> dict[str, Any]:
    """Raise Refused unless the plan of this run has this step, from this state; returns what the intent says of it.

    Two things are part of every plan: what a run has done it may take back, and what it has moved along the way it may
    put back to what it was. As many calls back as there were forward, at most.
    """
    if session.plan == PLANNED_WORK:
        return {}
    if not session.plan:
        raise Refused(f"{change.name} on {change.target} is in no plan: run the runbook from its start.")
    plan, calls = read_plan(session)
    found = same_step(plan, change.name, change.share)
    if not found:
        raise Refused(
            f"{change.name} on {change.target} is not in the plan {session.plan}: nothing was sent, plan again."
        )
    now_before, now_after = steady(change, before), steady(change, wanted)
    sent = [line for line in lines if line["kind"] == "intent" and line.get("plan") == session.plan]
    forward = any(one["before"] == now_before and one["after"] == now_after for one in found)
    takes_back = not forward and bool(sent) and any(one["before"] == now_after for one in found)
    if not forward and not takes_back:
        said = "; ".join(moved(found[-1], now_before, now_after))
        raise Refused(f"{change.name} on {change.target}: {said}. Nothing was sent: plan again.")
    back = sum(bool(line.get("takes_back")) for line in sent)
    ahead = len(sent) - back
    most = ahead if takes_back else budget(calls)
    if (back if takes_back else ahead) >= most:
        raise Refused(
            f"The plan {session.plan} has {calls} changes, and {len(sent)} were announced already: "
            f"{change.name} on {change.target} was not sent, look at what the others did, and plan again."
        )
    return {"plan": session.plan, "takes_back": takes_back}


def write_plan(folder: Path, digest: str, plan: Mapping[str, Any], calls: int, made_at: str) -> Path:
    """Write plan.json in one piece. Raises Refused when it could not be written."""
    path, draft = folder / PLAN, folder / f".{PLAN}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(draft, flags, 0o600), "w") as file:
            json.dump({"digest": digest, "made_at": made_at, "calls": calls, "plan": plan}, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise Refused(f"The plan {path} cannot be written ({error.strerror}): make room on the disk.") from error
    return path


def read_plan(session: Session) -> tuple[dict[str, Any], int]:
    """The plan of the run, and how many calls it has. Raises Refused unless it is the one that the session names."""
    path = session.folder / PLAN
    try:
        written = json.loads(path.read_text())
        plan, calls = checked_plan(written["plan"]), int(written["calls"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"The plan {path} cannot be read: plan again.") from error
    if digest_of_plan(plan) != session.plan:
        raise Refused(f"The plan {path} is not the one that this run was given ({session.plan}): plan again.")
    return plan, calls
