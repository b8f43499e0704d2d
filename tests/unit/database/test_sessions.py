"""What is asked of the database, over which session, and what a failure of each part costs."""

from __future__ import annotations

import re

import psycopg
import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _database_queries as queries
from ansible_collections.daily_emr.ops.plugins.module_utils import _database_sessions as sessions
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DatabaseUnknown, Trouble, session

from tests.unit.database.fake import Database
from tests.unit.database.readings import DATABASE, INSIDE, THRESHOLDS

PLACE = ("db.test", 5432)
OURS = {**DATABASE, "login": {"user": "emr_runbook", "method": "passfile", "sslmode": "disable", "passfile": "/x"}}
STATEMENTS = [*queries.QUERIES.values(), queries.FAILED_MIGRATIONS, queries.WRITE, queries.WRITE_AND_ROLL_BACK]


class Clients:
    """Of an environment that is proved."""

    environment = Environment("sandbox", "1" * 12, "af-south-1", ".*", "t", "/f", "http://127.0.0.1:1", "/c")

    def prove(self) -> None:
        """It is who it says."""


def read(limits: dict[str, int] | None = None) -> sessions.Inside:
    return sessions.read_inside(Clients(), OURS, PLACE, THRESHOLDS | (limits or {}))  # type: ignore[arg-type]


def write(*, keep: bool = True) -> sessions.Attempt:
    return sessions.try_write(Clients(), OURS, PLACE, THRESHOLDS, keep=keep)  # type: ignore[arg-type]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session ends a moment after it began, whatever it waits for."""
    monkeypatch.setattr(sessions, "_LIMIT_MORE_S", -2.8)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_no_statement_asks_for_the_text_of_another_or_for_a_table_of_the_application(statement: str) -> None:
    assert not re.search(r"\bquery\b", statement, re.IGNORECASE), "query text never leaves the database"
    assert "*" not in statement.replace("count(*)", "")
    sources = re.sub(r"epoch FROM", "", statement)
    tables = set(re.findall(r"\b(?:FROM|JOIN|INTO)\s+([a-z_.]+)", sources))
    ours = {"ops.heartbeat", "public._prisma_migrations", "w", "t"}
    assert all(name in ours or name.startswith("pg_") for name in tables), tables


@pytest.mark.parametrize("statement", [*queries.QUERIES.values(), queries.FAILED_MIGRATIONS])
def test_what_reads_is_one_statement_that_reads(statement: str) -> None:
    assert statement.lstrip().startswith(("SELECT", "WITH"))
    assert ";" not in statement


def test_everything_is_asked_in_one_round_trip_of_a_session_that_only_reads(server: Database) -> None:
    inside = read()
    assert set(inside.values) | {"connection_limit"} == set(INSIDE)
    assert (inside.unread, inside.login.trouble) == ({}, None)
    assert server.asked == [("read", "batch"), ("read", "round_trip"), ("read", "round_trip")]
    ((kind, options),) = server.sessions
    assert kind == "read"
    assert "default_transaction_read_only=on" in options["options"]
    assert "statement_timeout=3000" in options["options"]


@pytest.mark.usefixtures("server")
def test_a_moment_keeps_its_microseconds() -> None:
    assert read().values["node"]["started"] == "2026-11-19T08:00:00.123456+00:00"


@pytest.mark.parametrize("name", [name for name in queries.QUERIES if name != "migrations_kept"])
def test_a_query_that_fails_costs_itself_and_nothing_else(server: Database, name: str) -> None:
    server.failing[name] = "42501"
    inside = read()
    assert set(inside.unread) == {name}
    assert "permission denied" in inside.unread[name]
    assert "national_id" not in inside.unread[name]
    assert inside.values["round_trips"]


def test_migrations_are_counted_where_they_are_kept(server: Database) -> None:
    assert read().values["migrations"] == {"failed": 0}
    assert "migrations" not in server.of("read")
    server.rows |= {"migrations_kept": [{"kept": True}], "migrations": [{"failed": 2}]}
    assert read().values["migrations"] == {"failed": 2}
    server.failing["migrations"] = "42501"
    assert set(read().unread) == {"migrations"}


