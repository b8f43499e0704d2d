"""Check mode of an empty account, the build, and check mode of what was built say the same."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from daily_emr_sandbox.account import calls

STATE = Path(os.environ["DAILY_EMR_SANDBOX"])
TASK = re.compile(r"\| TASK \[(?P<name>.+)\] \*+$")
MANY = 100
"""Calls of a plan, at least."""


@pytest.fixture(scope="module")
def runs() -> list[list[str]]:
    """Names of the tasks that changed something, or would, by run of bootstrap."""
    found: list[list[str]] = []
    task = ""
    for line in Path(os.environ["ANSIBLE_LOG_PATH"]).read_text().splitlines():
        if "| PLAY [Build the environment of the inventory]" in line:
            found.append([])
        elif named := TASK.search(line):
            task = named["name"]
        elif found and "| changed: [" in line and task not in found[-1]:
            found[-1].append(task)
    return found


def test_a_plan_of_an_empty_account_names_what_the_build_does_then(runs):
    planned, built, _ = runs
    assert set(planned) <= set(built)
    assert len(planned) > len(built) / 2


def test_a_plan_of_what_was_built_has_nothing_to_do(runs):
    *_, after = runs
    assert after == []


def test_plans_send_nothing_that_changes_something():
    seen = calls(STATE)
    changes = [number for number, call in enumerate(seen) if call["mutating"]]
    assert changes[0] > MANY
    assert len(seen) - changes[-1] > MANY
