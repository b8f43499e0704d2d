"""The replication group of the queues in the control plane: roles, states and events of the real pair.

Pace and messages follow ElastiCache: a failover takes seconds, another type of node ten to thirty minutes.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..aws.errors import AwsError
from ..loop import wait_until
from .store import MEMORY, NODE_TYPE, QueueStore

if TYPE_CHECKING:
    from ..aws.server import AwsServer
    from ..settings import Settings

logger = logging.getLogger(__name__)

# AWS seconds.
PROMOTION_S, RECOVERY_S, RESIZING_S = 5.0, 60.0, 600.0
SETTLED_S = 120.0
"""Real seconds for a walk to end, whatever it is."""
LONG_AGO = dt.timedelta(days=1)


def _now() -> dt.datetime:
    """moto keeps times without a zone, in UTC."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


@dataclass
class Event:
    """An event of DescribeEvents; the names of the attributes are moto's way to write members."""

    source_identifier: str
    source_type: str
    message: str
    date: dt.datetime = field(default_factory=_now)


class QueueGroup:
    """What the control plane shows of the pair. What changes it returns at once; the walk goes on in a thread."""

    def __init__(self, settings: Settings, aws: AwsServer, store: QueueStore) -> None:
        self._settings, self._aws, self._store = settings, aws, store
        self.status = "available"
        self.node_type = NODE_TYPE
        self.events: list[Event] = []
        self._stop = threading.Event()
        self._walk: threading.Thread | None = None

    def stop(self) -> None:
        self._stop.set()
        if self._walk is not None:
            self._walk.join()

    # What clients see and ask for; with the mutex held.

    def show(self, group: Any) -> None:
        """Write what is so into moto's group."""
        settings = self._settings
        group.status, group.cache_node_type = self.status, self.node_type
        (node_group,) = group.node_groups
        node_group["status"] = self.status
        endpoint = {"address": settings.queue_address, "port": settings.queue_port}
        node_group["primary_endpoint"] = endpoint
        replica = settings.queue_nodes[self._store.nodes.index(self._store.replica)]
        node_group["reader_endpoint"] = {"address": replica[0], "port": replica[1]}
        for member, node, place in zip(
            node_group["node_group_members"], self._store.nodes, settings.queue_nodes, strict=True
        ):
            member["current_role"] = "primary" if node is self._store.primary else "replica"
            member["read_endpoint"] = {"address": place[0], "port": place[1]}

    def modify(self, group: Any, wanted: dict[str, Any]) -> None:
        """Check what is wanted of the real pair, and begin it; only what is to be applied at once."""
        node_type, primary = wanted.get("CacheNodeType"), wanted.get("PrimaryClusterId")
        if (node_type or primary) and self.status != "available":
            raise AwsError(
                "InvalidReplicationGroupState", f"Replication group {group.replication_group_id} is {self.status}."
            )
        if node_type and node_type not in MEMORY:
            raise AwsError("InvalidParameterValue", f"The sandbox has no {node_type}: it has {', '.join(MEMORY)}.")
        if primary and group.automatic_failover == "enabled":
            raise AwsError(
                "InvalidParameterCombination", "Automatic failover must be disabled before a primary is promoted."
            )
        if primary and primary not in self._members():
            raise AwsError("CacheClusterNotFound", f"{primary} is not a member of the replication group.")
        if not wanted.get("ApplyImmediately"):
            return  # until the maintenance window, which no sandbox lives to see
        if node_type and node_type != self.node_type:
            self._begin(lambda: self._resize(node_type))
        elif primary and self._members()[primary] is not self._store.primary:
            self._begin(self._fail_over)

    # What happens by itself.

    def fail_over(self) -> None:
        """The primary is impaired, and Multi-AZ promotes the replica; returns when that is over."""
        self._begin(self._fail_over)
        self.wait_settled()

    def let_time_pass(self) -> None:
        """Everything that happened is long ago."""
        self.wait_settled()
        for event in self.events:
            event.date -= LONG_AGO

    def restore(self) -> None:
        """The type of node as it was seeded."""
        self.wait_settled()
        self._store.empty()
        self._store.resize(NODE_TYPE)
        self.node_type = NODE_TYPE

    def wait_settled(self) -> None:
        wait_until(lambda: self._walk is None or not self._walk.is_alive(), "the queues' group is settled", SETTLED_S)

    def _members(self) -> dict[str, Any]:
        return {f"{self._settings.queue_group}-{number:03}": node for number, node in enumerate(self._store.nodes, 1)}

    def _named(self, node: Any) -> str:
        return next(name for name, member in self._members().items() if member is node)

    # Walks. Each ends early, wherever it is, when the sandbox stops.

    def _begin(self, walk: Callable[[], None]) -> None:
        self.status = "modifying"
        self._walk = threading.Thread(target=self._guarded, args=(walk,), name="queue-group", daemon=True)
        self._walk.start()

    def _guarded(self, walk: Callable[[], None]) -> None:
        try:
            walk()
        except Exception:
            if not self._stop.is_set():
                logger.exception("the group of the queues stopped in the middle of a walk")
        finally:
            self.status = "available"

    def _fail_over(self) -> None:
        old, new = self._named(self._store.primary), self._named(self._store.replica)
        if not self._wait(PROMOTION_S):
            return
        self._store.fail_over()
        message = f"Failover from primary node {old} to replica node {new} completed"
        self._say("cache-cluster", old, message)
        self._say("replication-group", self._settings.queue_group, message)
        self._say("cache-cluster", old, "Recovering cache nodes 0001")
        if self._wait(RECOVERY_S):
            self._say("cache-cluster", old, "Finished recovery for cache nodes 0001")

    def _resize(self, node_type: str) -> None:
        if not self._wait(RESIZING_S):
            return
        self._store.resize(node_type)
        self.node_type = node_type
        message = f"Modified cache node type to {node_type}"
        self._say("replication-group", self._settings.queue_group, message)

    def _wait(self, aws_seconds: float) -> bool:
        """False when the sandbox stops meanwhile."""
        return not self._stop.wait(self._settings.scaled(aws_seconds))

    def _say(self, source_type: str, source: str, message: str) -> None:
        self.events.append(Event(source, source_type, message))
