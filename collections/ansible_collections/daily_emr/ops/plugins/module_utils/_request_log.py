# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the request log of a web service, as far as a runbook needs it. May change without notice.

"""Counts from the request log, by CloudWatch Logs Insights.

Only what Insights counted leaves it: route templates, hashes of tenants, names and numbers; never a log line. A query
runs for seconds, and thirty may run in an account at the same time; one that takes longer than the limit here is a
reading that is missing. It is not stopped, which would be a change: AWS ends it by itself.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._attribution import (
    DIMENSIONS,
    NONE,
    UNKNOWN,
    Count,
    marginals,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

# The most rows Insights gives. The rarest groups are the ones left out, because the rows are sorted.
MOST_ROWS = 10_000
TIMEOUT_S = 30.0
_POLLS = (0.2, 0.3, 0.5, 1.0)
_ENDED_BADLY = {"Failed", "Cancelled", "Timeout", "Unknown"}

# One row for each combination: the counts of every dimension and the signatures come out of the same rows, so that
# they fit together.
BAD_BY_ALL = (
    f"filter status >= 500 | stats count(*) as bad by {', '.join(('status', 'revision', *DIMENSIONS))} "
    f"| sort bad desc | limit {MOST_ROWS}"
)
CLIENT_ERRORS = "filter status >= 400 and status < 500 | stats count(*) as requests by status | sort requests desc"


def requests_by(dimension: str) -> str:
    """All requests and their latency by one dimension. Percentiles cannot be added up, so each has its own query."""
    return (
        f"filter status >= 100 | stats count(*) as requests, pct(duration, 95) as p95 by {dimension} "
        f"| sort requests desc | limit {MOST_ROWS}"
    )


class NoLogGroup(OpsError):
    """There is no such log group: that is an answer, not a reading that failed."""


def ask(
    clients: Clients, log_group: str, query: str, start: datetime, end: datetime, timeout_s: float = TIMEOUT_S
) -> list[Json]:
    """The rows of a query, as {field: text}; a field that a group of requests does not have is missing.

    Raises OpsError when the query does not end well, or not in time, and NoLogGroup.
    """
    logs = clients.read("logs")
    try:
        query_id = logs.start_query(
            logGroupName=log_group,
            startTime=int(start.timestamp()),
            endTime=int(end.timestamp()) + 1,
            queryString=query,
        )["queryId"]
    except logs.exceptions.ResourceNotFoundException as error:
        raise NoLogGroup(f"There is no log group {log_group}.") from error
    deadline = time.monotonic() + timeout_s
    polls = list(_POLLS)
    while True:
        time.sleep(polls.pop(0) if len(polls) > 1 else polls[0])
        answer = logs.get_query_results(queryId=query_id)
        if answer["status"] == "Complete":
            return [_row(row) for row in answer["results"]]
        if answer["status"] in _ENDED_BADLY:
            raise OpsError(f"The query of {log_group} ended as {answer['status']}.")
        if time.monotonic() >= deadline:
            raise OpsError(f"The query of {log_group} did not end within {timeout_s:.0f} s.")


def _row(row: Iterable[Mapping[str, str]]) -> Json:
    return {item["field"]: item["value"] for item in row if item.get("value") not in (None, "")}


def counts(dimension: str, bad: list[Json], requests: list[Json]) -> dict[str, Count]:
    """Bad and all requests by value of a dimension. A value whose requests were left out has its bad ones at least."""
    failed = marginals(bad, dimension)
    absent = NONE if dimension == "dependency" else UNKNOWN
    rows = {str(row.get(dimension) or absent): row for row in requests}
    return {
        value: Count(
            bad=failed.get(value, 0),
            # The two queries do not end at the same moment.
            requests=max(int(float(rows.get(value, {}).get("requests", 0))), failed.get(value, 0)),
            p95_ms=float(rows[value]["p95"]) if "p95" in rows.get(value, {}) else None,
        )
        for value in sorted({*failed, *rows})
    }


def utc_now() -> datetime:
    return datetime.now(UTC)
