"""CloudWatch shows exactly the requests that were sent, under the dimensions that AWS uses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.stack import Stack, eventually, running_stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """One for each test: counts begin at nothing."""
    with running_stack(tmp_path) as stack:
        yield stack


class Numbers:
    """Metrics of the balancer through GetMetricData, in one period over everything since the test began."""

    def __init__(self, stack: Stack) -> None:
        self.start = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0) - dt.timedelta(minutes=30)
        self.client = stack.aws.boto("cloudwatch")
        self.balancer = stack.names["lb"].partition(":loadbalancer/")[2]
        self.group = stack.names["tg"].rpartition(":")[2]

    def read(
        self, name: str, stat: str = "Sum", namespace: str = "AWS/ApplicationELB", **dimensions: str
    ) -> float | None:
        metric: Any = {
            "Namespace": namespace,
            "MetricName": name,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
        }
        found = self.client.get_metric_data(
            MetricDataQueries=[{"Id": "m", "MetricStat": {"Metric": metric, "Period": 3600, "Stat": stat}}],
            StartTime=self.start, EndTime=self.start + dt.timedelta(hours=1),
        )["MetricDataResults"][0]["Values"]  # fmt: skip
        return found[0] if found else None

    def of_balancer(self, name: str, stat: str = "Sum") -> float | None:
        return self.read(name, stat, LoadBalancer=self.balancer)


@pytest.fixture
def numbers(stack: Stack) -> Numbers:
    return Numbers(stack)


def test_counts_are_those_of_the_requests_sent(stack, numbers):
    for path, times in (("/", 12), ("/status/404", 5), ("/status/500", 3), ("/status/302", 2)):
        for _ in range(times):
            stack.get(path) if path != "/status/302" else stack.get("/status/304")
    eventually(lambda: (numbers.of_balancer("RequestCount") or 0) >= 22, "the counts are flushed")

    assert numbers.of_balancer("RequestCount") == 22
    assert numbers.of_balancer("HTTPCode_Target_2XX_Count") == 12
    assert numbers.of_balancer("HTTPCode_Target_3XX_Count") == 2
    assert numbers.of_balancer("HTTPCode_Target_4XX_Count") == 5
    assert numbers.of_balancer("HTTPCode_Target_5XX_Count") == 3
    assert numbers.of_balancer("HTTPCode_ELB_5XX_Count") is None  # not reported when there were none
    by_group = numbers.read("RequestCount", TargetGroup=numbers.group, LoadBalancer=numbers.balancer)
    by_zone = [
        numbers.read("RequestCount", AvailabilityZone=zone, LoadBalancer=numbers.balancer) or 0
        for zone in stack.settings.zones
    ]
    assert by_group == sum(by_zone) == 22
    assert sorted(by_zone) == [0, 11, 11]


def test_response_times_keep_their_distribution(stack, numbers):
    for path, times in (("/", 30), ("/slow/0.5", 6)):
        for _ in range(times):
            stack.get(path)
    eventually(lambda: (numbers.of_balancer("TargetResponseTime", "SampleCount") or 0) >= 36, "times are flushed")

    middle, late = (numbers.of_balancer("TargetResponseTime", stat) for stat in ("p50", "p95"))
    assert middle is not None
    assert late is not None
    assert 0 < middle < 0.5 <= late


def test_without_a_target_there_is_an_error_of_the_balancer_and_no_request_count(stack, numbers):
    group = {"TargetGroup": numbers.group, "LoadBalancer": numbers.balancer}
    hosts = lambda stat: numbers.read("HealthyHostCount", stat, **group)  # noqa: E731
    eventually(lambda: hosts("Maximum") == 2, "both hosts are counted")
    counted = lambda: numbers.of_balancer("RequestCount") or 0  # noqa: E731
    routed = lambda: stack.balancer.stats["requests"] - stack.balancer.stats["503"]  # noqa: E731
    eventually(lambda: counted() == routed(), "all requests so far are flushed")
    stack.update(desiredCount=0)
    stack.steady(0)
    eventually(lambda: stack.get("/").status == 503, "no target is left")
    for _ in range(4):
        assert stack.get("/").status == 503
    made = stack.balancer.stats["503"]
    eventually(lambda: numbers.of_balancer("HTTPCode_ELB_503_Count") == made, "the errors are flushed")

    assert numbers.of_balancer("HTTPCode_ELB_5XX_Count") == made
    assert counted() == routed()
    eventually(lambda: hosts("Minimum") == 0, "no host is healthy")
    stack.update(desiredCount=2)
    stack.steady()


def test_blocked_requests_are_counted_by_rule_and_in_all(stack, numbers):
    shown = {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True}
    match: Any = {
        "SearchString": b"/blocked", "FieldToMatch": {"UriPath": {}}, "PositionalConstraint": "EXACTLY",
        "TextTransformations": [{"Priority": 0, "Type": "NONE"}],
    }  # fmt: skip
    rule: Any = {
        "Name": "custom", "Priority": 0, "Statement": {"ByteMatchStatement": match}, "Action": {"Block": {}},
        "VisibilityConfig": {**shown, "MetricName": "custom"},
    }  # fmt: skip
    acl = stack.waf.create_web_acl(
        Name="metrics", Scope="REGIONAL", DefaultAction={"Allow": {}}, Rules=[rule],
        VisibilityConfig={**shown, "MetricName": "metrics"},
    )["Summary"]["ARN"]  # fmt: skip
    stack.waf.associate_web_acl(WebACLArn=acl, ResourceArn=stack.names["lb"])
    try:
        eventually(lambda: stack.get("/blocked").status == 403, "the rule blocks")
        for _ in range(6):
            stack.get("/blocked")
        sent = stack.balancer.stats["403"]

        def blocked(name: str) -> float | None:
            region = stack.settings.region
            return numbers.read("BlockedRequests", namespace="AWS/WAFV2", WebACL="metrics", Rule=name, Region=region)

        eventually(lambda: blocked("custom") == sent, "the blocked requests are flushed")
        assert blocked("ALL") == sent
        assert numbers.of_balancer("HTTPCode_ELB_4XX_Count") == sent
    finally:
        stack.waf.disassociate_web_acl(ResourceArn=stack.names["lb"])
