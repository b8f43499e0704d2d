"""Runs are killed and stopped at numbered points and at random times, and finished by another run.

Two sizes of point. A whole run is the command with everything below it, and a signal to one of its processes. A step
is the change of that run made alone in a process of its own, with the same options against the same sandbox, and killed
within its few calls, where a whole run would spend its time on everything else.

What counts is the sandbox's call log, the live state of the target, and the processes of the machine.
"""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import psutil
from ansible_collections.daily_emr.ops.plugins.module_utils import _changes
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._contract import PLANNED_WORK
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import Lease, LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

from daily_emr_runbooks.outcome import WORST_FIRST
from daily_emr_runbooks.record import RunFolder
from daily_emr_runbooks.supervisor import in_flight
from tests.chaos.command import UNSUPERVISED
from tests.chaos.crash.points import VARIABLE, Points
from tests.chaos.rows import Row
from tests.chaos.scenes import SANDBOXES, Scene, Step, more, sandbox_with, sent
from tests.integration.conftest import ROOT, Operator, Witness
from tests.integration.modules import PREFIX

Say = Callable[[str], None]
PATIENT_S = 240.0
# Whom a signal is sent to, in a whole run.
STRIKES = (
    ("SIGKILL", "worker"),
    ("SIGKILL", "playbook"),
    ("SIGKILL", "command"),
    ("SIGINT", "command"),
    ("SIGTERM", "command"),
    ("SIGHUP", "command"),
)
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
# The shortest lease: a run that was killed leaves it, and the next one watches it for its whole length.
LEASE_S = 30
DONE = ("succeeded", "noop")
TAKE_OVER = "chaos"
LATER = re.compile(r"request (3 before its reply|[4-9]|\d\d)")
"""What a fresh read needs of requests differs from one time to the next; its first one is always sent."""
CONTROLLED = "app_outage"
"""The runbook with which the supervisor is taken away: it is the same for all."""


@dataclass(frozen=True)
class Size:
    whole: int
    """Whole runs that are interrupted, for each runbook."""
    steps: int
    """Steps that are interrupted at a point, for each runbook."""
    timed: int
    """Steps that are killed at a random time, for each runbook."""


SIZES = {"ci": Size(1, 9, 2), "long": Size(30, 44, 20)}


def line(seed: int, size: Literal["ci", "long"], say: Say) -> Iterable[Row]:
    """The rows of this line. A seed gives the same points, signals and times again."""
    for parts, scenes in SANDBOXES.items():
        with tempfile.TemporaryDirectory(prefix="kill-points-") as place, sandbox_with(parts, Path(place)) as box:
            for scene in scenes:
                say(f"kill points: {scene.runbook}, {scene.fault}")
                yield from Trial(box, scene, Path(place), random.Random(f"{seed} {scene.runbook}"), say).rows(
                    SIZES[size]
                )


@dataclass
class Ended:
    """What a command left behind."""

    output: str
    seconds: float
    fired: bool
    calls: Counter[str]
    later: Counter[str]
    """What was called after the command had said its last word."""
    left: list[int]
    """Processes that still live when they have had time to end."""

    @property
    def outcome(self) -> str:
        found = [word for word in re.findall(r"^(\w+): ", self.output, re.MULTILINE) if word in WORST_FIRST]
        return found[-1] if found else ""


