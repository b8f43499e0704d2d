"""Waiting for the end of a failover: by what RDS says, which node answers, and writes that are acknowledged."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context
from ansible_collections.daily_emr.ops.plugins.modules import database_settled

from .conftest import Runner
from .database import ABANDONED, COMPLETED, FIRST, SECOND, STARTED, DatabaseWorld, Postgres
from .world import Json, ago


class Waiting:
    """The wait, with a clock that only goes on when it sleeps, and things that happen at a time."""

    def __init__(self, run: Runner) -> None:
        self.run, self.now = run, 0.0
        self.slept: list[float] = []
        self.said: list[str] = []
        self.coming: list[tuple[float, Callable[[], object]]] = []
        self.journal: Journal | None = None

    def at(self, seconds: float, happens: Callable[[], object]) -> None:
        self.coming.append((seconds, happens))

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        for due in [item for item in self.coming if item[0] <= self.now]:
            self.coming.remove(due)
            due[1]()

    def __call__(self, *, check: bool = False, **args: Any) -> Json:
        session = {"id": "INC-1", "run": "r1", "folder": str(self.run.folder), "component": "emr-db"}
        options = {"database": self.run.database, "environment": self.run.environment, "incident": session}
        options |= {"since": ago(minutes=1).isoformat(), "timeout": 600, "failover": True} | args
        entry = importlib.import_module(database_settled.__name__).ENTRY
        checked = ArgumentSpecValidator(entry.argument_spec).validate(options)
        assert not checked.error_messages, checked.error_messages
        opened = Session.from_params(session)
        assert opened
        self.journal = Journal.of(opened)
        result: Json = entry.run(checked.validated_parameters, Context(check_mode=check, progress=self.said.append))
        return result

    @property
    def last_line(self) -> Json:
        assert self.journal
        return dict(self.journal.read()[-1])


@pytest.fixture
def wait(run: Runner, instance: DatabaseWorld, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Waiting:  # noqa: ARG001  # both are needed
    made = Waiting(run)
    monkeypatch.setattr(database_settled, "monotonic", lambda: made.now)
    monkeypatch.setattr(database_settled, "sleep", made.sleep)
    return made


def test_a_failover_is_followed_to_its_end(wait: Waiting, instance: DatabaseWorld, postgres: Postgres) -> None:
    instance.instance["DBInstanceStatus"] = "rebooting"
    wait.at(5, lambda: instance.say(STARTED))
    wait.at(5, lambda: setattr(postgres, "down", "connection refused"))
    wait.at(45, lambda: (setattr(postgres, "down", ""), postgres.node.update(address=SECOND)))
    wait.at(60, lambda: instance.say(COMPLETED))
    wait.at(60, lambda: instance.instance.update(DBInstanceStatus="available"))

    result = wait(node_before=FIRST)

    assert (result["outcome"], result["settled"], result["changed"]) == ("ok", True, False), result["msg"]
    assert (result["seconds"], result["seconds_to_writable"], result["node"]) == (70.0, 45.0, SECOND)
    assert [event["kind"] for event in result["events"]] == ["started", "completed"]
    assert (result["step"], result["diff"], result["abandoned"]) == ("await_failover", {}, False)
    said = [text for text in wait.said if text]
    for words in ("a failover was started", f"The node {SECOND} answers", "has written", "a failover was completed"):
        assert sum(words in text for text in said) == 1, said
    assert instance.mutations == []
    assert set(wait.slept) == {5.0}


def test_it_is_a_step_of_the_record(wait: Waiting) -> None:
    wait(failover=False)
    line = wait.last_line
    assert (line["kind"], line["step"], line["outcome"]) == ("outcome", "await_availability", "ok")


def test_in_check_mode_it_does_not_wait(wait: Waiting, postgres: Postgres) -> None:
    result = wait(check=True)
    assert (result["outcome"], result["settled"], result["changed"], wait.slept) == ("planned", False, False, [])
    assert postgres.connections == 0
    assert wait.last_line["outcome"] == "planned"


def test_three_writes_in_a_row_each_in_its_own_connection(wait: Waiting, postgres: Postgres) -> None:
    wait.at(10, lambda: setattr(postgres, "down", "connection refused"))
    wait.at(15, lambda: setattr(postgres, "down", ""))
    result = wait(failover=False)
    assert (result["settled"], result["seconds"], result["seconds_to_writable"]) == (True, 25.0, 15.0)
    assert postgres.connections == 6


def test_the_end_of_an_older_failover_is_not_the_end_of_this_one(wait: Waiting, instance: DatabaseWorld) -> None:
    instance.say(COMPLETED, ago(minutes=5))
    result = wait(timeout=60)
    assert (result["failed"], result["outcome"], result["settled"]) == (True, "failed", False)
    assert "RDS has not said that a failover began" in result["msg"]
    assert result["seconds_to_writable"] is None, "the old primary took the writes"


def started(instance: DatabaseWorld, _postgres: Postgres) -> None:
    instance.events = [(ago(seconds=1), STARTED)]


def refusing(_instance: DatabaseWorld, postgres: Postgres) -> None:
    postgres.down = "connection refused"


def unavailable(instance: DatabaseWorld, _postgres: Postgres) -> None:
    instance.instance["DBInstanceStatus"] = "storage-full"


def unread_events(instance: DatabaseWorld, _postgres: Postgres) -> None:
    instance.broken.add("DescribeEvents")


def same_node(_instance: DatabaseWorld, postgres: Postgres) -> None:
    postgres.node["address"] = FIRST


MISSING: dict[str, tuple[Callable[[DatabaseWorld, Postgres], object], str]] = {
    "begun, not over": (started, "RDS has not said that the failover is over"),
    "nobody answers": (refusing, "a new connection could not write"),
    "not available": (unavailable, "the instance is storage-full"),
    "events unread": (unread_events, "could not read the events"),
    "the same node": (same_node, f"the node is still {FIRST}"),
}


@pytest.mark.parametrize("name", MISSING)
def test_time_up_names_what_is_missing(name: str, wait: Waiting, instance: DatabaseWorld, postgres: Postgres) -> None:
    instance.say(STARTED, ago(seconds=2))
    instance.say(COMPLETED, ago(seconds=1))
    postgres.node["address"] = SECOND
    assert wait(node_before=FIRST)["settled"], "the control"
    break_, words = MISSING[name]
    break_(instance, postgres)
    wait.slept.clear()
    result = wait(node_before=FIRST, timeout=60)
    assert (result["failed"], result["settled"], result["abandoned"]) == (True, False, False)
    assert words in result["msg"]
    assert sum(wait.slept) == pytest.approx(60)
    assert wait.last_line["outcome"] == "failed"


def test_an_abandoned_failover_ends_the_wait_at_once(wait: Waiting, instance: DatabaseWorld) -> None:
    wait.at(5, lambda: instance.say(ABANDONED))
    result = wait(node_before=FIRST)
    assert (result["failed"], result["abandoned"], result["seconds"]) == (True, True, 5.0)
    assert "RDS abandoned the failover" in result["msg"]


def test_a_failover_that_runs_is_not_ended_by_a_request_that_was_abandoned(
    wait: Waiting, instance: DatabaseWorld
) -> None:
    instance.say(STARTED)
    wait.at(5, lambda: instance.say(ABANDONED))
    wait.at(30, lambda: instance.say(COMPLETED))
    assert wait()["settled"]


def test_the_pace_is_that_of_aws_but_no_faster_than_four_looks_a_second(wait: Waiting) -> None:
    wait.run.environment |= {"time_factor": 60.0}
    result = wait(timeout=60)
    assert result["settled"] is False
    assert (set(wait.slept), sum(wait.slept)) == ({0.25}, pytest.approx(1.0))
