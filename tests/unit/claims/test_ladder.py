"""The ladder, its bounds and its stop conditions, and the estimates: pure."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_ladder import (
    LADDER,
    MOST_PER_MINUTE,
    STEPS,
    allowance,
    bound_refusals,
    previous_refusals,
    rung_of,
    seconds_to_drain,
    stop_reasons,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._claims_ledger import (
    Slice,
    Totals,
    settle_seconds,
    slice_of,
    summed,
)
from hypothesis import given
from hypothesis import strategies as st

NORMAL = 60.0
MINUTES_5 = 300.0


def fared(*counts: tuple[str, str, int], p95_ms: int = 300) -> Slice:
    return Slice({(state, outcome): number for state, outcome, number in counts}, p95_ms)


GOOD = fared(("acked", "acked", 100))


def test_the_steps_are_those_of_the_domain() -> None:
    assert [allowance(step, 10_000, NORMAL, MINUTES_5).claims for step in STEPS] == [1, 5, 30, 75, 150, 300, 10_000]
    shares = [allowance(step, 10_000, NORMAL, MINUTES_5).per_second * 60 / NORMAL for step in STEPS]
    assert shares == pytest.approx([0.1, 0.1, 0.1, 0.25, 0.5, 1.0, 0.5])


@given(
    step=st.sampled_from(STEPS),
    waiting=st.integers(0, 100_000),
    normal=st.floats(0.1, MOST_PER_MINUTE),
    step_s=st.floats(0.5, 1800.0),
)
def test_no_step_lets_more_go_than_wait_or_faster_than_usual(
    step: int, waiting: int, normal: float, step_s: float
) -> None:
    allowed = allowance(step, waiting, normal, step_s)
    assert 0 <= allowed.claims <= waiting
    assert allowed.claims > 0 or not waiting
    assert allowed.per_second <= normal / 60
    assert LADDER[step - 1].rest or allowed.claims <= max(normal / 60 * step_s, 5)


@given(waiting=st.integers(0, 50_000), normal=st.floats(1.0, MOST_PER_MINUTE))
def test_a_backlog_never_drains_faster_than_the_usual_rate(waiting: int, normal: float) -> None:
    assert seconds_to_drain(waiting, normal, MINUTES_5) >= waiting / (normal / 60) * 0.999


@pytest.mark.parametrize(
    ("step", "normal", "minutes"), [(0, 60, 5), (8, 60, 5), (1, 0, 5), (1, 601, 5), (1, 60, 31), (1, 60, 0)]
)
def test_no_input_leaves_its_bounds(step: int, normal: float, minutes: int) -> None:
    assert len(bound_refusals(step, normal, minutes)) == 1


@pytest.mark.parametrize(("step", "normal", "minutes"), [(1, 0.5, 1), (7, 600, 30)])
def test_at_its_bounds_an_input_is_good(step: int, normal: float, minutes: int) -> None:
    assert bound_refusals(step, normal, minutes) == []


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (fared(("acked", "acked", 94), ("deferred", "connect", 6)), "6 failed of 100"),
        (fared(("acked", "acked", 94), ("rejected", "rejected", 6)), "6 rejected of 100"),
        (fared(("acked", "acked", 94), ("deferred", "unauthorized", 6)), "6 refused for the credentials"),
        (fared(("acked", "acked", 94), ("deferred", "other", 6)), "6 with an answer nobody knows"),
        (
            fared(("acked", "acked", 90), ("rejected", "rejected", 3), ("deferred", "connect", 3)),
            "3 failed, 3 rejected",
        ),
        (fared(("acked", "acked", 999), ("deferred", "throttled", 1)), "429"),
        (fared(("acked", "acked", 999), ("unknown", "timeout", 1)), "1 claim with an unknown outcome"),
        (fared(("acked", "acked", 9), p95_ms=2001), "P95 2001 ms"),
        (fared(("rejected", "rejected", 1)), "1 rejected of 1"),
    ],
)
def test_a_step_stops_the_redrive(seen: Slice, words: str) -> None:
    (reason,) = stop_reasons(seen, 1000)
    assert words in reason


@pytest.mark.parametrize(
    "seen",
    [
        GOOD,
        fared(("acked", "acked", 95), ("deferred", "connect", 5)),
        fared(("acked", "acked", 9), p95_ms=2000),
        fared(("ready", "", 5), ("sending", "", 1)),
        fared(("acked", "reconciled", 5)),
        Slice(),
    ],
)
def test_a_step_that_is_good_enough_does_not(seen: Slice) -> None:
    assert stop_reasons(seen, 1000) == []


def test_a_step_needs_a_good_one_before_it() -> None:
    assert previous_refusals({}, 1000) == []
    assert previous_refusals({1: GOOD}, 1000) == []
    assert "must be the last one" in previous_refusals({1: GOOD, 2: fared(("unknown", "timeout", 1))}, 1000)[0]
    assert "still under way" in previous_refusals({2: fared(("acked", "acked", 4), ("sending", "", 1))}, 1000)[0]
    assert "came back unsent" in previous_refusals({2: fared(("acked", "acked", 40), ("deferred", "", 1))}, 1000)[0]
    assert previous_refusals({1: GOOD, 2: Slice()}, 1000) == [], "one that let nothing go says nothing"


@pytest.mark.parametrize(
    ("step", "taken", "rung"),
    [(1, (), 1), (2, (), 1), (6, (), 1), (2, (1,), 2), (5, (1, 2), 3), (6, (1, 2, 5), 6), (7, (), 2), (7, (1,), 7)],
)
def test_no_rung_is_left_out(step: int, taken: tuple[int, ...], rung: int) -> None:
    before = {number: GOOD if number in taken else Slice() for number in range(1, step)}
    assert rung_of(step, before) == rung


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500), st.integers(-3, 3))
def test_totals_add_up_or_say_that_they_do_not(accepted: int, rejected: int, unknown: int, off: int) -> None:
    totals = Totals(accepted + rejected + unknown + off, accepted, rejected, unknown, 0, 0)
    assert totals.add_up is (off == 0)
    assert ("≠" in totals.sentence) is (off != 0)


def test_words_that_nobody_knows_stay_in_the_database() -> None:
    planted = "Wanjiku CR9912345"
    row = {"state": planted, "class": planted, "claims": 1, "oldest_s": 1.0, "due": 0, "overdue": 0}
    assert planted not in str(summed([row]))
    assert planted not in str(slice_of([{"state": planted, "outcome": planted, "claims": 1, "p95_ms": 1}]))


def test_no_input_lets_the_payer_be_asked_about_a_claim_that_may_be_under_way() -> None:
    clients = SimpleNamespace(environment=SimpleNamespace(seconds=lambda aws_seconds: aws_seconds / 2))
    assert settle_seconds(clients, 0) == settle_seconds(clients, 120) == 60
    assert settle_seconds(clients, 300) == 150
    hurried = SimpleNamespace(environment=SimpleNamespace(seconds=lambda aws_seconds: aws_seconds / 60))
    assert settle_seconds(hurried, 120) == 5, "an answer takes as long as it takes"
