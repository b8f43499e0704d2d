"""What a task needs before it starts: its image in ECR and its secrets. Reads moto's backends; hold the mutex.

Failures are worded like `stoppedReason` on AWS, because that text is what a runbook reads.
"""

from __future__ import annotations

from typing import Any, Protocol

from .model import Revision, Service, now, short_id


class Backends(Protocol):
    """Whatever gives moto's state of a service: the control plane, or a request inside it."""

    def backend(self, service: str) -> Any: ...


class StartError(Exception):
    """The container cannot start; the text is the stoppedReason."""


def split_image(image: str) -> tuple[str, str | None, str | None]:
    """Repository name, tag and digest of an image reference; a registry host is dropped."""
    name, _, digest = image.partition("@")
    head, _, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    if "." in head.split("/")[0]:
        head = head.partition("/")[2]
    return (f"{head}/{last}" if head else last), (tag or None), (digest or None)


def resolve_image(aws: Backends, image: str) -> str:
    """Digest of an image that exists in ECR.

    Raises:
        StartError: repository, tag or digest is not there.
    """
    repository, tag, digest = split_image(image)
    found = aws.backend("ecr").repositories.get(repository)
    for candidate in found.images if found else []:
        actual: str = candidate.get_image_digest()
        if (digest and actual == digest) or (not digest and (tag or "latest") in candidate.image_tags):
            return actual
    raise StartError(
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): "
        f"failed to resolve ref {image}: {image}: not found"
    )


def resolve_secrets(aws: Backends, container: dict[str, Any]) -> dict[str, str]:
    """Values of the `secrets` of a container as they are now (AWSCURRENT).

    Raises:
        StartError: a secret is missing or has no current value.
    """
    values = {}
    for secret in container.get("secrets", []):
        reference = secret["valueFrom"]
        # arn:aws:secretsmanager:region:account:secret:name[:json-key:stage:version]; the tail is optional.
        name = ":".join(reference.split(":")[:7]) if reference.startswith("arn:") else reference
        try:
            found = aws.backend("secretsmanager").get_secret_value(name, None, "AWSCURRENT")
            values[secret["name"]] = found["SecretString"]
        except Exception as error:
            code = getattr(error, "code", None) or type(error).__name__
            raise StartError(
                "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret "
                f"from asm: failed to fetch secret {name} from secrets manager: {code}"
            ) from error
    return values


def revision_of(aws: Backends, service: Service, task_definition: str) -> Revision:
    """A new service revision for a task definition ARN; images that are gone keep the digest they name."""
    definition = aws.backend("ecs").describe_task_definition(task_definition)
    images = []
    for container in definition.container_definitions:
        image = container["image"]
        try:
            digest: str | None = resolve_image(aws, image)
        except StartError:
            digest = split_image(image)[2]
        entry = {"containerName": container["name"], "image": image}
        images.append(entry | ({"imageDigest": digest} if digest else {}))
    return Revision(
        arn=f"{service.arn.replace(':service/', ':service-revision/')}/{short_id()}",
        task_definition=definition.arn,
        images=images,
        load_balancers=service.load_balancers,
        network_configuration=service.network_configuration,
        created_at=now(),
    )
