"""What the handler of claims does about each answer of the payer, against a real database and the stand-in."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_api import ClaimsApi
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_ladder import allowance, stop_reasons
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_ledger import (
    ANSWERS,
    IN_DOUBT,
    REDRIVEN,
    STEP,
    SUMMARY,
    TOTALS,
    slice_of,
    stamp,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_reconciliation import ask_all
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Secret
from ansible_collections.daily_emr.ops.plugins.module_utils._verification import Clock
from ansible_collections.daily_emr.ops.plugins.modules.claim_deferral import DEFER
from ansible_collections.daily_emr.ops.plugins.modules.claim_reconciliation import SETTLE
from ansible_collections.daily_emr.ops.plugins.modules.claim_redrive import RELEASE
from daily_emr_sandbox.launchdarkly import LaunchDarkly
from daily_emr_sandbox.loop import LoopThread, wait_until
from daily_emr_sandbox.postgres import DatabasePair
from daily_emr_sandbox.settings import Settings
from daily_emr_sandbox.sha import Sha
from daily_emr_sandbox.sha.behaviour import RateLimit
from daily_emr_sandbox.sha.fhir import IDENTIFIER
from daily_emr_sandbox.sha.outbox import Outbox
from psycopg.rows import dict_row

from tests.sandbox.claims_world import APPLICATION, CANARY, Claims, Worker

CIRCUIT = "claims-submit-queue-only"
NO_AGE = dt.timedelta()


@pytest.fixture(scope="module")
def built(settings: Settings, loop: LoopThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Claims]:
    database, sha, flags = DatabasePair(settings, loop), Sha(settings, loop), LaunchDarkly(settings, loop)
    try:
        database.start()
        database.grant(APPLICATION)
        database.admit_runbooks()
        sha.start()
        flags.start()
        yield Claims(settings, database, sha, flags, tmp_path_factory.mktemp("worker"))
    finally:
        flags.stop()
        sha.stop()
        database.stop()


@pytest.fixture(scope="module")
def running(built: Claims) -> Iterator[Worker]:
    with built.worker() as worker:
        yield worker


@pytest.fixture
def claims(built: Claims) -> Iterator[Claims]:
    """A healthy payer, a closed circuit and an empty outbox."""
    yield built
    built.sha.mend()
    built.flags.turn(CIRCUIT, on=False, by="test")
    with built.application() as session:
        session.execute("TRUNCATE claims, claim_attempts, claim_moves, claim_steps")


def doubts(claims: Claims) -> list[Any]:
    with claims.runbook() as session:
        return session.execute("SELECT * FROM ops.claims_in_doubt(1000, %s)", (NO_AGE,)).fetchall()


def settle(claims: Claims) -> None:
    """What the runbooks do about claims in doubt: ask the payer over HTTPS for each of them, and write it down."""
    settings = claims.settings
    environment: Any = SimpleNamespace(name="sandbox", sandbox=True)
    ours = {"base_url": settings.sha_url, "ca_file": str(settings.sha_ca_file), "facility_id": settings.sha_facility}
    api = ClaimsApi(environment, {**ours, "identifier_system": IDENTIFIER}, timeout_s=5.0)
    _reply, token = api.token(Secret(claims.sha.key))
    in_doubt = [
        {"claim": number, "identifier": identifier, "since": stamp(since)}
        for number, identifier, _state, since in doubts(claims)
    ]
    asked = ask_all(in_doubt, lambda name: api.fate(token, name), Clock(time.monotonic, time.sleep), interval_s=0.0)
    assert not asked.stopped
    with claims.runbook() as session:
        session.execute(SETTLE, {"answers": json.dumps(asked.answers), "older_than_s": 0.0})


def totals(claims: Claims) -> dict[str, int]:
    """The reconciliation as the runbooks see it."""
    with claims.runbook() as session:
        cursor = session.execute("SELECT * FROM ops.claims_totals()")
        return dict(zip([column.name for column in cursor.description or ()], cursor.fetchall()[0], strict=True))


def sums(states: dict[str, int]) -> dict[str, int]:
    """What sent claims must add up to."""
    found = {"accepted": "acked", "rejected": "rejected", "unknown": "unknown"}
    return {total: states.get(state, 0) for total, state in found.items()}


def release(claims: Claims, step: str, count: int, per_second: float) -> int:
    with claims.runbook() as session:
        return int(session.execute("SELECT ops.claims_release(%s, %s, %s)", (step, count, per_second)).fetchall()[0][0])


def test_a_claim_is_sent_once_however_often_its_job_comes(claims: Claims, running: Worker) -> None:
    new = claims.new(5)

    assert running.work(new) == {"acked": 5}
    assert running.work(new) == {"acked": 5}
    assert claims.states(new) == {"acked": 5}
    assert claims.known(new) == [1] * 5


def test_two_workers_with_the_same_job_send_it_once(claims: Claims, running: Worker) -> None:
    new = claims.new(40)
    with claims.worker() as other:
        running.begin(new, concurrency=6)
        other.begin(list(reversed(new)), concurrency=6)
        running.end()
        other.end()

    assert claims.known(new) == [1] * 40


@pytest.mark.parametrize(
    ("how", "said", "outcome", "known"),
    [
        ("commit_silent", "ClaimUnknown", "timeout", 1),
        ("silent", "ClaimUnknown", "timeout", 0),
        ("commit_reset", "ClaimUnknown", "server_error", 1),
        ("commit_unavailable", "ClaimUnknown-503", "server_error", 1),
        ("unavailable", "ClaimUnknown-503", "server_error", 0),
        ("page", "ClaimUnknown-200", "server_error", 0),
    ],
)
def test_a_claim_without_an_answer_is_unknown_and_not_sent_again_by_itself(
    claims: Claims, running: Worker, how: Any, said: str, outcome: str, known: int
) -> None:
    new = claims.new(1)
    claims.sha.behaviour.submissions(how)
    assert running.work(new) == {said: 1}
    claims.sha.mend()

    assert running.work(new, attempts=3) == {"unknown": 1}, "the queue tries again, the claim does not"
    assert claims.known(new) == [known]
    with claims.runbook() as session:
        [(claim_type, seen, calls, _)] = session.execute("SELECT * FROM ops.claims_outcomes()").fetchall()
    assert (claim_type, seen, calls) == ("claim", outcome, 1)


def test_a_refused_schema_rejects_the_claim_and_keeps_what_the_payer_echoed(claims: Claims, running: Worker) -> None:
    new = claims.new(1)
    claims.sha.behaviour.submissions("refuse")

    assert running.work(new) == {"rejected": 1}
    with claims.application() as session:
        everything = str(session.execute("SELECT state, outcome, response FROM claims").fetchall())
    assert "rejected" in everything
    assert CANARY not in everything + running.log.read_text()


@pytest.mark.parametrize("trouble", ["refused", "certificate", "key", "pace"])
def test_a_claim_that_was_not_carried_out_waits_and_has_used_no_attempt(
    claims: Claims, running: Worker, trouble: str
) -> None:
    running.work(claims.new(1))  # a token that is still good
    new, key = claims.new(1), claims.sha.key
    if trouble == "refused":
        claims.sha.refuse()
    elif trouble == "certificate":
        claims.sha.expire_certificate()
    elif trouble == "key":
        claims.sha.accept_keys(claims.sha.new_key())
    else:
        claims.sha.behaviour.limit = RateLimit(0.0001, retry_after_s=5)
        claims.sha.behaviour.limit.admits()
    said = running.work(new, attempts=2)
    claims.sha.accept_keys(key)

    assert set(said) <= {"ClaimNotSent", "ClaimNotSent-401", "ClaimNotSent-429"}
    assert claims.states(new) == {"ready": 1}
    with claims.application() as session:
        assert session.execute("SELECT attempts, sent_at FROM claims WHERE id = %s", (new[0],)).fetchall() == [
            (0, None)
        ]
    claims.sha.mend()
    assert running.work(new, attempts=2) == {"acked": 1}
    assert claims.known(new) == [1]


def test_one_call_fetches_the_token_for_all_who_wait(claims: Claims) -> None:
    before = sum(one["operation"] == "token" for one in claims.sha.ledger.requests())
    with claims.worker() as fresh:
        assert fresh.work(claims.new(30), concurrency=16) == {"acked": 30}
    assert sum(one["operation"] == "token" for one in claims.sha.ledger.requests()) == before + 1


def test_with_the_circuit_open_claims_are_saved_and_no_attempt_is_used(claims: Claims) -> None:
    claims.flags.turn(CIRCUIT, on=True, by="test")
    new, before = claims.new(3), len(claims.sha.ledger.requests())
    with claims.worker() as fresh:
        assert fresh.work(new) == {"deferred": 3}

    assert len(claims.sha.ledger.requests()) == before
    assert claims.states(new) == {"deferred": 3}


def test_a_released_claim_goes_through_an_open_circuit_at_the_pace_of_its_step(claims: Claims) -> None:
    """Urgent ones first, never two of them closer than the pace, whoever sends."""
    claims.flags.turn(CIRCUIT, on=True, by="test")
    rest, urgent = claims.new(6, state="draft"), claims.new(4, state="draft", **{"class": "preauth"})
    with claims.application() as session:
        session.execute("UPDATE claims SET state = 'deferred'")
    assert release(claims, "one", 8, per_second=10.0) == 8
    assert release(claims, "one", 8, per_second=10.0) == 8, "the same step again lets nothing more go"
    assert claims.states(urgent) == {"ready": 4}
    assert claims.states(rest) == {"ready": 4, "deferred": 2}

    began = len(claims.sha.ledger.requests())
    with claims.worker() as one, claims.worker() as two:
        one.begin(urgent + rest[:2], concurrency=5)
        two.begin(rest[2:], concurrency=5)
        one.end()
        two.end()

    sent = [
        dt.datetime.fromisoformat(one["at"]).timestamp()
        for one in claims.sha.ledger.requests()[began:]
        if one["operation"] == "submit"
    ]
    assert len(sent) == 8
    assert all(sum(at <= other < at + 0.3 for other in sent) <= 4 for at in sent)
    assert claims.states(rest) == {"acked": 4, "deferred": 2}


def test_a_released_claim_that_was_not_carried_out_waits_for_another_step(claims: Claims, running: Worker) -> None:
    new = claims.new(1, state="draft")
    with claims.application() as session:
        session.execute("UPDATE claims SET state = 'deferred'")
    release(claims, "one", 1, per_second=50.0)
    claims.sha.behaviour.limit = RateLimit(0.0001, retry_after_s=5)
    claims.sha.behaviour.limit.admits()

    assert running.work(new) == {"ClaimNotSent-429": 1}
    assert claims.states(new) == {"deferred": 1}
    with claims.runbook() as session:
        [(state, outcome, count, _)] = session.execute("SELECT * FROM ops.claims_step('one')").fetchall()
        [(step, came_to, calls, _)] = session.execute("SELECT * FROM ops.claims_redriven('1 hour')").fetchall()
        assert session.execute("SELECT * FROM ops.claims_redriven('0')").fetchall() == []
    assert (state, outcome, count) == ("deferred", "throttled", 1)
    assert (step, came_to, calls) == ("one", "throttled", 1)


def test_nothing_is_released_while_a_claim_is_unknown(claims: Claims, running: Worker) -> None:
    doubtful, waiting = claims.new(1), claims.new(1, state="draft")
    with claims.application() as session:
        session.execute("UPDATE claims SET state = 'deferred' WHERE id = ANY(%s)", (waiting,))
    claims.sha.behaviour.submissions("commit_silent")
    running.work(doubtful)

    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        release(claims, "early", 1, per_second=50.0)
    settle(claims)
    assert claims.states(doubtful) == {"acked": 1}
    assert release(claims, "early", 1, per_second=50.0) == 1


def test_a_claim_that_moved_meanwhile_is_not_settled(claims: Claims, running: Worker) -> None:
    new = claims.new(1)
    claims.sha.behaviour.submissions("silent")
    running.work(new)
    with claims.runbook() as session:
        [(number, _, state, since)] = doubts(claims)
        assert state == "unknown"
        settled = "SELECT ops.claim_settle(%s, %s, %s, older_than => interval '0')"
        early = since - dt.timedelta(seconds=1)
        assert session.execute(settled, (number, early, "absent")).fetchall() == [("unknown",)]
        assert session.execute(settled, (number, since, "absent")).fetchall() == [("deferred",)]
        assert session.execute(settled, (number, since, "absent")).fetchall() == [("deferred",)]
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            session.execute(settled, (number, since, "acked"))
        assert doubts(claims) == []


def test_a_young_claim_is_not_taken_for_absent_and_what_the_payer_has_is_written_down_at_any_age(
    claims: Claims, running: Worker
) -> None:
    """The payer may take a moment later what it does not have just now."""
    new = claims.new(2)
    claims.sha.behaviour.submissions("silent")
    running.work(new)
    (one, _, _, since), (two, _, _, since_two) = doubts(claims)
    with claims.runbook() as session:
        asked = "SELECT ops.claim_settle(%s, %s, %s, %s)"
        assert session.execute(asked, (one, since, "absent", None)).fetchall() == [("unknown",)]
        assert session.execute(asked, (two, since_two, "acked", "CR-1")).fetchall() == [("acked",)]
    with claims.application() as session:
        session.execute("UPDATE claims SET since = since - interval '3 minutes' WHERE id = %s", (one,))
    with claims.runbook() as session:
        old = since - dt.timedelta(minutes=3)
        assert session.execute(asked, (one, old, "absent", None)).fetchall() == [("deferred",)], "the control"


def test_copies_that_the_payer_tells_of_are_counted(claims: Claims, running: Worker) -> None:
    new = claims.new(2)
    claims.sha.behaviour.submissions("silent")
    running.work(new)
    batch = [{"claim": number, "since": since, "answer": "acked", "response": "CR-1", "copies": copies}
             for copies, (number, _, _, since) in enumerate(doubts(claims), start=1)]  # fmt: skip
    with claims.runbook() as session:
        assert (
            session.execute(
                "SELECT ops.claim_settle(a.claim, a.since, a.answer, a.response, a.copies) FROM jsonb_to_recordset(%s)"
                " AS a(claim bigint, since timestamptz, answer text, response text, copies integer)",
                (json.dumps(batch, default=str),),
            ).fetchall()
            == [("acked",)] * 2
        )
    assert totals(claims)["duplicates"] == 1


def test_a_worker_that_dies_in_the_middle_leaves_a_claim_in_doubt(claims: Claims, running: Worker) -> None:
    new = claims.new(1)
    claims.sha.behaviour.submissions("commit_silent")
    with claims.worker() as doomed:
        doomed.begin(new)
        wait_until(lambda: claims.states(new) == {"sending": 1}, "the claim is being sent")
        doomed.process.kill()
    claims.sha.mend()

    assert running.work(new) == {"in doubt": 1}
    settle(claims)
    assert claims.states(new) == {"acked": 1}
    assert claims.known(new) == [1]


@pytest.mark.parametrize("after", ["ready", "sending", "draft"])
def test_the_table_itself_refuses_to_send_an_unknown_claim_again(claims: Claims, running: Worker, after: str) -> None:
    new = claims.new(1)
    claims.sha.behaviour.submissions("silent")
    running.work(new)

    with claims.application() as session, pytest.raises(psycopg.errors.CheckViolation, match="from unknown to"):
        session.execute("UPDATE claims SET state = %s WHERE id = %s", (after, new[0]))


def test_the_same_encounter_makes_one_claim_of_a_version(claims: Claims) -> None:
    insert = (
        "INSERT INTO claims (payer, facility, encounter, claim_type, version, class, deadline, content)"
        " VALUES ('SHA', 'FID-27-104211-1', 'e-1', 'claim', %s, 'rest', now(), '{}') RETURNING identifier"
    )
    with claims.application() as session:
        first, second = (session.execute(insert, (version,)).fetchall()[0][0] for version in (1, 2))
        assert first != second
        with pytest.raises(psycopg.errors.UniqueViolation):
            session.execute(insert, (1,))


def test_the_role_of_the_runbooks_counts_and_reads_no_claim(claims: Claims) -> None:
    claims.new(3)
    with claims.runbook() as session:
        [(state, group, count, _, due, overdue)] = session.execute(
            "SELECT * FROM ops.claims_summary('60 days')"
        ).fetchall()
        assert (state, group, count, due, overdue) == ("ready", "rest", 3, 3, 0)
        for table in ("claims", "claim_attempts", "claim_moves", "claim_steps", "claim_pace"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(f"SELECT * FROM {table}")
        for function in (
            "claims_summary()",
            "claims_in_doubt()",
            "claims_outcomes()",
            "claims_totals()",
            "claims_step('x')",
            "claims_redriven('1 day')",
        ):
            assert CANARY not in str(session.execute(f"SELECT * FROM ops.{function}").fetchall())
        assert session.execute("SELECT ops.claims_defer(2)").fetchall() == [(2,)]
    with claims.application() as session:
        who = session.execute("SELECT DISTINCT who, before, after FROM claim_moves").fetchall()
    assert who == [("emr_runbook", "ready", "deferred")]


def test_the_relay_gives_each_ready_claim_to_the_queue_once_and_urgent_ones_first(claims: Claims) -> None:
    """Also when the queue refuses them at first, and again when a redrive lets them go."""
    rest, urgent = claims.new(2), claims.new(2, **{"class": "preauth"})
    claims.new(1, state="draft")
    given: list[int] = []
    refusals = iter([False])

    def enqueue(jobs: Any) -> bool:
        taken = next(refusals, True)
        given.extend(job["claim"] for job in jobs if taken)
        return taken

    outbox = Outbox(claims.database, enqueue, claims.sha.ledger)
    outbox.start()
    try:
        wait_until(lambda: len(given) >= 4, "the relay has looked")
        assert given == urgent + rest
        with claims.runbook() as session:
            session.execute("SELECT ops.claims_defer(10)")
        assert release(claims, "again", 1, per_second=50.0) == 1
        wait_until(lambda: len(given) > 4, "the relay has looked again")
        assert given[4:] == urgent[:1]
    finally:
        outbox.stop()


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (SUMMARY, {"due_hours": 24}),
        (ANSWERS, {"window_s": 15.5}),
        (TOTALS, {}),
        (IN_DOUBT, {"at_most": 1000, "older_than_s": 6.0}),
        (STEP, {"step": "INC-1/1"}),
        (REDRIVEN, {"window_s": 15.5}),
        (RELEASE, {"step": "INC-1/1", "at_most": 5, "per_second": 0.4}),
        (DEFER, {"at_most": 100_000}),
    ],
)
def test_what_the_runbooks_send_is_what_the_application_has(
    claims: Claims, statement: str, values: dict[str, Any]
) -> None:
    claims.new(2)
    with claims.runbook() as session:
        assert session.execute(statement, values).description


def reconcile(claims: Claims) -> None:
    """Ask the payer over HTTPS and write down what it says, with what the runbook does it with."""
    settings = {
        "base_url": claims.settings.sha_url,
        "ca_file": str(claims.settings.sha_ca_file),
        "identifier_system": IDENTIFIER,
    }
    environment: Any = SimpleNamespace(name="sandbox", sandbox=True)
    api = ClaimsApi(environment, settings, 10.0)
    _, token = api.token(Secret(claims.sha.key))
    clock = Clock(time.monotonic, time.sleep)
    while rows := doubts(claims):
        open_claims = [
            {"claim": number, "identifier": identifier, "since": stamp(since)} for number, identifier, _, since in rows
        ]
        asked = ask_all(open_claims, lambda identifier: api.fate(token, identifier), clock, 0.0)
        assert not asked.stopped
        with claims.runbook() as session:
            session.execute(SETTLE, {"answers": json.dumps(asked.answers), "older_than_s": 0.0})


NORMAL_PER_MINUTE, STEP_S, WAITING = 600.0, 1.0, 60


def climb(claims: Claims, worker: Worker, step: int, waiting: list[int]) -> tuple[float, list[float], list[str]]:
    """Go one step of the ladder: its pace, when the payer got its claims, and why it has to be the last one."""
    allowed = allowance(step, claims.states(waiting)["deferred"], NORMAL_PER_MINUTE, STEP_S)
    with claims.runbook() as session:
        values = {"step": f"step-{step}", "at_most": allowed.claims, "per_second": allowed.per_second}
        assert session.execute(RELEASE, values).fetchall() == [(allowed.claims,)]
    began = len(claims.sha.ledger.requests())
    worker.work(waiting, concurrency=8)
    with claims.runbook() as session:
        session.row_factory = dict_row  # type: ignore[assignment]
        seen = slice_of(session.execute(STEP, {"step": f"step-{step}"}).fetchall())  # type: ignore[arg-type]
    submitted = [one["at"] for one in claims.sha.ledger.requests()[began:] if one["operation"] == "submit"]
    return allowed.per_second, [dt.datetime.fromisoformat(at).timestamp() for at in submitted], stop_reasons(seen, 1000)


def test_the_ladder_keeps_its_pace_and_stops_when_errors_rise_again(claims: Claims, running: Worker) -> None:
    """Its rules with real workers: no second has more than the pace allows, and the first bad step is the last one."""
    claims.flags.turn(CIRCUIT, on=True, by="test")
    waiting = claims.new(WAITING, state="draft")
    with claims.application() as session:
        session.execute("UPDATE claims SET state = 'deferred'")
    sent = 0
    for step in (1, 2, 3, 4):
        per_second, moments, reasons = climb(claims, running, step, waiting)
        assert reasons == []
        sent += len(moments)
        assert max(sum(at <= other < at + 1 for other in moments) for at in moments) <= per_second + 1

    claims.sha.behaviour.submissions("commit_unavailable")
    _, moments, reasons = climb(claims, running, 5, waiting)
    assert any("unknown outcome" in reason for reason in reasons)
    claims.sha.mend()
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        climb(claims, running, 6, waiting)
    assert claims.states(waiting) == {
        "acked": sent,
        "unknown": len(moments),
        "deferred": WAITING - sent - len(moments),
    }


OUTAGE = ("answer", "commit_silent", "silent", "commit_reset", "answer", "unavailable", "commit_unavailable")
THOUSAND = 1000
WIDTH = 16


def test_a_thousand_claims_through_an_outage_are_each_accepted_once(claims: Claims, running: Worker) -> None:
    """Two workers get every job; five of seven answers are lost, three of them after the claim was taken. The redrive
    loses some too.
    """
    new, before = claims.new(THOUSAND), claims.sha.ledger.summary()
    claims.sha.behaviour.submissions(*OUTAGE)
    with claims.worker() as other:
        running.begin(new, concurrency=WIDTH, attempts=2)
        other.begin(new[THOUSAND // 2 :] + new[: THOUSAND // 2], concurrency=WIDTH, attempts=2)
        running.end()
        other.end()
    assert claims.states(new)["unknown"] > THOUSAND / 2
    assert totals(claims) == {"sent": THOUSAND, "unsent": 0, "duplicates": 0} | sums(claims.states(new))
    claims.sha.behaviour.submissions(*("answer",) * 19, "commit_silent")

    for step in range(20):
        reconcile(claims)
        if not release(claims, f"step-{step}", THOUSAND, per_second=1000.0):
            break
        running.work(new, concurrency=WIDTH)

    assert claims.states(new) == {"acked": THOUSAND}
    ends = {"accepted": THOUSAND, "rejected": 0, "unknown": 0}
    assert totals(claims) == {"sent": THOUSAND, "unsent": 0, "duplicates": 0} | ends
    after = claims.sha.ledger.summary()
    assert after["duplicates"] == before["duplicates"]
    assert after["accepted"] - before["accepted"] == THOUSAND
    assert claims.known(new) == [1] * THOUSAND


def test_without_asking_the_payer_the_same_outage_ends_in_duplicates(claims: Claims, running: Worker) -> None:
    """The control: what keeps an unknown claim from being sent again is taken out of the table."""
    new = claims.new(100)
    claims.sha.behaviour.submissions(*OUTAGE)
    running.work(new, concurrency=WIDTH)
    claims.sha.mend()
    with claims.application() as session:
        session.execute("ALTER TABLE claims DISABLE TRIGGER moved")
        session.execute("UPDATE claims SET state = 'ready' WHERE state = 'unknown'")
        session.execute("ALTER TABLE claims ENABLE TRIGGER moved")
    running.work(new, concurrency=WIDTH)

    assert claims.states(new) == {"acked": 100}
    assert sum(times > 1 for times in claims.known(new)) > 20
