"""The smallest AWS for the tests of compute and network: one cluster, one service, one balancer, real tasks."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from daily_emr_sandbox.aws.server import AwsServer
from daily_emr_sandbox.compute.scheduler import EcsScheduler
from daily_emr_sandbox.daemon import free_network
from daily_emr_sandbox.network.balancer import Balancer
from daily_emr_sandbox.network.edge import Edge
from daily_emr_sandbox.settings import TASK_PORT, Settings

APP = str(Path(__file__).with_name("standin_app.py"))
TIME_FACTOR = 40.0
T = TypeVar("T")


def eventually(ask: Callable[[], T], what: str, timeout_s: float = 60.0) -> T:
    """Value of `ask` as soon as it is true."""
    deadline = time.monotonic() + timeout_s
    while not (value := ask()):
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s in vain until {what}"
        time.sleep(0.05)
    return value


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        assert "json" in self.headers.get("Content-Type", ""), f"{self.status} {self.headers} {self.body!r}"
        return json.loads(self.body)


@dataclass
class Stack:
    settings: Settings
    aws: AwsServer
    scheduler: EcsScheduler
    balancer: Balancer
    edge: Edge
    names: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ecs, self.elb = self.aws.boto("ecs"), self.aws.boto("elbv2")
        self.waf, self.ecr = self.aws.boto("wafv2"), self.aws.boto("ecr")

    # What stands around the service.

    def build(self) -> None:
        ec2, name = self.aws.boto("ec2"), self.settings.prefix
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
            for n, zone in enumerate(self.settings.zones)
        ]
        self.names["subnets"], self.names["vpc"] = subnets, vpc
        self.names["lb"] = self.elb.create_load_balancer(Name=name, Subnets=subnets)["LoadBalancers"][0][
            "LoadBalancerArn"
        ]
        shift = {"Key": "zonal_shift.config.enabled", "Value": "true"}
        self.elb.modify_load_balancer_attributes(LoadBalancerArn=self.names["lb"], Attributes=[shift])
        self.names["tg"] = self.target_group(self.settings.web)
        self.names["listener"] = self.elb.create_listener(
            LoadBalancerArn=self.names["lb"], Protocol="HTTP", Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.names["tg"]}],
        )["Listeners"][0]["ListenerArn"]  # fmt: skip
        self.ecr.create_repository(repositoryName=self.settings.web)
        self.ecs.create_cluster(clusterName=name)

    def target_group(self, name: str) -> str:
        created = self.elb.create_target_group(
            Name=name, Protocol="HTTP", Port=TASK_PORT, VpcId=self.names["vpc"], TargetType="ip",
            HealthCheckPath="/livez", HealthCheckIntervalSeconds=10, HealthCheckTimeoutSeconds=5,
            HealthyThresholdCount=2, UnhealthyThresholdCount=2,
        )  # fmt: skip
        return created["TargetGroups"][0]["TargetGroupArn"]

    def image(self, tag: str) -> str:
        """Push an image; reference by digest, which is that of the manifest."""
        media = "application/vnd.docker.distribution.manifest.v2+json"
        config = "sha256:" + hashlib.sha256(tag.encode()).hexdigest()
        manifest = json.dumps({"schemaVersion": 2, "mediaType": media, "config": {"digest": config}, "layers": []})
        digest = "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()
        with contextlib.suppress(self.ecr.exceptions.ImageAlreadyExistsException):
            self.ecr.put_image(
                repositoryName=self.settings.web, imageTag=tag, imageManifest=manifest, imageDigest=digest
            )
        registry = f"{self.settings.account_id}.dkr.ecr.{self.settings.region}.amazonaws.com"
        return f"{registry}/{self.settings.web}@{digest}"

    def release(self, image: str, *, secrets: dict[str, str] | None = None, **environment: str) -> str:
        """Register a revision; ARN."""
        registered = self.ecs.register_task_definition(
            family=self.settings.web, networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256",
            memory="512", tags=[{"key": "release", "value": image[-6:]}],
            containerDefinitions=[{
                "name": "web", "image": image, "portMappings": [{"containerPort": TASK_PORT}], "stopTimeout": 30,
                "environment": [{"name": key, "value": value} for key, value in environment.items()],
                "secrets": [{"name": key, "valueFrom": value} for key, value in (secrets or {}).items()],
            }],
        )  # fmt: skip
        return registered["taskDefinition"]["taskDefinitionArn"]

    def create(self, definition: str, desired: int = 2, **more: Any) -> dict[str, Any]:
        wanted: dict[str, Any] = {
            "cluster": self.settings.prefix,
            "serviceName": self.settings.web,
            "taskDefinition": definition,
            "desiredCount": desired,
            "launchType": "FARGATE",
            "healthCheckGracePeriodSeconds": 60,
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": self.names["subnets"]}},
            "loadBalancers": [{"targetGroupArn": self.names["tg"], "containerName": "web", "containerPort": TASK_PORT}],
            "deploymentConfiguration": {
                "deploymentCircuitBreaker": {"enable": True, "rollback": True},
                "minimumHealthyPercent": 100,
                "maximumPercent": 200,
            },
        }
        return self.ecs.create_service(**wanted | more)["service"]

    # The service.

    def update(self, **wanted: Any) -> dict[str, Any]:
        return self.ecs.update_service(cluster=self.settings.prefix, service=self.settings.web, **wanted)["service"]

    def service(self) -> dict[str, Any]:
        return self.ecs.describe_services(cluster=self.settings.prefix, services=[self.settings.web])["services"][0]

    def steady(self, running: int = 2) -> dict[str, Any]:
        def done() -> dict[str, Any] | None:
            found = self.service()
            primary = found["deployments"][0]
            one = len(found["deployments"]) == 1 and primary["rolloutState"] == "COMPLETED"
            counted = (found["runningCount"], found["pendingCount"]) == (running, 0)
            return found if one and counted and list(self.health().values()) == ["healthy"] * running else None

        return eventually(done, f"the service is steady with {running} tasks")

    def tasks(self, status: str = "RUNNING") -> list[dict[str, Any]]:
        cluster = self.settings.prefix
        arns = self.ecs.list_tasks(cluster=cluster, serviceName=self.settings.web, desiredStatus=status)["taskArns"]
        return self.ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []

    def rollouts(self) -> list[dict[str, Any]]:
        """Service deployments in full, newest first."""
        briefs = self.ecs.list_service_deployments(cluster=self.settings.prefix, service=self.settings.web)
        arns = [brief["serviceDeploymentArn"] for brief in briefs["serviceDeployments"]]
        found = self.ecs.describe_service_deployments(serviceDeploymentArns=arns)["serviceDeployments"]
        return sorted(found, key=lambda one: arns.index(one["serviceDeploymentArn"]))

    def health(self) -> dict[str, str]:
        described = self.elb.describe_target_health(TargetGroupArn=self.names["tg"])["TargetHealthDescriptions"]
        return {one["Target"]["Id"]: one["TargetHealth"]["State"] for one in described}

    def get(self, path: str = "/", *, base: str | None = None, method: str = "GET", body: bytes | None = None,
            headers: dict[str, str] | None = None) -> Answer:  # fmt: skip
        url = f"{base or self.settings.balancer_url}{path}"
        request = urllib.request.Request(url, body, headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read())


@contextlib.contextmanager
def running_stack(state_dir: Path, *, tasks: int | None = 2) -> Iterator[Stack]:
    """A started stack; with `tasks` the service runs release r1 and is steady."""
    with free_network() as network:
        settings = Settings(state_dir=state_dir, network=network, time_factor=TIME_FACTOR, parts=frozenset())
        aws = AwsServer(settings)
        scheduler = EcsScheduler(settings, aws, command=(APP,))
        balancer = Balancer(settings, aws)
        edge = Edge(settings, balancer)
        aws.start()
        try:
            stack = Stack(settings, aws, scheduler, balancer, edge)
            stack.build()
            scheduler.start()
            balancer.start()
            edge.start()
            if tasks is not None:
                stack.names["r1"] = stack.release(stack.image("r1"))
                stack.create(stack.names["r1"], tasks)
                stack.steady(tasks)
            yield stack
        finally:
            with contextlib.suppress(Exception):
                edge.stop()
            scheduler.stop()
            balancer.stop()
            aws.stop()
