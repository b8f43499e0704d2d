"""What the first region is, what would be lost, and whose approval counts: pure functions, each with its other side."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._approvals import (
    Approval,
    digest_of,
    judged,
    missing_approvals,
    person_of,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import execute_change
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Secret
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LastWord
from ansible_collections.daily_emr.ops.plugins.module_utils._region import (
    First,
    behind_bytes,
    in_the_way,
    judge_first,
    loss,
    promoted,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._region_findings import (
    Promotion,
    healthy,
    observe,
    opening_first,
    promotion,
    tell,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Readings
from ansible_collections.daily_emr.ops.plugins.modules.database_promotion import Promotion as Promoting
from ansible_collections.daily_emr.ops.plugins.modules.region_fence import Fence
from ansible_collections.daily_emr.ops.plugins.modules.region_secret import RegionSecret, moved, place_of
from ansible_collections.daily_emr.ops.plugins.modules.region_settled import MISSING, missing_for_position, settled
from ansible_collections.daily_emr.ops.plugins.modules.region_traffic import Traffic
from ansible_collections.daily_emr.ops.plugins.modules.region_verified import two_sides

Json = dict[str, Any]

OPEN = {"reachable": True, "in_recovery": False, "login": True, "sessions": 4, "lsn": "0/30"}
CLOSED = {**OPEN, "login": False, "sessions": 0}
NOBODY = {"reachable": False, "trouble": "refused"}
ANSWERS = {"answers": True, "serves": True, "seen": "200 in 4 ms"}
SILENT = {"answers": False, "serves": False, "seen": "refused after 1 ms"}
RINGS = {"state": "ALARM", "since": "2026-11-30T10:00:10.000Z", "long": True}
QUIET = {"state": "OK", "since": "2026-11-30T08:00:00.000Z", "long": True}
FOLLOWS = {"status": "available", "source": "arn:first", "address": "10.1.0.5", "port": 5432}
PROMOTED = {**FOLLOWS, "source": ""}
POSITION = {
    "reachable": True,
    "in_recovery": True,
    "lsn": "0/20",
    "now": "2026-11-30T10:15:00.000Z",
    "replayed_at": "2026-11-30T10:00:04.000Z",
}
ASKED = {"declared": "", "stand_down": False, "max_loss_s": 300, "incident": {"id": "INC-1"}}


def context(**more: Any) -> Json:
    """A first region that serves, and a replica that follows; what differs is named."""
    usual: Json = {
        "first_database": OPEN,
        "first_application": ANSWERS,
        "canary": QUIET,
        "replica": FOLLOWS,
        "position": POSITION,
        "edge": ANSWERS,
        "second_application": SILENT,
        "traffic": "first",
        "announced": None,
        "unread": {},
    }
    return {name: value for name, value in (usual | more).items() if value is not ...}


DEAD = {"first_database": NOBODY, "first_application": SILENT, "canary": RINGS}


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        pytest.param({}, First.WRITABLE, id="serves"),
        pytest.param({"first_database": CLOSED}, First.FENCED, id="no log-in, no session"),
        pytest.param({"first_database": {**CLOSED, "sessions": 1}}, First.WRITABLE, id="one session left"),
        pytest.param({"first_database": {**OPEN, "sessions": 0}}, First.WRITABLE, id="may log in"),
        pytest.param(DEAD, First.DEAD, id="nobody there, from both places"),
        pytest.param({**DEAD, "canary": QUIET}, First.UNCLEAR, id="the canary reaches it"),
        pytest.param({**DEAD, "canary": {**RINGS, "state": "INSUFFICIENT_DATA"}}, First.UNCLEAR, id="no canary"),
        pytest.param({**DEAD, "canary": {**RINGS, "long": False}}, First.UNCLEAR, id="silent for minutes"),
        pytest.param({**DEAD, "first_control": "available"}, First.UNCLEAR, id="its control plane calls it available"),
        pytest.param({**DEAD, "first_control": "available", "declared": "drill"}, First.DEAD, id="and it is declared"),
        pytest.param({**DEAD, "first_control": "failed"}, First.DEAD, id="its control plane calls it failed"),
        pytest.param({**DEAD, "first_application": ANSWERS}, First.ANSWERING, id="split"),
        pytest.param({**DEAD, "first_database": ...}, None, id="the database does not tell"),
        pytest.param({**DEAD, "canary": ...}, None, id="the canary cannot be read"),
        pytest.param({**DEAD, "first_application": ...}, None, id="the application cannot be read"),
    ],
)
def test_only_a_fenced_or_a_dead_first_region_lets_the_second_one_open(readings: Json, expected: First | None) -> None:
    found = context(**readings)
    assert judge_first(found) is expected
    assert (in_the_way(found) == []) == (expected in (First.FENCED, First.DEAD))


def test_nothing_is_lost_only_when_a_fenced_first_region_was_replayed_to_its_end() -> None:
    caught_up = context(first_database=CLOSED, position={**POSITION, "lsn": "0/30"})
    assert loss(caught_up) == {"seconds": 0.0, "lost_since": None}
    behind = context(first_database=CLOSED)
    assert behind_bytes(behind) == 0x10
    assert loss(behind)["seconds"] > 0


def test_of_a_dead_region_the_loss_ends_when_the_canary_got_no_answer_any_more() -> None:
    assert loss(context(**DEAD)) == {"seconds": 6.0, "lost_since": POSITION["replayed_at"]}


def test_a_canary_that_rang_while_writes_went_on_says_nothing_of_their_end() -> None:
    """It rang two hours before the last transaction that the replica has: the loss goes on until now, and is not 0."""
    early = {**RINGS, "since": "2026-11-30T08:00:00.000Z"}
    assert loss(context(**{**DEAD, "canary": early}))["seconds"] == 896.0
    assert loss(context(**{**DEAD, "canary": {**RINGS, "since": POSITION["replayed_at"]}}))["seconds"] == 896.0


def test_a_replica_that_is_ahead_of_its_own_clock_tells_no_loss() -> None:
    ahead = {**POSITION, "replayed_at": "2026-11-30T10:15:00.001Z"}
    assert loss(context(position=ahead))["seconds"] is None
    assert loss(context(**DEAD, position=ahead))["seconds"] is None


@pytest.mark.parametrize("first", [{"first_database": CLOSED}, DEAD, {}])
@pytest.mark.parametrize("in_recovery", [False, None])
def test_of_a_server_that_does_not_follow_nobody_can_say_what_was_lost(first: Json, in_recovery: bool | None) -> None:
    """Its log has gone on by itself, beyond the end of the first region's: that is not "caught up"."""
    promoted_server = {**POSITION, "in_recovery": in_recovery, "lsn": "0/40"}
    assert loss(context(**first, position=promoted_server)) == {"seconds": None, "lost_since": None}


