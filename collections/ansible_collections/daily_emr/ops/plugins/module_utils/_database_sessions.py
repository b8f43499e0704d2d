# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what sessions with the database tell. May change without notice.

"""One session that reads and one that writes, both bounded: a database that hangs costs seconds, not the diagnosis.

Two at a time, because in a storm of connections only the reserved ones are left.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median_low
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._database_queries import (
    FAILED_MIGRATIONS,
    QUERIES,
    ROUND_TRIP,
    WRITE,
    WRITE_AND_ROLL_BACK,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import (
    DATABASE_ERRORS,
    DatabaseFailed,
    DatabaseUnknown,
    Trouble,
    session,
    trouble_of,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

# Beyond the time of one statement: logging in and everything else that a session does.
_LIMIT_MORE_S = 2.0
_TIMES = 3
# Those of them with many rows; of the others the one row is the reading.
_ROWS = frozenset({"read_only_roles", "sessions", "busy", "blockers", "victims", "slots"})
# What only a session can tell.
INSIDE = (*(name for name in QUERIES if name != "migrations_kept"), "migrations", "round_trips")


@dataclass(frozen=True)
class Attempt:
    """What came of a login or of a write: the trouble, if any, whether there was a session, and milliseconds."""

    trouble: Trouble | None
    connected: bool
    ms: float


@dataclass
class Inside:
    """What one session could read, and why it could not read the rest."""

    login: Attempt
    values: Json = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


def read_inside(clients: Clients, database: Json, place: tuple[str, int], thresholds: Json) -> Inside:
    """Ask everything of `QUERIES`, and measure round trips. What of it fails is unread, each for itself."""
    began = time.monotonic()
    inside: Inside | None = None
    asking = began
    try:
        with session(clients, database, place, **_bounds(thresholds)) as connection:
            inside = Inside(Attempt(None, True, _ms(began)))
            asking = time.monotonic()
            _ask(connection, inside)
            _ask_migrations(connection, inside)
            trips: list[float] = []
            inside.values["round_trips"] = trips
            while not _decided(trips, thresholds["database_slow_ms"]):
                asking = time.monotonic()
                connection.execute(ROUND_TRIP).fetchone()
                trips.append(_ms(asking))
    except (DatabaseFailed, DatabaseUnknown) as error:
        if inside is None:
            inside = Inside(Attempt(error.trouble, False, _ms(began)))
        elif error.trouble is Trouble.TIMEOUT:
            # It took at least so long, which may be all that there is to know.
            inside.values.setdefault("round_trips", []).append(_ms(asking))
        inside.unread |= {name: error.sentence for name in INSIDE if name not in inside.values | inside.unread}
        if not inside.values.get("round_trips", [0.0]):
            del inside.values["round_trips"]
            inside.unread["round_trips"] = error.sentence
    return inside


def try_write(clients: Clients, database: Json, place: tuple[str, int], thresholds: Json, *, keep: bool) -> Attempt:
    """W1, in a session of its own; not kept, the same statement is rolled back.

    A write that is slow is repeated: one stall of a busy machine is no sick host. ms is the middle one.
    """
    statement = WRITE if keep else WRITE_AND_ROLL_BACK
    slow_ms = thresholds["write_latency_ms"]
    trips: list[float] = []
    connected = False
    asking = time.monotonic()
    try:
        with session(clients, database, place, write=True, **_bounds(thresholds)) as connection:
            connected = True
            while not (trips and trips[0] <= slow_ms) and not _decided(trips, slow_ms):
                asking = time.monotonic()
                connection.execute(statement)
                trips.append(_ms(asking))
    except (DatabaseFailed, DatabaseUnknown) as error:
        if not trips or error.trouble is not Trouble.TIMEOUT:
            return Attempt(error.trouble, connected, _ms(asking))
        trips.append(_ms(asking))
    return Attempt(None, True, median_low(trips))


def _bounds(thresholds: Json) -> Json:
    statement_s = thresholds["probe_timeout_s"]
    return {"statement_ms": round(statement_s * 1000), "limit_s": statement_s + _LIMIT_MORE_S}


def _decided(trips: list[float], slow_ms: float) -> bool:
    """Whether another round trip could not change what their median says."""
    slow = sum(ms > slow_ms for ms in trips)
    return max(slow, len(trips) - slow) > _TIMES // 2


def _ask(connection: Any, inside: Inside) -> None:
    """All at once, in one round trip; when one of them fails, each for itself."""
    try:
        cursor = connection.execute(";".join(QUERIES.values()))
        for number, name in enumerate(QUERIES):
            if number:
                cursor.nextset()
            inside.values[name] = _reading(name, cursor.fetchall())
    except DATABASE_ERRORS:
        inside.values.clear()
        if connection.broken or connection.closed:
            raise
        for name, statement in QUERIES.items():
            _ask_one(connection, inside, name, statement)


def _ask_one(connection: Any, inside: Inside, name: str, statement: str) -> None:
    try:
        inside.values[name] = _reading(name, connection.execute(statement).fetchall())
    except DATABASE_ERRORS as error:
        if connection.broken or connection.closed:
            raise
        inside.unread[name] = DatabaseFailed(trouble_of(error), "The query").sentence
        if trouble_of(error) is Trouble.CORRUPT:
            inside.values["damaged"] = True


def _ask_migrations(connection: Any, inside: Inside) -> None:
    if "migrations_kept" in inside.unread:
        inside.unread["migrations"] = inside.unread.pop("migrations_kept")
    elif not inside.values.pop("migrations_kept")["kept"]:
        inside.values["migrations"] = {"failed": 0}
    else:
        _ask_one(connection, inside, "migrations", FAILED_MIGRATIONS)


def _reading(name: str, rows: list[Json]) -> Any:
    plain = [{key: _told(value) for key, value in row.items()} for row in rows]
    return plain if name in _ROWS else plain[0]


def _told(value: Any) -> Any:
    """A moment as exact as the server has it: a session is named by its pid and when it began."""
    return value.astimezone(UTC).isoformat(timespec="microseconds") if isinstance(value, datetime) else value


def _ms(since: float) -> float:
    return round((time.monotonic() - since) * 1000, 1)
