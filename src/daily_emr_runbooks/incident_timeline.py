"""The timeline of an incident: what its runs saw, decided and did, in order, with whom it was done by as a role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import facts, timeline
from .text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from .incident_record import Run
    from .record import Line

KINDS = {
    "opened": "state",
    "observed": "obs",
    "decided": "decision",
    "looked": "decision",
    "planned": "decision",
    "break_glass": "decision",
    "lease": "state",
    "intent": "action",
    "outcome": "action",
    "refused": "decision",
    "probed": "obs",
    "waited": "obs",
    "verified": "obs",
    "impact": "obs",
    "cancelled": "state",
    "closed": "state",
}
MOST_EVIDENCE = 6
OPERATOR = "operator"
COUNTED_BY = "cloudwatch:GetMetricData"
NOT_NOTIFIED = "NOT NOTIFIED"

Entry = dict[str, Any]


def entries(
    runs: Sequence[Run], times: Mapping[str, datetime | None], told: Iterable[Mapping[str, Any]]
) -> list[Entry]:
    """Everything with a time, oldest first; what happened at the same moment stays in the order of its source.

    times: those of the incident, as `incident_record` has them; told: its notices.
    """
    found = [entry for run in runs for entry in (*_alarm(run), *_lines(run))]
    found += _marks(times)
    found += [
        _entry(notice["at"], "comms", str(notice["channel"]), said(notice), evidence=[str(notice["ref"])])
        for notice in told
    ]
    return sorted((entry for entry in found if entry["ts_utc"]), key=lambda entry: str(entry["ts_utc"]))


def said(notice: Mapping[str, Any]) -> str:
    """Whether a channel was told of something."""
    if notice["state"] == "sent":
        return f"Told {notice['channel']}: {notice['event']}"
    return f"{NOT_NOTIFIED}: {notice['channel']} of {notice['event']} ({notice['state']})"


def alert(run: Run) -> Mapping[str, Any]:
    """The alert that started a run; empty when none did."""
    found = run.record.get("alert") or run.opened.get("alert")
    return found if isinstance(found, dict) else {}


def _alarm(run: Run) -> Iterator[Entry]:
    found = alert(run)
    if found:
        name, source, reference = (clean(found.get(key) or "unknown") for key in ("name", "source", "reference"))
        yield _entry(found.get("started_at"), "alarm", source, f"{name} began to ring", run, [reference])


def _lines(run: Run) -> Iterator[Entry]:
    for line in run.journal:
        kind = KINDS.get(str(line.get("kind")))
        # What a run looked at before it did it is told by what it did.
        again = run.acts and line.get("kind") == "looked" and line.get("outcome") == "planned"
        text = _summary(line) if kind and not again else ""
        if kind and text:
            yield _entry(line.get("at"), kind, _actor(run, line), text, run, _evidence(line))


def _summary(line: Line) -> str:
    if line.get("kind") == "break_glass":
        # Its sentence names who did it, and here nobody is named.
        return clean(f"Broke glass: {line.get('rule')} was lifted: {line.get('reason')}")
    if line.get("kind") == "probed" and line.get("answered"):
        return clean(f"Answered for {facts.step_name(line)}: {line['answered']}")
    return timeline.told(line)


def _actor(run: Run, line: Line) -> str:
    if line.get("kind") in ("break_glass", "cancelled") or line.get("answered"):
        return OPERATOR
    return f"runbook {run.about('runbook')}".strip()


def _evidence(line: Line) -> list[str]:
    """What the entry rests on: what was seen, and where it stands in the journal of its run."""
    found: list[str] = []
    if line.get("kind") == "observed":
        bad = [item for item in facts.observations(line.get("observations")) if item.status == "finding"]
        found = [f"{item.name}: {item.sentence} ({item.call})" for item in bad]
    elif line.get("kind") == "decided":
        decided = facts.decision(line.get("decision", line))
        found = list(decided.evidence) if decided else []
    elif line.get("kind") == "impact" and line.get("known") is True:
        found = [COUNTED_BY]
    more = [f"and {len(found) - MOST_EVIDENCE} more"] if len(found) > MOST_EVIDENCE else []
    number = facts.number(line.get("seq"))
    where = [] if number is None else [f"journal, line {number:.0f}"]
    return [*found[:MOST_EVIDENCE], *more, *where]


def _marks(times: Mapping[str, datetime | None]) -> Iterator[Entry]:
    """The two moments that no run writes down, because they are known only afterwards."""
    began = "The first minute in which facilities could not work"
    yield _entry(times["impact_began"], "state", "web service", began, evidence=[COUNTED_BY])
    yield _entry(times["mitigated"], "state", "web service", "Users were served again, as was verified behind it")


def _entry(
    at: object, kind: str, actor: str, summary: str, run: Run | None = None, evidence: Sequence[str] = ()
) -> Entry:
    moment = facts.utc(at)
    return {
        "ts_utc": moment,
        "ts_eat": facts.eat(at),
        "kind": kind,
        "actor": actor,
        "summary": summary,
        "run": clean(run.folder.run) if run else None,
        "component": run.about("component") if run else None,
        "evidence": [clean(item) for item in evidence if item],
    }
