"""Sessions, slots and storage: check, apply, check, apply; lost replies; every refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import execute_change

from .conftest import Runner
from .database import DatabaseWorld, Postgres
from .world import Json, ago

BEGAN = "2026-11-22T01:12:31.091254Z"
SESSION: Json = {
    "pid": 4711,
    "backend_start": BEGAN,
    "role": "emr_application",
    "kind": "client backend",
    "state": "active",
    "has_written": True,
    "statement_at": datetime(2026, 11, 22, 1, 20, tzinfo=UTC),
    "age_s": 90.0,
    "work_s": 4.0,
    "victims": 4,
}
SLOT: Json = {"active": False, "temporary": False, "position": "0/3000148", "retained_bytes": 55e9}
CANCEL: Json = {"pid": 4711, "backend_start": BEGAN, "action": "cancel"}
TERMINATE: Json = CANCEL | {"action": "terminate"}
Break = Callable[[DatabaseWorld, Postgres], object]


@dataclass
class Case:
    """A change, the statement or call it makes, and what it changes."""

    module: str
    args: Json
    sent: str
    diff: tuple[Json, Json]


CASES = {
    "cancel": Case(
        "database_session",
        CANCEL,
        "pg_cancel_backend",
        ({"session": "active", "victims": 4}, {"session": "cancelled", "victims": 0}),
    ),
    "terminate": Case(
        "database_session",
        TERMINATE,
        "pg_terminate_backend",
        ({"session": "idle in transaction", "victims": 4}, {"session": "gone", "victims": 0}),
    ),
    "slot": Case(
        "database_slot",
        {"slot": "old_reporting"},
        "pg_drop_replication_slot",
        ({"slot": "inactive"}, {"slot": "gone"}),
    ),
    "storage": Case(
        "database_storage", {"allocated_gib_before": 100}, "ModifyDBInstance", ({"gib": 100}, {"gib": 120})
    ),
}
# Who needs no case of AWS.
SQL = [name for name in CASES if name != "storage"]


@pytest.fixture(autouse=True)
def _there(
    request: pytest.FixtureRequest,
    instance: DatabaseWorld,  # noqa: ARG001  # it has to be there
    postgres: Postgres,
) -> None:
    given = request.node.callspec.params.values() if hasattr(request.node, "callspec") else ()
    # Only who idles is terminated.
    state = {"state": "idle in transaction"} if "terminate" in given else {}
    postgres.session, postgres.slot = {**SESSION, **state}, dict(SLOT)


def sent(instance: DatabaseWorld, postgres: Postgres) -> list[str]:
    return [operation for operation, _params in instance.mutations] + postgres.signals


@pytest.mark.parametrize("name", CASES)
def test_check_apply_check_apply(name: str, instance: DatabaseWorld, postgres: Postgres, run: Runner) -> None:
    case = CASES[name]
    plan = run(case.module, check=True, **case.args)
    assert (plan["outcome"], plan["refusals"]) == ("planned", []), plan["msg"]
    assert plan["diff"] == {"before": case.diff[0], "after": case.diff[1]}
    assert plan["prediction"]
    assert sent(instance, postgres) == []

    done = run(case.module, **case.args)
    assert (done["outcome"], done["changed"]) == ("ok", True), done["msg"]
    assert done["prediction"] == plan["prediction"]
    assert isinstance(done["undo"], str)

    for check in (True, False):
        again = run(case.module, check=check, **case.args)
        assert (again["outcome"], again["changed"]) == ("noop", False), again["msg"]
    assert sent(instance, postgres) == [case.sent]


@pytest.mark.parametrize(("lost", "outcome"), [("after", "ok"), ("before", "unknown")])
@pytest.mark.parametrize("name", CASES)
def test_a_lost_reply_is_one_call_and_is_looked_for(
    name: str, lost: str, outcome: str, instance: DatabaseWorld, postgres: Postgres, run: Runner
) -> None:
    case = CASES[name]
    instance.lose["ModifyDBInstance"] = postgres.lose = lost
    result = run(case.module, **case.args)
    assert (result["outcome"], sent(instance, postgres)) == (outcome, [case.sent]), result["msg"]


@pytest.mark.parametrize("name", CASES)
def test_needs_a_lease(name: str, instance: DatabaseWorld, postgres: Postgres, run: Runner) -> None:
    case = CASES[name]
    change = run.change(case.module, case.args, incident=False)
    assert execute_change(change, change.clients, None, check_mode=False)["refused"]
    assert sent(instance, postgres) == []


@pytest.mark.parametrize("name", SQL)
def test_a_statement_counts_as_a_call_and_is_never_sent_twice(name: str, postgres: Postgres, run: Runner) -> None:
    case = CASES[name]
    change = run.change(case.module, case.args)
    before = change.observe()
    change.apply(before)
    assert change.clients.sent == [f"postgres:{case.sent}"]
    postgres.session, postgres.slot = dict(SESSION), dict(SLOT)
    with pytest.raises(Exception, match="was already sent"):
        change.apply(before)
    assert postgres.signals == [case.sent]


@pytest.mark.parametrize("name", SQL)
def test_what_the_server_does_not_permit_was_not_done(name: str, postgres: Postgres, run: Runner) -> None:
    postgres.denied = True
    result = run(CASES[name].module, **CASES[name].args)
    assert (result["outcome"], result["changed"]) == ("failed", False)
    assert "permission denied" in result["msg"]
    assert "words" not in result["msg"]


@pytest.mark.parametrize("name", SQL)
def test_a_server_that_lets_nobody_in_is_left_alone(name: str, postgres: Postgres, run: Runner) -> None:
    postgres.down = "connection refused"
    result = run(CASES[name].module, **CASES[name].args)
    assert (result["outcome"], postgres.signals) == ("failed", [])


@pytest.mark.parametrize("name", SQL)
def test_what_went_on_meanwhile_is_not_touched(
    name: str, postgres: Postgres, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the statement the session did something else, and somebody read the slot."""
    case = CASES[name]
    change = run.change(case.module, case.args)
    before = change.observe()
    monkeypatch.setattr(change, "observe", lambda: before)
    postgres.session = SESSION | {"statement_at": datetime(2026, 11, 22, 1, 30, tzinfo=UTC)}
    postgres.slot = SLOT | {"position": "0/9000000"}
    result = execute_change(change, change.clients, run.session, check_mode=False)
    assert (result["outcome"], result["changed"]) == ("failed", False)
    assert "is no longer what was seen" in result["msg"]
    assert (postgres.session["state"], postgres.slot["active"]) == ("active", False)


