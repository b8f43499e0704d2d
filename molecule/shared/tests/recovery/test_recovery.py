"""After the run and after the second one: users are served, only what mends it was changed, no write was lost."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from daily_emr_sandbox.client import Sandbox

from daily_emr_runbooks.docs import POLICIES
from daily_emr_runbooks.permissions import action

ROOT = Path(__file__).resolve().parents[4]
# One fault in a line, with the AWS calls that mend it.
FAULTS = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "faults"


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


def test_users_are_served_by_a_port_that_listens(host, sandbox):
    edge = sandbox.description["edge_url"]
    assert host.socket(f"tcp://{edge.removeprefix('http://')}").is_listening
    fetch = f"import urllib.request as request; request.urlopen('{edge}/api/charts/probe')"
    assert host.run("%s -c %s", sys.executable, fetch).rc == 0


def test_exactly_the_changes_that_mend_it_were_made(sandbox):
    known = dict(line.split(":") for line in FAULTS.read_text().splitlines())
    changes = [call["operation"] for call in sandbox.changes()]
    assert changes == known[os.environ["DAILY_EMR_FAULT"]].split()


def test_the_role_that_acts_may_do_what_was_done(sandbox):
    policies = json.loads((ROOT / POLICIES).read_text())
    runbook = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]).name
    statements = [one for name in ("diagnose", f"act-{runbook}") for one in policies[name]["Statement"]]
    allowed = {name for one in statements if one["Effect"] == "Allow" for name in one["Action"]}
    # The leases are looked at by the test below.
    calls = {(call["service"], call["operation"]) for call in sandbox.calls()} - {("dynamodb", "Scan")}
    assert len(calls) > 5, "the log has what the run called"
    assert {one for call in calls for one in action(*call)} - allowed == set()


def test_every_lease_was_released(sandbox):
    items = sandbox.boto("dynamodb").scan(TableName="daily-emr-sandbox-runbooks")["Items"]
    leases = [item for item in items if item["sk"]["S"] == "lease"]
    assert [lease["held"]["BOOL"] for lease in leases] == [False]


def test_no_acknowledged_write_was_lost(sandbox):
    ledger = sandbox.ledger()
    assert ledger["acknowledged"] > 0
    assert ledger["lost"] == 0
