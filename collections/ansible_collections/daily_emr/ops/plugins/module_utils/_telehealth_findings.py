# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the readings of telehealth mean. May change without notice.

"""From readings to observations: pure, so that every rule can be tried without a system.

An observation is a finding, ok, or, when one of the readings it rests on is missing or does not tell, unknown. A probe
of our own has its own key and its own place: a finding about a provider needs somebody who uses it, patients or the bot
of the application, in the same trouble. Where they are not, it may be ours, and nobody can tell.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import plain_all
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_evidence import TelehealthEvidence
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_flags import (
    AUDIO,
    BITRATE,
    ON,
    PHONE,
    PROVIDER,
    REGION,
    RELAY,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_joins import Joins
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_provider import (
    PROVIDERS,
    SECONDARY,
    ProviderLook,
    accepted,
    other,
    token_times,
    webhook_age,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_readings import sole_provider
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_steady import FLAP_MINUTES, STEADY_MINUTES
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_users import users
from ansible_collections.daily_emr.ops.plugins.module_utils._turn import Transport
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings, since

if TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_steady import Samples

# The way a join failed, as the application names it.
_KEY = re.compile(r"(token|room)_40[13]")
_QUOTA = re.compile(r"(token|room)_4(02|29)")
_API = re.compile(r"(token|room)_(5\d\d|timeout|refused|error)")
_SLOW = re.compile(r"(token|room)_timeout")
_MEDIA = re.compile("ice")

# Settings with which consultations are held, and worse than they could be.
_REDUCING = (RELAY, BITRATE, AUDIO)


def observe(
    readings: Readings, telehealth: Json, thresholds: Json, at: str, *, time_factor: float = 1.0
) -> TelehealthEvidence:
    """Every observation of one look."""
    evidence = TelehealthEvidence(readings, telehealth["component"], thresholds, at, time_factor=time_factor)
    flag = readings.values.get(f"{PROVIDER}_flag")
    active = sole_provider(flag) if flag is not None else None
    region = readings.values.get(f"{REGION}_flag")
    evidence.subjects |= {
        "active_provider": active,
        "other_provider": other(active) if active else None,
        "media_region": region.value if region else None,
        "other_region": _other_region(telehealth, active, region.value) if active and region else None,
    }
    for part in (users, _api, _media, _webhooks, _standing, _left):
        part(evidence)
    evidence.subjects = plain_all(evidence.subjects)
    return evidence


def _other_region(telehealth: Json, active: str, here: str | None) -> str | None:
    """Where new sessions could be relayed instead."""
    return next((item["name"] for item in telehealth["providers"][active]["regions"] if item["name"] != here), None)


def judged(evidence: TelehealthEvidence) -> list[Json]:
    return [item for item in evidence.observations if item["symptom"]]


def facts(readings: Readings) -> Json:
    """What is worth keeping beside the observations: numbers, and names of versions, networks and regions."""
    values = readings.values
    joins: Joins | None = values.get("joins")
    told: Json = {"joins": None, "bookings": values.get("bookings")}
    if joins is not None:
        total = joins.total
        told["joins"] = {"tried": total.joins, "good": total.good, "poor": total.poor, "failures": joins.failures}
        told["joins"] |= {
            part: {value: {"tried": found.joins, "good": found.good} for value, found in joins.by(part).items()}
            for part in ("provider", "app_version", "isp", "transport", "region")
        }
    for name in PROVIDERS:
        look: ProviderLook | None = values.get(f"{name}_look")
        told[name] = look and {
            "status": look.status.seen,
            "token": look.token.seen,
            "room": look.room.seen if look.room else None,
            "relays": [relay.seen for relay in look.relays],
            "sessions": look.sessions,
        }
    return plain_all(told)  # type: ignore[no-any-return]  # a dict stays a dict


def _api(evidence: TelehealthEvidence) -> None:
    """The control API of the provider that new sessions go to, as we and as the application see it."""
    thresholds = evidence.thresholds

    def down() -> tuple[bool | None, str]:
        look, users = evidence.active, evidence.blamed(_API)
        if users:
            return True, f"{users} joins failed for it"
        return _probed(evidence, ", ".join(look.broken), _API)

    def slow() -> tuple[bool | None, str]:
        slowest = max(answer.ms for answer in evidence.active.answers.values())
        return _probed(evidence, f"{slowest} ms" if slowest > thresholds["api_slow_ms"] else "", _SLOW)

    def refused(ours: Callable[[ProviderLook], list[str]], way: re.Pattern[str]) -> tuple[bool | None, str]:
        look, users = evidence.active, evidence.blamed(way)
        if users:
            return True, ", ".join([*ours(look), f"{users} joins failed for it"])
        return _probed(evidence, ", ".join(ours(look)), way)

    def skewed() -> tuple[bool | None, str]:
        """A token is good from now on: unless its clock, or ours, is wrong."""
        times = token_times(evidence.active.token)
        if times is None:
            return None, f"no token: {evidence.active.token.seen}"
        now = evidence.read("active_samples").read_at.timestamp()
        early, late = times[0] - now, now - times[1]
        wrong = max(early, late) > thresholds["clock_skew_s"]
        return wrong, f"good from {early:+.0f} s to {-late:+.0f} s"

    needs, call = ("active_look", "joins"), "GET status, POST tokens, POST rooms"
    evidence.look("api_down", needs, down, expected="the control API answers", call=call)
    evidence.look("api_slow", needs, slow, expected=f"an answer within {thresholds['api_slow_ms']} ms", call=call)
    evidence.look(
        "key_refused",
        needs,
        lambda: refused(lambda look: look.key_refused, _KEY),
        expected="our keys are accepted",
        call=call,
    )
    evidence.look(
        "quota_exhausted",
        needs,
        lambda: refused(lambda look: look.over_quota, _QUOTA),
        expected="room within the quota",
        call=call,
    )
    evidence.look(
        "clock_skewed",
        ("active_look", "active_samples"),
        skewed,
        expected=f"tokens are good from now on, within {thresholds['clock_skew_s']} s",
        call="POST tokens",
    )

    def rotated() -> tuple[bool, str]:
        changed = evidence.read("active_secret")
        span = evidence.aws(minutes=thresholds["rotation_recent_minutes"])
        return since(changed, evidence.at) < span, f"changed {changed}"

    evidence.look(
        "secret_rotated",
        ("active_secret",),
        rotated,
        expected=f"no new key within {thresholds['rotation_recent_minutes']} min",
        call="secretsmanager:ListSecretVersionIds",
    )


def _probed(evidence: TelehealthEvidence, bad: str, way: re.Pattern[str]) -> tuple[bool | None, str]:
    """What our own probe of the control API says of it. bad: what it saw, empty when that was good."""
    if not bad:
        return False, _answers(evidence.active)
    doubt = evidence.doubt(way)
    return (None, f"{bad}, {doubt}") if doubt else (True, bad)


def _media(evidence: TelehealthEvidence) -> None:
    """The two ways of sound and pictures. UDP is the good one; TCP goes where networks let nothing else through."""

    def ways() -> str:
        return ", ".join(relay.seen for relay in evidence.active.relays)

    def down() -> tuple[bool | None, str]:
        if evidence.active.media_works:
            return False, ways()
        joined, seen = evidence.bot("active")
        # Patients of one network have no way either; the bot is in none of them.
        doubt = f"and {seen}: our own place may be cut off" if joined else evidence.doubt(_MEDIA)
        return (None, f"{ways()}, {doubt}") if doubt else (True, ways())

    def blocked() -> tuple[bool | None, str]:
        """What users see decides; our own probe may come from a place that lets no UDP out."""
        if evidence.flag(RELAY).value == ON:
            return False, f"{evidence.flag(RELAY).key} is on, so that nobody needs UDP"
        udp, tcp = (evidence.mine.of(transport=way) for way in Transport)
        seen = f"UDP: {udp.total.seen}; TCP: {tcp.total.seen}; our own {ways()}"
        good_udp, good_tcp = evidence.good(udp), evidence.good(tcp)
        if good_udp is not None and good_tcp is not None:
            return not good_udp and good_tcp, seen
        ours, through_tcp = (evidence.active.relay(way) for way in Transport)
        blocked_here = bool(ours and not ours.works and through_tcp and through_tcp.allocated)
        if good_udp is False:
            # Few come by TCP: those who do, and our own probe, have to say the same.
            return True if blocked_here and not tcp.total.bad else None, seen
        return False if good_udp or (ours and ours.works) else None, seen

    def unusable() -> tuple[bool, str]:
        relay = evidence.active.relay(Transport.TCP)
        return not (relay and relay.allocated), ways()

    call = "STUN Binding, TURN Allocate over UDP and TCP"
    evidence.look(
        "media_down", ("active_look", "joins"), down, expected="a way for sound and pictures, by UDP or TCP", call=call
    )
    evidence.look(
        "udp_blocked",
        ("active_look", "joins", f"{RELAY}_flag"),
        blocked,
        expected="joins over UDP succeed as those over TCP do",
        call=f"logs:StartQuery, {call}",
    )
    evidence.look("relay_unusable", ("active_look",), unusable, expected="a relay over TCP", call=call)


def _webhooks(evidence: TelehealthEvidence) -> None:
    def silent() -> tuple[bool | None, str]:
        """Silence means something only while there are consultations to tell of."""
        webhooks, joined = evidence.active.webhooks, evidence.mine.total.good
        if joined < evidence.thresholds["min_joins"]:
            return False, f"{joined} consultations began, which are too few to tell"
        if not accepted(webhooks):
            return None, f"the provider does not say: {webhooks.seen}"
        age = webhook_age(webhooks, evidence.read("active_samples").read_at.timestamp())
        if age is None:
            return None, "the provider does not say"
        words = "never" if age == float("inf") else f"{age * evidence.time_factor / 60:.0f} min ago"
        return timedelta(seconds=age) > evidence.aws(minutes=minutes) if words != "never" else True, f"the last {words}"

    minutes = evidence.thresholds["webhook_silent_minutes"]
    evidence.look(
        "webhook_silent",
        ("active_look", "active_samples", "joins"),
        silent,
        expected=f"an event of a consultation within {minutes} min",
        call="GET webhooks",
    )


def _standing(evidence: TelehealthEvidence) -> None:
    """Where new sessions go, since when, and where else they could go."""

    def unusable() -> tuple[bool | None, str]:
        """Nobody but the bot is there to confirm what we see."""
        look: ProviderLook = evidence.read("other_look")
        reasons, (joined, seen) = look.unusable(), evidence.bot("other")
        if not reasons:
            return False, _answers(look)
        if joined is False:
            return True, "; ".join(reasons)
        return None, f"{'; '.join(reasons)}, and {seen}: our own key or place may be what is wrong"

    def on_secondary() -> tuple[bool, str]:
        flag = evidence.flag(PROVIDER)
        return flag.value == SECONDARY, f"{flag.value}, since {flag.changed_at}"

    flag, call = f"{PROVIDER}_flag", "LaunchDarkly:GetFeatureFlag"
    evidence.look(
        "other_unusable",
        ("other_look",),
        unusable,
        expected="the other provider could take new sessions",
        call="GET status, POST tokens, TURN Allocate",
    )
    evidence.look("on_secondary", (flag,), on_secondary, expected="new sessions go to the primary", call=call)
    evidence.look(
        "switched_lately",
        (flag,),
        lambda: _switched_lately(evidence),
        expected=f"no switch within {FLAP_MINUTES} min",
        call=call,
    )


def _left(evidence: TelehealthEvidence) -> None:
    """What an earlier incident left behind, and whether the time has come to put it back."""

    def recovered() -> tuple[bool | None, str]:
        """Only of the primary, while new sessions go to the secondary; a switch lately keeps it back."""
        if evidence.flag(PROVIDER).value != SECONDARY:
            return False, "new sessions go to the primary"
        lately, when = _switched_lately(evidence)
        if lately:
            return False, when
        reasons = evidence.read("other_look").unusable()
        if reasons:
            return False, "; ".join(reasons)
        samples: Samples = evidence.read("other_samples")
        return samples.steady()

    def reopening() -> tuple[bool | None, str]:
        """Only while visits are booked by phone: whether the provider was well long enough to book them online."""
        if evidence.flag(PHONE).value != ON:
            return False, "visits are booked online"
        samples: Samples = evidence.read("active_samples")
        return samples.steady()

    def reduced() -> tuple[bool, str]:
        """Nobody turns these off by itself: whether networks and lines are good again is not seen while they are on."""
        left = [flag for flag in map(evidence.flag, _REDUCING) if flag.value == ON]
        return bool(left), ", ".join(f"{flag.key} since {flag.changed_at}" for flag in left) or "nothing is reduced"

    def by_phone() -> tuple[bool, str]:
        flag = evidence.flag(PHONE)
        return flag.value == ON, f"{flag.key} is {flag.value}, since {flag.changed_at}"

    flag, call = f"{PROVIDER}_flag", "LaunchDarkly:GetFeatureFlag"
    evidence.look(
        "primary_recovered",
        (flag, "other_look", "other_samples"),
        recovered,
        expected=f"new sessions go to the primary when it was well for {STEADY_MINUTES} min",
        call=f"{call}, cloudwatch:GetMetricData",
    )
    evidence.look(
        "reopening_due",
        (f"{PHONE}_flag", "active_samples"),
        reopening,
        expected=f"visits are booked online when a provider was well for {STEADY_MINUTES} min",
        call=f"{call}, cloudwatch:GetMetricData",
    )
    evidence.look(
        "settings_reduced",
        tuple(f"{name}_flag" for name in _REDUCING),
        reduced,
        expected="consultations have their own way, and full pictures",
        call=call,
    )
    evidence.look("bookings_by_phone", (f"{PHONE}_flag",), by_phone, expected="online visits are booked", call=call)


def _switched_lately(evidence: TelehealthEvidence) -> tuple[bool, str]:
    flag = evidence.flag(PROVIDER)
    recent = since(flag.changed_at, flag.read_at) < evidence.aws(minutes=FLAP_MINUTES)
    return recent, f"last changed {flag.changed_at}"


def _answers(look: ProviderLook) -> str:
    return ", ".join(f"{name} {answer.seen}" for name, answer in look.answers.items())
