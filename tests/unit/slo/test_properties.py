"""More failures are never better news, and nothing known is never good news."""

from __future__ import annotations

from datetime import timedelta

from ansible_collections.daily_emr.ops.plugins.module_utils._slo import (
    PAIRS,
    Count,
    Series,
    State,
    freeze_state,
    judge,
    keep_ledgers,
    together,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.slo.traffic import AT, NO_CANARIES, policy

RULES = policy()
WORSE = [State.OPEN, State.CAUTION, State.FREEZE]
# (bad, good) of each of the last minutes.
MINUTES = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 2000)), min_size=1, max_size=90)


def series(found: list[tuple[int, int]], more_bad: int = 0) -> Series:
    """The requests; more_bad of the good ones of each minute failed, too."""
    counts = []
    for ago, (bad, good) in enumerate(found, 1):
        turned = min(more_bad, good)
        counts.append(Count(AT - timedelta(minutes=ago), 1.0, float(bad + turned), float(bad + good)))
    return Series.of(counts)


def attempts(ago: list[int]) -> Series:
    failed = set(ago)
    return Series.of(
        Count(AT - timedelta(minutes=minute), 1.0, float(minute in failed), 1.0) for minute in range(1, 91)
    )


@given(MINUTES, st.integers(0, 500))
@settings(max_examples=100, deadline=None)
def test_more_failures_never_lower_a_ledger_or_a_burn(found: list[tuple[int, int]], more: int) -> None:
    one, other = (keep_ledgers(series(found, bad), NO_CANARIES, RULES, AT) for bad in (0, more))
    if one is None or other is None:
        assert one is other
        return
    assert one.valid == other.valid
    assert one.down_minutes <= other.down_minutes
    assert one.fractional_minutes <= other.fractional_minutes + 1e-9
    assert one.spent_minutes(RULES) <= other.spent_minutes(RULES)
    states = [freeze_state(ledgers, RULES) for ledgers in (one, other)]
    if State.UNKNOWN not in states:
        assert WORSE.index(states[0]) <= WORSE.index(states[1])
    for pair in PAIRS:
        before, after = (judge(series(found, bad), NO_CANARIES, pair, RULES.budget, RULES, AT) for bad in (0, more))
        assert not (before.fires and not after.fires)
        assert (before.long.burn or 0) <= (after.long.burn or 0)


@given(MINUTES, st.integers(1, 30))
@settings(max_examples=50, deadline=None)
def test_ten_times_the_same_traffic_has_the_same_ratio(found: list[tuple[int, int]], times: int) -> None:
    many = [(bad * times, good * times) for bad, good in found]
    one, other = (keep_ledgers(series(counts), NO_CANARIES, RULES, AT) for counts in (found, many))
    assert (one and one.ratio) == (other and other.ratio)


@given(MINUTES, st.sets(st.integers(0, 89)))
@settings(max_examples=100, deadline=None)
def test_lost_data_adds_no_down_minute_and_is_not_hidden(found: list[tuple[int, int]], lost: set[int]) -> None:
    whole = series([(bad, good + 50) for bad, good in found])
    kept = Series.of(count for ago, count in enumerate(reversed(whole.counts)) if ago not in lost)
    ledgers = keep_ledgers(kept, NO_CANARIES, RULES, AT)
    if not kept.counts:
        assert ledgers is None
        assert freeze_state(ledgers, RULES) == State.UNKNOWN
        return
    full = keep_ledgers(whole, NO_CANARIES, RULES, AT)
    assert full is not None
    assert ledgers is not None
    assert ledgers.down_minutes <= full.down_minutes
    if ledgers.data_age_minutes > RULES.stale_minutes:
        assert freeze_state(ledgers, RULES) == State.UNKNOWN


@given(st.lists(st.integers(1, 90)), st.lists(st.integers(1, 90)), st.lists(st.integers(1, 90)))
@settings(max_examples=50, deadline=None)
def test_another_place_that_fails_never_lowers_what_is_down(one: list[int], two: list[int], three: list[int]) -> None:
    def down(*places: Series) -> float:
        ledgers = keep_ledgers(Series(), together(places), RULES, AT)
        assert ledgers is not None
        return ledgers.down_minutes

    both = down(attempts(one), attempts(two))
    assert both == len(set(one) & set(two))
    assert both <= down(attempts(one), attempts(two), attempts(three))