def test_what_may_be_lost_is_told_before_the_promotion_and_not_after_it() -> None:
    before = settled("caught_up", context(**DEAD), 2.0)
    assert (before["fenced"], before["loss"]["seconds"]) == (False, 6.0)
    after = context(replica=PROMOTED, position={**POSITION, "in_recovery": False}, first_database=CLOSED)
    assert settled("promoted", after, 2.0) == {"settled": True, "seconds": 2.0, "sentence": "Promoted after 2 s."}
    with pytest.raises(CallFailed, match="does not follow any more"):
        missing_for_position(after)
    assert "lost" not in tell(after)
    assert "lost" in tell(context())


def test_of_an_open_region_the_loss_goes_on_until_now() -> None:
    assert loss(context())["seconds"] == 896.0


@pytest.mark.parametrize("position", [..., {**POSITION, "replayed_at": None}])
def test_a_replica_without_a_position_is_no_small_loss(position: Any) -> None:
    assert loss(context(**DEAD, position=position))["seconds"] is None


def test_positions_are_compared_as_numbers_over_both_halves() -> None:
    ends = {"first_database": {**CLOSED, "lsn": "1/0"}, "position": {**POSITION, "lsn": "0/FFFFFFF0"}}
    assert behind_bytes(context(**ends)) == 0x10


def test_a_replica_is_promoted_when_rds_and_its_server_say_so() -> None:
    writes = {**POSITION, "in_recovery": False}
    assert promoted(context(replica=PROMOTED, position=writes))
    assert not promoted(context(replica=PROMOTED))
    assert not promoted(context(replica=FOLLOWS, position=writes))


def word(incident: str, outcome: str = "") -> LastWord:
    return LastWord(incident=incident, run="run-1", at="2026-11-30T10:00:00Z", outcome=outcome)


