"""Incidents as their runs leave them behind: folders with journals, records and notices, made up for tests."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._record import build_record
from ansible_collections.daily_emr.ops.plugins.module_utils._record import judge as judge_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INCIDENT = "INC-20261123-210000-9f3a"
BEGAN = datetime(2026, 11, 23, 20, 56, tzinfo=UTC)
OPENED = datetime(2026, 11, 23, 21, 0, 30, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script> ](http://evil.test) | `x` \x1b[2J \u202e & \"'"
Line = dict[str, Any]


def at(seconds: float, since: datetime = OPENED) -> str:
    """A time of the journal, so many seconds behind the opening of the first run."""
    return (since + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def journal(run: str, component: str, *lines: tuple[float, str, Line], runbook: str = "app_outage") -> list[Line]:
    """The lines of a run, from (seconds behind the opening of the incident, kind, what it says)."""
    head = {"incident": INCIDENT, "run": run, "component": component}
    opened = {"runbook": runbook, "title": "The application is down", "severity": "SEV1", "environment": "staging"}
    opened |= {"mode": "run", "operator": "wanjiru", "role": "daily-emr-staging-runbook-act"}
    made = []
    for number, (seconds, kind, body) in enumerate(lines, 1):
        about = opened if kind == "opened" else {}
        made.append({"seq": number, "at": at(seconds), "kind": kind, **head, **about, **copy.deepcopy(body)})
    return made


ALERT = {"name": "users-get-errors", "source": "cloudwatch", "component": "emr-web", "reference": "alarm/users"}
ALERT |= {"started_at": at(-90), "received_at": at(-85)}
OBSERVED = {
    "observations": [
        {
            "name": "new_release_failing",
            "status": "finding",
            "subject": "emr-web",
            "expected": "under 1 % errors",
            "seen": "61 % errors",
            "at": at(1),
            "call": "cloudwatch:GetMetricData",
        }
    ],
    "healthy": False,
}
DECIDED = {
    "verdict": "cause",
    "cause": "bad_release",
    "sentence": "The newest release fails.",
    "evidence": ["new_release_failing"],
    "ruled_out": [],
    "mitigations": ["roll_back_release"],
    "hand_off": "",
}
STEP = {
    "step": "ecs_service_release",
    "target": "service/daily-emr-staging/web",
    "diff": {"before": {"revision": 3, "tasks": 2}, "after": {"revision": 2, "tasks": 2}},
    "prediction": ["Tasks are replaced one by one, in about three minutes."],
    "undo": {"module": "daily_emr.ops.ecs_service_release", "args": {"revision": 3}},
}
DONE = {
    **STEP,
    "outcome": "ok",
    "seconds": 9.5,
    "msg": "ecs_service_release: the release was rolled back.",
    "refusals": [],
}
VERIFIED = {"verified": True, "sentence": "Good 20 times in a row.", "reached": "it is healthy again"}


def series(until: datetime, down: tuple[int, int] = (30, 42), ratio: float = 0.6) -> list[Line]:
    """A count for each minute from half an hour before users felt it: 600 requests, many of which fail in some."""
    first = BEGAN - timedelta(minutes=30)
    counts = []
    for minute in range(int((until - first).total_seconds() // 60)):
        bad = 600 * ratio if down[0] <= minute < down[1] else 0.0
        p95_ms = 2400.0 if bad else 180.0
        counts.append({"at": at(60 * minute, first), "minutes": 1.0, "bad": bad, "valid": 600.0, "p95_ms": p95_ms})
    return counts


def felt(until: datetime, **more: Any) -> Line:
    """What an impact line of a run says that ended at a time."""
    return {
        "known": True,
        "series": series(until, **more),
        "read_at": at(0, until),
        "time_factor": 1.0,
        "down_ratio": 0.05,
        "down_requests": 50,
        "budget_minutes_month": 43.2,
        "sentence": "Some of the requests failed.",
    }


def write(
    runs_dir: Path, lines: list[Line], *, record: bool = True, notices: list[Line] | None = None, failure: str = ""
) -> Path:
    """The folder of a run, with the record that the role would have made of its journal; returns the run folder."""
    folder = runs_dir / lines[0]["incident"] / lines[0]["run"]
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    if record:
        outcome, sentence = judge_run(lines, failure, check_mode=False)
        made = build_record(lines, "staging", outcome, sentence, check_mode=False)
        (folder / "record.json").write_text(json.dumps(made))
    if notices is not None:
        (folder / "notifications.jsonl").write_text("".join(f"{json.dumps(notice)}\n" for notice in notices))
    return folder


def notice(seconds: float, event: str, channel: str, state: str, **more: Any) -> Line:
    made = {"at": at(seconds), "event": event, "channel": channel, "key": f"{INCIDENT}/{event}", "state": state}
    return {**made, "ref": "PD-77", "msg": "", **more}


NOTICES = [
    notice(2, "opened", "pagerduty", "later"),
    notice(4, "opened", "pagerduty", "sent"),
    notice(5, "opened", "slack", "failed"),
    notice(600, "verified", "pagerduty", "sent"),
]


def whole(runs_dir: Path) -> Path:
    """One run: an alarm, a step, a verification. Users could not work from 20:56 to 21:08, twelve minutes."""
    lines = journal(
        "r1",
        "emr-web",
        (0, "opened", {"alert": ALERT}),
        (1, "observed", OBSERVED),
        (2, "decided", DECIDED),
        (3, "lease", {"fence": 4, "owner": "wanjiru@laptop", "taken_over": ""}),
        (10, "intent", STEP),
        (20, "outcome", DONE),
        (200, "waited", {"settled": True, "seconds": 180.0, "seen": "2 of 2 tasks run"}),
        (590, "verified", VERIFIED),
        (600, "impact", felt(OPENED + timedelta(seconds=600))),
        (601, "closed", {"outcome": "succeeded", "sentence": "It is healthy again."}),
    )
    return write(runs_dir, lines, notices=NOTICES)


def two_runs(runs_dir: Path) -> Path:
    """The first one was killed in the middle of its step; the second one saw that it was done, and verified."""
    first = journal("r1", "emr-web", (0, "opened", {}), (2, "decided", DECIDED), (3, "lease", {"fence": 4}))
    first += journal("r1", "emr-web", (10, "intent", STEP))
    write(runs_dir, [{**line, "seq": number} for number, line in enumerate(first, 1)], record=False)
    probed = {**{name: STEP[name] for name in ("step", "target", "diff")}, "word": "done"}
    probed |= {"of": {"incident": INCIDENT, "run": "r1", "seq": 4}, "msg": "ecs_service_release was done."}
    second = journal(
        "r2",
        "emr-web",
        (300, "opened", {}),
        (305, "probed", probed),
        (310, "observed", {"observations": [], "healthy": True}),
        (311, "decided", {"verdict": "healthy", "sentence": "It is healthy.", "cause": ""}),
        (590, "verified", VERIFIED),
        (600, "impact", felt(OPENED + timedelta(seconds=600))),
        (602, "closed", {"outcome": "succeeded", "sentence": "It is healthy again."}),
    )
    return write(runs_dir, second)


def two_components(runs_dir: Path) -> Path:
    """Two queues of one play: one was mended, the other one needs a person."""
    step = {**STEP, "step": "queue_state", "target": "queue/claims"}
    write(
        runs_dir,
        journal(
            "r1",
            "claims",
            (0, "opened", {}),
            (2, "decided", DECIDED),
            (10, "intent", step),
            (12, "outcome", {**DONE, **step}),
            (100, "verified", VERIFIED),
            (110, "impact", felt(OPENED + timedelta(seconds=110), down=(0, 0))),
            (111, "closed", {"outcome": "succeeded", "sentence": "It is healthy again."}),
            runbook="queue_backlog",
        ),
    )
    undetermined = {"verdict": "undetermined", "sentence": "Nobody can say why: look at it.", "cause": ""}
    return write(
        runs_dir,
        journal(
            "r2",
            "exports",
            (1, "opened", {}),
            (3, "decided", undetermined),
            (112, "impact", felt(OPENED + timedelta(seconds=112), down=(0, 0))),
            (113, "closed", {"outcome": "refused", "sentence": "Nobody can say why: look at it."}),
            runbook="queue_backlog",
        ),
    )


def refused(runs_dir: Path) -> Path:
    """Somebody else holds the lease: nothing was looked at."""
    said = "kamau@laptop works on emr-web: wait."
    closed = {"outcome": "refused", "sentence": said, "lease": "none"}
    return write(
        runs_dir,
        journal("r1", "emr-web", (0, "opened", {}), (1, "refused", {"msg": said}), (2, "closed", closed)),
    )


def not_measured(runs_dir: Path) -> Path:
    """A run that could not read what users felt."""
    lines = journal(
        "r1",
        "emr-web",
        (0, "opened", {}),
        (2, "decided", DECIDED),
        (10, "intent", STEP),
        (20, "outcome", DONE),
        (590, "verified", VERIFIED),
        (600, "impact", {"known": False, "why": "cloudwatch:GetMetricData was refused: AccessDenied."}),
        (601, "closed", {"outcome": "succeeded", "sentence": "It is healthy again."}),
    )
    return write(runs_dir, lines)


def killed(runs_dir: Path) -> Path:
    """Killed in the middle of its step, and nobody has gone on with it."""
    lines = journal(
        "r1", "emr-web", (0, "opened", {}), (2, "decided", DECIDED), (3, "lease", {"fence": 4}), (10, "intent", STEP)
    )
    return write(runs_dir, lines, record=False)


def hostile(runs_dir: Path) -> Path:
    """A whole run in which every free text was put there by somebody who means no good."""
    source = whole(runs_dir / "source")
    lines = [json.loads(line) for line in (source / "journal.jsonl").read_text().splitlines()]
    lines = [_spoilt(line) for line in lines]
    notices = [_spoilt(notice) | {"key": str(number)} for number, notice in enumerate(NOTICES)]
    return write(runs_dir, lines, notices=notices)


KEPT = {"kind", "at", "status", "outcome", "mode", "verdict", "state", "started_at", "incident", "run", "read_at"}


def _spoilt(value: Any) -> Any:
    match value:
        case dict():
            return {name: item if name in KEPT else _spoilt(item) for name, item in value.items()}
        case list():
            return [_spoilt(item) for item in value]
        case str():
            return HOSTILE
        case _:
            return value


FIXTURES: dict[str, Callable[[Path], Path]] = {
    "whole": whole,
    "two_runs": two_runs,
    "two_components": two_components,
    "refused": refused,
    "not_measured": not_measured,
    "killed": killed,
    "hostile": hostile,
}
