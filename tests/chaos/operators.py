"""Several operators, one component: one holder at a time, and no write of anybody who is no longer the holder.

The table of leases is the sandbox's, behind its one mutex. Who wrote, and whether he held the lease at that moment, is
judged by the control plane while it executes the write: not by what the writers say.

Leases are per component, so runbooks that touch the same component exclude each other, and those of other components do
not; nobody holds two leases, so there is no order in which they could wait for each other.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from ansible_collections.daily_emr.ops.plugins.module_utils import _lease
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from daily_emr_sandbox.aws.server import AwsServer
from daily_emr_sandbox.daemon import free_network
from daily_emr_sandbox.settings import Settings

from tests.chaos.account import TABLE, environment_of, prepare_account
from tests.chaos.paused import paused_holders
from tests.chaos.rows import Row

OPERATORS = 16
LENGTH_S = 8
"""A lease in trials with clocks of their own: eight looks of a watcher."""
HOUR_S = 3600.0


def line(seed: int, size: Literal["ci", "long"], say: Callable[[str], None]) -> Iterable[Row]:
    """The rows of this line."""
    trials = 100 if size == "ci" else 500
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, free_network() as network:
        aws = AwsServer(Settings(Path(folder) / "state", network, time_factor=40, parts=frozenset()))
        aws.start()
        try:
            prepare_account(aws)
            yield _at_once(aws, trials)
            say(f"{OPERATORS} operators at once, {trials} times")
            yield _takeovers(aws, trials, chance)
            say(f"{trials} watchers of a lease")
        finally:
            aws.stop()
    yield from paused_holders(chance.randrange(1 << 30), 200 if size == "ci" else 1000, say)


def _environment(aws: AwsServer) -> Environment:
    return Environment.from_params(environment_of(aws))


def _at_once(aws: AwsServer, trials: int) -> Row:
    started, faults = time.monotonic(), list[str]()
    everybody = [Clients(_environment(aws), environ={}) for _number in range(OPERATORS)]
    with ThreadPoolExecutor(OPERATORS) as pool:
        for trial in range(trials):
            won, lost = _race(pool, everybody, f"emr-{trial}")
            if len(won) != 1:
                faults.append(f"trial {trial}: {len(won)} holders")
            faults += [f"trial {trial}: {text}" for text in lost if not _complete(text, won)]
        mark = _lease._unchanged
        _lease._unchanged = _any_view
        try:
            without = [len(_race(pool, everybody, f"without-{trial}")[0]) for trial in range(5)]
        finally:
            _lease._unchanged = mark
    control = f"without the condition on the table {max(without)} hold one lease" if max(without) > 1 else ""
    name = f"{OPERATORS} operators at once: one holder, the others told who, since when, which run, how to join"
    return Row(name, trials, tuple(faults), control, time.monotonic() - started)


def _any_view(_view: Any) -> tuple[str, dict[str, Any]]:
    """A condition that always holds."""
    return "attribute_not_exists(nothing)", {}


def _race(pool: ThreadPoolExecutor, everybody: list[Clients], target: str) -> tuple[list[str], list[str]]:
    """Who got the lease, and what the others were told."""
    start = threading.Barrier(OPERATORS)

    def begin(number: int) -> tuple[bool, str]:
        store = LeaseStore(everybody[number], TABLE)
        start.wait()
        try:
            store.acquire(target, f"op{number}@desk{number}", f"INC-{number}", f"run-{number}", 0, 120)
        except OpsError as error:
            return False, error.sentence
        return True, f"op{number}@desk{number}"

    told = list(pool.map(begin, range(OPERATORS)))
    return [text for holds, text in told if holds], [text for holds, text in told if not holds]


def _complete(sentence: str, won: list[str]) -> bool:
    """Whether a loser was told who holds it, since when, for which incident and run, and what to do."""
    if len(won) != 1:
        return True
    number = won[0].partition("@")[0].removeprefix("op")
    words = (f"{won[0]} since 20", f"incident INC-{number}", f"run run-{number}", "talk to them", "run again")
    return all(word in sentence for word in words)


class Skewed:
    """The clock of one operator: it goes on when he sleeps, and is wrong by up to an hour."""

    def __init__(self, chance: random.Random) -> None:
        self.began = self.now = 1_000_000.0 + chance.uniform(-HOUR_S, HOUR_S)
        self.at_sleep: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.at_sleep()


def _takeovers(aws: AwsServer, trials: int, chance: random.Random) -> Row:
    """A lease of who died is taken after its whole length; one that is renewed in between never is."""
    started, faults = time.monotonic(), list[str]()
    clients = Clients(_environment(aws), environ={})
    for trial in range(trials):
        faults += _takeover(clients, f"old-{trial}", chance, alive=trial % 2 == 0)
    watch = LeaseStore.watch
    LeaseStore.watch = lambda *_args: None  # type: ignore[method-assign]
    try:
        control = _takeover(clients, "without", chance, alive=False)
    finally:
        LeaseStore.watch = watch  # type: ignore[method-assign]
    name = "a held lease, clocks wrong by up to an hour: taken after its whole length, and never from who lives"
    said = f"without the watch: {control[0]}" if control else ""
    return Row(name, trials, tuple(faults), said, time.monotonic() - started)


def _takeover(clients: Clients, target: str, chance: random.Random, *, alive: bool) -> list[str]:
    theirs, mine = Skewed(chance), Skewed(chance)
    holder, watcher = (LeaseStore(clients, TABLE, clock=clock, sleep=clock.sleep) for clock in (theirs, mine))
    lease = holder.acquire(target, "ouma@desk", "INC-1", "run-1", 0, LENGTH_S)
    if alive:
        beat = chance.randrange(1, LENGTH_S)
        looks = [0]

        def renew() -> None:
            looks[0] += 1
            if looks[0] == beat:
                holder.renew(lease)

        mine.at_sleep = renew
    try:
        taken = watcher.acquire(target, "atieno@desk", "INC-2", "run-2", 1, 120, "TICKET-1")
    except Refused as error:
        wrong = "" if alive and "is alive" in error.sentence else error.sentence
        return [f"{target}: {wrong}"] if wrong else []
    watched = mine.now - mine.began
    if alive:
        return [f"{target} was taken from who lives"]
    if watched < LENGTH_S or taken.fence != 2:
        return [f"{target} was taken after {watched:.0f} s of {LENGTH_S}, with fence {taken.fence}"]
    return []
