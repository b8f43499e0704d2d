"""What the request logs and the metrics show where a runbook sees only that nothing can be said."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

GROUP = "/ecs/daily-emr-sandbox-web"
BALANCER = "AWS/ApplicationELB"


@dataclass
class Logs:
    """The request logs of a sandbox, from now on."""

    sandbox: Sandbox

    def __post_init__(self) -> None:
        self.client = self.sandbox.boto("logs")
        self.since_ms = int(time.time() * 1000)

    def ask(self, text: str) -> list[dict[str, str]]:
        """Rows of a query over the requests since this object was made."""
        started = self.client.start_query(
            logGroupName=GROUP, startTime=self.since_ms // 1000, endTime=int(time.time()) + 1,
            queryString=f"filter ispresent(status) and @timestamp >= {self.since_ms} | {text}",
        )  # fmt: skip
        asked = {"queryId": started["queryId"]}
        wait_until(lambda: self.client.get_query_results(**asked)["status"] == "Complete", "the query is complete")
        rows = self.client.get_query_results(**asked)["results"]
        return [{cell["field"]: cell["value"] for cell in row} for row in rows]

    def total(self, what: str) -> float:
        rows = self.ask(f"stats {what} as it")
        return float(rows[0].get("it", 0)) if rows else 0.0


def night_has_few_requests(box: Sandbox) -> None:
    logs, before = Logs(box), box.ledger()["requests"]
    time.sleep(8)
    assert 4 <= box.ledger()["requests"] - before <= 12
    assert logs.total("sum(status >= 500)") <= 1


def metrics_are_missing(box: Sandbox) -> None:
    cloudwatch, now = box.boto("cloudwatch"), dt.datetime.now(dt.UTC)
    balancers = [{"Name": "LoadBalancer", "Value": balancer(box).partition(":loadbalancer/")[2]}]
    metric = {"Namespace": BALANCER, "MetricName": "RequestCount", "Dimensions": balancers}
    query = {"Id": "n", "MetricStat": {"Metric": metric, "Period": 1, "Stat": "Sum"}}
    before, logs = box.ledger()["requests"], Logs(box)
    time.sleep(4)
    found = cloudwatch.get_metric_data(
        MetricDataQueries=[query], StartTime=now, EndTime=now + dt.timedelta(minutes=1)
    )["MetricDataResults"]  # fmt: skip
    assert found[0]["Values"] == []
    assert box.ledger()["requests"] > before + 10
    assert logs.total("count(*)") > 10


def balancer(box: Sandbox) -> str:
    found: dict[str, Any] = box.boto("elbv2").describe_load_balancers()["LoadBalancers"][0]
    return str(found["LoadBalancerArn"])


SPIKE_SIGNS: dict[str, Callable[[Sandbox], None]] = {
    "night_traffic": night_has_few_requests,
    "metrics_missing": metrics_are_missing,
}
