"""Resource Groups Tagging: a bucket is shown in its own region alone, and nothing that was deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from moto.cloudtrail.models import cloudtrail_backends
from moto.core.resource_tagging import TaggedResource, make_tag_matcher
from moto.ec2.models import ec2_backends
from moto.ecr.models import ecr_backends
from moto.ecs.models import ecs_backends
from moto.elasticache.models import elasticache_backends
from moto.resourcegroupstaggingapi.models import ResourceGroupsTaggingAPIBackend
from moto.s3.models import s3_backends
from moto.synthetics.models import synthetics_backends
from moto.wafv2.models import wafv2_backends

from .elasticache_users import USER_GROUPS

if TYPE_CHECKING:
    from ..server import AwsServer

BUCKET = "arn:aws:s3:::"

_get_resources_generator = ResourceGroupsTaggingAPIBackend._get_resources_generator


def _is_elsewhere(backend: Any, arn: str) -> bool:
    if not arn.startswith(BUCKET):
        return False
    bucket = s3_backends[backend.account_id]["aws"].buckets.get(arn.removeprefix(BUCKET))
    return bucket is not None and bucket.region_name != backend.region_name


def _deleted(account: str, region: str) -> set[str]:
    """ARNs of what moto keeps for ever after it was deleted, or is never done with deleting."""
    gateways = ec2_backends[account][region].nat_gateways.values()
    here = f"arn:aws:ec2:{region}:{account}"
    gone = {f"{here}:natgateway/{one.id}" for one in gateways if one.state == "deleted"}
    tasks = ecs_backends[account][region]
    gone |= {one.physical_resource_id for one in tasks.services.values() if one.status != "ACTIVE"}
    gone |= {one.arn for one in tasks.clusters.values() if one.status == "INACTIVE"}
    revisions = [one for family in tasks.task_definitions.values() for one in family.values()]
    gone |= {one.arn for one in revisions if one.status == "INACTIVE"}
    groups = elasticache_backends[account][region].replication_groups.values()
    return gone | {one.arn for one in groups if one.status == "deleting"}


def _left_out(account: str, region: str) -> Iterator[tuple[str, dict[str, str]]]:
    """ARN and tags of what AWS lists and moto does not."""
    images, trails = ecr_backends[account][region], cloudtrail_backends[account][region]
    walls, canaries = wafv2_backends[account][region], synthetics_backends[account][region]
    network = ec2_backends[account][region]
    endpoints = [one for one in network.vpc_end_points.values() if one.state != "deleted"]
    for kind, listed in (("elastic-ip", network.addresses), ("vpc-endpoint", endpoints)):
        for one in listed:
            yield f"arn:aws:ec2:{region}:{account}:{kind}/{one.id}", dict(network.tags.get(one.id, {}))
    for repository in images.repositories.values():
        yield repository.arn, images.tagger.get_tag_dict_for_resource(repository.arn)
    for trail in trails.trails.values():
        yield trail.arn, trails.tagging_service.get_tag_dict_for_resource(trail.arn)
    for acl in walls.wacls.values():
        yield acl.arn, walls.tagging_service.get_tag_dict_for_resource(acl.arn)
    caches = elasticache_backends[account][region]
    for group in caches.__dict__.get(USER_GROUPS, {}).values():
        yield group["ARN"], caches.tagging_service.get_tag_dict_for_resource(group["ARN"])
    for canary in canaries.canaries.values():
        yield f"arn:aws:synthetics:{region}:{account}:canary:{canary.name}", canary.tags


def get_resources_generator(
    self: Any, tag_filters: Any = None, resource_type_filters: Any = None, resource_arn_list: Any = None
) -> Iterator[Any]:
    gone = _deleted(self.account_id, self.region_name)
    for resource in _get_resources_generator(self, tag_filters, resource_type_filters, resource_arn_list):
        if resource.arn not in gone and not _is_elsewhere(self, resource.arn):
            yield resource
    matches = make_tag_matcher(tag_filters)
    for arn, tags in _left_out(self.account_id, self.region_name):
        if tags and matches(tags) and not resource_type_filters and arn in (resource_arn_list or [arn]):
            yield TaggedResource(arn=arn, tags=tags, resource_type=":".join(arn.split(":")[2:6:3]))


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's tagging. Harmless when done twice."""
    ResourceGroupsTaggingAPIBackend._get_resources_generator = get_resources_generator