MODIFYING = {**FOLLOWS, "status": "modifying"}
BUSY = {**FOLLOWS, "status": "backing-up"}
SHUT = {"first_database": CLOSED}
WRITES = {**POSITION, "in_recovery": False, "login": True}


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        pytest.param({}, Promotion.NONE, id="follows"),
        pytest.param({"replica": MODIFYING}, Promotion.NONE, id="somebody modifies it"),
        pytest.param({"announced": word("INC-1", "refused")}, Promotion.NONE, id="ours was refused"),
        pytest.param({"announced": word("INC-1", "failed")}, Promotion.NONE, id="ours failed"),
        pytest.param({"replica": ...}, Promotion.UNCLEAR, id="no replica to see"),
        pytest.param({"announced": ...}, Promotion.UNCLEAR, id="no word to read"),
        pytest.param({"announced": word("INC-0", "ok")}, Promotion.UNCLEAR, id="a word from before the replica"),
        pytest.param({"announced": word("INC-1")}, Promotion.UNCLEAR, id="announced, and nothing shows"),
        pytest.param({"replica": MODIFYING, "announced": word("INC-1", "ok")}, Promotion.BEGUN, id="we promote it"),
        pytest.param(
            {"replica": MODIFYING, "announced": word("INC-0", "ok"), **SHUT},
            Promotion.BEGUN,
            id="an earlier incident does",
        ),
        pytest.param(
            {"replica": MODIFYING, "announced": word("INC-0", "ok")}, Promotion.UNCLEAR, id="and the first one serves"
        ),
        pytest.param({"replica": MODIFYING, "announced": word("INC-1"), **SHUT}, Promotion.BEGUN, id="a dead run's"),
        pytest.param({"replica": MODIFYING, "announced": word("INC-1"), **DEAD}, Promotion.BEGUN, id="and all is dead"),
        pytest.param(
            {"replica": MODIFYING, "announced": word("INC-1")},
            Promotion.UNCLEAR,
            id="a dead run's, and the first serves",
        ),
        pytest.param({"replica": BUSY, "announced": word("INC-1"), **SHUT}, Promotion.UNCLEAR, id="backing up is none"),
        pytest.param({"position": WRITES, "announced": word("INC-0")}, Promotion.BEGUN, id="its server writes already"),
        pytest.param({"position": WRITES}, Promotion.OTHERS, id="its server writes, and nobody asked"),
        pytest.param({"replica": PROMOTED}, Promotion.OTHERS, id="somebody promoted it, and the first region serves"),
        pytest.param({"replica": PROMOTED, **DEAD}, Promotion.OTHERS, id="somebody promoted it, and the first is dead"),
        pytest.param(
            {"replica": PROMOTED, "announced": word("INC-1", "failed")}, Promotion.OTHERS, id="ours failed then"
        ),
        pytest.param({"replica": PROMOTED, "announced": ...}, Promotion.UNCLEAR, id="promoted, and no word to read"),
        pytest.param({"replica": PROMOTED, "traffic": "second"}, Promotion.BEGUN, id="users are there"),
        pytest.param({"replica": PROMOTED, "announced": word("INC-0", "ok")}, Promotion.BEGUN, id="another incident's"),
        pytest.param({"replica": PROMOTED, "announced": word("INC-0")}, Promotion.BEGUN, id="a dead run did"),
    ],
)
def test_a_promotion_is_ours_by_the_word_of_any_incident_and_by_what_the_replica_is(
    readings: Json, expected: Promotion
) -> None:
    assert promotion(context(**readings), ASKED) is expected
    assert promotion(context(**readings), ASKED | {"declared": "drill"}) is expected, "declared is no promotion"


@pytest.mark.parametrize(
    ("status", "expected"),
    [("available", Promotion.NONE), ("modifying", Promotion.UNCLEAR), ("backing-up", Promotion.UNCLEAR)],
)
def test_who_looked_clears_a_word_only_of_a_replica_that_is_available(status: str, expected: Promotion) -> None:
    found = context(replica={**FOLLOWS, "status": status}, announced=word("INC-0", "ok"))
    assert promotion(found, ASKED | {"looked_at": "run-1"}) is expected
    assert promotion(found, ASKED | {"looked_at": "run-2"}) is Promotion.UNCLEAR


