"""ElastiCache: replication groups whose endpoint is the real Valkey, with the members that were asked for.

The group of the queues is the real pair where the sandbox has that part; every other group shares the session cache.
"""

from __future__ import annotations

import datetime as dt
import itertools
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.elasticache.models import ElastiCacheBackend
from moto.elasticache.responses import ElastiCacheResponse

from ..errors import AwsError
from . import elasticache_users

if TYPE_CHECKING:
    from ..server import AwsServer

_create_replication_group = ElastiCacheResponse.create_replication_group
_describe_replication_groups = ElastiCacheBackend.describe_replication_groups
_describe_cache_clusters = ElastiCacheResponse.describe_cache_clusters
_modify_replication_group = ElastiCacheResponse.modify_replication_group

EVENTS_MIN = 60
"""DescribeEvents looks back that far unless asked otherwise."""


def create_replication_group(self: Any) -> Any:
    nodes = self._get_int_param("NumCacheClusters") or (self._get_int_param("ReplicasPerNodeGroup") or 0) + 1
    if self._get_bool_param("AutomaticFailoverEnabled") and nodes == 1:
        raise AwsError(
            "InvalidParameterCombination", "AutomaticFailoverEnabled needs at least one replica: NumCacheClusters 2."
        )
    elasticache_users.check(self)
    if not self._get_param("NumNodeGroups"):
        self.params["ReplicasPerNodeGroup"] = nodes - 1  # moto does not look at NumCacheClusters
    return _create_replication_group(self)


def describe_cache_clusters(self: Any) -> Any:
    """The members of a replication group are clusters too."""
    asked = self._get_param("CacheClusterId")
    for group in self.elasticache_backend.replication_groups.values():
        if asked in group.member_clusters:
            named = {"CacheParameterGroupName": group.cache_parameter_group_name}
            shown = {"CacheClusterId": asked, "CacheClusterStatus": "available"}
            shown["CacheParameterGroup"] = {**named, "ParameterApplyStatus": "in-sync"}
            return ActionResult({"CacheClusters": [shown]})
    return _describe_cache_clusters(self)


def _place(group: Any, place: dict[str, Any], region: str) -> None:
    """Where its members answer, each in a zone of its own."""
    for node in group.node_groups:
        node["primary_endpoint"] = node["reader_endpoint"] = place
        for member, zone in zip(node["node_group_members"], itertools.cycle("abc"), strict=False):
            member["read_endpoint"] = place
            member["preferred_availability_zone"] = f"{region}{zone}"


def install(aws: AwsServer) -> None:
    """Put the overlay on moto's ElastiCache, for this server. Done again, the newest server counts."""
    place = {"address": aws.settings.cache_address, "port": aws.settings.cache_port}
    ours = f"{aws.settings.prefix}-"

    def describe_replication_groups(self: Any, replication_group_id: str | None = None) -> Any:
        found = _describe_replication_groups(self, replication_group_id)
        for group in found:
            if aws.queue_group is not None and group.replication_group_id == aws.settings.queue_group:
                aws.queue_group.show(group)
                continue
            if group.replication_group_id.startswith(ours):
                _place(group, place, aws.settings.region)
        return found

    def modify_replication_group(self: Any) -> Any:
        """Node type and primary of the real pair change in a walk; everything else is moto's."""
        name = self._get_param("ReplicationGroupId")
        (group,) = self.elasticache_backend.describe_replication_groups(name)
        elasticache_users.ask(self, group)
        if aws.queue_group is None or name != aws.settings.queue_group:
            return _modify_replication_group(self)
        aws.queue_group.modify(group, self.params)
        self.params.pop("CacheNodeType", None)
        answer = _modify_replication_group(self)
        aws.queue_group.show(group)
        return answer

    def describe_events(self: Any) -> ActionResult:
        """Of the last hour unless asked otherwise; ElastiCache keeps them for 14 days."""
        asked = self.params
        now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
        start = asked.get("StartTime") or now - dt.timedelta(minutes=int(asked.get("Duration") or EVENTS_MIN))
        end = asked.get("EndTime") or now
        found = [
            event
            for event in (aws.queue_group.events if aws.queue_group else [])
            if _plain(start) <= event.date <= _plain(end)
            and asked.get("SourceType") in {None, event.source_type}
            and asked.get("SourceIdentifier") in {None, event.source_identifier}
        ]
        first, most = int(asked.get("Marker") or 0), int(asked.get("MaxRecords") or 100)
        page: dict[str, Any] = {"Events": found[first : first + most]}
        return ActionResult(page | ({"Marker": str(first + most)} if len(found) > first + most else {}))

    ElastiCacheResponse.create_replication_group = create_replication_group
    ElastiCacheResponse.modify_replication_group = modify_replication_group
    ElastiCacheResponse.describe_cache_clusters = describe_cache_clusters
    ElastiCacheResponse.describe_events = describe_events
    ElastiCacheBackend.describe_replication_groups = describe_replication_groups


def _plain(moment: dt.datetime) -> dt.datetime:
    """moto keeps times without a zone, in UTC."""
    return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment
