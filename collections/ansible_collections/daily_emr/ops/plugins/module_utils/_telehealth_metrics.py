# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what CloudWatch says of telehealth. May change without notice.

"""All values of one metric: every page of them, and never a part that looks like the whole."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import answered_at

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
    from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

# A page holds far more than what is asked for here; more pages than this are a fault, and must not take all night.
_PAGES = 20


def read_values(
    clients: Clients, metric: Json, period: int, stat: str, start: datetime, end: datetime
) -> tuple[list[tuple[datetime, float]], datetime]:
    """The values of the periods, oldest first, and when AWS was asked. No value at all is an answer.

    Raises OpsError when AWS has more than it gave.
    """
    query = {
        "MetricDataQueries": [{"Id": "m", "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}}],
        "StartTime": start,
        "EndTime": end,
        "ScanBy": "TimestampAscending",
    }
    values: list[tuple[datetime, float]] = []
    for _page in range(_PAGES):
        answer = clients.read("cloudwatch").get_metric_data(**query)
        status = "Complete"
        for found in answer["MetricDataResults"]:
            status = found.get("StatusCode", status)
            values += zip(found.get("Timestamps", []), found["Values"], strict=True)
        if "NextToken" in answer:
            query["NextToken"] = answer["NextToken"]
        elif status == "Complete":
            return [(at.astimezone(UTC), float(value)) for at, value in sorted(values)], answered_at(answer)
        else:
            break
    raise OpsError(f"CloudWatch gave only a part of {metric['MetricName']}")