@pytest.mark.parametrize(
    "readings",
    [
        pytest.param({"replica": MODIFYING}, id="somebody modifies it"),
        pytest.param(
            {"replica": MODIFYING, "announced": word("INC-0", "ok"), **SHUT}, id="another incident promotes it"
        ),
        pytest.param({"replica": PROMOTED, "position": WRITES, "announced": word("INC-0", "ok")}, id="promoted"),
        pytest.param({"announced": word("INC-0", "ok")}, id="a promotion that does not show yet"),
        pytest.param({"announced": word("INC-0", "unknown")}, id="one whose end nobody knows"),
        pytest.param({"announced": ...}, id="no word to read"),
        pytest.param({"replica": ...}, id="no replica to see"),
        pytest.param({"position": ...}, id="its server does not tell"),
        pytest.param({"position": NOBODY}, id="its server does not answer"),
    ],
)
def test_the_first_region_is_opened_only_while_the_replica_follows_and_nobody_promotes_it(readings: Json) -> None:
    found = context(first_database=CLOSED) | {"unread": {}}
    assert opening_first(found, ASKED) == []
    assert tried(Fence, found, side="first", state="allowed")["outcome"] == "planned"
    assert two_sides(found, "first", ASKED) == []

    changed = context(**({"first_database": CLOSED} | readings))
    assert opening_first(changed, ASKED) != []
    assert tried(Fence, changed, side="first", state="allowed")["outcome"] == "refused"
    assert two_sides(changed, "first", ASKED) != []


OURS = {"replica": PROMOTED, "position": WRITES, "announced": word("INC-0", "ok")}
OPENING = {
    "fence": (Fence, {"side": "second", "state": "allowed"}),
    "secret": (RegionSecret, {}),
    "traffic": (Traffic, {}),
}


@pytest.mark.parametrize(
    ("readings", "outcome"),
    [
        pytest.param({}, "refused", id="open"),
        pytest.param({**DEAD, "first_application": ANSWERS}, "refused", id="its application answers"),
        pytest.param({**DEAD, "canary": QUIET}, "refused", id="one point of view"),
        pytest.param({**DEAD, "first_database": ...}, "refused", id="it does not tell"),
        pytest.param({**SHUT, "announced": None, "traffic": "first"}, "refused", id="somebody else promoted it"),
        pytest.param(SHUT, "noop", id="fenced"),
        pytest.param(DEAD, "noop", id="dead"),
    ],
)
@pytest.mark.parametrize("step", OPENING)
def test_whatever_opens_the_second_side_refuses_beside_an_open_first_one_also_where_it_is_done_already(
    step: str, readings: Json, outcome: str
) -> None:
    kind, params = OPENING[step]
    found = context(**(OURS | {"traffic": "second", "second_application": ANSWERS} | readings))
    assert tried(kind, found, **params)["outcome"] == outcome
    settled = {"until": "first_closed", **ASKED}
    if outcome == "refused":
        with pytest.raises(CallFailed):
            MISSING["first_closed"](found, settled)
    else:
        assert MISSING["first_closed"](found, settled) == []


def test_what_was_done_while_the_first_region_came_back_is_done() -> None:
    made = change(Fence, context(), side="second", state="allowed")
    assert made.done({}, {"login": True, "may_be_open": False, "context": {}})
    assert not made.done({}, {"login": False, "may_be_open": True, "context": {}})


def test_a_replica_that_somebody_else_promoted_is_not_a_promotion_that_is_done() -> None:
    others = context(replica=PROMOTED, position=WRITES, approvals=([], NOW), **SHUT)
    assert tried(Promoting, others, **PROMOTED_AS)["outcome"] == "refused"
    ours = others | {"announced": word("INC-0", "ok")}
    assert tried(Promoting, ours, **PROMOTED_AS)["outcome"] == "noop"


def test_a_promotion_in_doubt_names_the_run_that_a_person_has_to_look_for() -> None:
    found = context(approvals=([], NOW), announced=word("INC-0", "unknown"), **SHUT)
    assert any(
        "region_failover_looked_at=run-1." in reason for reason in tried(Promoting, found, **PROMOTED_AS)["refusals"]
    )
    looked = tried(Promoting, found, **PROMOTED_AS | {"looked_at": "run-1"})
    assert not any("looked_at" in reason for reason in looked["refusals"])


