"""What can happen to a call: planned for a service and operation, used up call by call."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from typing import Any

from .errors import AwsError

KINDS = ("delay", "throttle", "error", "error_after", "drop_before", "drop_after", "stall")
STALL_MS = 600_000
"""How long a stall holds the reply unless it is told, or its fault is removed."""
THROTTLES: dict[str, tuple[str, int]] = {
    "dynamodb": ("ProvisionedThroughputExceededException", 400),
    "ec2": ("RequestLimitExceeded", 503),
    "s3": ("SlowDown", 503),
    "sqs": ("RequestThrottled", 403),
}
"""Code and status of services that throttle in words of their own."""
THROTTLES_BY_PROTOCOL: dict[str, tuple[str, int]] = {
    "json": ("ThrottlingException", 400),
    "query": ("Throttling", 400),
    "rest-json": ("ThrottlingException", 429),
    "rest-xml": ("Throttling", 400),
}


@dataclass
class Plan:
    """A fault for the next `count` calls of an operation; `*` is every service, every operation."""

    id: str
    service: str
    operation: str
    kind: str
    count: int | None = 1
    """Calls it is still for; None for every call until it is removed."""
    ms: int = 0
    """Milliseconds of a delay, or of a stall."""
    code: str | None = None
    status: int | None = None
    """AWS error code and HTTP status of an error."""
    over: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set when the fault is removed: a call that it holds goes on."""

    def hits(self, service: str, operation: str) -> bool:
        return self.service in {"*", service} and self.operation in {"*", operation}

    def hold(self) -> None:
        """Wait as long as the fault says."""
        self.over.wait(self.ms / 1000)

    def as_json(self) -> dict[str, Any]:
        shown = ("id", "service", "operation", "kind", "count", "ms", "code", "status")
        return {name: getattr(self, name) for name in shown}


class Faults:
    """The faults that wait for a call; safe to use from every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[str, Plan] = {}
        self.dark: frozenset[str] = frozenset()
        """Regions whose control plane answers nobody."""
        self._ids = itertools.count(1)

    def add(
        self, service: str, operation: str, kind: str, count: int | None = 1, ms: int | None = None,
        code: str | None = None, status: int | None = None,
    ) -> str:  # fmt: skip
        """Plan a fault and return its id.

        Raises:
            ValueError: the plan makes no sense; says why.
        """
        if kind not in KINDS:
            raise ValueError(f"There is no fault {kind!r}: use one of {', '.join(KINDS)}.")
        if count is not None and count < 1:
            raise ValueError("count is the number of calls to hit: give 1 or more, or null for every call.")
        if kind == "delay" and not ms:
            raise ValueError("A delay needs ms, the milliseconds that it takes.")
        if kind in {"error", "error_after"} and not code:
            raise ValueError("An error needs code, the AWS error code that the caller gets.")
        wait = ms if ms is not None else (STALL_MS if kind == "stall" else 0)
        plan = Plan(f"fault-{next(self._ids)}", service, operation, kind, count, wait, code, status)
        with self._lock:
            self._all[plan.id] = plan
        return plan.id

    def remove(self, fault_id: str | None = None) -> None:
        """Take one fault away, or all; calls that are held by them go on.

        Raises:
            LookupError: no fault has that id.
        """
        with self._lock:
            if fault_id is not None and fault_id not in self._all:
                raise LookupError(f"There is no fault {fault_id}: it was removed before, or never planned.")
            gone = list(self._all.values()) if fault_id is None else [self._all[fault_id]]
            for plan in gone:
                plan.over.set()
                del self._all[plan.id]

    def take(self, service: str, operation: str) -> list[Plan]:
        """The faults of this call: every delay that hits it, then at most one fault of another kind."""
        with self._lock:
            hits = [plan for plan in self._all.values() if plan.count != 0 and plan.hits(service, operation)]
            hits = [p for p in hits if p.kind == "delay"] + [p for p in hits if p.kind != "delay"][:1]
            for plan in hits:
                if plan.count is not None:
                    plan.count -= 1
        return hits

    def listed(self) -> list[dict[str, Any]]:
        """Faults that still wait for calls."""
        with self._lock:
            return [plan.as_json() for plan in self._all.values() if plan.count != 0]


def throttled(service: str, protocol: str) -> AwsError:
    """The error with which a service throttles."""
    code, status = THROTTLES.get(service) or THROTTLES_BY_PROTOCOL.get(protocol, ("Throttling", 400))
    return AwsError(code, "Rate exceeded", status)
