# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: trying a dump. May change without notice.

"""Restoring the newest dump into a fresh server and comparing what comes out: counts and metadata, never a row.

What was found is a record, and one that says `failed` or `unknown` is as welcome as any: only a restore that went
through to its end has `passed`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._dump_objects import download, look
from ansible_collections.daily_emr.ops.plugins.module_utils._dump_programs import (
    Progress,
    find_program,
    full_read,
    major,
    require_room,
    run,
    sha256_of_file,
    version_of,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._dump_source import read_content
from ansible_collections.daily_emr.ops.plugins.module_utils._dumps import BadDump, Part, check_globals, roles_of
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import DATABASE_ERRORS, trouble_of
from ansible_collections.daily_emr.ops.plugins.module_utils._restore_server import (
    OWNER,
    Server,
    fresh_folder,
    fresh_server,
)

try:
    from psycopg import sql
except ImportError:  # only where modules are imported without it, as ansible-test does; fresh_server() refuses then
    sql = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

Json = dict[str, Any]

SCHEMA = 1
PASSED, FAILED, UNKNOWN = "passed", "failed", "unknown"
RESTORED = "restored"
MINUTE_S, HOUR_S = 60, 3600
NOT_VALIDATED = """
SELECT n.nspname AS schema, c.relname AS name, o.conname AS constraint
FROM pg_catalog.pg_constraint o JOIN pg_catalog.pg_class c ON c.oid = o.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE o.contype = 'f' AND NOT o.convalidated
"""
BTREES = """
SELECT c.oid, n.nspname || '.' || c.relname AS name
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_am a ON a.oid = c.relam
WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence = 'p' AND i.indisvalid AND i.indisready
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
ORDER BY 2
"""


class RestoreCheck:
    """One try of the newest dump."""

    def __init__(
        self, clients: Clients, dumps: Json, *, work_dir: str, postgres_bin: str, jobs: int, days: int,
        progress: Progress,
    ) -> None:  # fmt: skip
        self._clients, self._dumps, self._days = clients, dumps, days
        self._work_dir, self._bin, self._jobs, self._progress = work_dir, postgres_bin, jobs, progress
        self._seconds: dict[str, float] = {}
        self._checks: list[Json] = []
        self._step = ""
        self._manifest: Json = {}
        self._folder: Path | None = None
        self.begun = datetime.now(UTC)

    def run(self) -> Json:
        """Do it, and return the record. Raises Refused when it could not even be begun here."""
        result, problem = UNKNOWN, ""
        server = version_of(find_program("postgres", self._bin))
        for program in ("initdb", "pg_restore"):
            find_program(program, self._bin)
        try:
            self._restore(server)
            result = PASSED
        except BadDump as error:
            result, problem = FAILED, error.sentence
        except Refused:
            raise
        except OpsError as error:
            problem = error.sentence
        except DATABASE_ERRORS as error:
            result, problem = FAILED, f"The restored database refused a statement ({trouble_of(error)})."
        except OSError as error:
            problem = f"This machine could not do it ({error.strerror})."
        return self._record(result, problem, server)

    def _restore(self, version: str) -> None:
        with self._timed("find"):
            found = look(self._clients, self._dumps, now=self.begun, days=self._days)
            self._manifest = found.manifest or {}
            if found.troubles or not self._manifest:
                raise BadDump(f"The newest dump is not good: {'; '.join(found.troubles)}.")
            self._tell(f"Dump {self._manifest['dump']} is tried.")
        if major(version) < major(self._manifest["postgres"]["server"]):
            raise Refused(
                f"PostgreSQL {version} cannot restore a dump of {self._manifest['postgres']['server']}: install that "
                "major version, and name its folder as postgres_bin."
            )
        with fresh_folder(self._work_dir, f"daily-emr-restore-{self._clients.environment.name}") as folder:
            self._folder = folder
            require_room(folder, self._manifest["bytes"] + 2 * int(self._manifest.get("database_bytes") or 0))
            dump, roles = self._download(folder)
            with self._timed("full_read"):
                full_read(dump, self._bin, self._progress)
            self._passed("full_read", "The dump was read to its end.")
            with self._started(folder) as server:
                with self._timed("restore"):
                    self._fill(server, dump, roles)
                with self._timed("verify"), server.connect(RESTORED) as connection:
                    self._compare(connection)

    def _download(self, folder: Path) -> tuple[Path, list[str]]:
        """The dump as one file, and the roles that it needs. Each object is compared as it arrives."""
        bucket, manifest = self._dumps["bucket"], self._manifest
        dump, roles = folder / "dump", bytearray()
        with self._timed("download"):
            with dump.open("xb") as file:
                for part in manifest["parts"]:
                    download(self._clients, bucket, Part.of(part), file.write, self._progress)
            download(self._clients, bucket, Part.of(manifest["globals"]), roles.extend, self._progress)
            if sha256_of_file(dump, progress=self._progress) != manifest["sha256"]:
                raise BadDump("The parts are as they should be, and put together they are another dump.")
            check_globals(bytes(roles))
        self._passed("checksums", f"{len(manifest['parts']) + 1} objects have the checksums of the manifest.")
        return dump, roles_of(bytes(roles))

    @contextmanager
    def _started(self, folder: Path) -> Iterator[Server]:
        began = time.monotonic()
        self._step = "start"
        with fresh_server(folder, self._bin, self._progress) as server:
            self._seconds["start"] = round(time.monotonic() - began, 3)
            yield server

    def _fill(self, server: Server, dump: Path, roles: list[str]) -> None:
        """Restore with owners and grants: a role that is missing among the roles of the dump is an error, too."""
        if server.account:
            os.chown(dump, server.account["user"], server.account["group"])
        with server.connect() as connection:
            known = {row["name"] for row in connection.execute("SELECT quote_ident(rolname) AS name FROM pg_roles")}
            for role in roles:
                if role not in known and role != OWNER:
                    connection.execute(f"CREATE ROLE {role}")
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(RESTORED)))
        command: list[str | Path] = [
            find_program("pg_restore", self._bin),
            "--exit-on-error",
            f"--jobs={self._jobs}",
            "--no-password",
            f"--dbname={RESTORED}",
            dump,
        ]
        try:
            run(command, server.environment, self._progress, **server.account)
        except OpsError as error:
            raise BadDump(f"The dump could not be restored: {error.sentence}") from None
        self._passed("restore", "The dump was restored without an error.")

    def _compare(self, connection: Any) -> None:
        manifest, found = self._manifest, read_content(connection)
        wanted = manifest["rows"]
        different = sorted(name for name in {*wanted, *found["rows"]} if wanted.get(name) != found["rows"].get(name))
        if different:
            first = different[0]
            raise BadDump(
                f"{len(different)} tables have other rows than when they were dumped, among them {first}: "
                f"{found['rows'].get(first, 'no table')} instead of {wanted.get(first, 'no table')}."
            )
        self._passed("rows", f"{len(wanted)} tables have {sum(wanted.values())} rows, as when they were dumped.")
        if found["schema_head"] != manifest["schema_head"]:
            raise BadDump("The head of the migrations is another one than when the database was dumped.")
        self._passed("schema_head", f"The migrations end at {', '.join(found['schema_head'].values())}.")
        for kind, words in (("foreign_keys", "foreign keys"), ("indexes", "indexes")):
            if found[kind] != manifest[kind]:
                raise BadDump(f"There are {found[kind]} {words} instead of {manifest[kind]}.")
        for constraint in connection.execute(NOT_VALIDATED).fetchall():
            # One that was not validated in production either: here its rows are really looked at.
            names = [sql.Identifier(constraint[key]) for key in ("schema", "name", "constraint")]
            try:
                connection.execute(sql.SQL("ALTER TABLE {}.{} VALIDATE CONSTRAINT {}").format(*names))
            except DATABASE_ERRORS:
                raise BadDump(
                    f"Rows of {constraint['schema']}.{constraint['name']} have no partner that the foreign key "
                    f"{constraint['constraint']} asks for."
                ) from None
        self._passed("foreign_keys", f"{found['foreign_keys']} foreign keys hold for every row.")
        self._amcheck(connection)

    def _amcheck(self, connection: Any) -> None:
        connection.execute("CREATE SCHEMA daily_emr_amcheck")
        connection.execute("CREATE EXTENSION amcheck SCHEMA daily_emr_amcheck")
        indexes = connection.execute(BTREES).fetchall()
        for index in indexes:
            self._progress("")
            try:
                connection.execute("SELECT daily_emr_amcheck.bt_index_check(%s::oid::regclass, true)", [index["oid"]])
            except DATABASE_ERRORS:
                raise BadDump(f"amcheck says that the index {index['name']} is damaged.") from None
        self._passed("amcheck", f"{len(indexes)} B-trees are whole and hold every row of their tables.")

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        self._step, began = step, time.monotonic()
        try:
            yield
        finally:
            self._seconds[step] = round(time.monotonic() - began, 3)

    def _passed(self, name: str, sentence: str) -> None:
        self._checks.append({"name": name, "result": PASSED, "sentence": sentence})
        self._tell(sentence)

    def _tell(self, text: str) -> None:
        self._progress(text)

    def _record(self, result: str, problem: str, server: str) -> Json:
        if result != PASSED:
            self._checks.append({"name": self._step, "result": result, "sentence": problem})
        manifest, whole = self._manifest, {"download", "start", "restore"} <= self._seconds.keys()
        # From nothing to a database that answers. What is compared afterwards does not delay anybody.
        rto = round(sum(self._seconds[step] for step in ("download", "start", "restore")), 3) if whole else None
        rpo = None
        if manifest:
            rpo = round((self.begun - datetime.fromisoformat(manifest["current_to"])).total_seconds(), 3)
        removed = self._folder is None or not self._folder.exists()
        return {
            "schema": SCHEMA,
            "kind": "restore_check",
            "environment": self._clients.environment.name,
            "checked_at": self.begun.isoformat(timespec="seconds"),
            "result": result,
            "dump": manifest.get("dump", ""),
            "dump_sha256": manifest.get("sha256", ""),
            "dump_bytes": manifest.get("bytes", 0),
            "rto_seconds": rto if result == PASSED else None,
            "rpo_seconds": rpo if result == PASSED else None,
            "seconds": self._seconds,
            "postgres": server,
            "checks": self._checks,
            "removed": removed,
            "summary": _summary(result, problem, manifest.get("dump", ""), rto, rpo),
        }


def _summary(result: str, problem: str, dump: str, rto: float | None, rpo: float | None) -> str:
    if result == PASSED and rto is not None and rpo is not None:
        return (
            f"Dump {dump} was restored whole in {_duration(rto)} (RTO), and ends {_duration(rpo)} before it was tried "
            "(RPO)."
        )
    which = f"Dump {dump}" if dump else "The newest dump"
    if result == FAILED:
        return f"{which} is not good: {problem}"
    return f"Nobody can say whether {which[:1].lower() + which[1:]} is good: {problem}"


def _duration(seconds: float) -> str:
    if seconds < 2 * MINUTE_S:
        return f"{seconds:.1f} s"
    return f"{seconds / MINUTE_S:.0f} min" if seconds < 2 * HOUR_S else f"{seconds / HOUR_S:.1f} h"