PROMOTED_AS = {
    "max_loss_s": 300,
    "looked_at": "",
    "declared": "",
    "before_fence": False,
    "approved": True,
    "budget_minutes": 60,
}


def change(kind: Any, found: Json, **params: Any) -> Any:
    """A change that reads what is given."""
    clients = SimpleNamespace(
        prove=lambda: SimpleNamespace(operator="achieng"),
        environment=SimpleNamespace(name="sandbox", region="eu-west-1"),
        secret_value=lambda _name, **_stage: Secret(f"postgresql://emr:x@{FOLLOWS['address']}:5432/emr"),
    )
    names = {"recovery": {"source_secret": "a", "secret": "b", "declared": ""}, "database": {"instance": "replica"}}
    made = kind(names | {"incident": {"id": "INC-1"}, "looked_at": ""} | params, clients)
    readings = Readings()
    readings.values = {name: value for name, value in found.items() if name != "unread"}
    readings.unread = {name: "it broke" for name in context() if name not in found}
    made.take_sides = lambda **_more: readings
    return made


def tried(kind: Any, found: Json, **params: Any) -> Json:
    """The result of a change in check mode."""
    made = change(kind, found, **params)
    return execute_change(made, made.clients, None, check_mode=True, store=cast("Any", object()))


def statuses(found: Json, **asked: Any) -> dict[str, str]:
    return {item["name"]: item["status"] for item in observe(found, "emr-region", ASKED | asked, "now")}


def test_two_regions_that_are_well_are_healthy_and_without_a_finding() -> None:
    assert healthy(context(), ASKED) is True
    assert "finding" not in statuses(context(position={**POSITION, "now": POSITION["replayed_at"]})).values()


@pytest.mark.parametrize(
    ("readings", "asked", "finding"),
    [
        pytest.param(DEAD, {}, "first_region_down", id="gone"),
        pytest.param({**DEAD, "first_application": ANSWERS}, {}, "first_region_split", id="split"),
        pytest.param({**DEAD, "canary": QUIET}, {}, "first_region_unclear", id="one point of view"),
        pytest.param({}, {"declared": "drill"}, "declared", id="declared"),
        pytest.param({"first_database": CLOSED, "edge": SILENT}, {}, "first_region_fenced", id="left half-way"),
        pytest.param({"first_database": CLOSED, "edge": SILENT}, {"stand_down": True}, "stand_down", id="called off"),
        pytest.param({"replica": BUSY}, {}, "replica_unusable", id="busy replica"),
        pytest.param({"replica": PROMOTED, "announced": word("INC-0", "ok")}, {}, "first_region_open", id="both open"),
        pytest.param({"replica": PROMOTED}, {}, "promoted_by_others", id="promoted by others"),
        pytest.param({"replica": PROMOTED, **DEAD}, {"declared": "x"}, "promoted_by_others", id="by others, and dead"),
        pytest.param(
            {"replica": MODIFYING, "announced": word("INC-1")}, {}, "promotion_unclear", id="a dead run's intent"
        ),
        pytest.param({"replica": BUSY, "announced": word("INC-1")}, {}, "promotion_unclear", id="never sent"),
    ],
)
def test_what_is_wrong_has_a_finding_and_is_not_healthy(readings: Json, asked: Json, finding: str) -> None:
    found = context(**readings)
    assert statuses(found, **asked)[finding] == "finding"
    assert healthy(found, ASKED | asked) is not True


def test_a_first_region_that_comes_back_open_is_fenced_under_a_new_incident_too() -> None:
    served = {"traffic": "second", "second_application": ANSWERS, **OURS}
    for missing in ({}, {"announced": None}, {"announced": ...}):
        found = statuses(context(**(served | missing)))
        assert (found["first_region_open"], found["failover_begun"]) == ("finding", "ok")
        assert (found["replica_unusable"], found["promoted_by_others"]) == ("ok", "ok")


def test_what_cannot_be_read_is_unknown_and_never_healthy() -> None:
    found = context(canary=..., **{name: value for name, value in DEAD.items() if name != "canary"})
    assert statuses(found)["first_region_down"] == "unknown"
    assert healthy(found, ASKED) is None


NOW = datetime(2026, 11, 30, 10, 0, tzinfo=UTC)
DIGEST = digest_of("production", "INC-1", "database/replica", 300)


def approval(session: str, digest: str = DIGEST, minutes: float = 1) -> Approval:
    return Approval(session, digest, (NOW - timedelta(minutes=minutes)).isoformat())


@pytest.mark.parametrize(
    ("approvals", "words"),
    [
        pytest.param([], "0 of 2", id="nobody"),
        pytest.param([approval("a")], "1 of 2", id="one"),
        pytest.param([approval("a"), approval("a")], "1 of 2", id="one person twice"),
        pytest.param([approval("a"), approval("me")], "me asked for it", id="who asks"),
        pytest.param([approval("a"), approval("b", "other")], "b approved something else", id="something else"),
        pytest.param([approval("a"), approval("b", minutes=31)], "b is older than 30 minutes", id="too old"),
        pytest.param([approval("a"), approval("b", minutes=-2)], "b is dated in the future", id="dated ahead"),
        pytest.param([approval("a"), approval("b", minutes=-9 * 1440)], "1 of 2", id="dated nine days ahead"),
        pytest.param([approval("a"), approval("A@clinic.example")], "1 of 2", id="one person by two names"),
        pytest.param([approval("a"), approval("Me@clinic.example")], "asked for it", id="who asks, by another name"),
        pytest.param([approval("a"), approval("botocore-session-17")], "names nobody", id="a program's name"),
        pytest.param([approval("a"), approval("awx")], "awx names nobody", id="a controller's name"),
    ],
)
def test_approvals_of_two_other_people_for_exactly_this_are_needed(approvals: list[Approval], words: str) -> None:
    (reason,) = missing_approvals(approvals, NOW, digest=DIGEST, requester="me", wanted=2)
    assert words in reason


def test_two_other_people_are_enough() -> None:
    given = [approval("a"), approval("b", minutes=29), approval("me")]
    assert missing_approvals(given, NOW, digest=DIGEST, requester="me", wanted=2) == []


def test_a_clock_a_little_behind_spoils_no_approval_and_the_newest_of_a_person_counts() -> None:
    given = [
        approval("a", minutes=-0.5),
        approval("b", minutes=5),
        approval("b", minutes=40),
        approval("b", "other", 2),
    ]
    assert missing_approvals(given, NOW, digest=DIGEST, requester="me", wanted=2) == []
    valid, _spoiled = judged(given, NOW, digest=DIGEST, requester="me")
    assert valid["b"] == given[1]


@pytest.mark.parametrize(
    "name",
    [
        *("botocore-session-1764500000", "AWSCLI-Session", "i-0abc1234def567890", "1764500000"),
        *("awx", "AWX", "awx-11", "awx@clinic.example", "semaphore", "semaphore_task-7"),
    ],
)
def test_who_asks_without_a_name_is_told_from_nobody(name: str) -> None:
    assert person_of(name) == ""
    given = [approval("a"), approval("b")]
    (reason,) = missing_approvals(given, NOW, digest=DIGEST, requester=name, wanted=2)
    assert "names nobody" in reason


@pytest.mark.parametrize("name", ["awxford", "semaphoreen", "max.semaphore"])
def test_a_name_that_only_begins_as_a_controllers_is_a_persons(name: str) -> None:
    assert person_of(name) == name


@pytest.mark.parametrize("name", ["wanjiru", "Wanjiru@clinic.example", "wanjiru+ops@clinic.example"])
def test_one_person_has_many_names(name: str) -> None:
    assert person_of(name) == "wanjiru"


@pytest.mark.parametrize("changed", [("staging", 300), ("production", 301)])
def test_an_approval_names_environment_and_loss(changed: tuple[str, int]) -> None:
    environment, accepted = changed
    assert digest_of(environment, "INC-1", "database/replica", accepted) != DIGEST


def test_a_url_moves_to_another_place_and_keeps_its_account_and_its_options() -> None:
    made = moved(Secret("postgresql://emr:p%40ss@first:5432/emr?sslmode=require"), "second:5433")
    assert made.reveal() == "postgresql://emr:p%40ss@second:5433/emr?sslmode=require"
    assert place_of(made) == "second:5433"
    assert "p%40ss" not in repr(made)
