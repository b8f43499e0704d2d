"""Claims on their whole way: facility, application, outbox, queue, worker, payer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

CANARY = "Wanjiku-Canary-29481733"
FAULTS = ("sha_commits_then_times_out", "sha_key_revoked", "sha_rate_limited")
REFUSED = "sha_schema_refused"
WORKERS = "/ecs/daily-emr-sandbox-claims-worker"


@pytest.fixture
def box(claims_sandbox: Sandbox) -> Sandbox:
    claims_sandbox.mend()
    return claims_sandbox


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


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_shows_and_leaves_no_duplicate(box: Sandbox, name: str) -> None:
    box.break_(name)
    box.break_(name)
    open_states: dict[str, Any] = {state: count for state, count in states(box).items() if state != "acked"}
    assert sum(open_states.values()) > 0
    assert ("unknown" in open_states) == (name == "sha_commits_then_times_out")

    box.mend()
    wait_until(lambda: not {"unknown", "deferred"} & set(states(box)), "every claim is settled")
    assert box.claims()["lost"] == 0
    assert box.sha_ledger()["duplicates"] == 0


def test_a_revoked_key_is_refused_until_workers_have_the_new_one(box: Sandbox) -> None:
    """The way out that a runbook takes: promote the key that lies there, and recycle the workers."""
    secrets, ecs = box.boto("secretsmanager"), box.boto("ecs")
    name, service = "daily-emr/sandbox/SHA_API_KEY", "daily-emr-sandbox-claims-worker"
    box.break_("sha_token_expired")
    stages = secrets.describe_secret(SecretId=name)["VersionIdsToStages"]
    [pending] = [version for version, labels in stages.items() if "AWSPENDING" in labels]
    [current] = [version for version, labels in stages.items() if "AWSCURRENT" in labels]
    assert states(box).get("unknown", 0) == 0, "nothing was sent with a key that was refused"

    secrets.update_secret_version_stage(
        SecretId=name, VersionStage="AWSCURRENT", MoveToVersionId=pending, RemoveFromVersionId=current
    )
    ecs.update_service(cluster="daily-emr-sandbox", service=service, forceNewDeployment=True)
    before = box.sha_ledger()["accepted"]
    wait_until(lambda: box.sha_ledger()["accepted"] > before + 3, "claims are accepted again", 60)
