# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is known of an incident: the journals of all its runs, from this machine and from the table of the environment.

A line that both have is taken from this machine, and one that only the table has, from there: another machine ran it.
What a journal says is data that somebody may have edited. It is never a template, and whatever is done with it goes
through the option specs of our own modules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling, unanswered
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused, Unanswered
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import JOURNAL, KINDS, Journal
from ansible_collections.daily_emr.ops.plugins.module_utils._step_lines import Steps, place, sort_out

# What takes an incident's steps back may join every incident; it does not say what the incident is about.
UNDO = "undo"
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,80}")
STEP_KINDS = ("intent", "outcome", "refused", "probed")

Line = dict[str, Any]


@dataclass(frozen=True)
class History:
    """The runs of one incident, oldest first, each with its lines in their order."""

    incident: str
    runs: tuple[tuple[Line, ...], ...] = ()

    @property
    def begun(self) -> Line:
        """The line with which the incident was begun by a runbook that can go on with it; empty when there is none."""
        lines = (line for run in self.runs for line in run)
        return next((line for line in lines if line["kind"] == "opened" and _resumable(line)), {})

    @property
    def newest(self) -> Line:
        """The same of the newest run: its inputs are those that were meant last."""
        lines = (line for run in reversed(self.runs) for line in run)
        return next((line for line in lines if line["kind"] == "opened" and _resumable(line)), {})

    def steps(self, component: str) -> Steps:
        """What became of the steps on one component. What a plan has seen settles nothing."""
        return sort_out(
            [line for line in run if line["kind"] in STEP_KINDS and line.get("component") == component]
            for run in self.runs
            if not _plan(run)
        )

    def ended(self, run: str) -> bool:
        """Whether a run is known to have come to its end, with whatever outcome."""
        return any(line["kind"] == "closed" for lines in self.runs for line in lines if line["run"] == run)

    def settled(self, component: str) -> frozenset[str]:
        """Runs whose steps on a component were seen to help: those up to the newest one that succeeded."""
        good = [
            number
            for number, run in enumerate(self.runs)
            for line in run
            if line["kind"] == "closed" and line.get("component") == component and line.get("outcome") == "succeeded"
        ]
        return frozenset(str(run[0]["run"]) for run in self.runs[: max(good, default=-1) + 1])

    def line(self, run: str, seq: int) -> Line:
        """One line. Raises Refused when neither this machine nor the table has it."""
        for lines in self.runs:
            for line in lines:
                if place(line) == (run, seq):
                    return line
        raise Refused(f"Line {seq} of run {run} of {self.incident} is nowhere: run on the machine that it ran on.")

    def reasons_against(self, runbook: str, component: str, code: str, *, new_code: bool) -> list[str]:
        """Why a run may not go on with this incident: sentences that say what to do instead."""
        begun = self.begun
        if not begun:
            return []
        reasons = []
        if runbook not in (begun["runbook"], UNDO):
            reasons.append(
                f"{self.incident} was begun with {begun['runbook']}, not with {runbook}: go on with "
                f"`runbook resume {self.incident}`, or leave incident_id out to open a new one."
            )
        # A run on a group opens one incident for all its components at once, before anything is done on one of them.
        worked_on = self._components("intent")
        if worked_on and component not in worked_on:
            reasons.append(
                f"{self.incident} is about {', '.join(worked_on)}, not about {component}: run again with "
                f"--limit {worked_on[0]}."
            )
        before = self._worked_with()
        if before and code and before != code and not new_code:
            reasons.append(
                f"{self.incident} was worked on with other code ({before[:12]}) than there is here now ({code[:12]}), "
                "so its steps may mean something else: go on with the same checkout, or look at what has changed and "
                "run again with --input incident_accept_new_code=true (ansible-playbook: -e)."
            )
        return reasons

    @property
    def components(self) -> list[str]:
        """What it is about: components on which something was intended; where nothing was, all it was opened for."""
        return self._components("intent") or self._components("opened")

    def _components(self, kind: str) -> list[str]:
        lines = (line for run in self.runs for line in run if line["kind"] == kind)
        return sorted({str(line["component"]) for line in lines if line.get("component")})

    def _worked_with(self) -> str:
        """The code of the newest run that intended something; what only looked has no say."""
        acted = [run for run in self.runs if any(line["kind"] == "intent" for line in run)]
        opened = [line for run in acted for line in run if line["kind"] == "opened" and line.get("code")]
        return str(opened[-1]["code"]) if opened else ""


