# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Takes back what an incident has done, newest step first, each only while the state is still what the step left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import execute_change
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._decision import Status
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._history import History, Line, read_history
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import StepOutcome
from ansible_collections.daily_emr.ops.plugins.module_utils._resume import short
from ansible_collections.daily_emr.ops.plugins.module_utils._step_lines import Steps, place
from ansible_collections.daily_emr.ops.plugins.module_utils._steps import (
    change_of,
    observed,
    plain,
    shown,
    still_as_left,
)

Json = dict[str, Any]
# Names of the observations that the decision table of roles/undo reads.
TO_UNDO, MOVED_ON, IRREVERSIBLE = "steps_to_undo", "moved_on", "irreversible"


@dataclass(frozen=True)
class Undoing:
    """The steps of one incident on one component, and the world that they have changed.

    components: see _steps.change_of.
    """

    clients: Clients
    session: Session
    components: Mapping[str, Any]

    def history(self) -> History:
        return read_history(self.clients, self.session.folder.parent, self.session.id)

    def steps(self) -> Steps:
        """Raises Refused when there is nothing known of the incident."""
        history = self.history()
        if not history.begun:
            raise Refused(f"Nothing is known of {self.session.id}: name the incident whose steps are to be undone.")
        return history.steps(self.session.component)

    def look(self, line: Line) -> tuple[Json, bool]:
        """The state that a done step is about as it is now, and whether it is what the step left."""
        change = change_of(
            line.get("module"), line.get("args"), self.components, self.clients, self.session.as_params()
        )
        now = observed(change, line["target"])
        return plain(now), still_as_left(change, line, now)

    def undo(self, run: str, seq: int, *, check_mode: bool) -> Json:
        """Take back one done step, by its inverse, as a step of its own. Never raises an OpsError."""
        mark = {"run": run, "seq": seq}
        step, target = "undo", self.session.component
        try:
            steps = self.steps()
            line = next((line for line in steps.done if place(line) == (run, seq)), None)
            if line is None:
                raise Refused(
                    f"Line {seq} of run {run} is no step that {self.session.id} has done: look at its record."
                )
            step, target = str(line["step"]), str(line["target"])
            inverse = line.get("undo")
            if place(line) in steps.undone:
                return _ended(StepOutcome.NOOP, step, target, f"{step} on {target} was taken back already.")
            if not isinstance(inverse, Mapping):
                return _ended(StepOutcome.NOOP, step, target, f"{step} on {target} cannot be undone: {inverse}")
            now, as_left = self.look(line)
            if not as_left and now != (line.get("diff") or {}).get("before"):
                raise Refused(moved_on(line, now))
            change = change_of(
                inverse.get("module"), inverse.get("args"), self.components, self.clients, self.session.as_params()
            )
        except OpsError as error:
            refused = isinstance(error, Refused)
            outcome = StepOutcome.REFUSED if refused else StepOutcome.FAILED
            facts = _ended(outcome, step, target, error.sentence)
            kept = {name: facts[name] for name in ("step", "target", "outcome", "msg", "refusals")}
            Journal.of(self.session).append("refused" if refused else "outcome", **kept, undo_of=mark)
            return facts
        return execute_change(change, self.clients, self.session, check_mode=check_mode, marks={"undo_of": mark})


def moved_on(line: Line, now: Json) -> str:
    """Why a step is not taken back: its state is no longer what it left."""
    left = (line.get("diff") or {}).get("after")
    return (
        f"{line['step']} on {line['target']} left: {shown(left)}; it is now: {shown(now)}. Somebody has changed it "
        "since, so it is not taken back: decide with them, and change it by hand if it has to be."
    )


