"""Steps taken back to the state before, with the undo killed before or after its call and then continued.

In a small account in memory, and with the real changes of a web service; the account's own list of calls is the witness
that nothing was sent twice. Whole runs against the sandbox are in tests/integration/test_resume.py.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import botocore.session
from ansible_collections.daily_emr.ops.plugins.module_utils import _clients, _undo
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change, State
from ansible_collections.daily_emr.ops.plugins.module_utils._contract import PLANNED_WORK
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._steps import (
    change_class,
    change_of,
    observed,
    plain,
    probe,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._undo import Undoing, plan, verified

from tests.chaos.rows import Row
from tests.unit.changes.conftest import Runner, Serve
from tests.unit.changes.test_every_change import CASES, Case, settle
from tests.unit.changes.world import Wire, World

# Those of the small account that can be taken back; what nothing takes back is for undo to name, not to do.
REVERSIBLE = ("ecs_service_scaling", "waf_rule", "waf_rate_rule", "zonal_shift", "listener_weights")
MOMENTS = ("before the call", "after the call", "never")
RUNS = {"ci": 15, "long": 300}


class Died(BaseException):
    """The process ended here: nothing behind it was done."""


class Try:
    """One incident of one step in an account of its own, and what takes it back."""

    def __init__(self, case: Case, wire: Wire, folder: Path) -> None:
        self.case, self.world = case, World()
        wire.world = self.world
        self.serve = Serve()
        self.runner = Runner(self.world, folder)
        case.prepare(self.world, self.serve)
        self.session = Session("INC-1", "r1", folder / "INC-1" / "r1", "emr-web", 1, "someone@here", 600, PLANNED_WORK)
        Journal.of(self.session).create()
        about = {"runbook": "app_outage", "environment": "sandbox", "mode": "run", "resumable": True, "fence_seen": 0}
        Journal.of(self.session).append("opened", **about)

    def change(self) -> Change:
        return self.runner.change(self.case.module, self.case.args)

    def state(self) -> State:
        return plain(self.change().observe())

    def do(self) -> None:
        change = self.change()
        result = _undo.execute_change(change, change.clients, self.session, check_mode=False)
        if result["outcome"] != "ok":
            raise AssertionError(result["msg"])
        settle(self.world)

    def next_run(self, number: int) -> Undoing:
        """A run of the undo, which looks first at what the one before it left in doubt."""
        run = f"u{number}"
        place = self.session.folder.parent / run
        session = Session("INC-1", run, place, "emr-web", 1 + number, "someone@here", 600, PLANNED_WORK)
        journal = Journal.of(session)
        journal.create()
        journal.append("opened", runbook="undo", mode="run", resumable=True, fence_seen=number)
        made = Undoing(self.change().clients, session, {"service": [self.runner.service]})
        for line in made.steps().in_doubt:
            change = change_of(line["module"], line["args"], made.components, made.clients, session.as_params())
            word = probe(change, line, observed(change, line["target"]))
            facts = {name: line[name] for name in ("step", "target", "diff", "undo_of")}
            journal.append("probed", word=str(word), of={"run": line["run"], "seq": line["seq"]}, **facts)
        return made


@contextmanager
def _account() -> Iterator[Wire]:
    wire = Wire(botocore.session.Session())

    def nothing(_world: World, _params: Any) -> dict[str, Any]:
        return {"Items": []}

    with ExitStack() as stack:
        stack.enter_context(patch.object(_clients, "session", lambda: wire.session))
        stack.enter_context(patch.object(World, "dynamodb_Query", nothing, create=True))
        yield wire


def dying(made: Undoing, moment: str) -> Any:
    """The apply of the inverse, which dies at a moment."""
    kind = change_class(made.steps().standing[-1]["undo"]["module"])
    apply = kind.apply

    def dies(self: Change, before: State) -> None:
        if moment == "after the call":
            apply(self, before)
        raise Died

    return patch.object(kind, "apply", dies)


def faults_of(case: Case, wire: Wire, folder: Path, moment: str) -> list[str]:
    """What went wrong when a step was taken back by an undo that was killed at a moment, and then continued."""
    one = Try(case, wire, folder)
    before = one.state()
    one.do()
    sent = len(one.world.mutations)
    first = one.next_run(1)
    (step,) = plan(first)["steps"]
    if moment != "never":
        with dying(first, moment):
            try:
                first.undo(step["run"], step["seq"], check_mode=False)
            except Died:
                settle(one.world)
    second = one.next_run(2)
    for left in plan(second)["steps"]:
        result = second.undo(left["run"], left["seq"], check_mode=False)
        if result["outcome"] not in ("ok", "noop"):
            return [f"{case.module}, killed {moment}: {result['outcome']}"]
    settle(one.world)
    found = []
    if one.state() != before:
        found.append(f"{case.module}, killed {moment}: not as it was")
    if (count := len(one.world.mutations) - sent) != 1:
        found.append(f"{case.module}, killed {moment}: {count} calls")
    if verified(second)["verified"] is not True:
        found.append(f"{case.module}, killed {moment}: not verified")
    return found


def overwritten(wire: Wire, folder: Path) -> bool:
    """Whether an undo changes a scaling minimum that somebody has set to another value since."""
    one = Try(next(case for case in CASES if case.module == "ecs_service_scaling"), wire, folder)
    one.do()
    one.world.minimum += 1
    sent = len(one.world.mutations)
    made = one.next_run(1)
    (step,) = plan(made)["steps"]
    made.undo(step["run"], step["seq"], check_mode=False)
    return len(one.world.mutations) > sent


def line(seed: int, size: Literal["ci", "long"], say: Callable[[str], None]) -> Iterable[Row]:
    """One row: undone to the state before, one call each, however it was killed."""
    began = time.monotonic()
    chance = random.Random(seed)
    cases = [case for case in CASES if case.module in REVERSIBLE]
    faults: list[str] = []
    with _account() as wire, tempfile.TemporaryDirectory() as top:
        for number in range(RUNS[size]):
            case, moment = cases[number % len(cases)], chance.choice(MOMENTS)
            folder = _made(Path(top) / str(number))
            faults += [f"seed {seed}, run {number}: {fault}" for fault in faults_of(case, wire, folder, moment)]
        say("Undo: the control, without the guard that the state is still what the step left.")
        if overwritten(wire, _made(Path(top) / "guarded")):
            faults.append("what somebody had changed since was overwritten")
        with patch.object(_undo, "still_as_left", lambda *_any: True):
            fooled = overwritten(wire, _made(Path(top) / "control"))
    control = "what somebody had changed since was overwritten" if fooled else ""
    yield Row("undo, killed and continued", RUNS[size], tuple(faults), control, time.monotonic() - began)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
