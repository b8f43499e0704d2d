# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the observations of both regions. May change without notice.

"""What was read of both regions, as observations: a finding, ok, or unknown when a reading is missing. All pure."""

from __future__ import annotations

from ansible_collections.daily_emr.ops.plugins.module_utils._region import (
    First,
    judge_first,
    loss,
    promoted,
    spoken_loss,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

AVAILABLE = "available"
SECOND = "second"
# Last words of a promotion that was, or may have been, asked for.
UNDER_WAY = ("", "ok", "unknown")
Rule = tuple[str, bool | None, str, str, str]


CIRCUMSTANCES = ("declared", "stand_down")


def observe(context: Json, component: str, asked: Json, at: str) -> list[Json]:
    """The observations of one look, in the order in which a person would ask.

    asked: declared, stand_down and max_loss_s, as the module has them.
    """
    return [
        {
            "name": name,
            "status": "unknown" if finding is None else "finding" if finding else "ok",
            "symptom": name not in CIRCUMSTANCES,
            "subject": component,
            "expected": expected,
            "seen": seen,
            "at": at,
            "call": call,
        }
        for name, finding, seen, expected, call in _rules(context, asked)
    ]


def _rules(context: Json, asked: Json) -> list[Rule]:
    first, replica, lost = judge_first(context), context.get("replica"), loss(context)
    first_is = f"the first region is {first or 'unknown'}; {_control(context)}"
    unknown = first is None
    going = begun(context, asked)
    behind = None if lost["seconds"] is None else lost["seconds"] > asked["max_loss_s"]
    fenced = None if unknown or replica is None else first is First.FENCED and not going
    return [
        (
            "failover_begun",
            None if replica is None else going and not serves(context),
            f"{_replica(context)}, users go to the {context.get('traffic', 'unknown')} region",
            "a replica that follows, or a second region that serves",
            "rds:DescribeDBInstances",
        ),
        (
            "declared",
            bool(asked["declared"]),
            "the incident commander has declared it" if asked["declared"] else "nobody has declared it",
            "nobody has to leave the first region",
            "region_failover_declared",
        ),
        (
            "stand_down",
            fenced and asked["stand_down"],
            "the failover is called off" if asked["stand_down"] else "nobody has called it off",
            "a failover goes on",
            "region_failover_stand_down",
        ),
        (
            "first_region_fenced",
            fenced,
            first_is,
            "the application may write where users are",
            "pg_roles",
        ),
        (
            "first_region_open",
            None if unknown or replica is None else going and first in (First.WRITABLE, First.ANSWERING),
            first_is,
            "one side alone takes writes",
            "database, application",
        ),
        (
            "first_region_down",
            None if unknown else first is First.DEAD,
            first_is,
            "it answers here, or the canary",
            "database, application, canary",
        ),
        (
            "first_region_split",
            None if unknown else first is First.ANSWERING,
            first_is,
            "its database answers where its application does",
            "database, application",
        ),
        (
            "first_region_unclear",
            None if unknown else first is First.UNCLEAR,
            first_is,
            "both places see the same",
            "database, application, canary",
        ),
        (
            "replica_unusable",
            None if replica is None else not going and not _usable(context),
            _replica(context),
            "an available replica that tells its position",
            "rds:DescribeDBInstances, pg_last_wal_replay_lsn",
        ),
        (
            "replica_behind",
            False if going else behind,
            spoken_loss(lost),
            f"at most {asked['max_loss_s']} s",
            "pg_last_xact_replay_timestamp",
        ),
    ]


def subjects(context: Json, asked: Json) -> Json:
    """What the steps go by."""
    first = judge_first(context)
    return {
        "first": None if first is None else str(first),
        "begun": begun(context, asked),
        "loss": loss(context),
        "users_go_to": context.get("traffic"),
    }


def serves(context: Json) -> bool:
    """Whether the second region is where users are, and they are served."""
    edge, second = context.get("edge") or {}, context.get("second_application") or {}
    here = context.get("traffic") == SECOND and promoted(context)
    return bool(here and second.get("serves") and edge.get("serves"))


def healthy(context: Json, asked: Json) -> bool | None:
    """Whether there is nothing to do; None when it cannot be told."""
    first, edge = judge_first(context), context.get("edge")
    if serves(context):
        # A first region that came back open is somebody's business, though users are served.
        return None if first is None else first in (First.FENCED, First.DEAD)
    if asked["declared"] or begun(context, asked):
        return False
    if edge is None or first is None or context.get("replica") is None:
        return None
    return bool(edge["serves"]) and first is First.WRITABLE and _usable(context)


def tell(context: Json) -> str:
    """The state in one sentence."""
    first = judge_first(context)
    state = "Nobody can tell what the first region is" if first is None else f"The first region is {first}"
    users = context.get("traffic", "unknown")
    told = f"{state}; {_replica(context)}. Users are sent to the {users} region."
    return told if promoted(context) else f"{told} {spoken_loss(loss(context))}"


def begun(context: Json, asked: Json) -> bool:
    """Whether the replica is promoted, or about to be, by a failover: then going on is the only way.

    A replica that somebody modifies, or promoted for a reason of theirs while the first region serves, is none.
    """
    replica, word = context.get("replica"), context.get("announced")
    if replica is None:
        return False
    ours = word is not None and word.incident == (asked.get("incident") or {}).get("id")
    if replica["source"]:
        return bool(ours and word and word.outcome in UNDER_WAY and replica["status"] != AVAILABLE)
    return bool(ours or asked["declared"] or judge_first(context) is not First.WRITABLE)


def _usable(context: Json) -> bool:
    replica, position = context["replica"], context.get("position") or {}
    return bool(replica["source"] and replica["status"] == AVAILABLE and position.get("lsn"))


def _replica(context: Json) -> str:
    replica = context.get("replica")
    if replica is None:
        return "the replica cannot be read"
    return f"the replica is {replica['status']} and {'follows' if replica['source'] else 'promoted'}"


def _control(context: Json) -> str:
    status = context.get("first_control")
    return f"its control plane calls the database {status}" if status else "its control plane does not answer"
