"""Change calendars open and close as AWS has them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.aws_only import Aws, refusal, running_aws

CALENDAR = "BEGIN:VCALENDAR\nX-CALENDAR-TYPE:DEFAULT_{}\n{}END:VCALENDAR\n"


@pytest.fixture(scope="module")
def ssm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running_aws(tmp_path_factory.mktemp("calendars")) as running:
        yield of(running)


def of(aws: Aws) -> Any:
    return aws.client("ssm")


def code(call: Any, **asked: Any) -> str:
    """With what code it is refused."""
    with pytest.raises(ClientError) as error:
        call(**asked)
    return refusal(error.value)[0]


def event(begins_in_h: float, ends_in_h: float) -> str:
    start, end = (datetime.now(UTC) + timedelta(hours=hours) for hours in (begins_in_h, ends_in_h))
    return f"BEGIN:VEVENT\nDTSTART:{start:%Y%m%dT%H%M%SZ}\nDTEND:{end:%Y%m%dT%H%M%SZ}\nEND:VEVENT\n"


def make(ssm: Any, name: str, default: str, *events: str) -> None:
    content = CALENDAR.format(default, "".join(events))
    ssm.create_document(Name=name, Content=content, DocumentType="ChangeCalendar", DocumentFormat="TEXT")


def test_an_event_is_the_other_way_and_all_have_to_be_open(ssm: Any) -> None:
    make(ssm, "always", "OPEN")
    make(ssm, "frozen", "OPEN", event(-1, 1), event(5, 6))
    make(ssm, "window", "CLOSED", event(-1, 2))

    assert ssm.get_calendar_state(CalendarNames=["always"])["State"] == "OPEN"
    assert "NextTransitionTime" not in ssm.get_calendar_state(CalendarNames=["always"])
    assert ssm.get_calendar_state(CalendarNames=["always", "window"])["State"] == "OPEN"
    closed = ssm.get_calendar_state(CalendarNames=["always", "frozen"])
    assert closed["State"] == "CLOSED"
    opens = datetime.fromisoformat(closed["NextTransitionTime"])
    assert abs(opens - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)


def test_what_is_not_there_or_cannot_be_read_is_refused(ssm: Any) -> None:
    assert code(ssm.get_calendar_state, CalendarNames=["nowhere"]) == "InvalidDocument"
    every_week = CALENDAR.format("OPEN", event(1, 2).replace("END:VEVENT", "RRULE:FREQ=WEEKLY\nEND:VEVENT"))
    wrong = {"Name": "weekly", "Content": every_week, "DocumentType": "ChangeCalendar", "DocumentFormat": "TEXT"}
    assert code(ssm.create_document, **wrong) == "InvalidDocumentContent"


def test_a_calendar_is_changed_and_removed(ssm: Any) -> None:
    make(ssm, "changed", "OPEN")
    ssm.update_document(Name="changed", Content=CALENDAR.format("CLOSED", ""), DocumentVersion="$LATEST")
    assert ssm.get_calendar_state(CalendarNames=["changed"])["State"] == "CLOSED"
    ssm.delete_document(Name="changed")
    assert code(ssm.get_calendar_state, CalendarNames=["changed"]) == "InvalidDocument"
