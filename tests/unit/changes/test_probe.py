"""A step whose end nobody saw is judged by its line alone: done where it was done, and never where it was not."""

from __future__ import annotations

import json

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change
from ansible_collections.daily_emr.ops.plugins.module_utils._step_lines import Line, Probed, kept_args
from ansible_collections.daily_emr.ops.plugins.module_utils._steps import (
    change_of,
    observed,
    plain,
    probe,
    still_as_left,
)

from .conftest import Runner, Serve
from .test_every_change import CASES, Case
from .world import World


def as_journalled(change: Change) -> Line:
    """The line of an intent, as another machine reads it."""
    before = change.observe()
    line = {
        "kind": "intent",
        "module": change.name,
        "args": kept_args(change.spec, change.params),
        "target": change.target,
        "diff": {"before": plain(before), "after": plain(change.wanted(before))},
        "traces": change.traces(before),
    }
    found: Line = json.loads(json.dumps(line, default=str))
    return found


@pytest.fixture(params=CASES, ids=lambda case: case.module)
def case(request: pytest.FixtureRequest, world: World, run: Runner, serve: Serve) -> Case:
    found: Case = request.param
    found.prepare(world, serve)
    run.service["port"] = serve.port or 8080
    return found


def test_done_and_not_done_are_told_apart_by_the_line_alone(case: Case, world: World, run: Runner) -> None:
    line = as_journalled(run.change(case.module, case.args))

    def judged() -> Probed:
        places = {"service": [run.service]}
        clients = run.change(case.module, case.args).clients
        change = change_of(line["module"], line["args"], places, clients, None)
        return probe(change, line, observed(change, line["target"]))

    assert judged() is Probed.NOT_DONE
    assert world.mutations == []
    result = run(case.module, **case.args)
    assert result["outcome"] == "ok", result["msg"]
    assert judged() is Probed.DONE
    assert len(world.mutations) == 1


def test_what_a_step_left_is_known_again_and_what_was_before_is_not(case: Case, run: Runner) -> None:
    change = run.change(case.module, case.args)
    line = as_journalled(change)
    assert not still_as_left(change, line, change.observe())
    result = run(case.module, **case.args)
    left = {**line, "diff": json.loads(json.dumps(result["diff"], default=str))}
    fresh = run.change(case.module, case.args)
    assert still_as_left(fresh, left, fresh.observe())
