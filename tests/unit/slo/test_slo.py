"""The mathematics against a table worked by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._slo import (
    LATENCY_PAIRS,
    PAIRS,
    Count,
    Policy,
    Series,
    State,
    Verdict,
    burn_over,
    call_for,
    forecast_freeze,
    freeze_state,
    judge,
    keep_ledgers,
    together,
)

from tests.unit.slo.traffic import AT, NO_CANARIES, minutes, outage, policy, steady


def judged(requests: Series, synthetic: Series = NO_CANARIES, at: datetime = AT) -> list[Verdict]:
    rules = policy(at)
    return [judge(requests, synthetic, pair, rules.budget, rules, at) for pair in PAIRS]


def call(requests: Series, synthetic: Series = NO_CANARIES) -> str:
    return call_for(judged(requests, synthetic))


def state_of(requests: Series, synthetic: Series = NO_CANARIES, rules: Policy | None = None) -> State:
    rules = rules or policy()
    return freeze_state(keep_ledgers(requests, synthetic, rules, AT), rules)


# -- the budget of a month ------------------------------------------------------------------------------------------

# days -> minutes, 0.1 % of them, and the part of it at which releases freeze
MONTHS = [
    (datetime(2026, 2, 15, tzinfo=UTC), 40_320, "40.32", 0.694),  # 28 x 1440; 28 / 40.32
    (datetime(2028, 2, 15, tzinfo=UTC), 41_760, "41.76", 0.670),  # 29 x 1440; 28 / 41.76
    (datetime(2026, 11, 15, tzinfo=UTC), 43_200, "43.2", 0.648),  # 30 x 1440; 28 / 43.2
    (datetime(2026, 10, 15, tzinfo=UTC), 44_640, "44.64", 0.627),  # 31 x 1440; 28 / 44.64
]


@pytest.mark.parametrize(("at", "month", "budget", "frozen_at"), MONTHS, ids=["28", "29", "30", "31"])
def test_a_month_has_its_own_budget(at: datetime, month: int, budget: str, frozen_at: float) -> None:
    rules = policy(at)
    assert rules.month_minutes == month
    assert rules.budget_minutes == Fraction(budget)
    assert float(rules.freeze_minutes / rules.budget_minutes) == pytest.approx(frozen_at, abs=0.0005)
    assert rules.since == at.replace(day=1)


@pytest.mark.parametrize(("at", "month", "budget", "_frozen_at"), MONTHS, ids=["28", "29", "30", "31"])
def test_ledger_r_of_a_month(at: datetime, month: int, budget: str, _frozen_at: float) -> None:
    # 14 days of 1000 requests a minute are 20 160 000. 10 080 of them failed: E = 0.0005, half of the budget. In
    # minutes of this month: 0.0005 x 40 320 = 20.16, x 41 760 = 20.88, x 43 200 = 21.6, x 44 640 = 22.32.
    requests = minutes(lambda _ago: (0.5, 1000.0), last=14 * 1440, at=at)
    ledgers = keep_ledgers(requests, NO_CANARIES, policy(at), at)
    assert ledgers is not None
    assert (ledgers.bad, ledgers.valid) == (10_080, 20_160_000)
    assert ledgers.ratio == Fraction(1, 2000)
    assert ledgers.budget_used(policy(at)) == 0.5
    assert ledgers.equivalent_minutes(policy(at)) == Fraction(budget) / 2
    assert ledgers.down_minutes == 0
    # The freeze is 28, and its last 7 minutes are CAUTION: 20.16 and 20.88 are below 21, 21.6 and 22.32 are not.
    expected = State.CAUTION if month >= 43_200 else State.OPEN
    assert freeze_state(ledgers, policy(at)) == expected


def test_four_weeks_are_counted_back_from_now() -> None:
    rules = policy(month_minutes=40_320)
    assert (rules.since, rules.budget_minutes) == (AT - timedelta(days=28), Fraction("40.32"))


def test_a_number_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        policy(target=99.9, min_bad=0, month_minutes=0)
    assert [reason.split()[0] for reason in refused.value.reasons] == ["slo.target", "slo.min_bad", "slo.month_minutes"]


# -- the minute ledger ----------------------------------------------------------------------------------------------

# Ratio of errors -> minutes until M says 28, and until the sum of the failed parts does: 28 / ratio. Below 5 % no
# minute is down.
FREEZES = [(1.0, 28, 28), (0.5, 28, 56), (0.1, 28, 280), (0.05, 28, 560), (0.02, None, 1400)]


@pytest.mark.parametrize(("ratio", "down", "fractional"), FREEZES)
def test_the_minutes_until_the_freeze_line(ratio: float, down: int | None, fractional: int) -> None:
    for lasted in (27, 28, fractional - 1, fractional):
        ledgers = keep_ledgers(minutes(outage(ratio, of_the_last=lasted), last=2000), NO_CANARIES, policy(), AT)
        assert ledgers is not None
        assert ledgers.down_minutes == (lasted if down else 0)
        assert ledgers.fractional_minutes == pytest.approx(ratio * lasted)
        assert (ledgers.down_minutes >= 28) == (down is not None and lasted >= down)
        assert (round(ledgers.fractional_minutes, 9) >= 28) == (lasted >= fractional)


@pytest.mark.parametrize(
    ("lasted", "state"), [(20, State.OPEN), (21, State.CAUTION), (27, State.CAUTION), (28, State.FREEZE)]
)
def test_a_total_outage_freezes_after_28_minutes(lasted: int, state: State) -> None:
    # 20 days are 28 800 minutes. 28 of them: E = 28 / 28 800, R = 42 minutes of 43 200, so R would freeze first, from
    # 28 x 28 800 / 43 200 = 18.7 minutes on. In a month that was busier before the outage, M is the one that freezes.
    def busier_before(ago: float) -> tuple[float, float]:
        return (100.0, 100.0) if ago <= lasted else (0.0, 1000.0)

    # E = 2800 / 28 774 800 of 43 200 minutes: 4.2.
    assert state_of(minutes(busier_before, last=20 * 1440)) == state


def test_ledger_r_freezes_when_no_minute_is_down() -> None:
    # 0.07 % of all requests: E x 43 200 = 30.24. Exactly 28 is 28 / 43 200 = 7 / 10 800: 7 bad of 10 800 freeze.
    assert state_of(minutes(steady(0.0007), last=20 * 1440)) == State.FREEZE
    assert state_of(minutes(lambda _ago: (7.0, 10_800.0), last=1440)) == State.FREEZE
    assert state_of(minutes(lambda _ago: (7.0, 10_801.0), last=1440)) == State.CAUTION


def test_a_minute_is_down_from_5_percent_of_50_requests_on() -> None:
    def ledger(bad: float, valid: float) -> tuple[float, float]:
        ledgers = keep_ledgers(minutes(lambda _ago: (bad, valid), last=1), NO_CANARIES, policy(), AT)
        assert ledgers is not None
        return ledgers.down_minutes, ledgers.undecided_minutes

    assert ledger(5, 100) == (1, 0)
    assert ledger(5, 101) == (0, 0)
    assert ledger(3, 50) == (1, 0)
    assert ledger(3, 49) == (0, 1)
    assert ledger(49, 49) == (0, 1)


def test_a_month_begins_with_its_first_minute() -> None:
    at = datetime(2026, 11, 1, 0, 10, tzinfo=UTC)
    requests = minutes(lambda ago: (1000.0 if ago > 10 else 0.0, 1000.0), last=60, at=at)
    ledgers = keep_ledgers(requests, NO_CANARIES, policy(at), at)
    assert ledgers is not None
    assert (ledgers.bad, ledgers.valid, ledgers.down_minutes) == (0, 10_000, 0)
    # The windows do not begin anew with the month.
    assert judged(requests, at=at)[0].long.bad == 50_000


# -- burn -----------------------------------------------------------------------------------------------------------

# Ratio of errors -> minutes until the page of 14.4 over 1 h: 60 x 1.44 % / ratio. That is 0.9, 1.7, 8.6, 17.3 and 43
# minutes; the short window fires in a twelfth of them. In steps of 0.024 minutes each is a whole number of steps, after
# which the burn is exactly 14.4. That is not faster than 14.4; one step more is.
PAGES = [(1.0, 0.864), (0.5, 1.728), (0.1, 8.64), (0.05, 17.28), (0.02, 43.2)]


@pytest.mark.parametrize(("ratio", "until"), PAGES)
def test_the_minutes_until_the_first_page(ratio: float, until: float) -> None:
    step, steps = 0.024, round(until / 0.024)
    assert step * steps == pytest.approx(until)

    def fires(number: int) -> bool | None:
        counts = [
            Count(AT - timedelta(minutes=step * ago), step, ratio * 1000 if ago <= number else 0.0, 1000.0)
            for ago in range(round(60 / step), 0, -1)
        ]
        rules = policy()
        return judge(Series.of(counts), NO_CANARIES, PAIRS[0], rules.budget, rules, AT).fires

    assert [fires(number) for number in (steps - 1, steps, steps + 1)] == [False, False, True]


def test_a_total_outage_pages_within_its_first_minute() -> None:
    # One minute of sixty: 1 / 60 = 1.67 %, a burn of 16.67; the last five minutes have 20 %, a burn of 200.
    fastest = judged(minutes(outage(1.0, of_the_last=1), last=4320))[0]
    assert fastest.fires is True
    assert fastest.long.burn == pytest.approx(16.667, abs=0.001)
    assert fastest.short.burn == pytest.approx(200)


# Pair -> bad of 100 000 requests at which the burn is exactly the threshold: 1.44 %, 0.6 %, 0.3 % and 0.1 %.
@pytest.mark.parametrize(("number", "bad"), list(enumerate([1440.0, 600.0, 300.0, 100.0])))
def test_exactly_at_its_threshold_a_pair_does_not_fire(number: int, bad: float) -> None:
    def fires(count: float) -> bool | None:
        return judged(minutes(lambda _ago: (count, 100_000.0), last=4320))[number].fires

    assert fires(bad) is False
    assert fires(bad + 1) is True


@pytest.mark.parametrize(
    ("ratio", "severities"),
    [
        (0.0010, []),
        (0.0011, ["ticket"]),
        (0.0031, ["ticket", "ticket"]),
        (0.0061, ["page", "ticket", "ticket"]),
        (0.0145, ["page", "page", "ticket", "ticket"]),
    ],
)
def test_a_steady_ratio_fires_every_pair_below_it(ratio: float, severities: list[str]) -> None:
    verdicts = judged(minutes(steady(ratio, valid=100_000), last=4320))
    assert [verdict.pair.severity for verdict in verdicts if verdict.fires] == severities
    assert call_for(verdicts) == (severities[0] if severities else "none")


def test_a_pair_ends_soon_after_the_trouble() -> None:
    # 30 minutes of 100 % that ended 6 minutes ago: the hour still burns at 500, the last five minutes at 0.
    requests = minutes(lambda ago: (1000.0 if 6 < ago <= 36 else 0.0, 1000.0), last=4320)
    fastest = judged(requests)[0]
    assert fastest.long.burn == pytest.approx(500)
    assert (fastest.short.burn, fastest.fires) == (0, False)


def test_slow_requests_burn_their_own_budget() -> None:
    # 5 % may be slow. Over 1 h it calls above 4 x 5 % = 20 %, over 6 h above 2 x 5 % = 10 %.
    rules = policy()

    def fires(ratio: float) -> list[bool | None]:
        slow = minutes(steady(ratio), last=360)
        return [judge(slow, NO_CANARIES, pair, rules.slow_ratio, rules, AT).fires for pair in LATENCY_PAIRS]

    assert fires(0.05) == [False, False]
    assert fires(0.10) == [False, False]
    assert fires(0.11) == [False, True]
    assert fires(0.20) == [False, True]
    assert fires(0.21) == [True, True]


def test_a_window_is_never_shorter_than_its_counts_are_apart() -> None:
    requests = Series.of(minutes(steady(0.01), last=60).counts, shortest_minutes=15)
    burn = burn_over(requests, 5, policy().budget, AT)
    assert (burn.window_minutes, burn.minutes, burn.valid) == (5, 15, 15_000)


# -- sparse traffic -------------------------------------------------------------------------------------------------


def test_one_error_in_fifty_requests_at_night_does_not_page() -> None:
    # Fifty requests in the hour, one of them failed two minutes ago: 2 %, a burn of 20, and 17 % of the last five
    # minutes. But one bad request is fewer than 10.
    night = minutes(lambda ago: (1.0 if ago == 2 else 0.0, 1.0 if ago % 6 else 0.0), last=60)
    fastest = judged(night)[0]
    assert (fastest.long.bad, fastest.long.valid) == (1, 50)
    assert fastest.long.over(PAIRS[0].burn)
    assert fastest.short.over(PAIRS[0].burn)
    assert (fastest.fires, fastest.held_back) == (False, True)
    assert "too few" in fastest.why
    assert call(night) == "none"


@pytest.mark.parametrize(
    ("bad", "valid_5m", "fires"), [(10, 50, True), (9, 50, False), (10, 49, False), (9, 49, False)]
)
def test_the_guard_lets_a_page_through_from_10_bad_and_50_requests_on(bad: int, valid_5m: int, fires: bool) -> None:
    counts = [Count(AT - timedelta(minutes=3), 1.0, float(bad), float(valid_5m))]
    rules = policy()
    assert judge(Series.of(counts), NO_CANARIES, PAIRS[0], rules.budget, rules, AT).fires is fires


def test_at_night_canaries_decide() -> None:
    night = minutes(lambda ago: (1.0 if ago == 2 else 0.0, 1.0), last=4320)
    well, failing = minutes(steady(0, valid=1), last=4320), minutes(outage(1, of_the_last=1, valid=1), last=4320)
    assert call(night, together([well, well])) == "none"
    assert call(night, together([failing, well])) == "none"
    # One minute of an hour, at both places: 1 / 60 is more than 1.44 %.
    verdicts = judged(night, together([failing, failing]))
    assert (verdicts[0].fires, verdicts[0].source) == (True, "synthetic")
    assert call_for(verdicts) == "page"


def test_busy_requests_outweigh_canaries() -> None:
    busy = minutes(steady(0.02), last=4320)
    well = minutes(steady(0, valid=1), last=4320)
    assert judged(busy, together([well, well]))[0].source == "requests"
    assert call(busy, together([well, well])) == "page"


def test_a_minute_without_a_request_is_down_when_canaries_fail_from_two_places() -> None:
    requests = minutes(lambda ago: (0.0, 0.0 if ago <= 30 else 1000.0), last=1440)
    failing = minutes(outage(1, of_the_last=30, valid=1), last=1440)
    well = minutes(steady(0, valid=1), last=1440)
    for places, down in (([failing, failing], 30), ([failing, failing, well], 30), ([failing, well], 0)):
        ledgers = keep_ledgers(requests, together(places), policy(), AT)
        assert ledgers is not None
        assert (ledgers.down_minutes, ledgers.missing_minutes, ledgers.data_age_minutes) == (down, 0, 0)
    assert state_of(requests, together([failing, failing])) == State.FREEZE
    assert state_of(requests, together([failing, well])) == State.OPEN
    # One place that reports is no second opinion.
    assert state_of(requests, together([failing])) == State.UNKNOWN


# -- no data --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("requests", [Series(), minutes(lambda _ago: (0.0, 0.0), last=4320)], ids=["absent", "zero"])
def test_without_any_request_nothing_is_known(requests: Series) -> None:
    assert keep_ledgers(requests, NO_CANARIES, policy(), AT) is None
    assert state_of(requests) == State.UNKNOWN
    assert call(requests) == "unknown"
    assert [verdict.fires for verdict in judged(requests)] == [None] * 4
    assert burn_over(requests, 60, policy().budget, AT).burn is None


@pytest.mark.parametrize(("age", "state"), [(15, State.OPEN), (16, State.UNKNOWN)])
def test_data_older_than_15_minutes_is_no_data(age: int, state: State) -> None:
    stopped = minutes(lambda ago: (0.0, 0.0 if ago <= age else 1000.0), last=4320)
    ledgers = keep_ledgers(stopped, NO_CANARIES, policy(), AT)
    assert ledgers is not None
    assert ledgers.data_age_minutes == age
    assert freeze_state(ledgers, policy()) == state
    assert judged(stopped)[0].fires is None
    assert call(stopped) == "unknown"


@pytest.mark.parametrize(
    ("gap", "missing", "state"),
    [(15, 0, State.OPEN), (16, 16, State.OPEN), (20, 20, State.OPEN), (21, 21, State.UNKNOWN)],
)
def test_minutes_that_nothing_is_known_of_could_have_been_down(gap: int, missing: int, state: State) -> None:
    # 20 minutes more would leave it OPEN, 21 would be CAUTION: so what it is now nobody knows.
    requests = minutes(lambda ago: (0.0, 0.0 if 100 < ago <= 100 + gap else 1000.0), last=1440)
    ledgers = keep_ledgers(requests, NO_CANARIES, policy(), AT)
    assert ledgers is not None
    assert ledgers.missing_minutes == missing
    assert freeze_state(ledgers, policy()) == state


def test_a_freeze_stays_one_whatever_the_missing_minutes_were() -> None:
    def rate(ago: float) -> tuple[float, float]:
        return (1000.0 if ago <= 28 else 0.0, 0.0 if 100 < ago <= 200 else 1000.0)

    assert state_of(minutes(rate, last=1440)) == State.FREEZE


def test_absent_minutes_and_minutes_of_zero_are_the_same_silence() -> None:
    zero = minutes(lambda ago: (0.0, 0.0 if 100 < ago <= 140 else 1000.0), last=1440)
    absent = Series.of(count for count in zero.counts if count.valid)
    assert keep_ledgers(zero, NO_CANARIES, policy(), AT) == keep_ledgers(absent, NO_CANARIES, policy(), AT)


# -- the forecast ---------------------------------------------------------------------------------------------------


def test_the_forecast_of_the_freeze() -> None:
    # 14 minutes of a total outage two days ago: M = 14, 14 left. Now 5 % fail, a burn of 50 over the last hour, but
    # each such minute is down as well, so 60 more: M is past the line. With 4.9 % none is: 14 / (49 x 0.001) = 285.7.
    def rate(ago: float) -> tuple[float, float]:
        return (49.0 if ago <= 60 else 1000.0 if 2880 < ago <= 2894 else 0.0, 1000.0)

    rules, requests = policy(), minutes(rate, last=20 * 1440)
    ledgers = keep_ledgers(requests, NO_CANARIES, rules, AT)
    assert ledgers is not None
    assert ledgers.down_minutes == 14
    forecast = forecast_freeze(ledgers, judged(requests)[0], rules)
    assert forecast.minutes == pytest.approx(14 / (49 * 0.001))
    assert forecast.page is True


def test_the_forecast_calls_only_when_the_freeze_is_less_than_6_hours_away() -> None:
    # Nothing is spent. 28 / (burn x 0.001) minutes: 6 h are a burn of 77.8, which a ratio of 7.8 % has.
    rules = policy()
    fine = keep_ledgers(minutes(steady(0), last=1440), NO_CANARIES, rules, AT)
    for ratio, hours, page in ((0.077, 6.06, False), (0.078, 5.98, True)):
        forecast = forecast_freeze(fine, judged(minutes(steady(ratio), last=60))[0], rules)
        assert forecast.minutes == pytest.approx(hours * 60, rel=0.001)
        assert forecast.page is page


def test_a_forecast_rests_on_enough_requests_and_on_known_ones() -> None:
    rules = policy()
    spent = keep_ledgers(minutes(outage(1, of_the_last=27), last=20 * 1440), NO_CANARIES, rules, AT)
    night = minutes(lambda ago: (1.0 if ago == 2 else 0.0, 1.0), last=60)
    assert forecast_freeze(spent, judged(night)[0], rules).page is False
    assert forecast_freeze(spent, judged(Series())[0], rules).page is None
    assert forecast_freeze(None, judged(night)[0], rules).page is None
    assert forecast_freeze(spent, judged(minutes(steady(0), last=60))[0], rules).minutes is None
