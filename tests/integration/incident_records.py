"""What an incident leaves, against what the sandbox saw: figures that no runbook had a hand in."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import jsonschema

from tests.integration.conftest import ROOT, Run

Json = dict[str, Any]
SCHEMA: Json = json.loads((ROOT / "docs/schemas/incident.schema.json").read_text())
NEAR_S = 1.0
DOWN = 0.05
"""Part of a minute's requests that fail in an outage (roles and `daily_emr.ops.error_budget`)."""


def incident_of(run: Run) -> Json:
    """The record of the incident of the newest run, which has the published form."""
    folder = run.runs / run.record()["incident"]
    found: Json = json.loads((folder / "incident.json").read_text())
    jsonschema.validate(found, SCHEMA)
    assert (folder / "incident.html").stat().st_size > 1000
    return found


def assert_complete(run: Run, changes: Iterable[Json], done: list[str]) -> None:
    """Nothing is missing in the record of an incident that was mended, and its actions are the calls that arrived."""
    incident = incident_of(run)
    assert incident["state"] == "closed"
    times = {name: moment(at) for name, at in incident["times"].items() if at}
    assert {"detected", "acknowledged", "mitigated", "resolved"} <= times.keys()
    assert times["acknowledged"] <= times["mitigated"] <= times["resolved"]
    actions = [action for action in incident["actions"] if action["outcome"] == "ok"]
    assert [action["step"] for action in actions] == done
    announced = [moment(action["at"]) for action in actions]
    for call in changes:
        if call["service"] not in ("launchdarkly", "valkey"):  # their logs have other clocks
            near = min(abs((at - moment(call["at"])).total_seconds()) for at in announced)
            assert near <= NEAR_S, f"{call['operation']} arrived {near} s from the next action of the record"
    assert incident["impact"]["why"] or incident["impact"]["series"]


def down_minutes(answers: list[tuple[float, bool]], series: list[Json], factor: float) -> float:
    """The minutes of AWS in which facilities could not work, by what each user was answered."""
    found = 0.0
    for one in series:
        begin = moment(one["at"]).timestamp()
        end = begin + one["minutes"] * 60 / factor
        here = [good for at, good in answers if begin <= at < end]
        if here and here.count(False) >= DOWN * len(here):
            found += one["minutes"]
    return found


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
