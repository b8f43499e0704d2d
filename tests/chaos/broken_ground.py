"""No mutation without a durable intent: disk full at any byte, no run folder, a table that answers badly or not at all.
And where a person breaks the glass for a table that gives no answer: exactly what was planned, and audited.

A real change against the sandbox, again and again. What counts is the order in the sandbox's call log and what is on
the disk, not what the change says of itself.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal
from unittest import mock

from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, utc_now
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from daily_emr_sandbox.client import Sandbox

from tests.chaos.rows import Row
from tests.integration.conftest import TIME_FACTOR, Operator, Witness
from tests.integration.modules import PREFIX, Json, Runner

MUTATION = ("ecs", "UpdateService")
WANTED = 2
# Bytes: more than all lines of one change, so that the disk is full at none of them.
ROOM = 65_536
OPERATIONS = ("TransactWriteItems", "PutItem", "*")
KINDS = ("throttle", "error", "drop_before", "drop_after")
GLASS = "lease_table:OPS-7"
# Nothing can be made in it, by root neither.
NO_FOLDER = "/proc/runs"


def line(seed: int, size: Literal["ci", "long"], say: Callable[[str], None]) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="emr-chaos-") as folder:
        box = Sandbox(Path(folder) / "state")
        box.up(time_factor=TIME_FACTOR, parts=())
        try:
            ground = Ground(box, Path(folder))
            yield ground.full_disk(random.Random(seed), 12 if size == "ci" else 300, say)
            yield ground.table(say)
            yield ground.glass(random.Random(seed), KINDS if size == "long" else (), say)
            yield ground.no_folder()
        finally:
            box.down()


class Ground:
    """One sandbox, in which somebody takes the tasks of the web service away again and again."""

    def __init__(self, box: Sandbox, folder: Path) -> None:
        self.box, self.folder, self.number = box, folder, 0

    def change(self, told: str, room: int | None = None, **fault: Any) -> tuple[str, list[str]]:
        """Bring the tasks back once; returns the outcome, and what is wrong with it.

        room: bytes that a file may grow to. fault: what the table does meanwhile.
        """
        self.number += 1
        folder = self.folder / f"run-{self.number}"
        folder.mkdir()
        runner = Runner(self.box, folder)
        self.box.boto("ecs").update_service(cluster=PREFIX, service=f"{PREFIX}-web", desiredCount=0)
        witness = Witness(self.box)
        try:
            if fault:
                self.box.fault("dynamodb", count=None, **fault)
            done = _bring_back(runner) if room is None else _within(room, runner)
        finally:
            self.box.clear_faults()
            runner.release()
        return str(done.get("outcome", "")), [f"{told}: {fault}" for fault in _wrong(done, folder, witness)]

    def full_disk(self, choose: random.Random, times: int, say: Callable[[str], None]) -> Row:
        rooms = [0, 1, *sorted(choose.randrange(2, 2000) for _ in range(times - 3)), ROOM]
        faults, outcomes = list[str](), list[str]()
        for room in rooms:
            outcome, wrong = self.change(f"disk full after {room} bytes", room)
            outcomes.append(outcome)
            faults += wrong
        say(f"disk full after {rooms} bytes: {outcomes}")
        if outcomes[-1] != "ok" or "refused" not in outcomes:
            faults.append(f"the disk was never full, or always: {outcomes}")
        with mock.patch.object(Journal, "_append", _pretended):
            _, control = self.change("a journal that only pretends to write")
        return Row("disk full: no mutation without a durable intent", len(rooms), tuple(faults), "; ".join(control))

    def table(self, say: Callable[[str], None]) -> Row:
        tried, faults = 0, list[str]()
        for operation in OPERATIONS:
            for kind in KINDS:
                broken: Json = {"operation": operation, "kind": kind}
                broken |= {"code": "InternalServerError", "status": 500} if kind == "error" else {}
                outcome, wrong = self.change(f"the table answers {operation} with {kind}", **broken)
                say(f"the table answers {operation} with {kind}: {outcome}")
                faults += wrong
                tried += 1
        with mock.patch.object(LeaseStore, "record_intent", return_value=float("inf")):
            _, control = self.change("without the intent in the table")
        return Row("table unreachable: no mutation without an intent in it", tried, tuple(faults), "; ".join(control))

    def glass(self, choose: random.Random, kinds: Sequence[str], say: Callable[[str], None]) -> Row:
        """Whole runs while the table gives no answer, without and with broken glass. The latter are the control: what
        finds nothing sent in the others finds their changes.
        """
        found, control = list[str](), list[str]()
        kinds = kinds or [choose.choice(KINDS)]
        for kind in kinds:
            for broken in (False, True):
                self.box.mend()
                self.box.break_("scaled_to_zero")
                operator = Operator(self.box, self.folder / f"silent-{kind}-{broken}")
                witness = Witness(self.box)
                self.box.fault("dynamodb", count=None, operation="*", **_silence(kind))
                try:
                    run = operator.playbook(*(["-e", json.dumps({"break_glass": [GLASS]})] if broken else []))
                finally:
                    self.box.clear_faults()
                record = run.record()
                sent = [f"{call['service']}:{call['operation']}" for call in witness.changes() if call["status"] == 200]
                say(f"the table gives no answer ({kind}), {'with' if broken else 'without'} glass: {record['outcome']}")
                wrong = _unaudited(record, sent) if broken else _let_through(record, sent)
                found += [f"{kind}, {'with' if broken else 'without'} glass: {fault}" for fault in wrong]
                control += _let_through(record, sent) if broken else []
        name = "table silent: nothing without glass; with it exactly the planned, audited"
        return Row(name, 2 * len(kinds), tuple(found), "; ".join(control))

    def no_folder(self) -> Row:
        """A whole run that has no place for its journal."""
        self.box.break_("scaled_to_zero")
        witness = Witness(self.box)
        run = Operator(self.box, Path(NO_FOLDER)).playbook()
        faults = [f"sent {call}" for call in witness.mutating()]
        if not run.returncode or "cannot be made" not in " ".join(run.output.split()) or "Traceback" in run.output:
            faults.append(f"ended with {run.returncode} and does not say that the run folder cannot be made")
        witness = Witness(self.box)
        Operator(self.box, self.folder / "runs").playbook()
        sent = len(witness.mutating())
        return Row("no place for run folders: refused", 1, tuple(faults), f"with one: {sent} calls" if sent else "")


def _silence(kind: str) -> Json:
    broken = {"code": "InternalServerError", "status": 500} if kind == "error" else {}
    return {"kind": kind, **broken}


def _let_through(record: Json, sent: list[str]) -> list[str]:
    """What is wrong with a run that has to be refused, because the table gives no answer."""
    faults = [f"sent {call}" for call in sent]
    if record["outcome"] != "refused" or "does not answer" not in record["sentence"]:
        faults.append(f"ended as {record['outcome']}")
    return faults


def _unaudited(record: Json, sent: list[str]) -> list[str]:
    """What is wrong with a run for which the glass was broken: it sends what was planned, once, and says everything."""
    lines = record["journal"]
    intents = [line for line in lines if line["kind"] == "intent"]
    faults = []
    if sent != [":".join(MUTATION)] * record["plan"].get("calls", 0) or len(sent) != len(intents) or not sent:
        faults.append(f"sent {sent}, with {len(intents)} intents, for a plan of {record['plan'].get('calls')}")
    if any(line.get("break_glass") != "lease_table" or line["plan"] != record["plan"]["plan"] for line in intents):
        faults.append("an intent does not say under which glass and plan it was")
    said = [
        (one["rule"], one["reason"], bool(one["operator"]), bool(one["unchecked"])) for one in record["broken_glass"]
    ]
    if said != [("lease_table", GLASS.partition(":")[2], True, True)] * 3:
        faults.append(f"the record says of the glass: {said}")
    if record["outcome"] != "succeeded" or "the switch that stops all changes" not in record["sentence"]:
        faults.append(f"it ended as {record['outcome']}: {record['sentence']}")
    return faults


def _wrong(done: Json, folder: Path, witness: Witness) -> list[str]:
    """What is wrong about a change on broken ground. Only calls that were carried out count."""
    calls = [(call["service"], call["operation"]) for call in witness.mutating() if call["status"] == 200]
    outcome = done.get("outcome")
    if outcome not in ("ok", "noop", "refused", "failed", "unknown") or "Traceback" in str(done):
        return [f"no outcome ({outcome}), or a traceback"]
    if MUTATION not in calls:
        return ["nothing was changed, and the change says ok"] if outcome == "ok" else []
    found = []
    if ("dynamodb", "TransactWriteItems") not in calls[: calls.index(MUTATION)]:
        found.append("the service was changed without an intent in the table")
    if not any(one["kind"] == "intent" for one in Journal(folder, "", "").read()):
        found.append("the service was changed without an intent on the disk")
    if calls.count(MUTATION) > 1:
        found.append(f"the change was sent {calls.count(MUTATION)} times")
    if outcome != "ok":
        found.append(f"the service was changed, and the change says {outcome}")
    return found


def _bring_back(runner: Runner) -> Json:
    return runner("ecs_service_count", {"at_least": WANTED})


def _within(room: int, runner: Runner) -> Json:
    """The change in a child process, in which the kernel lets no file grow beyond so many bytes."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            # CPython takes half a compiled module, cut by a full disk, for a whole one from then on.
            sys.dont_write_bytecode = True
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
            os.write(writer, json.dumps(_bring_back(runner), default=str).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    done: Json = json.loads(said or b'{"outcome": "", "msg": "Traceback"}')
    return done


def _pretended(self: Journal, kind: str, body: Json) -> Json:
    """A line that never gets to the disk."""
    return {"seq": 1, "at": utc_now(), "kind": kind, **self._head, **body}
