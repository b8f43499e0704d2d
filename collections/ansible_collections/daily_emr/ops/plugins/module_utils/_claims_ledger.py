# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the ledger of the claims. May change without notice.

"""What the application's outbox says of the claims, through the functions in ``ops``: counts, ages and classes of
answers. The table of the claims is closed to the runbooks, and a claim is only ever named by its identifier.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import endpoint, session
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

LIMIT_S = 10.0

# The states of a claim, incident domain A5.4. Of open ones nobody knows yet how they end.
READY, SENDING, DEFERRED, ACKED, REJECTED, UNKNOWN = "ready", "sending", "deferred", "acked", "rejected", "unknown"
WAITING = (READY, DEFERRED)
STATES = ("draft", READY, SENDING, DEFERRED, ACKED, REJECTED, UNKNOWN)

# Classes of answers to a submission. The last one says that not a byte was sent.
FAILURES = ("server_error", "timeout", "connect")
OUTCOMES = ("acked", "rejected", "unauthorized", "throttled", *FAILURES)
# What is noted beside those: nobody answered the application, and somebody asked the payer.
AFTERWARDS = ("abandoned", "reconciled")
OTHER = "other"

SUMMARY = """
SELECT state, class, claims, extract(epoch FROM now() - oldest_at)::float8 AS oldest_s, due, overdue
FROM ops.claims_summary(make_interval(hours => %(due_hours)s::integer))"""
ANSWERS = """
SELECT claim_type, outcome, calls, p95_ms FROM ops.claims_outcomes(make_interval(secs => %(window_s)s::float8))"""
TOTALS = "SELECT sent, accepted, rejected, unknown, unsent, duplicates FROM ops.claims_totals()"
# Identifiers and numbers of claims stay in the process that asks the payer for them.
IN_DOUBT = """
SELECT claim, identifier, since FROM ops.claims_in_doubt(
    %(at_most)s::integer, make_interval(secs => %(older_than_s)s::float8))"""
REDRIVEN = """
SELECT step, outcome, calls, last_at FROM ops.claims_redriven(make_interval(secs => %(window_s)s::float8))"""
STEP = "SELECT state, outcome, claims, p95_ms FROM ops.claims_step(%(step)s)"


# An answer takes as long as it takes, however fast the clock of the environment runs.
LEAST_SETTLE_S = 5.0
# Twice as long as a worker waits for an answer. A payer that was asked earlier may say that it has nothing of a claim
# which it takes a moment later, and the claim would be sent twice: no input can loosen it.
LEAST_IN_DOUBT_S = 120.0


def settle_seconds(clients: Clients, settle_after_s: float) -> float:
    """How long a claim must have been in doubt before the payer's word on it counts, in real seconds."""
    return max(float(clients.environment.seconds(max(settle_after_s, LEAST_IN_DOUBT_S))), LEAST_SETTLE_S)


@dataclass(frozen=True)
class Totals:
    """The reconciliation: what was sent, and what is known of it. sent is counted apart from the states."""

    sent: int
    accepted: int
    rejected: int
    unknown: int
    unsent: int
    duplicates: int

    @property
    def add_up(self) -> bool:
        return self.sent == self.accepted + self.rejected + self.unknown

    @property
    def sentence(self) -> str:
        """The line that ends a record."""
        sign = "=" if self.add_up else "≠"
        return (
            f"{self.sent} sent {sign} {self.accepted} accepted + {self.rejected} rejected + {self.unknown} unknown; "
            f"{self.duplicates} duplicates; {self.unsent} not sent yet"
        )

    def as_result(self) -> Json:
        return {**asdict(self), "add_up": self.add_up}


@dataclass(frozen=True)
class Answers:
    """Answers to submissions of one type, in one class."""

    claim_type: str
    outcome: str
    calls: int
    p95_ms: int


@dataclass(frozen=True)
class Ledger:
    """One look at the outbox."""

    states: Mapping[str, int]
    oldest_s: Mapping[str, float]
    due: int
    overdue: int
    totals: Totals
    answers: tuple[Answers, ...] = ()
    askable: int = 0
    """Claims in doubt for long enough that the payer's word on them counts."""

    def count(self, *states: str) -> int:
        return sum(self.states.get(state, 0) for state in states)

    def oldest(self, *states: str) -> float:
        return max((self.oldest_s.get(state, 0.0) for state in states), default=0.0)

    def calls(self, *outcomes: str) -> int:
        return sum(item.calls for item in self.answers if not outcomes or item.outcome in outcomes)

    def types(self, *outcomes: str) -> list[str]:
        """Which types of claims got such answers."""
        return sorted({item.claim_type for item in self.answers if item.outcome in outcomes and item.calls})


