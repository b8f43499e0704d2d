"""The one way to change anything, tried with a small change: one parameter in an account in memory."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change, State, execute_change
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import JOURNAL, Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._step_lines import Steps, sort_out

from .conftest import ENVIRONMENT, REGION, TABLE, Wire, account, stamp

NAME = "/daily-emr/staging/limit"


class Limit(Change):
    """Sets one parameter; refuses numbers above nine."""

    name: ClassVar[str] = "limit"
    spec: ClassVar[dict[str, Any]] = {"value": {"type": "str", "required": True}}

    @property
    def target(self) -> str:
        return f"parameter{NAME}"

    def observe(self) -> State:
        found = self.clients.read("ssm").get_parameter(Name=NAME)["Parameter"]
        return {"value": found["Value"], "context": {"version": found["Version"]}}

    def wanted(self, before: State) -> State:
        return {"value": self.params["value"]}

    def refusals(self, before: State) -> list[str]:
        return [f"{self.params['value']} is above 9: choose less."] if int(self.params["value"]) > 9 else []

    def apply(self, before: State) -> None:
        client = self.clients.write("ssm", "PutParameter")
        client.put_parameter(Name=NAME, Value=self.params["value"], Type="String", Overwrite=True)

    def resources(self, before: State) -> list[str]:
        return [self.clients.environment.arn("ssm", f"parameter{NAME}")]

    def inverse(self, before: State) -> dict[str, Any] | str:
        return {"module": "daily_emr.ops.limit", "args": {"value": before["value"]}}


class Instant:
    """A clock that only goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def parameter(aws: None) -> None:  # noqa: ARG001  # for its effect
    account("ssm").put_parameter(Name=NAME, Value="2", Type="String")


def live() -> str:
    return str(account("ssm").get_parameter(Name=NAME)["Parameter"]["Value"])


def do(
    clients: Clients, session: Session | None, value: str = "5", kind: type[Limit] = Limit, check_mode: bool = False
) -> dict[str, Any]:
    clock = Instant()
    change = kind({"value": value}, clients)
    return execute_change(change, clients, session, check_mode=check_mode, clock=clock, sleep=clock.sleep)


def kinds(session: Session) -> list[str]:
    return [line["kind"] for line in Journal.of(session).read()]


def mutations(wire: Wire) -> list[str]:
    return [name for name in wire.sent if name in ("PutParameter", "TransactWriteItems", "PutItem", "UpdateItem")]


def test_check_apply_check_again_and_apply_again(clients: Clients, wire: Wire, leased: Session) -> None:
    planned = do(clients, leased, check_mode=True)
    assert (planned["changed"], planned["outcome"], live()) == (True, "planned", "2")
    assert mutations(wire) == []

    done = do(clients, leased)
    assert (done["changed"], done["outcome"], live()) == (True, "ok", "5")
    assert done["diff"] == planned["diff"] == {"before": {"value": "2"}, "after": {"value": "5"}}
    assert done["undo"] == {"module": "daily_emr.ops.limit", "args": {"value": "2"}}
    assert wire.count("PutParameter") == 1

    for check_mode in (True, False):
        again = do(clients, leased, check_mode=check_mode)
        assert (again["changed"], again["outcome"], "failed" in again) == (False, "noop", False)
    assert wire.count("PutParameter") == 1


def test_what_it_predicts_is_in_plan_result_and_journal_and_nowhere_when_nothing_is_to_be_done(
    clients: Clients, wire: Wire, leased: Session
) -> None:
    class Costly(Limit):
        def prediction(self, before: State) -> list[str]:
            return [f"It costs {before['value']} minutes."]

    for check_mode in (True, False):
        assert do(clients, leased, kind=Costly, check_mode=check_mode)["prediction"] == ["It costs 2 minutes."]
    assert do(clients, leased, kind=Costly)["prediction"] == []
    assert do(clients, leased, "10", kind=Costly)["prediction"] == ["It costs 5 minutes."]
    journalled = [(line["kind"], line["prediction"]) for line in Journal.of(leased).read()]
    assert journalled[:3] == [(kind, ["It costs 2 minutes."]) for kind in ("looked", "intent", "outcome")]
    assert wire.count("PutParameter") == 1


