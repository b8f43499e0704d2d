"""Readings of healthy telehealth, and small changes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._http import Answer
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_flags import (
    PROMISES,
    PROVIDER,
    REGION,
    SETTINGS,
    Setting,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_joins import Joins, Pace, joins_of
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_provider import (
    PRIMARY,
    PROVIDERS,
    ProviderLook,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_readings import name_parts
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_steady import Samples
from ansible_collections.daily_emr.ops.plugins.module_utils._turn import Relay, Transport
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Readings, iso

Json = dict[str, Any]
Spoil = Callable[[Readings], object]

NOW = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
REGIONS = [{"name": name, "turn_host": "turn.test", "turn_port": 3478} for name in ("af-south-1", "eu-west-1")]
PLACE: Json = {
    "api_url": "https://video.test",
    "turn_host": "turn.test",
    "turn_port": 3478,
    "secret": "x",
    "processor_approved": True,
    "regions": REGIONS,
}
TELEHEALTH: Json = {
    "component": "emr-telehealth",
    "log_group": "/ecs/daily-emr-staging-telehealth",
    "notice_topic": "daily-emr-staging-telehealth-notices",
    "clinic_lead": "clinic-lead",
    "feature_flags": {"api_url": "http://127.0.0.1:1", "project": "daily-emr", "environment": "staging"},
    "flags": {name: f"telehealth-{name.replace('_', '-')}" for name in SETTINGS},
    "providers": dict.fromkeys(PROVIDERS, PLACE),
}
THRESHOLDS: Json = {
    "join_success": 0.97,
    "explains_share": 0.8,
    "poor_share": 0.2,
    "min_joins": 10,
    "min_failures": 5,
    "api_slow_ms": 3000,
    "media_slow_ms": 10_000,
    "relay_rtt_ms": 300,
    "webhook_silent_minutes": 10,
    "clock_skew_s": 30,
    "rotation_recent_minutes": 60,
    "probe_timeout_s": 3,
}
REFUSED, TIMEOUT = Answer(None, "refused", 1), Answer(None, "timeout", 3000)


def answer(code: int, ms: int = 12, /, **body: Any) -> Answer:
    return Answer(code, "", ms, body)


def token(start_s: float = -1.0, end_s: float = 60.0) -> Answer:
    """A token that is good from so many seconds from now, until so many."""
    return answer(201, not_before=NOW.timestamp() + start_s, expires_at=NOW.timestamp() + end_s)


def relay(transport: Transport, failure: str = "", *, credential: bool = True) -> Relay:
    if not failure:
        return Relay(transport, True, True if credential else None, "", 20.0)
    return Relay(transport, False, False if credential else None, failure, 3000.0)


def provider(name: str = PRIMARY, **more: Any) -> ProviderLook:
    delivered = NOW.timestamp() - 20
    known: Json = {
        "status": answer(200, status="operational", sessions=14, quota={"used": 10, "limit": 100}),
        "token": token(),
        "webhooks": answer(200, last_event_at=delivered, last_delivered_at=delivered, pending=0),
        "relays": tuple(relay(way) for way in Transport),
        "room": answer(201, room="r1"),
    }
    return ProviderLook(name, **(known | more))


def setting(name: str, value: str | None = None, *, minutes: float = 60 * 24 * 40, **more: Any) -> Setting:
    """A flag that was changed so many minutes ago."""
    first = {PROVIDER: "primary", REGION: "af-south-1"}.get(name, "off")
    values = {PROVIDER: PROVIDERS, REGION: ("af-south-1", "eu-west-1")}.get(name, ("on", "off"))
    known: Json = {
        "name": name,
        "key": TELEHEALTH["flags"][name],
        "on": True,
        "value": first if value is None else value,
        "variations": {word: f"id-{word}" for word in values},
        "tags": (PROMISES[name],),
        "targeted": False,
        "archived": False,
        "changed_at": str(iso(NOW - minutes * MINUTE)),
        "read_at": str(iso(NOW)),
    }
    return Setting(**(known | more))


def line(joins: int, good: int | None = None, poor: int = 0, **parts: str) -> Json:
    """A row of the query of joins, as Insights gives it."""
    usual = {"provider": "primary", "app_version": "2026.47.1", "isp": "safaricom", "transport": "udp"}
    usual |= {"region": "af-south-1"}
    figures = {"joins": str(joins), "good": str(joins if good is None else good), "poor": str(poor)}
    return {**usual, **figures, **parts}


def usual(**parts: str) -> list[Json]:
    """A hundred joins by UDP and 25 by TCP, in two networks and two versions, all of them good."""
    return [
        line(25 if way == "udp" else 7, **{"isp": isp, "app_version": version, "transport": way, **parts})
        for isp in ("safaricom", "airtel")
        for version in ("2026.46.0", "2026.47.1")
        for way in ("udp", "tcp")
    ]


def samples(*bad: float, minutes: int = 62, gap: tuple[float, float] = (0, 0), pace: float = 1.0) -> Samples:
    """A join of the bot each minute; those so many minutes ago failed, and within the gap there were none."""
    joined = tuple(
        (NOW - ago * MINUTE / pace, ago not in bad) for ago in range(minutes, -1, -1) if not gap[0] < ago < gap[1]
    )
    return Samples(joined, NOW, pace)


def healthy() -> Readings:
    readings = Readings()
    readings.values = {
        **{f"{name}_flag": setting(name) for name in SETTINGS},
        "primary_look": provider("primary"),
        "secondary_look": provider("secondary"),
        "primary_samples": samples(),
        "secondary_samples": samples(),
        "primary_secret": str(iso(NOW - 3000 * MINUTE)),
        "secondary_secret": str(iso(NOW - 3000 * MINUTE)),
        "joins": joins_of(usual()),
        "pace": [Pace("af-south-1", 100, 1800.0, 60.0), Pace("eu-west-1", 28, 2100.0, 180.0)],
        "bookings": {"video": 12},
    }
    return readings


def settle(readings: Readings) -> Readings:
    """Name the parts again, after a change of what they are named from."""
    for name in [name for name in {*readings.values, *readings.unread} if name.startswith(("active_", "other_"))]:
        readings.values.pop(name, None)
        readings.unread.pop(name, None)
    name_parts(readings)
    return readings


def lost(*names: str) -> Spoil:
    def spoil(readings: Readings) -> None:
        for name in names:
            del readings.values[name]
            readings.unread[name] = "timed out"

    return spoil


def putting(name: str, value: Any) -> Spoil:
    return lambda readings: readings.values.update({name: value})


def look(name: str = PRIMARY, **more: Any) -> Spoil:
    return putting(f"{name}_look", provider(name, **more))


def flag(name: str, value: str | None, **more: Any) -> Spoil:
    return lambda readings: readings.values.update({f"{name}_flag": replace(setting(name, **more), value=value)})


def all_of(*spoils: Spoil) -> Spoil:
    """Several things at once."""

    def spoil(readings: Readings) -> None:
        for each in spoils:
            each(readings)

    return spoil


def bot_fails(*names: str) -> Spoil:
    """The newest join of the bot failed, at these providers."""
    return all_of(*(putting(f"{name}_samples", samples(0)) for name in names))


def joins(*rows: Json, kept: bool = True) -> Spoil:
    """Joins beside the usual ones, or instead of them."""
    return putting("joins", _joins(rows, kept))


def _joins(rows: tuple[Json, ...], kept: bool) -> Joins:
    return joins_of([*(usual() if kept else []), *rows])


def all_failing(failure: str, **parts: str) -> Spoil:
    """All joins fail in a way."""
    return joins(*({**row, "good": "0", "failure": failure} for row in usual(**parts)), kept=False)
