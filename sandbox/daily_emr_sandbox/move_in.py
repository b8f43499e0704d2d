"""What happens between bootstrap and the first patient, in an environment that `playbooks/bootstrap.yml` built.

People put values where bootstrap left secrets empty, and the pipeline deploys the first releases. Everything else has
to be there, by the names that the inventory gave it: what is missing, or has another shape, stops the move.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from .compute import Past, seed_history
from .postgres_node import DATABASE
from .queues.seed import RELEASE as WORKERS_RELEASE
from .queues.seed import RELEASED_AGO_S, WORKERS, released_variables
from .seed import RELEASES, SCHEMA_VERSION, push_image, write_the_past
from .web import REGISTERED

if TYPE_CHECKING:
    from .aws.server import AwsServer
    from .settings import Settings


def allowed_connections(settings: Settings, aws: AwsServer) -> int:
    """Connections that the parameter group of the instance allows: the real servers allow as many.

    Raises:
        LookupError: it does not say a number.
    """
    rds = aws.boto("rds")
    (instance,) = rds.describe_db_instances(DBInstanceIdentifier=settings.database_name)["DBInstances"]
    name = instance["DBParameterGroups"][0]["DBParameterGroupName"]
    pages = rds.get_paginator("describe_db_parameters").paginate(DBParameterGroupName=name)
    values = {one["ParameterName"]: one.get("ParameterValue", "") for page in pages for one in page["Parameters"]}
    if not values.get("max_connections", "").isdecimal():
        raise LookupError(f"The parameter group {name} does not say max_connections as a number.")
    return int(values["max_connections"])


def move_in(settings: Settings, aws: AwsServer) -> None:
    """Give the secrets values and deploy the releases. Not with the mutex held.

    Raises:
        botocore.exceptions.ClientError: bootstrap did not make what is needed, by the name of AWS for it.
    """
    MoveIn(settings, aws).do()


class MoveIn:
    """One move into an environment that was built."""

    def __init__(self, settings: Settings, aws: AwsServer) -> None:
        self._settings, self._aws = settings, aws
        self._ecs = aws.boto("ecs")

    def do(self) -> None:
        settings = self._settings
        self._fill_secrets()
        web = [
            self._release(settings.web, settings.web, one.name, {"RELEASE": one.name}, schema_compat=one.schema_compat)
            for one in RELEASES
        ]
        self._deploy(settings.web, [Past(arn, one.ago_s) for arn, one in zip(web, RELEASES, strict=True)])
        image = f"{settings.prefix}-worker"
        for queue in WORKERS:
            family = settings.worker_service(queue)
            arn = self._release(family, image, WORKERS_RELEASE, released_variables(settings, queue))
            self._deploy(family, [Past(arn, RELEASED_AGO_S)])
        self._migrate()
        write_the_past(settings, self._aws)

    def _fill_secrets(self) -> None:
        settings, client = self._settings, self._aws.boto("secretsmanager")
        place = f"{settings.database_address}:{settings.database_port}"
        values = {
            settings.database_secret: f"postgresql://emr_application:{secrets.token_hex(16)}@{place}/{DATABASE}",
            settings.session_secret: secrets.token_hex(16),
            settings.queue_secret: secrets.token_hex(16),
            settings.sha_secret: json.dumps({"key": settings.sha_facility, "secret": secrets.token_urlsafe(24)}),
        }
        for name, value in values.items():
            client.put_secret_value(SecretId=name, SecretString=value)
        prefix = settings.database_secret.rpartition("/")[0]
        listed = client.get_paginator("list_secrets").paginate(Filters=[{"Key": "name", "Values": [f"{prefix}/"]}])
        for secret in (one for page in listed for one in page["SecretList"] if one["Name"] not in values):
            client.put_secret_value(SecretId=secret["Name"], SecretString=secrets.token_urlsafe(32))

    def _release(self, family: str, repository: str, release: str, variables: dict[str, str], **tags: str) -> str:
        """Register the next revision of a family, made from the newest one as a pipeline does; its ARN."""
        settings = self._settings
        found = self._ecs.describe_task_definition(taskDefinition=family, include=["TAGS"])
        current, kept = found["taskDefinition"], found.get("tags", [])
        container: dict[str, Any] = current["containerDefinitions"][0]
        digest = self._pushed(repository, release)
        registry = f"{settings.account_id}.dkr.ecr.{settings.region}.amazonaws.com"
        usual = {entry["name"]: entry["value"] for entry in container.get("environment", [])}
        container |= {
            "image": f"{registry}/{repository}@{digest}",
            "environment": [{"name": name, "value": value} for name, value in (usual | variables).items()],
        }
        now = {entry["key"]: entry["value"] for entry in kept} | {"release": release} | tags
        registered = self._ecs.register_task_definition(
            **{key: current[key] for key in REGISTERED if current.get(key)},
            containerDefinitions=[container],
            tags=[{"key": key, "value": value} for key, value in now.items()],
        )
        arn: str = registered["taskDefinition"]["taskDefinitionArn"]
        return arn

    def _pushed(self, repository: str, release: str) -> str:
        """Digest of the image of a release. Its tag cannot be written twice: workers share one image."""
        ecr = self._aws.boto("ecr")
        for image in ecr.describe_images(repositoryName=repository)["imageDetails"]:
            if release in image.get("imageTags", []):
                return str(image["imageDigest"])
        return push_image(self._aws, repository, release)

    def _deploy(self, service: str, pasts: list[Past]) -> None:
        """Let a service run the last of these revisions, with all of them in its past."""
        cluster = self._settings.prefix
        self._ecs.update_service(cluster=cluster, service=service, taskDefinition=pasts[-1].task_definition)
        with self._aws.mutex:
            seed_history(self._aws, cluster, service, pasts)

    def _migrate(self) -> None:
        """The pipeline says on the instance which version its migrations brought the schema to."""
        rds, name = self._aws.boto("rds"), self._settings.database_name
        arn = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]["DBInstanceArn"]
        rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "schema_version", "Value": SCHEMA_VERSION}])
