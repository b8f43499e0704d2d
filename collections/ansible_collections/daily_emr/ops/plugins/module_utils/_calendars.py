# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: change calendars of Systems Manager. May change without notice.

"""When nothing is to be changed: the change calendars that the inventory names, all of which have to be open."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients


@dataclass(frozen=True)
class Closed:
    """A calendar that is not known to be open."""

    calendar: str
    why: str


def closed_calendars(clients: Clients, calendars: Iterable[str]) -> list[Closed]:
    """Those that are closed, or that nobody could read: unknown is never open."""
    found = []
    for calendar in calendars:
        try:
            with calling("ssm:GetCalendarState"):
                reply = clients.read("ssm").get_calendar_state(CalendarNames=[calendar])
        except OpsError as error:
            found.append(Closed(calendar, f"it cannot be read ({error.sentence.rstrip('.')}), which counts as closed"))
            continue
        if reply.get("State") != "OPEN":
            opens = reply.get("NextTransitionTime")
            found.append(Closed(calendar, f"it is closed{f' until {opens}' if opens else ''}"))
    return found


def frozen(closed: Iterable[Closed]) -> str:
    """The refusal of planned work while a calendar is closed: a sentence; empty when none is. Pure."""
    said = "; ".join(f"{one.calendar}: {one.why}" for one in closed)
    return f"Changes are frozen ({said}), and this is planned work: wait until all calendars are open." if said else ""
