"""A first region is not there when nobody answers a connection, several times, and no server says a word."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _postgres, _region
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._http import Answer
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DatabaseFailed, DatabaseUnknown, Trouble

Json = dict[str, Any]

LOGIN = {"user": "emr_runbook", "method": "passfile", "sslmode": "disable", "passfile": "/x"}
DATABASE = {"name": "emr", "application_role": "emr_application", "login": LOGIN}
PLACE = ("db.test", 5432)


class Clients:
    """Of an environment that is proved."""

    environment = Environment("sandbox", "1" * 12, "af-south-1", ".*", "t", "/f", "http://127.0.0.1:1", "/c")

    def prove(self) -> None:
        """It is who it says."""


def refusing(error: psycopg.Error) -> Any:
    def connect(**_options: Any) -> Any:
        raise error

    return connect


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        pytest.param(psycopg.OperationalError("connection refused"), True, id="refused"),
        pytest.param(psycopg.OperationalError("connection timeout expired"), True, id="no answer"),
        pytest.param(psycopg.errors.AdminShutdown("terminating"), False, id="it is shut down"),
        pytest.param(psycopg.errors.QueryCanceled("canceled"), False, id="it canceled something"),
        pytest.param(psycopg.OperationalError("FATAL:  canceling authentication due to timeout"), False, id="too slow"),
        pytest.param(psycopg.OperationalError("FATAL:  sorry, too many clients already"), False, id="full"),
        pytest.param(psycopg.OperationalError("failed to resolve host"), False, id="no name"),
    ],
)
def test_only_a_connection_that_nobody_answers_is_silence(
    error: psycopg.Error, gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_postgres.psycopg, "connect", refusing(error))
    if gone:
        assert _region.look_at_database(Clients(), DATABASE, PLACE)["reachable"] is False  # type: ignore[arg-type]
    else:
        with pytest.raises(OpsError):
            _region.look_at_database(Clients(), DATABASE, PLACE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(DatabaseFailed(Trouble.TIMEOUT, "A statement on the database"), id="a slow statement"),
        pytest.param(DatabaseUnknown(Trouble.CLOSED, "A statement on the database"), id="broken off after the log-in"),
        pytest.param(DatabaseUnknown(Trouble.TIMEOUT, "A statement on the database"), id="cut after the log-in"),
    ],
)
def test_a_server_that_let_us_in_is_never_gone(error: OpsError, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def opened(*_args: Any, **_options: Any) -> Iterator[Any]:
        raise error
        yield

    monkeypatch.setattr(_region, "session", opened)
    with pytest.raises(OpsError):
        _region.look_at_database(Clients(), DATABASE, PLACE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answers", "reachable", "looked"),
    [
        pytest.param([False, False, False], False, 3, id="never"),
        pytest.param([False, False, True], True, 3, id="at last"),
        pytest.param([True], True, 1, id="at once"),
    ],
)
def test_silence_takes_several_looks(
    answers: list[bool], reachable: bool, looked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []
    monkeypatch.setattr(_region, "sleep", paused.append)
    left = list(answers)
    found = _region.several(Clients(), lambda: {"reachable": left.pop(0)}, "reachable")  # type: ignore[arg-type]
    assert found == {"reachable": reachable}
    assert len(answers) - len(left) == looked
    assert len(paused) == looked - 1


def test_both_looks_at_the_first_region_are_several(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    monkeypatch.setattr(_region, "several", lambda _clients, _look, answered: taken.append(answered))
    recovery = {"first_region": "af-south-1", "first_address": "a", "first_port": 1, "first_url": "u", "host": ""}
    reads = _region.sides(Clients(), recovery, {"instance": "replica"})  # type: ignore[arg-type]
    for name in ("first_database", "first_application"):
        reads[name]()
    assert taken == ["reachable", "answers"]


@pytest.mark.parametrize(("listens", "answers"), [(True, True), (False, False)])
def test_an_application_that_is_too_slow_answers_where_it_takes_connections(
    listens: bool, answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_region, "probe", lambda *_args, **_options: Answer(None, "timeout", 3000))
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        if not listens:
            server.close()
        assert _region.read_application(url, "")["answers"] is answers


@pytest.mark.parametrize(("minutes", "long"), [(14, False), (16, True)])
def test_the_canary_has_to_ring_for_as_long_as_go_or_no_go_takes(minutes: int, long: bool) -> None:
    now = datetime(2026, 11, 30, 10, 0, tzinfo=UTC)
    alarm = {"StateValue": "ALARM", "StateUpdatedTimestamp": now - timedelta(minutes=minutes)}
    headers = {"HTTPHeaders": {"date": "Mon, 30 Nov 2026 10:00:00 GMT"}}
    cloudwatch = SimpleNamespace(
        describe_alarms=lambda **_asked: {"MetricAlarms": [alarm], "ResponseMetadata": headers}
    )
    clients: Any = SimpleNamespace(read=lambda _service: cloudwatch, environment=Clients.environment)
    assert clients.environment.time_factor == 1
    assert _region.read_canary(clients, {"canary_alarm": "canary"})["long"] is long


@pytest.mark.parametrize("reason", ["false", "No", " 0 ", "none", "False"])
def test_a_word_that_says_no_is_no_declaration(reason: str) -> None:
    with pytest.raises(Refused, match="is a reason"):
        _region.take_sides(Clients(), {"declared": reason}, {})  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", ["", "drill", "the commander: no power since 10:00"])
def test_a_reason_is_kept(reason: str) -> None:
    assert _region.declared({"declared": reason}) == reason
