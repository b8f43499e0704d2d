# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the replacement of tasks of ECS is, whatever they do. May change without notice.

"""Replacing the tasks of a service by a forced deployment: which ones, how many at once, how soon again. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, parse_utc, since, spoken

if TYPE_CHECKING:
    from datetime import datetime

# How far the clock that wrote a time may be ahead of AWS's.
CLOCKS_APART = timedelta(minutes=1)
WHOLE_PERCENT = 100


def older_tasks(running: Json, tasks: list[Json], moment: datetime) -> list[str]:
    """Ids of the tasks that were started before a moment; none while a deployment since then replaces them."""
    primary = running["deployment"]
    replacing = primary and parse_utc(primary["created_at"]) >= moment and primary["rollout"] != "FAILED"
    return [] if replacing else [task["id"] for task in tasks if parse_utc(task["started_at"]) < moment]


def most_at_once(running: Json) -> int:
    """Tasks that run at most while they are replaced, the old ones and the new ones."""
    return int(max(running["desired"] * running["maximum_percent"] // WHOLE_PERCENT, running["running"]))


def drops_capacity(running: Json) -> list[str]:
    """Why not: a new task must start before an old one is stopped."""
    minimum, maximum = running["minimum_healthy_percent"], running["maximum_percent"]
    if minimum < WHOLE_PERCENT:
        return [f"minimumHealthyPercent is {minimum}, so a recycle would drop capacity: set it to 100 first."]
    if running["desired"] and running["desired"] * maximum // WHOLE_PERCENT <= running["desired"]:
        return [f"maximumPercent is {maximum}, so no new task could start beside the old ones: set it to 200 first."]
    return []


def in_the_future(started_after: str, read_at: str) -> list[str]:
    """Why not: no task can have started after a time that is still to come, and each would be replaced for ever."""
    if parse_utc(started_after) <= parse_utc(read_at) + CLOCKS_APART:
        return []
    return [f"{started_after} is in the future: name a time in the past."]


def too_soon(history: list[Json], read_at: str, cooldown_s: float, what: str) -> list[str]:
    """Why not again: the last replacement is more recent than cooldown_s, on the clock of this environment."""
    # A deployment from a revision to itself is a forced one.
    forced = [item for item in history if item["revision"] in item["from"]]
    if not forced:
        return []
    age = since(forced[0]["created_at"], read_at)
    if age.total_seconds() >= cooldown_s:
        return []
    return [
        f"The {what} were replaced {spoken(age)} ago and that did not help: look for another cause "
        "instead of recycling them again."
    ]


def began(before: Json, after: Json) -> bool:
    """Whether the deployment that was asked for exists; the tasks follow minutes later."""
    primary, previous = after["deployment"], before["deployment"]
    return bool(primary) and primary != previous and primary["id"] != (previous or {}).get("id")
