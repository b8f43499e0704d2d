"""Broken glass for the table of the leases: only where it gives no answer, never for what it says, and written down."""

from __future__ import annotations

import fcntl
import json
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import (
    _break_glass,
    _changes,
    _lease,
    _without_table,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._break_glass import BreakGlass, how_without_table
from ansible_collections.daily_emr.ops.plugins.module_utils._calls import as_call_error, unanswered
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused, Unanswered
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._machine_lock import MachineLock
from ansible_collections.daily_emr.ops.plugins.modules import change_stop, incident
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError, SSLError

from .conftest import TABLE, Wire, account
from .test_changes import NAME, do, live
from .test_halts import NOBODY, House

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

GLASS = {"break_glass": ["lease_table:OPS-7"]}
TABLE_CALLS = ("GetItem", "PutItem", "UpdateItem", "TransactWriteItems", "Query")
WRITES = {"PutItem", "UpdateItem", "TransactWriteItems", "PutParameter"}


@pytest.fixture(autouse=True)
def parameter(aws: None) -> None:  # noqa: ARG001  # for its effect
    account("ssm").put_parameter(Name=NAME, Value="2", Type="String")


@pytest.fixture
def house(wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:  # noqa: ARG001  # for its effect
    return House(tmp_path, monkeypatch)


def silent(wire: Wire) -> None:
    for operation in TABLE_CALLS:
        wire.unreachable(operation, 1000)


def heard(wire: Wire) -> None:
    wire.faults.clear()


def opened(house: House, **options: Any) -> dict[str, Any]:
    """A run from its real opening, in which the change of the parameter was looked at."""
    about = {"runbook": "app_outage", "title": "It is down", "component": "emr-web", "continues": True}
    done = house.call(incident, state="open", incident=None, **about, **options)
    if not done.get("failed"):
        house.session = Session.from_params(done["incident"]) or house.session
        Journal.of(house.session).append("decided", verdict="cause", cause="bad_limit", sentence="It is the limit.")
        do(house.clients(), house.session, "5", check_mode=True)
    return done


def lines_of(house: House, kind: str) -> list[dict[str, Any]]:
    return [line for line in Journal.of(house.session).read() if line["kind"] == kind]


def mirrored() -> set[str]:
    items = account("dynamodb").scan(TableName=TABLE)["Items"]
    return {item["kind"]["S"] for item in items if item["pk"]["S"].startswith("incident#")}


def test_without_glass_a_table_that_is_silent_from_the_beginning_stops_everything(house: House, wire: Wire) -> None:
    silent(wire)
    refused = opened(house)
    assert refused["refused"]
    assert "does not answer, and nothing is changed without it" in refused["msg"]
    assert "--break-glass lease_table:REASON" in refused["msg"]
    assert WRITES.isdisjoint(wire.sent)


def test_with_glass_exactly_the_planned_change_is_sent_and_everything_unchecked_is_said(
    house: House, wire: Wire
) -> None:
    silent(wire)
    said = [opened(house, **GLASS), house.plan(NOBODY, **GLASS), house.lease(**GLASS)]
    for told, unchecked in zip(said, (_without_table.HOLDER, _without_table.HALTS, _without_table.LEASE), strict=True):
        (warning,) = told["warnings"]
        assert warning.startswith(f"Broken glass: lease_table (OPS-7). Not checked: {unchecked}. Tell everybody")

    assert do(house.clients(), house.session)["outcome"] == "ok"
    assert (live(), wire.count("PutParameter")) == ("5", 1)
    assert "plan again" in do(house.clients(), house.session, "6")["msg"], "the plan is a contract as ever"
    assert wire.count("PutParameter") == 1

    ended = house.close()
    record = json.loads(Path(ended["record"]).read_text())
    for part in ("the switch that stops all changes", "its fence number", "Tell everybody who may work on emr-web"):
        assert part in record["sentence"]
    assert [(one["rule"], one["reason"], one["operator"]) for one in record["broken_glass"]] == [
        ("lease_table", "OPS-7", "wanjiru")
    ] * 3
    (intent,) = lines_of(house, "intent")
    assert (intent["break_glass"], intent["fence"], intent["plan"]) == ("lease_table", None, house.session.plan)
    assert lines_of(house, "outcome")[0]["break_glass"] == "lease_table"
    assert "is on this machine alone" in ended["warnings"][0]


def test_the_table_that_answers_again_gets_the_journal_and_the_rest_of_the_component(house: House, wire: Wire) -> None:
    silent(wire)
    opened(house, **GLASS)
    house.plan(NOBODY, **GLASS)
    house.lease(**GLASS)
    do(house.clients(), house.session)
    heard(wire)
    assert mirrored() == set()

    assert not house.close().get("warnings")
    assert mirrored() == {"opened", "break_glass", "intent", "outcome", "closed"}
    changed = LeaseStore(house.clients(), TABLE).last_change("emr-web")
    assert changed["incident"]["S"] == house.session.id


def test_a_lease_whose_taking_got_no_reply_is_given_back_at_the_end(house: House, wire: Wire) -> None:
    opened(house, **GLASS)
    house.plan(NOBODY, **GLASS)
    wire.lose_reply("UpdateItem")
    for operation in ("GetItem",) * 10:
        wire.faults.setdefault(operation, [])
    peeked = iter((False,))  # the first look of the taking is answered, the look behind the lost reply is not

    def watch(operation: str) -> None:
        if operation == "UpdateItem" and next(peeked, True) is False:
            wire.unreachable("GetItem", 10)

    wire.watchers.append(watch)
    assert "Broken glass" in house.lease(**GLASS)["msg"]
    wire.watchers.clear()
    heard(wire)
    assert LeaseStore(house.clients(), TABLE).peek("emr-web").held
    assert do(house.clients(), house.session)["outcome"] == "ok", "held by nobody else"
    house.close()
    assert not LeaseStore(house.clients(), TABLE).peek("emr-web").held


@pytest.mark.parametrize("when", ["open", "lease"])
def test_a_lease_that_somebody_holds_is_no_silence(house: House, wire: Wire, when: str) -> None:
    store = LeaseStore(house.clients(), TABLE)
    if when == "open":
        store.acquire("emr-web", "amina@there", "INC-9", "run-9", 0, 120)
        assert "is being worked on by amina@there" in opened(house, **GLASS)["msg"]
    else:
        opened(house, **GLASS)
        house.plan(NOBODY, **GLASS)
        store.acquire("emr-web", "amina@there", "INC-9", "run-9", 0, 120)
        assert "is being worked on by amina@there" in house.lease(**GLASS)["msg"]
        assert do(house.clients(), house.session)["refused"]
    assert wire.count("PutParameter") == 0


def test_a_holder_that_was_seen_before_the_table_fell_silent_is_not_passed_over(house: House, wire: Wire) -> None:
    LeaseStore(house.clients(), TABLE).acquire("emr-web", "amina@there", "INC-9", "run-9", 0, 120)
    opened(house, take_over="OPS-1", **GLASS)
    house.plan(NOBODY, **GLASS)
    silent(wire)
    taken = house.lease(take_over="OPS-1", **GLASS)
    assert "emr-web was being worked on by amina@there" in taken["msg"]
    assert taken["refused"]


def test_what_the_table_says_at_a_step_counts_though_the_glass_is_broken(house: House, wire: Wire) -> None:
    silent(wire)
    opened(house, **GLASS)
    house.plan(NOBODY, **GLASS)
    house.lease(**GLASS)
    heard(wire)
    store = LeaseStore(house.clients(), TABLE)
    theirs = store.acquire("emr-web", "amina@there", "INC-9", "run-9", 0, 120)
    assert "is being worked on by amina@there" in do(house.clients(), house.session)["msg"]

    store.release(theirs)
    assert house.call(change_stop, state="present", reason="AWS answers wrongly")["outcome"] == "ok"
    assert "All changes are stopped by wanjiru" in do(house.clients(), house.session)["msg"]
    assert wire.count("PutParameter") == 0


def test_a_no_whose_reason_cannot_be_read_is_no_silence(house: House, wire: Wire) -> None:
    silent(wire)
    opened(house, **GLASS)
    house.plan(NOBODY, **GLASS)
    house.lease(**GLASS)
    heard(wire)
    LeaseStore(house.clients(), TABLE).acquire("emr-web", "amina@there", "INC-9", "run-9", 0, 120)
    wire.unreachable("GetItem", 100)  # the transaction is answered with no, and the question why with nothing
    assert do(house.clients(), house.session)["refused"]
    assert (live(), wire.count("PutParameter")) == ("2", 0)


def test_a_lease_that_is_lost_in_the_middle_is_no_silence_either(house: House, wire: Wire) -> None:
    opened(house, **GLASS)
    house.plan(NOBODY, **GLASS)
    house.lease(**GLASS)
    store = LeaseStore(house.clients(), TABLE)
    store.release(_lease.Lease.of(house.session))
    assert "is no longer held by this run" in do(house.clients(), house.session)["msg"]
    silent(wire)
    assert do(house.clients(), house.session)["refused"], "no glass was broken for it, so none is"
    assert wire.count("PutParameter") == 0


def test_in_production_no_glass_is_broken_for_it(house: House, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's name is proven by the fingerprint; one that nobody listed is as strict."""
    monkeypatch.setattr(_break_glass, "WITHOUT_TABLE", frozenset({"sandbox"}))
    silent(wire)
    assert "it takes a second person" in how_without_table("production")
    refused = opened(house, **GLASS)
    assert refused["refused"]
    assert "There is no glass to break for it in staging" in refused["msg"]
    assert not BreakGlass({"lease_table": "OPS-7"}, "production").lifts("lease_table")


def test_production_is_not_among_those_where_one_person_may() -> None:
    assert "production" not in _break_glass.WITHOUT_TABLE


def test_planned_work_and_a_session_that_only_says_so_change_nothing(house: House, wire: Wire) -> None:
    silent(wire)
    opened(house, **GLASS)
    house.plan(NOBODY, **GLASS)
    assert house.lease(contract=False, **GLASS)["refused"]
    forged = replace(house.session, owner="x", lease_seconds=120)
    for session in (forged, replace(forged, plan="planned_work"), replace(forged, fence=0)):
        assert do(house.clients(), session)["refused"]
    assert (live(), wire.count("PutParameter")) == ("2", 0)


def test_the_control_without_its_two_guards_a_run_that_broke_no_glass_for_the_lease_goes_through(
    house: House, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent(wire)
    opened(house, **GLASS)
    house.plan(NOBODY, **GLASS)
    forged = replace(house.session, owner="x", lease_seconds=120)
    assert "has no lease" in do(house.clients(), forged)["msg"]
    stand_in = _lease.Lease("emr-web", "x", forged.id, forged.run, _lease.NO_FENCE, 120)
    monkeypatch.setattr(_changes, "permitted_lease", lambda *_given: stand_in)
    assert "is no longer claimed by this run, on this machine" in do(house.clients(), forged)["msg"]
    monkeypatch.setattr(MachineLock, "changing", lambda *_given, **_more: nullcontext())
    assert do(house.clients(), forged)["outcome"] == "ok"
    assert wire.count("PutParameter") == 1


@pytest.mark.parametrize("answers", ["held", "stopped"])
def test_the_control_a_store_that_takes_every_no_for_silence_lets_it_through(
    house: House, wire: Wire, monkeypatch: pytest.MonkeyPatch, answers: str
) -> None:
    silent(wire)
    opened(house, **GLASS)
    house.plan(NOBODY, **GLASS)
    house.lease(**GLASS)
    heard(wire)
    if answers == "held":
        LeaseStore(house.clients(), TABLE).acquire("emr-web", "amina@there", "INC-9", "run-9", 0, 120)
    else:
        house.call(change_stop, state="present", reason="AWS answers wrongly")
    assert do(house.clients(), house.session)["refused"]
    monkeypatch.setattr(_changes, "Unanswered", Refused)
    assert do(house.clients(), house.session)["outcome"] == "ok"
    assert wire.count("PutParameter") == 1


def test_the_table_that_answers_before_the_lease_sends_the_run_back_to_its_beginning(house: House, wire: Wire) -> None:
    silent(wire)
    opened(house, **GLASS)
    house.plan(NOBODY, **GLASS)
    heard(wire)
    assert "The lease table answers again" in house.lease(**GLASS)["msg"]
    assert not LeaseStore(house.clients(), TABLE).peek("emr-web").held


def test_two_runs_of_this_machine_exclude_each_other(house: House, wire: Wire) -> None:
    silent(wire)
    opened(house, **GLASS)
    house.plan(NOBODY, **GLASS)
    house.lease(**GLASS)
    first = house.session

    opened(house, **GLASS)
    house.plan(NOBODY, **GLASS)
    refused = house.lease(**GLASS)
    assert f"on this machine, by wanjiru@{house.session.owner.partition('@')[2]}" in refused["msg"]
    assert f"for incident {first.id}, run {first.run}" in refused["msg"]
    assert not house.lease(take_over="OPS-8", **GLASS).get("failed")
    assert "is no longer claimed by this run" in do(house.clients(), first)["msg"]
    assert do(house.clients(), house.session)["outcome"] == "ok"
    house.close()
    opened(house, **GLASS)
    account("ssm").put_parameter(Name=NAME, Value="3", Type="String", Overwrite=True)
    do(house.clients(), house.session, "5", check_mode=True)
    house.plan(NOBODY, **GLASS)
    assert not house.lease(**GLASS).get("failed"), "who has closed has given it back"


def test_a_run_under_the_lease_is_told_of_one_without_the_table(house: House, wire: Wire) -> None:
    silent(wire)
    opened(house, **GLASS)
    house.plan(NOBODY, **GLASS)
    house.lease(**GLASS)
    heard(wire)
    opened(house)
    house.plan(NOBODY)
    assert "is being worked on, on this machine, by wanjiru@" in house.lease()["msg"]
    assert not LeaseStore(house.clients(), TABLE).peek("emr-web").held, "the lease is given back"


def test_a_change_that_is_under_way_here_is_waited_for_by_nobody(house: House, wire: Wire) -> None:
    silent(wire)
    opened(house, **GLASS)
    house.plan(NOBODY, **GLASS)
    house.lease(**GLASS)
    (path,) = Path(tempfile.gettempdir()).glob("daily-emr-locks-*/*.lock")
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert "is being changed in this moment, on this machine" in do(house.clients(), house.session)["msg"]
    assert do(house.clients(), house.session)["outcome"] == "ok"


def test_a_folder_of_locks_that_others_may_write_is_not_used(house: House) -> None:
    opened(house)
    house.plan(NOBODY)
    house.lease()
    (folder,) = Path(tempfile.gettempdir()).glob("daily-emr-locks-*")
    folder.chmod(0o777)
    assert "is not ours alone" in do(house.clients(), house.session)["msg"]


def client_error(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetItem")


@pytest.mark.parametrize(
    ("error", "is_silence"),
    [
        (ConnectTimeoutError(endpoint_url="x", error=None), True),
        (ReadTimeoutError(endpoint_url="x", error=None), True),
        (client_error("ThrottlingException", 400), True),
        (client_error("InternalServerError", 500), True),
        (client_error("Strange", 503), True),
        (client_error("AccessDeniedException", 400), False),
        (client_error("ResourceNotFoundException", 400), False),
        (client_error("ExpiredTokenException", 400), False),
        (client_error("ConditionalCheckFailedException", 400), False),
        (SSLError(endpoint_url="x", error=None), False),
        (KeyError("x"), False),
    ],
)
def test_only_silence_is_silence(error: Exception, is_silence: bool) -> None:
    made = as_call_error(error)
    made.__cause__ = error
    assert unanswered(made) is unanswered(error) is is_silence


def test_access_denied_is_an_answer_and_breaks_no_glass(house: House, wire: Wire) -> None:
    def denied(_request: Any) -> None:
        raise client_error("AccessDeniedException", 400)

    for operation in TABLE_CALLS:
        wire.faults[operation] = [denied] * 100
    refused = opened(house, **GLASS)
    assert refused["refused"]
    assert "AccessDeniedException" in refused["msg"]


def test_silence_is_a_refusal_for_whoever_knows_nothing_of_it(clients: Clients, wire: Wire) -> None:
    wire.unreachable("GetItem")
    with pytest.raises(Unanswered) as found:
        LeaseStore(clients, TABLE).peek("emr-web")
    assert isinstance(found.value, Refused)