@dataclass(frozen=True)
class Slice:
    """The claims of one step of a redrive, and how they fare."""

    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    p95_ms: int = 0

    @property
    def released(self) -> int:
        return sum(self.counts.values())

    def count(self, *states: str, outcomes: Iterable[str] | None = None) -> int:
        return sum(
            number
            for (state, outcome), number in self.counts.items()
            if (not states or state in states) and (outcomes is None or outcome in outcomes)
        )


@dataclass(frozen=True)
class Tally:
    """Tries of claims, and how many of them the payer rejected."""

    calls: int
    rejected: int

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Tally:
        counts = [(int(row["calls"]), row["outcome"] == REJECTED) for row in rows]
        return cls(sum(calls for calls, rejected in counts), sum(calls for calls, rejected in counts if rejected))

    def more_than(self, share: float) -> bool:
        return self.rejected > share * self.calls

    @property
    def seen(self) -> str:
        return f"{self.rejected} of {self.calls}"


@dataclass(frozen=True)
class LastSent:
    """What went out while claims are held and shortly before: all of it, and the last step of a redrive in it."""

    everything: Tally
    last_step: Tally


def read_last_sent(clients: Clients, database: Json, window_s: float) -> LastSent:
    """window_s: back to shortly before claims were held."""
    with session(clients, database, endpoint(clients, database), limit_s=LIMIT_S) as found:
        redriven = found.execute(REDRIVEN, {"window_s": window_s}).fetchall()
        answers = found.execute(ANSWERS, {"window_s": window_s}).fetchall()
    last = max(redriven, key=lambda row: row["last_at"], default={"step": None})["step"]
    return LastSent(Tally.of(answers), Tally.of(row for row in redriven if row["step"] == last))


def read_ledger(
    clients: Clients, database: Json, *, window_s: float, due_hours: int, settle_after_s: float, most: int = 1000
) -> Ledger:
    """Everything of one look, in one read-only session."""
    with session(clients, database, endpoint(clients, database), limit_s=LIMIT_S) as found:
        summary = found.execute(SUMMARY, {"due_hours": due_hours}).fetchall()
        answers = found.execute(ANSWERS, {"window_s": window_s}).fetchall()
        totals = found.execute(TOTALS).fetchone()
        doubt = found.execute(IN_DOUBT, {"at_most": most, "older_than_s": settle_after_s}).fetchall()
    return Ledger(
        **summed(summary),
        totals=Totals(**{name: int(totals[name]) for name in Totals.__dataclass_fields__}),
        answers=tuple(
            Answers(_word(row["claim_type"]), _outcome(row["outcome"]), int(row["calls"]), int(row["p95_ms"] or 0))
            for row in answers
        ),
        askable=len(doubt),
    )


def summed(rows: Iterable[Mapping[str, Any]]) -> Json:
    """Counts and greatest ages by state; what is due and overdue, of the claims whose end is open."""
    states: dict[str, int] = {}
    oldest: dict[str, float] = {}
    due = overdue = 0
    for row in rows:
        state = str(row["state"]) if row["state"] in STATES else OTHER
        states[state] = states.get(state, 0) + int(row["claims"])
        oldest[state] = max(oldest.get(state, 0.0), float(row["oldest_s"] or 0.0))
        if state not in (ACKED, REJECTED):
            due, overdue = due + int(row["due"]), overdue + int(row["overdue"])
    return {"states": states, "oldest_s": oldest, "due": due, "overdue": overdue}


def slice_of(rows: Iterable[Mapping[str, Any]]) -> Slice:
    counts: dict[tuple[str, str], int] = {}
    p95 = 0
    for row in rows:
        key = (str(row["state"]) if row["state"] in STATES else OTHER, _outcome(row["outcome"]))
        counts[key] = counts.get(key, 0) + int(row["claims"])
        p95 = max(p95, int(row["p95_ms"] or 0))
    return Slice(counts, p95)


def read_slice(clients: Clients, database: Json, step: str) -> Slice:
    """How the claims of one step fare."""
    return read_slices(clients, database, {0: step})[0]


def read_slices(clients: Clients, database: Json, steps: Mapping[int, str]) -> dict[int, Slice]:
    """How the claims of some steps fare, in one session."""
    with session(clients, database, endpoint(clients, database), limit_s=LIMIT_S) as found:
        return {number: slice_of(found.execute(STEP, {"step": name}).fetchall()) for number, name in steps.items()}


def stamp(moment: Any) -> str:
    """A moment as exact as the server has it: a claim that has moved meanwhile has another."""
    return moment.isoformat() if isinstance(moment, datetime) else str(moment)


def _outcome(value: Any) -> str:
    """A class of answer that we know. What else stands there may hold anything."""
    if value is None:
        return ""
    return str(value) if value in (*OUTCOMES, *AFTERWARDS) else OTHER


def _word(value: Any) -> str:
    return str(value) if value in ("preauthorization", "claim") else OTHER
