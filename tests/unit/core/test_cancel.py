"""A run that is told to stop: nothing new is sent, and what is on its way is finished and written down."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _cancel, _changes
from ansible_collections.daily_emr.ops.plugins.module_utils._cancel import (
    MARKER,
    SIGNALS,
    note_cancel,
    refuse_when_cancelled,
    signals_deferred,
    write_marker,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, read_entry
from ansible_collections.daily_emr.ops.plugins.module_utils._record import judge
from ansible_collections.daily_emr.ops.plugins.modules import incident

from .conftest import ENVIRONMENT, TABLE, Wire
from .test_changes import do, live, parameter

__all__ = ["parameter"]  # the fixture

HOSTILE = "{{ lookup('pipe', 'id') }}"


def kinds(session: Session) -> list[str]:
    return [line["kind"] for line in Journal.of(session).read()]


def at(wire: Wire, operation: str, act: Callable[[], None]) -> None:
    """Do something at the moment in which a request of that operation is sent."""
    wire.watchers.append(lambda sent: act() if sent == operation else None)


@contextmanager
def handled(*numbers: signal.Signals) -> Iterator[list[tuple[int, list[str]]]]:
    """Signals whose handler notes what the journal holds when they take effect."""
    came: list[Any] = []
    before = {number: signal.signal(number, lambda caught, _frame: came.append(caught)) for number in numbers}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("place", [lambda folder: folder, lambda folder: folder.parent], ids=["run", "incident"])
def test_a_marker_lets_no_call_be_sent(
    clients: Clients, leased: Session, wire: Wire, place: Callable[[Path], Path]
) -> None:
    write_marker(place(leased.folder), "SIGINT")

    result = do(clients, leased)

    assert (result["outcome"], result["refused"], live()) == ("refused", True, "2")
    assert "stopped by SIGINT" in result["msg"]
    assert "runbook resume INC-1" in result["msg"]
    assert wire.count("PutParameter") == wire.count("TransactWriteItems") == 0
    assert kinds(leased) == ["refused"]


def test_a_marker_of_the_incident_says_what_to_remove(leased: Session) -> None:
    write_marker(leased.folder.parent, "")
    with pytest.raises(Refused, match=r"stopped by somebody.*remove .*/cancel, then go on"):
        refuse_when_cancelled(leased)


def test_a_marker_that_comes_behind_the_intent_still_stops_the_call(
    clients: Clients, leased: Session, wire: Wire
) -> None:
    at(wire, "TransactWriteItems", lambda: write_marker(leased.folder, "SIGTERM"))

    assert do(clients, leased)["outcome"] == "refused"
    assert (wire.count("PutParameter"), live()) == (0, "2")
    assert kinds(leased) == ["intent", "refused"]


def test_a_marker_that_comes_during_the_call_lets_it_be_read_back(
    clients: Clients, leased: Session, wire: Wire
) -> None:
    at(wire, "PutParameter", lambda: write_marker(leased.folder, "SIGTERM"))

    assert (do(clients, leased)["outcome"], live()) == ("ok", "5")
    assert kinds(leased) == ["intent", "outcome"]


def test_what_a_marker_holds_is_not_repeated(leased: Session) -> None:
    write_marker(leased.folder, HOSTILE)
    with pytest.raises(Refused) as caught:
        refuse_when_cancelled(leased)
    assert HOSTILE not in caught.value.sentence


def test_a_marker_that_cannot_be_read_is_one(leased: Session) -> None:
    (leased.folder / MARKER).mkdir()
    with pytest.raises(Refused, match="stopped by somebody"):
        refuse_when_cancelled(leased)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_waits_until_the_outcome_is_journalled(
    number: signal.Signals, clients: Clients, leased: Session, wire: Wire
) -> None:
    with handled(number) as came:
        during: list[list[int]] = []
        at(wire, "PutParameter", lambda: os.kill(os.getpid(), number))
        at(wire, "GetParameter", lambda: during.append(list(came)))
        result = do(clients, leased)

    assert (result["outcome"], live()) == ("ok", "5")
    assert during[-1] == [], "not before the change was read back"
    assert came == [number], "and then it takes effect"
    assert kinds(leased) == ["intent", "outcome", "cancelled"]


def test_without_the_deferral_it_comes_in_between(
    clients: Clients, leased: Session, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above."""
    monkeypatch.setattr(_changes, "signals_deferred", lambda _noticed: nullcontext())
    with handled(signal.SIGTERM) as came:
        during: list[list[int]] = []
        at(wire, "PutParameter", lambda: os.kill(os.getpid(), signal.SIGTERM))
        at(wire, "GetParameter", lambda: during.append(list(came)))
        do(clients, leased)
    assert during[-1] == [signal.SIGTERM]


