"""ECR: the digest of an image is that of its manifest, so an image that is pushed again gets its digest back."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from moto.ecr.models import ECRBackend, Image

from ..errors import AwsError

if TYPE_CHECKING:
    from ..server import AwsServer

_put_image = ECRBackend.put_image


def digest_of(manifest: str) -> str:
    return f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"


def _create_digest(self: Any) -> None:
    """moto hashes the layers: images with the same layers, or none, would be one."""
    self._image_digest = digest_of(self.image_manifest)


def put_image(
    self: Any, repository_name: str, image_manifest: str, image_tag: str, image_manifest_mediatype: str | None = None,
    digest: str | None = None,
) -> Any:  # fmt: skip
    if repository_name not in self.repositories:
        raise AwsError("RepositoryNotFoundException", f"The repository with name '{repository_name}' does not exist.")
    actual = digest_of(image_manifest)
    if digest and digest != actual:
        raise AwsError(
            "ImageDigestDoesNotMatchException", f"The specified digest {digest} does not match that of the manifest."
        )
    return _put_image(self, repository_name, image_manifest, image_tag, image_manifest_mediatype, actual)


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's ECR. Harmless when done twice."""
    Image._create_digest = _create_digest
    ECRBackend.put_image = put_image
