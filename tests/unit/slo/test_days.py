"""A day of the ledger: what it keeps, what it leaves out, and when it can be written."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._slo import Count, Series
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_days import (
    Day,
    begin,
    day_of,
    item_of,
    packed,
    unpacked,
    unwritable,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_readings import merged
from hypothesis import given
from hypothesis import strategies as st

DAY = date(2026, 11, 21)
START = begin(DAY)


def count(minute: int, bad: float, valid: float, day: datetime = START) -> Count:
    return Count(day + timedelta(minutes=minute), 1.0, bad, valid)


def test_a_day_is_kept_in_runs_and_a_silent_minute_stands_nowhere() -> None:
    text = packed([count(0, 0, 120), count(1, 3, 118), count(2, 0, 0), count(75, 0, 90)], DAY)
    assert text == "0:120,3/118;75:90"
    assert unpacked(text, DAY) == (count(0, 0, 120), count(1, 3, 118), count(75, 0, 90))
    assert unpacked("", DAY) == ()


@given(
    st.dictionaries(
        st.integers(0, 1439),
        st.tuples(st.integers(0, 10_000), st.integers(1, 100_000)).map(lambda pair: (min(pair), max(pair))),
        max_size=60,
    )
)
def test_what_is_kept_is_what_was_counted(counted: dict[int, tuple[int, int]]) -> None:
    counts = tuple(count(minute, *counted[minute]) for minute in sorted(counted))
    assert unpacked(packed(counts, DAY), DAY) == counts


def test_minutes_of_other_days_are_left_out() -> None:
    assert packed([count(-1, 0, 5), count(1440, 0, 5), count(1439, 1, 5)], DAY) == "1439:1/5"


def test_missing_minutes_are_counted_and_named_and_canaries_make_a_minute_known() -> None:
    requests = Series.of(count(minute, 0, 60) for minute in range(1440) if not 130 <= minute < 160)
    day = Day.of(DAY, requests, Series())
    assert (day.missing, day.gaps) == (30, ["02:10-02:39"])
    seen = Day.of(DAY, requests, Series.of(count(minute, 0, 1) for minute in range(130, 159)))
    assert (seen.missing, seen.gaps) == (1, ["02:39-02:39"])
    nothing = Day.of(DAY, Series(), Series())
    assert (nothing.missing, nothing.gaps) == (1440, ["00:00-23:59"])


def test_only_the_first_gaps_are_named() -> None:
    day = Day.of(DAY, Series.of(count(minute, 0, 1) for minute in range(0, 1440, 2)), Series())
    assert len(day.gaps) == 11
    assert day.gaps[-1] == "and 710 more"


def test_an_item_that_is_not_as_it_was_written_is_no_day() -> None:
    item = item_of("emr-web", Day.of(DAY, Series.of([count(0, 1, 100)]), Series()), "2026-11-22T00:20:00.000Z")
    assert item["pk"]["S"] == "slo#emr-web"
    assert item["sk"]["S"] == "day#2026-11-21"
    found = day_of(item)
    assert found
    assert (found.day, found.requests, found.source, found.missing) == (DAY, "0:1/100", "cloudwatch", 1439)
    assert day_of({**item, "requests": {"S": "0:100"}}) is None
    assert day_of({**item, "requests": {"S": "no day"}}) is None
    assert day_of({name: value for name, value in item.items() if name != "sha256"}) is None


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (datetime(2026, 11, 20, 12, tzinfo=UTC), "in the future"),
        (datetime(2026, 11, 21, 23, 59, tzinfo=UTC), "not over"),
        (datetime(2026, 11, 22, 0, 14, tzinfo=UTC), "may still arrive: run again after 00:15 UTC"),
        (datetime(2026, 11, 22, 0, 15, tzinfo=UTC), ""),
        (datetime(2026, 12, 5, 21, tzinfo=UTC), ""),
        (datetime(2026, 12, 6, tzinfo=UTC), "which it keeps for 15 days"),
    ],
)
def test_a_day_is_written_when_it_is_over_and_while_its_minutes_are_kept(now: datetime, why: str) -> None:
    said = unwritable(DAY, now, 15)
    assert why in said
    assert bool(said) == bool(why)


def test_a_day_of_the_ledger_stands_for_whatever_is_read_of_it_now() -> None:
    live = Series.of([count(0, 9, 9), count(0, 2, 50, START + timedelta(days=1))])
    both = merged(live, {DAY: "0:1/100"})
    assert both.counts == (count(0, 1, 100), count(0, 2, 50, START + timedelta(days=1)))
