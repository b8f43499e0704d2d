"""After the failover, and again after the second run: users are served by the second region, and by it alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.web import probe

ONCE = ["PromoteReadReplica", "PutSecretValue", "UpdateService", "PutMetricData"]


def records() -> list[dict]:
    found = [json.loads(path.read_text()) for path in Path(os.environ["DAILY_EMR_RUNS"]).glob("*/*/record.json")]
    return sorted((one for one in found if one["mode"] == "run"), key=lambda one: one["opened_at"])


def test_the_first_run_succeeded_and_says_that_nobody_could_fence_and_later_ones_had_nothing_to_do():
    first, *later = records()
    assert first["outcome"] == "succeeded"
    assert "UNFENCED" in first["sentence"]
    assert {one["outcome"] for one in later} <= {"noop"}


def test_every_step_was_sent_once_and_the_traffic_last():
    assert [call["operation"] for call in Sandbox().changes()] == ONCE


def test_users_are_served():
    assert probe(f"{Sandbox().description['edge_url']}/api/charts/probe")[0] == 200
