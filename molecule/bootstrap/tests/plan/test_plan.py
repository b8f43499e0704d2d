"""After check mode on an empty account: whatever it said, nothing was changed."""

from __future__ import annotations

import os
from pathlib import Path

from daily_emr_sandbox.account import calls


def test_check_mode_sent_no_mutating_call():
    seen = calls(Path(os.environ["DAILY_EMR_SANDBOX"]))
    assert len(seen) > 100
    assert [(call["service"], call["operation"]) for call in seen if call["mutating"]] == []
