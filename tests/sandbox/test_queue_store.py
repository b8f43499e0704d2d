"""The Valkey pair of the queues, who may do what there, and the witness of what runbooks write."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import valkey
from daily_emr_sandbox.loop import LoopThread, wait_until
from daily_emr_sandbox.queues.store import MEMORY, NODE_TYPE, QueueStore
from daily_emr_sandbox.queues.witness import logged_in
from daily_emr_sandbox.settings import Settings

INSERT = "redis.call('lpush', KEYS[1], ARGV[1]) return redis.call('llen', KEYS[1])"
PASSWORD = "of-the-workers"


@pytest.fixture(scope="module")
def store(settings: Settings, loop: LoopThread) -> Iterator[QueueStore]:
    made = QueueStore(settings, loop)
    made.start(PASSWORD)
    yield made
    made.stop()


def worker(settings: Settings) -> valkey.Valkey:
    return valkey.Valkey(settings.queue_address, settings.queue_port, username="emr_worker", password=PASSWORD)


def runbook(settings: Settings, host: str = "", port: int = 0) -> valkey.Valkey:
    password = settings.queue_passfile.read_text().strip()
    place = (host or settings.queue_address, port or settings.queue_port)
    return valkey.Valkey(*place, username=settings.queue_runbook, password=password, client_name="a-runbook")


def seen(store: QueueStore, since: int = 0) -> list[tuple[str, str]]:
    return [(write["command"], write["key"]) for write in store.witness.writes(since)]


def test_the_witness_sees_writes_of_runbooks_also_inside_scripts(settings: Settings, store: QueueStore) -> None:
    before = len(store.witness.writes())
    with runbook(settings) as session:
        session.set("bull:plain", "1")
        session.eval(INSERT, 1, "bull:scripted", "1")
        session.eval("return redis.call('llen', KEYS[1])", 1, "bull:only-read")
        session.get("bull:plain")

        assert seen(store, before) == [("set", "bull:plain"), ("lpush", "bull:scripted")]
        assert {write["client"] for write in store.witness.writes(before)} == {"a-runbook"}


def test_the_witness_keeps_no_values(settings: Settings, store: QueueStore) -> None:
    with runbook(settings) as session:
        session.set("bull:plain", "Wanjiru 07")

        assert "Wanjiru" not in str(store.witness.writes())


def test_a_value_of_any_length_hides_nothing(settings: Settings, store: QueueStore) -> None:
    before = len(store.witness.writes())
    with runbook(settings) as session:
        session.set("bull:long", "x" * 300_000)
        session.set("bull:short", "1")
        session.delete("bull:long")

        assert seen(store, before) == [("set", "bull:long"), ("set", "bull:short"), ("del", "bull:long")]


def test_the_witness_sees_nothing_of_workers(settings: Settings, store: QueueStore) -> None:
    before = len(store.witness.writes())
    with runbook(settings) as session, worker(settings) as other:
        session.get("bull:plain")
        other.set("of-a-worker", "1")
        session.set("bull:of-a-runbook", "1")

        assert seen(store, before) == [("set", "bull:of-a-runbook")]


def test_a_node_is_no_way_around_the_witness(settings: Settings, store: QueueStore) -> None:
    before = len(store.witness.writes())
    with runbook(settings, *settings.queue_nodes[store.nodes.index(store.primary)]) as session:
        session.set("bull:past-the-endpoint", "1")

        assert seen(store, before) == [("set", "bull:past-the-endpoint")]


def test_log_ins_are_told_from_other_commands() -> None:
    assert logged_in(b"*3\r\n$4\r\nAUTH\r\n$3\r\nbob\r\n$2\r\npw\r\n") == b"bob"
    assert logged_in(b"*2\r\n$4\r\nauth\r\n$2\r\npw\r\n") == b"default"
    hello = b"*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$3\r\nbob\r\n$2\r\npw\r\n"
    assert logged_in(hello) == b"bob"
    assert logged_in(b"*1\r\n$4\r\nPING\r\n" + hello) == b"bob"
    assert logged_in(hello[:-6]) is None, "half of it"
    assert logged_in(b"*1\r\n$4\r\nPING\r\n") is None


@pytest.mark.parametrize(
    "command",
    [
        "KEYS *",
        "SCAN 0",
        "XRANGE bull:claims:events - +",
        "PUBLISH c m",
        "MONITOR",
        "SLOWLOG GET",
        "FLUSHALL",
        "CONFIG GET maxmemory",
        "CLIENT KILL TYPE normal",
    ],
)
@pytest.mark.usefixtures("store")
def test_what_prints_keys_or_empties_a_database_is_refused(settings: Settings, command: str) -> None:
    with runbook(settings) as session:
        with pytest.raises(valkey.exceptions.NoPermissionError):
            session.execute_command(*command.split())
        for allowed in ("INFO", "CLIENT LIST", "TIME"):
            session.execute_command(*allowed.split())


@pytest.mark.usefixtures("store")
def test_a_runbook_touches_no_key_that_is_of_no_queue(settings: Settings) -> None:
    with runbook(settings) as session:
        session.set("bull:of-a-queue", "1")
        with pytest.raises(valkey.exceptions.NoPermissionError):
            session.get("session:of-a-user")


def test_after_a_failover_old_connections_are_read_only_and_new_ones_are_not(
    settings: Settings, store: QueueStore
) -> None:
    with worker(settings) as stays:
        stays.set("before", "1")
        stays.execute_command("WAIT", "1", "1000")

        store.fail_over()

        with pytest.raises(valkey.exceptions.ReadOnlyError):
            stays.set("after", "1")
        with worker(settings) as comes:
            assert comes.get("before") == b"1"
            comes.set("after", "1")
    wait_until(store.following, "the old primary follows")


def test_full_memory_refuses_writes_evicts_nothing_and_more_memory_helps(settings: Settings, store: QueueStore) -> None:
    with worker(settings) as session:
        session.set("kept", "1")
        store.fill()
        with pytest.raises(valkey.exceptions.OutOfMemoryError):
            session.set("refused", "1")
        assert session.get("kept") == b"1"
        assert session.info("memory")["maxmemory_policy"] == "noeviction"

        store.resize("cache.t4g.medium")
        session.set("taken", "1")

        store.empty()
        store.resize(NODE_TYPE)
        assert session.info("memory")["maxmemory"] == MEMORY[NODE_TYPE]
