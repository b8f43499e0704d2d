"""The clocks of Kenya's Data Protection Act, section 43. They are told and never acted on: the DPO decides.

They run from the moment in which the first person became aware, not from a confirmation.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from ..errors import CommandError
from ..facts import moment
from ..text import clean
from ..timeline import both_clocks

CLOCKS = (
    (4, "the DPO has assessed it"),
    (24, "the notification is drafted"),
    (48, "the facilities, who are the controllers, are notified by us, their processor"),
    (72, "the Data Commissioner (ODPC) is notified, where Daily EMR is the controller"),
)


class Exposure(StrEnum):
    """What is known of personal data that somebody unauthorised has had."""

    NONE = "none"
    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Clock:
    """By when something is done. hours: since somebody became aware."""

    hours: int
    what: str
    at: datetime

    @property
    def both(self) -> str:
        return both_clocks(self.at.isoformat())


@dataclass(frozen=True)
class Privacy:
    """The answer to the question of an exposure; exposure None where nobody has answered yet."""

    exposure: Exposure | None = None
    aware_at: datetime | None = None

    @property
    def clocks(self) -> list[Clock]:
        """Empty where nothing runs: nobody has answered, or nothing was exposed."""
        if self.aware_at is None or self.exposure in (None, Exposure.NONE):
            return []
        return [Clock(hours, what, self.aware_at + timedelta(hours=hours)) for hours, what in CLOCKS]

    @property
    def aware(self) -> str:
        return both_clocks(self.aware_at.isoformat()) if self.aware_at else ""


def answered(exposure: Exposure | None, aware_at: str | None, now: datetime) -> Privacy | None:
    """What the options say; None where they say nothing.

    aware_at: an ISO time with its zone. Raises CommandError where a clock would start at a time that nobody named.
    """
    if exposure is None or exposure is Exposure.NONE:
        if aware_at is not None:
            raise CommandError("--aware-at starts the clocks of an exposure: name it with --data-exposure, too.")
        return None if exposure is None else Privacy(exposure)
    if aware_at is None:
        raise CommandError(
            f"--data-exposure {exposure} starts clocks: say when somebody first became aware, "
            "--aware-at 2026-11-22T01:30:00Z."
        )
    at = moment(aware_at)
    if at is None or datetime.fromisoformat(aware_at).tzinfo is None:
        raise CommandError(f"--aware-at {clean(aware_at)!a} is no time with its zone: write 2026-11-22T01:30:00Z.")
    if at > now:
        raise CommandError(f"--aware-at {both_clocks(at.isoformat())} is still to come: correct the time or its zone.")
    return Privacy(exposure, at.astimezone(UTC))
