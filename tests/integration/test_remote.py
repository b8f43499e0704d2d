"""The runbook runs on another machine, beside the environment: the same outcome, the same record, the same care.

The other machine is another user here, with a home, an environment and credentials of its own; the operator has none.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

from tests.integration.conftest import PATIENT_S, ROOT, Operator, Witness, rested

NOBODY = 65534
SSH = """#!{python}
import os, subprocess, sys
worker = subprocess.Popen({worker!r}, env={environment!r}, cwd={home!r})
open({pid!r}, "w").write(str(worker.pid))
sys.exit(worker.wait())
"""


class Node:
    """The other machine, reached as `node`."""

    def __init__(self, home: Path, programs: Path, sandbox: Sandbox) -> None:
        self.runs, self._pid = home / "runs", programs / "pid"
        beside = home / "environment"
        beside.mkdir()
        credentials = shutil.copy(sandbox.description["credentials_file"], beside)
        (beside / "sandbox.json").write_text(json.dumps({**sandbox.description, "credentials_file": str(credentials)}))
        as_user = []
        if os.getuid() == 0:
            as_user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            for path in (home, *home.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        environment = {
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DAILY_EMR_SANDBOX": str(beside),
            "DAILY_EMR_RUNS": str(self.runs),
        }
        worker = [*as_user, str(Path(sys.executable).with_name("runbook")), "worker"]
        ssh = programs / "ssh"
        ssh.write_text(
            SSH.format(
                python=sys.executable, worker=worker, environment=environment, home=str(home), pid=str(self._pid)
            )
        )
        ssh.chmod(0o755)
        self.path = f"{programs}:{environment['PATH']}"

    def die(self) -> None:
        """What a machine does that loses its power: everything on it ends at once."""
        worker = psutil.Process(int(self._pid.read_text()))
        family = [worker, *worker.children(recursive=True)]
        for process in family:
            process.kill()
        psutil.wait_procs(family)


@pytest.fixture
def node(sandbox: Sandbox, tmp_path: Path) -> Iterator[Node]:
    home = Path(tempfile.mkdtemp(prefix="node-"))  # not below a folder that only this user may enter
    try:
        yield Node(home, tmp_path, sandbox)
    finally:
        shutil.rmtree(home)


@pytest.fixture(autouse=True)
def _rested(healthy: None, sandbox: Sandbox) -> None:  # noqa: ARG001 - it must run
    rested(sandbox)


def command(operator: Operator, node: Node, *more: str) -> subprocess.Popen[str]:
    """`runbook run --on node` of an operator who can reach nothing but the node."""
    inputs = [part for key, value in operator.inputs.items() for part in ("--input", f"app_outage_{key}={value}")]
    environment = operator.environ(PATH=node.path, DAILY_EMR_SANDBOX=str(operator.runs / "nowhere"))
    asked = ["runbook", "run", "app_outage", "--environment", "sandbox", "--on", "node", *inputs, *more]
    output = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(asked, cwd=ROOT, env=environment, text=True, **output)


def counted(witness: Witness) -> int:
    return sum(call["operation"] == "UpdateService" for call in witness.changes())


def test_outcome_and_record_are_those_of_a_run_here(operator: Operator, sandbox: Sandbox, node: Node) -> None:
    sandbox.break_("scaled_to_zero")
    witness = Witness(sandbox)
    run = command(operator, node)
    said, _ = run.communicate()
    assert run.returncode == 0, said
    assert counted(witness) == 1
    (here,) = operator.runs.glob("INC-*/*/record.json")
    (there,) = node.runs.glob("INC-*/*/record.json")
    record = json.loads(here.read_text())
    assert (record["outcome"], record["decision"]["cause"]) == ("succeeded", "scaled_to_zero")
    assert record == json.loads(there.read_text())
    assert here.with_name("journal.jsonl").read_text() == there.with_name("journal.jsonl").read_text()
    # As it went, not only at its end.
    assert said.index("lease taken") < said.index("succeeded:")
    assert "UpdateService" not in said or "Traceback" not in said
    # Nothing is left on the node but its record.
    (left,) = (node.runs / ".runner").iterdir()
    assert sorted(path.name for path in left.iterdir()) == ["lock", "output.txt"]


def test_a_node_that_dies_leaves_an_unknown_end_and_a_run_that_can_go_on(
    operator: Operator, sandbox: Sandbox, node: Node
) -> None:
    sandbox.break_("scaled_to_zero")
    witness = Witness(sandbox)
    # The call was received, its answer is on the way for longer than the node lives.
    sandbox.fault("ecs", "UpdateService", "stall", ms=5000)
    run = command(operator, node, "--input", "incident_lease_seconds=30")
    try:
        wait_until(lambda: counted(witness) == 1, "the call was received", PATIENT_S)
    finally:
        node.die()
    said, _ = run.communicate()
    assert "unknown: The run on node was lost" in said, said
    assert run.returncode not in (0, 1, 2)
    (incident,) = (path.name for path in operator.runs.glob("INC-*"))

    again = operator.playbook(
        "-e", f"incident_id={incident}", "-e", "incident_take_over=OPS-1", "-e", "incident_lease_seconds=30"
    )
    assert again.returncode == 0, again.output
    assert again.record()["incident"] == incident
    assert counted(witness) == 1
