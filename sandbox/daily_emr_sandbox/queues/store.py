"""The Valkey pair of the queues behind one endpoint, as a replication group of ElastiCache has it.

Replication is asynchronous, so a failover can lose what only the old primary has. A connection stays with the node
that it was made to: whoever does not reconnect after a failover gets READONLY from a primary that became a replica.
"""

from __future__ import annotations

import secrets
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..loop import LoopThread, wait_until
from ..proxy import Proxy
from ..valkey import Node
from .witness import Witness

if TYPE_CHECKING:
    from ..settings import Settings

NODE_PORTS = 26311, 26312
"""Of the servers themselves; clients come through the proxies in front of them."""
WORKER = "emr_worker"
ACCESS = Path(__file__).resolve().parents[3] / "roles/cache/files/access.yml"
"""Who may do what, as bootstrap tells ElastiCache."""
MIB = 1024 * 1024
MEMORY = {"cache.t4g.small": 24 * MIB, "cache.t4g.medium": 48 * MIB, "cache.m6g.large": 96 * MIB}
"""`maxmemory` by type of node: a hundredth of what ElastiCache gives."""
NODE_TYPE = "cache.t4g.small"
FILLER = "bull:monthly-reports:events"
"""A stream that nobody trims."""
FILL_STEP, FILL_LEAVES = 64 * 1024, 96 * 1024
FILL_ROUNDS = 2000
FLEETING = "mem_clients_normal", "mem_clients_slaves", "mem_not_counted_for_evict"
"""Parts of `used_memory` that end with their connections."""


class QueueStore:
    """Two nodes; which of them is primary changes with a failover."""

    def __init__(self, settings: Settings, loop: LoopThread) -> None:
        self._settings, self._loop = settings, loop
        self._folder = settings.data_dir / "queues"
        self._passwords: dict[str, str] = {}
        self._admin = secrets.token_hex(16)
        self.witness = Witness(loop, settings.queue_runbook, self._admin)
        (first, _), (second, _) = settings.queue_nodes
        self.nodes = (self._node(1, first), self._node(2, second, f"{first} {NODE_PORTS[0]}"))
        self.primary, self.replica = self.nodes
        self._proxies = [
            Proxy(settings.queue_address, settings.queue_port, lambda: _place(self.primary), tap=self.witness),
            *(
                Proxy(address, port, partial(_place, node), tap=self.witness)
                for node, (address, port) in zip(self.nodes, settings.queue_nodes, strict=True)
            ),
        ]

    def start(self, password: str) -> None:
        """Start both nodes and the endpoints. The workers log in with the password of the secret QUEUE_PASSWORD."""
        self._passwords = {WORKER: password, self._settings.queue_runbook: secrets.token_hex(16)}
        shutil.rmtree(self._folder, ignore_errors=True)
        for node in self.nodes:
            node.start(self._admin)
            self._admit(node)
        wait_until(self.following, "the replica of the queues follows")
        file = self._settings.queue_passfile
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
        file.write_text(self._passwords[self._settings.queue_runbook] + "\n")
        self._loop.run(self._open())

    def stop(self) -> None:
        self._loop.run(self._close())
        for node in (self.replica, self.primary):
            node.stop()

    def fail_over(self) -> None:
        """The replica becomes primary behind the endpoint, the primary its replica. Nobody's connection is closed."""
        old, new = self.primary, self.replica
        with new.connect() as session:
            session.execute_command("REPLICAOF", "NO", "ONE")
        self.primary, self.replica = new, old
        with old.connect() as session:
            session.execute_command("REPLICAOF", new.address, str(new.port))
        wait_until(self.following, "the old primary of the queues follows the new one")

    def following(self) -> bool:
        """Whether the replica is in step with the primary."""
        with self.replica.connect() as session:
            found = session.info("replication")
        return bool(found.get("master_link_status") == "up")

    def info(self, node: Node) -> dict[str, Any]:
        with node.connect() as session:
            found: dict[str, Any] = session.info()
        return found

    def resize(self, node_type: str) -> None:
        """Give both nodes the memory of a type."""
        for node in self.nodes:
            with node.connect() as session:
                session.config_set("maxmemory", MEMORY[node_type])

    def fill(self) -> None:
        """Take all the memory that is left, with something that no queue of this runbook needs."""
        with self.primary.connect() as session:
            limit = int(session.config_get("maxmemory")["maxmemory"])
            for _ in range(FILL_ROUNDS):
                left = limit - int(session.info("memory")["used_memory"])
                if left < FILL_LEAVES:
                    break
                session.xadd(FILLER, {"event": "x" * min(FILL_STEP, left)})
            # Nothing more is taken. What connections need for themselves counts too, and comes and goes with them: the
            # limit is below what stays.
            found = session.info("memory")
            fleeting = sum(int(found[name]) for name in FLEETING)
            session.config_set("maxmemory", int(found["used_memory"]) - fleeting - FILL_STEP)

    def empty(self) -> None:
        """Take away what `fill` put there."""
        with self.primary.connect() as session:
            session.delete(FILLER)

    @property
    def pids(self) -> dict[str, int]:
        roles = {"queues-primary": self.primary, "queues-replica": self.replica}
        return {role: node.pid for role, node in roles.items() if node.pid is not None}

    def _node(self, number: int, address: str, replica_of: str = "") -> Node:
        return Node(
            f"queues {number}",
            self._folder / str(number),
            address,
            NODE_PORTS[number - 1],
            self._settings.logs_dir / f"queues-{number}.log",
            replica_of=replica_of,
            options={"maxmemory": str(MEMORY[NODE_TYPE]), "maxmemory-policy": "noeviction"},
        )

    def _admit(self, node: Node) -> None:
        access = yaml.safe_load(ACCESS.read_text())
        with node.connect() as session:
            for user, password in self._passwords.items():
                words = access["application" if user == WORKER else "runbook"].split()
                session.execute_command("ACL", "SETUSER", user, "reset", f">{password}", *words)

    async def _open(self) -> None:
        for proxy in self._proxies:
            await proxy.open()

    async def _close(self) -> None:
        for proxy in self._proxies:
            await proxy.close()


def _place(node: Node) -> tuple[str, int]:
    return node.address, node.port
