# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a run has to know of the runs before it: whether it may go on, what they did, and what is in doubt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._history import UNDO, History, Line, read_history
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseView
from ansible_collections.daily_emr.ops.plugins.module_utils._record import moved

# What says how one run goes, and would be wrong for the next one.
OF_ONE_RUN = frozenset(
    {"approve", "incident", "incident_id", "incident_alert", "incident_take_over", "incident_answer"}
    | {"incident_accept_new_code"}
)


@dataclass
class Past:
    """What was before this run. reasons: why it may not go on; left: the version of a lease whose run is known to have
    come to its end, and left it for a person to look; in_doubt: see _step_lines.Steps;
    done: what was done, and nobody has seen yet whether it helped.
    """

    reasons: list[str] = field(default_factory=list)
    left: str = ""
    in_doubt: list[dict[str, Any]] = field(default_factory=list)
    done: list[dict[str, Any]] = field(default_factory=list)

    def as_facts(self) -> dict[str, Any]:
        """What the line of the opening says of it; nothing where nothing was."""
        facts = {"in_doubt": self.in_doubt, "done_before": self.done, "left": self.left}
        return {name: value for name, value in facts.items() if value}


def look_back(params: Mapping[str, Any], clients: Clients, view: LeaseView | None, runs: Path, code: str) -> Past:
    """What was before this run, in its own incident and in that of a dead run whose lease it may take.

    view: the lease; None for a run that goes on without the table, and knows of this machine alone. runs: the folder
    of all incidents on this machine. Raises Refused, Unanswered when the table does not answer.
    """
    past, joined, component = Past(), params["incident_id"], params["component"]
    holder = view.incident if view and view.held else ""
    for incident in dict.fromkeys(filter(None, (joined, holder))):
        if incident != joined and not params["take_over"]:
            continue
        history = read_history(clients, runs / incident, incident, mirrored=view is not None)
        steps = history.steps(component)
        if incident == joined:
            past.reasons = history.reasons_against(
                params["runbook"], component, code, new_code=params["accept_new_code"]
            )
            # Taking back is no reason to look whether it helped, and what was seen to help needs no second look.
            seen = history.settled(component)
            unseen = [line for line in steps.standing if line["run"] not in seen]
            past.done = [] if params["runbook"] == UNDO else [short(line) for line in unseen]
        if view and view.held and incident == view.incident and incident == joined and history.ended(view.run):
            past.left = view.rvn
        past.in_doubt += [short(line) for line in steps.in_doubt]
    return past


def kept_inputs(given: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs with which the same run could be started again."""
    return {name: value for name, value in given.items() if name not in OF_ONE_RUN}


def about(history: History) -> dict[str, Any]:
    """What an incident is about and how far it has come. Raises Refused when nobody here knows it."""
    begun = history.begun
    if not begun:
        raise Refused(
            f"Nothing is known of {history.incident}, neither here nor in the table: look at its name, at the "
            "environment, and at DAILY_EMR_RUNS; an incident of the second region needs --limit emr-region."
        )
    steps = [history.steps(component) for component in history.components]
    return {
        **{name: str(begun[name]) for name in ("runbook", "environment")},
        "components": history.components,
        "inputs": dict(history.newest.get("inputs") or {}),
        "runs": [str(run[0]["run"]) for run in history.runs],
        "in_doubt": [short(line) for some in steps for line in some.in_doubt],
        "done": [short(line) for some in steps for line in some.standing],
    }


def short(line: Line) -> dict[str, Any]:
    """What names a step: where its line stands, what it is, and from what to what."""
    named = {name: line[name] for name in ("incident", "run", "seq", "step", "target")}
    return {**named, "moved": moved(line.get("diff") or {})}