@pytest.mark.usefixtures("wire")
def test_a_request_past_aws_is_counted_and_never_declared_twice(clients: Clients) -> None:
    clients.declare("postgres", "pg_cancel_backend")
    with pytest.raises(Refused, match="was already sent"):
        clients.declare("postgres", "pg_cancel_backend")
    assert clients.sent == ["postgres:pg_cancel_backend"]


def test_the_order_on_the_wire_is_guard_read_intent_change_read_record(
    clients: Clients, wire: Wire, session: Session
) -> None:
    owner = f"wanjiru@{socket.gethostname()}"
    LeaseStore(clients, TABLE).acquire("emr-web", owner, session.id, session.run, 0, 120)
    fresh, wire.sent = Clients(Environment.from_params(ENVIRONMENT), environ={}), []

    do(fresh, replace(session, fence=1, owner=owner, lease_seconds=120, plan="planned_work"))

    assert sorted(wire.sent[:2]) == ["GetCallerIdentity", "GetParameter"]
    assert wire.sent[2:] == [
        *("GetParameter", "TransactWriteItems", "AssumeRole"),
        *("PutParameter", "GetParameter", "PutItem"),
    ]


def test_the_intent_is_on_the_disk_and_in_the_table_before_the_change_is_sent(
    clients: Clients, wire: Wire, leased: Session
) -> None:
    seen: list[Any] = []

    def look(operation: str) -> None:
        if operation == "PutParameter":
            lines = [json.loads(text) for text in (leased.folder / JOURNAL).read_text().splitlines()]
            table = account("dynamodb").scan(TableName=TABLE)["Items"]
            seen.append(
                (lines[-1]["kind"], lines[-1]["diff"]["after"], [item["kind"]["S"] for item in table if "kind" in item])
            )

    wire.watchers.append(look)
    do(clients, leased)

    assert seen == [("intent", {"value": "5"}, ["intent"])]
    assert kinds(leased) == ["intent", "outcome"]


def test_nothing_is_sent_when_the_intent_cannot_be_written(
    clients: Clients, wire: Wire, leased: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: Any, **_body: Any) -> None:
        raise Refused("The journal cannot be written (No space left on device): make room on the disk.")

    monkeypatch.setattr(Journal, "append", full)
    result = do(clients, leased)

    assert (result["outcome"], result["refused"]) == ("refused", True)
    assert mutations(wire) == []


def test_a_reply_that_is_lost_after_it_was_done_counts_as_done_and_is_not_sent_again(
    clients: Clients, wire: Wire, leased: Session
) -> None:
    wire.lose_reply("PutParameter")

    result = do(clients, leased)

    assert (result["outcome"], result["changed"], "failed" in result, live()) == ("ok", True, False, "5")
    assert "The reply was lost, but a fresh read shows" in result["msg"]
    assert wire.count("PutParameter") == 1


def test_a_request_that_is_lost_before_it_was_done_is_unknown_and_not_sent_again(
    clients: Clients, wire: Wire, leased: Session
) -> None:
    wire.lose_request("PutParameter")

    result = do(clients, leased)

    assert (result["outcome"], result["failed"], live()) == ("unknown", True, "2")
    assert "Nobody can say whether limit was done" in result["msg"]
    assert wire.count("PutParameter") == 1
    assert kinds(leased) == ["intent", "outcome"]


def test_a_change_that_shows_late_is_waited_for(clients: Clients, wire: Wire, leased: Session) -> None:
    class Late(Limit):
        reads = 0

        def observe(self) -> State:
            self.reads += 1
            return {"value": "2"} if self.reads < 5 else super().observe()

    wire.lose_reply("PutParameter")

    assert do(clients, leased, kind=Late)["outcome"] == "ok"


