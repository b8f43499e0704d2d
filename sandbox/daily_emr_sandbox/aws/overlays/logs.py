"""CloudWatch Logs Insights over the events that moto keeps: queries are understood, run beside, and take their time."""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from moto.core.responses import ActionResult
from moto.logs.responses import LogsResponse

from ..errors import AwsError
from .insights import MOST_ROWS, Query, QueryError, Row, row_of

logger = logging.getLogger(__name__)

SCHEDULED_S, RUNNING_S = 1.0, 2.0
"""AWS seconds until a query starts, and that it takes at least."""
KEPT = 100
"""Newest queries whose results can be got."""
MOST_GROUPS = 50
Event = tuple[str, str, Any]
"""Group, stream, moto's event."""


@dataclass
class Running:
    """One query; the attributes that moto's DescribeQueries reads have moto's names."""

    query: str
    log_group_names: list[str]
    scheduled_s: float
    running_s: float
    work: Future[list[list[dict[str, str]]]]
    scanned: int
    bytes_scanned: int
    query_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started: float = field(default_factory=time.monotonic)
    created: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    cancelled: bool = False

    @property
    def status(self) -> str:
        age = time.monotonic() - self.started
        if self.cancelled:
            return "Cancelled"
        if age < self.scheduled_s:
            return "Scheduled"
        if age < self.scheduled_s + self.running_s or not self.work.done():
            return "Running"
        return "Failed" if self.work.exception() else "Complete"

    def to_json(self, log_group_name: str) -> dict[str, Any]:
        return {
            "queryId": self.query_id,
            "queryString": self.query,
            "status": self.status,
            "createTime": int(self.created.timestamp() * 1000),
            "logGroupName": log_group_name,
        }

    def described(self) -> dict[str, Any]:
        status = self.status
        results = self.work.result() if status == "Complete" else []
        statistics = {"recordsMatched": float(len(results)), "recordsScanned": float(self.scanned)}
        return {
            "results": results,
            "statistics": statistics | {"bytesScanned": float(self.bytes_scanned)},
            "status": status,
        }


def install(aws: Any) -> None:
    workers = ThreadPoolExecutor(1, thread_name_prefix="insights")

    def start_query(self: Any) -> ActionResult:
        asked = json.loads(self.body)
        names, start, end = _groups(asked), int(asked["startTime"]), int(asked["endTime"])
        limit = int(asked.get("limit") or MOST_ROWS)
        if end < start:
            raise _invalid("End time should not be less than start time.")
        if not 1 <= limit <= MOST_ROWS:
            raise _invalid(f"The limit must be between 1 and {MOST_ROWS}.")
        backend = self.logs_backend
        if missing := [name for name in names if name not in backend.groups]:
            raise AwsError("ResourceNotFoundException", f"Log group '{missing[0]}' does not exist.", 400)
        query = _understood(asked["queryString"])
        events = _events(backend, names, start * 1000, end * 1000)
        running = Running(
            asked["queryString"], names, aws.settings.scaled(SCHEDULED_S), aws.settings.scaled(RUNNING_S),
            workers.submit(_run, query, events, limit), len(events), sum(len(event.message) for *_, event in events),
        )  # fmt: skip
        backend.queries[running.query_id] = running
        for old in list(backend.queries)[:-KEPT]:
            del backend.queries[old]
        return ActionResult({"queryId": running.query_id})

    def get_query_results(self: Any) -> ActionResult:
        return ActionResult(_found(self).described())

    def stop_query(self: Any) -> ActionResult:
        running = _found(self)
        if running.status not in {"Scheduled", "Running"}:
            raise _invalid("The query has ended already.")
        running.cancelled = True
        return ActionResult({"success": True})

    LogsResponse.start_query = start_query
    LogsResponse.get_query_results = get_query_results
    LogsResponse.stop_query = stop_query


def _groups(asked: dict[str, Any]) -> list[str]:
    """Names of the log groups: one, several, or several ARNs."""
    given = [key for key in ("logGroupName", "logGroupNames", "logGroupIdentifiers") if asked.get(key)]
    if len(given) != 1:
        raise _invalid("Exactly one of logGroupName, logGroupNames and logGroupIdentifiers must be given.")
    value = asked[given[0]]
    names = [value] if isinstance(value, str) else list(value)
    if len(names) > MOST_GROUPS:
        raise _invalid(f"A query takes at most {MOST_GROUPS} log groups.")
    return [name.split(":log-group:")[-1].removesuffix(":*") for name in names]


def _understood(text: str) -> Query:
    try:
        return Query(text)
    except QueryError as error:
        place = {"startCharOffset": error.start, "endCharOffset": error.end}
        raise AwsError(
            "MalformedQueryException", str(error), 400, queryCompileError={"location": place, "message": str(error)}
        ) from None


def _events(backend: Any, names: list[str], start_ms: int, end_ms: int) -> list[Event]:
    return [
        (name, stream.log_stream_name, event)
        for name in names
        for stream in backend.groups[name].streams.values()
        for event in stream.events
        if start_ms <= event.timestamp <= end_ms
    ]


def _run(query: Query, events: list[Event], limit: int) -> list[list[dict[str, str]]]:
    try:
        return query.run((_row(*event) for event in events), limit)
    except Exception:
        logger.exception("a query failed inside the sandbox")
        raise


def _row(group: str, stream: str, event: Any) -> Row:
    return row_of(
        event.timestamp, event.message, log=group, logStream=stream, ingestionTime=event.ingestion_time,
        ptr=str(event.event_id),
    )  # fmt: skip


def _found(response: Any) -> Running:
    query_id = json.loads(response.body)["queryId"]
    running: Running | None = response.logs_backend.queries.get(query_id)
    if running is None:
        raise AwsError("ResourceNotFoundException", f"There is no query {query_id}.", 400)
    return running


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message, 400)
