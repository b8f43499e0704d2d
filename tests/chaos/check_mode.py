"""Check mode over runbooks, faults and playbooks sends no mutating call. The witness is the sandbox's call log.

CI takes one fault for each runbook, and the playbooks that end in seconds; `tests/integration` plans those that
it mends under the same witness, and the scenarios of molecule every playbook.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from daily_emr_sandbox.client import Sandbox

from tests.chaos.rows import Row
from tests.chaos.scenes import SANDBOXES, Scene, sandbox_with
from tests.integration.conftest import ROOT, Operator, Witness

# They need a stand-in of a controller, which tests/controllers has, with the same witness.
OF_CONTROLLERS = {"controller", "semaphore"}
# Whole accounts: minutes each.
LONG_ONLY = {"bootstrap", "region_failover", "rehearsal", "restore_check"}


def line(seed: int, size: Literal["ci", "long"], say: Callable[[str], None]) -> Iterator[Row]:
    parts = ("claims", "telehealth")
    with tempfile.TemporaryDirectory(prefix="emr-chaos-") as place, sandbox_with(parts, folder := Path(place)) as box:
        yield _runbooks(box, folder, random.Random(seed), size, say)
        yield _playbooks(box, folder, size, say)


def _runbooks(
    box: Sandbox, folder: Path, choose: random.Random, size: Literal["ci", "long"], say: Callable[[str], None]
) -> Row:
    scenes = [scene for some in SANDBOXES.values() for scene in some]
    choose.shuffle(scenes)
    faults, controls = list[str](), list[str]()
    tried = [scene for one in scenes for scene in (_every_fault(one) if size == "long" else [one])]
    for scene in tried:
        operator = Operator(box, folder / f"{scene.runbook}-{scene.fault}", scene.runbook)
        operator.limit = scene.limit
        say(f"{scene.runbook} --check with {scene.fault}")
        scene.break_(box)
        witness = Witness(box)
        outcome = operator.playbook("--check", "--diff").record()["outcome"]
        faults += [f"{scene.runbook} --check with {scene.fault} sent {call}" for call in witness.mutating()]
        if scene in scenes and outcome != "planned":
            faults.append(f"{scene.runbook} with {scene.fault} ended as {outcome}, so nothing was tried")
        if outcome == "planned" and not controls:
            # The same without --check: what the witness counts is there to be seen.
            witness = Witness(box)
            operator.run()
            controls += [f"without --check {scene.fault}: {sent} calls" for sent in [len(witness.mutating())] if sent]
        box.mend()
    return Row("check mode of runbooks sends no mutating call", len(tried), tuple(faults), "".join(controls))


def _every_fault(scene: Scene) -> Iterator[Scene]:
    """The scene, and the same runbook with each of its other faults that stands alone."""
    yield scene
    for row in json.loads((ROOT / "docs/faults.json").read_text())[scene.runbook]:
        if row["fault"] != scene.fault and " and " not in row["fault"]:
            yield replace(scene, fault=row["fault"])


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