def read_history(clients: Clients, folder: Path, incident: str, *, mirrored: bool = True) -> History:
    """Everything that is known of an incident.

    folder: where this machine keeps the runs of the incident. mirrored: whether the table is asked, too. Raises Refused
    when it does not answer: what another machine did would be missing.
    """
    found: dict[tuple[str, int], Line] = {}
    for line in (*local_lines(folder, incident), *(mirrored_lines(clients, incident) if mirrored else ())):
        found.setdefault(place(line), line)
    return arranged(incident, found.values())


def arranged(incident: str, lines: Any) -> History:
    """The history that these lines make."""
    runs: dict[str, list[Line]] = {}
    for line in lines:
        runs.setdefault(str(line["run"]), []).append(line)
    for run in runs.values():
        run.sort(key=lambda line: int(line["seq"]))
    return History(incident, tuple(tuple(run) for run in sorted(runs.values(), key=_order)))


def local_lines(folder: Path, incident: str) -> Iterator[Line]:
    """The lines of all runs of an incident that were made on this machine."""
    for path in sorted(folder.glob(f"*/{JOURNAL}")) if folder.is_dir() else ():
        run = path.parent.name
        for line in Journal(path.parent, incident, run).read():
            if _whole(line, incident) and line["run"] == run:
                yield line


def mirrored_lines(clients: Clients, incident: str) -> Iterator[Line]:
    """The lines that the table has of an incident. Raises Refused, and Unanswered when it gives no answer."""
    table = clients.environment.table
    start: dict[str, Any] = {}
    while True:
        try:
            with calling("dynamodb:Query"):
                page = clients.read("dynamodb").query(
                    TableName=table,
                    KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
                    ExpressionAttributeValues={":pk": {"S": f"incident#{incident}"}, ":sk": {"S": "journal#"}},
                    ConsistentRead=True,
                    **start,
                )
        except Refused:
            raise
        except OpsError as error:
            raise (Unanswered if unanswered(error) else Refused)(
                f"What was done for {incident} cannot be read from the table {table}, so nothing is changed: "
                f"{error.sentence}"
            ) from error
        for item in page["Items"]:
            line = _parsed(item.get("line", {}).get("S", ""))
            if _whole(line, incident):
                yield line
        if "LastEvaluatedKey" not in page:
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _whole(line: Any, incident: str) -> bool:
    """Whether it is a line of this incident, in the shape that everything here counts on."""
    return bool(
        isinstance(line, Mapping)
        and line.get("incident") == incident
        and isinstance(line.get("seq"), int)
        and isinstance(line.get("at"), str)
        and line.get("kind") in KINDS
        and isinstance(line.get("run"), str)
        and RUN_ID.fullmatch(line["run"])
        and all(isinstance(line.get(name) or {}, Mapping) for name in ("diff", "of", "undo_of", "args", "traces"))
    )


def _order(run: list[Line]) -> tuple[int, str, str]:
    """Runs by the fence of the lease when they looked, because the clocks of two machines may differ."""
    fences = [line["fence"] - 1 for line in run if isinstance(line.get("fence"), int)]
    fences += [line["fence_seen"] for line in run if isinstance(line.get("fence_seen"), int)]
    return (fences[0] if fences else 0, run[0]["at"], str(run[0]["run"]))


def _plan(run: tuple[Line, ...]) -> bool:
    return any(line["kind"] == "opened" and line.get("mode") == "plan" for line in run)


def _resumable(line: Line) -> bool:
    return bool(line.get("resumable")) and line.get("runbook") != UNDO and bool(line.get("component"))