def session(**values: object) -> Break:
    return lambda _instance, postgres: postgres.session.update(values)  # type: ignore[union-attr]


def slot(**values: object) -> Break:
    return lambda _instance, postgres: postgres.slot.update(values)  # type: ignore[union-attr]


def setting(**values: object) -> Break:
    return lambda instance, _postgres: instance.instance.update(values)


def said(message: str, **span: float) -> Break:
    return lambda instance, _postgres: instance.say(message, ago(**span))


REFUSED: list[tuple[str, Break, str]] = [
    ("cancel", session(role="rdsadmin"), "belongs to rdsadmin, not to emr_application"),
    ("terminate", session(kind="autovacuum worker"), "The process is autovacuum worker, not a client"),
    ("terminate", session(kind="walsender"), "The process is walsender, not a client"),
    ("terminate", session(kind=None), "of an unknown kind"),
    ("cancel", session(age_s=59.0), "only 59 s old"),
    ("cancel", session(age_s=None), "grant pg_monitor"),
    ("terminate", session(work_s=1200.0), "It has written for 20 minutes"),
    ("cancel", session(state="idle in transaction"), "there is no statement to cancel: terminate it"),
    ("terminate", session(state="active"), "so it works again: cancel its statement first"),
    ("slot", slot(active=True), "is read right now"),
    ("slot", slot(temporary=True), "is temporary"),
    ("storage", setting(DBInstanceStatus="storage-optimization"), "still optimizes the storage"),
    ("storage", setting(DBInstanceStatus="modifying"), "The instance is modifying"),
    ("storage", setting(PendingModifiedValues={"EngineVersion": "17.2"}), "pending (EngineVersion)"),
    ("storage", setting(MaxAllocatedStorage=110), "120 GiB are above what storage autoscaling may reach, 110 GiB"),
    ("storage", setting(AllocatedStorage=115), "The instance has 115 GiB, not 100"),
    (
        "storage",
        said("Finished applying modification to allocated storage", hours=3),
        "The storage was changed 3 h ago",
    ),
    (
        "storage",
        said("Applying autoscaling-initiated modification to allocated storage", hours=5),
        "The storage was changed 5 h ago",
    ),
    ("storage", lambda instance, _postgres: instance.broken.add("DescribeEvents"), "Could not read the events"),
]


