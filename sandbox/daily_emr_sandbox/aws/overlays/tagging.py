"""Resource Groups Tagging: a bucket is shown in its own region, and not in every one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from moto.resourcegroupstaggingapi.models import ResourceGroupsTaggingAPIBackend
from moto.s3.models import s3_backends

if TYPE_CHECKING:
    from ..server import AwsServer

BUCKET = "arn:aws:s3:::"

_get_resources_generator = ResourceGroupsTaggingAPIBackend._get_resources_generator


def _is_elsewhere(backend: Any, arn: str) -> bool:
    if not arn.startswith(BUCKET):
        return False
    bucket = s3_backends[backend.account_id]["aws"].buckets.get(arn.removeprefix(BUCKET))
    return bucket is not None and bucket.region_name != backend.region_name


def get_resources_generator(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
    for resource in _get_resources_generator(self, *args, **kwargs):
        if not _is_elsewhere(self, resource.arn):
            yield resource


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's tagging. Harmless when done twice."""
    ResourceGroupsTaggingAPIBackend._get_resources_generator = get_resources_generator
