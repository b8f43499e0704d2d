"""ElastiCache: replication groups whose endpoint is the real Valkey, with the members that were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.elasticache.models import ElastiCacheBackend
from moto.elasticache.responses import ElastiCacheResponse

from ..errors import AwsError

if TYPE_CHECKING:
    from ..server import AwsServer

_create_replication_group = ElastiCacheResponse.create_replication_group
_describe_replication_groups = ElastiCacheBackend.describe_replication_groups


def create_replication_group(self: Any) -> Any:
    nodes = self._get_int_param("NumCacheClusters") or (self._get_int_param("ReplicasPerNodeGroup") or 0) + 1
    if self._get_bool_param("AutomaticFailoverEnabled") and nodes == 1:
        raise AwsError(
            "InvalidParameterCombination", "AutomaticFailoverEnabled needs at least one replica: NumCacheClusters 2."
        )
    return _create_replication_group(self)


def install(aws: AwsServer) -> None:
    """Put the overlay on moto's ElastiCache, for this server. Done again, the newest server counts."""
    # One Valkey serves every group of the environment: sessions and queues share it as long as there is one.
    place = {"address": aws.settings.cache_address, "port": aws.settings.cache_port}
    ours = f"{aws.settings.prefix}-"

    def describe_replication_groups(self: Any, replication_group_id: str | None = None) -> Any:
        found = _describe_replication_groups(self, replication_group_id)
        for group in found:
            for node in group.node_groups if group.replication_group_id.startswith(ours) else []:
                node["primary_endpoint"] = node["reader_endpoint"] = place
                for member in node["node_group_members"]:
                    member["read_endpoint"] = place
        return found

    ElastiCacheResponse.create_replication_group = create_replication_group
    ElastiCacheBackend.describe_replication_groups = describe_replication_groups
