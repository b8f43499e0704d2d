"""Changes of workers and of dead letters: check, apply, check again, apply again, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.unit.changes.world import Json, P, ago
from tests.unit.queue.conftest import QueueRunner, QueueWorld, Valkey, add


@dataclass
class Case:
    """A world in which one change is due."""

    module: str
    operation: str
    args: Json
    before: Json
    after: Json
    world: Json = field(default_factory=dict)
    queue: Json = field(default_factory=dict)


EXPORTS = {"component": "exports", "name": f"{P}-exports", "kind": "sqs", "dead_letters": f"{P}-exports-dead-letters"}
EXPORTS |= {"worker_expected": 1, "provider_rate": 0}
COUNT = Case("queue_worker_count", "UpdateService", {"at_least": 2}, {"workers": 0}, {"workers": 2})
COUNT.world = {"desired": 0, "tasks": []}
RECYCLE = Case(
    "queue_worker_tasks",
    "UpdateService",
    {"started_after": f"{ago(minutes=5).isoformat()}"},
    {"running": 2, "to_replace": ["a", "b"]},
    {"running": 2, "to_replace": []},
)
MOVE = Case(
    "sqs_move_task",
    "StartMessageMoveTask",
    {"rate": 5},
    {"state": "waiting", "tasks": 0},
    {"state": "moving", "tasks": 1},
    queue=EXPORTS,
)
FLOW = {"depth": 9, "arrivals": 16.0, "completions": 10.0, "workers": 2}
SCALED = Case("queue_worker_count", "RegisterScalableTarget", {"at_least": 4}, {"workers": 2}, {"workers": 4})
SCALED.world = {"scaled": True}
SCALED.args["flow"] = FLOW
CASES = {"count": COUNT, "scaled": SCALED, "recycle": RECYCLE, "move": MOVE}


def prepare(case: Case, queues: QueueWorld, run: QueueRunner, redis: Valkey) -> None:
    redis.jobs(5, add(3))
    for attribute, value in case.world.items():
        setattr(queues, attribute, value)
    run.queue |= case.queue


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, queues: QueueWorld, run: QueueRunner, redis: Valkey) -> Case:
    found: Case = CASES[request.param]
    prepare(found, queues, run, redis)
    return found


def arrived(queues: QueueWorld) -> list[str]:
    return [operation for operation, _params in queues.mutations]


def test_check_apply_check_apply(case: Case, queues: QueueWorld, run: QueueRunner) -> None:
    plan = run(case.module, check=True, **case.args)
    assert (plan["outcome"], plan["changed"], plan["refusals"]) == ("planned", True, []), plan["msg"]
    assert (plan["diff"]["before"], plan["diff"]["after"]) == (case.before, case.after)
    assert plan["prediction"][1].startswith("Depth: ")
    assert arrived(queues) == []

    done = run(case.module, **case.args)
    assert (done["outcome"], done["changed"]) == ("ok", True), done["msg"]
    assert arrived(queues) == [case.operation]

    for check in (True, False):
        again = run(case.module, check=check, **case.args)
        assert (again["outcome"], again["changed"]) == ("noop", False), again["msg"]
    assert arrived(queues) == [case.operation]


@pytest.mark.parametrize(("lost", "outcome"), [("after", "ok"), ("before", "unknown")])
def test_a_lost_reply(case: Case, lost: str, outcome: str, queues: QueueWorld, run: QueueRunner) -> None:
    queues.lose[case.operation] = lost
    result = run(case.module, **case.args)
    assert (result["outcome"], arrived(queues)) == (outcome, [case.operation]), result["msg"]


def test_the_undo_undoes(case: Case, queues: QueueWorld, run: QueueRunner) -> None:
    undo = run(case.module, **case.args)["undo"]
    if isinstance(undo, str):
        assert undo.startswith("Nothing to undo")
        return
    args = {name: value for name, value in undo["args"].items() if name != "queue"}
    result = run(undo["module"].removeprefix("daily_emr.ops."), **args)
    assert result["outcome"] == "ok", result["msg"]
    assert len(arrived(queues)) == 2


@dataclass
class Refusal:
    """What keeps a change that is otherwise due from being made, and words of the sentence."""

    case: Case
    words: str
    world: Json = field(default_factory=dict)
    queue: Json = field(default_factory=dict)
    args: Json = field(default_factory=dict)


def metrics(**values: float) -> Json:
    return {"metrics": {"CPUUtilization": 20.0, "DatabaseConnections": 14.0, **values}}


FAST, SLOW = {**FLOW, "completions": 25.0}, {**FLOW, "depth": 250, "completions": 2.0}
REFUSALS = {
    "no connections left": Refusal(COUNT, "has 1 to give", metrics(DatabaseConnections=39.0)),
    "connections at the limit": Refusal(COUNT, "free connections first", metrics(DatabaseConnections=41.0)),
    "database busy": Refusal(COUNT, "CPU of the database is at 71 %", metrics(CPUUtilization=71.0)),
    "database down": Refusal(COUNT, "The database is rebooting", {"database": {"status": "rebooting"}}),
    "database unreadable": Refusal(COUNT, "Unknown is never ok", {"broken": {"GetMetricData"}}),
    "connections unreadable": Refusal(COUNT, "Unknown is never ok", {"broken": {"DescribeDBParameters"}}),
    "more than allowed": Refusal(COUNT, "more than the 6", args={"at_least": 7}),
    "too much for the provider": Refusal(COUNT, "accepts 40", args={"at_least": 4, "flow": FAST}),
    "nobody knows what they do": Refusal(
        SCALED, "at most 2, the usual ones", args={"flow": {**FLOW, "completions": None}}
    ),
    "nobody knows how many they are": Refusal(SCALED, "at most 2, the usual ones", args={"flow": {}}),
    "nobody knows, and no limit": Refusal(
        SCALED, "at most 2, the usual ones", queue={"provider_rate": 0}, args={"flow": {}}
    ),
    "waiting for what they call": Refusal(COUNT, "do 20% of what they usually do", args={"at_least": 4, "flow": SLOW}),
    "maintenance": Refusal(COUNT, "planned maintenance", {"service_tags": {"maintenance": "INC-9"}}),
    "above the scaling maximum": Refusal(SCALED, "raise the maximum first", {"maximum": 3}),
    "to nothing": Refusal(SCALED, "ask for at least 1", args={"at_least": 0, "lower": True}),
    "not twice": Refusal(RECYCLE, "may not run twice", queue={"idempotent": False}),
    "long jobs": Refusal(RECYCLE, "a task has 120 s to end", args={"longest_job_s": 121}),
    "failing over": Refusal(RECYCLE, "wait until it is available", {"group_status": "modifying"}),
    "group unreadable": Refusal(RECYCLE, "Unknown is never ok", {"broken": {"DescribeReplicationGroups"}}),
    "no connections for both": Refusal(
        RECYCLE, "has 3 to give (37 of 40 in use): at most 3 fit", metrics(DatabaseConnections=37.0)
    ),
    "recycled with connections at the limit": Refusal(
        RECYCLE, "free connections first", metrics(DatabaseConnections=41.0)
    ),
    "recycled at a busy database": Refusal(RECYCLE, "CPU of the database is at 71 %", metrics(CPUUtilization=71.0)),
    "recycled at a database that is down": Refusal(
        RECYCLE, "The database is rebooting", {"database": {"status": "rebooting"}}
    ),
    "recycled with connections unreadable": Refusal(
        RECYCLE, "Unknown is never ok", {"broken": {"DescribeDBParameters"}}
    ),
    "capacity would drop": Refusal(RECYCLE, "set it to 100 first", {"configuration": {"minimumHealthyPercent": 50}}),
    "no room beside the old ones": Refusal(RECYCLE, "set it to 200 first", {"configuration": {"maximumPercent": 100}}),
    "in the future": Refusal(RECYCLE, "in the future", args={"started_after": ago(days=-1).isoformat()}),
    "nobody there": Refusal(RECYCLE, "bring the count back first", {"tasks": []}),
    "no rate": Refusal(MOVE, "it is never left out", args={"rate": 0}),
    "too fast for SQS": Refusal(MOVE, "set 1 to 500", args={"rate": 501}),
    "too fast for the provider": Refusal(MOVE, "accepts 4 messages", queue={"provider_rate": 4}),
    "no worker": Refusal(MOVE, "bring the workers back", {"tasks": []}),
    "dead letters of nobody": Refusal(MOVE, "name the dead-letter queue of its redrive policy", {"redrives": None}),
    "dead letters of another": Refusal(
        MOVE, "name the dead-letter queue of its redrive policy", {"redrives": f"{P}-reports-dead-letters"}
    ),
    "messages not twice": Refusal(MOVE, "may not run twice", queue={"idempotent": False}),
    "already moving, faster": Refusal(
        MOVE,
        "already runs",
        {"moves": [{"Status": "RUNNING", "TaskHandle": "h", "MaxNumberOfMessagesPerSecond": 500}]},
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused(name: str, queues: QueueWorld, run: QueueRunner, redis: Valkey) -> None:
    refusal = REFUSALS[name]
    prepare(refusal.case, queues, run, redis)
    control = run(refusal.case.module, check=True, **refusal.case.args)
    assert control["outcome"] == "planned", control["msg"]
    for attribute, value in refusal.world.items():
        known = getattr(queues, attribute)
        setattr(queues, attribute, known | value if isinstance(known, (dict, set)) else value)
    run.queue |= refusal.queue
    result = run(refusal.case.module, **{**refusal.case.args, **refusal.args})
    assert result["outcome"] == "refused", result["msg"]
    assert refusal.words in " ".join(result["refusals"]), result["refusals"]
    assert arrived(queues) == []


def test_workers_that_were_just_replaced_are_not_replaced_again(
    queues: QueueWorld, run: QueueRunner, redis: Valkey
) -> None:
    prepare(RECYCLE, queues, run, redis)
    queues.deployed(2, ago(minutes=6), source=2)
    later = {"started_after": ago(minutes=1).isoformat()}
    result = run("queue_worker_tasks", **later)
    assert result["outcome"] == "refused"
    assert "were replaced" in result["msg"]
    assert arrived(queues) == []
    # The control: nothing else is in the way.
    assert run("queue_worker_tasks", **later, cooldown_s=300)["outcome"] == "ok"


def test_workers_that_are_replaced_are_told_by_what_both_need(
    queues: QueueWorld, run: QueueRunner, redis: Valkey
) -> None:
    """Twice as many for a while, unless the service starts fewer new ones at a time."""
    prepare(RECYCLE, queues, run, redis)
    told = [run("queue_worker_tasks", check=True, **RECYCLE.args)["prediction"][-1]]
    queues.configuration["maximumPercent"] = 150
    told.append(run("queue_worker_tasks", check=True, **RECYCLE.args)["prediction"][-1])
    beside = "Connections of the database while both are there"
    assert told == [f"{beside}: 18, instead of 14.", f"{beside}: 16, instead of 14."]
    # With one new worker at a time, two connections are enough.
    queues.metrics["DatabaseConnections"] = 38.0
    assert run("queue_worker_tasks", **RECYCLE.args)["outcome"] == "ok"


@pytest.mark.parametrize(("reconciled", "outcome"), [(False, "refused"), (True, "ok")])
def test_messages_that_may_not_be_worked_at_twice_are_moved_when_they_are_reconciled(
    reconciled: bool, outcome: str, queues: QueueWorld, run: QueueRunner, redis: Valkey
) -> None:
    prepare(MOVE, queues, run, redis)
    run.queue["idempotent"] = False
    assert run("sqs_move_task", **MOVE.args, reconciled=reconciled)["outcome"] == outcome


def test_more_workers_are_told_by_what_they_cost(queues: QueueWorld, run: QueueRunner, redis: Valkey) -> None:
    prepare(Case("", "", {}, {}, {}), queues, run, redis)
    flow: dict[str, Any] = {"depth": 250, "arrivals": 16.0, "completions": 10.0, "workers": 2}
    plan = run("queue_worker_count", check=True, at_least=4, flow={**flow, "connections": 14, "usable_connections": 40})
    assert plan["prediction"] == [
        "2 workers now, 4 after it.",
        "Depth: 250 jobs; arrivals: 16.0/s; completions: 10.0/s now, 20.0/s after it.",
        "Drain time: never now, 62 s after it.",
        "Connections of the database: 14 now, 18 after it, of 40 that may be used.",
        "Rate at the provider: 10.0/s now, 20.0/s after it, of 40/s that the provider accepts.",
    ]


def test_a_queue_of_another_kind_has_no_such_switch(run: QueueRunner, redis: Valkey) -> None:
    redis.jobs(5, add(1))
    assert "no dead-letter queue" in run("sqs_move_task", rate=5)["msg"]
    run.queue |= EXPORTS
    assert "has no such switch" in run("queue_state", state="running")["msg"]
