"""How each fault of an error spike shows to somebody who has the request logs and the metrics."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from daily_emr_sandbox.app.journal import tenant_hash
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

GROUP = "/ecs/daily-emr-sandbox-web"
BALANCER = "AWS/ApplicationELB"
ENOUGH = 12
"""Bad requests that tell a pattern from chance."""


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

    def bad_by(self, field: str) -> dict[str | None, int]:
        """Bad requests of each value of a field that has some."""
        rows = self.ask(f"filter status >= 500 | stats count(*) as bad by {field}")
        return {row.get(field): int(row["bad"]) for row in rows}

    def wait_bad(self, enough: int = ENOUGH) -> None:
        wait_until(lambda: self.total("sum(status >= 500)") >= enough, f"{enough} requests failed", 60)


def only_the_canary_fails(box: Sandbox) -> None:
    logs = Logs(box)
    logs.wait_bad()
    assert set(logs.bad_by("release")) == {"2026.48.1"}
    assert len(logs.bad_by("route")) > 1
    share = logs.total("sum(release = '2026.48.1') / count(*)")
    assert 0.08 < share < 0.12
    (listener,) = box.boto("elbv2").describe_listeners(LoadBalancerArn=balancer(box))["Listeners"]
    groups = listener["DefaultActions"][0]["ForwardConfig"]["TargetGroups"]
    assert [group["Weight"] for group in groups] == [90, 10]


def only_one_route_fails(box: Sandbox) -> None:
    logs = Logs(box)
    logs.wait_bad()
    assert set(logs.bad_by("route")) == {"/api/reports"}
    assert set(logs.bad_by("error")) == {"ZeroDivisionError"}
    assert len(logs.bad_by("task")) == 2
    assert len(logs.bad_by("tenant")) > 1


def only_one_tenant_fails(box: Sandbox) -> None:
    logs = Logs(box)
    logs.wait_bad()
    assert set(logs.bad_by("tenant")) == {tenant_hash("facility-3")}
    assert len(logs.bad_by("route")) > 1
    assert len(logs.bad_by("task")) == 2


def only_one_zone_fails(box: Sandbox) -> None:
    logs = Logs(box)
    logs.wait_bad()
    assert set(logs.bad_by("zone")) == {"af-south-1a"}
    assert set(logs.bad_by("dependency")) == {"cache"}
    assert len(logs.bad_by("route")) > 1


def only_one_task_fails(box: Sandbox) -> None:
    logs = Logs(box)
    logs.wait_bad()
    assert len(logs.bad_by("task")) == 1
    assert set(logs.bad_by("error")) == {"ENOSPC"}
    assert set(box.status()["targets"]) == {"healthy"}


def claims_are_slow(box: Sandbox) -> None:
    logs = Logs(box)
    logs.wait_bad(5)
    assert set(logs.bad_by("route")) == {"/api/claims/eligibility"}
    assert set(logs.bad_by("dependency")) == {"claims"}
    assert set(logs.bad_by("status")) == {"504"}
    (row,) = logs.ask(
        "filter status < 500 and dependency = 'claims' | stats count(*) as n, min(dependency_ms) as least"
    )
    assert int(row["n"]) > 0
    assert int(row["least"]) >= 1000


def everything_is_slow(box: Sandbox) -> None:
    logs = Logs(box)
    wait_until(lambda: logs.total("count(*)") > 50, "fifty requests", 60)
    assert logs.total("sum(status >= 500)") == 0
    slow = logs.ask("stats pct(duration, 50) as middle, count(dependency) as blamed by route")
    assert len(slow) == 6
    assert all(float(row["middle"]) > 400 for row in slow)


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
    "canary_fails": only_the_canary_fails,
    "one_route_fails": only_one_route_fails,
    "one_tenant_fails": only_one_tenant_fails,
    "one_zone_errors": only_one_zone_fails,
    "one_task_errors": only_one_task_fails,
    "slow_third_party": claims_are_slow,
    "latency_without_errors": everything_is_slow,
    "night_traffic": night_has_few_requests,
    "metrics_missing": metrics_are_missing,
}
