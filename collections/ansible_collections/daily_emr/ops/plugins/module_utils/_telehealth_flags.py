# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the settings of telehealth, as flags. May change without notice.

"""Six flags say how consultations are held. What each is for, what it serves to everybody, and how it is set.

A flag of several variations serves the one it falls through to while it is on; a flag that is off serves its off
variation (https://launchdarkly.com/docs/api/feature-flags/get-feature-flag).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._launchdarkly import (
    TURN_OFF,
    TURN_ON,
    LaunchDarkly,
    serving,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, iso

if TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

PROVIDER, REGION, RELAY = "provider", "media_region", "relay_only"
AUDIO, BITRATE, PHONE = "audio_only", "bitrate_cap", "bookings_by_phone"
# What the owner of a flag promises by its tag: when the application asks for it. A flag that is asked for again while
# a consultation runs could move it, or end it.
NEW_SESSIONS, RUNNING, BOOKINGS = "telehealth:new-sessions", "telehealth:running", "telehealth:bookings"
PROMISES = {
    PROVIDER: NEW_SESSIONS,
    REGION: NEW_SESSIONS,
    RELAY: NEW_SESSIONS,
    AUDIO: RUNNING,
    BITRATE: RUNNING,
    PHONE: BOOKINGS,
}
SETTINGS = tuple(PROMISES)
ON, OFF = "on", "off"
SWITCHES = (RELAY, AUDIO, BITRATE, PHONE)
# Where a flag gives some sessions another value than others.
_TARGETING = ("rules", "targets", "contextTargets", "prerequisites")


@dataclass(frozen=True)
class Setting:
    """One flag as it is now."""

    name: str
    key: str
    on: bool
    value: str | None
    """What it serves to everybody: on or off, or the name of a variation; None where it is divided or not known."""
    variations: dict[str, str]
    """Value to id."""
    tags: tuple[str, ...]
    targeted: bool
    archived: bool
    changed_at: str
    read_at: str

    def instruction(self, value: str) -> Json:
        """What would make it serve a value. Raises Refused for a value that it does not have."""
        if self.name in SWITCHES:
            return TURN_ON if value == ON else TURN_OFF
        if value not in self.variations:
            raise Refused(f"{self.key} has no variation {value}: use one of {', '.join(sorted(self.variations))}.")
        return serving(self.variations[value])


def read_setting(provider: LaunchDarkly, name: str, key: str) -> Setting:
    """Raises OpsError when there is no such flag here, or when it has another shape."""
    found = provider.flag(key)
    if found is None or provider.environment not in found["flag"].get("environments", {}):
        raise OpsError(f"LaunchDarkly has no flag {key} in {provider.environment}")
    flag, here = found["flag"], found["flag"]["environments"][provider.environment]
    try:
        words = [_word(variation["value"]) for variation in flag["variations"]]
        ids = [str(variation["_id"]) for variation in flag["variations"]]
        served = here.get("fallthrough", {}).get("variation") if here["on"] else here.get("offVariation")
        return Setting(
            name=name,
            key=key,
            on=bool(here["on"]),
            value=None if served is None else words[served],
            variations=dict(zip(words, ids, strict=True)),
            tags=tuple(sorted(flag.get("tags", []))),
            targeted=any(here.get(way) for way in _TARGETING),
            archived=bool(flag.get("archived", False)),
            changed_at=str(iso(datetime.fromtimestamp(here["lastModified"] / 1000, UTC))),
            read_at=str(found["read_at"]),
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise OpsError(f"The flag {key} has a shape that nobody expected ({type(error).__name__})") from error


def setting_reads(clients: Clients, telehealth: Json, *names: str) -> dict[str, Callable[[], Any]]:
    """Named reads of settings. A token or an address that is missing costs these readings and no other."""

    def read(name: str) -> Setting:
        try:
            provider = LaunchDarkly(clients.environment, telehealth["feature_flags"])
        except Refused as error:
            raise OpsError(error.sentence) from error
        return read_setting(provider, name, telehealth["flags"][name])

    return {f"{name}_flag": partial(read, name) for name in names}


def _word(value: object) -> str:
    """A variation in the words of the inventory."""
    if isinstance(value, bool):
        return ON if value else OFF
    return str(value)
