"""The reads of the diagnosis as an expert would write them for once: one process, one session, threads, no guards.

The yardstick of `python -m tests.bench`: nothing that runs under Ansible can be cheaper than this.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import urllib3
from botocore.config import Config

PREFIX = "daily-emr-sandbox"


def main() -> None:
    box = json.loads((Path(sys.argv[1]) / "sandbox.json").read_text())
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = box["credentials_file"]
    session = boto3.Session(region_name=box["region"])
    names = ["ecs", "elbv2", "cloudwatch", "application-autoscaling", "secretsmanager", "wafv2", "rds", "elasticache"]
    names += ["cloudtrail", "ecr", "sts", "ssm", "ec2", "arc-zonal-shift"]
    config = Config(max_pool_connections=32)
    aws = {name: session.client(name, endpoint_url=box["endpoint_url"], config=config) for name in names}
    http = urllib3.PoolManager(maxsize=32)
    cluster, service = PREFIX, f"{PREFIX}-web"
    now = datetime.now(UTC)

    def deployments() -> Any:
        found = aws["ecs"].list_service_deployments(cluster=cluster, service=service)["serviceDeployments"]
        arns = [item["serviceDeploymentArn"] for item in found]
        details = aws["ecs"].describe_service_deployments(serviceDeploymentArns=arns)["serviceDeployments"]
        revisions = sorted({item["targetServiceRevision"]["arn"] for item in details})
        aws["ecs"].describe_service_revisions(serviceRevisionArns=revisions)
        definition = aws["ecs"].describe_task_definition(taskDefinition=service, include=["TAGS"])["taskDefinition"]
        digest = definition["containerDefinitions"][0]["image"].split("@")[1]
        return aws["ecr"].describe_images(repositoryName=f"{PREFIX}-web", imageIds=[{"imageDigest": digest}])

    def tasks(status: str) -> Any:
        arns = aws["ecs"].list_tasks(cluster=cluster, serviceName=service, desiredStatus=status)["taskArns"]
        found = aws["ecs"].describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
        if status == "RUNNING":
            addresses = [
                detail["value"]
                for task in found
                for attachment in task["attachments"]
                for detail in attachment["details"]
                if detail["name"] == "privateIPv4Address"
            ]
            paths = ("/livez", "/readyz", "/api/charts/probe")
            urls = [f"http://{address}:{box['task_port']}{path}" for address in addresses for path in paths]
            list(pool.map(lambda url: http.request("GET", url).status, urls))
        return found

    def targets() -> Any:
        group = aws["elbv2"].describe_target_groups(Names=[f"{PREFIX}-web"])["TargetGroups"][0]["TargetGroupArn"]
        return aws["elbv2"].describe_target_health(TargetGroupArn=group)

    def balancer() -> Any:
        found = aws["elbv2"].describe_load_balancers(Names=[PREFIX])["LoadBalancers"][0]
        aws["ec2"].describe_subnets(SubnetIds=[zone["SubnetId"] for zone in found["AvailabilityZones"]])
        aws["arc-zonal-shift"].get_managed_resource(resourceIdentifier=found["LoadBalancerArn"])
        dimensions = [{"Name": "LoadBalancer", "Value": found["LoadBalancerArn"].split(":loadbalancer/")[-1]}]
        metrics = ("RequestCount", "HTTPCode_ELB_5XX_Count", "HTTPCode_Target_5XX_Count")
        queries = [
            {
                "Id": name.lower(),
                "MetricStat": {
                    "Metric": {"Namespace": "AWS/ApplicationELB", "MetricName": name, "Dimensions": dimensions},
                    "Period": 60,
                    "Stat": "Sum",
                },
            }
            for name in metrics
        ]
        start = now - timedelta(minutes=3)
        return aws["cloudwatch"].get_metric_data(MetricDataQueries=queries, StartTime=start, EndTime=now)

    def acl() -> Any:
        item = aws["wafv2"].list_web_acls(Scope="REGIONAL")["WebACLs"][0]
        found = aws["wafv2"].get_web_acl(Name=item["Name"], Scope="REGIONAL", Id=item["Id"])["WebACL"]
        window = {"StartTime": now - timedelta(minutes=5), "EndTime": now}

        def samples(rule: dict[str, Any]) -> Any:
            return aws["wafv2"].get_sampled_requests(
                WebAclArn=found["ARN"],
                RuleMetricName=rule["VisibilityConfig"]["MetricName"],
                Scope="REGIONAL",
                TimeWindow=window,
                MaxItems=500,
            )

        return list(pool.map(samples, [rule for rule in found["Rules"] if "Block" in rule.get("Action", {})]))

    secrets = [f"daily-emr/sandbox/{name}" for name in ("DATABASE_URL", "SESSION_PASSWORD")]
    with ThreadPoolExecutor(32) as pool:
        work = [
            pool.submit(deployments),
            pool.submit(tasks, "STOPPED"),
            pool.submit(tasks, "RUNNING"),
            pool.submit(targets),
            pool.submit(balancer),
            pool.submit(acl),
            pool.submit(aws["sts"].get_caller_identity),
            pool.submit(aws["ssm"].get_parameter, Name="/daily-emr/sandbox/fingerprint"),
            pool.submit(aws["ecs"].describe_services, cluster=cluster, services=[service], include=["TAGS"]),
            pool.submit(aws["application-autoscaling"].describe_scalable_targets, ServiceNamespace="ecs"),
            pool.submit(aws["rds"].describe_db_instances, DBInstanceIdentifier=f"{PREFIX}-db"),
            pool.submit(aws["elasticache"].describe_replication_groups, ReplicationGroupId=f"{PREFIX}-sessions"),
            pool.submit(aws["cloudtrail"].lookup_events, MaxResults=50),
            *(pool.submit(aws["secretsmanager"].list_secret_version_ids, SecretId=name) for name in secrets),
            pool.submit(http.request, "GET", box["edge_url"] + "/api/charts/probe"),
            pool.submit(http.request, "GET", box["balancer_url"] + "/api/charts/probe"),
        ]
        for future in work:
            future.result()


if __name__ == "__main__":
    main()
