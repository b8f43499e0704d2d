# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: where a dump comes from. May change without notice.

"""Taking a dump: one snapshot for pg_dump and for the counts, from the replica where there is one."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._dump_programs import (
    Program,
    ProgramFailed,
    await_ended,
    find_program,
    full_read,
    major,
    parts_of_file,
    require_room,
    run,
    sha256_of_file,
    version_of,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._dumps import (
    SCHEMA,
    BadDump,
    Part,
    check_globals,
    globals_key,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import login_environment, session

try:
    from psycopg import sql
except ImportError:  # only where modules are imported without it, as ansible-test does; session() refuses then
    sql = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

Json = dict[str, Any]
Progress = Callable[[str], None]

# A dump may take hours; the snapshot is held until it is done.
LONGEST_MS = 6 * 3600 * 1000
LOCK_WAIT = "60s"

STATE = """
SELECT pg_catalog.now() AS taken_at,
       pg_catalog.pg_is_in_recovery() AS replica,
       pg_catalog.current_setting('server_version') AS version,
       pg_catalog.pg_database_size(pg_catalog.current_database()) AS database_bytes,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
            ELSE pg_catalog.pg_current_wal_lsn() END::text AS lsn,
       CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.now()
            -- Everything that arrived is replayed, and it still arrives: the replica is as new as now.
            WHEN pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn()
                 AND EXISTS (SELECT 1 FROM pg_catalog.pg_stat_wal_receiver WHERE status = 'streaming')
            THEN pg_catalog.now()
            ELSE pg_catalog.pg_last_xact_replay_timestamp() END AS current_to
"""
# Tables whose rows a dump holds: permanent ones, not those that an extension brings.
TABLES = """
SELECT n.nspname AS schema, c.relname AS name
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
                  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""
OBJECTS = """
SELECT (SELECT count(*) FROM pg_catalog.pg_constraint WHERE contype = 'f') AS foreign_keys,
       (SELECT count(*) FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)') AS indexes
"""
# Where the head of the migrations stands: Prisma's own table, or the version that the sandbox's schema carries.
HEADS = {
    "prisma": (
        "public._prisma_migrations",
        "SELECT migration_name AS head FROM public._prisma_migrations WHERE finished_at IS NOT NULL"
        " AND rolled_back_at IS NULL ORDER BY finished_at DESC, migration_name DESC LIMIT 1",
    ),
    "ops": ("ops.schema_version", "SELECT max(version)::text AS head FROM ops.schema_version"),
}


@dataclass(frozen=True)
class Source:
    """The instance that is dumped."""

    instance: str
    place: tuple[str, int]
    replica: bool


