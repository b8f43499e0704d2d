"""The lease: one holder, a fence that only grows, no wall clock, and closed when the table does not answer."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import moto.core.models
import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LastWord, Lease, LeaseStore
from daily_emr_sandbox.aws.overlays import dynamodb

from .conftest import ENVIRONMENT, TABLE, Wire, account


class Clock:
    """A clock that only goes on when somebody sleeps; while it does, the others may act."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept = 0.0
        self.meanwhile: Any = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds
        self.meanwhile()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clients: Clients, clock: Clock) -> LeaseStore:
    return LeaseStore(clients, TABLE, clock=clock, sleep=clock.sleep)


def take(store: LeaseStore, run: str, fence: int, take_over: str = "") -> Lease:
    return store.acquire("emr-web", f"{run}@laptop", "INC-1", run, fence, 120, take_over)


def line(seq: int = 1) -> dict[str, Any]:
    return {
        "incident": "INC-1",
        "run": "a",
        "seq": seq,
        "kind": "intent",
        "at": "2026-11-22T01:30:00.000Z",
        "step": "s",
    }


def mirrored() -> list[str]:
    items = account("dynamodb").scan(TableName=TABLE)["Items"]
    return sorted(item["sk"]["S"] for item in items if item["pk"]["S"].startswith("incident#"))


def test_a_lease_that_nobody_held_is_taken_and_seen(store: LeaseStore) -> None:
    assert (store.peek("emr-web").held, store.peek("emr-web").fence) == (False, 0)

    lease = take(store, "a", 0)

    view = store.peek("emr-web")
    assert (lease.fence, view.fence, view.held, view.owner, view.run, view.lease_s) == (
        1,
        1,
        True,
        "a@laptop",
        "a",
        120,
    )


def test_the_fence_grows_with_every_holder(store: LeaseStore) -> None:
    for number in range(3):
        lease = take(store, f"run-{number}", number)
        assert lease.fence == number + 1
        store.release(lease)
        assert (store.peek("emr-web").held, store.peek("emr-web").fence) == (False, number + 1)


def test_who_holds_it_is_named_to_the_second_one(store: LeaseStore) -> None:
    take(store, "a", 0)

    with pytest.raises(Refused) as refusal:
        take(store, "b", 1)

    for part in ("emr-web is being worked on by a@laptop", "since 20", "incident INC-1", "run a", "talk to them"):
        assert part in refusal.value.sentence


def test_a_lease_that_moved_since_it_was_seen_is_refused_even_when_it_is_free_again(store: LeaseStore) -> None:
    store.release(take(store, "a", 0))

    with pytest.raises(Refused, match=r"Somebody else worked on emr-web since you looked .a@laptop"):
        take(store, "b", 0)


@pytest.mark.usefixtures("aws")
def test_of_sixteen_at_the_same_moment_exactly_one_gets_it(wire: Wire) -> None:
    # moto is no lock by itself, so its requests are put in a row; the race between the peeks stays.
    row = threading.Lock()
    ready = threading.Barrier(16)
    clients = [Clients(Environment.from_params(ENVIRONMENT), environ={}) for _ in range(16)]
    for one in clients:
        one.prove()
    serialise(wire, row)

    def compete(number: int) -> int | None:
        store = LeaseStore(clients[number], TABLE)
        ready.wait()
        try:
            return store.acquire("emr-web", f"o{number}", "INC-1", f"r{number}", 0, 120).fence
        except Refused:
            return None

    with ThreadPoolExecutor(16) as pool:
        fences = list(pool.map(compete, range(16)))

    assert sorted(fence for fence in fences if fence) == [1]
    assert wire.count("UpdateItem") > 1  # several had looked before one had taken it: the condition decided


def serialise(wire: Wire, row: threading.Lock) -> None:
    """Let one request at a time through to moto; of the reads all, before the first write."""
    looked = threading.Barrier(16)

    def one_by_one(operation: str) -> Any:
        def send(request: Any) -> Any:
            with row:
                answer = moto.core.models.botocore_stubber(f"before-send.x.{operation}", request)
            if operation == "GetItem" and wire.count("UpdateItem") == 0:
                looked.wait(timeout=30)
            return answer

        return send

    wire.faults = {"GetItem": [one_by_one("GetItem")] * 16, "UpdateItem": [one_by_one("UpdateItem")] * 16}


def test_a_dead_holder_is_taken_over_only_after_its_whole_lease_was_watched(store: LeaseStore, clock: Clock) -> None:
    take(store, "a", 0)

    lease = take(store, "b", 1, take_over="the laptop of a is broken")

    assert clock.slept >= 120
    assert (lease.fence, store.peek("emr-web").owner) == (2, "b@laptop")


def test_a_holder_that_renews_while_watched_is_not_taken_over(store: LeaseStore, clock: Clock) -> None:
    mine = take(store, "a", 0)
    clock.meanwhile = lambda: store.renew(mine) if clock.slept == 60 else None

    with pytest.raises(Refused, match="is alive, it was just renewed by a@laptop"):
        take(store, "b", 1, take_over="I think it is dead")

    assert store.peek("emr-web").owner == "a@laptop"


def test_without_a_reason_nobody_waits_for_a_take_over(store: LeaseStore, clock: Clock) -> None:
    take(store, "a", 0)

    with pytest.raises(Refused):
        take(store, "b", 1)

    assert clock.slept == 0