@pytest.mark.parametrize(("name", "break_", "sentence"), REFUSED, ids=[f"{row[0]}-{row[2]}" for row in REFUSED])
def test_refused(
    name: str, break_: Break, sentence: str, instance: DatabaseWorld, postgres: Postgres, run: Runner
) -> None:
    case = CASES[name]
    assert run(case.module, check=True, **case.args)["outcome"] == "planned"
    break_(instance, postgres)
    result = run(case.module, **case.args)
    assert result["outcome"] == "refused", result
    assert any(sentence in reason for reason in result["refusals"]), result["refusals"]
    assert sent(instance, postgres) == []


def test_an_idle_session_loses_what_it_did_not_the_time_it_idled(postgres: Postgres, run: Runner) -> None:
    postgres.session = SESSION | {"state": "idle in transaction", "age_s": 3600.0, "work_s": 1.0}
    assert run("database_session", **TERMINATE)["outcome"] == "ok"
    assert postgres.session is None


@pytest.mark.parametrize(
    "gone", [{"backend_start": "2026-11-22T02:00:00Z"}, {"pid": 4712}], ids=["the number is another's", "no session"]
)
def test_a_session_that_is_gone_needs_no_end(gone: Json, postgres: Postgres, run: Runner) -> None:
    result = run("database_session", **TERMINATE | gone)
    assert (result["outcome"], postgres.signals) == ("noop", [])


def test_a_session_that_nobody_waits_for_is_left_alone(postgres: Postgres, run: Runner) -> None:
    postgres.session = SESSION | {"victims": 0}
    assert (run("database_session", **TERMINATE)["outcome"], postgres.signals) == ("noop", [])


def test_a_slot_that_feeds_something_is_kept(instance: DatabaseWorld, postgres: Postgres, run: Runner) -> None:
    run.database["slots"] = ["old_reporting"]
    assert "is one of database.slots" in run("database_slot", slot="old_reporting")["msg"]
    run.database["slots"] = []
    change = run.change("database_slot", {"slot": "rds_af_south_1_db_abc"})
    inactive = {"slot": "inactive", "context": SLOT | {"replicas": ["emr-dr"]}}
    assert "is of a read replica of RDS (emr-dr)" in change.refusals(inactive)[0]
    assert change.refusals({"slot": "inactive", "context": SLOT | {"replicas": []}}) == []
    assert sent(instance, postgres) == []


@pytest.mark.parametrize("status", ["available", "storage-full"])
def test_storage_grows_in_both_states(status: str, instance: DatabaseWorld, run: Runner) -> None:
    instance.instance["DBInstanceStatus"] = status
    instance.say("Finished applying modification to allocated storage", ago(hours=6, minutes=1))
    instance.say("The allocated storage for the DB instance has been exhausted.")
    assert run("database_storage", allocated_gib_before=100, grow_percent=15)["outcome"] == "ok"
    assert instance.mutations[0][1]["AllocatedStorage"] == 115


def test_storage_is_rounded_up_and_never_by_less_than_rds_takes(instance: DatabaseWorld, run: Runner) -> None:
    instance.instance["AllocatedStorage"] = 101
    plan = run("database_storage", check=True, allocated_gib_before=101, grow_percent=10)
    assert (plan["outcome"], plan["diff"]["after"]) == ("planned", {"gib": 112})
    for percent in (9, 51):
        result = run("database_storage", allocated_gib_before=101, grow_percent=percent)
        assert "set grow_percent" in result["msg"]
