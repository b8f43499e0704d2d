"""Verification that flaps, with the real code and the settings that the runbooks ship with.

A look is good when two independent signals are (docs of each *_verified module). A service that flaps shows each of
them good every other time; one that recovers slowly is bad for up to a third of the time that is given, and good from
then on; one that was good once is bad ever after. Time is not waited for.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._verification import Clock, Look, until_verified

from tests.chaos.rows import Row

ROOT = Path(__file__).resolve().parents[2]
RUNS = {"ci": 200, "long": 2_000}
SIGNALS = 2
# The bar for what has really recovered.
RECOVERED = 0.99

World = Callable[[float], bool]


@dataclass(frozen=True)
class Settings:
    """How one runbook verifies: consecutive good looks, seconds between two, seconds in all."""

    runbook: str
    passes: int
    interval: int
    timeout: int


def shipped() -> list[Settings]:
    """The settings of every runbook that verifies by looking again and again."""
    found = []
    for path in sorted((ROOT / "roles").glob("*/defaults/main.yml")):
        role, values = path.parents[1].name, yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if f"{role}_verify_passes" in values:
            names = ("verify_passes", "verify_interval_s", "verify_timeout_s")
            found.append(Settings(role, *(values[f"{role}_{name}"] for name in names)))
    return found


def verified(settings: Settings, world: World, passes: int) -> bool | None:
    """What the real verification says of a world, given as whether a look at a second is good."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def look(_params: Any, _clients: Any) -> Look:
        return Look([] if world(now[0]) else ["it is bad"], [])

    params = {"passes": passes, "interval": settings.interval, "timeout": settings.timeout}
    clients: Any = SimpleNamespace(environment=SimpleNamespace(seconds=float))
    found = until_verified(
        params, clients, lambda _text: None, look=look, clock=Clock(lambda: now[0], sleep), proof="a write"
    )
    said: bool | None = found["verified"]
    return said


def flapping(chance: random.Random, _settings: Settings) -> World:
    return lambda _second: all(chance.random() < 0.5 for _signal in range(SIGNALS))


def good_once(chance: random.Random, settings: Settings) -> World:
    good = chance.randrange(settings.passes - 1)
    return lambda second: second // settings.interval == good


def recovering(chance: random.Random, settings: Settings) -> World:
    since = chance.uniform(0, settings.timeout / 3)
    return lambda second: second >= since


def line(seed: int, size: Literal["ci", "long"], say: Callable[[str], None]) -> Iterable[Row]:
    """The rows of the table: no false success, and what has recovered is seen to have."""
    settings = shipped()
    yield from (
        _never(name, make, settings, seed, RUNS[size]) for name, make in (("flaps", flapping), ("good once", good_once))
    )
    say("Verification: what really recovers.")
    yield _always(settings, seed, RUNS[size])


def _cases(settings: list[Settings], runs: int) -> Iterator[tuple[int, Settings]]:
    return ((number, settings[number % len(settings)]) for number in range(runs))


def _never(
    name: str, make: Callable[[random.Random, Settings], World], settings: list[Settings], seed: int, runs: int
) -> Row:
    began = time.monotonic()
    faults, fooled = [], 0
    for number, one in _cases(settings, runs):
        if verified(one, make(random.Random(f"{seed} {number}"), one), one.passes) is True:
            faults.append(f"{one.runbook}, seed {seed}, run {number}: verified")
        fooled += verified(one, make(random.Random(f"{seed} {number}"), one), 1) is True
    control = f"with one look, {fooled} of {runs} verified" if fooled else ""
    return Row(f"verification that {name}", runs, tuple(faults), control, time.monotonic() - began)


def _always(settings: list[Settings], seed: int, runs: int) -> Row:
    began = time.monotonic()
    good = sum(
        verified(one, recovering(random.Random(f"{seed} {number}"), one), one.passes) is True
        for number, one in _cases(settings, runs)
    )
    dead = sum(verified(one, lambda _second: False, one.passes) is True for one in settings)
    faults = () if good >= RECOVERED * runs else (f"seed {seed}: only {good} of {runs} verified",)
    control = "" if dead else f"what never recovers: 0 of {len(settings)} verified"
    return Row("verification of what has recovered", runs, faults, control, time.monotonic() - began)
