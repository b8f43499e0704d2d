"""Online visits that are booked for the next hours: made up, and counted for the runbooks, who see nothing else."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from typing import TYPE_CHECKING

import psycopg

from .. import traffic

if TYPE_CHECKING:
    from ..postgres import DatabasePair
    from ..settings import Settings

CLINICS = traffic.TENANTS[:4]
SLOT_S, AHEAD_S, ONE_EVERY_S = 1800.0, 8 * 3600.0, 20.0
"""AWS seconds of a slot, how far ahead visits are booked, and in which time one more is."""
VISITS = (5, 6, 7, 8)
"""Of a clinic in a slot, in turn: never so few that a count could point at somebody."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS telehealth_bookings (
    clinic text NOT NULL,
    starts_at timestamptz NOT NULL,
    number integer NOT NULL,
    by_phone boolean NOT NULL,
    patient text NOT NULL DEFAULT 'synthetic',
    PRIMARY KEY (clinic, starts_at, number)
);
CREATE OR REPLACE VIEW ops.telehealth_bookings AS
SELECT clinic, starts_at, count(*) FILTER (WHERE NOT by_phone) AS video, count(*) FILTER (WHERE by_phone) AS phone
FROM telehealth_bookings WHERE starts_at > now() GROUP BY clinic, starts_at;
GRANT SELECT ON ops.telehealth_bookings TO emr_runbook;
"""
BOOK = """
WITH slots AS (
    SELECT to_timestamp(ceil(extract(epoch FROM now()) / %(slot)s) * %(slot)s + %(slot)s * number) AS starts_at
    FROM generate_series(0, %(slots)s - 1) AS number
)
INSERT INTO telehealth_bookings (clinic, starts_at, number, by_phone)
SELECT %(clinic)s, starts_at, number, %(by_phone)s
FROM slots, generate_series(1, %(visits)s) AS number
WHERE NOT EXISTS (SELECT FROM telehealth_bookings AS b WHERE b.clinic = %(clinic)s AND b.starts_at = slots.starts_at)
"""
"""Visits of a clinic in every slot that has none."""
BOOK_ONE = """
INSERT INTO telehealth_bookings (clinic, starts_at, number, by_phone)
SELECT clinic, starts_at, max(number) + 1, %(by_phone)s
FROM telehealth_bookings WHERE starts_at > now() GROUP BY clinic, starts_at ORDER BY random() LIMIT 1
"""
CONVERT = "UPDATE telehealth_bookings SET by_phone = true WHERE starts_at > now() AND NOT by_phone"
REOPEN = "UPDATE telehealth_bookings SET by_phone = false WHERE starts_at > now() AND by_phone"
FORGET = "DELETE FROM telehealth_bookings WHERE starts_at < now() - interval '1 hour'"


class Bookings:
    """For one thread. While the database is away nothing is booked."""

    def __init__(self, settings: Settings, database: DatabasePair) -> None:
        self._database = database
        self._slot_s, self._slots = settings.scaled(SLOT_S), int(AHEAD_S // SLOT_S)
        self._visits = itertools.cycle(VISITS)
        self._one_every_s, self._next_at = settings.scaled(ONE_EVERY_S), 0.0

    def create(self) -> None:
        with self._database.primary.connect() as session:
            session.execute(SCHEMA)
        self.book(by_phone=False)

    def book(self, *, by_phone: bool) -> Counter[str]:
        """Fill the slots of the next hours, and book one visit more when it is time; how many were booked, by "video"
        or "phone". With `by_phone` also those that are to come become calls.
        """
        booked: Counter[str] = Counter()
        channel = "phone" if by_phone else "video"
        try:
            with self._database.primary.connect() as session:
                for clinic in CLINICS:
                    slots = {"slot": self._slot_s, "slots": self._slots, "clinic": clinic, "by_phone": by_phone}
                    done = session.execute(BOOK, slots | {"visits": next(self._visits)})
                    booked[channel] += done.rowcount
                if time.monotonic() >= self._next_at:
                    self._next_at = time.monotonic() + self._one_every_s
                    booked[channel] += session.execute(BOOK_ONE, {"by_phone": by_phone}).rowcount
                if by_phone:
                    session.execute(CONVERT)
                session.execute(FORGET)
        except psycopg.Error:
            pass  # nobody can book while the database is away
        return booked

    def plant(self, value: str) -> None:
        """Use a value wherever a patient would be named."""
        with self._database.primary.connect() as session:
            session.execute("UPDATE telehealth_bookings SET patient = %s", (value,))

    def reopen(self) -> None:
        """What is to come is by video again."""
        with self._database.primary.connect() as session:
            session.execute(REOPEN)
