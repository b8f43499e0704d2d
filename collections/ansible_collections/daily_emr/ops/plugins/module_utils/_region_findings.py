# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the observations of both regions. May change without notice.

"""What was read of both regions, as observations: a finding, ok, or unknown when a reading is missing. All pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import Evidence
from ansible_collections.daily_emr.ops.plugins.module_utils._region import (
    AVAILABLE,
    SECOND,
    First,
    in_the_way,
    judge_first,
    loss,
    promoted,
    spoken_loss,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings

if TYPE_CHECKING:
    from collections.abc import Mapping

# Last words of a promotion that was never sent, or that RDS did not take. Every other one was, or may have been.
NOT_SENT = ("refused", "failed")
OK = "ok"
# What RDS calls a replica that it promotes.
PROMOTING = ("modifying", "rebooting")


class Promotion(StrEnum):
    """Whether the replica was promoted, or is about to be, and by whom."""

    NONE = "none"
    BEGUN = "begun"
    OTHERS = "others"
    UNCLEAR = "unclear"


CIRCUMSTANCES = ("declared", "stand_down")


def observe(context: Json, component: str, asked: Json, at: str) -> list[Json]:
    """The observations of one look, in the order in which a person would ask.

    asked: declared, stand_down and max_loss_s, as the module has them.
    """
    rules = _rules(context, asked)
    symptoms = {name for name, *_rest in rules if name not in CIRCUMSTANCES}
    evidence = Evidence(Readings(), component, {}, at, symptoms=symptoms, about={})
    for rule in rules:
        evidence.note(*rule)
    return evidence.observations


def _rules(context: Json, asked: Json) -> list[tuple[str, bool | None, str, str, str]]:
    first, replica, lost = judge_first(context), context.get("replica"), loss(context)
    first_is = f"the first region is {first or 'unknown'}; {_control(context)}"
    unknown = first is None
    going = begun(context, asked)
    found = promotion(context, asked)
    # A word of an earlier promotion is no riddle while the replica is well: only who opens the first region asks.
    riddle = found is Promotion.UNCLEAR and replica is not None and replica["status"] != AVAILABLE
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
            "promoted_by_others",
            None if replica is None else found is Promotion.OTHERS,
            f"{_replica(context)}, {_word(context)}",
            "a replica that follows, or one that a failover promoted",
            "rds:DescribeDBInstances, dynamodb:GetItem",
        ),
        (
            "promotion_unclear",
            None if replica is None else riddle,
            f"{_replica(context)}, {_word(context)}",
            "a replica that nobody promotes, or a promotion that is known to be sent",
            "rds:DescribeDBInstances, dynamodb:GetItem",
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
            None if unknown or replica is None or riddle else going and first in (First.WRITABLE, First.ANSWERING),
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
            None if replica is None else not (going or riddle or found is Promotion.OTHERS or _usable(context)),
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
        "promotion": str(promotion(context, asked)),
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


def promotion(context: Json, asked: Mapping[str, Any]) -> Promotion:
    """Whether our promotion was begun, from the last word of any incident and what the replica is now.

    A replica that is promoted is ours when a failover asked for it, or users are there. One that is being changed is
    ours when the word says that it was sent; when nobody knows that, only if the first region is closed anyway, because
    going on fences it. A word about a replica that follows and is available is of an earlier one, or in doubt: a person
    who looked says so (looked_at, the run of that word). What cannot be read is unclear.

    asked: incident and looked_at, as the module has them; both may be missing.
    """
    replica, word = context.get("replica"), context.get("announced")
    if replica is None:
        return Promotion.UNCLEAR
    known = "announced" in context
    sent = word is not None and word.outcome not in NOT_SENT
    writes = (context.get("position") or {}).get("in_recovery") is False
    if not replica["source"] or writes:
        if sent or context.get("traffic") == SECOND:
            return Promotion.BEGUN
        return Promotion.OTHERS if known else Promotion.UNCLEAR
    if known and not sent:
        return Promotion.NONE
    if word is not None and replica["status"] in PROMOTING:
        ours = word.outcome == OK and word.incident == (asked.get("incident") or {}).get("id")
        closed = judge_first(context) in (First.FENCED, First.DEAD)
        return Promotion.BEGUN if ours or closed else Promotion.UNCLEAR
    seen = word is not None and word.run == asked.get("looked_at") and replica["status"] == AVAILABLE
    return Promotion.NONE if seen else Promotion.UNCLEAR


def begun(context: Json, asked: Mapping[str, Any]) -> bool:
    """Whether the replica is promoted, or about to be, by a failover: then going on is the only way."""
    return promotion(context, asked) is Promotion.BEGUN


def opening_first(context: Json, asked: Mapping[str, Any]) -> list[str]:
    """Why the application must not be let into the first region: the replica has to follow, and nobody promotes it."""
    if promoted(context):
        return [
            "The second region's database takes writes, and there must never be two: the way back is a new replica "
            "in the first region."
        ]
    found, replica, position = promotion(context, asked), context.get("replica"), context.get("position") or {}
    if found is not Promotion.NONE:
        run = getattr(context.get("announced"), "run", None)
        looked = f" If none was begun, and it is available, say region_failover_looked_at={run}." if run else ""
        return [
            f"The replica is promoted, or may be at any moment ({_replica(context)}, {_word(context)}), and there must "
            f"never be two that take writes: look at it in RDS first.{looked}"
        ]
    if replica is None or replica["status"] != AVAILABLE or position.get("in_recovery") is not True:
        return ["Nobody can say whether the second region takes writes, and unknown is never ok: look at it first."]
    return []


def opening_second(context: Json, asked: Mapping[str, Any]) -> list[str]:
    """Why the second side must not be opened: the first one could write, or no failover of ours has promoted this."""
    reasons = in_the_way(context)
    if not promoted(context):
        return [*reasons, "The replica is not promoted: promote it first."]
    if not begun(context, asked):
        reasons.append("Nobody can say that a failover has promoted the replica: find out who did, and why.")
    return reasons


def _usable(context: Json) -> bool:
    replica, position = context["replica"], context.get("position") or {}
    return bool(replica["source"] and replica["status"] == AVAILABLE and position.get("lsn"))


def _replica(context: Json) -> str:
    replica = context.get("replica")
    if replica is None:
        return "the replica cannot be read"
    return f"the replica is {replica['status']} and {'follows' if replica['source'] else 'promoted'}"


def _word(context: Json) -> str:
    if "announced" not in context:
        return "and nobody can say whether a failover asked for it"
    word = context["announced"]
    if word is None:
        return "and no failover asked for it"
    return f"and run {word.run} of {word.incident} said last: {word.outcome or 'it is about to be sent'}"


def _control(context: Json) -> str:
    status = context.get("first_control")
    return f"its control plane calls the database {status}" if status else "its control plane does not answer"
