"""The figures of an incident's record are those that can be counted from what the sandbox's users and AWS saw."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

from tests.integration.conftest import METRIC_WINDOW, PATIENT_S, TIME_FACTOR, Operator, Witness, trouble_is_older
from tests.integration.incident_records import assert_complete, down_minutes, incident_of, moment

BEFORE_S = 45 * 60
"""Longer than a record looks back, in seconds of AWS."""
FELT = 150
"""Requests that fail before anybody comes: fifteen seconds of them."""
pytestmark = pytest.mark.xdist_group("incident_record")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """With those who are told."""
    box = Sandbox(tmp_path_factory.mktemp("record") / "state")
    box.up(time_factor=TIME_FACTOR, parts=("people",))
    try:
        yield box
    finally:
        box.down()


def test_impact_and_times_are_what_users_and_aws_saw(sandbox: Sandbox, tmp_path: Path) -> None:
    began = sandbox.answers()[0][0]
    factor = sandbox.description["time_factor"]
    wait_until(lambda: time.time() - began > BEFORE_S / factor, "there is a time before the incident", PATIENT_S)
    wait_until(lambda: trouble_is_older(sandbox, METRIC_WINDOW), "users have seen no trouble for a while", PATIENT_S)
    sandbox.break_("scaled_to_zero")
    broken = sandbox.ledger()["errors"]
    wait_until(lambda: sandbox.ledger()["errors"] > broken + FELT, "users have felt it for a while", PATIENT_S)
    witness = Witness(sandbox)

    run = Operator(sandbox, tmp_path / "runs").run()

    assert run.returncode == 0, run.output
    assert_complete(run, witness.changes(), ["ecs_service_count"])
    incident, ledger = incident_of(run), sandbox.ledger()
    impact = incident["impact"]
    expected = down_minutes(sandbox.answers(), impact["series"], factor)
    assert impact["minutes"] == pytest.approx(expected, rel=0.02), [
        (one["at"][14:19], one["bad"], one["valid"]) for one in impact["series"]
    ]
    assert impact["budget_share"] >= impact["minutes"] / impact["budget_minutes_month"] * 0.999
    assert impact["why"] == ""
    # CloudWatch knows minutes: the record is no nearer to what users saw than one of them.
    step_s = max(one["minutes"] for one in impact["series"]) * 60 / factor
    for name, seen in (("impact_began", "first_error_at"), ("mitigated", "recovered_at")):
        apart = (moment(incident["times"][name]) - moment(ledger[seen])).total_seconds()
        assert abs(apart) <= step_s + 1, f"{name} is {apart} s from {seen} of the users' ledger"
    told = {(one["channel"], one["event"]): one["state"] for one in incident["told"]}
    assert set(told.values()) == {"sent"}
    assert {channel for channel, _ in told} == {"pagerduty", "slack", "statuspage", "grafana"}
