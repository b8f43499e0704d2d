"""The first region is given up: nothing is lost but what was said, one side alone takes writes, and a run that was
killed goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._approvals import digest_of, key_of
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Report
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

from tests.integration.conftest import PATIENT_S, Killed, Operator, Run, Witness
from tests.integration.conftest import TIME_FACTOR as FACTOR
from tests.integration.region import (
    PEOPLE,
    REPLICA,
    TABLE,
    Prober,
    RegionRunner,
    Writer,
    approve,
    give_lease_back,
    second,
    survivor,
)

# One sandbox with two regions for all of them.
pytestmark = pytest.mark.xdist_group("region")

GONE, BEHIND, SPLIT = FAULTS = ("region_gone", "region_gone_behind", "region_split")
LOGIN = "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'emr_application'"
DUMPS = "daily-emr-sandbox-dumps-123456789012"
ORDER = ["PromoteReadReplica", "PutSecretValue", "UpdateService", "PutMetricData"]
SERVICE = {
    "PromoteReadReplica": "rds",
    "PutSecretValue": "secretsmanager",
    "UpdateService": "ecs",
    "PutMetricData": "cloudwatch",
}


class Failover(Operator):
    """Starts the playbook of the failover."""

    def __init__(self, sandbox: Sandbox, runs: Path, incident: str, declared: str = "") -> None:
        super().__init__(sandbox, runs, "database_failover")
        self.name = "region_failover"
        self.inputs = {"verify_passes": 2, "verify_timeout_s": 7200, "settle_timeout_s": 3600}
        self.inputs |= {"declared": declared} if declared else {}
        self.incident = incident

    def _command(self, inventory: str) -> list[str]:
        playbook = ["ansible-playbook", "-i", inventory, "playbooks/region_failover.yml"]
        return [*playbook, *self._options("-e"), "-e", f"incident_id={self.incident}"]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    box = Sandbox(tmp_path_factory.mktemp("regions") / "state")
    box.up(time_factor=FACTOR, parts=("region",))
    try:
        yield box
    finally:
        box.down()


@pytest.fixture(scope="module")
def gone(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The first region is gone, and its replica had fallen behind: for refusals, which leave it so."""
    sandbox.break_(BEHIND)
    yield sandbox
    sandbox.mend()


@pytest.fixture
def mended(sandbox: Sandbox) -> None:
    """Well again, before a lease is taken: a replica that is built anew has a fresh table."""
    sandbox.mend()


@pytest.fixture
def run(sandbox: Sandbox, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RegionRunner]:
    made = RegionRunner(sandbox, tmp_path, f"INC-{abs(hash(request.node.nodeid)) % 10**8}")
    yield made
    made.release()


def operations(witness: Witness) -> list[str]:
    return [call["operation"] for call in witness.changes()]


def said(run: Run) -> dict:
    """What the run wrote down before it promoted: how much may be lost."""
    (line,) = [
        line
        for line in run.record()["journal"]
        if line["kind"] == "waited" and line.get("loss", {}).get("seconds") is not None
    ][:1]
    return line["loss"]


# Refusals. Each is one reason in a situation that is good but for it: the control says so.


def old(sandbox: Sandbox, incident: str) -> None:
    """Two people approved it, an hour ago."""
    at = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    digest = digest_of("sandbox", incident, f"database/{REPLICA}", 300)
    for person in PEOPLE:
        item = {**key_of(incident, person, at), "digest": {"S": digest}, "at": {"S": at}}
        second(sandbox, "dynamodb").put_item(TableName=TABLE, Item=item)


def announced(sandbox: Sandbox, incident: str) -> None:
    """A run died between what it announced and what it did."""
    approve(sandbox, incident)
    word = {"incident": incident, "run": "run-dead", "at": "2026-11-30T00:00:00Z", "outcome": ""}
    key = {"pk": {"S": f"step#database_promotion#database/{REPLICA}"}, "sk": {"S": "last"}}
    second(sandbox, "dynamodb").put_item(TableName=TABLE, Item={**key, **{k: {"S": v} for k, v in word.items()}})


@pytest.fixture
def forgotten(sandbox: Sandbox) -> Iterator[None]:
    yield
    key = {"pk": {"S": f"step#database_promotion#database/{REPLICA}"}, "sk": {"S": "last"}}
    second(sandbox, "dynamodb").delete_item(TableName=TABLE, Key=key)


