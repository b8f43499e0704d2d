"""The month and what the one before has left: months of any length, four weeks beside them, freezes that go on."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._slo import Count, Series, State
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_days import Day, begin
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_month import (
    Carried,
    calendar_policy,
    carried_freeze,
    month_budget,
    month_page,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_pages import put, rendered
from ansible_collections.daily_emr.ops.plugins.module_utils._slo_readings import Kept, days_between, month_before
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Readings

from tests.unit.slo.traffic import SLO

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = (ROOT / "roles/slo/templates/month.html.j2").read_text()
AT = datetime(2026, 12, 9, 12, tzinfo=UTC)
SERVICE = {"component": "emr-web"}


def traffic(at: datetime, down: dict[date, int] | None = None, silent: tuple[date, ...] = (), step: int = 5) -> Kept:
    """Steady requests since the first of the month before; on the days of ``down`` all of so many minutes fail.

    Minutes are counted five at once, as CloudWatch has them after 15 days.
    """
    counts = []
    for day in days_between(month_before(at), at.date() + timedelta(days=1)):
        bad = (down or {}).get(day, 0)
        for minute in range(0, 1440, step):
            moment = begin(day) + timedelta(minutes=minute)
            if moment < at and day not in silent:
                counts.append(Count(moment, step, 500 if minute < bad else 0, 500))
    readings = Readings()
    readings.values |= {"requests": Series.of(counts), "synthetic": Series()}
    return Kept(month_before(at), readings)


@pytest.mark.parametrize(
    ("at", "budget"),
    [
        (datetime(2026, 2, 10, tzinfo=UTC), 40.32),
        (datetime(2028, 2, 10, tzinfo=UTC), 41.76),
        (datetime(2026, 11, 10, tzinfo=UTC), 43.2),
        (datetime(2026, 12, 10, tzinfo=UTC), 44.64),
    ],
)
def test_the_budget_is_that_of_the_calendar_month_and_the_freeze_is_not(at: datetime, budget: float) -> None:
    policy = calendar_policy({**SLO, "month_minutes": 40_320}, at)
    assert float(policy.budget_minutes) == budget
    assert float(policy.freeze_minutes) == 28
    made = month_page(traffic(at), SERVICE, SLO, at, 15)
    assert made["calendar"]["ledgers"]["budget_minutes"] == budget
    assert made["rolling"]["ledgers"]["budget_minutes"] == 40.32


@pytest.mark.parametrize(
    ("minutes", "state"), [(0, "OPEN"), (20, "OPEN"), (25, "CAUTION"), (30, "FREEZE"), (60, "FREEZE")]
)
def test_minutes_of_outage_lead_to_caution_and_to_a_freeze(minutes: int, state: str) -> None:
    # At the end of the month, when both ledgers have the same to say of an outage.
    at = datetime(2026, 12, 31, 23, 55, tzinfo=UTC)
    budget = month_budget(traffic(at, {date(2026, 12, 3): minutes}), SLO, at)
    assert budget.ledgers
    assert (budget.ledgers.down_minutes, str(budget.state)) == (minutes, state)


def test_the_first_of_a_month_makes_nothing_well_in_the_last_four_weeks() -> None:
    made = month_page(traffic(AT, {date(2026, 11, 25): 40}), SERVICE, SLO, AT, 15)
    assert (made["state"], made["rolling"]["state"]) == ("OPEN", "FREEZE")
    assert made["rolling"]["ledgers"]["minutes"]["down"] == 40
    assert made["carried"] == {"state": "FREEZE", "frozen_on": "2026-11-25", "calm_days": 13}


def test_a_silent_month_is_unknown_and_no_number_of_it_is_0() -> None:
    readings = Readings()
    readings.values |= {"requests": Series(), "synthetic": Series()}
    made = month_page(Kept(month_before(AT), readings), SERVICE, SLO, AT, 15)
    assert made["state"] == "UNKNOWN"
    assert made["calendar"]["ledgers"]["known"] is False
    assert {row["valid"] for row in made["days"]} == {None}
    assert {row["down_minutes"] for row in made["days"]} == {None}


def test_what_could_not_be_read_is_unknown_with_the_reason() -> None:
    readings = Readings()
    readings.unread["requests"] = "the ledger cannot be read: no answer."
    made = month_page(Kept(month_before(AT), readings), SERVICE, SLO, AT, 15)
    assert (made["state"], made["days"], made["carried"]) == ("UNKNOWN", [], None)
    assert made["unread"] == ["the ledger cannot be read: no answer."]


# -- the freeze of the month before -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "down", "silent", "expected", "holds"),
    [
        # Calm since 26 November: seven calm days are over on the evening of 2 December.
        (2, {date(2026, 11, 26): 60}, (), Carried(State.FREEZE, date(2026, 11, 26), 5), True),
        (4, {date(2026, 11, 26): 60}, (), Carried(State.FREEZE, date(2026, 11, 26), 7), False),
        # Frozen early: when the month rolls it was calm for long, and goes on calm.
        (1, {date(2026, 11, 5): 60}, (), Carried(State.FREEZE, date(2026, 11, 5), 25), False),
        # A day that burns begins the count anew, and a silent one is not calm.
        (9, {date(2026, 11, 28): 60, date(2026, 12, 4): 5}, (), Carried(State.FREEZE, date(2026, 11, 28), 5), True),
        (9, {date(2026, 11, 28): 60}, (date(2026, 12, 4),), Carried(State.FREEZE, date(2026, 11, 28), 5), True),
        # What was thawed once is not frozen again by a bad day in the new month.
        (20, {date(2026, 11, 28): 60, date(2026, 12, 15): 5}, (), Carried(State.FREEZE, date(2026, 11, 28), 16), False),
        # Not frozen: nothing goes on.
        (2, {date(2026, 11, 28): 20}, (), Carried(State.OPEN), False),
        # Nobody knows an hour or more of that month.
        (2, {}, (date(2026, 11, 28),), Carried(State.UNKNOWN, date(2026, 11, 30), 1), None),
        (9, {}, (date(2026, 11, 28),), Carried(State.UNKNOWN, date(2026, 11, 30), 8), False),
    ],
)
def test_a_freeze_ends_when_the_month_rolls_and_seven_days_were_calm(
    day: int, down: dict[date, int], silent: tuple[date, ...], expected: Carried, holds: bool | None
) -> None:
    at = datetime(2026, 12, day, 6, tzinfo=UTC)
    found = carried_freeze(traffic(at, down, silent), SLO, at)
    assert found == expected
    assert found.holds(7) is holds


def test_a_service_that_was_not_there_last_month_has_no_freeze_to_go_on() -> None:
    silent = tuple(days_between(date(2026, 11, 1), date(2026, 12, 1)))
    assert carried_freeze(traffic(AT, {}, silent), SLO, AT) == Carried()


@pytest.mark.parametrize(("bad", "calm"), [(1439, True), (1440, False), (1441, False)])
def test_a_day_is_calm_when_it_burns_slower_than_the_budget_is_given(bad: int, calm: bool) -> None:
    at = datetime(2026, 12, 2, tzinfo=UTC)
    day = date(2026, 12, 1)
    readings = Readings()
    counts = [Count(begin(day) + timedelta(minutes=minute), 1, bad / 1440, 1000) for minute in range(1440)]
    frozen = [Count(begin(date(2026, 11, 30)) + timedelta(minutes=minute), 1, 500, 500) for minute in range(1440)]
    readings.values |= {"requests": Series.of(counts + frozen), "synthetic": Series()}
    found = carried_freeze(Kept(date(2026, 11, 1), readings), SLO, at)
    assert found.calm_days == calm


# -- forecast, days and page ------------------------------------------------------------------------------------------


def test_the_forecast_is_at_the_pace_of_the_last_hour() -> None:
    kept = traffic(AT, step=1)
    counts = [
        Count(count.at, 1, 5 if count.at >= AT - timedelta(hours=1) else 0, 500) for count in kept.requests.counts
    ]
    kept.readings.values["requests"] = Series.of(counts)
    made = month_page(kept, SERVICE, SLO, AT, 15)
    # 1 % of the last hour failed, which is a burn of 10: 28 min / (10 * 0.001).
    assert made["calendar"]["freeze_in_minutes"] == 2800


def days() -> dict[str, Any]:
    kept = traffic(AT, {date(2026, 12, 3): 25})
    stored = {date(2026, 12, 3): Day(date(2026, 12, 3), "0:1/5", "")}
    made = month_page(Kept(kept.first, kept.readings, stored, ["2026-12-04"]), SERVICE, SLO, AT, 15)
    return {**made, "environment": "staging"}


def test_each_day_has_a_row_with_its_source_and_what_is_missing() -> None:
    rows = {row["day"]: row for row in days()["days"]}
    assert len(rows) == 9
    assert rows["2026-12-03"]["source"] == "ledger"
    assert rows["2026-12-03"]["missing_minutes"] == 1439
    assert rows["2026-12-03"]["down_minutes"] == 25
    assert rows["2026-12-04"] | {"bad": 0} == rows["2026-12-04"]
    assert (rows["2026-12-09"]["source"], rows["2026-12-09"]["finished"]) == ("live", False)
    assert (rows["2026-12-09"]["valid"], rows["2026-12-08"]["valid"]) == (72_000, 144_000)


def test_days_that_can_still_be_written_are_told_from_those_that_are_lost() -> None:
    made = days()
    assert made["to_write"][0] == "2026-11-25"
    assert made["to_write"][-1] == "2026-12-08"
    assert "2026-12-03" not in made["to_write"]
    assert (made["lost"][0], made["lost"][-1]) == ("2026-11-01", "2026-11-24")


def test_the_page_is_whole_without_a_script_and_says_what_nobody_knows(tmp_path: Path) -> None:
    made = days()
    text = rendered(TEMPLATE, made)
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "")
    assert 'name="viewport"' in text
    assert "2026-12-04 in the ledger is not as it was written" in text
    assert "09 December 2026, 12:00 UTC, 15:00 EAT" in text
    json_file, html_file = put(tmp_path / "pages", made, text)
    assert json.loads(json_file.read_text()) == made
    assert html_file.read_text() == text

    readings = Readings()
    readings.unread["requests"] = "<b>no answer</b>"
    nothing = month_page(Kept(month_before(AT), readings), SERVICE, SLO, AT, 15)
    page = rendered(TEMPLATE, {**nothing, "environment": "staging"})
    assert "unknown" in page
    assert "&lt;b&gt;no answer" in page
