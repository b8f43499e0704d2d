"""Faults of the database's storage."""

from __future__ import annotations

import struct

from psycopg import pq, sql

from ..database_storage import GIB
from ..loop import wait_until
from ..postgres_node import Node
from .base import Fault

SLOT = "old_reporting"
LEFT = 0.12
"""Share of the storage that the slot leaves."""
POSITION = "SELECT pg_current_wal_lsn()::text, (pg_current_wal_lsn() - '0/0'::pg_lsn - %s)::bigint"
CREATE = "SELECT pg_create_physical_replication_slot(%s, true)"
DROP = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s"
KEEPS = "SELECT restart_lsn - '0/0'::pg_lsn = %s AND active = %s FROM pg_replication_slots WHERE slot_name = %s"


class StorageFull(Fault):
    name = "storage_full"
    summary = "nothing is left of the storage, and RDS shut the database down"

    def break_(self) -> None:
        if self.world.instance.state != "storage-full":
            self.world.instance.exhaust_storage()
        self.wait(lambda: self.world.metrics.values.get("FreeStorageSpace") == 0, "no free storage is reported")

    def mend(self) -> None:
        self.world.instance.restore_storage()


class OrphanedSlot(Fault):
    name = "orphaned_slot"
    summary = "the replication slot of a reader that is gone keeps write-ahead log, and the storage runs low"

    def break_(self) -> None:
        storage, node = self.world.instance.storage, self.world.database.primary
        allocated = storage.allocated_gib * GIB
        leave_slot(node, SLOT, storage.room - storage.filled - int(allocated * LEFT))
        self.wait(lambda: storage.free <= allocated * LEFT, "the storage is low")
        shown = self.world.metrics
        self.wait(lambda: shown.values["FreeStorageSpace"] <= allocated * LEFT, "low storage is reported")

    def mend(self) -> None:
        node = self.world.database.primary
        if node.running:
            with node.connect("postgres") as session:
                session.execute(DROP, (SLOT,))


def leave_slot(node: Node, name: str, behind: int) -> None:
    """Make a slot whose reader got no further than `behind` bytes ago, and went away."""
    with node.connect("postgres") as session:
        session.execute(DROP, (name,))
        session.execute(CREATE, (name,))
        [(now, then)] = session.execute(POSITION, (behind,)).fetchall()
        place = f"host={node.address} port={node.port} user=postgres dbname=postgres replication=true"
        reader = pq.PGconn.connect(place.encode())
        try:
            start = sql.SQL("START_REPLICATION SLOT {} PHYSICAL ").format(sql.Identifier(name)).as_bytes(session)
            reader.exec_(start + now.encode())
            # What a standby sends now and then: how far it has written, flushed and applied, when, and no question.
            reader.put_copy_data(b"r" + struct.pack(">QQQQB", then, then, then, 0, 0))
            reader.flush()
            wait_until(lambda: session.execute(KEEPS, (then, True, name)).fetchone() == (True,), "the slot is behind")
        finally:
            reader.finish()
        wait_until(lambda: session.execute(KEEPS, (then, False, name)).fetchone() == (True,), "the reader is gone")