@pytest.mark.usefixtures("wire")
def test_an_answer_that_says_ok_while_nothing_changes_is_not_believed(clients: Clients, leased: Session) -> None:
    class Hollow(Limit):
        def apply(self, before: State) -> None:
            client = self.clients.write("ssm", "PutParameter")
            client.put_parameter(Name=f"{NAME}-elsewhere", Value="5", Type="String")

    result = do(clients, leased, kind=Hollow)

    assert (result["outcome"], result["failed"]) == ("unknown", True)
    assert "the call was accepted" in result["msg"]


def test_reads_that_fail_after_the_change_leave_it_unknown(clients: Clients, wire: Wire, leased: Session) -> None:
    wire.watchers.append(lambda name: wire.lose_request("GetParameter", 500) if name == "PutParameter" else None)

    result = do(clients, leased)

    assert (result["outcome"], live()) == ("unknown", "5")


def test_a_call_that_cannot_reach_aws_failed_and_is_looked_at_once(
    clients: Clients, wire: Wire, leased: Session
) -> None:
    wire.unreachable("PutParameter")

    result = do(clients, leased)

    assert (result["outcome"], result["failed"], result["changed"], live()) == ("failed", True, False, "2")
    assert wire.sent[-3:] == ["PutParameter", "GetParameter", "PutItem"]


def test_a_call_that_fails_because_somebody_else_did_it_leaves_nothing_to_do(
    clients: Clients, wire: Wire, leased: Session
) -> None:
    class Overtaken(Limit):
        def apply(self, before: State) -> None:
            account("ssm").put_parameter(Name=NAME, Value="5", Type="String", Overwrite=True)
            super().apply(before)

    wire.unreachable("PutParameter")

    result = do(clients, leased, kind=Overtaken)

    assert (result["outcome"], result["changed"], "failed" in result, live()) == ("noop", False, False, "5")
    assert "limit was not done: " in result["msg"]
    assert result["msg"].endswith(f"A fresh read shows parameter{NAME} as wanted, without it.")
    assert sort_out([Journal.of(leased).read()]) == Steps()


def test_a_call_that_failed_is_no_less_failed_when_nobody_can_look(
    clients: Clients, wire: Wire, leased: Session
) -> None:
    class Blind(Limit):
        def apply(self, before: State) -> None:
            wire.unreachable("GetParameter")
            super().apply(before)

    wire.unreachable("PutParameter")

    result = do(clients, leased, kind=Blind)

    assert (result["outcome"], result["failed"], live()) == ("failed", True, "2")


def test_a_fault_of_our_own_after_the_call_is_settled_by_looking(clients: Clients, wire: Wire, leased: Session) -> None:
    class Broken(Limit):
        def apply(self, before: State) -> None:
            super().apply(before)
            raise KeyError("a value that must not be shown")

    result = do(clients, leased, kind=Broken)

    assert (result["outcome"], live(), wire.count("PutParameter")) == ("ok", "5", 1)
    assert "must not be shown" not in json.dumps(result)


def test_a_change_that_tries_a_second_call_is_stopped_there(clients: Clients, wire: Wire, leased: Session) -> None:
    class Greedy(Limit):
        def apply(self, before: State) -> None:
            client = self.clients.write("ssm", "PutParameter")
            client.put_parameter(Name=NAME, Value="4", Type="String", Overwrite=True)
            client.put_parameter(Name=NAME, Value="5", Type="String", Overwrite=True)

    result = do(clients, leased, kind=Greedy)

    assert (wire.count("PutParameter"), live(), result["outcome"]) == (1, "4", "unknown")


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_refusal_fails_and_says_what_to_do_in_check_mode_too(
    clients: Clients, wire: Wire, leased: Session, check_mode: bool
) -> None:
    result = do(clients, leased, "10", check_mode=check_mode)

    assert (result["failed"], result["refused"], result["changed"]) == (True, True, False)
    assert result["refusals"] == ["10 is above 9: choose less."]
    assert result["msg"] == "10 is above 9: choose less."
    assert mutations(wire) == []
    assert kinds(leased) == ["looked" if check_mode else "refused"]


