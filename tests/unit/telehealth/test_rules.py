"""Each rule at its edge: beside a finding the near miss that is none, and what cannot be told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import healthy as state_of
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_evidence import SYMPTOMS, TelehealthEvidence
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_findings import facts, judged, observe
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_flags import (
    AUDIO,
    BITRATE,
    PHONE,
    PROVIDER,
    REGION,
    RELAY,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_joins import Pace, culprit, joins_of
from ansible_collections.daily_emr.ops.plugins.module_utils._turn import Transport
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import iso

from .readings import (
    MINUTE,
    NOW,
    REFUSED,
    TELEHEALTH,
    THRESHOLDS,
    TIMEOUT,
    Spoil,
    all_failing,
    all_of,
    answer,
    bot_fails,
    flag,
    healthy,
    joins,
    line,
    look,
    lost,
    provider,
    putting,
    relay,
    samples,
    settle,
    token,
    usual,
)


def see(*spoils: Spoil, time_factor: float = 1.0) -> TelehealthEvidence:
    readings = healthy()
    for spoil in spoils:
        spoil(readings)
    return observe(settle(readings), TELEHEALTH, THRESHOLDS, str(iso(NOW)), time_factor=time_factor)


def found(evidence: TelehealthEvidence) -> set[str]:
    return {item["name"] for item in evidence.observations if item["status"] == "finding"}


NAMES = sorted(item["name"] for item in see().observations)


def test_healthy_telehealth_has_no_finding_and_no_unknown() -> None:
    evidence = see()
    assert {item["status"] for item in evidence.observations} == {"ok"}
    assert len(NAMES) == len(set(NAMES))
    assert state_of(judged(evidence)) is True
    assert set(SYMPTOMS) <= set(NAMES)
    for item in evidence.observations:
        assert all(item[key] for key in ("name", "status", "subject", "expected", "seen", "at", "call")), item


UDP, TCP = Transport.UDP, Transport.TCP
SILENT = (relay(UDP, "timeout"), relay(TCP, "timeout"))
NO_UDP = (relay(UDP, "timeout"), relay(TCP))
NO_TCP = (relay(UDP), relay(TCP, "refused"))
BOUND = (relay(UDP, credential=False), relay(TCP, credential=False))
DOWN = answer(503)
CUT_OFF: dict[str, Any] = {"status": TIMEOUT, "token": TIMEOUT, "room": TIMEOUT, "relays": SILENT}
# Nobody wants to join, and the bot cannot.
AT_NIGHT = (joins(kept=False), bot_fails("primary"))
ON_SECONDARY = flag(PROVIDER, "secondary", minutes=61)
UDP_FAILS = joins(
    *(line(25, 0, isp=isp, failure="ice") for isp in ("safaricom", "airtel")),
    *(line(7, isp=isp, transport="tcp") for isp in ("safaricom", "airtel")),
    kept=False,
)

FEW_BY_TCP = joins(line(30, 0), line(9, transport="tcp"), kept=False)
# Everywhere in one version, and in every version of one network.
NEW_VERSION = joins(*({**row, "good": "0", "failure": "client"} for row in usual(app_version="2026.48.0")))
ONE_ISP = joins(*({**row, "good": "0", "failure": "ice"} for row in usual(isp="faiba")))


def delivered(minutes: float) -> Spoil:
    return look(webhooks=answer(200, last_event_at=NOW.timestamp(), last_delivered_at=NOW.timestamp() - minutes * 60))


def full(used: int) -> Spoil:
    return look(status=answer(200, quota={"used": used, "limit": 100}))


def pace(rtt_ms: float = 60.0, p95_ms: float = 1800.0, count: int = 100) -> Spoil:
    return putting("pace", [Pace("af-south-1", count, p95_ms, rtt_ms), Pace("eu-west-1", 9, 20_000.0, 900.0)])


OTHER_UNUSABLE = [
    look("secondary", token=DOWN),
    look("secondary", token=answer(401)),
    look("secondary", room=answer(500)),
    look("secondary", relays=SILENT),
    look("secondary", relays=BOUND),
    look("secondary", relays=()),
    look("secondary", status=answer(200, status="outage")),
    look("secondary", status=answer(200, quota={"used": 5, "limit": 5})),
    look("secondary", **CUT_OFF),
]
# Observation -> readings that make it a finding, that just do not, and that leave it unknown.
TABLE: dict[str, tuple[list[Spoil], list[Spoil], list[Spoil]]] = {
    "joins_failing": (
        [joins(line(100, 96), kept=False), all_failing("ice"), joins(line(10, 9), kept=False)],
        [joins(line(100, 97), kept=False)],
        # Eight of nine failed, and it is night.
        [lost("joins"), joins(line(9, 1), kept=False), joins(kept=False)],
    ),
    "joins_missing": ([joins(kept=False)], [joins(line(1, 0), kept=False)], [lost("joins")]),
    "one_version": (
        [joins(line(30, 0, app_version="2026.48.0", failure="client"))],
        [
            all_failing("ice"),
            joins(line(4, 0, app_version="2026.48.0")),
            # Four failures of five are its own, and the others are not well either.
            joins(line(30, 0, app_version="2026.48.0"), line(8, 0, failure="ice")),
        ],
        [lost("joins"), joins(line(40, 10), kept=False)],
    ),
    "one_isp": (
        [joins(line(20, 0, isp="faiba", failure="ice"), line(5, 0, isp="faiba", transport="tcp", failure="ice"))],
        [all_failing("ice"), UDP_FAILS, joins(line(4, 0, isp="faiba"))],
        [lost("joins"), joins(line(40, 10), kept=False)],
    ),
    "one_region": (
        [joins(line(20, 0, region="eu-west-1", failure="ice"))],
        [joins(line(20, 0, region="eu-west-1"), line(20, 0, region="af-south-1"))],
        [lost("joins"), all_failing("ice")],
    ),
    "api_down": (
        [
            all_of(look(status=DOWN, token=DOWN, room=DOWN), all_failing("token_503")),
            all_of(look(room=answer(500)), *AT_NIGHT),
            all_of(look(**CUT_OFF), *AT_NIGHT),
            # Ours is answered, theirs is not.
            all_failing("token_503"),
            all_failing("room_timeout"),
            joins(line(9, 4, failure="token_503"), kept=False),
        ],
        [
            look(token=answer(401)),
            look(token=answer(429), room=answer(402)),
            all_failing("ice"),
            joins(line(4, 0, failure="token_503")),
            # Five of a thousand are no outage.
            joins(line(995), line(5, 0, failure="token_503"), kept=False),
            all_failing("token_503", provider="secondary"),
        ],
        [
            lost("primary_look"),
            lost("joins"),
            lost("provider_flag"),
            look(**CUT_OFF),
            # Patients join, or the bot does, or nobody has tried lately, or they fail in another way.
            look(status=DOWN, token=DOWN, room=DOWN),
            all_of(look(token=DOWN), bot_fails("primary")),
            all_of(look(**CUT_OFF), joins(kept=False)),
            all_of(look(**CUT_OFF), joins(kept=False), putting("primary_samples", samples(minutes=-1))),
            all_of(look(**CUT_OFF), joins(kept=False), lost("primary_samples")),
            all_of(look(**CUT_OFF), all_failing("ice"), bot_fails("primary")),
        ],
    ),
    "api_slow": (
        [
            all_of(look(token=answer(201, 3001)), all_failing("token_timeout")),
            all_of(look(token=answer(201, 3001)), *AT_NIGHT),
        ],
        [look(token=answer(201, 3000))],
        [lost("primary_look"), lost("joins"), flag(PROVIDER, None), look(token=answer(201, 3001))],
    ),
    "key_refused": (
        [
            all_failing("token_401"),
            all_failing("room_403"),
            all_of(look(token=answer(401)), all_failing("token_401")),
            all_of(look(token=answer(401)), *AT_NIGHT),
            all_of(look(status=answer(403)), *AT_NIGHT),
        ],
        [look(token=DOWN), all_failing("token_503"), joins(line(4, 0, failure="token_401"))],
        # The key that we probe with is not the one of the application.
        [lost("primary_look"), lost("joins"), look(token=answer(401)), all_of(look(token=answer(401)), ONE_ISP)],
    ),
    "quota_exhausted": (
        [
            all_failing("token_429"),
            *(all_of(spoil, *AT_NIGHT) for spoil in (look(token=answer(429)), look(room=answer(402)), full(100))),
        ],
        [full(99), look(token=answer(401)), look(status=answer(200))],
        [lost("primary_look"), lost("joins"), look(token=answer(429)), full(100)],
    ),
    "clock_skewed": (
        [look(token=token(31.0)), look(token=token(-200.0, -31.0))],
        [look(token=token(29.0)), look(token=token(-200.0, -29.0))],
        [lost("primary_look"), lost("primary_samples"), look(token=DOWN), look(token=answer(201))],
    ),
    "secret_rotated": (
        [putting("primary_secret", str(iso(NOW - 59 * MINUTE)))],
        [putting("primary_secret", str(iso(NOW - 61 * MINUTE))), putting("secondary_secret", str(iso(NOW)))],
        [lost("primary_secret")],
    ),
    "media_down": (
        [
            all_of(look(relays=SILENT), all_failing("ice"), bot_fails("primary")),
            all_of(look(relays=SILENT), all_failing("ice"), putting("primary_samples", samples(minutes=-1))),
            all_of(look(relays=SILENT), *AT_NIGHT),
        ],
        [look(relays=NO_UDP), look(relays=NO_TCP), look(relays=BOUND), all_failing("ice")],
        # Our own place may be cut off: users join there, or the bot, while one network has trouble of its own.
        [
            look(relays=SILENT),
            lost("primary_look"),
            lost("joins"),
            all_of(look(relays=SILENT), ONE_ISP),
            all_of(look(relays=SILENT), all_failing("token_503"), bot_fails("primary")),
        ],
    ),
    "udp_blocked": (
        [
            UDP_FAILS,
            # Few come by TCP, and our own probe sees the same.
            lambda readings: (look(relays=NO_UDP)(readings), FEW_BY_TCP(readings)),
        ],
        [
            all_failing("ice"),
            look(relays=NO_UDP),
            lambda readings: (UDP_FAILS(readings), flag(RELAY, "on")(readings)),
            joins(line(9, 0), line(20, transport="tcp"), kept=False),
        ],
        [
            lost("joins"),
            lost("relay_only_flag"),
            lambda readings: (look(relays=NO_UDP)(readings), joins(line(5, 0), kept=False)(readings)),
            FEW_BY_TCP,
            lambda readings: (look(relays=SILENT)(readings), FEW_BY_TCP(readings)),
            lambda readings: (
                look(relays=NO_UDP)(readings),
                joins(line(30, 0), line(9, 8, transport="tcp"), kept=False)(readings),
            ),
        ],
    ),
    "relay_unusable": ([look(relays=NO_TCP), look(relays=BOUND)], [look(relays=NO_UDP)], [lost("primary_look")]),
    "region_far": (
        [pace(rtt_ms=301.0)],
        [pace(rtt_ms=300.0), pace(rtt_ms=900.0, count=9), flag(REGION, "me-central-1")],
        [lost("pace"), lost("media_region_flag")],
    ),
    "quality_poor": (
        [joins(line(100, poor=21), kept=False)],
        [joins(line(100, poor=20), kept=False), joins(line(9, poor=9), kept=False)],
        [lost("joins")],
    ),
    "media_slow": ([pace(p95_ms=10_001.0)], [pace(p95_ms=10_000.0), pace(p95_ms=20_000.0, count=9)], [lost("pace")]),
    "webhook_silent": (
        [delivered(10.1), look(webhooks=answer(200, last_event_at=1.0, last_delivered_at=None))],
        [
            delivered(9.9),
            # Nobody talks, so there is nothing to tell.
            lambda readings: (delivered(60)(readings), joins(line(9), kept=False)(readings)),
        ],
        [look(webhooks=DOWN), look(webhooks=answer(200)), lost("primary_look"), lost("primary_samples")],
    ),
    "other_unusable": (
        [all_of(spoil, bot_fails("secondary")) for spoil in OTHER_UNUSABLE],
        [
            look("secondary", relays=NO_UDP),
            look("secondary", status=answer(200, status="degraded")),
            look(token=DOWN),
            bot_fails("secondary"),
        ],
        # The bot joins there, or nobody knows: it may be our own key or place.
        [
            lost("secondary_look"),
            lost("provider_flag"),
            *OTHER_UNUSABLE,
            all_of(look("secondary", **CUT_OFF), putting("secondary_samples", samples(minutes=-1))),
            all_of(look("secondary", **CUT_OFF), lost("secondary_samples")),
        ],
    ),
    "on_secondary": ([ON_SECONDARY], [flag(PROVIDER, "primary")], [lost("provider_flag")]),
    "switched_lately": (
        [flag(PROVIDER, "primary", minutes=59)],
        [flag(PROVIDER, "primary", minutes=60)],
        [lost("provider_flag")],
    ),
    "primary_recovered": (
        [ON_SECONDARY],
        [
            lambda readings: (ON_SECONDARY(readings), look(token=DOWN)(readings)),
            lambda readings: (ON_SECONDARY(readings), putting("primary_samples", samples(59))(readings)),
            flag(PROVIDER, "secondary", minutes=59),
            putting("secondary_samples", samples()),
        ],
        [
            lambda readings: (ON_SECONDARY(readings), lost("primary_samples")(readings)),
            lambda readings: (ON_SECONDARY(readings), putting("primary_samples", samples(gap=(20, 31)))(readings)),
            lambda readings: (ON_SECONDARY(readings), putting("primary_samples", samples(minutes=30))(readings)),
            lost("provider_flag"),
        ],
    ),
    "reopening_due": (
        [flag(PHONE, "on")],
        [lambda readings: (flag(PHONE, "on")(readings), putting("primary_samples", samples(3))(readings))],
        [lost("bookings_by_phone_flag"), lost("primary_samples")],
    ),
    "settings_reduced": (
        [flag(RELAY, "on"), flag(AUDIO, "on"), flag(BITRATE, "on")],
        [flag(PHONE, "on")],
        [lost("relay_only_flag"), lost("audio_only_flag")],
    ),
    "bookings_by_phone": ([flag(PHONE, "on")], [flag(PHONE, "off")], [lost("bookings_by_phone_flag")]),
}


def cases(column: int) -> list[tuple[str, Spoil]]:
    return [(name, spoil) for name, row in TABLE.items() for spoil in row[column]]


def test_every_observation_has_its_edges() -> None:
    assert sorted(TABLE) == NAMES


@pytest.mark.parametrize(("name", "spoil"), cases(0))
def test_a_finding(name: str, spoil: Spoil) -> None:
    evidence = see(spoil)
    assert evidence.status(name) == "finding", [item for item in evidence.observations if item["name"] == name]


@pytest.mark.parametrize(("name", "spoil"), cases(1))
def test_a_near_miss(name: str, spoil: Spoil) -> None:
    assert see(spoil).status(name) == "ok"


@pytest.mark.parametrize(("name", "spoil"), cases(2))
def test_what_cannot_be_told(name: str, spoil: Spoil) -> None:
    assert see(spoil).status(name) == "unknown"


def test_a_provider_that_serves_some_is_the_provider_of_nobody() -> None:
    """A rule of the flag sends a county elsewhere: then nobody can say where new sessions go."""
    for spoil in (flag(PROVIDER, None), flag(PROVIDER, "primary", targeted=True), flag(PROVIDER, "tertiary")):
        evidence = see(spoil)
        assert {evidence.status(name) for name in ("api_down", "media_down", "other_unusable")} == {"unknown"}
        assert state_of(judged(evidence)) is None


def test_minutes_pass_at_the_pace_of_the_environment() -> None:
    """Twenty times faster, ten minutes are thirty seconds."""
    assert see(delivered(0.51), time_factor=20.0).status("webhook_silent") == "finding"
    assert see(delivered(0.49), time_factor=20.0).status("webhook_silent") == "ok"
    assert see(flag(PROVIDER, "primary", minutes=2.9), time_factor=20.0).status("switched_lately") == "finding"
    assert see(flag(PROVIDER, "primary", minutes=3.1), time_factor=20.0).status("switched_lately") == "ok"
    assert samples(30, pace=20.0).steady()[0] is False
    assert samples(61, pace=20.0).steady()[0] is True
    assert samples(gap=(5, 17), pace=20.0).steady()[0] is None


@pytest.mark.parametrize(("bad", "expected"), [((), True), ((0,), False), ((1,), True)])
def test_the_newest_join_of_the_bot(bad: tuple[float, ...], expected: bool) -> None:
    assert samples(*bad).newest()[0] is expected


def test_no_join_of_the_bot_is_not_a_good_one() -> None:
    assert samples(minutes=-1).newest()[0] is None
    assert samples(gap=(-1, 11)).newest()[0] is None
    assert samples(gap=(-1, 10)).newest()[0] is True


def test_a_culprit_is_named() -> None:
    evidence = see(NEW_VERSION)
    assert evidence.subjects["bad_app_version"] == "2026.48.0"
    assert {"joins_failing", "one_version"} == found(evidence)
    evidence = see(ONE_ISP)
    assert evidence.subjects["bad_isp"] == "faiba"
    assert {"joins_failing", "one_isp"} == found(evidence)


def test_a_culprit_needs_others_that_are_well() -> None:
    arguments = {"explains": 0.8, "success": 0.97, "least": 5}
    alone = joins_of([line(30, 0, isp="faiba"), line(4)])
    assert culprit(alone, "isp", **arguments) is None
    beside = joins_of([line(30, 0, isp="faiba"), line(5)])
    named = culprit(beside, "isp", **arguments)
    assert named is not None
    assert (named.value, named.others.joins) == ("faiba", 5)


def test_a_part_that_no_line_names_is_unknown_and_counts() -> None:
    counted = joins_of([{"joins": "3", "good": "2"}])
    assert counted.by("isp") == {"unknown": counted.total}
    assert counted.failures == {"unknown": 1}


def test_facts_are_figures_and_no_token() -> None:
    readings = healthy()
    look(token=answer(201, token="eyJ.secret", ice={"credential": "turn-secret"}))(readings)
    told = facts(settle(readings))
    assert told["joins"]["tried"] == 128
    assert told["joins"]["isp"]["airtel"] == {"tried": 64, "good": 64}
    assert told["primary"]["sessions"] == 14
    assert "secret" not in json.dumps(told)
    assert facts(type(readings)())["primary"] is None


def test_an_answer_of_ours_does_not_speak_for_the_provider() -> None:
    """Refused connections, while joins succeed there: it may be our own place."""
    cut: dict[str, Any] = {"status": REFUSED, "token": REFUSED, "room": REFUSED}
    assert see(look(**cut)).status("api_down") == "unknown"
    assert see(look(**cut), all_failing("token_refused")).status("api_down") == "finding"
    assert provider(**cut).answered is False


def test_usual_joins_are_enough_of_each_kind() -> None:
    for part in ("isp", "app_version", "transport"):
        assert all(figures.joins >= THRESHOLDS["min_joins"] for figures in joins_of(usual()).by(part).values())
