"""The outbox as the runbooks' role sees it: the functions in ``ops``, over claims that hold a planted patient."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from ansible_collections.daily_emr.ops.plugins.module_utils import _claims_ledger as ledger
from ansible_collections.daily_emr.ops.plugins.modules import claim_deferral, claim_reconciliation, claim_redrive

from tests.unit.claims.sha import PATIENT

Json = dict[str, Any]


@dataclass
class Claim:
    """One row. Nothing of its content has a way out."""

    number: int
    state: str = "acked"
    age_s: float = 600.0
    step: str | None = None
    outcome: str | None = None
    ms: int = 300
    copies: int = 1
    kind: str = "claim"
    sent: bool = True
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    content: str = PATIENT

    @property
    def identifier(self) -> str:
        return f"{self.number:064x}"


class Outbox:
    """lose: "before" or "after", a connection that breaks before or after the statement that changes something."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self.attempts: list[Json] = []
        self.redriven: list[Json] = []
        self.windows: list[float] = []
        self.sent: list[tuple[str, Json]] = []
        self.lose: str | None = None
        self.down = ""
        self.due = self.overdue = 0
        self.written_by_reader: list[str] = []

    def add(self, state: str, count: int = 1, **more: Any) -> list[Claim]:
        unsent = state in ("ready", "deferred", "draft")
        made = [Claim(len(self.claims) + n + 1, state, **{"sent": not unsent, **more}) for n in range(count)]
        self.claims += made
        return made

    def tried(self, outcome: str, calls: int, *, p95_ms: int = 300, claim_type: str = "claim") -> None:
        self.attempts.append({"claim_type": claim_type, "outcome": outcome, "calls": calls, "p95_ms": p95_ms})

    def redrove(self, step: str, outcome: str, calls: int, minute: int) -> None:
        """Tries of a redrive are among the others, too."""
        at = datetime(2026, 11, 22, 1, minute, tzinfo=UTC)
        self.redriven.append({"step": step, "outcome": outcome, "calls": calls, "last_at": at})
        self.tried(outcome, calls)

    def states(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for claim in self.claims:
            found[claim.state] = found.get(claim.state, 0) + 1
        return found

    # What psycopg sees.

    def connect(self, **settings: Any) -> _Connection:
        if self.down:
            raise psycopg.OperationalError(self.down)
        return _Connection(self, "read_only=off" in settings["options"])

    def answer(self, statement: str, values: Json) -> list[Json]:
        known = {
            ledger.SUMMARY: self._summary,
            ledger.ANSWERS: self._answers,
            ledger.REDRIVEN: lambda _values: [row.copy() for row in self.redriven],
            ledger.TOTALS: self._totals,
            ledger.IN_DOUBT: self._in_doubt,
            ledger.STEP: self._step,
        }
        return known[statement](values)

    def _answers(self, values: Json) -> list[Json]:
        self.windows.append(values["window_s"])
        return [row.copy() for row in self.attempts]

    def _summary(self, _values: Json) -> list[Json]:
        rows = [
            {
                "state": state,
                "class": "rest",
                "claims": number,
                "oldest_s": max(claim.age_s for claim in self.claims if claim.state == state),
                "due": 0,
                "overdue": 0,
            }
            for state, number in self.states().items()
        ]
        if rows:
            first = next((row for row in rows if row["state"] not in ("acked", "rejected")), rows[0])
            first |= {"due": self.due, "overdue": self.overdue}
        return rows

    def _totals(self, _values: Json) -> list[Json]:
        count = self.states()
        return [
            {
                "sent": sum(claim.sent for claim in self.claims),
                "accepted": count.get("acked", 0),
                "rejected": count.get("rejected", 0),
                "unknown": count.get("unknown", 0) + count.get("sending", 0),
                "unsent": sum(count.get(state, 0) for state in ("ready", "deferred", "draft")),
                "duplicates": sum(claim.copies > 1 for claim in self.claims),
            }
        ]

    def _in_doubt(self, values: Json) -> list[Json]:
        found = [
            {"claim": claim.number, "identifier": claim.identifier, "since": claim.since}
            for claim in self.claims
            if claim.state in ("unknown", "sending") and claim.age_s > values["older_than_s"]
        ]
        return found[: values["at_most"]]

    def _step(self, values: Json) -> list[Json]:
        mine = [claim for claim in self.claims if claim.step == values["step"]]
        return [{"state": item.state, "outcome": item.outcome, "claims": 1, "p95_ms": item.ms} for item in mine]

    # What changes something.

    def change(self, statement: str, values: Json) -> list[Json]:
        if statement == claim_reconciliation.SETTLE:
            return [self._settle(answer, values["older_than_s"]) for answer in json.loads(values["answers"])]
        if statement == claim_deferral.DEFER:
            ready = [claim for claim in self.claims if claim.state == "ready"][: values["at_most"]]
            for claim in ready:
                claim.state, claim.step = "deferred", None
            return [{"deferred": len(ready)}]
        assert statement == claim_redrive.RELEASE
        if any(claim.state == "unknown" for claim in self.claims):
            raise psycopg.errors.lookup("55000")(f"Claims are unknown: {PATIENT}")
        chosen = [claim for claim in self.claims if claim.state == "deferred"][: values["at_most"]]
        for claim in chosen:
            claim.state, claim.step, claim.outcome = "ready", values["step"], None
        return [{"released": len(chosen)}]

    def _settle(self, answer: Json, older_than_s: float) -> Json:
        claim = next(item for item in self.claims if item.number == answer["claim"])
        assert answer["since"] == claim.since.isoformat()
        counts = answer["answer"] != "absent" or claim.age_s > older_than_s
        if claim.state in ("unknown", "sending") and counts:
            claim.state = "deferred" if answer["answer"] == "absent" else answer["answer"]
            claim.sent = claim.state != "deferred"
            claim.outcome, claim.copies = "reconciled", answer["copies"]
            claim.since += timedelta(seconds=1)
        return {"state": claim.state}


CHANGES = (claim_reconciliation.SETTLE, claim_deferral.DEFER, claim_redrive.RELEASE)


class _Connection:
    def __init__(self, outbox: Outbox, writes: bool) -> None:
        self._outbox, self._writes = outbox, writes
        self.broken = self.closed = False

    def execute(self, statement: str, values: Json | None = None) -> _Cursor:
        given = values or {}
        if statement not in CHANGES:
            return _Cursor(self._outbox.answer(statement, given))
        assert self._writes, "a session that only reads changes nothing"
        self._outbox.sent.append((statement, given))
        rows = [] if self._outbox.lose == "before" else self._outbox.change(statement, given)
        if self._outbox.lose:
            self.broken = True
            raise psycopg.OperationalError(f"server closed the connection unexpectedly: {PATIENT}")
        return _Cursor(rows)

    def close(self) -> None:
        self.closed = True


class _Cursor:
    def __init__(self, rows: list[Json]) -> None:
        self._rows = rows

    def fetchall(self) -> list[Json]:
        return self._rows

    def fetchone(self) -> Json:
        return self._rows[0]
