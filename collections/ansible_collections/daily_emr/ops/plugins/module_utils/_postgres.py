# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: sessions with the database. May change without notice.

"""The only way to a session with the database: read-only, short, and never with a text of the server in a sentence.

Diagnosis reads aggregates alone. Query text, values and the server's own messages stay where they are: what leaves
this module of an error is its class.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, CallUnknown, OpsError, Refused

try:
    import psycopg
    from psycopg.rows import dict_row
except ImportError:  # only where modules are imported without it, as ansible-test does; session() refuses then
    psycopg = None  # type: ignore[assignment]

# What a statement raises inside of a session; at its end it becomes DatabaseFailed or DatabaseUnknown.
DATABASE_ERRORS: tuple[type[Exception], ...] = () if psycopg is None else (psycopg.Error,)

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

Json = dict[str, Any]

APPLICATION_NAME = "daily_emr_runbook"
# A new connection to a healthy RDS instance takes tens of milliseconds, and a diagnosis must end in seconds.
CONNECT_S = 3
STATEMENT_MS = 3000
LOCK_MS = 1000
# How long packets may stay without an answer before the kernel gives the connection up (the decisive setting of a
# production fix after failovers, incident domain A2.7).
USER_TIMEOUT_MS = 5000

LOGIN_SPEC: Json = {
    "user": {"type": "str", "required": True},
    "method": {"type": "str", "choices": ["iam", "passfile"], "default": "iam"},
    "passfile": {"type": "path"},
    "sslmode": {"type": "str", "choices": ["disable", "verify-full"], "default": "verify-full"},
    "sslrootcert": {"type": "path"},
}

DATABASE_OPTION: Json = {
    "type": "dict",
    "required": True,
    "options": {
        "component": {"type": "str", "required": True},
        "instance": {"type": "str", "required": True},
        "instance_class": {"type": "str", "default": "db.m6g.large"},
        "secret": {"type": "str", "required": True, "no_log": False},
        "name": {"type": "str", "required": True},
        "application_role": {"type": "str", "required": True},
        "login": {"type": "dict", "required": True, "options": LOGIN_SPEC},
        "slots": {"type": "list", "elements": "str", "default": []},
        "read_only_flag": {"type": "str", "required": True},
    },
}


class Trouble(StrEnum):
    """What went wrong with a session, as a word of ours."""

    REFUSED = "refused"
    TIMEOUT = "timeout"
    AUTH = "auth"
    TOO_MANY = "too many connections"
    STARTING = "starting up or shutting down"
    CLOSED = "closed"
    READ_ONLY = "read-only"
    DISK_FULL = "disk full"
    LOCKED = "locked"
    CORRUPT = "corrupt"
    DENIED = "permission denied"
    ERROR = "error"


# SQLSTATE, whole or its class (the first two letters): https://www.postgresql.org/docs/current/errcodes-appendix.html
_STATES = {
    "28": Trouble.AUTH,
    "53300": Trouble.TOO_MANY,
    "53100": Trouble.DISK_FULL,
    "57P01": Trouble.CLOSED,
    "57P02": Trouble.CLOSED,
    "57P03": Trouble.STARTING,
    "57P05": Trouble.CLOSED,
    "57014": Trouble.TIMEOUT,
    "55P03": Trouble.LOCKED,
    "25006": Trouble.READ_ONLY,
    "42501": Trouble.DENIED,
    "08": Trouble.CLOSED,
    "XX001": Trouble.CORRUPT,
    "XX002": Trouble.CORRUPT,
}
# libpq gives no SQLSTATE for a connection that was never made; these are its and the server's words, most telling
# first. They are matched and dropped.
_WORDS = (
    ("authentication failed", Trouble.AUTH),
    ("too many clients", Trouble.TOO_MANY),
    ("too many connections", Trouble.TOO_MANY),
    ("remaining connection slots", Trouble.TOO_MANY),
    ("starting up", Trouble.STARTING),
    ("shutting down", Trouble.STARTING),
    ("not yet accepting connections", Trouble.STARTING),
    ("recovery mode", Trouble.STARTING),
    ("timeout", Trouble.TIMEOUT),
    ("timed out", Trouble.TIMEOUT),
    ("refused", Trouble.REFUSED),
    ("no route to host", Trouble.TIMEOUT),
    ("closed the connection", Trouble.CLOSED),
    ("reset by peer", Trouble.CLOSED),
)


class DatabaseFailed(CallFailed):
    """A statement that was not done, or a session that could not be had.

    unanswered: no session could be had, and no server said a word about it.
    """

    def __init__(self, trouble: Trouble, what: str, *, unanswered: bool = False) -> None:
        super().__init__(f"{what} failed ({trouble}).")
        self.trouble = trouble
        self.unanswered = unanswered


class DatabaseUnknown(CallUnknown):
    """A statement was sent and its answer did not arrive."""

    def __init__(self, trouble: Trouble, what: str) -> None:
        super().__init__(f"{what} got no usable answer ({trouble}).")
        self.trouble = trouble


def trouble_of(error: BaseException) -> Trouble:
    """The class of an error of psycopg; of one of ours, what it carries."""
    if isinstance(error, (DatabaseFailed, DatabaseUnknown)):
        return error.trouble
    state = str(getattr(error, "sqlstate", None) or "")
    if found := _STATES.get(state) or _STATES.get(state[:2]):
        return found
    text = str(error).lower()
    return next((trouble for words, trouble in _WORDS if words in text), Trouble.ERROR)


def endpoint(clients: Clients, database: Json) -> tuple[str, int]:
    """Address and port of the instance. Raises OpsError while it has none (it is being created)."""
    found = clients.read("rds").describe_db_instances(DBInstanceIdentifier=database["instance"])["DBInstances"][0]
    place = found.get("Endpoint") or {}
    if not place.get("Address"):
        raise OpsError(f"{database['instance']} has no endpoint yet.")
    return str(place["Address"]), int(place["Port"])


def resolve(host: str) -> list[str]:
    """The addresses a name stands for now; an address stands for itself. Raises OpsError when it has none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise OpsError("The endpoint of the database does not resolve.") from error
    return sorted({str(entry[4][0]) for entry in found})