@pytest.mark.parametrize("opened", [True, False])
def test_without_a_lease_nothing_is_changed(clients: Clients, wire: Wire, session: Session, opened: bool) -> None:
    result = do(clients, session if opened else None)

    assert "has no lease: run the runbook from its start." in result["msg"]
    assert (result["refused"], live(), mutations(wire)) == (True, "2", [])


def test_who_lost_the_lease_meanwhile_changes_nothing(clients: Clients, wire: Wire, leased: Session) -> None:
    store = LeaseStore(clients, TABLE)
    clock = Instant()
    LeaseStore(clients, TABLE, clock=clock, sleep=clock.sleep).acquire(
        "emr-web", "otieno@desk", "INC-2", "run-2", 1, 120, "the other laptop died"
    )

    result = do(clients, leased)

    assert "emr-web is being worked on by otieno@desk" in result["msg"]
    assert (result["refused"], live(), wire.count("PutParameter")) == (True, "2", 0)
    assert store.peek("emr-web").fence == 2


@pytest.mark.usefixtures("wire")
def test_without_the_condition_on_the_lease_the_same_run_would_change_it(
    clients: Clients, leased: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above."""
    clock = Instant()
    LeaseStore(clients, TABLE, clock=clock, sleep=clock.sleep).acquire(
        "emr-web", "otieno@desk", "INC-2", "run-2", 1, 120, "the other laptop died"
    )
    monkeypatch.setattr(LeaseStore, "record_intent", lambda *_args: float("inf"))

    assert (do(clients, leased)["outcome"], live()) == ("ok", "5")


def test_a_process_that_was_stopped_after_its_intent_sends_nothing(
    clients: Clients, wire: Wire, leased: Session
) -> None:
    class Paused(LeaseStore):
        def left(self, until: float) -> float:
            self._clock = lambda: until + 1
            return super().left(until)

    result = execute_change(
        Limit({"value": "5"}, clients), clients, leased, check_mode=False, store=Paused(clients, TABLE)
    )

    assert "ran out before the call was sent" in result["msg"]
    assert (result["outcome"], live(), wire.count("PutParameter")) == ("refused", "2", 0)


def test_an_unreachable_table_means_no_change(clients: Clients, wire: Wire, leased: Session) -> None:
    wire.unreachable("TransactWriteItems")

    result = do(clients, leased)

    assert "does not answer, and nothing is changed without it" in result["msg"]
    assert (result["outcome"], live(), wire.count("PutParameter")) == ("refused", "2", 0)


def test_a_change_that_was_made_is_not_called_failed_because_its_record_was_lost(
    clients: Clients, wire: Wire, leased: Session
) -> None:
    wire.unreachable("PutItem")

    result = do(clients, leased)

    assert (result["outcome"], "failed" in result) == ("ok", False)
    assert "The outcome was not written down everywhere" in result["warnings"][0]
    assert kinds(leased) == ["intent", "outcome"]


def test_a_state_that_cannot_be_read_is_not_changed(clients: Clients, wire: Wire, leased: Session) -> None:
    clients.prove()
    wire.lose_request("GetParameter", 500)

    result = do(clients, leased)

    assert (result["outcome"], wire.count("PutParameter")) == ("failed", 0)
    assert result["msg"].startswith("Nothing was changed, because a read failed:")


def test_the_wrong_environment_is_refused_before_the_state_is_read(wire: Wire, leased: Session) -> None:
    stamp({"environment": "production", "account_id": "123456789012", "region": REGION})
    fresh = Clients(Environment.from_params(ENVIRONMENT), environ={})
    wire.sent.clear()

    result = do(fresh, leased)

    assert result["refused"]
    assert set(wire.sent) == {"GetCallerIdentity", "GetParameter"}
    assert wire.count("PutParameter") == 0