def plan(undoing: Undoing) -> Json:
    """What would be taken back, newest first, and what cannot be; as observations that a decision can be made on."""
    steps = undoing.steps()
    standing = list(reversed(steps.standing))
    reversible = [line for line in standing if isinstance(line.get("undo"), Mapping)]
    irreversible = [line for line in standing if line not in reversible]
    states = [_state(undoing, line) for line in reversible]
    listed = [name for name, _status, _seen in states]
    found = [status for _name, status, _seen in states]
    worst = next((status for status in (Status.FINDING, Status.UNKNOWN) if status in found), Status.OK)
    observations = [
        {
            "name": TO_UNDO,
            "status": str(Status.FINDING if reversible else Status.OK),
            "expected": "nothing that can be taken back",
            "seen": "; ".join(listed) or "nothing that can be taken back",
        },
        {
            "name": MOVED_ON,
            "status": str(worst),
            "expected": "everything as the steps left it",
            "seen": "; ".join(seen for _name, _status, seen in states) or "nothing to look at",
        },
        {
            "name": IRREVERSIBLE,
            "status": str(Status.FINDING if irreversible else Status.OK),
            "expected": "every step can be taken back",
            "seen": " ".join(irreversible_steps(irreversible)) or "every step can be taken back",
        },
    ]
    return {
        "observations": observations,
        "healthy": not reversible,
        "steps": [short(line) for line in reversible],
        "irreversible": irreversible_steps(irreversible),
        "undone": [short(line) for line in steps.done if place(line) in steps.undone],
    }


def irreversible_steps(lines: list[Line]) -> list[str]:
    """The steps that nothing takes back, each with the reason."""
    return [f"{line['step']} on {line['target']}: {line.get('undo') or 'it has no inverse.'}" for line in lines]


def _state(undoing: Undoing, line: Line) -> tuple[str, Status, str]:
    name = f"{line['step']} on {line['target']}{short(line)['moved']}"
    try:
        now, as_left = undoing.look(line)
    except OpsError as error:
        return name, Status.UNKNOWN, f"{name}: {error.sentence}"
    if as_left or now == (line.get("diff") or {}).get("before"):
        return name, Status.OK, f"{name}: as it was left"
    return name, Status.FINDING, moved_on(line, now)


def verified(undoing: Undoing) -> Json:
    """Whether everything that can be taken back was, and is as it was before."""
    steps = undoing.steps()
    failing = [f"{line['step']} on {line['target']} still stands" for line in steps.standing if _reversible(line)]
    unread: list[str] = []
    first: dict[tuple[str, str], Line] = {}
    for line in steps.done:
        if place(line) in steps.undone:
            first.setdefault((str(line["step"]), str(line["target"])), line)
    for line in first.values():
        try:
            now, as_left = undoing.look(line)
        except OpsError as error:
            unread.append(f"{line['step']} on {line['target']}: {error.sentence}")
            continue
        if as_left and now != (line.get("diff") or {}).get("before"):
            failing.append(f"{line['step']} on {line['target']} is still: {shown(now)}")
    taken = [f"{step} on {target}" for step, target in first]
    left = irreversible_steps([line for line in steps.standing if not _reversible(line)])
    reached = f"everything of {undoing.session.id} that can be taken back is as it was: {', '.join(taken) or 'nothing'}"
    reached += f"; not taken back, because nothing can: {' '.join(left)}" if left else ""
    state = False if failing else None if unread else True
    words = "Everything that can be taken back is as it was." if state else "; ".join([*failing, *unread]) + "."
    return {"verified": state, "failing": [*failing, *unread], "sentence": words, "reached": reached.rstrip(".")}


def _reversible(line: Line) -> bool:
    return isinstance(line.get("undo"), Mapping)


def _ended(outcome: StepOutcome, step: str, target: str, sentence: str) -> Json:
    """The result of a step that ended before there was a change to make."""
    refused = outcome is StepOutcome.REFUSED
    facts: Json = {"step": step, "target": target, "outcome": str(outcome), "msg": sentence, "changed": False}
    facts |= {"diff": {}, "prediction": [], "undo": None, "refused": refused, "refusals": [sentence] if refused else []}
    return {**facts, "failed": True} if outcome in (StepOutcome.REFUSED, StepOutcome.FAILED) else facts
