"""After check mode: what would be done is known, and nothing was changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

from daily_emr_sandbox.client import Sandbox


def test_the_plan_is_to_promote_and_nothing_was_done():
    (record,) = [json.loads(path.read_text()) for path in Path(os.environ["DAILY_EMR_RUNS"]).glob("*/*/record.json")]
    assert record["outcome"] == "planned"
    assert record["decision"]["cause"] == "region_gone"
    approvals = [call for call in Sandbox().calls() if call["mutating"]]
    assert {call["operation"] for call in approvals} == {"PutItem"}
    assert len(approvals) == 2
