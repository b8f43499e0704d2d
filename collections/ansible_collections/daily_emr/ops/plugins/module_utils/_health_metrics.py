# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what CloudWatch says of a web service. May change without notice.

"""One GetMetricData for everything: requests, errors, latency, CPU."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

# Load balancer metrics have one value a minute; three of them are what the alarms look at (A1.1). Where time runs
# faster (the sandbox), CloudWatch's shorter periods carry the same number of values.
_PERIODS = (1, 5, 10, 30, 60)
_VALUES = 3
_SHORTEST_WINDOW_S = 15


def window(time_factor: float) -> tuple[int, timedelta]:
    """Period in seconds, and how far to look back."""
    period = next((period for period in _PERIODS if period >= 60 / time_factor), _PERIODS[-1])
    return period, timedelta(seconds=max(_VALUES * period, _SHORTEST_WINDOW_S))


def read_metrics(clients: Clients, service: Json, balancer_arn: str) -> Json:
    """requests, errors (both counts), p95_ms and cpu_percent of the last minutes; None where there is no value.

    No value is not 0, except for error counts: the load balancer only reports them when there are any.
    """
    period, back = window(clients.environment.time_factor)
    balancer = {"LoadBalancer": balancer_arn.rpartition(":loadbalancer/")[2]}
    ecs = {"ClusterName": service["cluster"], "ServiceName": service["service"]}

    def metric(identity: str, namespace: str, name: str, stat: str, dimensions: Json) -> Json:
        shape = {"Namespace": namespace, "MetricName": name}
        listed = [{"Name": key, "Value": value} for key, value in dimensions.items()]
        return {
            "Id": identity,
            "MetricStat": {"Metric": {**shape, "Dimensions": listed}, "Period": period, "Stat": stat},
        }

    queries = [
        metric("requests", "AWS/ApplicationELB", "RequestCount", "Sum", balancer),
        metric("elb_5xx", "AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", "Sum", balancer),
        metric("target_5xx", "AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "Sum", balancer),
        metric("p95", "AWS/ApplicationELB", "TargetResponseTime", "p95", balancer),
        metric("cpu", "AWS/ECS", "CPUUtilization", "Average", ecs),
    ]
    now = datetime.now(UTC)
    answer = clients.read("cloudwatch").get_metric_data(
        MetricDataQueries=queries, StartTime=now - back, EndTime=now + timedelta(seconds=period)
    )
    values: dict[str, list[float]] = {item["Id"]: item["Values"] for item in answer["MetricDataResults"]}
    made_by_balancer = sum(values["elb_5xx"])
    # RequestCount only counts requests for which a target could be chosen: the others are the balancer's own 5xx.
    requests = sum(values["requests"]) + made_by_balancer if values["requests"] or made_by_balancer else None
    return {
        "requests": requests,
        "errors": made_by_balancer + sum(values["target_5xx"]),
        "p95_ms": max(values["p95"]) * 1000 if values["p95"] else None,
        "cpu_percent": max(values["cpu"]) if values["cpu"] else None,
        "window_s": back.total_seconds(),
    }


def requests_per_minute(clients: Clients, balancer_arn: str) -> float:
    """Requests that reach the load balancer, in the minutes that have a value: late minutes are not empty ones.

    Raises OpsError when there is none.
    """
    period, back = window(clients.environment.time_factor)
    dimensions = [{"Name": "LoadBalancer", "Value": balancer_arn.rpartition(":loadbalancer/")[2]}]
    metric = {"Namespace": "AWS/ApplicationELB", "MetricName": "RequestCount", "Dimensions": dimensions}
    now = datetime.now(UTC)
    answer = clients.read("cloudwatch").get_metric_data(
        MetricDataQueries=[{"Id": "requests", "MetricStat": {"Metric": metric, "Period": period, "Stat": "Sum"}}],
        StartTime=now - 2 * back,
        EndTime=now,
    )
    values: list[float] = answer["MetricDataResults"][0]["Values"]
    if not values:
        raise OpsError(f"AWS/ApplicationELB RequestCount has no value in the last {2 * back.total_seconds():.0f} s")
    return sum(values) / len(values) * 60 / period
