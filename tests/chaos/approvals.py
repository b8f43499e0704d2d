"""Six bad approvals of the plan of each runbook, and change calendars that are not open: each refused with its own
sentence, and no mutating call.

Each runbook is planned on a sandbox whose inventory asks for approvals as production does. Each bad approval is then
tried on the module that decides, on the plan of that run, and one of them (in the long size all) by a whole run. The
witness is the sandbox's log of calls. The control takes the judgement of approvals out: the same plan then goes on.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform
from ansible_collections.daily_emr.ops.plugins.module_utils._plan import digest_of_plan
from ansible_collections.daily_emr.ops.plugins.modules import plan_contract
from daily_emr_sandbox.client import Sandbox

from tests.chaos.rows import Row
from tests.chaos.scenes import SANDBOXES, Scene, sandbox_with
from tests.integration.conftest import ROOT, Operator, Witness
from tests.integration.modules import PREFIX, environment_of

Json = dict[str, Any]
TABLE = f"{PREFIX}-runbooks"
ASKS = {"reversible": 1, "irreversible": 2, "controllers": []}
OTHERS = ("amina", "otieno")


@dataclass(frozen=True)
class Bad:
    """A bad approval: what was approved instead of the plan, by whom and when, and what it is refused with."""

    words: str
    change: Callable[[Json], Json] = lambda plan: plan
    minutes: float = 0.0
    own: bool = False
    used: bool = False


BAD = {
    "another plan": Bad("is another plan", lambda plan: {**plan, "cause": "another_cause"}),
    "changed code": Bad("The code changed since the plan", lambda plan: {**plan, "code": "0" * 64}),
    "changed targets": Bad(
        "The targets are not those of the plan",
        lambda plan: {**plan, "steps": [{**step, "target": f"{step['target']}-2"} for step in plan["steps"]]},
    ),
    "used already": Bad("was used already, by run run-0 of incident INC-0", used=True),
    "expired": Bad("is older than 15 minutes", minutes=16),
    "by the requester": Bad("asked for it, and does not count", own=True),
}


class Planned:
    """A runbook that was planned, on what is broken."""

    def __init__(self, sandbox: Sandbox, scene: Scene, folder: Path) -> None:
        self.sandbox, self.scene = sandbox, scene
        self.operator = Operator(sandbox, folder / "runs", scene.runbook)
        self.operator.limit = scene.limit
        self.inventory = asking(folder / "asking")
        run = self.operator.playbook("-i", str(self.inventory), "--check")
        self.record = run.record()
        # Left of whoever reads a failure of the chaos run.
        self.trouble = "" if run.returncode == 0 else f"the plan ended with {self.record['sentence']}"
        self.path = next(self.operator.runs.glob("*/*/plan.json"), Path())

    def approve(self, bad: Bad) -> tuple[str, list[Json]]:
        """Write the approval into the table as approvers would; the digest that is given to the run, and the keys."""
        plan = bad.change(json.loads(self.path.read_text())["plan"])
        digest, at = digest_of_plan(plan), (datetime.now(UTC) - timedelta(minutes=bad.minutes)).isoformat()
        said = {"digest": {"S": digest}, "at": {"S": at}, "plan": {"S": json.dumps(plan)}}
        items = [
            {"pk": {"S": f"approval#{digest}"}, "sk": {"S": f"person#{who}#{at}"}, **said}
            for who in ([self.record["operator"]] if bad.own else OTHERS)
        ]
        if bad.used:
            used = {"incident": {"S": "INC-0"}, "run": {"S": "run-0"}, "at": {"S": at}, "plan": {"S": "{}"}}
            items.append({"pk": {"S": f"used#{digest}"}, "sk": {"S": "used"}, **used})
        table = self.sandbox.boto("dynamodb")
        for item in items:
            table.put_item(TableName=TABLE, Item=item)
        return digest, [{name: item[name] for name in ("pk", "sk")} for item in items]

    def forget(self, keys: list[Json]) -> None:
        for key in keys:
            self.sandbox.boto("dynamodb").delete_item(TableName=TABLE, Key=key)

    def decide(self, given: str, **more: Any) -> Json:
        """What the module decides of the plan of this run, in this process, with more or other options."""
        folder = self.path.parent
        options = {
            "since": 0,
            "approve": given,
            "approvals": ASKS,
            "calendars": [],
            "cooldown_minutes": 0,
            "acknowledge": "",
            "break_glass": [],
            "environment": environment_of(self.sandbox),
            "incident": {
                "id": self.record["incident"],
                "run": self.record["run"],
                "folder": str(folder),
                "component": self.record["component"],
            },
            **more,
        }
        inputs = {f"{self.scene.runbook}_{name}": value for name, value in self.operator.inputs.items()}
        return perform("plan_contract", plan_contract.ENTRY, options, Context(project=ROOT, inputs=inputs))

    def whole(self, given: str) -> str:
        """What a whole run says."""
        run = self.operator.playbook("-i", str(self.inventory), "-e", f"approve={given}")
        return " ".join(run.output.split()) if run.returncode else "the run ended without an error"


def asking(folder: Path) -> Path:
    """An inventory beside that of the sandbox, which asks for approvals as production does."""
    (folder / "group_vars/all").mkdir(parents=True)
    (folder / "hosts.yml").write_text("all: {}\n")
    (folder / "group_vars/all/approvals.yml").write_text(json.dumps({"emr_approvals": ASKS}))
    return folder


def tried(planned: Planned, kind: str, *, whole: bool) -> list[str]:
    """What is wrong with how one bad approval was met."""
    bad = BAD[kind]
    given, keys = planned.approve(bad)
    try:
        witness, faults = Witness(planned.sandbox), []
        said = planned.whole(given) if whole else str(planned.decide(given).get("msg", ""))
        where = f"{planned.scene.runbook}, {kind}"
        if bad.words not in said:
            faults.append(f"{where}: not refused with its own sentence")
        faults += [f"{where}: also {other}" for other, one in BAD.items() if other != kind and one.words in said]
        faults += [f"{where}: {call['service']}:{call['operation']}" for call in witness.mutating()]
        return faults
    finally:
        planned.forget(keys)


def let_through(planned: Planned) -> str:
    """The control: without the judgement of approvals the same plan, approved by nobody else, goes on."""
    given, keys = planned.approve(BAD["by the requester"])
    try:
        with patch.object(plan_contract, "agree"):
            return "goes on" if not planned.decide(given).get("failed") else ""
    finally:
        planned.forget(keys)


def line(seed: int, size: Literal["ci", "long"], say: Callable[[str], None]) -> Iterator[Row]:
    """The rows of bad approvals, one for each runbook."""
    chance = random.Random(seed)
    for parts, scenes in SANDBOXES.items():
        with tempfile.TemporaryDirectory() as folder, sandbox_with(parts, Path(folder)) as sandbox:
            for scene in scenes:
                yield from rows_of(sandbox, scene, Path(folder) / scene.runbook, chance, size, say)


CALENDAR = "BEGIN:VCALENDAR\nX-CALENDAR-TYPE:DEFAULT_{}\nEND:VCALENDAR\n"
FREEZE = "month-end"


def frozen(planned: Planned, *, lift: bool = True) -> list[str]:
    """What is wrong with how a change calendar that is not open is met: closed, unreachable, not there (row 25)."""
    ssm, faults, free = planned.sandbox.boto("ssm"), list[str](), {"approvals": {**ASKS, "reversible": 0}}
    ssm.create_document(
        Name=FREEZE, Content=CALENDAR.format("CLOSED"), DocumentType="ChangeCalendar", DocumentFormat="TEXT"
    )
    witness = Witness(planned.sandbox)

    def look(state: str, *calendars: str) -> None:
        said = planned.decide("", calendars=[*calendars], **free)
        if not said.get("failed") or "Changes are frozen by" not in str(said["msg"]):
            faults.append(f"{planned.scene.runbook} goes on with a calendar that {state}")
        glass = [f"freeze/{calendar}:OPS-1" for calendar in calendars]
        if lift and planned.decide("", calendars=[*calendars], break_glass=glass, **free).get("failed"):
            faults.append(f"{planned.scene.runbook} does not go on though each calendar that {state} is named")

    look("is closed", FREEZE)
    look("is not there", "nowhere")
    planned.sandbox.fault("ssm", "GetCalendarState", "error", code="InternalServerError", status=500, count=100)
    look("cannot be read", FREEZE)
    planned.sandbox.clear_faults()
    faults += [f"{call['service']}:{call['operation']}" for call in witness.mutating()]
    ssm.delete_document(Name=FREEZE)
    return faults


def freeze_row(planned: Planned) -> Row:
    started, faults = time.monotonic(), frozen(planned)
    with patch.object(plan_contract, "closed_calendars", lambda *_asked: []):
        control = frozen(planned, lift=False)
    name = f"change calendars that are not open, {planned.scene.runbook}"
    said = f"without the look at calendars it {control[0].partition(' ')[2]}" if control else ""
    return Row(name, 6, tuple(faults), said, time.monotonic() - started)


def rows_of(
    sandbox: Sandbox,
    scene: Scene,
    folder: Path,
    chance: random.Random,
    size: Literal["ci", "long"],
    say: Callable[[str], None],
) -> Iterator[Row]:
    """Plan one runbook, and try every bad approval of its plan, and calendars that are not open."""
    started = time.monotonic()
    say(f"{scene.runbook}: bad approvals")
    scene.break_(sandbox)
    try:
        planned = Planned(sandbox, scene, folder)
        name = f"six bad approvals, {scene.runbook}"
        if planned.trouble or not planned.path.is_file():
            yield Row(name, 0, (planned.trouble or "there is no plan",), "", time.monotonic() - started)
            return
        faults = [fault for kind in BAD for fault in tried(planned, kind, whole=False)]
        wholes = list(BAD) if size == "long" else [chance.choice(list(BAD))]
        faults += [fault for kind in wholes for fault in tried(planned, kind, whole=True)]
        control = let_through(planned)
        yield Row(name, len(BAD) + len(wholes), tuple(faults), control, time.monotonic() - started)
        yield freeze_row(planned)
    finally:
        sandbox.clear_faults()
        sandbox.mend()
