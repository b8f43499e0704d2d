"""The payer is away, slow, refuses or does not say: claims are held, asked about, and each is sent once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_ladder import LADDER
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_readings import LEAST_WINDOW_S
from ansible_collections.daily_emr.ops.plugins.module_utils._decision import decide
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

from tests.integration.conftest import PATIENT_S, ROOT, TIME_FACTOR, Operator, Run, Witness
from tests.integration.modules import Runner, database_of
from tests.integration.rehearsal import Expected, Rows, recording, rehearse, seen
from tests.integration.test_secrets import hits, planted

pytestmark = pytest.mark.xdist_group("claims")

PATIENT = "Wanjiku-Canary-29481733"
ROLE = ROOT / "roles/claims_api_outage"
TABLE = yaml.safe_load((ROLE / "vars/causes.yml").read_text())["claims_api_outage_causes"]
DEFAULTS = {
    name.removeprefix("claims_api_outage_"): value
    for name, value in yaml.safe_load((ROLE / "defaults/main.yml").read_text()).items()
}
THRESHOLDS = {
    name: DEFAULTS[name]
    for name in (
        "failing_ratio",
        "refused_ratio",
        "submission_slow_ms",
        "read_slow_ms",
        "waiting_minutes",
        "due_hours",
        "window_minutes",
        "settle_after_s",
        "certificate_days",
        "clock_s",
        "probe_timeout_s",
    )
} | {"min_calls": 5}
NORMAL_PER_S = 4.0


@pytest.fixture(scope="module")
def claims_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    box = Sandbox(tmp_path_factory.mktemp("claims") / "state")
    box.up(time_factor=TIME_FACTOR, parts=("claims",))
    try:
        yield box
    finally:
        box.down()


@pytest.fixture
def sandbox(claims_sandbox: Sandbox) -> Sandbox:
    """All fixtures of this folder work with the sandbox that has claims."""
    return claims_sandbox


@pytest.fixture(autouse=True)
def _mended(mended: None) -> None:
    """Nothing is broken before the test, and nothing after it."""


@pytest.fixture
def operator(sandbox: Sandbox, tmp_path: Path) -> Operator:
    return Operator(sandbox, tmp_path / "runs", "claims_api_outage")


@pytest.fixture(scope="module")
def recorded() -> Iterator[Rows]:
    with recording("claims_api_outage") as rows:
        yield rows


def look(run: Runner) -> dict[str, Any]:
    """What a diagnosis sees and decides, in this process."""
    here = run.sandbox.description
    service = {**run.service, "log_group": "/ecs/daily-emr-sandbox-web"}
    claims_api = {
        "component": "sha",
        "secret": "daily-emr/sandbox/SHA_API_KEY",
        **here["claims"],
        "identifier_system": "https://fhir.dha.go.ke/eclaims/Identifier/claim-number",
        "circuit_flag": "claims-submit-queue-only",
        "cached_flag": "claims-eligibility-cached",
        "normal_per_minute": NORMAL_PER_S * 60,
        "normal_p95_ms": 1000,
    }
    args = {
        "claims_api": claims_api,
        "database": database_of(run.sandbox),
        "service": service,
        "thresholds": THRESHOLDS,
    }
    found = run("claims_api_health", args)
    assert not found.get("failed"), found
    return found


# Each fault by its own signs: cause, and what would be done about it.
SIGNS = {
    "sha_slow": ({"payer_slow", "submissions_down"}, ["hold_claims"]),
    "sha_certificate_expired": ({"bad_certificate"}, ["hold_claims"]),
    "sha_rate_limited": ({"too_fast"}, ["hold_claims"]),
}

RUNS = ("sha_commits_then_times_out", "sha_down", "sha_key_revoked", "sha_schema_refused", "sha_token_expired")
"""Those that a whole run answers."""


@pytest.mark.parametrize("fault", SIGNS)
def test_each_fault_is_told_by_its_own_signs(run: Runner, sandbox: Sandbox, fault: str) -> None:
    wait_until(lambda: look(run)["healthy"] is True, "the trouble of the test before is forgotten", PATIENT_S)
    sandbox.break_(fault)
    sandbox.await_alarm(fault)
    witness = Witness(sandbox)
    causes, mitigations = SIGNS[fault]
    found = look(run)
    decision = decide(TABLE, found["observations"], found["healthy"])
    assert decision.cause in causes, seen(found)
    assert decision.mitigations == mitigations
    assert witness.changes() == []
    assert sandbox.claims()["moved_by_runbook"] == 0


@pytest.mark.skipif("UPDATE_FAULTS" not in os.environ, reason="half a minute each, and their signs are told above")
@pytest.mark.parametrize("fault", SIGNS)
def test_each_of_them_is_held_off(operator: Operator, sandbox: Sandbox, fault: str, recorded: Rows) -> None:
    sandbox.break_(fault)
    sandbox.await_alarm(fault)
    held = run_it(operator, "succeeded", SIGNS[fault][0]).record()
    assert held["verification"]["goal"] == "contained"
    assert sandbox.sha_ledger()["duplicates"] == 0
    done = [step["step"] for step in held["steps"] if step["outcome"] == "ok"]
    recorded.append(told(fault, held, list(dict.fromkeys(done))))


def runbook_submitted(sandbox: Sandbox) -> int:
    return sum(request["runbook"] and request["operation"] == "submit" for request in sandbox.sha_requests())


def submissions(sandbox: Sandbox) -> list[datetime]:
    return [
        datetime.fromisoformat(request["at"]) for request in sandbox.sha_requests() if request["operation"] == "submit"
    ]


def run_it(operator: Operator, outcome: str, cause: set[str]) -> Run:
    run = operator.playbook()
    record = run.record()
    assert record["outcome"] == outcome, run.output + seen(record)
    assert record["decision"]["cause"] in cause, seen(record)
    return run


def test_claims_through_an_outage_with_commits_before_time_outs(
    operator: Operator, sandbox: Sandbox, recorded: Rows
) -> None:
    """Held, asked about, and sent step by step when the payer is back; each claim is accepted once."""
    sandbox.plant(PATIENT)
    canaries = planted(sandbox)
    sandbox.break_("sha_commits_then_times_out")
    sandbox.await_alarm("sha_commits_then_times_out")

    held = run_it(operator, "succeeded", {"submissions_down"})
    record = held.record()
    done = [step["step"] for step in record["steps"] if step["outcome"] == "ok"]
    recorded.append(told("sha_commits_then_times_out", record, list(dict.fromkeys(done))))
    assert record["verification"]["goal"] == "contained"
    assert record["verification"]["reconciliation"]["unknown"] == 0, "the payer was asked about each of them"
    assert sandbox.claims()["states"].get("deferred", 0) > 0

    sandbox.break_("recover_sha")
    quiet = datetime.now(UTC) + timedelta(seconds=LEAST_WINDOW_S)
    wait_until(lambda: datetime.now(UTC) > quiet, "the failures are older than what is looked at", PATIENT_S)
    marked = len(submissions(sandbox))
    back = run_it(operator, "succeeded", {"payer_back"})
    totals = back.record()["verification"]["reconciliation"]
    assert totals["sent"] == totals["accepted"] + totals["rejected"] + totals["unknown"]
    assert (totals["unknown"], totals["duplicates"]) == (0, 0)
    assert "duplicates" in back.record()["verification"]["sentence"]
    assert sandbox.sha_ledger()["duplicates"] == 0
    assert sandbox.claims()["lost"] == 0
    assert runbook_submitted(sandbox) == 0, "the runbook itself submits nothing"
    steps = [line for line in back.record()["journal"] if line["kind"] == "waited" and "Step" in line["sentence"]]
    assert len(steps) == len(LADDER)
    assert fastest(submissions(sandbox)[marked:], steps) == []

    assert operator.playbook().record()["outcome"] == "noop"
    report = operator.runbook("report", "latest", "--format", "both")
    (operator.runs / "stdout").write_text(held.output + back.output + report.output)
    assert hits(operator.runs, canaries | {"patient": PATIENT}) == []
    assert hits(sandbox.state_dir / "logs", {"patient": PATIENT}) == []
    (operator.runs / "leak").write_text(PATIENT)
    assert hits(operator.runs, {"patient": PATIENT}) != [], "the control: the same search finds what is there"


def fastest(moments: list[datetime], steps: list[dict[str, Any]]) -> list[str]:
    """Steps in which the payer got more in a second than the step allows, and one more for the edge."""
    faults = []
    for number, step in enumerate(steps[:6]):
        ended = datetime.fromisoformat(step["at"])
        began = ended - timedelta(seconds=step["seconds"] + 0.5)
        mine = [at for at in moments if began <= at <= ended]
        limit = LADDER[number].share * NORMAL_PER_S
        for at in mine:
            inside = sum(at <= other < at + timedelta(seconds=1) for other in mine)
            if inside > limit + 1:
                faults.append(f"step {number + 1}: {inside} in a second, limit {limit:g}")
    return faults


def test_a_payer_that_is_down_is_held_off_and_left_alone(operator: Operator, sandbox: Sandbox, recorded: Rows) -> None:
    sandbox.break_("sha_down")
    sandbox.await_alarm("sha_down")
    held = run_it(operator, "succeeded", {"payer_down"}).record()
    done = [step["step"] for step in held["steps"] if step["outcome"] == "ok"]
    recorded.append(told("sha_down", held, list(dict.fromkeys(done))))
    assert done[:2] == ["feature_flag", "feature_flag"], "claims are stored, and eligibility is answered without it"
    assert held["verification"]["goal"] == "contained"

    # While it is held a second run does nothing, and says so.
    witness, before = Witness(sandbox), submissions(sandbox)
    run_it(operator, "refused", {"held"})
    assert witness.changes() == []
    assert submissions(sandbox) == before, "nothing goes out while claims are held"

    # Nor does the runbook of the queue, whose jobs wait because of it.
    queues = Operator(sandbox, operator.runs.parent / "queues", "queue_backlog")
    queues.limit = "claims"
    backlog = queues.playbook()
    waiting = backlog.record()
    assert (waiting["outcome"], waiting["decision"]["cause"]) == ("refused", "claims_api_down"), seen(waiting)
    assert "run runbooks/claims_api_outage.yml" in " ".join(backlog.output.split())
    assert (witness.changes(), submissions(sandbox)) == ([], before)


def test_a_redrive_stops_within_a_step_when_errors_rise_again(operator: Operator, sandbox: Sandbox) -> None:
    """The payer answers reads and still takes no claim: one canary goes out, is asked about, and no second one."""
    sandbox.break_("sha_commits_then_times_out")
    sandbox.await_alarm("sha_commits_then_times_out")
    run_it(operator, "succeeded", {"submissions_down"})
    quiet = datetime.now(UTC) + timedelta(seconds=LEAST_WINDOW_S)
    wait_until(lambda: datetime.now(UTC) > quiet, "the failures are older than what is looked at", PATIENT_S)
    before = len(submissions(sandbox))

    run = run_it(operator, "failed_partial", {"payer_back"})

    assert "The redrive stopped there" in " ".join(run.output.split())
    assert len(submissions(sandbox)) == before + 1
    assert sandbox.sha_ledger()["duplicates"] == 0
    assert sandbox.claims()["states"].get("ready", 0) <= 3, "what was not sent was taken back"


def test_a_new_key_is_promoted_once_it_is_proved(operator: Operator, sandbox: Sandbox, recorded: Rows) -> None:
    """What was refused meanwhile is sent step by step, and nothing before; nobody took it for an outage."""
    sandbox.break_("sha_token_expired")
    sandbox.await_alarm("sha_token_expired")
    witness, marked = Witness(sandbox), len(sandbox.sha_requests())
    run = run_it(operator, "succeeded", {"broken_credentials"})
    record = run.record()
    done = [step["step"] for step in record["steps"] if step["outcome"] == "ok"]
    tried = [step["step"] for step in record["steps"]]
    held = ["secret_version_stage", "feature_flag", "claim_deferral", "queue_worker_tasks", "await_workers"]
    assert tried[:5] == held, run.output
    assert set(tried[5:]) <= {"queue_state", "feature_flag", "claim_deferral", "claim_redrive"}
    first = next(line for line in record["journal"] if line["kind"] == "waited" and "Step 1" in line["sentence"])
    taken = [
        one["at"] for one in sandbox.sha_requests()[marked:] if (one["operation"], one["status"]) == ("submit", 201)
    ]
    until = datetime.fromisoformat(first["at"])
    assert sum(datetime.fromisoformat(at) <= until for at in taken) == 1, "the canary, and nobody before it"
    aws = [call["operation"] for call in witness.changes() if call["service"] != "launchdarkly"]
    assert aws == ["UpdateSecretVersionStage", "UpdateService"]
    assert record["verification"]["goal"] == "recovered"
    assert sandbox.sha_ledger()["duplicates"] == 0
    assert operator.playbook().record()["outcome"] == "noop"
    recorded.append(told("sha_token_expired", record, list(dict.fromkeys(done))))


def told(fault: str, record: dict[str, Any], done: list[str]) -> dict[str, Any]:
    """A row of docs/faults.md; users go on working in every one of these faults."""
    sentence, outcome = record["sentence"], record["outcome"]
    cause = record["decision"]["cause"]
    return {"fault": fault, "cause": cause, "done": done, "outcome": outcome, "seconds": 0.0, "sentence": sentence}


def test_rejected_claims_are_not_burnt(operator: Operator, sandbox: Sandbox, recorded: Rows) -> None:
    """422 is no outage: only the breaker is turned on, and a person validates one claim."""
    sandbox.break_("sha_schema_refused")
    sandbox.await_alarm("sha_schema_refused")
    witness = Witness(sandbox)
    run = run_it(operator, "succeeded", {"claims_rejected"})
    record = run.record()
    assert [step["step"] for step in record["steps"] if step["outcome"] == "ok"] == ["feature_flag"]
    assert [call["operation"] for call in witness.changes()] == ["PatchFeatureFlag"]

    # When the rejections are older than a window nothing else would speak against a redrive, which burns a claim.
    quiet = datetime.now(UTC) + timedelta(seconds=LEAST_WINDOW_S)
    wait_until(lambda: datetime.now(UTC) > quiet, "the rejections are older than what is looked at", PATIENT_S)
    before = len(submissions(sandbox))
    run_it(operator, "refused", {"rejected_while_held"})
    assert len(submissions(sandbox)) == before
    recorded.append(told("sha_schema_refused", record, ["feature_flag"]))


def test_without_a_new_key_the_incident_is_handed_over(operator: Operator, sandbox: Sandbox, recorded: Rows) -> None:
    sandbox.break_("sha_key_revoked")
    sandbox.await_alarm("sha_key_revoked")
    rehearse(
        operator,
        sandbox,
        "sha_key_revoked",
        Expected("broken_credentials", words="has no version AWSPENDING"),
        recorded,
    )