class Trial:
    """One scene in a sandbox that is up."""

    def __init__(self, box: Sandbox, scene: Scene, place: Path, chance: random.Random, say: Say) -> None:
        self.box, self.scene, self.place, self.chance, self.say = box, scene, place / scene.runbook, chance, say
        self.place.mkdir()
        self.operator = Operator(box, self.place / "runs", scene.runbook)
        self.operator.limit = scene.limit
        self.number = 0

    def rows(self, size: Size) -> Iterator[Row]:
        began = time.monotonic()
        self._anew()
        # It ends behind its first step, whose options and points are what is needed; a rehearsal of a stop besides.
        short = self.run({"at": "outcome on the disk", "signal": "SIGINT", "target": "command"})
        kept = self.place / str(self.number)
        if short.outcome != "failed_partial" or not short.fired or short.left or short.later:
            said = f"a run that was stopped behind its first step ended as {short.outcome}: {short.output[-400:]}"
            yield Row(f"{self.scene.runbook}: {self.scene.step} alone", 1, (said,), "-", time.monotonic() - began)
            return
        self.allowed = short.calls
        self.step = Step.kept_in(kept / "changes", self.scene.step)
        self.wanted = self.step.state()
        yield self._steps(list(dict.fromkeys((kept / "points").read_text().splitlines())), size)
        yield self._whole(size)

    def _anew(self) -> None:
        """Broken, and nobody works on it: a run that found it healthy again took over no lease of a killed one."""
        free_leases(self.box)
        self.scene.break_(self.box)

    # -- whole runs ----------------------------------------------------------------------------------------------

    def run(self, plan: dict[str, Any], *extra: str, unsupervised: bool = False) -> Ended:
        """The command, to its end, with a point at which it is struck."""
        self.number += 1
        mine = self.place / str(self.number)
        mine.mkdir()
        files = {name: str(mine / name) for name in ("points", "changes", "fired")}
        environment = self.operator.environ(
            **{VARIABLE: json.dumps(files | plan), "PYTHONPATH": f"{ROOT}:{ROOT / 'collections'}"},
            **({UNSUPERVISED: "yes"} if unsupervised else {}),
        )
        command = [sys.executable, "-m", "tests.chaos.command", "run", self.scene.runbook, "--environment", "sandbox"]
        options = [*self.operator._options("--input"), "--input", f"incident_lease_seconds={LEASE_S}", *extra]
        witness, began = Witness(self.box), time.monotonic()
        done = subprocess.run(
            [*command, *options],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        calls, seconds = sent(witness), time.monotonic() - began
        mark = str(mine)
        if done.returncode == -signal.SIGKILL:  # nobody is left to wait for the rest; it has to end by itself
            wait_until(lambda: not living(mark), "the rest of a killed command ends", PATIENT_S)
        left = living(mark)
        if unsupervised:
            wait_until(lambda: not living(mark), "the rest of an unsupervised command ends", PATIENT_S)
        return Ended(
            done.stdout,
            seconds,
            Path(files["fired"]).exists(),
            calls,
            sent(witness) - calls,
            left,
        )

    def _whole(self, size: Size) -> Row:
        name, began = f"{self.scene.runbook}: whole runs", time.monotonic()
        self._anew()
        whole = self.run({})
        if whole.outcome != "succeeded":
            said = f"an uninterrupted run ended as {whole.outcome}: {whole.output[-400:]}"
            return Row(name, 1, (said,), "-", time.monotonic() - began)
        self.allowed, self.wanted = whole.calls, self.step.state()
        points = list(dict.fromkeys((self.place / str(self.number) / "points").read_text().splitlines()))
        faults: list[str] = []
        for _ in range(size.whole):
            signal_, target = STRIKES[self.chance.randrange(len(STRIKES))]
            at = self.chance.choice(points)
            faults += [
                f"{signal_} to the {target} at {at!r}: {fault}" for fault in self._interrupted(at, signal_, target)
            ]
        control = self._control()
        return Row(name, size.whole, tuple(faults), control, time.monotonic() - began)

    def _interrupted(self, at: str, signal_: str, target: str) -> Iterator[str]:
        """Strike one run, finish it by another, and say what is not as after an uninterrupted one."""
        self._anew()
        witness, before = Witness(self.box), set(self.operator.runs.glob("INC-*"))
        first = self.run({"at": at, "signal": signal_, "target": target})
        self.say(f"  {signal_} to the {target} at {at!r}: {first.outcome or 'killed'}, {first.seconds:.0f} s")
        if not first.fired:
            yield "the point was not reached"
        if first.left:
            yield f"processes {first.left} are left"
        if first.later and (signal_, target) != ("SIGKILL", "command"):  # that one says nothing that could be broken
            yield f"{dict(first.later)} after the final status line"
        opened = [path.name for path in self.operator.runs.glob("INC-*") if path not in before]
        # A run that had said its last word was finished; whoever runs the runbook again may be told what is left for
        # people to do, as with claims that are held while the payer rejects them.
        good = (*DONE, "refused") if self._finished(opened) else DONE
        ended = first
        for _ in range(3):
            if ended.outcome in good:
                break
            again = [part for incident in opened for part in ("--input", f"incident_id={incident}")]
            ended = self.run({}, *again, "--input", f"incident_take_over={TAKE_OVER}")
            self.say(f"    again: {ended.outcome}, {ended.seconds:.0f} s")
        if ended.outcome not in good:
            yield f"it could not be finished: {ended.outcome}: {ended.output[-300:]}"
        if twice := more(sent(witness), self.allowed):
            yield f"sent more often than by an uninterrupted run: {twice}"
        if (state := self.step.state()) != self.wanted:
            yield f"the target is {state}, and not {self.wanted}"

    def _finished(self, incidents: Iterable[str]) -> bool:
        """Whether a run of these incidents has reached its goal and says so on the disk."""
        ends = (
            Journal(path.parent, "", "").read()[-1]
            for incident in incidents
            for path in (self.operator.runs / incident).glob("*/journal.jsonl")
        )
        return any(line["kind"] == "closed" and line["outcome"] in DONE for line in ends)

    def _control(self) -> str:
        """The same strike at a command that believes what ansible-runner says: its change happens after its verdict."""
        if self.scene.runbook != CONTROLLED:
            return f"shown by {CONTROLLED}"
        self._anew()
        # It waits at its point until the command has ended, so that no pace of the machine decides.
        at = {"at": "request 2 before it is sent", "signal": "SIGINT", "target": "command", "patience_s": PATIENT_S}
        loose = self.run(at, unsupervised=True)
        if not loose.left:
            return ""
        return f"unsupervised: {len(loose.left)} processes behind {loose.outcome!r}, {dict(loose.later)} after it"

    # -- steps ---------------------------------------------------------------------------------------------------

    def _steps(self, points: list[str], size: Size) -> Row:
        began = time.monotonic()
        first = points.index("intent before it is on the disk")
        inside = [at for at in points[first : points.index("outcome on the disk") + 1] if not LATER.match(at)]
        faults: list[str] = []
        matrix = [(at, signal_) for at in inside for signal_ in SIGNALS]
        self.chance.shuffle(matrix)
        for at, signal_ in (matrix * 4)[: size.steps]:
            faults += [f"{signal_} at {at!r}: {fault}" for fault in self._struck({"at": at, "signal": signal_})]
        for _ in range(size.timed):
            after, signal_ = self.chance.uniform(0, 1.5), self.chance.choice(SIGNALS)
            faults += [f"{signal_} after {after:.3f} s: {fault}" for fault in self._struck({"signal": signal_}, after)]
        cut = [*self._struck({"at": "request 2 before its reply", "signal": "SIGTERM"}, deferred=False)]
        control = next((fault for fault in cut if "in doubt" in fault), "")
        if "request 2 before its reply" not in inside:
            cut = [*self._struck({"at": "intent on the disk", "signal": "SIGTERM"}, deferred=False)]
            control = next((fault for fault in cut if "in doubt" in fault), "")
        return Row(
            f"{self.scene.runbook}: {self.step.name} alone",
            size.steps + size.timed,
            tuple(faults),
            control and f"without the deferral of signals: {control}",
            time.monotonic() - began,
        )

    def _struck(self, plan: dict[str, str], after: float | None = None, *, deferred: bool = True) -> Iterator[str]:
        """Strike the step, do it again under a new lease, and say what is not as after an uninterrupted one."""
        self._undo()
        witness = Witness(self.box)
        with self._lease() as session:
            status, _ = self._alone(session, plan | {"target": "worker"}, after, deferred=deferred)
            number = signal.Signals[plan["signal"]]
            if after is None and (not os.WIFSIGNALED(status) or os.WTERMSIG(status) != number):
                yield f"it ended with {status} and not by the signal"
            if number != signal.SIGKILL and in_flight(RunFolder(session.folder)):
                yield "the step is in doubt though its process was only asked to end"
        with self._lease() as session:
            _, result = self._alone(session, {})
        if result.get("outcome") not in ("ok", "noop"):
            yield f"it could not be finished: {result.get('outcome')}: {result.get('msg')}"
        if twice := more(sent(witness), self.allowed):
            yield f"sent more often than by an uninterrupted run: {twice}"
        if (state := self.step.state()) != self.wanted:
            yield f"the target is {state}, and not {self.wanted}"

    def _alone(
        self, session: Session, plan: dict[str, str], after: float | None = None, *, deferred: bool = True
    ) -> tuple[int, dict[str, Any]]:
        """The step in a process of its own; how that ended, and the result if there is one."""
        answer = self.place / f"{session.run}.result"
        files = {"fired": str(self.place / f"{session.run}.fired")}
        child = os.fork()
        if child == 0:
            try:
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_DFL)
                if not deferred:
                    _changes.signals_deferred = lambda _noticed: nullcontext()  # type: ignore[assignment]
                Points(files | plan if after is None else files).install()
                params = self.step.params | {"incident": session.as_params()}
                result = perform(self.step.name, self.step.module.ENTRY, params, Context())
                answer.write_text(json.dumps(result, default=str))
                os._exit(0)
            finally:
                os._exit(1)
        if after is not None:
            time.sleep(after)  # the random time is what is tried
            os.kill(child, signal.Signals[plan["signal"]])
        _, status = os.waitpid(child, 0)
        return status, json.loads(answer.read_text()) if answer.exists() else {}

    @contextmanager
    def _lease(self) -> Iterator[Session]:
        run, component = f"chaos-{secrets.token_hex(4)}", self.step.params["incident"]["component"]
        environment = self.step.params["environment"]
        store = LeaseStore(Clients(Environment.from_params(environment)), environment["table"])
        view = store.peek(component)
        if view.held:  # an interrupted run left it
            store.release(Lease(component, view.owner, view.incident, view.run, view.fence, view.lease_s))
        lease = store.acquire(component, "chaos@here", "INC-chaos", run, view.fence, 600)
        place = self.place / "steps" / run
        # The plan as contract has its own line; here a step stands for itself.
        session = Session("INC-chaos", run, place, component, lease.fence, lease.owner, 600, PLANNED_WORK)
        Journal.of(session).create()
        try:
            yield session
        finally:
            store.release(lease)

    def _undo(self) -> None:
        """Bring back what the step changed."""
        if self.scene.again:
            self.scene.again(self.box)
        elif self.step.state() == self.wanted:
            undo = self._inverse
            with self._lease() as session:
                _, result = replace_step(self, undo)._alone(session, {})
            if result.get("outcome") not in ("ok", "noop"):
                raise AssertionError(f"{undo} could not be undone: {result}")

    @property
    def _inverse(self) -> dict[str, Any]:
        lines = [
            line_
            for path in self.operator.runs.glob("*/*/journal.jsonl")
            for line_ in Journal(path.parent, "", "").read()
            if line_["kind"] == "intent" and line_.get("step") == self.scene.step
        ]
        undo = lines[0]["undo"]
        if not isinstance(undo, dict):
            raise TypeError(f"{self.scene.step} has no inverse: {undo}")
        return undo


def replace_step(trial: Trial, undo: dict[str, Any]) -> Trial:
    """The same trial with the step that undoes its own."""
    other = object.__new__(Trial)
    other.__dict__.update(trial.__dict__)
    other.step = replace(trial.step, params=trial.step.params | undo["args"])
    return other


def free_leases(box: Sandbox) -> None:
    """Nobody works on anything: what an earlier scene left held is given back."""
    table = box.boto("dynamodb")
    name = f"{PREFIX}-runbooks"
    pages = table.get_paginator("scan").paginate(TableName=name)  # the journals of a night do not fit on one
    for item in (item for page in pages for item in page["Items"]):
        if item["sk"]["S"] == "lease" and item["held"]["BOOL"]:
            key = {part: item[part] for part in ("pk", "sk")}
            no = {":no": {"BOOL": False}}
            table.update_item(TableName=name, Key=key, UpdateExpression="SET held = :no", ExpressionAttributeValues=no)


def living(mark: str) -> list[int]:
    """Processes of a run: its mark is in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if mark in process.environ().get(VARIABLE, "") and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found
