"""A sandbox for the whole session, and runs of the content as an operator starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._spike_readings import SUSPECT_BEFORE_S
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

from tests.integration.modules import PREFIX, Runner

ROOT = Path(__file__).resolve().parents[2]
# Ten minutes of verification in ten seconds; real parts do not care.
TIME_FACTOR = 60
# The shortest window of daily_emr.ops.web_service_health is 15 s; metrics are a few seconds late.
METRIC_WINDOW = timedelta(seconds=20)
# The default of ecs_service_tasks, in AWS seconds.
RECYCLE_COOLDOWN_S = 600
# After that long something is wrong, and a test says so instead of waiting on.
PATIENT_S = 180.0
# Fewer looks, and more time for them than a drill has: these tests share two cores with others.
PATIENCE: dict[str, dict[str, int | str]] = {
    "app_outage": {"verify_passes": 5, "verify_timeout_s": 7200, "settle_timeout_s": 3600},
    "claims_api_outage": {"verify_passes": 3, "verify_timeout_s": 7200, "recycle_timeout_s": 3600, "step_minutes": 2},
    "error_spike": {"verify_passes": 5, "verify_timeout_s": 7200, "settle_timeout_s": 3600},
    "telehealth_degradation": {"verify_passes": 3, "verify_timeout_s": 7200},
    "database_failover": {
        "verify_passes": 3,
        "verify_timeout_s": 7200,
        "settle_timeout_s": 3600,
        "failover_timeout_s": 2400,
        "storage_timeout_s": 3600,
        "pause_queues": "false",  # most of these tests have no queues
    },
    "queue_backlog": {
        "verify_passes": 3,
        "verify_timeout_s": 7200,
        "settle_timeout_s": 3600,
        "drain_timeout_s": 10800,
        "slice_timeout_s": 3600,
    },
}


@dataclass(frozen=True)
class Run:
    """What an `ansible-playbook` or `runbook` left behind."""

    returncode: int
    output: str
    runs: Path

    def record(self) -> dict[str, Any]:
        """The newest record of the run's folder."""
        newest = max(self.runs.glob("*/*/record.json"), key=lambda path: path.stat().st_mtime_ns)
        return json.loads(newest.read_text())


class Operator:
    """Starts commands in the project with a clean environment."""

    def __init__(self, sandbox: Sandbox, runs: Path, name: str = "app_outage") -> None:
        self.sandbox = sandbox
        self.runs = runs
        self.name = name
        """Of the runbook that `playbook` and `run` run."""
        self.inputs: dict[str, int | str] = dict(PATIENCE[name])
        self.limit = ""
        """The one component that they are for, where the group has several."""

    def environ(self, **extra: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "PYENV_ROOT") if name in os.environ}
        return {
            **kept,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
            "DAILY_EMR_SANDBOX": str(self.sandbox.state_dir),
            "DAILY_EMR_RUNS": str(self.runs),
            **extra,
        }

    def start(self, *command: str, env: dict[str, str] | None = None) -> Run:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environ(**(env or {})),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Run(done.returncode, done.stdout, self.runs)

    def playbook(
        self, *arguments: str, inventory: str = "inventories/sandbox", env: dict[str, str] | None = None
    ) -> Run:
        return self.start(*self._command(inventory), *arguments, env=env)

    def spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        """The same in a process group of its own, that goes on while the caller looks."""
        command = [*self._command("inventories/sandbox"), *arguments]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, cwd=ROOT, env=self.environ(), start_new_session=True, **quiet)

    def _command(self, inventory: str) -> list[str]:
        return ["ansible-playbook", "-i", inventory, f"runbooks/{self.name}.yml", *self._options("-e")]

    def _options(self, option: str) -> list[str]:
        given = [part for key, value in self.inputs.items() for part in (option, f"{self.name}_{key}={value}")]
        return [*given, *(["--limit", self.limit] if self.limit else [])]

    def run(self) -> Run:
        """The same runbook by the command, which judges for itself how the run ended."""
        return self.runbook("run", self.name, "--environment", "sandbox", *self._options("--input"))

    def runbook(self, *arguments: str, env: dict[str, str] | None = None) -> Run:
        return self.start("runbook", *arguments, env=env)