def test_damage_that_a_query_meets_is_told(server: Database) -> None:
    server.failing["bloat"] = "XX001"
    inside = read()
    assert (inside.values["damaged"], set(inside.unread)) == (True, {"bloat"})


@pytest.mark.parametrize(
    ("words", "trouble"),
    [
        ("connection refused", Trouble.REFUSED),
        ("FATAL: password authentication failed for user", Trouble.AUTH),
        ("FATAL: sorry, too many clients already", Trouble.TOO_MANY),
        ("FATAL: the database system is starting up", Trouble.STARTING),
        ("connection timeout expired", Trouble.TIMEOUT),
    ],
)
def test_without_a_session_nothing_is_read_and_the_reason_is_a_word(
    server: Database, words: str, trouble: Trouble
) -> None:
    server.refusing = dict.fromkeys(("read", "write"), psycopg.OperationalError(words))
    inside = read()
    assert (inside.login.trouble, inside.login.connected, inside.values) == (trouble, False, {})
    assert set(inside.unread) == set(sessions.INSIDE)
    assert (write().trouble, write().connected) == (trouble, False)


@pytest.mark.usefixtures("hasty")
def test_a_server_that_hangs_is_cut_and_was_slow_for_at_least_so_long(server: Database) -> None:
    server.hanging.add("batch")
    inside = read({"database_slow_ms": 0})
    assert inside.login.trouble is None
    assert len(inside.values["round_trips"]) == 1
    assert inside.values["round_trips"][0] > 0
    assert set(inside.unread) == set(sessions.INSIDE) - {"round_trips"}
    assert all(str(Trouble.TIMEOUT) in why for why in inside.unread.values())


@pytest.mark.usefixtures("hasty")
def test_a_round_trip_that_hangs_keeps_what_was_read(server: Database) -> None:
    server.hanging.add("round_trip")
    inside = read()
    assert inside.unread == {}
    assert len(inside.values["round_trips"]) == 1


@pytest.mark.usefixtures("hasty")
def test_a_write_that_hangs_is_not_acknowledged(server: Database) -> None:
    server.hanging.add("write")
    attempt = write()
    assert (attempt.trouble, attempt.connected) == (Trouble.TIMEOUT, True)


def test_a_session_is_cut_whatever_it_waits_for(server: Database) -> None:
    server.hanging.add("round_trip")
    with pytest.raises(DatabaseUnknown) as caught, session(Clients(), OURS, PLACE, limit_s=0.05) as found:  # type: ignore[arg-type]
        found.execute(queries.ROUND_TRIP)
    assert caught.value.trouble is Trouble.TIMEOUT


@pytest.mark.parametrize("keep", [True, False])
def test_the_write_has_a_session_of_its_own_and_is_kept_or_rolled_back(server: Database, keep: bool) -> None:
    assert write(keep=keep).trouble is None
    assert server.asked == [("write", "write" if keep else "write and roll back")]
    assert "default_transaction_read_only=off" in server.sessions[0][1]["options"]


def test_a_write_that_is_rolled_back_is_the_same_write() -> None:
    assert queries.WRITE_AND_ROLL_BACK.split(queries.WRITE) == ["BEGIN;", ";ROLLBACK"]


@pytest.mark.parametrize(
    ("state", "trouble"),
    [("25006", Trouble.READ_ONLY), ("53100", Trouble.DISK_FULL), ("42P01", Trouble.ERROR), ("55P03", Trouble.LOCKED)],
)
def test_a_write_that_is_refused_says_why(server: Database, state: str, trouble: Trouble) -> None:
    server.failing["write"] = state
    assert write().trouble is trouble


@pytest.mark.parametrize(
    ("trips", "decided"),
    [([], False), ([1], False), ([9], False), ([1, 9], False), ([1, 1], True), ([9, 9], True), ([9, 1, 9], True)],
)
def test_three_round_trips_at_most_and_no_more_than_decide(trips: list[float], decided: bool) -> None:
    assert sessions._decided(trips, 5) is decided
