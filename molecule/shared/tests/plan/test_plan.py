"""After check mode on the broken system: a plan, and no mutating call in the sandbox's log."""

from __future__ import annotations

import json
import os
from pathlib import Path

from daily_emr_sandbox.client import Sandbox


def test_the_plan_says_what_would_be_changed(host):
    records = list(Path(os.environ["DAILY_EMR_RUNS"]).glob("*/*/record.json"))
    assert [record for record in records if host.file(str(record)).mode & 0o077] == []
    known = [json.loads(host.file(str(record)).content_string) for record in records]
    # One component is broken; of a group of several the others are healthy.
    (found,) = [record for record in known if record["outcome"] != "noop"]
    assert found["outcome"] == "planned"
    # What follows it may have nothing to do before it is done.
    assert "planned" in [step["outcome"] for step in found["steps"]]


def test_nothing_was_changed():
    assert [call for call in Sandbox().calls() if call["mutating"]] == []
