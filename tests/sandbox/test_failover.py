"""The pair fails over: no acknowledged write is lost, and there is never a second primary behind the endpoint."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from botocore.exceptions import ClientError
from daily_emr_sandbox.app.database import interrupt
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import LoopThread, wait_until
from daily_emr_sandbox.postgres import DatabasePair
from daily_emr_sandbox.postgres_node import Node
from daily_emr_sandbox.settings import Settings

FAILOVERS = int(os.environ.get("FAILOVERS", "20"))
WRITERS = 8


@pytest.fixture
def pair(settings: Settings, loop: LoopThread) -> Iterator[DatabasePair]:
    made = DatabasePair(settings, loop)
    try:
        made.start()
        made.grant(f"postgresql://emr_application:x@{settings.database_address}:{settings.database_port}/emr")
        yield made
    finally:
        made.stop()


class Writer:
    """Writes through the endpoint, one row after the other, and remembers what was acknowledged."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.acknowledged: list[str] = []
        self.at: list[float] = []
        """When each was acknowledged."""
        self._place = (
            f"postgresql://emr_application:x@{settings.database_address}:{settings.database_port}/emr?connect_timeout=2"
        )
        self._name, self._stop = name, threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        number = 0
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._place, autocommit=True) as session:
                    while not self._stop.is_set():
                        number += 1
                        key = f"{self._name}-{number}"
                        session.execute(
                            "INSERT INTO charts (tenant, note, idempotency_key) VALUES ('synthetic', 'x', %s)", (key,)
                        )
                        self.acknowledged.append(key)
                        self.at.append(time.monotonic())
            except psycopg.Error:
                time.sleep(0.02)  # a client that reconnects at once only heats the machine


def test_failovers_under_writers_lose_nothing(pair: DatabasePair, settings: Settings) -> None:
    writers = [Writer(settings, f"writer-{number}") for number in range(WRITERS)]
    promotions, begun = [], time.monotonic()
    try:
        wait_until(lambda: all(writer.at for writer in writers), "all write")
        for _failover in range(FAILOVERS):
            old = pair.primary
            pair.lose_primary()
            promoting = time.monotonic()
            pair.promote_standby()
            promotions.append((promoting, time.monotonic()))
            assert pair.standby is old
            assert not old.running
            pair.rebuild_standby()
            rebuilt = time.monotonic()
            wait_until(
                lambda since=rebuilt: all(writer.at and writer.at[-1] > since for writer in writers), "all write"
            )
    finally:
        for writer in writers:
            writer.end()
    tell(writers, promotions, time.monotonic() - begun)

    acknowledged = {key for writer in writers for key in writer.acknowledged}
    for node in (pair.primary, pair.standby):
        with node.connect() as session:
            rows = session.execute("SELECT idempotency_key FROM charts WHERE idempotency_key LIKE 'writer-%'")
            there = {key for (key,) in rows}
        assert acknowledged - there == set(), f"lost on {node.name}"
    with pair.standby.connect("postgres") as session:
        assert session.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)


def tell(writers: list[Writer], promotions: list[tuple[float, float]], seconds: float) -> None:
    """Print how long nobody could write beside how long the promotion alone took."""
    at = sorted(moment for writer in writers for moment in writer.at)
    gaps = [
        min(moment for moment in at if moment > promoting) - max(moment for moment in at if moment < promoting)
        for promoting, _promoted in promotions
    ]
    bare = [promoted - promoting for promoting, promoted in promotions]
    print(f"{len(promotions)} failovers in {seconds:.1f} s, {len(at)} writes acknowledged")  # noqa: T201 - a measurement
    print(f"nobody wrote: {spread(gaps)}; promotion alone: {spread(bare)}")  # noqa: T201


def spread(seconds: list[float]) -> str:
    return f"median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s"


def accepts(node: Node, key: str) -> bool:
    """Whether a server takes a write of the application, past the endpoint."""
    try:
        place = f"postgresql://emr_application:x@{node.address}:{node.port}/emr"
        with psycopg.connect(place, autocommit=True) as session:
            session.execute("INSERT INTO charts (tenant, note, idempotency_key) VALUES ('synthetic', 'x', %s)", (key,))
    except psycopg.errors.ReadOnlySqlTransaction:
        return False
    return True


