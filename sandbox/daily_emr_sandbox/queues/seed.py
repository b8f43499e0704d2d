"""What the part `queues` has in AWS: its secret, the queues of SQS, and a service of workers for each queue."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..compute import Past, seed_history
from .producer import BULLMQ
from .store import WORKER

if TYPE_CHECKING:
    from ..aws.server import AwsServer
    from ..settings import Settings

RELEASE, RELEASED_AGO_S = "2026.47.1", 3 * 24 * 3600.0
LOCK_S, LEAST_LOCK_S = 30.0, 5.0
"""How long a worker holds a job without a sign of life, in AWS seconds, and at least in real ones."""
VISIBLE_S, LEAST_VISIBLE_S = 30.0, 2.0
MOST_RECEIVES = 3
LOGS_KEPT_DAYS = 30


@dataclass(frozen=True)
class Workers:
    """The workers of one queue."""

    desired: int
    concurrency: int = 2
    pool_size: int = 1
    """Connections of the database: six tasks of the application and all workers just fit."""


WORKERS = {"notifications": Workers(2), "claims": Workers(2), "exports": Workers(1, 1)}
MAXIMUM = 6


def released_variables(settings: Settings, queue: str) -> dict[str, str]:
    """What the release of the workers of a queue brings as variables."""
    workers, lock_ms = WORKERS[queue], str(round(max(LEAST_LOCK_S, settings.scaled(LOCK_S)) * 1000))
    return {
        "RELEASE": RELEASE,
        "QUEUE_USER": WORKER,
        "CONCURRENCY": str(workers.concurrency),
        "POOL_SIZE": str(workers.pool_size),
        "LOCK_MS": lock_ms,
        "STALLED_MS": str(int(lock_ms) // 2),
    } | ({"BULLMQ": BULLMQ[queue]} if queue in BULLMQ else {})


class QueueSeed:
    """One building of it. Tags in the spelling of a service come from the seed of the environment."""

    def __init__(self, settings: Settings, aws: AwsServer, tags: dict[str, str]) -> None:
        self._settings, self._aws, self._tags = settings, aws, tags

    def build(self, network: dict[str, Any], database_secret: str) -> None:
        """Not with the mutex held.

        Args:
            network: network configuration of a service.
            database_secret: ARN of DATABASE_URL.
        """
        password = self._secret()
        self._exports()
        image = self._image()
        for queue in WORKERS:
            variables = {"DATABASE_URL": database_secret} | ({"QUEUE_PASSWORD": password} if queue in BULLMQ else {})
            if queue == "claims" and "claims" in self._settings.parts:
                variables["SHA_API_KEY"] = self._claims_key()
            self._service(queue, image, network, variables)

    def _listed(self, key: str = "key", value: str = "value", **more: str) -> list[dict[str, str]]:
        return [{key: name, value: content} for name, content in (self._tags | more).items()]

    def _secret(self) -> str:
        arn: str = self._aws.boto("secretsmanager").create_secret(
            Name=self._settings.queue_secret, SecretString=secrets.token_hex(16), Tags=self._listed("Key", "Value")
        )["ARN"]
        return arn

    def _claims_key(self) -> str:
        """Our key at the claims API; the stand-in accepts what stands here when it starts."""
        key = {"key": self._settings.sha_facility, "secret": secrets.token_urlsafe(24)}
        arn: str = self._aws.boto("secretsmanager").create_secret(
            Name=self._settings.sha_secret, SecretString=json.dumps(key), Tags=self._listed("Key", "Value")
        )["ARN"]
        return arn

    def _exports(self) -> None:
        """The queue of the exports, and its dead letters."""
        sqs, settings = self._aws.boto("sqs"), self._settings
        dead = sqs.create_queue(
            QueueName=settings.exports_dead_letters, Attributes={"MessageRetentionPeriod": "1209600"}, tags=self._tags
        )["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        visible_s = max(LEAST_VISIBLE_S, settings.scaled(VISIBLE_S))
        redrive = {"deadLetterTargetArn": arn, "maxReceiveCount": MOST_RECEIVES}
        sqs.create_queue(
            QueueName=settings.exports_queue, tags=self._tags,
            Attributes={"VisibilityTimeout": str(round(visible_s)), "RedrivePolicy": json.dumps(redrive)},
        )  # fmt: skip

    def _image(self) -> str:
        """Image of the workers; its reference."""
        settings, ecr = self._settings, self._aws.boto("ecr")
        name = f"{settings.prefix}-worker"
        ecr.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE", tags=self._listed("Key", "Value"))
        config = {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": 7023,
            "digest": f"sha256:{hashlib.sha256(f'worker {RELEASE}'.encode()).hexdigest()}",
        }
        media_type = "application/vnd.docker.distribution.manifest.v2+json"
        manifest = json.dumps({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": []})
        pushed = ecr.put_image(repositoryName=name, imageManifest=manifest, imageTag=RELEASE)
        digest = pushed["image"]["imageId"]["imageDigest"]
        return f"{settings.account_id}.dkr.ecr.{settings.region}.amazonaws.com/{name}@{digest}"

    def _service(self, queue: str, image: str, network: dict[str, Any], secret_arns: dict[str, str]) -> None:
        settings, ecs = self._settings, self._aws.boto("ecs")
        name, workers = settings.worker_service(queue), WORKERS[queue]
        logs, group = self._aws.boto("logs"), f"/ecs/{name}"
        logs.create_log_group(logGroupName=group, tags=self._tags)
        logs.put_retention_policy(logGroupName=group, retentionInDays=LOGS_KEPT_DAYS)
        variables = {"QUEUE": queue, "QUEUE_PREFIX": "bull", **released_variables(settings, queue)}
        role = f"arn:aws:iam::{settings.account_id}:role/{name}"
        definition = ecs.register_task_definition(
            family=name, networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256", memory="512",
            taskRoleArn=f"{role}-task", executionRoleArn=f"{role}-execution", tags=self._listed(release=RELEASE),
            containerDefinitions=[
                {
                    "name": "worker",
                    "image": image,
                    "essential": True,
                    "stopTimeout": 120,
                    "environment": [{"name": key, "value": value} for key, value in variables.items()],
                    "logConfiguration": {
                        "logDriver": "awslogs",
                        "options": {
                            "awslogs-group": group,
                            "awslogs-region": settings.region,
                            "awslogs-stream-prefix": "worker",
                        },
                    },
                    "secrets": [{"name": key, "valueFrom": arn} for key, arn in secret_arns.items()],
                }
            ],
        )["taskDefinition"]["taskDefinitionArn"]  # fmt: skip
        ecs.create_service(
            cluster=settings.prefix, serviceName=name, taskDefinition=definition, desiredCount=workers.desired,
            launchType="FARGATE", networkConfiguration=network, tags=self._listed(),
            deploymentConfiguration={
                "deploymentCircuitBreaker": {"enable": True, "rollback": True},
                "minimumHealthyPercent": 100,
                "maximumPercent": 200,
            },
        )  # fmt: skip
        self._aws.boto("application-autoscaling").register_scalable_target(
            ServiceNamespace="ecs", ResourceId=f"service/{settings.prefix}/{name}",
            ScalableDimension="ecs:service:DesiredCount", MinCapacity=workers.desired, MaxCapacity=MAXIMUM,
        )  # fmt: skip
        with self._aws.mutex:
            seed_history(self._aws, settings.prefix, name, [Past(definition, RELEASED_AGO_S)])
