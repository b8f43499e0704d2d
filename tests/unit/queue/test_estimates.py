"""Drain times, workers that fit and are needed, and the ladder of a redrive."""

from __future__ import annotations

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_estimate import (
    Flow,
    drain_s,
    drain_time,
    fitting_workers,
    needed_workers,
    outlook,
    slice_ratio,
    slice_size,
    usable_connections,
    with_workers,
)
from hypothesis import given
from hypothesis import strategies as st

NEVER = float("inf")


@pytest.mark.parametrize(
    ("depth", "arrivals", "completions", "seconds"),
    [
        (0, 9.0, 1.0, 0.0),
        (600, 1.0, 3.0, 300.0),
        (600, 3.0, 3.0, NEVER),
        # Within what two looks can tell, the rates are the same.
        (600, 3.0, 3.05, NEVER),
        (600, 3.0, 1.0, NEVER),
    ],
)
def test_a_backlog_drains_by_what_is_done_beyond_what_arrives(
    depth: int, arrivals: float, completions: float, seconds: float
) -> None:
    assert drain_s(depth, arrivals, completions) == pytest.approx(seconds)


def test_nobody_knows_the_drain_time_of_what_was_not_measured() -> None:
    assert Flow(depth=10, arrivals=1.0).drain_s is None
    assert [drain_time(seconds) for seconds in (None, NEVER, 42.0, 600.0)] == ["unknown", "never", "42 s", "10 min"]


@given(st.integers(0, 10_000), st.floats(0, 100), st.floats(0, 100), st.floats(0.1, 50))
def test_more_completions_never_make_it_longer(depth: int, arrivals: float, completions: float, more: float) -> None:
    assert drain_s(depth, arrivals, completions + more) <= drain_s(depth, arrivals, completions)


@pytest.mark.parametrize(("running", "in_use", "fit"), [(2, 14, 15), (2, 38, 3), (2, 39, 2), (2, 45, 2), (0, 30, 5)])
def test_a_fifth_of_the_connections_stays_free(running: int, in_use: int, fit: int) -> None:
    assert fitting_workers(running=running, usable=usable_connections(50), in_use=in_use, pool=2) == fit


@given(st.integers(0, 20), st.integers(10, 500), st.integers(0, 500), st.integers(1, 20))
def test_workers_that_fit_never_use_more_than_may_be_used(running: int, maximum: int, in_use: int, pool: int) -> None:
    usable = usable_connections(maximum)
    fit = fitting_workers(running=running, usable=usable, in_use=in_use, pool=pool)
    assert fit >= running
    assert fit == running or in_use + (fit - running) * pool <= usable <= maximum * 0.8


@pytest.mark.parametrize(
    ("flow", "workers"),
    [
        # 16 a second and 250 in 90 s are 18.8; each worker does five.
        (Flow(depth=250, arrivals=16.0, completions=10.0, workers=2), 4),
        (Flow(depth=0, arrivals=16.0, completions=20.0, workers=4), 4),
        (Flow(depth=250, arrivals=16.0, completions=0.0, workers=2), None),
        (Flow(depth=250, arrivals=16.0, completions=10.0), None),
        (Flow(arrivals=16.0, completions=10.0, workers=2), None),
    ],
)
def test_as_many_workers_are_needed_as_drain_it_in_time(flow: Flow, workers: int | None) -> None:
    assert needed_workers(flow, 90.0) == workers


@given(st.integers(1, 5000), st.floats(0, 50), st.floats(0.5, 50), st.integers(1, 10))
def test_needed_workers_do_drain_it_in_time(depth: int, arrivals: float, completions: float, workers: int) -> None:
    flow = Flow(depth=depth, arrivals=arrivals, completions=completions, workers=workers)
    needed = needed_workers(flow, 90.0)
    assert needed is not None
    after = with_workers(flow, needed)
    assert after is not None
    assert after >= arrivals + depth / 90.0 - 1e-6


def test_a_plan_says_rates_drain_time_connections_and_provider() -> None:
    flow = Flow(depth=250, arrivals=16.0, completions=10.0, workers=2, connections=20, usable_connections=40)
    assert outlook(flow, completions=20.0, connections=24, provider_rate=40) == [
        "Depth: 250 jobs; arrivals: 16.0/s; completions: 10.0/s now, 20.0/s after it.",
        "Drain time: never now, 62 s after it.",
        "Connections of the database: 20 now, 24 after it, of 40 that may be used.",
        "Rate at the provider: 10.0/s now, 20.0/s after it, of 40/s that the provider accepts.",
    ]
    assert outlook(Flow(), completions=None) == [
        "Depth: an unknown number of jobs; arrivals: unknown; completions: unknown now, unknown after it.",
        "Drain time: unknown now, unknown after it.",
        "Connections of the database: unknown.",
        "Rate at the provider: unknown now, unknown after it.",
    ]


def test_a_redrive_climbs_from_a_handful() -> None:
    assert [slice_size(number, 100) for number in range(1, 8)] == [5, 10, 20, 40, 80, 100, 100]
    assert [slice_size(number, 3) for number in (1, 2)] == [3, 3]
    assert slice_size(0, 0) == 1


@pytest.mark.parametrize(("failed", "total", "ratio"), [(0, 5, 0.0), (1, 5, 0.2), (5, 100, 0.05), (0, 0, 0.0)])
def test_a_slice_is_judged_by_its_own_jobs(failed: int, total: int, ratio: float) -> None:
    assert slice_ratio(failed=failed, total=total) == pytest.approx(ratio)
