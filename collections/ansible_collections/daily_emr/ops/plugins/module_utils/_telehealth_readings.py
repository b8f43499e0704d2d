# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: everything a look at telehealth reads. May change without notice.

"""Both providers, the flags, the joins and the bot, all at once; then which provider new sessions go to."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._chains import Chains
from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import secret_changed_at
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_flags import PROVIDER, SETTINGS, setting_reads
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_joins import (
    read_bookings,
    read_joins,
    read_pace,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_provider import (
    PROVIDERS,
    Provider,
    ProviderLook,
    other,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_steady import read_samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_flags import Setting
    from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings

# What the alarm looks at (A6.1). Insights counts by whole seconds, and the sandbox is fast: never shorter than this.
_WINDOW_S, _SHORTEST_WINDOW_S = 900.0, 10.0
# How a reading of a provider is called, by the part that the provider has now.
_PARTS = ("look", "samples", "secret")


def read_all(
    clients: Clients, telehealth: Json, timeout_s: float, now: datetime, *, rooms: bool, since: datetime | None = None
) -> Readings:
    """Every reading of a look; what could not be read is named with its reason.

    rooms: whether a test room is made at each provider. since: joins before it do not count.
    """
    chains = Chains()
    start = window_start(clients, now)
    period = (max(start, since) if since else start, now)
    calls: dict[str, Callable[[], Any]] = {
        **setting_reads(clients, telehealth, *SETTINGS),
        **{f"{name}_look": partial(look_at, clients, telehealth, name, timeout_s, rooms=rooms) for name in PROVIDERS},
        **{f"{name}_samples": partial(read_samples, clients, name) for name in PROVIDERS},
    }
    for name in PROVIDERS:
        calls[f"{name}_secret"] = partial(secret_changed_at, clients, telehealth["providers"][name]["secret"])
    for name, read in {"joins": read_joins, "pace": read_pace, "bookings": read_bookings}.items():
        calls[name] = partial(read, clients, telehealth["log_group"], *period)
    chains.take(**calls)
    name_parts(chains.readings)
    return chains.readings


def window_start(clients: Clients, now: datetime) -> datetime:
    """Since when joins count."""
    return now - timedelta(seconds=max(clients.environment.seconds(_WINDOW_S), _SHORTEST_WINDOW_S))


def sole_provider(flag: Setting) -> str | None:
    """The provider of all new sessions; None where they are divided, or go to one that nobody knows."""
    return flag.value if flag.value in PROVIDERS and not flag.targeted else None


def look_at(clients: Clients, telehealth: Json, name: str, timeout_s: float, *, rooms: bool) -> ProviderLook:
    """One provider, asked now."""
    settings = telehealth["providers"][name]
    return Provider(name, settings, clients.environment, timeout_s).look(rooms=rooms)


def name_parts(readings: Readings) -> None:
    """Call the readings of the provider that new sessions go to ``active``, and those of the other one ``other``."""
    values, unread = readings.values, readings.unread
    flag = values.get(f"{PROVIDER}_flag")
    active = sole_provider(flag) if flag is not None else None
    if active is None:
        why = "" if flag is None else f"{flag.key} serves no single provider to everybody"
        why = why or unread.get(f"{PROVIDER}_flag", "the flag of the provider is missing")
        unread |= {f"{role}_{part}": why for role in ("active", "other") for part in _PARTS}
        return
    for role, name in (("active", active), ("other", other(active))):
        for part in _PARTS:
            if f"{name}_{part}" in values:
                values[f"{role}_{part}"] = values[f"{name}_{part}"]
            else:
                unread[f"{role}_{part}"] = unread.get(f"{name}_{part}", "it was not asked")
