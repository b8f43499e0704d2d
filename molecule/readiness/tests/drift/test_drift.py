"""After a look, a fault and another look: the second report says what drifted, and nothing was changed by looking."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from daily_emr_sandbox.client import Sandbox


@pytest.fixture
def reports(host):
    paths = sorted(Path(os.environ["DAILY_EMR_RUNS"]).glob("readiness/sandbox/*/report.json"))
    return [json.loads(host.file(str(path)).content_string) for path in paths]


def statuses(report):
    return {record["control"]: record["status"] for record in report["controls"]}


def test_nothing_was_changed_by_looking():
    mutating = [call for call in Sandbox().calls() if call["mutating"]]
    # The gateway cannot name operations of a service that moto has not, and takes each of them for mutating.
    assert {call["service"] for call in mutating if not call["operation"]} <= {"access-analyzer"}
    assert [call for call in mutating if call["operation"]] == []


def test_a_sandbox_is_not_ready_because_nobody_signed_and_much_is_unknown(reports):
    assert [report["ready"] for report in reports] == [False, False]
    assert {status for name, status in statuses(reports[0]).items() if name.startswith("people.")} == {"unknown"}


def test_what_a_person_changed_is_said_as_drift(reports):
    first, second = reports
    assert (statuses(first)["service.tasks"], statuses(second)["service.tasks"]) == ("pass", "fail")
    assert second["drift"]["sha256"] == first["sha256"]
    changed = {change["control"] for change in second["drift"]["changes"]}
    assert "service.tasks" in changed
    assert changed <= {name for name in statuses(second) if name.startswith("service.")}


def test_the_page_is_there_for_its_owner_only(host, reports):
    pages = sorted(Path(os.environ["DAILY_EMR_RUNS"]).glob("readiness/sandbox/*/report.html"))
    assert len(pages) == len(reports)
    for page, report in zip(pages, reports, strict=True):
        file = host.file(str(page))
        assert file.mode == 0o600
        assert report["sha256"] in file.content_string
