"""After check mode: a plan for each of both changes, and no mutating call in the sandbox's log."""

from __future__ import annotations

import json
import os
from pathlib import Path

from daily_emr_sandbox.client import Sandbox


def test_the_plans_say_what_would_be_done():
    records = [json.loads(path.read_text()) for path in Path(os.environ["DAILY_EMR_RUNS"]).glob("*/*/record.json")]
    planned = {record["title"]: {step["step"] for step in record["steps"]} for record in records}
    assert {record["outcome"] for record in records} == {"planned"}
    assert planned == {
        "Secrets are made": {"secret", "secret_replication"},
        "A secret is rotated": {"secret_pending_version"},
    }


def test_nothing_was_changed():
    assert [call for call in Sandbox().calls() if call["mutating"]] == []
