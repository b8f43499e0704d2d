"""Verification of telehealth: good many times in a row, by real joins; anything else starts anew."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import RunOutcome
from ansible_collections.daily_emr.ops.plugins.module_utils._record import judge
from ansible_collections.daily_emr.ops.plugins.modules import telehealth_verified

from tests.unit.changes.world import Json
from tests.unit.web_service.conftest import Clock

from .conftest import Spoil, Telehealth
from .readings import line, usual

GOAL = {"success": 0.99, "joins": 30, "bookings": 5}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(telehealth_verified, "monotonic", made.monotonic)
    monkeypatch.setattr(telehealth_verified, "sleep", made.sleep)
    return made


def verify(telehealth: Telehealth, **more: Any) -> Json:
    pace = {"passes": 3, "interval": 300, "timeout": 3600}
    result = telehealth.read("telehealth_verified", **{**GOAL, **pace, **more})
    assert not result.get("failed"), result["msg"]
    return result


def test_good_joins_are_verified_after_all_passes(telehealth: Telehealth, clock: Clock) -> None:
    result = verify(telehealth)
    assert (result["verified"], result["passes"], result["looks"]) == (True, 3, 3), result["failing"]
    assert clock.slept == pytest.approx([300, 300])
    assert result["reached"] == ""
    assert telehealth.sent() == []


@pytest.mark.usefixtures("clock")
def test_joins_from_before_the_first_look_do_not_count(telehealth: Telehealth) -> None:
    verify(telehealth, passes=1)
    starts = {query["startTime"] for query in telehealth.world.queries}
    ends = {query["endTime"] for query in telehealth.world.queries}
    assert max(ends) - min(starts) <= 3


def test_check_mode_does_not_look(telehealth: Telehealth) -> None:
    result = telehealth.read("telehealth_verified", check=True, **GOAL, passes=3, interval=1, timeout=9)
    assert (result["verified"], result["looks"], result["reached"]) == (None, 0, "")
    assert telehealth.primary.requests == []


def bot(good: bool) -> Spoil:
    return lambda telehealth: telehealth.world.bot.update(primary=(70 if not good else -1, {0}))


# Each signal alone is enough; every other one is good.
BAD: dict[str, tuple[Spoil, str]] = {
    "one join in fifty fails": (
        lambda telehealth: telehealth.world.joins.append(line(3, 1, failure="ice")),
        "joins: 129 of 131 joins succeeded (98.5%)",
    ),
    "the joins that succeed are at the other provider": (
        lambda telehealth: setattr(telehealth.world, "joins", [line(50, 40), line(5000, provider="secondary")]),
        "joins: 40 of 50 joins succeeded (80.0%)",
    ),
    "the bot fails": (bot(good=False), "bot: the bot could not join"),
    "the API is down": (lambda telehealth: telehealth.patients_fail("token_503"), "api_down: 128 joins failed for it"),
    "a fifth is of poor quality": (
        lambda telehealth: telehealth.world.joins.append(line(40, poor=40)),
        "quality_poor: 24% of 168",
    ),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.usefixtures("clock")
def test_one_bad_signal_is_enough(telehealth: Telehealth, bad: str) -> None:
    spoil, why = BAD[bad]
    spoil(telehealth)
    result = verify(telehealth, timeout=600)
    assert (result["verified"], result["passes"]) == (False, 0)
    assert any(why in reason for reason in result["failing"]), result["failing"]


UNSEEN: dict[str, tuple[Spoil, str]] = {
    "29 joins": (lambda telehealth: setattr(telehealth.world, "joins", [line(29)]), "joins: 29 of the 30"),
    "joins at the other provider": (
        lambda telehealth: setattr(telehealth.world, "joins", [line(29), line(90, provider="secondary")]),
        "joins: 29 of the 30 at primary that prove something",
    ),
    "no flag of the bookings": (
        lambda telehealth: telehealth.flags.flags.pop("telehealth-bookings-by-phone"),
        "goal: LaunchDarkly has no flag telehealth-bookings-by-phone",
    ),
    "new sessions are divided": (
        lambda telehealth: telehealth.flags.of("provider").update(fallthrough={"rollout": {}}),
        "goal: telehealth-provider serves no single provider to everybody",
    ),
    "no bot": (bot(good=True), "bot: the bot has not joined lately"),
    "our probe alone": (lambda telehealth: telehealth.down("primary"), "api_down: status: 503"),
    "no log": (lambda telehealth: telehealth.world.broken.add("StartQuery"), "joins_failing: could not read"),
}


@pytest.mark.parametrize("unseen", UNSEEN)
@pytest.mark.usefixtures("clock")
def test_what_cannot_be_seen_is_neither_good_nor_bad(telehealth: Telehealth, unseen: str) -> None:
    spoil, why = UNSEEN[unseen]
    spoil(telehealth)
    result = verify(telehealth, timeout=600)
    assert (result["verified"], result["passes"]) == (None, 0)
    assert any(why in reason for reason in result["failing"]), result["failing"]


@pytest.mark.usefixtures("clock")
def test_thirty_joins_are_enough(telehealth: Telehealth) -> None:
    telehealth.world.joins = [line(30)]
    assert verify(telehealth)["verified"] is True


def test_one_bad_look_starts_the_count_anew(telehealth: Telehealth, clock: Clock) -> None:
    good = list(telehealth.world.joins)
    clock.after(600, lambda: telehealth.world.joins.append(line(60, 0, failure="ice")))
    clock.after(900, lambda: setattr(telehealth.world, "joins", good))
    result = verify(telehealth)
    assert (result["verified"], result["looks"]) == (True, 6)


def test_another_provider_starts_the_count_anew(telehealth: Telehealth, clock: Clock) -> None:
    """What was seen at one provider proves nothing of the other."""
    telehealth.world.joins = [*usual(), *usual(provider="secondary")]
    switch = {"variation": 1}
    clock.after(600, lambda: telehealth.flags.of("provider", hours=0.1).update(fallthrough=switch))
    result = verify(telehealth)
    # Two at the primary, one that sees the change, three at the secondary.
    assert (result["verified"], result["looks"]) == (True, 6), result["failing"]
    assert any("it was primary and is secondary now" in text for text in telehealth.said)


# Visits by phone: nobody can be seen online, and that is not what is verified.


@pytest.fixture
def by_phone(telehealth: Telehealth) -> Telehealth:
    telehealth.down()
    telehealth.flags.of("bookings_by_phone")["on"] = True
    telehealth.world.joins = [line(60, 0, failure="token_503")]
    telehealth.world.bookings = [{"channel": "phone", "bookings": "5"}]
    return telehealth


@pytest.mark.usefixtures("clock")
def test_visits_by_phone_are_a_goal_of_their_own(by_phone: Telehealth) -> None:
    result = verify(by_phone)
    assert (result["verified"], result["reached"]) == (True, telehealth_verified.BY_PHONE)


def test_visits_online_again_start_the_count_anew(by_phone: Telehealth, clock: Clock) -> None:
    """Good looks at bookings prove nothing of joins."""

    def online() -> None:
        by_phone.flags.of("bookings_by_phone")["on"] = False
        by_phone.world.joins = usual()
        by_phone.up()

    clock.after(600, online)
    result = verify(by_phone)
    assert (result["verified"], result["looks"], result["reached"]) == (True, 6, ""), result["failing"]


@pytest.mark.parametrize(
    ("bookings", "verified", "why"),
    [
        ({"phone": "50", "video": "1"}, False, "bookings: 1 visit booked online"),
        ({"phone": "4"}, None, "bookings: 4 of the 5 that prove something"),
        ({}, None, "bookings: 0 of the 5"),
    ],
)
@pytest.mark.usefixtures("clock")
def test_bookings_must_come_and_none_online(
    by_phone: Telehealth, bookings: dict[str, str], verified: bool | None, why: str
) -> None:
    by_phone.world.bookings = [{"channel": channel, "bookings": count} for channel, count in bookings.items()]
    result = verify(by_phone, timeout=600)
    assert result["verified"] is verified
    assert why in result["failing"][0]


@pytest.mark.parametrize(("reached", "end"), [("", "it is healthy again"), (telehealth_verified.BY_PHONE, "by phone")])
def test_a_run_says_what_was_reached(reached: str, end: str) -> None:
    """Two providers that are down are not health, whatever was done about the visits."""
    lines = [
        {"kind": "outcome", "outcome": "ok", "step": "s", "target": "t", "seq": 1},
        {"kind": "verified", "verified": True, "reached": reached, "seq": 2},
    ]
    outcome, sentence = judge(lines, "", check_mode=False)
    assert outcome is RunOutcome.SUCCEEDED
    assert end in sentence
    assert ("healthy" in sentence) == (not reached)