def test_a_holder_that_was_taken_over_can_neither_renew_nor_announce_nor_release(store: LeaseStore) -> None:
    mine = take(store, "a", 0)
    take(store, "b", 1, take_over="a is dead")

    for attempt in (lambda: store.renew(mine), lambda: store.record_intent(mine, line()), lambda: store.release(mine)):
        with pytest.raises(Refused, match="being worked on by b@laptop"):
            attempt()

    assert store.peek("emr-web").held
    assert mirrored() == []  # the intent was not written either: all or nothing


def test_an_intent_is_written_while_the_lease_is_ours_and_renews_it(store: LeaseStore, wire: Wire) -> None:
    mine = take(store, "a", 0)
    before = store.peek("emr-web").rvn

    store.record_intent(mine, line(7))

    assert mirrored() == ["journal#a#000007"]
    assert store.peek("emr-web").rvn != before
    assert wire.count("TransactWriteItems") == 1


def test_the_same_line_is_not_announced_twice(store: LeaseStore) -> None:
    mine = take(store, "a", 0)
    store.record_intent(mine, line())

    with pytest.raises(Refused, match="Line 1 of run a was announced before"):
        store.record_intent(mine, line())
    store.record(line())  # writing down again what is there is no fault

    assert mirrored() == ["journal#a#000001"]


def notice(seq: int, run: str = "a", **more: Any) -> dict[str, Any]:
    """A line of a step that must not be sent twice."""
    return {**line(seq), "run": run, "step": "notice", "target": "topic/x", "imperative": True, **more}


def test_the_last_word_of_a_step_that_must_not_be_sent_twice_is_there_for_every_run(store: LeaseStore) -> None:
    assert store.last_word("notice", "topic/x") is None
    mine = take(store, "a", 0)
    store.record_intent(mine, line())  # of another kind of step
    assert store.last_word("s", "t") is None

    store.record_intent(mine, notice(2))
    assert store.last_word("notice", "topic/x") == LastWord("INC-1", "a", "2026-11-22T01:30:00.000Z", "")
    assert store.last_word("notice", "topic/y") is None

    store.record(notice(3, kind="outcome", outcome="failed", at="2026-11-22T01:31:00.000Z"))
    assert store.last_word("notice", "topic/x") == LastWord("INC-1", "a", "2026-11-22T01:31:00.000Z", "failed")


def test_a_run_that_was_taken_over_does_not_speak_for_the_next_one(store: LeaseStore) -> None:
    store.record_intent(take(store, "a", 0), notice(1))
    store.record_intent(take(store, "b", 1, take_over="a is dead"), notice(1, run="b"))

    store.record(notice(2, kind="outcome", outcome="failed"))

    last = store.last_word("notice", "topic/x")
    assert last is not None
    assert (last.run, last.outcome) == ("b", "")


def test_a_word_that_cannot_be_read_is_no_word(store: LeaseStore, wire: Wire) -> None:
    wire.unreachable("GetItem")
    with pytest.raises(Refused, match="does not answer"):
        store.last_word("notice", "topic/x")


def test_a_lease_lasts_its_length_less_the_longest_call(store: LeaseStore, clock: Clock) -> None:
    until = store.record_intent(take(store, "a", 0), line())

    assert store.left(until) == 105
    clock.now += 104
    assert store.left(until) == 1
    clock.now += 2  # a process that was stopped here must not send its call any more
    assert store.left(until) == -1


@pytest.mark.parametrize("lost", ["lose_request", "lose_reply"])
def test_a_lost_reply_of_an_announcement_is_asked_for_again_with_the_same_token(
    store: LeaseStore, wire: Wire, lost: str
) -> None:
    dynamodb.install(None)  # DynamoDB answers the same token without doing it twice; moto alone does not know tokens
    mine = take(store, "a", 0)
    getattr(wire, lost)("TransactWriteItems")

    store.record_intent(mine, line())

    first, second = (json.loads(body) for operation, body in wire.bodies if operation == "TransactWriteItems")
    assert first["ClientRequestToken"]
    assert first == second, "the same token, and the same words"
    assert mirrored() == ["journal#a#000001"]


def test_a_lost_reply_when_taking_the_lease_is_settled_by_looking(store: LeaseStore, wire: Wire) -> None:
    wire.lose_reply("UpdateItem")

    assert take(store, "a", 0).fence == 1
    assert wire.count("UpdateItem") == 1


def test_a_lost_request_when_taking_the_lease_leaves_it_free(store: LeaseStore, wire: Wire) -> None:
    wire.lose_request("UpdateItem")

    with pytest.raises(Refused, match="does not answer, and nothing is changed without it"):
        take(store, "a", 0)

    assert not store.peek("emr-web").held


@pytest.mark.parametrize("operation", ["GetItem", "UpdateItem"])
def test_a_table_that_does_not_answer_is_a_refusal(store: LeaseStore, wire: Wire, operation: str) -> None:
    wire.unreachable(operation)

    with pytest.raises(Refused, match=f"table {TABLE} does not answer, and nothing is changed without it"):
        take(store, "a", 0)


def test_a_table_that_does_not_exist_is_a_refusal(clients: Clients) -> None:
    with pytest.raises(Refused, match=r"table nobody does not answer.*ResourceNotFoundException"):
        LeaseStore(clients, "nobody").peek("emr-web")
