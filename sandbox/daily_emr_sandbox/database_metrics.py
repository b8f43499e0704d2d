"""Metrics of AWS/RDS that come from inside the database: load, latencies, storage, write-ahead log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg

from .loop import Rounds
from .network.metrics import Datum, put
from .usage import SAMPLE_S

if TYPE_CHECKING:
    from .aws.server import AwsServer
    from .database_storage import Storage
    from .postgres import DatabasePair
    from .settings import Settings

LOOK = """
SELECT (SELECT count(*) FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND state = 'active' AND pid <> pg_backend_pid()),
       (SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)), 0) FROM pg_replication_slots),
       (SELECT sum(size) FROM pg_ls_waldir()),
       (SELECT max(age(datfrozenxid)) FROM pg_database)"""
COMMIT = "SELECT pg_logical_emit_message(true, 'monitor', '')"
"""The smallest commit: like every other it waits for the disk and for the standby."""


FULL_PERCENT = 100.0


class DatabaseMetrics(Rounds):
    """Looks every few seconds, past every proxy. What cannot be asked is not reported, as on AWS."""

    def __init__(self, settings: Settings, aws: AwsServer, pair: DatabasePair, storage: Storage) -> None:
        super().__init__("database-metrics", SAMPLE_S)
        self._aws, self._pair, self._storage = aws, pair, storage
        self._dimensions = {"DBInstanceIdentifier": settings.database_name}
        self.values: dict[str, float] = {}
        """The last sample, by name."""

    def _round(self) -> None:
        data = self._of_engine()
        data.append(self._datum("FreeStorageSpace", self._storage.free, "Bytes"))
        with self._aws.mutex:
            put(self._aws, "AWS/RDS", data)
        self.values = {datum.name: datum.values[0] for datum in data}

    def _of_engine(self) -> list[Datum]:
        node = self._pair.primary
        try:
            with node.connect("postgres") as session:
                session.execute("SET statement_timeout = '1s'")
                started = time.monotonic()
                [(active, retained, log, age)] = session.execute(LOOK).fetchall()
                read = time.monotonic()
                session.execute(COMMIT)
                written = time.monotonic()
        except psycopg.Error:
            return []
        self._storage.retained = int(retained)
        return [
            self._datum("DBLoad", active, "None"),
            # The disk of this machine has no credits to run out of.
            self._datum("EBSIOBalance%", FULL_PERCENT, "Percent"),
            self._datum("EBSByteBalance%", FULL_PERCENT, "Percent"),
            self._datum("ReadLatency", read - started + node.delay_s, "Seconds"),
            self._datum("WriteLatency", written - read + node.delay_s, "Seconds"),
            self._datum("OldestReplicationSlotLag", retained, "Bytes"),
            self._datum("TransactionLogsDiskUsage", max(log, retained), "Bytes"),
            self._datum("MaximumUsedTransactionIDs", age, "Count"),
        ]

    def _datum(self, name: str, value: float, unit: str) -> Datum:
        return Datum(name, self._dimensions, [float(value)], unit=unit)
