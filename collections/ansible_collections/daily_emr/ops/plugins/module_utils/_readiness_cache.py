# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: controls of sessions and queues. May change without notice.

"""The replication groups: sessions may be lost with a shrug, a queue must never be evicted."""

from __future__ import annotations

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Look, Registry, Seen, seen

AREA = Registry("cache")
check = AREA.check

GROUPS = "elasticache:DescribeReplicationGroups"


def _groups(look: Look) -> dict[str, dict[str, Any]]:
    return {
        name: look.one(GROUPS, "ReplicationGroups", ReplicationGroupId=name)
        for name in (look.names["sessions"], look.names["queues"])
    }


@check(
    "spare",
    "A spare that takes over",
    "both groups are available, Multi-AZ, and fail over by themselves",
    calls=(GROUPS,),
)
def spare(look: Look) -> Seen:
    states = {
        name: f"{group['Status']}, Multi-AZ {group['MultiAZ']}, failover {group['AutomaticFailover']}"
        for name, group in _groups(look).items()
    }
    return seen(set(states.values()) == {"available, Multi-AZ enabled, failover enabled"}, groups=states)


@check(
    "zones",
    "Replicas in other zones",
    "every shard of both groups has members in at least {min_zones} zones",
    calls=(GROUPS,),
)
def zones(look: Look) -> Seen:
    fewest = {
        name: min(
            len({member["PreferredAvailabilityZone"] for member in shard["NodeGroupMembers"]})
            for shard in group["NodeGroups"]
        )
        for name, group in _groups(look).items()
    }
    return seen(min(fewest.values()) >= look.wanted["min_zones"], zones=fewest)


@check(
    "encryption",
    "Encryption",
    "both groups encrypt at rest and in transit",
    calls=(GROUPS,),
)
def encryption(look: Look) -> Seen:
    found = {
        name: {"at_rest": group["AtRestEncryptionEnabled"], "in_transit": group["TransitEncryptionEnabled"]}
        for name, group in _groups(look).items()
    }
    return seen(all(all(values.values()) for values in found.values()), groups=found)


@check(
    "authentication",
    "Log-in",
    "both groups ask for a token or have a group of users",
    calls=(GROUPS,),
)
def authentication(look: Look) -> Seen:
    found = {
        name: "users" if group.get("UserGroupIds") else "token" if group.get("AuthTokenEnabled") else "nobody is asked"
        for name, group in _groups(look).items()
    }
    return seen("nobody is asked" not in found.values(), groups=found)


@check(
    "snapshots",
    "Snapshots",
    "snapshots of both groups are kept for at least {snapshot_days} days",
    calls=(GROUPS,),
)
def snapshots(look: Look) -> Seen:
    days = {name: group.get("SnapshotRetentionLimit", 0) for name, group in _groups(look).items()}
    return seen(min(days.values()) >= look.wanted["snapshot_days"], days=days)


@check(
    "eviction",
    "No job is evicted",
    "maxmemory-policy of the group for queues is noeviction",
    calls=(GROUPS, "elasticache:DescribeCacheClusters", "elasticache:DescribeCacheParameters"),
)
def eviction(look: Look) -> Seen:
    members = _groups(look)[look.names["queues"]]["MemberClusters"]
    policies = {}
    for member in members:
        cluster = look.one("elasticache:DescribeCacheClusters", "CacheClusters", CacheClusterId=member)
        group = cluster["CacheParameterGroup"]
        parameters = look.listed(
            "elasticache:DescribeCacheParameters",
            "Parameters",
            CacheParameterGroupName=group["CacheParameterGroupName"],
        )
        value = next((item["ParameterValue"] for item in parameters if item["ParameterName"] == "maxmemory-policy"), "")
        policies[member] = f"{value}, {group['ParameterApplyStatus']}"
    return seen(policies and set(policies.values()) == {"noeviction, in-sync"}, policies=policies)


@check(
    "apart",
    "Sessions and queues apart",
    "sessions and queues are different groups, with no member in common",
    calls=(GROUPS,),
)
def apart(look: Look) -> Seen:
    if look.names["sessions"] == look.names["queues"]:
        return seen(passed=False, groups=[look.names["queues"]])
    members = [set(group["MemberClusters"]) for group in _groups(look).values()]
    return seen(not set.intersection(*members), groups=[look.names["sessions"], look.names["queues"]])
