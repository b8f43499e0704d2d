"""`runbook audit verify` shows what each witness holds, and fails when something is wrong."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from daily_emr_runbooks import audit
from daily_emr_runbooks.project import Project

INCIDENT = "INC-20261122-013000-9f3a"


def shown(monkeypatch: pytest.MonkeyPatch, **found: Any) -> tuple[bool, str]:
    """Whether all is well, and what was printed, for one run of an environment."""
    run = {"run": "20261122-013000-77c1", "lines": 14, "anchors": 5, "heads": 1, "faults": [], "sentence": "Whole."}
    monkeypatch.setattr(audit, "_anchored", lambda *_given: [{**run, **found}])
    text = io.StringIO()
    good = audit.verify_journals(Project.find(), Console(file=text, width=200), INCIDENT, "staging")
    return good, " ".join(text.getvalue().split())


def test_both_witnesses_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    good, text = shown(monkeypatch)

    assert good
    assert "run lines in the table in the bucket what was found 20261122-013000-77c1 14 5 1 Whole." in text


def test_a_witness_that_was_not_asked_is_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "14 5 not asked Whole." in shown(monkeypatch, heads=None)[1]


def test_a_fault_says_which_witness_knows_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = "Line 14 is another one than the bucket of the audit holds."

    good, text = shown(monkeypatch, faults=[fault])

    assert not good
    assert fault in text