def find_source(clients: Clients, database: Json, *, replica: str) -> Source:
    """The replica where there is one that serves, else the instance itself.

    replica: "preferred", "required" or "never".
    """

    def describe(name: str) -> Json:
        found: Json = clients.read("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
        return found

    def source(found: Json, *, replica: bool) -> Source:
        place = found.get("Endpoint") or {}
        if not place.get("Address"):
            raise OpsError(f"{found['DBInstanceIdentifier']} has no endpoint yet.")
        return Source(str(found["DBInstanceIdentifier"]), (str(place["Address"]), int(place["Port"])), replica)

    primary = describe(database["instance"])
    # One in another region is named by its ARN: it is a copy for a disaster, and far away.
    names = [name for name in primary.get("ReadReplicaDBInstanceIdentifiers") or [] if not name.startswith("arn:")]
    if replica != "never":
        for found in map(describe, sorted(names)):
            if found.get("DBInstanceStatus") == "available":
                return source(found, replica=True)
        if replica == "required":
            raise Refused(
                f"{database['instance']} has no read replica that is available, and the backup may only read from one: "
                "wait for it, or set backup_replica to preferred."
            )
    return source(primary, replica=False)


@contextmanager
def snapshot(clients: Clients, database: Json, source: Source) -> Iterator[tuple[Any, str]]:
    """A session whose snapshot others can take over, and its name."""
    with session(clients, database, source.place, statement_ms=LONGEST_MS) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # As patient as pg_dump: a schema change at night is waited for.
        connection.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
        yield connection, connection.execute("SELECT pg_catalog.pg_export_snapshot() AS id").fetchone()["id"]
        connection.execute("COMMIT")


def read_state(connection: Any) -> Json:
    """When and where the snapshot is, and how large the database. A replica of unknown age is refused."""
    found: Json = dict(connection.execute(STATE).fetchone())
    if found["current_to"] is None:
        raise Refused("The replica does not say up to when it is current, so no dump of it has a known age.")
    found["version"] = re.match(r"[\d.]+", found["version"]).group()  # type: ignore[union-attr]
    return found


def read_content(connection: Any) -> Json:
    """What a restored database is compared with: counts only, and the head of the migrations."""
    heads = {}
    for name, (table, query) in HEADS.items():
        if connection.execute("SELECT pg_catalog.to_regclass(%s) AS oid", [table]).fetchone()["oid"]:
            row = connection.execute(query).fetchone()
            if row and row["head"]:
                heads[name] = str(row["head"])
    rows = {}
    for table in connection.execute(TABLES).fetchall():
        counted = sql.SQL("SELECT count(*) AS rows FROM ONLY {}.{}").format(
            sql.Identifier(table["schema"]), sql.Identifier(table["name"])
        )
        rows[f"{table['schema']}.{table['name']}"] = int(connection.execute(counted).fetchone()["rows"])
    objects = connection.execute(OBJECTS).fetchone()
    return {"rows": rows, "schema_head": heads, **{name: int(count) for name, count in objects.items()}}


def take(
    clients: Clients,
    database: Json,
    source: Source,
    *,
    name: str,
    folder: Path,
    postgres_bin: str,
    max_lag_s: int,
    part_bytes: int,
    progress: Progress,
) -> Json:
    """Dump into `folder`, read the dump whole, and return its manifest without what only S3 knows.

    The file has its name only when it was written, read and measured; until then it is called `.partial`.
    """
    pg_dump, pg_dumpall = (find_program(program, postgres_bin) for program in ("pg_dump", "pg_dumpall"))
    find_program("pg_restore", postgres_bin)
    started = time.monotonic()
    partial, dump, roles = folder / "dump.partial", folder / "dump", folder / "globals.sql"
    with snapshot(clients, database, source) as (connection, identifier):
        state = read_state(connection)
        refuse_unfit(state, source, version_of(pg_dump), max_lag_s)
        require_room(folder, state["database_bytes"])
        command: list[str | Path] = [
            pg_dump,
            "--format=custom",
            "--compress=gzip:6",
            f"--snapshot={identifier}",
            "--no-unlogged-table-data",
            f"--lock-wait-timeout={LOCK_WAIT}",
            "--no-password",
            f"--dbname={database['name']}",
            f"--file={partial}",
        ]
        with (
            Program(command, login_environment(clients, database, source.place)) as program,
            ThreadPoolExecutor(1) as beside,
        ):
            counting = beside.submit(read_content, connection)
            try:
                # Whichever fails ends the other: nothing goes on for hours for a dump that is lost.
                await_ended(
                    lambda: program.failed or (counting.done() and (program.ended or counting.exception() is not None)),
                    progress,
                    f"The dump of {source.instance}",
                )
                if program.ended:
                    program.judge()
                content = counting.result()
            finally:
                if not counting.done():
                    connection.cancel_safe()
    dumped = time.monotonic()
    if not content["schema_head"]:
        raise BadDump(
            f"{database['name']} has no head of its migrations: neither {' nor '.join(t for t, _q in HEADS.values())} "
            "names one, so a restored database could not be compared."
        )
    full_read(partial, postgres_bin, progress)
    read = time.monotonic()
    # The token of the dump lived 15 minutes.
    _dump_roles(pg_dumpall, login_environment(clients, database, source.place), database, roles, progress)
    _sync(partial)
    partial.rename(dump)
    parts = parts_of_file(dump, name, part_bytes, progress)
    return {
        "schema": SCHEMA,
        "kind": "dump",
        "dump": name,
        "environment": clients.environment.name,
        "database": database["name"],
        "instance": database["instance"],
        "source": {"instance": source.instance, "replica": source.replica},
        "taken_at": _utc(state["taken_at"]),
        "current_to": _utc(state["current_to"]),
        "lsn": state["lsn"],
        "postgres": {"server": state["version"], "pg_dump": version_of(pg_dump)},
        "format": "custom",
        "compression": "gzip",
        **content,
        "database_bytes": int(state["database_bytes"]),
        "bytes": sum(part.bytes for part in parts),
        "sha256": sha256_of_file(dump, progress=progress),
        "parts": [part.as_json() for part in parts],
        "globals": Part(globals_key(name), roles.stat().st_size, sha256_of_file(roles)).as_json(),
        "seconds": {"dump": round(dumped - started, 3), "full_read": round(read - dumped, 3)},
    }


def lag_of(state: Mapping[str, Any]) -> float:
    """Seconds that a replica is behind."""
    behind: float = (state["taken_at"] - state["current_to"]).total_seconds()
    return max(behind, 0.0)


def refuse_unfit(state: Json, source: Source, client: str, max_lag_s: int) -> None:
    if major(client) < major(state["version"]):
        raise Refused(
            f"pg_dump is version {client} and the server is {state['version']}: install the programs of the server's "
            "major version, and name their folder as postgres_bin."
        )
    if source.replica and not state["replica"]:
        raise Refused(f"{source.instance} is a read replica for RDS and a primary for itself: look at it first.")
    if lag_of(state) > max_lag_s:
        raise Refused(
            f"{source.instance} is {lag_of(state):.0f} s behind, and a dump may be {max_lag_s} s old when it is taken: "
            "mend the replication, or set backup_replica to never."
        )


def _dump_roles(program: Path, environment: Mapping[str, str], database: Json, roles: Path, progress: Progress) -> None:
    """Roles and their grants, without passwords: on RDS nobody may read those, and here nobody wants them."""
    command: list[str | Path] = [
        program,
        "--globals-only",
        "--no-role-passwords",
        "--no-password",
        f"--database={database['name']}",
        f"--file={roles}",
    ]
    try:
        run(command, environment, progress)
    except ProgramFailed as error:
        raise ProgramFailed(f"The roles could not be dumped: {error.sentence}") from None
    check_globals(roles.read_bytes())


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
