"""The report of a run: one Markdown file and one self-contained HTML page, from the journal and the record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from . import facts, rendering, timeline
from .text import clean, seconds

if TYPE_CHECKING:
    from pathlib import Path

    from .record import RunFolder

FORMATS = {"md": ("md",), "html": ("html",), "both": ("md", "html")}
NO_ADVICE = ""
ADVICE = {
    "succeeded": "Watch it for half an hour before you close the incident.",
    "noop": "If users still cannot work, the fault is outside of what this runbook looks at.",
    "refused": "Nothing was changed. Do what the refusal says, then run it again.",
    "failed_clean": "Nothing was changed. A person has to decide what is next.",
    "failed_rolled_back": "What was changed has been put back. A person has to decide what is next.",
    "failed_partial": "Some changes were made and stay. Look at them below before anything else is done.",
    "unknown": "A person must look at the service now. The lease stays, so that nobody works on it unaware.",
    "cancelled": "The run was stopped by a person.",
}


@dataclass(frozen=True)
class Step:
    """One change, as it went."""

    name: str
    target: str
    outcome: str
    changes: list[facts.FieldChange]
    prediction: list[str]
    undo: str
    seconds: str


@dataclass(frozen=True)
class Report:
    """Everything that the templates may show; every text in it is harmless."""

    incident: str
    run: str
    title: str
    severity: str
    runbook: str
    environment: str
    component: str
    mode: str
    operator: str
    alert: str
    outcome: str
    sentence: str
    advice: str
    opened: str
    closed: str
    duration: str
    decision: facts.Decision | None
    observations: list[facts.Observation]
    steps: list[Step]
    refusals: list[str]
    verification: str
    verified: bool
    entries: list[timeline.Entry]
    bars: list[timeline.Bar]
    path: str


def write_reports(folder: RunFolder, formats: tuple[str, ...] = FORMATS["both"]) -> list[Path]:
    """Render next to the record, readable by the owner only."""
    report = build(folder)
    paths = []
    for suffix in formats:
        path = folder.path / f"report.{suffix}"
        rendering.write_private(path, render(report, suffix))
        paths.append(path)
    return paths


def summary(folder: RunFolder) -> str:
    """The run in one line."""
    report = build(folder)
    return f"{report.incident} {report.component} {report.outcome}: {report.sentence} ({report.duration})"


def build(folder: RunFolder) -> Report:
    """Gather the facts. Whatever a killed run did not write is said to be missing, not made up.

    The verdict of the success gate, where there is one, counts more than the record.
    """
    record = folder.record() or {}
    journal = folder.journal() or [line for line in record.get("journal") or [] if isinstance(line, dict)]
    first = _body(journal, "opened", 0)
    word, said = (clean(text) for text in folder.ending())
    opened, closed = record.get("opened_at") or first.get("at"), record.get("closed_at")
    verification = record.get("verification") or _body(journal, "verified", -1)
    return Report(
        incident=clean(record.get("incident") or folder.incident),
        run=clean(record.get("run") or folder.run),
        title=clean(record.get("title") or first.get("title") or "Incident"),
        severity=clean(record.get("severity") or first.get("severity") or ""),
        runbook=clean(record.get("runbook") or first.get("runbook") or ""),
        environment=clean(record.get("environment") or first.get("environment") or ""),
        component=clean(record.get("component") or first.get("component") or ""),
        mode=clean(record.get("mode") or first.get("mode") or "run"),
        operator=clean(record.get("operator") or first.get("operator") or ""),
        alert=_alert(record.get("alert") or first.get("alert")),
        outcome=word,
        sentence=said,
        advice=ADVICE.get(word, NO_ADVICE),
        opened=timeline.both_clocks(opened),
        closed=timeline.both_clocks(closed),
        duration=seconds(facts.number(record.get("seconds")) or timeline.between(opened, closed)),
        decision=_decision(record, journal),
        observations=facts.observations(
            record.get("observations") or _body(journal, "observed", 0).get("observations")
        ),
        steps=_steps(record, journal),
        refusals=_refusals(journal),
        verification=clean(verification.get("sentence") or ""),
        verified=verification.get("verified") is True,
        entries=timeline.entries(journal),
        bars=timeline.bars(journal),
        path=str(folder.path),
    )


def render(report: Report, suffix: str) -> str:
    """The report as `md` or `html`."""
    return rendering.render("report", suffix, report=report, written=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")


def _body(journal: list[dict[str, Any]], kind: str, which: int) -> dict[str, Any]:
    lines = [line for line in journal if line.get("kind") == kind]
    return lines[which] if lines else {}


def _alert(found: Any) -> str:
    """The alert that started the run, in one line; empty when a person did."""
    if not isinstance(found, dict) or not found:
        return ""
    return clean(
        f"{found.get('name')} of {found.get('source')}, {found.get('reference')}, since {found.get('started_at')}"
    )


def _decision(record: dict[str, Any], journal: list[dict[str, Any]]) -> facts.Decision | None:
    """That of the record; of a run that left none, the first: later ones look at what was already worked on."""
    return facts.decision(record.get("decision") or _body(journal, "decided", 0))


def _steps(record: dict[str, Any], journal: list[dict[str, Any]]) -> list[Step]:
    rows = [row for row in record.get("steps") or [] if isinstance(row, dict)] or _steps_of_journal(journal)
    # A refused step is told by its reasons, in a section of its own; one that had nothing to do, by the timeline.
    rows = [row for row in rows if row.get("outcome") not in ("refused", "noop")]
    return [
        Step(
            name=clean(row.get("step") or "change"),
            target=clean(row.get("target") or ""),
            # An intent without an outcome: the run was killed in the middle of it.
            outcome=clean(row.get("outcome") or "unknown"),
            changes=facts.field_changes(row.get("diff")),
            prediction=facts.sentences(row.get("prediction")),
            undo=facts.undo_sentence(row.get("undo")),
            seconds=seconds(facts.number(row.get("seconds"))),
        )
        for row in rows
    ]


def _steps_of_journal(journal: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each intent with its outcome; a step that found nothing to do has an outcome alone, and one of a plan a look."""
    steps: list[dict[str, Any]] = []
    alone = {"outcome", "looked"} if journal and journal[0].get("mode") == "plan" else {"outcome"}
    for line in journal:
        if line.get("kind") == "intent":
            steps.append({**line, "outcome": "unknown"})
        elif line.get("kind") in alone:
            if steps and steps[-1]["kind"] == "intent" and steps[-1].get("step") == line.get("step"):
                steps.append(steps.pop() | line)
            else:
                steps.append(line)
    return steps


def _refusals(journal: list[dict[str, Any]]) -> list[str]:
    found = [sentence for line in journal if line.get("kind") == "refused" for sentence in facts.refusals(line)]
    return list(dict.fromkeys(found))
