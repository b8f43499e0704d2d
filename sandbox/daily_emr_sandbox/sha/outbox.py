"""The application's relay between the table of claims and their queue, and what that table tells the sandbox."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import psycopg

from ..loop import Rounds
from .ledger import Ledger

if TYPE_CHECKING:
    from ..postgres import DatabasePair

RELAY_S = 0.3
AT_ONCE = 200
TIDY_S = 3.0
"""As long as it takes at least to take back what is left of a fault: flags are polled every second."""
STUCK_S = 10.0
DUE = """
UPDATE claims SET queued_at = clock_timestamp() WHERE id IN (
    SELECT id FROM claims WHERE state = 'ready' AND queued_at IS NULL
    ORDER BY array_position(ARRAY['preauth', 'inpatient', 'rest'], class), deadline, id LIMIT %s FOR UPDATE
) RETURNING id, array_position(ARRAY['preauth', 'inpatient', 'rest'], class), deadline"""
LEFT = """
SELECT count(*) FROM claims WHERE state IN ('unknown', 'deferred')
OR (state IN ('ready', 'sending') AND since < clock_timestamp() - make_interval(secs => %s))"""
DONE = """
SELECT 'claim-' || id FROM claims WHERE state <> 'ready' OR EXISTS (SELECT FROM claim_moves WHERE claim = claims.id)
UNION ALL SELECT business_key FROM deliveries WHERE queue = 'claims' AND state = 'sent'"""

Enqueue = Callable[[Sequence[dict[str, Any]]], bool]


class Outbox(Rounds):
    """A thread that gives every claim which is ready to the queue, once, the urgent ones first.

    Args:
        enqueue: gives jobs to the queue; whether it has them.
        ledger: the authority's books, from which `tidy` settles what a fault left behind.
    """

    def __init__(self, database: DatabasePair, enqueue: Enqueue, ledger: Ledger) -> None:
        super().__init__("claims-outbox", RELAY_S)
        self._database, self._enqueue, self._ledger = database, enqueue, ledger
        self._session: psycopg.Connection[tuple[Any, ...]] | None = None
        self._tidy_from: float | None = None

    def stop(self) -> None:
        super().stop()
        self._forget_session()

    # Looks, from any thread.

    @property
    def tidying(self) -> bool:
        return self._tidy_from is not None

    def clean(self) -> bool:
        """Nothing is unknown, put off or stuck, and nothing is being tidied."""
        return self._tidy_from is None and self._left(STUCK_S) == 0

    def answers(self, outcome: str) -> int:
        """How many tries came to this, ever."""
        with self._database.primary.connect() as session:
            rows = session.execute("SELECT count(*) FROM claim_attempts WHERE outcome = %s", (outcome,)).fetchall()
        return int(rows[0][0])

    def books(self, acknowledged: Sequence[str]) -> dict[str, Any]:
        """Counts by state, acknowledged claims that are lost, and how many moves the runbooks made."""
        with self._database.primary.connect() as session:
            states = session.execute("SELECT state, count(*) FROM claims GROUP BY state").fetchall()
            lost = session.execute(
                "SELECT count(*) FROM unnest(%s::text[]) AS promised"
                " WHERE NOT EXISTS (SELECT FROM claims WHERE identifier = promised)",
                (list(acknowledged),),
            ).fetchall()
            moved = session.execute("SELECT count(*) FROM claim_moves WHERE who = 'emr_runbook'").fetchall()
        return {
            "states": dict(states),
            "acknowledged": len(acknowledged),
            "lost": lost[0][0],
            "moved_by_runbook": moved[0][0],
        }

    @staticmethod
    def done(session: psycopg.Connection[Any]) -> set[str]:
        """Business keys of the jobs that have nothing left to do, for the books of the queues."""
        return {str(key) for (key,) in session.execute(DONE).fetchall()}

    # Changes.

    def add(self, claims: Sequence[dict[str, Any]]) -> None:
        """Claims that were written while nobody could send them: all at once."""
        with self._database.primary.connect() as session, session.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO claims (payer, facility, encounter, claim_type, class, deadline, content)"
                " VALUES ('SHA', %(facility)s, %(encounter)s, %(type)s, %(class)s,"
                " now() + make_interval(days => %(days)s), jsonb_build_object('patient', %(patient)s::text,"
                " 'diagnosis', %(diagnosis)s::text, 'intervention', %(intervention)s::text))",
                list(claims),
            )

    def tidy(self) -> None:
        """Settle what is in doubt and send what was put off, until nothing is left of a fault."""
        self._tidy_from = time.monotonic()

    def leave(self) -> None:
        """From now on whatever is left is for the runbooks."""
        self._tidy_from = None

    # The thread.

    def _round(self) -> None:
        try:
            self._relay()
            if self._tidy_from is not None:
                self._take_back(self._tidy_from)
        except psycopg.OperationalError:
            self._forget_session()

    def _own(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._session is None or self._session.closed:
            self._session = self._database.primary.connect()
        return self._session

    def _forget_session(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _relay(self) -> None:
        rows = self._own().execute(DUE, (AT_ONCE,)).fetchall()
        due = [number for number, _, _ in sorted(rows, key=lambda row: (row[1], row[2], row[0]))]
        if due and not self._enqueue([{"key": f"claim-{number}", "claim": number} for number in due]):
            # A job too many does no harm, one too few would.
            self._own().execute("UPDATE claims SET queued_at = NULL WHERE id = ANY(%s) AND state = 'ready'", (due,))

    def _take_back(self, since: float) -> None:
        session = self._own()
        for number, identifier in session.execute(
            "SELECT id, identifier FROM claims WHERE state = 'unknown'"
        ).fetchall():
            found = self._ledger.of(identifier)
            session.execute(
                "UPDATE claims SET state = %s, response = %s WHERE id = %s AND state = 'unknown'",
                ("acked" if found else "deferred", found[0]["id"] if found else None, number),
            )
        session.execute(
            "UPDATE claims SET state = 'unknown' WHERE state = 'sending'"
            " AND since < clock_timestamp() - make_interval(secs => %s)",
            (STUCK_S,),
        )
        session.execute("UPDATE claims SET state = 'ready', queued_at = NULL, step = NULL WHERE state = 'deferred'")
        session.execute(
            "UPDATE claims SET queued_at = NULL, step = NULL"
            " WHERE state = 'ready' AND queued_at < clock_timestamp() - interval '2 seconds'"
        )
        if time.monotonic() - since > TIDY_S and self._left(TIDY_S) == 0 and self._tidy_from == since:
            self._tidy_from = None

    def _left(self, stuck_s: float) -> int:
        with self._database.primary.connect() as session:
            return int(session.execute(LEFT, (stuck_s,)).fetchall()[0][0])