def test_a_signal_before_the_call_keeps_it_from_being_sent(clients: Clients, leased: Session, wire: Wire) -> None:
    with handled(signal.SIGTERM) as came:
        at(wire, "TransactWriteItems", lambda: os.kill(os.getpid(), signal.SIGTERM))
        result = do(clients, leased)

    assert (result["outcome"], wire.count("PutParameter"), came) == ("refused", 0, [signal.SIGTERM])
    assert kinds(leased) == ["intent", "refused", "cancelled"]


def test_the_next_change_of_the_process_is_not_stopped_by_it(clients: Clients, leased: Session, wire: Wire) -> None:
    with handled(signal.SIGTERM):
        at(wire, "PutParameter", lambda: os.kill(os.getpid(), signal.SIGTERM))
        do(clients, leased)
    assert not _cancel._pending


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        noticed: list[str] = []
        with signals_deferred(lambda: noticed.append("came")):
            os.kill(os.getpid(), signal.SIGHUP)
        assert noticed == []
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_thread_leaves_signals_alone() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with signals_deferred():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_wait_ends_at_its_next_sign_of_life(leased: Session) -> None:
    looks: list[int] = []

    def wait(_params: Any, _clients: Clients, progress: Callable[[str], None]) -> dict[str, Any]:
        for look in range(3):
            looks.append(look)
            write_marker(leased.folder, "SIGHUP")
            progress("")
        return {}

    entry = read_entry({}, wait)
    with pytest.raises(Refused, match="stopped by SIGHUP"):
        entry.run({"environment": ENVIRONMENT, "incident": leased.as_params()}, Context())
    assert looks == [0]


def test_no_reading_begins_in_a_run_that_was_stopped(leased: Session) -> None:
    write_marker(leased.folder, "SIGINT")
    entry = read_entry({}, lambda *_: pytest.fail("it began"))
    with pytest.raises(Refused):
        entry.run({"environment": ENVIRONMENT, "incident": leased.as_params()}, Context())


def test_no_lease_is_taken_for_a_run_that_was_stopped(clients: Clients, session: Session) -> None:
    Journal.of(session).append("opened", fence_seen=0)
    write_marker(session.folder, "SIGINT")
    params = {"environment": ENVIRONMENT, "incident": session.as_params(), "lease_seconds": 60, "take_over": ""}
    with pytest.raises(Refused, match="stopped by SIGINT"):
        incident.take_lease(params, session, Context())
    assert not LeaseStore(clients, TABLE).peek("emr-web").held


def test_closing_says_that_it_was_stopped_and_gives_the_lease_back(clients: Clients, leased: Session) -> None:
    Journal.of(leased).append("opened", fence_seen=0)
    write_marker(leased.folder, "SIGINT")
    params = {"environment": ENVIRONMENT, "incident": leased.as_params(), "failure": "It was stopped."}

    result = incident.close(params, leased, Context())

    assert (result["outcome"], result["exit_code"]) == ("cancelled", 8)
    assert result["sentence"] == "The run was stopped by SIGINT before anything was changed."
    assert not LeaseStore(clients, TABLE).peek("emr-web").held


def test_it_is_noted_once(leased: Session) -> None:
    write_marker(leased.folder, "SIGINT")
    note_cancel(leased)
    note_cancel(leased)
    assert kinds(leased) == ["cancelled"]


def line(seq: int, kind: str, **body: Any) -> dict[str, Any]:
    return {"seq": seq, "kind": kind, **body}


STOPPED = "The run was stopped by SIGINT."
STEP = {"step": "limit", "target": "parameter/limit"}


@pytest.mark.parametrize(
    ("lines", "failure", "outcome"),
    [
        ([], "", "cancelled"),
        ([line(2, "intent", **STEP), line(3, "refused", **STEP, msg="No.")], "No.", "cancelled"),
        ([line(2, "outcome", **STEP, outcome="ok")], "It was stopped.", "failed_partial"),
        ([line(2, "outcome", **STEP, outcome="ok"), line(3, "verified", verified=True)], "", "succeeded"),
        ([line(2, "intent", **STEP)], "It was stopped.", "unknown"),
        ([line(2, "decided", verdict="healthy", sentence="All is well.")], "", "noop"),
    ],
)
def test_the_journal_proves_how_a_stopped_run_ended(lines: list[dict[str, Any]], failure: str, outcome: str) -> None:
    assert str(judge([*lines, line(9, "cancelled", msg=STOPPED)], failure, check_mode=False)[0]) == outcome