REFUSED = {
    "nobody approved": (lambda _sandbox, _incident: None, {}, "0 of 2 people have approved it"),
    "one approved": (lambda box, incident: approve(box, incident, PEOPLE[:1]), {}, "1 of 2 people"),
    "who asks approved": (
        lambda box, incident: approve(box, incident, ("on-call", PEOPLE[0])), {}, "on-call asked for it"
    ),
    "another loss was approved": (
        lambda box, incident: approve(box, incident, max_loss_s=60), {}, "approved something else"
    ),
    "approved an hour ago": (old, {}, "older than 30 minutes"),
    "more would be lost": (
        lambda box, incident: approve(box, incident, max_loss_s=0), {"max_loss_s": 0}, "Accepted are 0 s"
    ),
    "nobody knows whether it was asked for": (announced, {}, "its end is not known"),
    "a plan's leave": (approve, {"approved": False}, "are for a plan"),
}  # fmt: skip


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("reason", REFUSED)
def test_a_promotion_that_must_not_be_is_refused_and_nothing_is_changed(
    gone: Sandbox,
    run: RegionRunner,
    reason: str,
) -> None:
    prepare, args, words = REFUSED[reason]
    prepare(gone, run.incident["id"])
    witness = Witness(gone)
    result = run("database_promotion", **({"max_loss_s": 300} | args))
    assert result["outcome"] == "refused", result
    assert words in result["msg"]
    assert operations(witness) == []


def test_the_same_promotion_would_be_done_when_it_is_approved(gone: Sandbox, run: RegionRunner) -> None:
    approve(gone, run.incident["id"])
    result = run("database_promotion", check=True, max_loss_s=300)
    assert result["outcome"] == "planned", result["msg"]
    assert "UNFENCED" in " ".join(result["prediction"])


@pytest.mark.usefixtures("forgotten")
def test_who_looked_at_a_promotion_in_doubt_goes_on(gone: Sandbox, run: RegionRunner) -> None:
    announced(gone, run.incident["id"])
    result = run("database_promotion", check=True, max_loss_s=300, looked_at="run-dead")
    assert result["outcome"] == "planned", result["msg"]