class Killed:
    """A run that dies in the middle: its whole process group is killed when a condition holds."""

    def __init__(self, operator: Operator, *arguments: str) -> None:
        self._process = operator.spawn(*arguments)

    def when(self, condition: Callable[[], bool], what: str) -> None:
        try:
            wait_until(condition, what, PATIENT_S)
        finally:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    box = Sandbox(tmp_path_factory.mktemp("sandbox") / "state")
    box.up(time_factor=TIME_FACTOR, parts=())
    try:
        yield box
    finally:
        box.down()


@pytest.fixture
def operator(sandbox: Sandbox, tmp_path: Path) -> Operator:
    return Operator(sandbox, tmp_path / "runs")


@pytest.fixture
def run(sandbox: Sandbox, tmp_path: Path) -> Iterator[Runner]:
    """Runs one module in this process."""
    made = Runner(sandbox, tmp_path)
    yield made
    made.release()


@pytest.fixture
def mended(sandbox: Sandbox) -> Iterator[None]:
    """Nothing is broken before the test, and nothing after it."""
    sandbox.clear_faults()
    sandbox.mend()
    yield
    sandbox.clear_faults()
    sandbox.mend()


@pytest.fixture
def healthy(sandbox: Sandbox, mended: None) -> None:  # noqa: ARG001 - it must run
    """For a diagnosis, which reads metrics: a mended system with no trace of an earlier fault in them."""
    # A busy machine is slow for users, too.
    patient_s = 2 * PATIENT_S
    wait_until(lambda: trouble_is_older(sandbox, METRIC_WINDOW), "users have seen no trouble for a while", patient_s)


def rested(sandbox: Sandbox) -> None:
    """Wait until the last replacement of the tasks (by an earlier test) is longer ago than the cool-down."""
    ecs = sandbox.boto("ecs")
    cooldown = timedelta(seconds=RECYCLE_COOLDOWN_S / TIME_FACTOR)

    def cool() -> bool:
        (service,) = ecs.describe_services(cluster=PREFIX, services=[f"{PREFIX}-web"])["services"]
        newest = max(deployment["createdAt"] for deployment in service["deployments"])
        return bool(datetime.now(UTC) - newest > cooldown)

    wait_until(cool, "the last deployment is longer ago than the cool-down", PATIENT_S)


def unsuspicious(sandbox: Sandbox) -> None:
    """Wait until the last change of a flag (by an earlier test) is further back than what is suspected of an onset."""
    # The onset is told by whole periods of the metrics, so it lies up to some of them before the fault.
    suspected = timedelta(seconds=SUSPECT_BEFORE_S / TIME_FACTOR) + METRIC_WINDOW / 2

    def older() -> bool:
        changed_at = sandbox.flag_changed_at()
        return changed_at is None or datetime.now(UTC) - changed_at > suspected

    wait_until(older, "the last change of a flag is too long ago to be suspected", PATIENT_S)


def trouble_is_older(sandbox: Sandbox, age: timedelta) -> bool:
    """Whether the last error and the last slow answers are further back than what metrics are looked at for."""
    ledger = sandbox.ledger()
    moments = [datetime.fromisoformat(at) for at in (ledger["last_error_at"], ledger["last_slow_at"]) if at]
    return all(datetime.now(UTC) - at > age for at in moments)


class Witness:
    """What changed since it was made, as the sandbox saw it: calls of AWS and LaunchDarkly, writes into queues."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._mark, self._flags = sandbox.mark(), len(sandbox.flag_requests())
        self._writes = 0
        self._writes = len(self.written())

    def mutating(self) -> list[dict[str, Any]]:
        """Everything that may have changed something."""
        return [call for call in self._sandbox.calls(self._mark) if call["mutating"]] + self._elsewhere()

    def changes(self) -> list[dict[str, Any]]:
        """The same without the bookkeeping of the runbooks."""
        return self._sandbox.changes(self._mark) + self._elsewhere()

    def _elsewhere(self) -> list[dict[str, Any]]:
        """What was changed beside AWS; a dry run of LaunchDarkly changes nothing."""
        patches = [
            {"service": "launchdarkly", "operation": "PatchFeatureFlag", **request}
            for request in self._sandbox.flag_requests()[self._flags :]
            if not request["dry_run"]
        ]
        return patches + self.written()

    def written(self) -> list[dict[str, Any]]:
        """Write commands into the queues: a change through BullMQ is many of them."""
        if "queues" not in self._sandbox.description["parts"]:
            return []
        writes = self._sandbox.queue_writes(self._writes)
        return [{"service": "valkey", "operation": write["command"], **write} for write in writes]
