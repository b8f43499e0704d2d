"""Verification of the traffic: burn, errors, latency and signatures, good many times in a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.modules import web_service_traffic_verified as module

from tests.unit.changes.world import Json
from tests.unit.spike.conftest import MINUTE, Spike
from tests.unit.spike.readings import bad, usual
from tests.unit.web_service.conftest import Clock

Spoil = Callable[[Spike], object]
# The same requests under the names of both readers: the attribution's and the budget's.
GOOD: Json = {"target_2xx": 290, "target_4xx": 10, "t2": 290, "t4": 10, "p95": 0.04}
BAD: Json = {**GOOD, "target_2xx": 240, "target_5xx": 50, "t2": 240, "t5": 50}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "monotonic", made.monotonic)
    monkeypatch.setattr(module, "sleep", made.sleep)
    return made


@pytest.fixture(autouse=True)
def _good(spike: Spike) -> None:
    """A service that was good for an hour, and goes on to be."""
    spike.world.series = [GOOD] * 60
    spike.world.log = usual()
    # Some minutes of the series come after the verification began.
    spike.world.now += 4 * MINUTE


def verify(spike: Spike, *, check: bool = False, **more: Any) -> Json:
    given = {"passes": 3, "interval": 60, "timeout": 600, **more}
    result = spike.run("web_service_traffic_verified", check=check, **given)
    assert not result.get("failed"), result["msg"]
    return result


def test_good_traffic_is_verified_after_all_its_passes(spike: Spike, clock: Clock) -> None:
    result = verify(spike)

    assert (result["verified"], result["looks"], clock.slept) == (True, 3, [60, 60])
    assert result["sentence"] == "Good 3 times in a row, each time with a burn below 1."
    assert spike.world.mutations == []


def test_check_mode_verifies_nothing(spike: Spike, clock: Clock) -> None:
    result = verify(spike, check=True)

    assert (result["verified"], result["looks"], clock.slept) == (None, 0, [])


def errors(spike: Spike) -> None:
    spike.world.series = [*[GOOD] * 50, *[BAD] * 10]


def a_burn_of_two(spike: Spike) -> None:
    """One request in 500 fails: no spike, and still more than the budget gives."""
    spike.world.series = [{**GOOD, "target_2xx": 999, "target_5xx": 2, "t2": 988, "t5": 2}] * 60


def slowness(spike: Spike) -> None:
    spike.world.series = [{**GOOD, "p95": 0.9}] * 60


def a_new_signature(spike: Spike) -> None:
    spike.world.log = [*usual(), *bad(5, route="/api/charts/:id")]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (errors, "errors_elevated"),
        (a_burn_of_two, "burn: 2.0 times too fast"),
        (slowness, "latency_high: P95 900 ms"),
        (a_new_signature, "new_error_signature: 500 /api/charts/:id none"),
    ],
)
@pytest.mark.usefixtures("clock")
def test_one_bad_signal_is_enough(spike: Spike, spoil: Spoil, words: str) -> None:
    spoil(spike)

    result = verify(spike)

    assert result["verified"] is False
    assert words in result["sentence"]


@pytest.mark.usefixtures("clock")
def test_a_signature_that_was_there_before_is_not_new(spike: Spike) -> None:
    a_new_signature(spike)

    assert verify(spike, known_signatures=["500 /api/charts/:id none"])["verified"] is True


def nobody_counts(spike: Spike) -> None:
    spike.world.series = []


def no_metrics(spike: Spike) -> None:
    spike.world.broken.add("GetMetricData")


def no_log(spike: Spike) -> None:
    spike.world.broken.add("StartQuery")


@pytest.mark.parametrize("spoil", [nobody_counts, no_metrics, no_log])
@pytest.mark.usefixtures("clock")
def test_what_cannot_be_seen_is_neither_good_nor_bad(spike: Spike, spoil: Spoil) -> None:
    spoil(spike)

    result = verify(spike)

    assert (result["verified"], result["passes"]) == (None, 0)
    assert result["sentence"].startswith("Nobody can tell")


def test_one_bad_look_starts_the_count_anew(spike: Spike, clock: Clock) -> None:
    clock.after(60, lambda: slowness(spike))
    clock.after(120, lambda: spike.world.series.__setitem__(slice(None), [GOOD] * 60))

    result = verify(spike)

    assert (result["verified"], result["looks"]) == (True, 5)