@pytest.mark.parametrize("fences", [True, False])
def test_the_fence_keeps_a_returned_host_from_writing(pair: DatabasePair, fences: bool) -> None:
    """Without it both hosts take writes: what this test looks at can happen."""
    pair.fences = fences
    pair.lose_primary()
    pair.promote_standby()
    pair.return_lost()
    assert accepts(pair.primary, "new")
    assert accepts(pair.standby, "old") is not fences

    pair.rebuild_standby()
    for node in (pair.primary, pair.standby):
        with node.connect() as session:
            there = session.execute("SELECT idempotency_key FROM charts WHERE idempotency_key IN ('new', 'old')")
            assert there.fetchall() == [("new",)]


def test_a_silent_host_leaves_its_sessions_hanging(pair: DatabasePair, settings: Settings) -> None:
    place = f"postgresql://emr_application:x@{settings.database_address}:{settings.database_port}/emr"
    old = psycopg.connect(place, autocommit=True)
    pair.lose_primary(silently=True)
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(place)
    pair.promote_standby()
    with psycopg.connect(place) as new:
        assert new.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)

    def ask() -> None:
        with pytest.raises(psycopg.OperationalError):
            old.execute("SELECT 1")

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join(2)
    assert asking.is_alive()
    interrupt(old)  # or the thread would stay
    asking.join()
    pair.rebuild_standby()


def test_a_sick_host_is_slow_and_the_other_one_is_not(pair: DatabasePair, settings: Settings) -> None:
    place = f"postgresql://emr_application:x@{settings.database_address}:{settings.database_port}/emr"

    def seconds() -> tuple[float, float]:
        """Of a log-in, and of a statement."""
        begun = time.monotonic()
        with psycopg.connect(place, autocommit=True) as session:
            there = time.monotonic()
            session.execute("SELECT 1")
            return there - begun, time.monotonic() - there

    pair.primary.delay_s = 2.0
    log_in, statement = seconds()
    assert log_in < 2.0 <= statement
    pair.lose_primary()
    pair.promote_standby()
    assert seconds()[1] < 2.0
    pair.rebuild_standby()
    assert pair.standby.delay_s == 0.0


def test_two_primaries_are_never_behind_the_endpoint(pair: DatabasePair) -> None:
    with pytest.raises(RuntimeError, match="The primary runs"):
        pair.promote_standby()


DATABASE = "daily-emr-sandbox-db"


def messages(sandbox: Sandbox) -> list[str]:
    found = sandbox.boto("rds").describe_events(SourceIdentifier=DATABASE, SourceType="db-instance")["Events"]
    return [event["Message"] for event in found]


def test_a_forced_failover_moves_the_real_primary(sandbox: Sandbox) -> None:
    """One after the other, because the second is too soon after the first."""
    rds = sandbox.boto("rds")

    def instance() -> dict[str, str]:
        (found,) = rds.describe_db_instances(DBInstanceIdentifier=DATABASE)["DBInstances"]
        return {key: found[key] for key in ("DBInstanceStatus", "AvailabilityZone", "SecondaryAvailabilityZone")}

    before, pids = instance(), sandbox.status()["pids"]
    answer = rds.reboot_db_instance(DBInstanceIdentifier=DATABASE, ForceFailover=True)
    assert answer["DBInstance"]["DBInstanceStatus"] == "rebooting"
    with pytest.raises(ClientError, match="InvalidDBInstanceState"):
        rds.reboot_db_instance(DBInstanceIdentifier=DATABASE, ForceFailover=True)

    wait_until(lambda: "Multi-AZ instance failover completed" in messages(sandbox), "the failover is complete", 60)
    zones = (before["SecondaryAvailabilityZone"], before["AvailabilityZone"])
    wait_until(
        lambda: tuple(instance().values()) == ("available", *zones), "the zones are those of after the failover", 60
    )
    assert messages(sandbox)[-3:] == [
        "Multi-AZ instance failover started.",
        "DB instance restarted",
        "Multi-AZ instance failover completed",
    ]
    wait_until(lambda: "postgres-standby" in sandbox.status()["pids"], "the standby is back", 60)
    assert sandbox.status()["pids"]["postgres-primary"] == pids["postgres-standby"], "the old standby serves now"
    written = sandbox.ledger()["acknowledged"]
    wait_until(lambda: sandbox.ledger()["acknowledged"] > written, "users write again", 60)
    assert sandbox.ledger()["lost"] == 0

    rds.reboot_db_instance(DBInstanceIdentifier=DATABASE, ForceFailover=True)
    wait_until(lambda: messages(sandbox)[-1].startswith("Abandoning user requested failover"), "it is abandoned", 30)
    wait_until(lambda: instance()["DBInstanceStatus"] == "available", "it is available", 30)
    assert tuple(instance().values()) == ("available", *zones)
