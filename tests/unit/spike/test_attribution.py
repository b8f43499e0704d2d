"""Tables of counts, and what they say: which value explains the bad requests, and when they began."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._attribution import (
    NONE,
    UNKNOWN,
    Count,
    Point,
    change_point,
    marginals,
    outlier,
    signature,
    signatures,
    slowest,
    split,
    suspects,
)
from hypothesis import given
from hypothesis import strategies as st

START = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
Counts = dict[str, tuple[int, int]]

# Dimension, (bad, requests) by value, all bad requests; whether it explains, and which value is the worst.
SPLITS: list[tuple[str, str, Counts, int, bool | None, str | None]] = [
    ("a canary", "release", {"48": (90, 300), "47": (10, 2700)}, 100, True, "48"),
    ("both releases alike", "release", {"48": (10, 300), "47": (90, 2700)}, 100, False, "47"),
    ("the only release", "release", {"48": (100, 3000)}, 100, False, "48"),
    ("79 percent", "release", {"48": (79, 300), "47": (21, 2700)}, 100, False, "48"),
    ("80 percent", "release", {"48": (80, 300), "47": (20, 2700)}, 100, True, "48"),
    ("the busiest route, no worse than others", "route", {"/a": (90, 900), "/b": (10, 110)}, 100, False, "/a"),
    ("the busiest route, and the only one that fails", "route", {"/a": (90, 900), "/b": (0, 300)}, 90, True, "/a"),
    ("too few others to compare with", "route", {"/a": (90, 900), "/b": (0, 5)}, 90, False, "/a"),
    ("one zone of three", "zone", {"a": (60, 500), "b": (5, 500), "c": (5, 500)}, 70, True, "a"),
    ("two zones of three", "zone", {"a": (60, 500), "b": (60, 500), "c": (5, 500)}, 125, False, "a"),
    ("one task", "task", {"t1": (40, 400), "t2": (1, 400)}, 41, True, "t1"),
    ("few bad requests of a busy task", "task", {"t1": (4, 40), "t2": (1, 40)}, 5, False, "t1"),
    ("no bad request", "task", {"t1": (0, 400)}, 0, False, None),
    ("one tenant", "tenant", {"3f": (95, 100), **{f"{n}": (0, 90) for n in range(30)}}, 95, True, "3f"),
    ("nobody says the tenant", "tenant", {UNKNOWN: (95, 100)}, 95, None, None),
    ("the silent ones could turn it", "task", {"t1": (70, 400), "t2": (2, 400), UNKNOWN: (28, 60)}, 100, None, "t1"),
    ("the silent ones turn nothing", "task", {"t1": (85, 400), "t2": (2, 400), UNKNOWN: (13, 60)}, 100, True, "t1"),
    ("rows left out are silent ones", "tenant", {"3f": (30, 40), "77": (5, 400)}, 100, None, "3f"),
    ("a dependency", "dependency", {"sha": (90, 95), NONE: (5, 2900)}, 95, True, "sha"),
    ("a dependency that is slow, not failing", "dependency", {"sha": (1, 300), NONE: (90, 2900)}, 91, False, "sha"),
    ("no dependency", "dependency", {NONE: (90, 2900)}, 90, False, None),
    ("a dependency of every request", "dependency", {"database": (500, 500)}, 500, True, "database"),
]


@pytest.mark.parametrize(
    ("dimension", "given_counts", "bad", "explains", "value"), [row[1:] for row in SPLITS], ids=[r[0] for r in SPLITS]
)
def test_split(dimension: str, given_counts: Counts, bad: int, explains: bool | None, value: str | None) -> None:
    found = split(dimension, {name: Count(*pair) for name, pair in given_counts.items()}, bad, 0.8)

    assert (found.explains, found.value) == (explains, value), found.seen


@given(
    st.dictionaries(st.text("abc", min_size=1), st.tuples(st.integers(0, 500), st.integers(0, 500)), max_size=6),
    st.integers(0, 200),
)
def test_what_explains_has_the_share_and_is_worse_than_the_others(pairs: Counts, unsaid: int) -> None:
    counts = {name: Count(min(pair), max(pair)) for name, pair in pairs.items()}
    total = sum(count.bad for count in counts.values()) + unsaid
    found = split("route", counts, total, 0.8)
    if found.explains:
        assert found.value is not None
        others = [count for name, count in counts.items() if name != found.value]
        assert counts[found.value].bad >= 0.8 * total
        assert counts[found.value].ratio > max(0.0, *(0.0 for _ in others))
        assert sum(count.requests for count in others) > 0


def series(*parts: tuple[int, int, int]) -> list[Point]:
    """Parts of a series as (minutes, bad, requests) of each minute."""
    counts = [(bad, requests) for minutes, bad, requests in parts for _ in range(minutes)]
    return [Point(START + timedelta(minutes=n), *pair) for n, pair in enumerate(counts)]


@pytest.mark.parametrize(
    ("points", "minute"),
    [
        pytest.param(series((50, 0, 300), (10, 60, 300)), 50, id="a step"),
        pytest.param(series((50, 1, 300), (10, 5, 300)), 50, id="a small step"),
        pytest.param(series((50, 3, 300), (10, 5, 300)), None, id="drift"),
        pytest.param(series((60, 1, 300)), None, id="level"),
        pytest.param(series((60, 60, 300)), None, id="bad all along"),
        pytest.param(series((50, 60, 300), (10, 0, 300)), None, id="it ended"),
        pytest.param(series((58, 0, 300), (2, 60, 300)), 58, id="two minutes ago"),
        pytest.param(series((59, 0, 300), (1, 60, 300)), None, id="one minute is not a part"),
        pytest.param(series((3, 0, 300), (57, 60, 300)), None, id="three minutes do not say what is usual"),
        pytest.param(series((50, 0, 2), (10, 1, 2)), 50, id="few requests, but ten minutes of them"),
        pytest.param(series((50, 0, 1), (3, 1, 1)), 50, id="three of three fail after fifty that did not"),
        pytest.param(series((55, 0, 300), (5, 1, 300)), 55, id="five in a row after none in 16 500"),
        pytest.param(series((30, 0, 300), (2, 40, 300), (18, 0, 300), (10, 60, 300)), 50, id="a short peak before"),
        pytest.param(
            series((30, 0, 300), (10, 90, 300), (10, 0, 300), (10, 20, 300)), 50, id="trouble that ended before"
        ),
        pytest.param(series((30, 0, 300), (10, 90, 300), (10, 1, 300), (10, 40, 300)), 50, id="it did not quite end"),
        pytest.param(series((40, 0, 300), (10, 10, 300), (10, 60, 300)), 40, id="it grew"),
        pytest.param(series((50, 0, 300), (9, 60, 300), (1, 0, 300)), 50, id="one good minute is no end"),
        pytest.param(series((1, 60, 300), (49, 0, 300), (10, 60, 300)), 50, id="a bad minute long ago"),
        pytest.param(
            series((5, 0, 10), (20, 4, 10), (40, 0, 10), *[(1, 0, 10), (1, 1, 10)] * 12), 66, id="few before a peak"
        ),
        pytest.param(series((15, 0, 10), (30, 1, 10), (25, 0, 10), (20, 1, 10)), 70, id="like the trouble before"),
        pytest.param(series((40, 0, 300), (9, 60, 300), (2, 0, 300), (9, 60, 300)), 40, id="two good minutes in it"),
        pytest.param(series((50, 0, 0), (10, 0, 0)), None, id="nobody came"),
        pytest.param([], None, id="nothing was counted"),
    ],
)
def test_onset(points: list[Point], minute: int | None) -> None:
    found = change_point(points)

    assert (found and found.at) == (None if minute is None else START + timedelta(minutes=minute))


def test_minutes_that_are_missing_are_left_out_not_taken_for_good() -> None:
    points = [point for point in series((40, 0, 300), (20, 60, 300)) if not 30 <= point.at.minute < 50]

    found = change_point(points)

    assert found
    assert found.at == START + timedelta(minutes=50)


def change(kind: str, minutes: float) -> dict[str, object]:
    return {"kind": kind, "name": f"{kind}{minutes}", "at": START + timedelta(minutes=minutes)}


def test_suspects_are_those_near_the_onset_the_nearest_first() -> None:
    changes = [change("flag", -59), change("flag", -61), change("secret", 4), change("call", 6), change("release", -4)]

    found = suspects(changes, START, START - timedelta(minutes=60), START + timedelta(minutes=5))

    assert [(item["name"], item["minutes_before"]) for item in found] == [
        ("release-4", 4.0),
        ("secret4", -4.0),
        ("flag-59", 59.0),
    ]


@pytest.mark.parametrize(
    ("p95", "explains", "value"),
    [
        ({"/a": 2400.0, "/b": 80.0}, True, "/a"),
        ({"/a": 2400.0, "/b": 900.0}, False, "/a"),
        ({"/a": 400.0, "/b": 80.0}, False, None),
        ({"/a": 2400.0}, False, "/a"),
        ({"/a": None, "/b": None}, None, None),
        ({UNKNOWN: 2400.0, "/b": 80.0}, False, None),
    ],
)
def test_slow(p95: dict[str, float | None], explains: bool | None, value: str | None) -> None:
    found = slowest("route", {name: Count(0, 100, ms) for name, ms in p95.items()}, 600, 50)

    assert (found.explains, found.value) == (explains, value), found.seen


def test_a_value_with_few_requests_is_not_called_slow() -> None:
    assert slowest("route", {"/a": Count(0, 3, 9000.0), "/b": Count(0, 900, 80.0)}, 600, 50).explains is False


def test_an_outlier_is_compared_with_the_median_of_the_others() -> None:
    counts = {"a": Count(50, 100), "b": Count(1, 100), "c": Count(3, 100), UNKNOWN: Count(9, 9)}

    assert outlier(counts, "a") == (0.5, 0.02)
    assert outlier({"a": Count(50, 100)}, "a") is None
    assert outlier(counts, "d") is None


def test_rows_add_up_by_dimension_and_silence_is_a_value() -> None:
    rows = [
        {"task": "t1", "dependency": "sha", "bad": 5},
        {"task": "t1", "bad": 2},
        {"dependency": "sha", "bad": "4"},
    ]

    assert marginals(rows, "task") == {"t1": 7, UNKNOWN: 4}
    assert marginals(rows, "dependency") == {"sha": 9, NONE: 2}


def test_a_signature_is_status_route_and_dependency() -> None:
    rows = [
        {"status": "500", "route": "/a", "task": "t1", "bad": 3},
        {"status": "500", "route": "/a", "task": "t2", "bad": 3},
        {"status": "504", "route": "/b", "dependency": "sha", "bad": 1},
        {"bad": 9},
    ]

    assert signature(rows[2]) == "504 /b sha"
    assert signatures(rows, 2) == ["unknown unknown none", "500 /a none"]
