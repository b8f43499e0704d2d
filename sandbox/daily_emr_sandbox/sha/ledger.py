"""What the authority itself knows: the witness for claims that were accepted twice, and for the rate of requests."""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

from .fhir import Submission, claim_response

REQUESTS_KEPT = 50_000


@dataclass
class Request:
    """One request that arrived. Nothing of what it carried."""

    at: dt.datetime
    operation: str
    """token, facility, status or submit."""
    runbook: bool
    """Whether it says that it is of the runbooks."""
    status: int = 0
    """0 while it was not answered, for ever where it never was."""


class Ledger:
    """Accepted claims, in the order in which they came, and requests; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accepted: dict[str, list[dict[str, Any]]] = {}
        self._requests: deque[Request] = deque(maxlen=REQUESTS_KEPT)
        self._count = 0
        self.rejected = 0

    def accept(self, submission: Submission) -> dict[str, Any]:
        """Take a claim. It is taken again when it comes again: the authority does not look at identifiers."""
        with self._lock:
            self._count += 1
            response = claim_response(f"CR-{self._count:08d}", submission, dt.datetime.now(dt.UTC))
            self._accepted.setdefault(submission.identifier, []).append(response)
        return response

    def of(self, identifier: str) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._accepted.get(identifier, ()))

    def arrived(self, operation: str, *, runbook: bool) -> Request:
        request = Request(dt.datetime.now(dt.UTC), operation, runbook)
        self._requests.append(request)
        return request

    def requests(self) -> list[dict[str, Any]]:
        """Oldest first."""
        return [
            {**asdict(request), "at": request.at.isoformat(timespec="milliseconds")} for request in list(self._requests)
        ]

    def summary(self) -> dict[str, int]:
        """Claims by their business identifier; `duplicates` are those that were accepted more than once."""
        with self._lock:
            times = Counter({identifier: len(responses) for identifier, responses in self._accepted.items()})
        return {
            "accepted": times.total(),
            "claims": len(times),
            "duplicates": sum(1 for count in times.values() if count > 1),
            "rejected": self.rejected,
        }
