"""After the run, and again after the second one: users are served, one change was made, no write was lost."""

from __future__ import annotations

import os
import sys

import pytest
from daily_emr_sandbox.client import Sandbox

CHANGES = {
    "bad_release": ["UpdateService"],
    "scaled_to_zero": ["UpdateService"],
    "waf_block": ["UpdateWebACL"],
}


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


def test_users_are_served_by_a_port_that_listens(host, sandbox):
    edge = sandbox.description["edge_url"]
    assert host.socket(f"tcp://{edge.removeprefix('http://')}").is_listening
    fetch = f"import urllib.request as request; request.urlopen('{edge}/api/charts/probe')"
    assert host.run("%s -c %s", sys.executable, fetch).rc == 0


def test_exactly_one_change_was_made(sandbox):
    changes = [call["operation"] for call in sandbox.calls() if call["mutating"] and call["service"] != "dynamodb"]
    assert changes == CHANGES[os.environ["DAILY_EMR_FAULT"]]


def test_the_lease_was_released(sandbox):
    key = {"pk": {"S": "lease#emr-web"}, "sk": {"S": "lease"}}
    lease = sandbox.boto("dynamodb").get_item(TableName="daily-emr-sandbox-runbooks", Key=key)["Item"]
    assert lease["held"]["BOOL"] is False


def test_no_acknowledged_write_was_lost(sandbox):
    ledger = sandbox.ledger()
    assert ledger["acknowledged"] > 0
    assert ledger["lost"] == 0
