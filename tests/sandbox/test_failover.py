"""The pair fails over: no acknowledged write is lost, and there is never a second primary behind the endpoint."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
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
            pair.fail_over()
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
