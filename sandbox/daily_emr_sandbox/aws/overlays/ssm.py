"""Systems Manager: change calendars. Of iCalendar it reads what a freeze needs, single events in UTC, and no more.

Shapes: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetCalendarState.html, and the format of the
file: https://docs.aws.amazon.com/systems-manager/latest/userguide/change-calendar-create.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.ssm.exceptions import DocumentAlreadyExists, InvalidDocument, InvalidDocumentContent
from moto.ssm.responses import SimpleSystemManagerResponse

if TYPE_CHECKING:
    from ..server import AwsServer

KIND = "ChangeCalendar"
EVENT = re.compile(r"BEGIN:VEVENT\r?\n(.*?)END:VEVENT", re.DOTALL)
MOMENT = r"{}:(\d{{8}}T\d{{6}})Z\s"

_create_document = SimpleSystemManagerResponse.create_document
_update_document = SimpleSystemManagerResponse.update_document
_delete_document = SimpleSystemManagerResponse.delete_document


@dataclass(frozen=True)
class Calendar:
    """When it is the other way than by default."""

    open_by_default: bool
    events: tuple[tuple[datetime, datetime], ...]

    @classmethod
    def read(cls, text: str) -> Calendar:
        """From the text of its document. Raises InvalidDocumentContent."""
        kind = re.search(r"^X-CALENDAR-TYPE:DEFAULT_(OPEN|CLOSED)\s*$", text, re.MULTILINE)
        if not kind or "RRULE" in text:
            raise InvalidDocumentContent("The content for the document is not valid.")
        return cls(kind[1] == "OPEN", tuple(_event(event) for event in EVENT.findall(text)))

    def open(self, at: datetime) -> bool:
        return self.open_by_default != any(start <= at < end for start, end in self.events)

    def next_change(self, at: datetime) -> datetime | None:
        return min((moment for event in self.events for moment in event if moment > at), default=None)


def _event(text: str) -> tuple[datetime, datetime]:
    found = [re.search(MOMENT.format(name), text) for name in ("DTSTART", "DTEND")]
    if not all(found):
        raise InvalidDocumentContent("The content for the document is not valid.")
    start, end = (datetime.strptime(one[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC) for one in found if one)
    return start, end


def _calendars(backend: Any) -> dict[str, Calendar]:
    return backend.__dict__.setdefault("change_calendars", {})  # type: ignore[no-any-return]


def create_document(self: Any) -> Any:
    if self._get_param("DocumentType") != KIND:
        return _create_document(self)
    name, kept = self._get_param("Name"), _calendars(self.ssm_backend)
    if name in kept:
        raise DocumentAlreadyExists("The specified document already exists.")
    kept[name] = Calendar.read(self._get_param("Content"))
    return ActionResult({"DocumentDescription": {"Name": name, "DocumentType": KIND, "Status": "Active"}})


def update_document(self: Any) -> Any:
    name, kept = self._get_param("Name"), _calendars(self.ssm_backend)
    if name not in kept:
        return _update_document(self)
    kept[name] = Calendar.read(self._get_param("Content"))
    return ActionResult({"DocumentDescription": {"Name": name, "DocumentType": KIND, "Status": "Active"}})


def delete_document(self: Any) -> Any:
    if _calendars(self.ssm_backend).pop(self._get_param("Name"), None) is None:
        return _delete_document(self)
    return ActionResult({})


def get_calendar_state(self: Any) -> ActionResult:
    kept, now = _calendars(self.ssm_backend), datetime.now(UTC)
    asked = [name.rpartition("/")[2] for name in self._get_param("CalendarNames")]
    if unknown := [name for name in asked if name not in kept]:
        raise InvalidDocument(f"The document {unknown[0]} does not exist.")
    some = [kept[name] for name in asked]
    changes = [change for one in some if (change := one.next_change(now))]
    answer = {"State": "OPEN" if all(one.open(now) for one in some) else "CLOSED", "AtTime": _spoken(now)}
    return ActionResult(answer | ({"NextTransitionTime": _spoken(min(changes))} if changes else {}))


def _spoken(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's SSM. Harmless when done twice."""
    for method in (create_document, update_document, delete_document, get_calendar_state):
        setattr(SimpleSystemManagerResponse, method.__name__, method)
