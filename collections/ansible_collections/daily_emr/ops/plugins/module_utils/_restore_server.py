# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: a fresh server for one restore. May change without notice.

"""A PostgreSQL server that lives in one folder, listens on nothing but a socket in it, and is gone afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._dump_programs import (
    ENVIRONMENT,
    POLL_S,
    Progress,
    end,
    find_program,
    make_folder,
    place_of,
    remove,
    run,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused

try:
    import psycopg
    from psycopg.rows import dict_row
except ImportError:  # only where modules are imported without it, as ansible-test does; fresh_server() refuses then
    psycopg = None  # type: ignore[assignment]

OWNER = "postgres"
START_S = 60.0
# The longest path of a socket is 107 bytes, and PostgreSQL adds its own name.
LONGEST_FOLDER = 80
# It is thrown away, so nothing has to survive a crash; what has to be true is that it reads what was written.
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "autovacuum": "off",
    "dynamic_shared_memory_type": "mmap",
    "log_min_messages": "panic",
    "log_min_error_statement": "panic",
    "logging_collector": "off",
}


@dataclass(frozen=True)
class Server:
    """A running server. `account` is what its programs run as: PostgreSQL refuses to be root."""

    folder: Path
    account: dict[str, Any]

    @property
    def socket(self) -> Path:
        return self.folder / "socket"

    @property
    def environment(self) -> dict[str, str]:
        return {"PGHOST": str(self.socket), "PGUSER": OWNER, "PGCONNECT_TIMEOUT": "5"}

    def connect(self, database: str = "postgres") -> Any:
        return psycopg.connect(
            host=str(self.socket), user=OWNER, dbname=database, autocommit=True, connect_timeout=5, row_factory=dict_row
        )


def account() -> dict[str, Any]:
    """What a server runs as when this process is root: postgres, else nobody. Else as this process."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names.get("nobody")
    if entry is None:
        raise Refused("PostgreSQL refuses to run as root, and there is no account postgres: run as another account.")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def fresh_folder(parent: str, name: str) -> Iterator[Path]:
    """A folder for a server and a dump. What an earlier run left there is ended and removed first, and so is this one
    afterwards, whatever happens.
    """
    owner = account().get("user")
    _end_left(place_of(parent, name) / "data")
    folder = make_folder(parent, name, owner)
    try:
        yield folder
    finally:
        remove(folder, owner)


@contextlib.contextmanager
def fresh_server(folder: Path, postgres_bin: str, progress: Progress) -> Iterator[Server]:
    """Make and start a server in a folder of its own; it is ended when the block is left, whatever happens in it.

    Raises:
        OpsError: it cannot be made or does not start.
    """
    if psycopg is None:
        raise Refused("psycopg is not installed where Ansible runs: install the project's requirements.")
    if len(str(folder)) > LONGEST_FOLDER:
        raise Refused(f"work_dir is too long a path for a socket in it: choose one below {LONGEST_FOLDER} characters.")
    server, data = Server(folder, account()), folder / "data"
    server.socket.mkdir(mode=0o700)
    if server.account:
        os.chown(server.socket, server.account["user"], server.account["group"])
    initdb: list[str | Path] = [
        find_program("initdb", postgres_bin),
        "-D",
        data,
        "-U",
        OWNER,
        "-A",
        "trust",
        "-E",
        "UTF8",
    ]
    run([*initdb, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"], progress=progress, **server.account)
    settings = SETTINGS | {"unix_socket_directories": str(server.socket)}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    process = subprocess.Popen(  # noqa: S603  # a program that find_program() found, without a shell
        [find_program("postgres", postgres_bin), "-D", data, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
        cwd="/",
        umask=0o077,
        start_new_session=True,
        **server.account,
    )
    try:
        _await_started(server, process, progress)
        yield server
    finally:
        # SIGINT is a fast shutdown; what does not end by it is killed.
        end(process, signal.SIGINT)


def _await_started(server: Server, process: subprocess.Popen[bytes], progress: Progress) -> None:
    deadline = time.monotonic() + START_S
    while True:
        if process.poll() is not None:
            raise OpsError(f"The fresh server ended at its start (exit code {process.returncode}).")
        with contextlib.suppress(psycopg.OperationalError):
            server.connect().close()
            return
        if time.monotonic() > deadline:
            raise OpsError(f"The fresh server did not answer within {START_S:.0f} s.")
        progress("")
        time.sleep(POLL_S / 4)


def _end_left(data: Path) -> None:
    """End the server of a killed run: the one whose data folder this is, and no other."""
    try:
        pid = int((data / "postmaster.pid").read_text().split()[0])
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, IndexError):
        return
    if os.fsencode(data) not in command:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGQUIT)
    deadline = time.monotonic() + START_S
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            raise Refused(f"The server of an earlier restore check (pid {pid}) does not end: end it first.")
        time.sleep(POLL_S)
