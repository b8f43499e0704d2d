"""Records of incidents, made up for the tests of post-mortems."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

NAME = "INC-20261123-205958-9f3a"

FULL: dict[str, Any] = {
    "schema": 1,
    "incident": NAME,
    "title": "The application is down",
    "severity": "SEV1",
    "environment": "production",
    "components": ["emr-web"],
    "runbooks": ["app_outage"],
    "state": "closed",
    "outcome": "succeeded",
    "sentence": "The release was rolled back and the service is good.",
    "times": {
        "impact_began": "2026-11-23T20:52:00Z",
        "detected": "2026-11-23T20:59:00Z",
        "acknowledged": "2026-11-23T20:59:58Z",
        "mitigated": "2026-11-23T21:03:20Z",
        "resolved": "2026-11-23T22:30:00Z",
    },
    "durations_s": {"detect": 420.0, "acknowledge": 58.0, "mitigate": 680.0, "resolve": 5880.0},
    "mitigate_from": "verification of run r1",
    "impact": {
        "minutes": 11.3,
        "bad": 4100,
        "valid": 52000,
        "budget_minutes_month": 43.2,
        "budget_share": 0.2616,
        "series": [
            {"at": "2026-11-23T20:50:00Z", "minutes": 0, "bad": 0, "valid": 9000, "p95_ms": 180.0},
            {"at": "2026-11-23T20:55:00Z", "minutes": 5, "bad": 2100, "valid": 8800, "p95_ms": None},
        ],
        "why": None,
    },
    "timeline": [
        {
            "ts_utc": "2026-11-23T20:59:00Z",
            "ts_eat": "2026-11-23T23:59:00+03:00",
            "kind": "alarm",
            "actor": "alarm",
            "summary": "emr-web-5xx failed to stay below 5 %",
            "run": None,
            "component": "emr-web",
            "evidence": "cloudwatch:emr-web-5xx",
        },
        {
            "ts_utc": "2026-11-23T21:00:04Z",
            "ts_eat": "2026-11-24T00:00:04+03:00",
            "kind": "action",
            "actor": "grace.wanjiru",
            "summary": "Grace began roll_back_release on service/web",
            "run": "r1",
            "component": "emr-web",
            "evidence": "r1/journal.jsonl:6",
        },
    ],
    "actions": [
        {
            "at": "2026-11-23T21:00:04Z",
            "run": "r1",
            "component": "emr-web",
            "step": "roll_back_release",
            "target": "service/web",
            "outcome": "ok",
            "predicted": ["Users see errors for up to 2 min."],
            "seconds": 1.0,
            "before": {"revision": 3},
            "after": {"revision": 2},
            "undo": {"module": "daily_emr.ops.ecs_service_release", "args": {"revision": 3}},
        },
        {
            "at": "2026-11-23T21:01:04Z",
            "run": "r1",
            "component": "emr-web",
            "step": "stop_tasks",
            "target": "service/web",
            "outcome": "failed",
            "predicted": [],
            "seconds": None,
            "before": {},
            "after": {},
            "undo": "Nothing was stopped.",
        },
    ],
    "told": [
        {"at": "2026-11-23T21:00:00Z", "channel": "pagerduty", "event": "opened", "state": "sent", "ref": "PD1"},
    ],
    "runs": [
        {
            "run": "r1",
            "component": "emr-web",
            "runbook": "app_outage",
            "outcome": "succeeded",
            "sentence": "The release was rolled back.",
            "opened_at": "2026-11-23T20:59:58Z",
            "closed_at": "2026-11-23T21:03:21Z",
        }
    ],
}


def record(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(FULL), **changes}


def unknown_impact() -> dict[str, Any]:
    nothing = dict.fromkeys(("minutes", "bad", "valid", "budget_minutes_month", "budget_share"))
    return record(
        severity="SEV3",
        impact={**nothing, "series": [], "why": "AccessDenied in cloudwatch:GetMetricData."},
        times={**FULL["times"], "impact_began": None},
        durations_s=dict.fromkeys(FULL["durations_s"]),
    )


def two_components() -> dict[str, Any]:
    second = {**FULL["runs"][0], "run": "r2", "component": "emr-db", "runbook": "database_failover", "outcome": "noop"}
    return record(
        components=["emr-db", "emr-web"],
        runbooks=["app_outage", "database_failover"],
        runs=[*FULL["runs"], second],
    )


def refused() -> dict[str, Any]:
    return record(
        severity="SEV3",
        outcome="refused",
        state="open",
        sentence="emr-web is being worked on by grace.wanjiru.",
        times={**FULL["times"], "mitigated": None, "resolved": None},
        durations_s={"detect": 60.0, "acknowledge": 20.0, "mitigate": None, "resolve": None},
        impact={**FULL["impact"], "minutes": 2.0, "budget_share": 0.0463, "series": []},
        actions=[],
        told=[],
        runs=[{**FULL["runs"][0], "outcome": "refused", "closed_at": None}],
    )


def small() -> dict[str, Any]:
    return record(severity="SEV3", impact={**FULL["impact"], "minutes": 2.0, "budget_share": 0.0463})


def write_incident(runs: Path, found: dict[str, Any], name: str = NAME) -> Path:
    """A folder of an incident with its record and one run of Grace Wanjiru."""
    folder = runs / name
    run = folder / "r1"
    run.mkdir(parents=True)
    body = {"operator": "grace.wanjiru", "mode": "run", "severity": found.get("severity"), "outcome": "succeeded"}
    (run / "record.json").write_text(json.dumps(body), encoding="utf-8")
    (folder / "incident.json").write_text(json.dumps({**found, "incident": name}), encoding="utf-8")
    return folder
