# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what a failover to the second region reads. May change without notice.

"""The first region, seen from two places, and the replica in the second one.

Whoever asks works in the second region: its table, its fingerprint, its clients. The first one is only ever asked, and
its database is the one thing that is changed there.
"""

from __future__ import annotations

import socket
import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._health_probes import CHART_PATH
from ansible_collections.daily_emr.ops.plugins.module_utils._http import probe
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import (
    DatabaseFailed,
    Trouble,
    session,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    Json,
    Readings,
    answered_at,
    iso,
    parse_utc,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

RECOVERY_OPTION: Json = {
    "type": "dict",
    "required": True,
    "options": {
        "component": {"type": "str", "required": True},
        "first_region": {"type": "str", "required": True},
        "first_address": {"type": "str", "required": True},
        "first_port": {"type": "int", "default": 5432},
        "first_url": {"type": "str", "required": True},
        "second_url": {"type": "str", "required": True},
        "edge_url": {"type": "str", "required": True},
        "host": {"type": "str", "default": ""},
        "canary_alarm": {"type": "str", "required": True},
        "traffic_namespace": {"type": "str", "default": "DailyEMR/Region"},
        "traffic_metric": {"type": "str", "default": "SecondRegionServes"},
        "source_secret": {"type": "str", "required": True, "no_log": False},
        "secret": {"type": "str", "required": True, "no_log": False},
        "declared": {"type": "str", "default": ""},
    },
}

sleep = time.sleep
# A region that does not answer has to be found out in seconds, several times in one run.
PROBE_S = 3.0
LIMIT_S = 8.0
# One look may fall into a restart or a bad second: whoever answers one of these is there.
LOOKS, PAUSE_S = 3, 2.0
# Go or no-go (incident domain, F.3): a region that has been silent for less may be back before a failover is done.
GO_NO_GO_S = 900.0
AVAILABLE = "available"
FIRST, SECOND = "first", "second"
# Words that somebody gives who means that nothing is declared; as reasons they would all be true.
NO_REASON = ("false", "no", "0", "none", "off", "n", "null")
# What says that nobody is there, when no session could be had. Everything else is an answer of a server that lives.
SILENT = (Trouble.REFUSED, Trouble.TIMEOUT, Trouble.CLOSED)
LOOK = """
SELECT pg_is_in_recovery() AS in_recovery, clock_timestamp() AS now,
       (SELECT rolcanlogin FROM pg_roles WHERE rolname = %(role)s) AS login,
       (SELECT count(*) FROM pg_stat_activity WHERE usename = %(role)s) AS sessions,
       pg_last_xact_replay_timestamp() AS replayed_at,
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text AS lsn"""


class First(StrEnum):
    """What the first region is, as far as writes are concerned."""

    WRITABLE = "writable"
    FENCED = "fenced"
    DEAD = "dead"
    ANSWERING = "answering"
    UNCLEAR = "unclear"


def look_at_database(clients: Clients, database: Json, place: tuple[str, int], region: str = "") -> Json:
    """One look at a server: its role, its position, and whether the application may log in.

    Returns {"reachable": False, "trouble"} when no session could be had and no server said a word. Raises OpsError when
    somebody is there, and does not tell: a server that refuses, is slow, or breaks off in the middle lives.
    """
    try:
        with session(clients, database, place, limit_s=LIMIT_S, region=region) as found:
            row = found.execute(LOOK, {"role": database["application_role"]}).fetchone()
    except DatabaseFailed as error:
        if not error.unanswered or error.trouble not in SILENT:
            raise
        return {"reachable": False, "trouble": str(error.trouble)}
    times = {name: iso(row[name]) for name in ("now", "replayed_at")}
    return {**row, **times, "reachable": True}


def first_place(recovery: Json) -> tuple[str, int]:
    """Address and port of the first region's database, from the inventory: its control plane may be gone."""
    return str(recovery["first_address"]), int(recovery["first_port"])


def read_first_control(clients: Clients, recovery: Json, instance: str) -> str:
    """Status of the first region's database as its control plane tells it; asked once."""
    rds = clients.read("rds", recovery["first_region"], 1)
    return str(rds.describe_db_instances(DBInstanceIdentifier=instance)["DBInstances"][0]["DBInstanceStatus"])


def several(clients: Clients, look: Callable[[], Json], answered: str) -> Json:
    """The first of several looks that was answered, or the last one. Raises what a look does.

    Args:
        answered: the name of what is true in a look that was answered.
    """
    for _look in range(LOOKS - 1):
        found = look()
        if found[answered]:
            return found
        sleep(clients.environment.seconds(PAUSE_S))
    return look()


def read_application(url: str, host: str) -> Json:
    """Whether anything is there, however slow, and whether a chart can be read."""
    answer = probe(url, CHART_PATH, timeout_s=PROBE_S, host=host)
    there = answer.status is not None or answer.failure == "tls" or (answer.failure == "timeout" and accepts(url))
    return {"answers": there, "serves": answer.ok, "seen": answer.seen}


def accepts(url: str) -> bool:
    """Whether a connection is taken there: what answers too slowly is not gone."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((str(parts.hostname), port), timeout=PROBE_S).close()
    except OSError:
        return False
    return True


def read_canary(clients: Clients, recovery: Json) -> Json:
    """What the canary of the second region says of the first: the second place that it is looked at from.

    long: whether it has said so for as long as go or no-go takes, by the clock of AWS.
    """
    answer = clients.read("cloudwatch").describe_alarms(AlarmNames=[recovery["canary_alarm"]])
    if not answer["MetricAlarms"]:
        raise OpsError(f"the alarm {recovery['canary_alarm']} does not exist")
    found = answer["MetricAlarms"][0]
    since = found["StateUpdatedTimestamp"]
    age_s = (answered_at(answer) - since).total_seconds()
    return {"state": found["StateValue"], "since": iso(since), "long": age_s >= clients.environment.seconds(GO_NO_GO_S)}


def read_announced(clients: Clients, instance: str) -> Any:
    """The last word of a promotion of this replica, of whichever run and incident; None when there was never one."""
    return LeaseStore(clients, clients.environment.table).last_word("database_promotion", f"database/{instance}")


def read_replica(clients: Clients, instance: str) -> Json:
    """The replica as RDS tells it."""
    found = clients.read("rds").describe_db_instances(DBInstanceIdentifier=instance)["DBInstances"][0]
    place = found.get("Endpoint") or {}
    return {
        "status": found["DBInstanceStatus"],
        "source": found.get("ReadReplicaSourceDBInstanceIdentifier") or "",
        "address": place.get("Address"),
        "port": place.get("Port"),
    }


def read_traffic(clients: Clients, recovery: Json) -> str:
    """Which region the switch sends users to: the newest value of its metric. Nobody ever set it: first."""
    now = datetime.now(UTC).timestamp()
    metric = {"Namespace": recovery["traffic_namespace"], "MetricName": recovery["traffic_metric"]}
    query = {"Id": "switch", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Maximum"}}
    found = clients.read("cloudwatch").get_metric_data(
        MetricDataQueries=[query], StartTime=now - 14 * 86_400, EndTime=now + 120, ScanBy="TimestampDescending"
    )["MetricDataResults"][0]["Values"]
    return SECOND if found and found[0] >= 1 else FIRST


def sides(clients: Clients, recovery: Json, database: Json) -> dict[str, Callable[[], Any]]:
    """The reads that tell what the first region is, and where the replica is; for `Readings.take`."""
    first, instance = recovery["first_region"], database["instance"]
    return {
        "first_database": lambda: several(
            clients, lambda: look_at_database(clients, database, first_place(recovery), first), "reachable"
        ),
        "first_application": lambda: several(
            clients, lambda: read_application(recovery["first_url"], recovery["host"]), "answers"
        ),
        "first_control": lambda: read_first_control(clients, recovery, instance.removesuffix("-replica")),
        "canary": lambda: read_canary(clients, recovery),
        "replica": lambda: read_replica(clients, instance),
        "announced": lambda: read_announced(clients, instance),
    }


def declared(recovery: Json) -> str:
    """Why the first region is left though it answers; empty when nobody said. Raises Refused for a word that denies."""
    reason = str(recovery["declared"]).strip()
    if reason.lower() in NO_REASON:
        raise Refused(f"region_failover_declared is a reason, and {reason} is none: say why, or leave it empty.")
    return reason


def take_sides(clients: Clients, recovery: Json, database: Json, **more: Callable[[], Any]) -> Readings:
    """Read both sides at once, then the replica's server behind the address that RDS told.

    Raises Refused when what is declared says no.
    """
    readings = Readings()
    readings.values["declared"] = declared(recovery)
    readings.take(**sides(clients, recovery, database), **more)
    place = readings.values.get("replica") or {}
    if place.get("address"):
        where = (str(place["address"]), int(place["port"]))
        readings.take(position=lambda: look_at_database(clients, database, where))
    return readings


def judge_first(context: Json) -> First | None:
    """What the first region is; pure. None when a reading is missing that would tell."""
    database, application, canary = (context.get(name) for name in ("first_database", "first_application", "canary"))
    if database is None:
        return None
    if database["reachable"]:
        closed = database["in_recovery"] or (database["login"] is False and not database["sessions"])
        return First.FENCED if closed else First.WRITABLE
    if application is None:
        return None
    if application["answers"]:
        return First.ANSWERING
    if canary is None:
        return None
    # A control plane that does not answer says nothing; one that calls the database available speaks for it.
    alive = context.get("first_control") == AVAILABLE and not context.get("declared")
    return First.DEAD if canary["state"] == "ALARM" and canary["long"] and not alive else First.UNCLEAR


def behind_bytes(context: Json) -> int | None:
    """How many bytes of the first region's log the replica has not replayed; None when one of both is not known."""
    ends = [context.get(name) or {} for name in ("first_database", "position")]
    if not all(end.get("lsn") for end in ends):
        return None
    first, second = (_position(end["lsn"]) for end in ends)
    return max(first - second, 0)


def loss(context: Json) -> Json:
    """What a promotion now would lose of what users were told is saved; pure.

    Everything that was acknowledged before `lost_since` is there. `seconds` is how long writes were acknowledged since:
    until now, or until the canary got no answer any more. None when it cannot be told; of a server that does not
    follow, because its log is one of its own and no longer comparable.
    """
    position = context.get("position") or {}
    if position.get("in_recovery") is not True:
        return {"seconds": None, "lost_since": None}
    since, now = position.get("replayed_at"), position.get("now")
    first = judge_first(context)
    if first is First.FENCED and behind_bytes(context) == 0:
        return {"seconds": 0.0, "lost_since": None}
    if not since or not now or first is None:
        return {"seconds": None, "lost_since": since}
    replayed, until = parse_utc(since), parse_utc(now)
    if first is First.DEAD and replayed < (silent := parse_utc(context["canary"]["since"])):
        # A replica with later writes shows that the first region took some while the canary already got no answer.
        until = min(until, silent)
    seconds = (until - replayed).total_seconds()
    return {"seconds": None if seconds < 0 else round(seconds, 3), "lost_since": since}


def spoken_loss(found: Json) -> str:
    """The same as a sentence."""
    if found["seconds"] is None:
        return "Nobody can say how much would be lost, because the replica does not tell a position that can be true."
    if found["lost_since"] is None:
        return "Nothing is lost: the first region is fenced, and the replica has replayed all of its log."
    return (
        f"Up to {found['seconds']:.1f} s of acknowledged writes may be lost: everything that was acknowledged before "
        f"{found['lost_since']} is on the replica."
    )


# Why the first region keeps the second one from taking writes, and what to do. FENCED and DEAD do not.
IN_THE_WAY = {
    First.WRITABLE: "The first region's database takes writes, and there must never be two: fence it first.",
    First.ANSWERING: (
        "The first region cannot be fenced, because its database does not answer here, and its application still does: "
        "both sides would take writes. Fence it by hand (from inside its network: SELECT ops.fence_application), or "
        "take its load balancer off the network, then run again."
    ),
    First.UNCLEAR: (
        "From here the first region does not answer, and that is not enough: the canary of the second region still "
        "reaches it, or has not for less than 15 minutes, or its control plane calls the database available. Look at "
        "the network of this machine, run from another place, wait, or have it declared (region_failover_declared)."
    ),
    None: "Nobody can say whether the first region takes writes, and unknown is never ok: make it readable, run again.",
}


def in_the_way(context: Json) -> list[str]:
    """The refusal of whatever would make the second region writable; empty when the first one is fenced or dead."""
    reason = IN_THE_WAY.get(judge_first(context))
    return [reason] if reason else []


# Of the state of what opens the second side: without it, nothing is done already, however it looks.
ALONE = "may_be_open"


class RegionChange(Change):
    """A change in a failover to the second region, named by the options ``recovery`` and ``database``."""

    # By a rule of its own: two people, for one incident, with a loss that they name (region_approval).
    approved_apart: ClassVar[bool] = True
    # What one step of a failover changes for those behind it: no plan can know it, so each asks for it (refusals).
    volatile: ClassVar[frozenset[str]] = frozenset({ALONE})

    @property
    def recovery(self) -> Json:
        found: Json = self.params["recovery"]
        return found

    @property
    def database(self) -> Json:
        found: Json = self.params["database"]
        return found

    @property
    def instance(self) -> str:
        """Identifier of the replica."""
        return str(self.database["instance"])

    def take_sides(self, **more: Callable[[], Any]) -> Readings:
        return take_sides(self.clients, self.recovery, self.database, **more)

    def done(self, before: Json, after: Json) -> bool:
        """What was changed; a first region that came back in between is for the next step to see."""
        told, wanted = (
            {name: value for name, value in state.items() if name not in ("context", ALONE)}
            for state in (after, self.wanted(before))
        )
        return told == wanted


def promoted(context: Json) -> bool:
    """Whether the replica is a database of its own that takes writes."""
    replica, position = context.get("replica") or {}, context.get("position") or {}
    return bool(replica) and not replica["source"] and position.get("in_recovery") is False


def _position(text: str) -> int:
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)
