"""The record of an incident: what is left of all its runs when the service is back, as plain data.

Only what is named here gets into it, and every text is harmless. docs/schemas/incident.schema.json is its form.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from . import facts, impact, incident_timeline
from .outcome import WORST_FIRST
from .record import read_lines
from .text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from .record import Line, RunFolder

SCHEMA = 1
NOTIFICATIONS = "notifications.jsonl"
"""In the folder of a run: who was told what. A run without it has told nobody."""
CHANNELS = ("pagerduty", "slack", "statuspage", "sms", "grafana")
SAID = ("sent", "later", "failed", "unknown")
GOOD = ("succeeded", "noop")
UNDECIDED = ("refused", "cancelled", "planned")
"""Outcomes of a run that did nothing and found nothing out: what an earlier run reached stays as it is."""
TAKES_BACK = "undo"
PLAN = "plan"
DONE = "ok"
STEP_OUTCOMES = (DONE, "noop", "failed", "refused")
SEVERITIES = ("SEV1", "SEV2", "SEV3", "SEV4")
PROBED = {"done": DONE, "not_done": "failed"}
"""What a later look says of a step whose end nobody saw."""


@dataclass(frozen=True)
class Run:
    """One run of the incident, read once."""

    folder: RunFolder
    journal: list[Line]
    record: dict[str, Any]
    outcome: str
    sentence: str

    @classmethod
    def read(cls, folder: RunFolder) -> Run:
        record = folder.record() or {}
        journal = folder.journal() or [line for line in record.get("journal") or [] if isinstance(line, dict)]
        outcome, sentence = folder.ending()
        return cls(folder, journal, record, outcome if outcome in WORST_FIRST else "unknown", clean(sentence))

    @cached_property
    def opened(self) -> Line:
        """The line with which it began; empty where that is missing."""
        return next((line for line in self.journal if line.get("kind") == "opened"), {})

    def about(self, name: str) -> str:
        """A fact that its record has, or the line with which it began; empty when it is known to neither."""
        return clean(self.record.get(name) or self.opened.get(name) or "")

    @property
    def acts(self) -> bool:
        """Whether it was more than a plan."""
        return self.about("mode") != PLAN

    @property
    def mitigates(self) -> bool:
        return self.acts and self.about("runbook") != TAKES_BACK

    @property
    def opened_at(self) -> datetime | None:
        return facts.moment(self.record.get("opened_at") or self.opened.get("at"))

    @property
    def closed_at(self) -> datetime | None:
        line = next((line for line in reversed(self.journal) if line.get("kind") == "closed"), {})
        return facts.moment(self.record.get("closed_at") or line.get("at"))


def felt_by_users(runs: Iterable[Run]) -> impact.Impact:
    """What all runs together know of the users of the web service."""
    return impact.measured(line for run in runs for line in run.journal if line.get("kind") == "impact")


def build(runs: Sequence[Run]) -> dict[str, Any]:
    """The record of the incident that these runs are of, oldest first; at least one."""
    felt = felt_by_users(runs)
    deciding = _deciding(runs)
    closed = all(run.outcome in GOOD for run in deciding)
    worst = min(deciding, key=lambda run: WORST_FIRST.index(run.outcome))
    times = _times(runs, felt, deciding if closed else [])
    told = _told(runs)
    return {
        "schema": SCHEMA,
        "incident": clean(runs[0].about("incident") or runs[0].folder.incident),
        "title": _first(runs, "title") or "Incident",
        "severity": min((word for run in runs if (word := run.about("severity")) in SEVERITIES), default=""),
        "environment": _first(runs, "environment"),
        "components": _each(runs, "component"),
        "runbooks": _each(runs, "runbook"),
        "state": "closed" if closed else "open",
        "outcome": worst.outcome,
        "sentence": _sentence(deciding),
        "times": {name: facts.utc(at) for name, at in times.items()},
        **_durations(times),
        "impact": felt.as_json(),
        "timeline": incident_timeline.entries(runs, times, told),
        "actions": _actions(runs),
        "told": told,
        "runs": [_run(run) for run in runs],
    }


def _first(runs: Iterable[Run], name: str) -> str:
    return next(filter(None, (run.about(name) for run in runs)), "")


def _each(runs: Iterable[Run], name: str) -> list[str]:
    return list(dict.fromkeys(filter(None, (run.about(name) for run in runs))))


def _run(run: Run) -> dict[str, Any]:
    return {
        "run": clean(run.folder.run),
        "component": run.about("component"),
        "runbook": run.about("runbook"),
        "outcome": run.outcome,
        "sentence": run.sentence,
        "opened_at": facts.utc(run.opened_at),
        "closed_at": facts.utc(run.closed_at),
    }


def _deciding(runs: Sequence[Run]) -> list[Run]:
    """For each component the run that says how it is: the last one that found something out, else the last one."""
    found = []
    for component in dict.fromkeys(run.about("component") for run in runs):
        mine = [run for run in runs if run.about("component") == component]
        found.append(next((run for run in reversed(mine) if run.outcome not in UNDECIDED), mine[-1]))
    return found


def _sentence(deciding: Sequence[Run]) -> str:
    if len(deciding) == 1:
        return deciding[0].sentence
    return " ".join(f"{run.about('component') or 'unknown'}: {run.sentence}" for run in deciding)


def _times(runs: Sequence[Run], felt: impact.Impact, closing: Sequence[Run]) -> dict[str, datetime | None]:
    """When it began, was noticed, was taken up, was mended and was over. closing: the runs that ended it; none while it
    is open.
    """
    opened = [run.opened_at for run in runs if run.opened_at]
    alarms = [at for run in runs if (at := facts.moment(incident_timeline.alert(run).get("started_at")))]
    ends = [run.closed_at for run in closing]
    return {
        "impact_began": felt.began,
        "detected": min([*alarms, *opened], default=None),
        "acknowledged": min(opened, default=None),
        "mitigated": _mitigated(runs, felt),
        "resolved": max(at for at in ends if at) if ends and all(ends) else None,
    }


def _mitigated(runs: Sequence[Run], felt: impact.Impact) -> datetime | None:
    """When users were served again: the last step that helped had ended, and so had what was waited for behind it, and
    no minute was down any more. A step helped when the component was seen to be good behind it, in this run or later.
    """
    found: list[datetime] = []
    done: dict[str, datetime] = {}
    for run in runs:
        for line in run.journal if run.mitigates else ():
            component, at = str(line.get("component")), facts.moment(line.get("at"))
            waited = line.get("kind") == "waited" and line.get("settled") is True and component in done
            if at and (_did(line) or waited):
                done[component] = at
            elif at and line.get("kind") == "verified" and line.get("verified") is True and component in done:
                found.append(max([done.pop(component), *felt.down_until(at)]))
    return max(found, default=None)


def _did(line: Line) -> bool:
    """Whether the line says that a step was done; one in doubt counts from the look that found it done."""
    if line.get("undo_of") or not line.get("step"):
        return False
    done = line.get("kind") == "outcome" and line.get("outcome") == DONE
    return done or (line.get("kind") == "probed" and line.get("word") == "done")


def _durations(times: Mapping[str, datetime | None]) -> dict[str, Any]:
    """Seconds between the times. What has no begin or no end, or ends before it begins, has no length."""

    def between(begin: str, end: str) -> float | None:
        first, last = times[begin], times[end]
        if first is None or last is None or last < first:
            return None
        return round((last - first).total_seconds(), 3)

    begin = next((name for name in ("impact_began", "detected") if times[name]), None)
    return {
        "durations_s": {
            "detect": between("impact_began", "detected"),
            "acknowledge": between("detected", "acknowledged"),
            "mitigate": between(begin, "mitigated") if begin else None,
            "resolve": between("impact_began", "resolved"),
        },
        "mitigate_from": begin,
    }


def _actions(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Every step that was announced or tried, with what was predicted and what came of it; none of a plan."""
    actions: dict[tuple[str, int], dict[str, Any]] = {}
    waiting: dict[tuple[str, str, str], tuple[str, int]] = {}
    for run in runs:
        for number, line in enumerate(run.journal if run.acts else ()):
            kind, place = line.get("kind"), (run.folder.run, number)
            step = (str(line.get("component")), str(line.get("step")), str(line.get("target")))
            if kind == "intent":
                waiting[step] = place
                actions[place] = _action(run, line) | {"outcome": "unknown", "seconds": None}
            elif kind in ("outcome", "refused") and waiting.get(step, ("", 0))[0] == run.folder.run:
                ended = _action(run, line) | {"at": actions[waiting[step]]["at"]}
                actions[waiting.pop(step)] |= ended
            elif kind == "outcome" and line.get("step") and line.get("outcome") != "noop":
                actions[place] = _action(run, line)
            elif kind == "probed" and step in waiting and line.get("word") in PROBED:
                actions[waiting.pop(step)]["outcome"] = PROBED[str(line["word"])]
    return sorted(actions.values(), key=lambda action: str(action["at"]))


