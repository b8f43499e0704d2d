# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: whether a database has come to rest. May change without notice.

"""What has to be true of a database after a failover: RDS says so, another node answers, and it takes writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._database_queries import WRITE
from ansible_collections.daily_emr.ops.plugins.module_utils._database_readings import read_events, read_instance
from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import DATABASE_SERVES
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import endpoint, session
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    Json,
    Readings,
    parse_utc,
    plural,
)

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

# An acknowledged write takes milliseconds; a new connection during a failover hangs.
LIMIT_S = 5.0
# W1, and which node did it.
WRITE_HERE = f"{WRITE} RETURNING host(node) AS node"


def look(clients: Clients, database: Json) -> Readings:
    """What RDS says, and one write in a new connection, at the same time."""
    readings = Readings()
    readings.take(
        instance=lambda: read_instance(clients, database["instance"]),
        events=lambda: read_events(clients, database["instance"]),
        write=lambda: write_once(clients, database),
    )
    return readings


def write_once(clients: Clients, database: Json) -> str:
    """The address of the node that acknowledged a write in a new connection."""
    place = endpoint(clients, database)
    with session(clients, database, place, write=True, limit_s=LIMIT_S) as found:
        return str(found.execute(WRITE_HERE).fetchone()["node"])


class Settling:
    """What was seen so far. Writes count from when nothing else is missing; one that fails begins them anew."""

    def __init__(self, params: Json) -> None:
        self._failover, self._before, self._wanted = params["failover"], params["node_before"], params["writes"]
        self._since = parse_utc(params["since"])
        self._readings = Readings()
        self._events: list[Json] = []
        self._node: str | None = None
        self._in_a_row = 0
        self._writable_s: float | None = None

    def see(self, readings: Readings, passed: float) -> list[str]:
        """Take in one look, ``passed`` seconds after the first; returns what is new, in sentences."""
        self._readings = readings
        values, news = readings.values, []
        if "events" in values:
            found = [event for event in values["events"]["failovers"] if parse_utc(event["at"]) >= self._since]
            news += [
                f"RDS says that a failover was {event['kind']} at {event['at']}."
                for event in found
                if event not in self._events
            ]
            self._events = found
        if "write" not in values or not self._has_moved():
            self._in_a_row, self._writable_s = 0, None
            return news
        if values["write"] != self._node and self._before:
            news.append(f"The node {values['write']} answers, before it was {self._before}.")
        if values["write"] != self._node or self._writable_s is None:
            self._node, self._in_a_row, self._writable_s = values["write"], 0, passed
            news.append("A new connection has written, and the write was acknowledged.")
        self._in_a_row = 0 if self._not_yet() else self._in_a_row + 1
        return news

    def _has_moved(self) -> bool:
        """Whether a write that is acknowledged now is one after the failover; the old primary takes them until then."""
        if not self._failover:
            return True
        if self._before and "write" in self._readings.values:
            return bool(self._readings.values["write"] != self._before)
        return any(event["kind"] == "completed" for event in self._events)

    @property
    def abandoned(self) -> bool:
        """Whether the failover that was asked for will not come. One that runs is not ended by another request."""
        kinds = {event["kind"] for event in self._events}
        return bool(self._failover and kinds == {"abandoned"})

    def missing(self) -> list[str]:
        """What is not settled yet. A reading that failed is missing, too."""
        reasons = self._not_yet()
        if "write" not in self._readings.values:
            reasons.append(f"a new connection could not write: {self._readings.unread['write'].rstrip('.')}")
        elif self._in_a_row < self._wanted:
            reasons.append(f"{self._in_a_row} of {plural(self._wanted, 'write')} in a row were acknowledged")
        return reasons

    def _not_yet(self) -> list[str]:
        """What is missing beside writes."""
        values = self._readings.values
        reasons = [f"could not read the {name}" for name in ("instance", "events") if name not in values]
        status = values.get("instance", {}).get("status")
        if status and status not in DATABASE_SERVES:
            reasons.append(f"the instance is {status}")
        if self._failover and "completed" not in {event["kind"] for event in self._events}:
            begun = any(event["kind"] == "started" for event in self._events)
            reasons.append(f"RDS has not said that {'the failover is over' if begun else 'a failover began'}")
        if self._before and values.get("write") == self._before:
            reasons.append(f"the node is still {self._before}")
        return reasons

    def facts(self) -> Json:
        writable = None if self._writable_s is None else round(self._writable_s, 1)
        return {"seconds_to_writable": writable, "events": self._events, "node": self._node}
