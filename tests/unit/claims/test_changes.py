"""What holds for every change of the claims: check, apply, check again, apply again; lost replies; refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import execute_change

from tests.unit.changes.world import Json, ago
from tests.unit.claims.conftest import CIRCUIT, Claims
from tests.unit.claims.sha import GOOD_KEY, OLD_KEY

pytestmark = pytest.mark.usefixtures("no_waiting")
RUN = "r1"


def hold(claims: Claims, on: bool = True) -> None:
    claims.provider.flags[CIRCUIT]["environments"]["sandbox"]["on"] = on


def waiting(claims: Claims) -> None:
    hold(claims)
    claims.outbox.add("deferred", 200)


def ready(claims: Claims) -> None:
    hold(claims)
    claims.outbox.add("ready", 7)


def in_doubt(claims: Claims) -> None:
    """Five that the payer has, one that it rejected, three that it does not have, one that it has twice."""
    for claim in claims.outbox.add("unknown", 10):
        claims.sha.held[claim.identifier] = {5: 0, 6: 0, 7: 0, 8: 2}.get(claim.number - 41, 1)
    claims.sha.rejected = {f"{50:064x}"}


def expired(claims: Claims) -> None:
    claims.world.versions = {
        "AWSCURRENT": ("o" * 32, OLD_KEY, ago(days=90)),
        "AWSPENDING": ("n" * 32, GOOD_KEY, ago(hours=1)),
    }


def unspoilt(_claims: Claims) -> None:
    """The world is good; what is asked for is not."""


def leftover(claims: Claims) -> None:
    claims.world.versions["AWSPENDING"] = ("n" * 32, GOOD_KEY, ago(days=91))


def set_current(claims: Claims, value: Json) -> None:
    version, _value, at = claims.world.versions["AWSCURRENT"]
    claims.world.versions["AWSCURRENT"] = (version, value, at)


@dataclass
class Case:
    module: str
    prepare: Callable[[Claims], None]
    args: Json
    diff: tuple[Json, Json]
    call: str


CASES = [
    Case(
        "claim_redrive",
        waiting,
        {"step": 1},
        ({"step": 1, "released": 0}, {"step": 1, "released": 1}),
        "postgres:claims_release",
    ),
    Case("claim_deferral", ready, {}, ({"ready": 7}, {"ready": 0}), "postgres:claims_defer"),
    Case(
        "claim_reconciliation",
        in_doubt,
        {"settle_after_s": 120},
        ({"unknown": 10}, {"unknown": 0}),
        "postgres:claim_settle",
    ),
    Case(
        "secret_version_stage",
        expired,
        {},
        ({"current": "o" * 32}, {"current": "n" * 32}),
        "secretsmanager:UpdateSecretVersionStage",
    ),
]


@pytest.fixture(params=CASES, ids=lambda case: case.module)
def case(request: pytest.FixtureRequest, claims: Claims) -> Case:
    found: Case = request.param
    found.prepare(claims)
    return found


def arrived(claims: Claims) -> int:
    """Statements and AWS calls that change something."""
    return len(claims.outbox.sent) + len(claims.world.mutations)


def test_check_apply_check_apply(case: Case, claims: Claims) -> None:
    plan = claims.change(case.module, check=True, **case.args)
    assert (plan["outcome"], plan["changed"], plan["refusals"]) == ("planned", True, []), plan["msg"]
    assert (plan["diff"]["before"], plan["diff"]["after"]) == case.diff
    assert plan["prediction"]
    assert arrived(claims) == 0

    done = claims.change(case.module, **case.args)
    assert (done["outcome"], done["changed"]) == ("ok", True), done["msg"]
    assert arrived(claims) == 1

    for check in (True, False):
        again = claims.change(case.module, check=check, **case.args)
        assert (again["outcome"], again["changed"]) == ("noop", False), again["msg"]
    assert arrived(claims) == 1
    assert claims.sha.asked("submit") == [], "a runbook never submits a claim"


@pytest.mark.parametrize(("lost", "outcome"), [("after", "ok"), ("before", "unknown")])
def test_a_lost_reply_is_probed_and_never_sent_again(case: Case, claims: Claims, lost: str, outcome: str) -> None:
    claims.outbox.lose = lost
    claims.world.lose["UpdateSecretVersionStage"] = lost

    result = claims.change(case.module, **case.args)

    assert (result["outcome"], arrived(claims)) == (outcome, 1), result["msg"]


def test_needs_a_lease(case: Case, claims: Claims) -> None:
    change = claims.run_change.change(case.module, {"claims_api": dict(claims.settings), **case.args}, incident=False)
    result = execute_change(change, change.clients, None, check_mode=False)
    assert (result["refused"], arrived(claims)) == (True, 0)


def test_undo_is_valid_by_its_own_spec(case: Case, claims: Claims) -> None:
    undo = claims.change(case.module, check=True, **case.args)["undo"]
    if isinstance(undo, str):
        assert undo
        return
    module = undo["module"].removeprefix("daily_emr.ops.")
    spec = claims.run_change.change(module, dict(undo["args"])).spec
    assert ArgumentSpecValidator(spec).validate(undo["args"]).error_messages == []


@pytest.mark.parametrize("case_of", CASES, ids=lambda item: item.module)
def test_a_database_that_is_away_changes_nothing(claims: Claims, case_of: Case) -> None:
    if case_of.module == "secret_version_stage":
        pytest.skip("it needs no database")
    case_of.prepare(claims)
    claims.outbox.down = "connection refused"
    result = claims.change(case_of.module, **case_of.args)
    assert (result["outcome"], arrived(claims)) == ("failed", 0)


# Module -> the refusal, and what brings it about in the world where the change was planned.
REFUSALS: list[tuple[int, str, Callable[[Claims], Any], Json]] = [
    (0, "with an unknown outcome", lambda c: c.outbox.add("unknown"), {}),
    (0, "with an unknown outcome", lambda c: c.outbox.add("sending"), {}),
    (0, "does not answer a harmless read (503", lambda c: c.sha.statuses.update(facility=503), {}),
    (0, "does not answer a harmless read (401", lambda c: setattr(c.sha, "keys", []), {}),
    (0, "does not answer a harmless read (429", lambda c: c.sha.statuses.update(facility=429), {}),
    (0, "is off, so other claims go out", lambda c: hold(c, on=False), {}),
    (0, "Could not read the circuit", lambda c: c.provider.flags.pop(CIRCUIT), {}),
    (0, "Could not read the claims api", lambda c: c.world.broken.add("GetSecretValue"), {}),
    (0, "normal_per_minute is 601", lambda c: c.settings.update(normal_per_minute=601.0), {}),
    (0, "step_minutes is 31", unspoilt, {"step_minutes": 31}),
    (0, "There is no step 8", unspoilt, {"step": 8}),
    (1, "is off, so claims flow", lambda c: hold(c, on=False), {}),
    (1, "Could not read the circuit", lambda c: c.provider.flags.pop(CIRCUIT), {}),
    (2, "gives no token (503", lambda c: c.sha.statuses.update(token=503), {}),
    (2, "gives no token (401", lambda c: setattr(c.sha, "keys", []), {}),
    (2, "Could not read the token", lambda c: c.world.broken.add("GetSecretValue"), {}),
    (2, "batch is 101", unspoilt, {"batch": 101}),
    (2, "may still be under way", lambda c: [setattr(item, "age_s", 60.0) for item in c.outbox.claims], {}),
    (3, "has no version AWSPENDING", lambda c: c.world.versions.pop("AWSPENDING"), {}),
    (3, "the API does not accept it (401", lambda c: setattr(c.sha, "keys", [{"key": "x", "secret": "y"}]), {}),
    (3, "does not say whether it does (503", lambda c: c.sha.statuses.update(token=503), {}),
    (3, "does not say whether it does (429", lambda c: c.sha.statuses.update(facility=429), {}),
    (
        3,
        "older than the current one",
        lambda c: c.world.versions.update(AWSPENDING=("n" * 32, GOOD_KEY, ago(days=91))),
        {},
    ),
    (3, "does not say that it refuses the current version (503", lambda c: setattr(c.sha, "failing_key", OLD_KEY), {}),
    (3, "Could not read the current value", lambda c: set_current(c, {"wrong": "form"}), {}),
    (3, "The current version works", lambda c: setattr(c.sha, "keys", [GOOD_KEY, OLD_KEY]), {}),
    (3, "Could not read the new value", lambda c: c.world.broken.add("GetSecretValue"), {}),
]


@pytest.mark.parametrize(("number", "words", "spoil", "args"), REFUSALS, ids=[item[1][:30] for item in REFUSALS])
def test_refuses_and_the_control_does_not(
    claims: Claims, number: int, words: str, spoil: Callable[[Claims], Any], args: Json
) -> None:
    case = CASES[number]
    case.prepare(claims)
    control = claims.change(case.module, check=True, **case.args)
    assert control["outcome"] == "planned", control["msg"]

    spoil(claims)
    result = claims.change(case.module, **{**case.args, **args})

    assert result["outcome"] == "refused", result
    assert any(words in reason for reason in result["refusals"]), result["refusals"]
    assert arrived(claims) == 0


@pytest.mark.parametrize("moves", [True, False], ids=["the label moves", "the control"])
def test_the_version_that_is_tried_is_the_one_that_would_be_promoted(claims: Claims, moves: bool) -> None:
    """The label moves to a good key, after the labels were read: what they said before is a key that is refused."""
    expired(claims)
    bad = ("b" * 32, {"key": "x", "secret": "untried"}, ago(hours=2))
    good = claims.world.versions["AWSPENDING"]
    if moves:
        claims.world.versions["AWSPENDING"] = bad
    read = claims.world.secretsmanager_GetSecretValue

    def moved(params: Json) -> Json:
        claims.world.versions |= {"AWSPENDING": good, "unlabelled": bad}
        return read(params)

    claims.world.secretsmanager_GetSecretValue = moved  # type: ignore[method-assign]
    result = claims.change("secret_version_stage")
    assert (result["refused"], len(claims.world.mutations)) == ((True, 0) if moves else (False, 1)), result["msg"]


def test_what_was_let_go_is_taken_back_whatever_the_breaker_is(claims: Claims) -> None:
    """Only where it is turned on beside this: else what is deferred would be forgotten."""
    claims.outbox.add("ready", 7)
    claims.provider.flags.pop(CIRCUIT)
    assert claims.change("claim_deferral")["outcome"] == "refused"
    result = claims.change("claim_deferral", held=True)
    assert (result["outcome"], claims.outbox.states()["deferred"]) == ("ok", 7)


class TestReconciliation:
    """What is written down of each claim, how fast the payer is asked, and where it stops."""

    def test_each_claim_gets_the_payers_own_word(self, claims: Claims) -> None:
        in_doubt(claims)
        claims.change("claim_reconciliation", settle_after_s=120)
        ten = claims.outbox.claims[40:]
        assert [claim.state for claim in ten].count("acked") == 6
        assert [claim.state for claim in ten].count("rejected") == 1
        assert [claim.state for claim in ten].count("deferred") == 3, "what is absent waits for a redrive"
        result = claims.read("claim_ledger", settle_after_s=120)
        assert result["reconciliation"]["duplicates"] == 1
        assert result["reconciliation"]["add_up"] is True
        assert result["unknown"] == 0

    def test_a_question_a_second_and_no_faster(self, claims: Claims, no_waiting: list[float]) -> None:
        in_doubt(claims)
        claims.change("claim_reconciliation", settle_after_s=120)
        assert len(claims.sha.asked("status")) == 10
        assert sum(no_waiting) == pytest.approx(10.0), "the first waits, too: the batch before may have ended just now"
        assert max(no_waiting) == pytest.approx(1.0)

    def test_the_clock_of_the_environment_counts(self, claims: Claims, no_waiting: list[float]) -> None:
        claims.run_change.environment["time_factor"] = 10.0
        in_doubt(claims)
        claims.change("claim_reconciliation", settle_after_s=120)
        assert sum(no_waiting) == pytest.approx(1.0)

    def test_at_429_it_stops_and_keeps_what_was_told(self, claims: Claims) -> None:
        in_doubt(claims)
        claims.sha.throttle_after = 4
        result = claims.change("claim_reconciliation", settle_after_s=120)
        assert (result["outcome"], result["stopped"]) == ("ok", "the payer asks for less (429)")
        assert len(claims.sha.asked("status")) == 5
        assert claims.outbox.states()["unknown"] == 6

        again = claims.change("claim_reconciliation", settle_after_s=120)
        assert (again["outcome"], len(claims.outbox.sent)) == ("failed", 1)
        assert len(claims.sha.asked("status")) == 6, "one more question, and no more"

    def test_a_batch_is_one_statement(self, claims: Claims) -> None:
        in_doubt(claims)
        result = claims.change("claim_reconciliation", settle_after_s=120, batch=3)
        assert (result["outcome"], result["stopped"], claims.outbox.states()["unknown"]) == ("ok", "", 7)
        assert len(claims.outbox.sent) == 1

    def test_the_server_itself_takes_no_young_claim_for_absent(self, claims: Claims) -> None:
        """The module says how old it must be, as the payer has it and at the clock of the environment."""
        claims.run_change.environment["time_factor"] = 10.0
        in_doubt(claims)
        claims.change("claim_reconciliation", settle_after_s=300)
        assert claims.outbox.sent[0][1]["older_than_s"] == pytest.approx(30.0)

    @pytest.mark.parametrize("status", [404, 500])
    def test_an_answer_that_says_nothing_leaves_the_claim_in_doubt(self, claims: Claims, status: int) -> None:
        in_doubt(claims)
        claims.sha.statuses["status"] = status
        result = claims.change("claim_reconciliation", settle_after_s=120)
        assert result["outcome"] == "failed"
        assert (claims.outbox.states()["unknown"], claims.outbox.sent) == (10, [])


class TestRedrive:
    """The ladder against the outbox."""

    def finish(self, claims: Claims, outcome: str = "acked", state: str = "acked") -> None:
        for claim in claims.outbox.claims:
            if claim.state == "ready" and claim.step:
                claim.state, claim.outcome, claim.sent = state, outcome, state != "deferred"

    def test_every_step_in_its_turn(self, claims: Claims) -> None:
        waiting(claims)
        released = []
        for step in range(1, 8):
            if step == 7:
                hold(claims, on=False)
            result = claims.change("claim_redrive", step=step, step_minutes=1)
            assert result["outcome"] == "ok", result["msg"]
            released.append(result["diff"]["after"]["released"])
            self.finish(claims)
        assert released == [1, 5, 6, 15, 30, 60, 83]
        assert claims.outbox.states() == {"acked": 240}
        rates = [values["per_second"] for _statement, values in claims.outbox.sent]
        assert rates == pytest.approx([0.1, 0.1, 0.1, 0.25, 0.5, 1.0, 0.5])

    def test_a_later_step_lets_no_more_go_than_the_first_when_none_was_taken(self, claims: Claims) -> None:
        hold(claims)
        for step in (1, 2, 3):
            assert claims.change("claim_redrive", step=step)["outcome"] == "noop"
        claims.outbox.add("deferred", 9)
        result = claims.change("claim_redrive", step=4)
        assert result["diff"]["after"] == {"step": 4, "released": 1}
        assert claims.outbox.sent[0][1]["per_second"] == pytest.approx(0.1)

    @pytest.mark.parametrize(
        ("outcome", "state"),
        [("throttled", "deferred"), ("timeout", "unknown"), ("rejected", "rejected"), ("unauthorized", "deferred")],
    )
    def test_a_bad_step_is_the_last_one(self, claims: Claims, outcome: str, state: str) -> None:
        waiting(claims)
        claims.change("claim_redrive", step=1)
        self.finish(claims, outcome, state)
        assert claims.change("claim_redrive", step=2)["refused"] is True
        assert len(claims.outbox.sent) == 1

    def test_the_wait_ends_when_all_have_their_answers(self, claims: Claims) -> None:
        waiting(claims)
        claims.change("claim_redrive", step=1)
        self.finish(claims)
        result = claims.read("claim_redrive_settled", step=1, timeout=60)
        assert (result["settled"], result["counts"]) == (True, {"acked": 1})

    def test_the_wait_says_at_once_when_it_goes_badly(self, claims: Claims, no_waiting: list[float]) -> None:
        waiting(claims)
        claims.outbox.claims[40].state = "ready"
        claims.outbox.claims[40].step = f"{RUN}/2"
        claims.outbox.claims[41].step, claims.outbox.claims[41].outcome = f"{RUN}/2", "throttled"
        result = claims.read("claim_redrive_settled", step=2, timeout=60)
        assert result["settled"] is False
        assert "429" in result["stop"][0]
        assert no_waiting == []

    def test_the_wait_is_bounded(self, claims: Claims, no_waiting: list[float]) -> None:
        waiting(claims)
        claims.change("claim_redrive", step=1)
        result = claims.read("claim_redrive_settled", step=1, timeout=60)
        assert result["settled"] is False
        assert "no answer after 60 s" in result["stop"][0]
        assert sum(no_waiting) == pytest.approx(60.0)

    def test_what_was_not_sent_is_taken_back(self, claims: Claims) -> None:
        waiting(claims)
        claims.change("claim_redrive", step=1)
        result = claims.change("claim_deferral")
        assert (result["outcome"], claims.outbox.states()["deferred"]) == ("ok", 200)

    def test_in_check_mode_there_is_nothing_to_wait_for(self, claims: Claims) -> None:
        assert claims.read("claim_redrive_settled", check=True, step=1, timeout=60)["settled"] is True


def test_the_server_itself_refuses_while_an_outcome_is_unknown(claims: Claims) -> None:
    """One that becomes unknown between the look and the call: the statement fails, and it is known not to be done."""
    waiting(claims)
    change = claims.run_change.change("claim_redrive", {"claims_api": dict(claims.settings), "step": 1})
    look = change.observe

    def observe() -> Json:
        found = look()
        claims.outbox.claims[0].state = "unknown"
        return found

    change.observe = observe  # type: ignore[method-assign]
    result = execute_change(change, change.clients, claims.run_change.session, check_mode=False)
    claims.clean(result)
    assert result["outcome"] == "failed"
    assert claims.outbox.states()["deferred"] == 200
