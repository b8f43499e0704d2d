"""Holders that are stopped between their check and their call, and go on when somebody else has the lease.

A write is stale when the control plane *executes* it while another fence number stands in the table. That is seen from
inside, under the mutex, at the moment of the execution.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from daily_emr_sandbox.aws.server import AwsServer
from daily_emr_sandbox.aws.wire import Call
from daily_emr_sandbox.daemon import free_network
from daily_emr_sandbox.settings import Settings

from tests.chaos.account import TABLE, environment_of, prepare_account
from tests.chaos.holder import GUARDS, LEASE_S, OWNER, POINTS
from tests.chaos.rows import Row

ROOT = Path(__file__).resolve().parents[2]
LOOK_S = 0.02
TRIES = 5
"""A change that ends before it comes to its point is tried again: this machine was too slow for its lease."""
HOLDERS = 16
"""Processes that are stopped at the same time; most of their time is a lease that passes."""


@dataclass
class Oracle:
    """What the control plane did, and whether the writer held the lease at that moment."""

    aws: AwsServer
    executed: Counter[str] = field(default_factory=Counter)
    stale: Counter[str] = field(default_factory=Counter)

    def answer(self, call: Call) -> dict[str, Any]:
        """UpdateService of ECS. Called under the mutex."""
        target, fence = str(call.params["service"]), int(call.params["desiredCount"])
        key = {"pk": {"S": f"lease#{target}"}, "sk": {"S": "lease"}}
        item = self.aws.backend("dynamodb").get_item(TABLE, key)
        self.executed[target] += 1
        if int(item.attrs["fence"].value) != fence:
            self.stale[target] += 1
        return {"service": {"serviceName": target}}


@dataclass
class Holder:
    """One process, and the lines it is given and gives back."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, environment: dict[str, Any], folder: Path) -> Holder:
        command = [sys.executable, "-m", "tests.chaos.holder", json.dumps(environment), str(folder)]
        paths = os.pathsep.join(str(ROOT / name) for name in (".", "collections"))
        return cls(
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
                env={**os.environ, "PYTHONPATH": paths},
            )
        )  # fmt: skip

    def change(self, **said: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(said) + "\n")
        self.process.stdin.flush()

    def await_stop(self) -> bool:
        """Whether it stopped itself; False when its change ended first: its lease was over before it came so far."""
        assert self.process.stdout
        while True:
            pid, status = os.waitpid(self.process.pid, os.WNOHANG | os.WUNTRACED)
            if pid and os.WIFSTOPPED(status):
                return True
            if pid:
                raise RuntimeError("the holder died")
            if select.select([self.process.stdout], [], [], LOOK_S)[0]:
                self.process.stdout.readline()
                return False

    def go_on(self) -> dict[str, Any]:
        assert self.process.stdout
        os.kill(self.process.pid, signal.SIGCONT)
        said: dict[str, Any] = json.loads(self.process.stdout.readline() or '{"outcome": "died", "msg": ""}')
        return said

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def prefix(guards: str) -> str:
    """How the targets of these pauses begin."""
    return guards.replace(" ", "_")


def paused_holders(seed: int, pauses: int, say: Callable[[str], None]) -> Iterable[Row]:
    """The row of the pauses, with controls: without the credentials, and without any look at the lease."""
    with tempfile.TemporaryDirectory() as folder, free_network() as network:
        aws = AwsServer(Settings(Path(folder) / "state", network, time_factor=40, parts=frozenset()))
        oracle = Oracle(aws)
        aws.own_services["ecs"] = oracle.answer
        aws.start()
        holders = list[Holder]()
        try:
            prepare_account(aws)
            environment = environment_of(aws)
            holders = [Holder.start(environment, Path(folder) / f"holder-{n}") for n in range(HOLDERS)]
            yield _row(aws, oracle, holders, random.Random(seed), pauses, say)
        finally:
            for holder in holders:
                holder.end()
            aws.stop()


def _row(
    aws: AwsServer,
    oracle: Oracle,
    holders: list[Holder],
    chance: random.Random,
    pauses: int,
    say: Callable[[str], None],
) -> Row:
    started, faults = time.monotonic(), list[str]()
    plan = {"all": [chance.choice(POINTS) for _number in range(pauses)]}
    plan |= {guards: list(POINTS) * 4 for guards in GUARDS[1:]}
    stale = dict[str, int]()
    for guards, points in plan.items():
        tried = _pauses(aws, oracle, holders, guards, points)
        stale[guards] = sum(count for target, count in oracle.stale.items() if target.startswith(f"{prefix(guards)}-"))
        say(f"guards: {guards}: {len(points)} pauses, {stale[guards]} stale writes")
        if guards == "all":
            faults += [text for text in tried if text]
    late = [one for one in aws.calls.since() if one["operation"] == "UpdateService" and one["scoped"]]
    refused = sum(one["error"] == "AccessDeniedException" for one in late)
    if stale["all"]:
        faults.append(f"{stale['all']} stale writes were executed")
    if not refused:
        faults.append("AWS refused no late call, so the credentials were not tried")
    without, unlooked = (f"{stale[guards]} of {len(plan[guards])}" for guards in GUARDS[1:])
    controls = [
        f"without the credentials {without} pauses ended in a stale write",
        f"without any look at the lease {unlooked}",
    ]
    control = ", ".join(controls) if stale["no scope"] and stale["none"] > stale["no scope"] else ""
    name = f"holders stopped between check and call: 0 stale writes ({refused} late calls were refused by AWS)"
    return Row(name, pauses, tuple(faults), control, time.monotonic() - started)


def _pauses(aws: AwsServer, oracle: Oracle, holders: list[Holder], guards: str, points: list[str]) -> list[str]:
    """Stop a holder at each point, let another take its lease, and let it go on; what was wrong with each."""
    waiting, lock = list(enumerate(points)), threading.Lock()
    environment = Environment.from_params(environment_of(aws))

    def keep(holder: Holder) -> list[str]:
        clients = Clients(environment, environ={})
        store, wrong = LeaseStore(clients, TABLE), list[str]()
        while True:
            with lock:
                if not waiting:
                    return wrong
                number, point = waiting.pop()
            names = (f"{prefix(guards)}-{number}-{attempt}" for attempt in range(TRIES))
            found = (_pause(store, oracle, holder, guards, name, point) for name in names)
            wrong.append(next((text for text in found if text is not None), f"{number}: never stopped {point}"))

    with ThreadPoolExecutor(len(holders)) as pool:
        return [text for found in pool.map(keep, holders) for text in found]


def _pause(store: LeaseStore, oracle: Oracle, holder: Holder, guards: str, target: str, point: str) -> str | None:
    """What was wrong; None when it could not be tried."""
    # Lines of a journal are told apart by their run.
    run = f"run-{target}"
    lease = store.acquire(target, OWNER, "INC-1", run, 0, LEASE_S)
    holder.change(point=point, guards=guards, target=target, fence=lease.fence, run=run)
    if not holder.await_stop():
        return None
    if oracle.executed[target]:
        return f"{target}: it had written before it stopped {point}"
    store.acquire(target, "atieno@desk", "INC-2", "run-2", lease.fence, 120, "TICKET-1")
    said = holder.go_on()
    if guards == "all" and said["outcome"] not in ("refused", "failed"):
        return f"{target}: {said['outcome']} after a pause {point}: {said['msg']}"
    return ""
