"""The runbook runs on another machine, beside the environment: the same outcome, the same record, the same care.

The operator sits in a network namespace of their own, in which there is nothing, and has no credentials; the node has
the sandbox's network, and a home, an environment and credentials of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

from tests.integration.conftest import PATIENT_S, ROOT, Operator, Witness, rested

# Only root may go from one namespace to another; other users try the same within one.
APART = os.getuid() == 0
SSH = """#!{python}
import os, subprocess, sys
worker = subprocess.Popen({worker!r}, env={environment!r}, cwd={home!r})
open({pid!r}, "w").write(str(worker.pid))
sys.exit(worker.wait())
"""


class Node:
    """The other machine, reached as `node`."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        home, beside, programs = (folder / name for name in ("home", "beside", "programs"))
        for made in (home, beside, programs):
            made.mkdir()
        self.runs, self._pid = home / "runs", folder / "pid"
        credentials = shutil.copy(sandbox.description["credentials_file"], beside)
        (beside / "sandbox.json").write_text(json.dumps({**sandbox.description, "credentials_file": str(credentials)}))
        environment = {
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DAILY_EMR_SANDBOX": str(beside),
            "DAILY_EMR_RUNS": str(self.runs),
        }
        here = ["nsenter", f"--net=/proc/{os.getpid()}/ns/net"] if APART else []
        worker = [*here, str(Path(sys.executable).with_name("runbook")), "worker"]
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
def node(sandbox: Sandbox, tmp_path: Path) -> Node:
    return Node(tmp_path, sandbox)


@pytest.fixture(autouse=True)
def _rested(healthy: None, sandbox: Sandbox) -> None:  # noqa: ARG001 - it must run
    rested(sandbox)


def command(operator: Operator, node: Node, *more: str) -> subprocess.Popen[str]:
    """`runbook run --on node` of an operator who can reach nothing but the node."""
    inputs = [part for key, value in operator.inputs.items() for part in ("--input", f"app_outage_{key}={value}")]
    environment = operator.environ(PATH=node.path, DAILY_EMR_SANDBOX=str(operator.runs / "nowhere"))
    nowhere = ["unshare", "--net"] if APART else []
    asked = [*nowhere, "runbook", "run", "app_outage", "--environment", "sandbox", "--on", "node", *inputs, *more]
    output = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(asked, cwd=ROOT, env=environment, text=True, **output)


def intends(witness: Witness) -> bool:
    return any(call["operation"] == "TransactWriteItems" for call in witness.mutating())


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
    # Nothing is left on the node but its record.
    (left,) = (node.runs / ".runner").iterdir()
    assert sorted(path.name for path in left.iterdir()) == ["lock", "output.txt"]


def test_a_node_that_dies_leaves_an_unknown_end_and_a_run_that_can_go_on(
    operator: Operator, sandbox: Sandbox, node: Node
) -> None:
    sandbox.break_("scaled_to_zero")
    witness = Witness(sandbox)
    # It has the lease and has said what it intends; before it hears that this is written down, it dies.
    sandbox.fault("dynamodb", "TransactWriteItems", "stall")
    run = command(operator, node, "--input", "incident_lease_seconds=30")
    try:
        wait_until(lambda: intends(witness), "it has the lease and intends something", PATIENT_S)
    finally:
        node.die()
    said, _ = run.communicate()
    assert "unknown: The run on node was lost" in said, said
    assert run.returncode not in (0, 1, 2)
    sandbox.clear_faults()
    assert counted(witness) == 0
    (incident,) = (path.name for path in operator.runs.glob("INC-*"))

    again = operator.playbook(
        "-e", f"incident_id={incident}", "-e", "incident_take_over=OPS-1", "-e", "incident_lease_seconds=30"
    )
    assert again.returncode == 0, again.output
    assert (again.record()["incident"], again.record()["outcome"]) == (incident, "succeeded")
    assert counted(witness) == 1