def test_acknowledged_writes_are_lost_at_most_as_said_and_one_side_alone_takes_writes(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.mend()
    with Writer(sandbox) as writer, Prober(sandbox) as prober:
        wait_until(lambda: len(writer.acknowledged) > 5 and bool(prober.first), "users write", PATIENT_S)
        sandbox.break_(BEHIND)
        approve(sandbox, "INC-GONE")
        witness = Witness(sandbox)
        before = len(writer.acknowledged)
        done = Failover(sandbox, tmp_path, "INC-GONE").playbook()
        assert done.returncode == 0, done.output
        wait_until(lambda: len(writer.acknowledged) > before, "users write in the second region", PATIENT_S)
    assert operations(witness) == ORDER, "each once, the traffic last"
    assert done.record()["outcome"] == "succeeded"
    assert "UNFENCED" in done.record()["sentence"]
    (grounds,) = [line["grounds"] for line in done.record()["journal"] if line.get("grounds", {}).get("approvals")][-1:]
    assert {one["person"] for one in grounds["approvals"]} == set(PEOPLE)

    lost, told = writer.lost(), said(done)
    since = datetime.fromisoformat(told["lost_since"])
    assert lost, "the replica had fallen behind: something is lost, or this test shows nothing"
    assert min(lost.values()) > since, "what was acknowledged before is there"
    assert max(lost.values()) - since <= timedelta(seconds=told["seconds"])
    assert prober.second, "the second region takes writes"
    assert prober.never_both

    witness = Witness(sandbox)
    again = Failover(sandbox, tmp_path, "INC-GONE").playbook()
    assert (again.returncode, again.record()["outcome"]) == (0, "noop"), again.output
    assert witness.mutating() == []

    # It comes back as it was left: open. The next run closes it, whichever incident it is for.
    sandbox._call("POST", "/region/return")
    back = Failover(sandbox, tmp_path, "INC-BACK").playbook()
    assert back.returncode == 0, back.output
    assert back.record()["decision"]["cause"] == "first_region_back"
    assert operations(witness) == [], "what it changed is in the database"
    with Prober(sandbox) as prober:
        wait_until(lambda: len(prober.second) > 3, "the second side is probed", PATIENT_S)
    assert prober.first == []


def test_a_first_region_that_returns_during_the_promotion_is_fenced_before_the_second_one_is_used(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.mend()
    sandbox.break_(GONE)
    approve(sandbox, "INC-EARLY")
    witness = Witness(sandbox)
    # RDS has begun, and its answer comes when the first region is there again.
    sandbox.fault("rds", "PromoteReadReplica", "stall", ms=5_000)
    with Prober(sandbox) as prober:
        process = Failover(sandbox, tmp_path, "INC-EARLY").spawn()
        try:
            wait_until(lambda: "PromoteReadReplica" in operations(witness), "it is being promoted", PATIENT_S)
            sandbox._call("POST", "/region/return")
            wait_until(lambda: bool(prober.first), "the first region takes writes again", PATIENT_S)
        finally:
            done = Run(process.wait(), "", tmp_path)
            sandbox.clear_faults()
        closed, seen = len(prober.first), len(prober.second)
        wait_until(lambda: len(prober.second) > seen + 3, "the second side is probed", PATIENT_S)
    assert done.returncode == 0
    assert operations(witness) == ORDER
    steps = [(step["step"], step["target"].split("/")[-2], step["outcome"]) for step in done.record()["steps"]]
    fenced = steps.index(("region_fence", "denied", "ok"))
    assert fenced < [step for step, _, _ in steps].index("ecs_service_count"), "the application runs on one side"
    assert len(prober.first) == closed


def test_a_first_region_that_cannot_be_fenced_keeps_the_second_one_closed(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.mend()
    sandbox.break_(SPLIT)
    approve(sandbox, "INC-SPLIT")
    witness = Witness(sandbox)
    with Prober(sandbox) as prober:
        done = Failover(sandbox, tmp_path, "INC-SPLIT", declared="drill").playbook()
        wait_until(lambda: len(prober.first) > 3, "the first side is probed", PATIENT_S)
    assert done.record()["outcome"] == "refused", done.output
    assert "cannot be fenced" in done.record()["sentence"]
    assert witness.mutating() == []
    assert prober.second == []


def test_a_plan_names_what_cannot_be_taken_back_and_changes_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.mend()
    witness = Witness(sandbox)
    with Prober(sandbox) as prober:
        done = Failover(sandbox, tmp_path, "INC-PLAN", declared="drill").playbook("--check", "--diff")
        # A fence is made by SQL, which no call log shows: the application may log in, and writes, after the plan.
        written = len(prober.first)
        wait_until(lambda: len(prober.first) > written + 3, "the first side still takes writes", PATIENT_S)
    assert survivor(sandbox, LOGIN) == [(True,)], "the right is replicated"
    assert prober.second == []
    assert done.record()["outcome"] == "planned", done.output
    told = " ".join(done.output.split())
    for words in ("IRREVERSIBLE", "RPO: ", "RTO: ", "Needs 2 approvals"):
        assert words in told
    assert witness.mutating() == []


def test_a_failover_that_cannot_go_on_lets_the_first_region_write_again(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.mend()
    sandbox._call("POST", "/region/fall_behind")
    approve(sandbox, "INC-BEHIND")
    operator = Failover(sandbox, tmp_path, "INC-BEHIND", declared="drill")
    operator.inputs["catch_up_timeout_s"] = 60
    witness = Witness(sandbox)
    done = operator.playbook()
    assert done.returncode != 0
    assert "bytes are not replayed" in done.output
    made = [step for step in done.record()["steps"] if step["step"] == "region_fence" and step["outcome"] == "ok"]
    assert [step["target"].split("/")[2] for step in made] == ["denied", "ended", "allowed"]
    assert operations(witness) == []
    written = sandbox.ledger()["acknowledged"]
    wait_until(lambda: sandbox.ledger()["acknowledged"] > written, "users write again", PATIENT_S)


@pytest.mark.usefixtures("mended")
def test_a_failover_that_was_left_half_way_is_called_off(sandbox: Sandbox, run: RegionRunner, tmp_path: Path) -> None:
    for state in ("denied", "ended"):
        fenced = run("region_fence", side="first", state=state)
        assert fenced["outcome"] == "ok", fenced["msg"]
    run.release()
    left = Failover(sandbox, tmp_path, "INC-LEFT").playbook()
    assert left.record()["decision"]["cause"] == "failover_unfinished", left.output
    operator = Failover(sandbox, tmp_path, "INC-LEFT")
    operator.inputs["stand_down"] = "true"
    witness = Witness(sandbox)
    done = operator.playbook()
    assert (done.returncode, done.record()["outcome"]) == (0, "succeeded"), done.output
    assert "the first region serves" in done.record()["sentence"]
    assert operations(witness) == []


def test_a_rehearsal_leaves_evidence_that_readiness_counts_and_one_that_did_nothing_does_not(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.mend()
    approve(sandbox, "INC-REHEARSED")
    operator = Failover(sandbox, tmp_path, "")
    asked = {
        "rehearsal_hypothesis": "Users are served by the second region, and nothing is lost",
        "rehearsal_participants": ["incident commander: somebody"],
        "rehearsal_incident": "INC-REHEARSED",
        "rehearsal_inputs": {"region_failover_declared": "rehearsal", "region_failover_verify_passes": 2},
    }
    command = ("ansible-playbook", "-i", "inventories/sandbox", "playbooks/rehearsal.yml", "-e")
    done = operator.start(*command, json.dumps(asked))
    assert done.returncode == 0, done.output
    (page,) = tmp_path.glob("*/*/rehearsal.md")
    for words in ("succeeded", "somebody", "time to recover", "next due", asked["rehearsal_hypothesis"]):
        assert words in page.read_text()
    s3 = sandbox.boto("s3")
    (key,) = [found["Key"] for found in s3.list_objects_v2(Bucket=DUMPS, Prefix="rehearsals/")["Contents"]]
    evidence = json.load(s3.get_object(Bucket=DUMPS, Key=key)["Body"])
    assert Report.of(evidence, key).ok
    assert evidence["rto_s"] > 0
    assert evidence["rpo_s"] == 0
    assert evidence["predicted"]
    due = datetime.fromisoformat(evidence["next_due"]) - datetime.fromisoformat(evidence["finished_at"][:10])
    assert due == timedelta(days=90)

    again = operator.start(*command, json.dumps(asked))
    assert again.returncode != 0, "the second region serves already: nothing was rehearsed"
    assert "did not succeed" in " ".join(again.output.split())

    kept = s3.list_objects_v2(Bucket=DUMPS, Prefix="rehearsals/")["KeyCount"]
    asked["rehearsal_inputs"] = {"region_failover_no_such_input": "1"}
    never = operator.start(*command, json.dumps(asked))
    assert never.returncode != 0, "records of the same incident are there, and this one never started"
    assert "left 0 records of its own" in " ".join(never.output.split())
    assert s3.list_objects_v2(Bucket=DUMPS, Prefix="rehearsals/")["KeyCount"] == kept


@pytest.fixture(scope="module")
def story(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Failover, Witness, Prober]]:
    """One failover that dies at each of its steps in turn, and is taken up again by the next run."""
    sandbox.mend()
    approve(sandbox, "INC-KILLED")
    with Prober(sandbox) as prober:
        wait_until(lambda: bool(prober.first), "the first side is probed", PATIENT_S)
        yield Failover(sandbox, tmp_path_factory.mktemp("killed"), "INC-KILLED", "drill"), Witness(sandbox), prober
    sandbox.clear_faults()
    sandbox.mend()


@pytest.mark.parametrize("step", ["the fence", *ORDER])
def test_a_run_that_dies_at_a_step_leaves_one_side_open_at_most(
    sandbox: Sandbox, story: tuple[Failover, Witness, Prober], step: str
) -> None:
    operator, witness, prober = story
    if step in SERVICE:
        # Received and done; its answer is on the way for longer than the run lives.
        sandbox.fault(SERVICE[step], step, "stall", ms=20_000)
    happened = (
        (lambda: step in operations(witness)) if step in SERVICE else (lambda: survivor(sandbox, LOGIN) == [(False,)])
    )
    Killed(operator).when(happened, step)
    sandbox.clear_faults()
    give_lease_back(sandbox)
    assert prober.never_both


def test_the_last_run_finishes_what_the_others_began_and_nothing_was_sent_twice(
    story: tuple[Failover, Witness, Prober],
) -> None:
    operator, witness, prober = story
    done = operator.playbook()
    assert done.returncode == 0, done.output
    assert done.record()["outcome"] in ("succeeded", "noop")
    assert operations(witness) == ORDER
    wait_until(lambda: bool(prober.second), "the second side takes writes", PATIENT_S)
    assert prober.never_both
