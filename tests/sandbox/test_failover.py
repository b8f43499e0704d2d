"""The pair fails over: no acknowledged write is lost, and there is never a second primary behind the endpoint."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from botocore.exceptions import ClientError
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import LoopThread, wait_until
from daily_emr_sandbox.postgres import DatabasePair
from daily_emr_sandbox.settings import Settings

FAILOVERS, WRITERS = 4, 8


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
            except psycopg.Error:
                time.sleep(0.02)  # a client that reconnects at once only heats the machine


def test_failovers_under_writers_lose_nothing(pair: DatabasePair, settings: Settings) -> None:
    writers = [Writer(settings, f"writer-{number}") for number in range(WRITERS)]
    try:
        for _failover in range(FAILOVERS):
            before = sum(len(writer.acknowledged) for writer in writers)
            old = pair.primary
            pair.lose_primary()
            pair.promote_standby()
            assert pair.standby is old
            assert not old.running
            pair.rebuild_standby()
            wait_until(
                lambda before=before: sum(len(writer.acknowledged) for writer in writers) > before + WRITERS,
                "writes go on",
            )
    finally:
        for writer in writers:
            writer.end()

    acknowledged = {key for writer in writers for key in writer.acknowledged}
    for node in (pair.primary, pair.standby):
        with node.connect() as session:
            rows = session.execute("SELECT idempotency_key FROM charts WHERE idempotency_key LIKE 'writer-%'")
            there = {key for (key,) in rows}
        assert acknowledged - there == set(), f"lost on {node.name}"
    with pair.standby.connect("postgres") as session:
        assert session.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)


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
