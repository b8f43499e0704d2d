"""What watches the seeded environment: the web ACL in front of the load balancer, and the alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aws.server import AwsServer
    from .settings import Settings

RATE_LIMIT = 10_000
"""Requests of one address in five minutes: far above everything that the sandbox sends."""
HARMLESS = b"/wp-login.php"
"""Nobody but scanners asks an EMR for this path."""


def seed_web_acl(settings: Settings, aws: AwsServer, balancer: str, tags: list[dict[str, str]]) -> None:
    """A web ACL with a rate rule and a rule of our own, in front of the load balancer."""
    wafv2, region = aws.boto("wafv2"), "REGIONAL"

    def visible(name: str) -> dict[str, Any]:
        return {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": name}

    rate = {"RateBasedStatement": {"Limit": RATE_LIMIT, "AggregateKeyType": "IP"}}
    match = {
        "ByteMatchStatement": {
            "SearchString": HARMLESS,
            "FieldToMatch": {"UriPath": {}},
            "TextTransformations": [{"Priority": 0, "Type": "NONE"}],
            "PositionalConstraint": "EXACTLY",
        }
    }
    rules = [
        {"Name": name, "Priority": priority, "Statement": statement, "Action": {"Block": {}},
         "VisibilityConfig": visible(f"{settings.prefix}-{name}")}
        for priority, (name, statement) in enumerate((("rate-limit", rate), ("scanner-paths", match)))
    ]  # fmt: skip
    created = wafv2.create_web_acl(
        Name=settings.prefix, Scope=region, DefaultAction={"Allow": {}}, VisibilityConfig=visible(settings.prefix),
        Rules=rules, Tags=tags, Description="Daily EMR",
        CustomResponseBodies={"busy": {"ContentType": "TEXT_PLAIN", "Content": "Try again in a minute."}},
    )  # fmt: skip
    wafv2.associate_web_acl(WebACLArn=created["Summary"]["ARN"], ResourceArn=balancer)


def seed_alarms(settings: Settings, aws: AwsServer, balancer: str, targets: str, minimum: int) -> None:
    """The alarms that call somebody. Each says what missing data means: without traffic there are no metrics."""
    topic = aws.boto("sns").create_topic(Name=f"{settings.prefix}-oncall")["TopicArn"]
    cloudwatch = aws.boto("cloudwatch")
    by_balancer = {"LoadBalancer": balancer.partition(":loadbalancer/")[2]}
    by_group = by_balancer | {"TargetGroup": targets.rpartition(":")[2]}
    service = {"ClusterName": settings.prefix, "ServiceName": settings.web}
    acl = {"WebACL": settings.prefix, "Rule": "ALL", "Region": settings.region}

    def dimensions(values: dict[str, str]) -> list[dict[str, str]]:
        return [{"Name": name, "Value": value} for name, value in values.items()]

    def alarm(name: str, missing: str, comparison: str, threshold: float, periods: int, **what: Any) -> None:
        cloudwatch.put_metric_alarm(
            AlarmName=f"{settings.prefix}-{name}", TreatMissingData=missing, ComparisonOperator=comparison,
            Threshold=threshold, EvaluationPeriods=periods, AlarmActions=[topic], **what,
        )  # fmt: skip

    def of(namespace: str, metric: str, statistic: str, values: dict[str, str]) -> dict[str, Any]:
        return {"Namespace": namespace, "MetricName": metric, "Statistic": statistic, "Period": 60,
                "Dimensions": dimensions(values)}  # fmt: skip

    below, above = "LessThanThreshold", "GreaterThanThreshold"
    alb = "AWS/ApplicationELB"
    hosts = of(alb, "HealthyHostCount", "Minimum", by_group)
    alarm("no-healthy-targets", "breaching", below, 1, 1, **hosts)
    alarm("no-redundancy", "breaching", below, minimum, 3, **hosts)
    alarm("silence", "breaching", below, 1, 5, **of(alb, "RequestCount", "Sum", by_balancer))
    alarm("latency", "notBreaching", above, 3, 5, **{
        key: value for key, value in of(alb, "TargetResponseTime", "", by_balancer).items() if key != "Statistic"
    }, ExtendedStatistic="p95")  # fmt: skip
    alarm("waf-blocks", "notBreaching", above, 100, 3, **of("AWS/WAFV2", "BlockedRequests", "Sum", acl))
    alarm("cpu", "missing", above, 90, 5, **of("AWS/ECS", "CPUUtilization", "Average", service))
    names = {"requests": "RequestCount", "balancer": "HTTPCode_ELB_5XX_Count", "target": "HTTPCode_Target_5XX_Count"}
    queries: list[dict[str, Any]] = [
        {
            "Id": name,
            "ReturnData": False,
            "MetricStat": {
                "Metric": {"Namespace": alb, "MetricName": metric, "Dimensions": dimensions(by_balancer)},
                "Period": 60,
                "Stat": "Sum",
            },
        }
        for name, metric in names.items()
    ]
    # RequestCount has only requests for which a target was chosen: the balancer's own errors come on top.
    ratio = "100*(FILL(balancer,0)+FILL(target,0))/(FILL(requests,0)+FILL(balancer,0))"
    queries.append({"Id": "ratio", "Expression": ratio, "Label": "error ratio, percent", "ReturnData": True})
    alarm("error-ratio", "notBreaching", above, 5, 2, Metrics=queries)
