# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the journal lines of steps say, pure: the options that a line keeps, and what became of each step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import StepOutcome

Line = Mapping[str, Any]


class Probed(StrEnum):
    """What a look at the world says of a step in doubt."""

    DONE = "done"
    NOT_DONE = "not_done"
    AMBIGUOUS = "ambiguous"


def kept_args(spec: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a step as its line keeps them: what somebody set, and nothing that is not to be shown."""
    kept = {}
    for name, option in spec.items():
        value = params.get(name)
        if value is None or option.get("no_log"):
            continue
        inner = option.get("options")
        if inner and isinstance(value, Mapping):
            value = kept_args(inner, value)
        elif inner and isinstance(value, (list, tuple)):
            value = [kept_args(inner, item) if isinstance(item, Mapping) else item for item in value]
        kept[name] = value
    return kept


@dataclass
class Steps:
    """The steps of an incident. done: in the order in which they were done, undos left out; in_doubt: whose end
    nobody knows, by its intent; undone: (run, seq) of done steps that were taken back.
    """

    done: list[dict[str, Any]] = field(default_factory=list)
    in_doubt: list[dict[str, Any]] = field(default_factory=list)
    undone: set[tuple[str, int]] = field(default_factory=set)

    @property
    def standing(self) -> list[dict[str, Any]]:
        """Done and not taken back."""
        return [line for line in self.done if place(line) not in self.undone]


def place(line: Line) -> tuple[str, int]:
    """Where a line stands in its incident: run and number."""
    return str(line["run"]), int(line["seq"])


def sort_out(runs: Iterable[Sequence[Line]]) -> Steps:
    """What became of every step, from the lines of all runs of an incident, oldest run first."""
    steps = Steps()
    open_: dict[tuple[str, str], dict[str, Any]] = {}
    intents: dict[tuple[str, int], dict[str, Any]] = {}
    for lines in runs:
        for line in lines:
            if not line.get("step") or not line.get("target"):
                continue
            key = (str(line["step"]), str(line["target"]))
            if line["kind"] == "intent":
                open_[key] = intents[place(line)] = dict(line)
            elif line["kind"] == "outcome":
                _outcome(steps, open_, key, dict(line))
            elif line["kind"] == "refused" and open_.get(key, {}).get("run") == line["run"]:
                del open_[key]  # announced, and then not sent
            elif line["kind"] == "probed" and line.get("word") in (Probed.DONE, Probed.NOT_DONE):
                _probed(steps, open_, key, line)
    steps.in_doubt = list(open_.values())
    return steps


def _outcome(steps: Steps, open_: dict[tuple[str, str], dict[str, Any]], key: tuple[str, str], line: Any) -> None:
    outcome, mine = line.get("outcome"), open_.get(key, {}).get("run") == line["run"]
    if outcome == StepOutcome.UNKNOWN:
        open_.setdefault(key, line)  # its intent says more, where there is one
        return
    # What was seen to be as wanted ends the doubt of an earlier run, too; a call that failed says nothing of that one.
    if mine or outcome in (StepOutcome.OK, StepOutcome.NOOP):
        open_.pop(key, None)
    if line.get("undo_of"):
        if outcome in (StepOutcome.OK, StepOutcome.NOOP):
            steps.undone.add(place(line["undo_of"]))
    elif outcome == StepOutcome.OK:
        steps.done.append(line)


def _probed(steps: Steps, open_: dict[tuple[str, str], dict[str, Any]], key: tuple[str, str], line: Line) -> None:
    intent = open_.get(key)
    if intent is None or place(intent) != place(line["of"]):
        return
    del open_[key]
    if line["word"] != Probed.DONE:
        return
    if intent.get("undo_of"):
        steps.undone.add(place(intent["undo_of"]))
    else:
        steps.done.append({**intent, "diff": line.get("diff") or intent.get("diff")})