@contextmanager
def session(
    clients: Clients,
    database: Json,
    place: tuple[str, int],
    *,
    write: bool = False,
    statement_ms: int = STATEMENT_MS,
    limit_s: float | None = None,
    region: str = "",
) -> Iterator[Any]:
    """A session of the runbook's own role, each statement a transaction, rows as dictionaries.

    The default is read-only. Whoever asks to write declares it and stays in the schema ``ops``.

    Args:
        place: endpoint, from `endpoint()`.
        statement_ms: milliseconds after which the server ends a statement.
        limit_s: seconds after which the connection is cut, whatever it waits for; a server that hangs ends nothing.
        region: of the server, where it is another one than the environment's.

    Raises:
        DatabaseFailed: no session could be had, or a statement failed.
        DatabaseUnknown: the connection broke while a statement was under way.
        Refused: the login is not as it must be, or this is not the environment that was meant.
    """
    if psycopg is None:
        raise Refused("psycopg is not installed where Ansible runs: install the project's requirements.")
    clients.prove()
    host, port = place
    began = time.monotonic()
    try:
        with calling("rds:GenerateDBAuthToken"):
            login = _credentials(clients, database["login"], host, port, region)
        connection = psycopg.connect(
            host=host,
            port=port,
            dbname=database["name"],
            application_name=APPLICATION_NAME,
            connect_timeout=CONNECT_S,
            tcp_user_timeout=USER_TIMEOUT_MS,
            options=_settings(write, statement_ms),
            autocommit=True,
            prepare_threshold=None,
            row_factory=dict_row,
            **login,
        )
    except psycopg.Error as error:
        # libpq passes on what a server says before it hangs up only as a text, which begins with its severity.
        silent = error.sqlstate is None and "FATAL" not in str(error)
        raise DatabaseFailed(trouble_of(error), "A session with the database", unanswered=silent) from None
    guard = _Guard(connection, None if limit_s is None else limit_s - (time.monotonic() - began))
    try:
        yield connection
    except psycopg.Error as error:
        broken = connection.broken or connection.closed
        kind = DatabaseUnknown if broken else DatabaseFailed
        trouble = Trouble.TIMEOUT if guard.cut else trouble_of(error)
        raise kind(trouble, "A statement on the database") from None
    finally:
        guard.end()
        connection.close()


class _Guard:
    """Cuts a connection when its time is up: the statement that waits sees it break."""

    def __init__(self, connection: Any, seconds: float | None) -> None:
        self.cut = False
        self._connection = connection
        self._timer = None if seconds is None else threading.Timer(max(seconds, 0.0), self._cut)
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()

    def end(self) -> None:
        """Before the connection is closed: afterwards its number may be another file's."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()

    def _cut(self) -> None:
        self.cut = True
        with suppress(OSError, *DATABASE_ERRORS), socket.socket(fileno=os.dup(self._connection.fileno())) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)


def login_environment(clients: Clients, database: Json, place: tuple[str, int]) -> dict[str, str]:
    """The same log-in for a program of PostgreSQL, as libpq reads it from the environment: a secret is never on a
    command line, where every account of the machine could read it.
    """
    with calling("rds:GenerateDBAuthToken"):
        login = _credentials(clients, database["login"], *place)
    names = {"user": "PGUSER", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "passfile": "PGPASSFILE"}
    names |= {"password": "PGPASSWORD"}
    return {
        "PGHOST": place[0],
        "PGPORT": str(place[1]),
        "PGAPPNAME": APPLICATION_NAME,
        "PGCONNECT_TIMEOUT": str(CONNECT_S),
        **{names[name]: str(value) for name, value in login.items()},
    }


def _settings(write: bool, statement_ms: int) -> str:
    values = {
        "default_transaction_read_only": "off" if write else "on",
        "statement_timeout": statement_ms,
        "lock_timeout": LOCK_MS,
        "idle_in_transaction_session_timeout": statement_ms,
        "search_path": "pg_catalog",
    }
    return " ".join(f"-c {name}={value}" for name, value in values.items())


def _credentials(clients: Clients, login: Mapping[str, Any], host: str, port: int, region: str = "") -> Json:
    """User and how it proves itself: a token of 15 minutes from IAM, or the sandbox's password file."""
    common = {"user": login["user"], "sslmode": login["sslmode"]}
    if login["method"] == "passfile":
        if not clients.environment.sandbox:
            raise Refused("login.method is passfile, which only the sandbox may use: set it to iam.")
        return {**common, "passfile": str(Path(str(login["passfile"])))}
    if login["sslmode"] != "verify-full" or not login["sslrootcert"]:
        raise Refused("login.sslmode must be verify-full, with login.sslrootcert, wherever login.method is iam.")
    token = clients.read("rds", region).generate_db_auth_token(DBHostname=host, Port=port, DBUsername=login["user"])
    return {**common, "password": token, "sslrootcert": str(login["sslrootcert"])}
