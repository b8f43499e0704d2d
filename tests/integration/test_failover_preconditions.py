"""Each precondition of a failover, broken alone on the real control plane and the real pair: refused, nothing sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

from tests.integration.conftest import PATIENT_S, Witness
from tests.integration.modules import Runner, database_of

pytestmark = pytest.mark.usefixtures("mended")

DATABASE = "daily-emr-sandbox-db"
Breaking = Callable[[Sandbox], Iterator[None]]


def options(sandbox: Sandbox) -> dict[str, Any]:
    return {"database": database_of(sandbox), "since": datetime.now(UTC).isoformat(), "quiesced": False}


def superuser(sandbox: Sandbox, **more: Any) -> psycopg.Connection[Any]:
    place = sandbox.description["database"]
    return psycopg.connect(host=place["host"], port=place["port"], user="postgres", dbname="emr", **more)


@contextmanager
def modified(sandbox: Sandbox, back: dict[str, Any], **change: Any) -> Iterator[None]:
    """An attribute of the instance is changed, and changed back."""
    rds = sandbox.boto("rds")
    rds.modify_db_instance(DBInstanceIdentifier=DATABASE, **change)
    try:
        yield
    finally:
        rds.modify_db_instance(DBInstanceIdentifier=DATABASE, **back)


@contextmanager
def single_zone(sandbox: Sandbox) -> Iterator[None]:
    with modified(sandbox, {"MultiAZ": True, "ApplyImmediately": True}, MultiAZ=False, ApplyImmediately=True):
        yield


@contextmanager
def pending(sandbox: Sandbox) -> Iterator[None]:
    later = {"AllocatedStorage": 120, "ApplyImmediately": False}
    with modified(sandbox, {"AllocatedStorage": 100, "ApplyImmediately": False}, **later):
        yield


@contextmanager
def faulty(sandbox: Sandbox, fault: str) -> Iterator[None]:
    sandbox.break_(fault)
    yield  # the fixture `mended` mends


@contextmanager
def rebooting(sandbox: Sandbox) -> Iterator[None]:
    rds = sandbox.boto("rds")
    rds.reboot_db_instance(DBInstanceIdentifier=DATABASE)
    yield

    def available() -> bool:
        (found,) = rds.describe_db_instances(DBInstanceIdentifier=DATABASE)["DBInstances"]
        return found["DBInstanceStatus"] == "available"

    wait_until(available, "the reboot is over", PATIENT_S)


@contextmanager
def writing(sandbox: Sandbox) -> Iterator[None]:
    """A transaction that has written and stays open for a minute at the pace of AWS."""
    with superuser(sandbox) as session:
        session.execute("UPDATE charts SET note = note WHERE id = 'synthetic-1'")

        def long_enough() -> bool:
            with superuser(sandbox, autocommit=True) as other:
                row = other.execute(
                    "SELECT max(now() - xact_start) > '2 s' FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
                ).fetchone()
            return bool(row and row[0])

        wait_until(long_enough, "the transaction is old", PATIENT_S)
        try:
            yield
        finally:
            session.rollback()


@contextmanager
def prepared(sandbox: Sandbox) -> Iterator[None]:
    with superuser(sandbox, autocommit=True) as session:
        session.execute("BEGIN")
        session.execute("UPDATE charts SET note = note WHERE id = 'synthetic-2'")
        session.execute("PREPARE TRANSACTION 'left'")
        try:
            yield
        finally:
            session.execute("ROLLBACK PREPARED 'left'")


PRECONDITIONS: dict[str, tuple[Callable[[Sandbox], Any], str]] = {
    "no standby": (single_zone, "Multi-AZ"),
    "not available": (rebooting, "rebooting"),
    "too soon": (lambda sandbox: faulty(sandbox, "failover_refused"), "last failover"),
    "standby behind": (lambda sandbox: faulty(sandbox, "standby_lagging"), "restorable"),
    "changes pending": (pending, "pending"),
    "a long write": (writing, "has written"),
    "a prepared transaction": (prepared, "prepared"),
}


@pytest.mark.parametrize("name", PRECONDITIONS)
def test_a_failover_is_refused_for_each_precondition(sandbox: Sandbox, run: Runner, name: str) -> None:
    break_, words = PRECONDITIONS[name]
    with ExitStack() as stack:
        stack.enter_context(break_(sandbox))
        witness = Witness(sandbox)
        result = run("database_failover", options(sandbox))
        assert result["outcome"] == "refused", result
        assert any(words.lower() in reason.lower() for reason in result["refusals"]), result["refusals"]
        assert witness.mutating() == []


def test_writes_that_go_on_refuse_a_failover(sandbox: Sandbox, run: Runner) -> None:
    witness = Witness(sandbox)
    result = run("database_failover", options(sandbox) | {"quiesced": True})
    assert result["outcome"] == "refused"
    assert any("read-only" in reason for reason in result["refusals"]), result["refusals"]
    assert witness.mutating() == []


def test_with_every_precondition_met_the_same_call_is_made(sandbox: Sandbox, run: Runner) -> None:
    """The control: what refused above is what stood in the way."""
    witness = Witness(sandbox)
    result = run("database_failover", options(sandbox))
    assert result["outcome"] == "ok", result
    assert [call["operation"] for call in witness.changes()] == ["RebootDBInstance"]
    again = run("database_failover", options(sandbox) | {"since": result.get("since", options(sandbox)["since"])})
    assert again["outcome"] in ("noop", "refused")
    assert [call["operation"] for call in witness.changes()] == ["RebootDBInstance"]
