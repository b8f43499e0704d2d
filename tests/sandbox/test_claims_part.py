"""Claims on their whole way: facility, application, outbox, queue, worker, payer."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

CANARY = "Wanjiku-Canary-29481733"
LOST, REFUSED = "sha_commits_then_times_out", "sha_schema_refused"
WORKERS = "/ecs/daily-emr-sandbox-claims-worker"


@pytest.fixture
def box(claims_sandbox: Sandbox) -> Iterator[Sandbox]:
    yield claims_sandbox
    if claims_sandbox.status()["faults"]:
        claims_sandbox.mend()


def states(box: Sandbox) -> dict[str, int]:
    found: dict[str, int] = box.claims()["states"]
    return found


def test_every_claim_of_a_facility_arrives_once(box: Sandbox) -> None:
    before = states(box).get("acked", 0)
    wait_until(lambda: states(box).get("acked", 0) > before + 3, "claims arrive")

    assert box.claims()["lost"] == 0
    assert box.sha_ledger()["duplicates"] == 0
    assert box.queue_ledger()["claims"]["lost"] == 0
    assert box.claims()["moved_by_runbook"] == 0


def test_what_a_claim_says_is_in_no_log_and_in_no_job(box: Sandbox) -> None:
    """Refused claims, because the payer echoes them."""
    box.plant(CANARY)
    box.break_(REFUSED)
    wait_until(lambda: box.sha_ledger()["rejected"] > 3, "claims are refused")

    logs = box.boto("logs").filter_log_events(logGroupName=WORKERS)["events"]
    assert logs, "the workers have written something"
    everything = json.dumps([logs, box.sha_requests(), box.claims(), box.queue_ledger()])
    everything += "".join(file.read_text(errors="replace") for file in (box.state_dir / "logs").iterdir())
    assert CANARY not in everything
    box.plant("")


def test_a_fault_shows_and_mending_it_leaves_no_duplicate(box: Sandbox) -> None:
    box.break_(LOST)
    box.break_(LOST)
    assert states(box)["unknown"] > 0

    box.mend()
    wait_until(lambda: not {"unknown", "deferred"} & set(states(box)), "every claim is settled")
    assert box.claims()["lost"] == 0
    assert box.sha_ledger()["duplicates"] == 0
