"""The witness: every AWS call that arrived from outside, whatever became of it."""

from __future__ import annotations

import datetime as dt
import re
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

KEPT = 20_000
READS = re.compile(
    r"(Describe|Get|List|Lookup|Search|Select|Simulate|Scan|Query|Head|Estimate|Preview|Filter|Check|Validate"
    r"|BatchGet|BatchDescribe|BatchCheck|TransactGet|AssumeRole|DecodeAuthorizationMessage|StartQuery|StopQuery)(?![a-z])"
)
RESOURCE_PARAMS = (
    "resourceIdentifier", "zonalShiftId", "ResourceId", "serviceDeploymentArn", "service", "task", "taskDefinition",
    "cluster", "TargetGroupArn", "ListenerArn", "LoadBalancerArn", "WebAclArn", "DBInstanceIdentifier",
    "ReplicationGroupId", "SecretId", "TableName", "repositoryName", "AlarmName", "Bucket", "TopicArn", "QueueUrl",
    "SourceArn", "RoleArn", "Name", "Id",
)  # fmt: skip
"""Parameters that name what a call is about, the most telling first."""


def is_mutating(operation: str) -> bool:
    """Whether a call may change something, told by its name. What is not known to be a read is mutating."""
    return READS.match(operation) is None


def resource_of(params: Mapping[str, Any]) -> str | None:
    """Name, id or ARN of what a call is about; None when no parameter says it."""
    for name in RESOURCE_PARAMS:
        if isinstance(value := params.get(name), str):
            return value
    for part in params.get("TransactItems") or []:
        for action in part.values():
            if isinstance(table := action.get("TableName"), str):
                return table
    return None


@dataclass
class Entry:
    """One call. `status` and `error` stay None while it runs, and when it was never executed."""

    seq: int
    at: str
    """UTC, ISO 8601 with milliseconds."""
    service: str
    operation: str
    mutating: bool
    principal: str | None
    """ARN of the caller."""
    resource: str | None
    status: int | None = None
    """HTTP status that the control plane gave, also when the reply was dropped on its way."""
    error: str | None = None
    """AWS error code."""
    fault: str | None = None
    """Kind of the fault that hit the call."""
    scoped: bool = False
    """Whether the session behind it has a policy of its own, which lets it do less than its role."""


class CallLog:
    """Calls in the order of their arrival; safe to use from every thread. The oldest are forgotten after a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._seq = 0

    def arrived(
        self, service: str, operation: str, principal: str | None, resource: str | None, *, scoped: bool = False
    ) -> Entry:
        """Note a call before anything else is done with it."""
        at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        with self._lock:
            self._seq += 1
            entry = Entry(self._seq, at, service, operation, is_mutating(operation), principal, resource, scoped=scoped)
            self._entries.append(entry)
            if len(self._entries) > KEPT:
                del self._entries[: KEPT // 10]
        return entry

    @property
    def seq(self) -> int:
        """Number of the newest call."""
        with self._lock:
            return self._seq

    def since(self, seq: int = 0) -> list[dict[str, Any]]:
        """Calls after the one numbered `seq`, oldest first, as JSON."""
        with self._lock:
            return [asdict(entry) for entry in self._entries if entry.seq > seq]
