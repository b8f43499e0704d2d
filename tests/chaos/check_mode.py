"""Check mode over runbooks, faults and playbooks sends no mutating call. The witness is the sandbox's call log.

CI takes one fault for each runbook, by the seed, and the playbooks that end in seconds; `tests/integration` plans every
fault it mends under the same witness, and the scenarios of molecule every playbook.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from daily_emr_sandbox.client import Sandbox

from tests.chaos.rows import Row
from tests.integration.conftest import ROOT, TIME_FACTOR, Operator, Witness

# The faults of components that a group has several of.
LIMITS = {"queue_backlog": "notifications"}
# They need a stand-in of a controller, which tests/controllers has, with the same witness.
OF_CONTROLLERS = {"controller", "semaphore"}
# Whole accounts: minutes each.
LONG_ONLY = {"bootstrap", "region_failover", "rehearsal", "restore_check"}


def line(seed: int, size: Literal["ci", "long"], say: Callable[[str], None]) -> Iterator[Row]:
    choose = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="emr-chaos-") as folder:
        box = Sandbox(Path(folder) / "state")
        box.up(time_factor=TIME_FACTOR, parts=("claims", "telehealth"))
        try:
            yield from _runbooks(box, Path(folder), choose, size, say)
            yield _playbooks(box, Path(folder), size, say)
        finally:
            box.down()


def _runbooks(
    box: Sandbox, folder: Path, choose: random.Random, size: Literal["ci", "long"], say: Callable[[str], None]
) -> Iterator[Row]:
    tried, faults, control = 0, list[str](), ""
    for runbook, known in json.loads((ROOT / "docs/faults.json").read_text()).items():
        mended = [row["fault"] for row in known if row["outcome"] == "succeeded" and " and " not in row["fault"]]
        every = [row["fault"] for row in known if " and " not in row["fault"]]
        operator = Operator(box, folder / runbook, runbook)
        operator.limit = LIMITS.get(runbook, "")
        planned = 0
        for fault in every if size == "long" else choose.sample(mended, len(mended)):
            say(f"{runbook} --check with {fault}")
            box.break_(fault)
            witness = Witness(box)
            run = operator.playbook("--check", "--diff")
            faults += [f"{runbook} --check with {fault} sent {call}" for call in witness.mutating()]
            tried += 1
            planned += run.record()["outcome"] == "planned"
            if planned and not control:
                # The same without --check: what the witness counts is there to be seen.
                witness = Witness(box)
                operator.run()
                control = f"without --check {fault}: {len(witness.mutating())} calls" if witness.mutating() else ""
            box.mend()
            if planned and size == "ci":
                break
        if not planned:
            faults.append(f"{runbook}: none of its faults led to a plan, so nothing was tried")
    yield Row("check mode of runbooks sends no mutating call", tried, tuple(faults), control)


def _playbooks(box: Sandbox, folder: Path, size: Literal["ci", "long"], say: Callable[[str], None]) -> Row:
    tried, faults, control = 0, list[str](), ""
    operator = Operator(box, folder / "playbooks")
    left_out = OF_CONTROLLERS | (LONG_ONLY if size == "ci" else set())
    for path in sorted((ROOT / "playbooks").glob("*.yml")):
        if path.stem in left_out:
            continue
        witness = Witness(box)
        command = ("ansible-playbook", "-i", "inventories/sandbox", f"playbooks/{path.name}")
        run = operator.start(*command, "--check")
        say(f"playbooks/{path.name} --check ended with {run.returncode}")
        # A service that the sandbox has no stand-in for was asked without an operation that it could name.
        sent = [call for call in witness.mutating() if call["operation"]]
        faults += [f"playbooks/{path.name} --check sent {call}" for call in sent]
        tried += 1
        if path.stem == "backup":
            witness = Witness(box)
            operator.start(*command)
            control = f"without --check {path.stem}: {len(witness.mutating())} calls" if witness.mutating() else ""
    return Row("check mode of playbooks sends no mutating call", tried, tuple(faults), control)
