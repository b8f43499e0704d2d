# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what RDS says of the instance. May change without notice.

"""The instance as RDS describes it, its events, and its node as a session sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import session
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, answered_at, iso

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

# RDS keeps events for 14 days; a day is enough to see the last failover and the last change of storage.
_EVENT_MINUTES = 1440
# DescribeEvents has no event numbers, only messages (incident domain, A2.1: 0013, 0049, 0015, 0034).
_EVENTS = (
    ("Multi-AZ instance failover started", "failover started"),
    ("Multi-AZ instance failover completed", "failover completed"),
    ("Multi-AZ failover to standby complete", "failover completed"),
    ("Recovered from partial failover", "failover completed"),
    ("Abandoning user requested failover", "failover abandoned"),
)
FAILOVER_EVENTS = frozenset(kind for _words, kind in _EVENTS)

# Q1 of the incident domain (A2.3), with what a failover would break off (Q9, Q12).
NODE = """
SELECT pg_is_in_recovery() AS in_recovery, current_setting('transaction_read_only') = 'on' AS read_only,
       host(inet_server_addr()) AS address, inet_server_port() AS port, pg_postmaster_start_time() AS started
"""
TRANSACTIONS = """
SELECT count(*) FILTER (WHERE writes) AS writers, coalesce(max(age) FILTER (WHERE writes), 0) AS longest_write_s,
       coalesce(max(age), 0) AS longest_s, (SELECT count(*) FROM pg_prepared_xacts) AS prepared
FROM (SELECT backend_xid IS NOT NULL AS writes, extract(epoch FROM clock_timestamp() - xact_start)::float AS age
      FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()) AS sessions
"""
# W1 of the incident domain (A2.3): one row in the schema of the runbooks.
WRITE = """
INSERT INTO ops.heartbeat (id, at, node) VALUES (1, now(), inet_server_addr())
ON CONFLICT (id) DO UPDATE SET at = excluded.at, node = excluded.node
"""


def read_instance(clients: Clients, identifier: str) -> Json:
    """The instance in one fresh read, with the time of the answer by AWS's clock."""
    answer = clients.read("rds").describe_db_instances(DBInstanceIdentifier=identifier)
    found = answer["DBInstances"][0]
    place = found.get("Endpoint") or {}
    return {
        "arn": found["DBInstanceArn"],
        "status": found["DBInstanceStatus"],
        "multi_az": bool(found.get("MultiAZ")),
        "zone": found.get("AvailabilityZone"),
        "standby_zone": found.get("SecondaryAvailabilityZone"),
        "pending": sorted(key for key, value in (found.get("PendingModifiedValues") or {}).items() if value),
        "pending_gib": (found.get("PendingModifiedValues") or {}).get("AllocatedStorage"),
        "parameters": sorted({item["ParameterApplyStatus"] for item in found.get("DBParameterGroups", [])}),
        "restorable_at": iso(found.get("LatestRestorableTime")),
        "allocated_gib": found.get("AllocatedStorage"),
        "most_gib": found.get("MaxAllocatedStorage"),
        "replicas": found.get("ReadReplicaDBInstanceIdentifiers", []),
        "address": place.get("Address"),
        "port": place.get("Port"),
        "read_at": iso(answered_at(answer)),
    }


def read_events(clients: Clients, identifier: str) -> list[Json]:
    """The events of the last day, the oldest first: when, and of which kind ("" where it is none of ours)."""
    pages = (
        clients.read("rds")
        .get_paginator("describe_events")
        .paginate(SourceIdentifier=identifier, SourceType="db-instance", Duration=_EVENT_MINUTES)
    )
    found = [event for page in pages for event in page["Events"]]
    events = [{"at": iso(event["Date"]), "kind": kind_of(event["Message"])} for event in found]
    return sorted(events, key=lambda event: str(event["at"]))


def kind_of(message: str) -> str:
    return next((kind for words, kind in _EVENTS if message.startswith(words)), "")


def read_node(found: Any) -> Json:
    """Which server a session is with, and whether it takes writes."""
    row = found.execute(NODE).fetchone()
    return {**row, "started": iso(row["started"])}


def read_work(clients: Clients, database: Json, place: tuple[str, int]) -> Json:
    """Node and open transactions of the primary, over one session."""
    with session(clients, database, place) as found:
        return {"node": read_node(found), **found.execute(TRANSACTIONS).fetchone()}


def place_of(instance: Json) -> tuple[str, int]:
    return str(instance["address"]), int(instance["port"])
