"""The page of an incident for people: one Markdown file and one self-contained HTML page, beside the record as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from . import facts, plot, rendering, timeline
from .incident_record import CHANNELS, Run, as_text, build, felt_by_users
from .incident_timeline import NOT_NOTIFIED
from .record import RunFolder, runs_of
from .report import FORMATS
from .text import seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

NAME = "incident"
NOT_KNOWN = "not known"
TIMES = (
    ("impact_began", "Down from", None),
    ("detected", "Noticed", "detect"),
    ("acknowledged", "Taken up", "acknowledge"),
    ("mitigated", "Served again", "mitigate"),
    ("resolved", "Closed", "resolve"),
)
SINCE = {
    "detect": "after it began",
    "acknowledge": "after it was noticed",
    "resolve": "after it began",
    "impact_began": "after it began",
    "detected": "after it was noticed",
}


@dataclass(frozen=True)
class Moment:
    """One of the five times."""

    label: str
    at: str
    lasted: str


@dataclass(frozen=True)
class Action:
    """One step, as it was meant and as it went."""

    number: int
    step: str
    target: str
    component: str
    at: str
    outcome: str
    seconds: str
    predicted: list[str]
    changes: list[facts.FieldChange]
    undo: str


@dataclass(frozen=True)
class Row:
    """One entry of the timeline."""

    utc: str
    eat: str
    kind: str
    actor: str
    summary: str
    where: str
    evidence: list[str]


@dataclass(frozen=True)
class Notice:
    """What somebody was told, or was not."""

    at: str
    channel: str
    event: str
    state: str
    sent: bool
    ref: str


@dataclass(frozen=True)
class Page:
    """Everything that the templates may show; every text in it is harmless."""

    record: Mapping[str, Any]
    impact: str
    pace: str
    moments: list[Moment]
    plot: plot.Plot | None
    actions: list[Action]
    rows: list[Row]
    notices: list[Notice]
    not_told: list[str]
    folder: str


def write_incident(folder: RunFolder, formats: tuple[str, ...] = FORMATS["both"]) -> list[Path]:
    """Write the record of the incident that a run is of, and its pages, readable by the owner only.

    Returns the paths of the pages; none of a run that has left nothing. They stand above the runs, in the folder of the
    incident, as incident.json does.
    """
    above = folder.path.parent
    runs = [run for run in runs_of(above) if _of(run) == _of(folder)]
    if not runs:
        return []
    page = gathered(runs)
    rendering.write_private(above / f"{NAME}.json", as_text(page.record))
    paths = []
    for suffix in formats:
        paths.append(above / f"{NAME}.{suffix}")
        rendering.write_private(paths[-1], render(page, suffix))
    return paths


def _of(run: RunFolder) -> str:
    """The incident that a run says it is of: a folder may have been copied beside others."""
    lines = run.journal()
    return str((lines[0] if lines else run.record() or {}).get("incident") or run.incident)


def gathered(folders: Sequence[RunFolder]) -> Page:
    """What the page shows, of the runs of an incident, oldest first."""
    runs = [Run.read(folder) for folder in folders]
    record = build(runs)
    told = record["told"]
    return Page(
        record=record,
        impact=_impact(record["impact"]),
        pace=_pace(record["impact"]),
        moments=_moments(record),
        plot=plot.drawn(felt_by_users(runs), record["actions"]),
        actions=[_action(number, action) for number, action in enumerate(record["actions"], 1)],
        rows=[_row(entry) for entry in record["timeline"]],
        notices=[_notice(notice) for notice in told],
        not_told=[channel for channel in CHANNELS if channel not in {notice["channel"] for notice in told}],
        folder=str(folders[0].path.parent),
    )


def render(page: Page, suffix: str) -> str:
    """The page as `md` or `html`."""
    written = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return rendering.render(NAME, suffix, page=page, written=written, not_notified=NOT_NOTIFIED)


def _impact(found: Mapping[str, Any]) -> str:
    """What facilities felt, in one or two sentences."""
    if found["minutes"] is None:
        return f"What facilities felt is {NOT_KNOWN}: {found['why']}"
    share, budget = found["budget_share"], found["budget_minutes_month"]
    down = (
        f"{found['minutes']:.1f} min down for facilities" if found["minutes"] else "No minute was down for facilities"
    )
    of_budget = (
        f"the share of the month's error budget is {NOT_KNOWN}"
        if share is None
        else f"{100 * share:.1f} % of the month's error budget of {budget:.1f} min"
    )
    since, _ = timeline.clock_times(found["series"][0]["at"])
    counted = f"Since {since} UTC {found['bad']:.0f} of {found['valid']:.0f} requests failed"
    return " ".join(filter(None, (f"{down}, {of_budget}. {counted}.", found["why"])))


def _pace(found: Mapping[str, Any]) -> str:
    """How minutes and times go together where time runs faster; empty where they are the same."""
    factor = found["time_factor"]
    if not factor or factor == 1:
        return ""
    return (
        f"Time runs {factor:.0f} times faster here than on AWS: minutes of impact are those of AWS, "
        f"{60 / factor:.1f} s each; times and durations are those of the clock."
    )


def _moments(record: Mapping[str, Any]) -> list[Moment]:
    times, durations = record["times"], record["durations_s"]
    found = []
    for name, label, duration in TIMES:
        lasted = durations.get(duration) if duration else None
        since = SINCE.get(str(record["mitigate_from"] if duration == "mitigate" else duration), "")
        at = timeline.both_clocks(times[name]) if times[name] else _missing(name, record)
        found.append(Moment(label, at, "" if lasted is None else f"{seconds(lasted)} {since}"))
    return found


def _missing(name: str, record: Mapping[str, Any]) -> str:
    """Why a time is not there, where that is known."""
    if name == "impact_began" and record["impact"]["minutes"] == 0:
        return "no minute was down"
    if name == "mitigated":
        return "no step was seen to help"
    return "still open" if name == "resolved" and record["state"] == "open" else NOT_KNOWN


def _action(number: int, action: Mapping[str, Any]) -> Action:
    return Action(
        number=number,
        step=action["step"],
        target=action["target"],
        component=action["component"],
        at=timeline.both_clocks(action["at"]),
        outcome=action["outcome"],
        seconds=seconds(action["seconds"]),
        predicted=action["predicted"],
        changes=facts.field_changes({"before": action["before"], "after": action["after"]}),
        undo=action["undo"],
    )


def _row(entry: Mapping[str, Any]) -> Row:
    utc, eat = timeline.clock_times(entry["ts_utc"])
    where = " ".join(filter(None, (entry["component"], f"run {entry['run']}" if entry["run"] else "")))
    return Row(utc, eat, entry["kind"], entry["actor"], entry["summary"], where, entry["evidence"])


def _notice(notice: Mapping[str, Any]) -> Notice:
    sent = notice["state"] == "sent"
    return Notice(
        at=timeline.both_clocks(notice["at"]),
        channel=notice["channel"],
        event=notice["event"],
        state="sent" if sent else f"{NOT_NOTIFIED} ({notice['state']})",
        sent=sent,
        ref=notice["ref"],
    )
