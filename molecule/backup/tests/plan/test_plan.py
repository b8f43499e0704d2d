"""After check mode: a plan, nothing in the bucket, and no mutating call in the sandbox's log."""

from __future__ import annotations

import json
import os
from pathlib import Path

from daily_emr_sandbox.client import Sandbox


def test_the_plan_says_that_the_database_would_be_dumped():
    (record,) = [json.loads(path.read_text()) for path in Path(os.environ["DAILY_EMR_RUNS"]).glob("*/*/record.json")]
    assert record["outcome"] == "planned"
    assert [step["step"] for step in record["steps"]] == ["database_dump"]


def test_nothing_was_changed():
    assert [call for call in Sandbox().calls() if call["mutating"]] == []
