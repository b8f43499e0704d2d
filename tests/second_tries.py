"""Names each test that needed a second try, and why the first one failed. A plugin of pytest.

The first failure is not shown where the second try passes, and it is what has to be mended.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

FIRST, LAST = 100, 400
"""Characters of a reason that are shown: what a run printed may stand between what failed and what was seen."""


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.write_line(f"RERUN {report.nodeid} ({report.when}) - {reason(report)}")


def reason(report: pytest.TestReport) -> str:
    """The message of the exception, and where it was raised, in one line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return shortened(str(report.longrepr))
    return f"{os.path.relpath(crash.path)}:{crash.lineno}: {shortened(crash.message)}"


def shortened(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= FIRST + LAST else f"{words[:FIRST]} ... {words[-LAST:]}"