def _action(run: Run, line: Line) -> dict[str, Any]:
    diff = line.get("diff")
    diff = diff if isinstance(diff, Mapping) else {}
    outcome = "refused" if line.get("kind") == "refused" else line.get("outcome")
    return {
        "at": facts.utc(line.get("at")),
        "run": clean(run.folder.run),
        "component": clean(line.get("component") or run.about("component")),
        "step": clean(line.get("step") or "change"),
        "target": clean(line.get("target") or ""),
        "outcome": outcome if outcome in STEP_OUTCOMES else "unknown",
        "predicted": facts.sentences(line.get("prediction")),
        "seconds": facts.number(line.get("seconds")),
        "before": _state(diff.get("before")),
        "after": _state(diff.get("after")),
        "undo": facts.undo_sentence(line.get("undo")),
    }


def _state(value: object) -> dict[str, Any]:
    found = _harmless(value)
    return found if isinstance(found, dict) else {} if value is None else {"value": found}


def _harmless(value: object) -> Any:
    match value:
        case None | bool() | int():
            return value
        case float() if math.isfinite(value):
            return value
        case Mapping():
            return {clean(name): _harmless(item) for name, item in value.items()}
        case list():
            return [_harmless(item) for item in value]
        case _:
            return clean(value)


def _told(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """The newest word of every message on every channel, in the order of their times."""
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for run in runs:
        lines, _ = read_lines(run.folder.path / NOTIFICATIONS, 0)
        for line in lines:
            channel = clean(line.get("channel") or "unknown")
            newest[str(line.get("key")), channel] = {
                "at": facts.utc(line.get("at")),
                "channel": channel,
                "event": clean(line.get("event") or "unknown"),
                # What nobody knows to be sent is not said to be.
                "state": line["state"] if line.get("state") in SAID else "unknown",
                "ref": clean(line.get("ref") or ""),
            }
    return sorted(newest.values(), key=lambda notice: notice["at"] or "")


def as_text(record: Mapping[str, Any]) -> str:
    """The record as a file."""
    return json.dumps(record, indent=2, ensure_ascii=True) + "\n"
