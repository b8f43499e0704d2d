"""Runs that died in the middle are gone on with, here and on another machine; and what was done is taken back."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

from tests.integration.conftest import PATIENT_S, Operator, Run, Witness
from tests.integration.modules import PREFIX

pytestmark = pytest.mark.xdist_group("resume")

# The shortest that is allowed: a dead run's lease is watched for so long.
SHORT = ("-e", "incident_lease_seconds=30")
FLAG = "new-chart-view"


@pytest.fixture(autouse=True)
def _healthy(healthy: None, sandbox: Sandbox) -> None:  # noqa: ARG001  # for its effect
    """Each fault starts from a healthy system, and with a lease that no dead run of an earlier test has kept."""
    lease = {"pk": {"S": "lease#emr-web"}, "sk": {"S": "lease"}}
    sandbox.boto("dynamodb").delete_item(TableName=f"{PREFIX}-runbooks", Key=lease)


def sent(witness: Witness, operation: str = "UpdateService") -> int:
    return sum(call["operation"] == operation for call in witness.changes())


def count(sandbox: Sandbox) -> int:
    (service,) = sandbox.boto("ecs").describe_services(cluster=PREFIX, services=[f"{PREFIX}-web"])["services"]
    return int(service["desiredCount"])


def ask_for(sandbox: Sandbox, tasks: int) -> None:
    """Somebody sets the count by hand."""
    sandbox.boto("ecs").update_service(cluster=PREFIX, service=f"{PREFIX}-web", desiredCount=tasks)


def killed(operator: Operator, condition: Callable[[], bool], what: str) -> None:
    """Start a run and kill all of it, as a loss of power would: a worker is in a session of its own."""
    process = operator.spawn(*SHORT)
    mark = f"DAILY_EMR_RUNS={operator.runs}".encode()
    try:
        wait_until(condition, what, PATIENT_S)
    finally:
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (path / "environ").read_bytes().split(b"\0"):
                    os.kill(int(path.name), signal.SIGKILL)
        process.wait()


def died_in_the_call(operator: Operator, sandbox: Sandbox, witness: Witness) -> str:
    """A run whose one call was received, and that was killed before it heard the answer. Returns its incident."""
    sandbox.fault("ecs", "UpdateService", "stall", ms=5000)
    killed(operator, lambda: sent(witness) == 1, "the call has arrived")
    sandbox.clear_faults()
    return incident_of(operator)


def died_before_the_call(operator: Operator, sandbox: Sandbox, witness: Witness) -> str:
    """A run that was killed when its intent had just arrived in the table. Returns its incident."""
    sandbox.fault("dynamodb", "TransactWriteItems", "stall", ms=5000)
    killed(operator, lambda: intends(witness), "the intent has arrived")
    sandbox.clear_faults()
    assert sent(witness) == 0
    return incident_of(operator)


def intends(witness: Witness) -> bool:
    return any(call["operation"] == "TransactWriteItems" for call in witness.mutating())


def incident_of(operator: Operator) -> str:
    newest = max(operator.runs.glob("INC-*/*/journal.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    return newest.parents[1].name


def lines(run: Run, kind: str) -> list[dict[str, Any]]:
    return [line for line in run.record()["journal"] if line["kind"] == kind]


def test_a_call_whose_answer_nobody_heard_is_found_done_by_another_machine(
    operator: Operator, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.break_("scaled_to_zero")
    witness = Witness(sandbox)
    incident = died_in_the_call(operator, sandbox, witness)

    elsewhere = Operator(sandbox, tmp_path / "elsewhere")
    unknown = elsewhere.runbook("resume", incident)
    assert unknown.returncode == 2, unknown.output
    assert "name its environment" in unknown.output

    again = elsewhere.runbook("resume", incident, "-i", "sandbox")
    assert again.returncode == 0, again.output
    assert again.record()["incident"] == incident
    (probed,) = lines(again, "probed")
    assert (probed["step"], probed["word"]) == ("ecs_service_count", "done")
    assert again.record()["outcome"] == "succeeded", again.record()["sentence"]
    assert "was done by run" in again.record()["sentence"]
    assert (sent(witness), count(sandbox)) == (1, 2)


def test_a_call_that_was_never_sent_is_sent_once(operator: Operator, sandbox: Sandbox) -> None:
    sandbox.break_("scaled_to_zero")
    witness = Witness(sandbox)
    incident = died_before_the_call(operator, sandbox, witness)

    again = operator.playbook("-e", f"incident_id={incident}", "-e", "incident_take_over=OPS-1")
    assert again.returncode == 0, again.output
    assert [line["word"] for line in lines(again, "probed")] == ["not_done"]
    assert again.record()["outcome"] == "succeeded"
    assert sent(witness) == 1

    third = operator.runbook("resume", incident)
    assert third.returncode == 0, third.output
    assert lines(third, "probed") == [], "no later run asks again"
    assert third.record()["outcome"] == "noop", "the run before it has seen that it helped"
    assert sent(witness) == 1


def test_a_step_that_nobody_can_judge_is_asked_for(operator: Operator, sandbox: Sandbox) -> None:
    sandbox.break_("scaled_to_zero")
    incident = died_before_the_call(operator, sandbox, Witness(sandbox))
    ask_for(sandbox, 1)
    witness = Witness(sandbox)

    asks = operator.runbook("resume", incident)
    assert asks.returncode == 3, asks.output
    said = " ".join(asks.output.split())
    assert "It was: desired 0; it was to be: desired 2; it is now: desired 1." in said
    assert "incident_answer=done" in said
    assert witness.changes() == []

    other = operator.runbook("run", "error_spike", "-i", "sandbox", "--input", f"incident_id={incident}")
    assert "was begun with app_outage" in " ".join(other.output.split())

    answered = operator.runbook("resume", incident, "--input", "incident_answer=not_done")
    (probed,) = lines(answered, "probed")
    assert (probed["word"], probed["answered"]) == ("not_done", "not_done")
    assert probed["operator"]
    assert answered.record()["outcome"] != "refused", answered.output


def test_a_new_incident_on_a_taken_lease_looks_at_what_the_dead_run_left(operator: Operator, sandbox: Sandbox) -> None:
    sandbox.break_("scaled_to_zero")
    witness = Witness(sandbox)
    dead = died_in_the_call(operator, sandbox, witness)

    fresh = operator.playbook("-e", "incident_take_over=OPS-2")
    assert fresh.returncode == 0, fresh.output
    assert fresh.record()["incident"] != dead
    (probed,) = lines(fresh, "probed")
    assert (probed["of"]["incident"], probed["word"]) == (dead, "done")
    assert sent(witness) == 1


def test_other_code_is_refused_until_somebody_accepts_it(operator: Operator, sandbox: Sandbox) -> None:
    sandbox.break_("scaled_to_zero")
    first = operator.playbook()
    assert first.returncode == 0, first.output
    incident = first.record()["incident"]
    (journal,) = operator.runs.glob("INC-*/*/journal.jsonl")
    journal.write_text(journal.read_text().replace(lines(first, "opened")[0]["code"], "0" * 64))

    refused = operator.runbook("resume", incident)
    assert refused.returncode == 3, refused.output
    assert "worked on with other code (000000000000)" in " ".join(refused.output.split())

    accepted = operator.runbook("resume", incident, "--input", "incident_accept_new_code=true")
    assert accepted.returncode == 0, accepted.output


def on(sandbox: Sandbox) -> bool:
    """What the last change of the flag asked for; it is on before anybody asks."""
    asked = [request for request in sandbox.flag_requests() if not request["dry_run"]]
    return "turnFlagOff" not in json.dumps(asked[-1]) if asked else True


def test_what_was_done_is_taken_back_once_and_named_before(operator: Operator, sandbox: Sandbox) -> None:
    sandbox.break_("bad_flag")
    first = operator.playbook()
    assert first.record()["outcome"] == "succeeded", first.output
    incident, did = first.record()["incident"], first.record()["run"]
    undo = ("ansible-playbook", "-i", "inventories/sandbox", "playbooks/undo.yml", "-e", f"incident={incident}")

    witness = Witness(sandbox)
    plan = operator.start(*undo, "--check", "--diff")
    assert plan.returncode == 0, plan.output
    assert plan.record()["outcome"] == "planned", plan.record()["sentence"]
    assert witness.mutating() == []

    done = operator.runbook("undo", incident)
    assert done.returncode == 0, done.output
    assert done.record()["outcome"] == "succeeded", done.record()["sentence"]
    assert [line["undo_of"]["run"] for line in lines(done, "outcome")] == [did]
    assert sent(witness, "PatchFeatureFlag") == 1

    again = operator.start(*undo)
    assert again.returncode == 0, again.output
    assert again.record()["outcome"] == "noop"
    assert sent(witness, "PatchFeatureFlag") == 1


def test_what_nothing_takes_back_is_named(operator: Operator, sandbox: Sandbox) -> None:
    sandbox.break_("scaled_to_zero")
    first = operator.playbook()
    assert first.record()["outcome"] == "succeeded", first.output
    witness = Witness(sandbox)

    plan = operator.runbook("undo", first.record()["incident"], "--plan")
    assert plan.returncode == 0, plan.output
    seen = {one["name"]: one["seen"] for one in plan.record()["observations"]}
    assert "a desired count of 0 was the incident" in seen["irreversible"]
    assert witness.mutating() == []
