"""Start ansible-playbook through ansible-runner, and leave nothing secret behind.

ansible-runner writes the variables of a run and its whole environment to disk. Here the environment is scrubbed
first, `command` is rewritten before the playbook starts, the variables are removed as soon as Ansible has read
them, events are never written, and what a killed run left is removed when the next one starts.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_runner import Runner, RunnerConfig

from .environment import replaced_environment

if TYPE_CHECKING:
    from types import FrameType

Event = dict[str, Any]
EventHandler = Callable[[Event], None]

RUNNER_FOLDER = ".runner"
LOCK = "lock"
OUTPUT = "output.txt"
SECRET_PARTS = ("env", "artifacts", "inventory", "project", "bundle")
"""What ansible-runner makes in its folder. Nothing of it is kept but the output of the playbook."""

LEASH = Path(__file__).with_name("leash.py")

# ansible-playbook writes "[ERROR]: …", our gate "ERROR: …", either in colour.
ERROR = re.compile(r"(?:\x1b\[[\d;]*m)*\[?ERROR\]?:\s*([^\x1b\r\n]+)")
CANCEL_POLL_S = 1
"""How often ansible-runner looks whether it was cancelled (its default is 5 s)."""


@dataclass(frozen=True)
class Play:
    """What to start."""

    project: Path
    playbook: Path
    inventory: Path
    environment: Mapping[str, str]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    limit: str | None = None
    check: bool = False

    @property
    def options(self) -> str:
        return "--check --diff" if self.check else "--diff"


@dataclass
class Finished:
    """How ansible-playbook ended. That says nothing yet about the incident: see outcome.judge."""

    status: str
    return_code: int | None
    output: Path
    stats: dict[str, dict[str, int]] | None = None
    messages: list[str] = field(default_factory=list)
    """What failed tasks said, in order."""
    errors: list[str] = field(default_factory=list)
    """What Ansible itself said on its way out, where no task did."""
    results: list[dict[str, Any]] = field(default_factory=list)
    """Results of the modules that report an incident (`incident`, `outcome`)."""
    handler_faults: list[str] = field(default_factory=list)
    """Our own display failed; the run went on."""
    lost: str = ""
    """Why nobody here knows how the run ended: it may go on, on another machine."""

    @property
    def cancelled(self) -> bool:
        return self.status in ("canceled", "timeout")

    def take(self, event: Event, handler: EventHandler) -> None:
        """Keep of one event what the verdict needs, then hand it on. Never raises."""
        self._collect(event)
        try:
            handler(event)
        except Exception as fault:  # noqa: BLE001 - it would abort the run in the middle of a change
            self.handler_faults.append(f"{type(fault).__name__} at {event.get('event')}")

    def _collect(self, event: Event) -> None:
        """Every field may be missing."""
        data = event.get("event_data") or {}
        if found := ERROR.match(str(event.get("stdout") or "")):
            self.errors.append(found[1])
        match event.get("event"):
            case "playbook_on_stats":
                kinds = ("processed", "ok", "changed", "failures", "dark", "ignored", "rescued", "skipped")
                self.stats = {kind: dict(data.get(kind) or {}) for kind in kinds}
            case "runner_on_ok" | "runner_on_failed" | "runner_on_unreachable" as kind:
                result = data.get("res") or {}
                if not isinstance(result, dict):
                    return
                if "incident" in result or "outcome" in result:
                    self.results.append(result | {"failed": kind != "runner_on_ok"})
                if kind != "runner_on_ok" and isinstance(result.get("msg"), str):
                    self.messages.append(result["msg"])


def run(play: Play, runs_dir: Path, handler: EventHandler, cancel: threading.Event) -> Finished:
    """Run a playbook to its end, handing each event to `handler`. `cancel` set → the playbook is stopped."""
    with run_folder(runs_dir) as folder:
        config = _configure(play, folder)
        finished = Finished(status="unstarted", return_code=None, output=folder / OUTPUT)

        def on_status(status: dict[str, Any], **_: object) -> None:
            # `command` is on disk and the playbook has not started: the last moment before it could be killed.
            if status["status"] == "starting":
                config.command = leashed(config.command)
            if status["status"] == "running":
                rewrite_command(Path(config.artifact_dir))

        def on_event(event: Event) -> bool:
            if event.get("event") == "playbook_on_start":
                shutil.rmtree(folder / "env", ignore_errors=True)
            finished.take(event, handler)
            return False  # no event file

        runner = Runner(config, event_handler=on_event, status_handler=on_status, cancel_callback=cancel.is_set)
        finished.status, finished.return_code = runner.run()
        return finished


def _configure(play: Play, folder: Path) -> RunnerConfig:
    (folder / "env").mkdir(mode=0o700)
    if play.inputs:
        (folder / "env" / "extravars").write_text(json.dumps(dict(play.inputs)), encoding="utf-8")
    config = RunnerConfig(
        private_data_dir=str(folder),
        project_dir=str(play.project),
        ident="run",
        playbook=str(play.playbook),
        inventory=str(play.inventory),
        limit=play.limit or None,  # an empty --limit means everything to Ansible
        cmdline=play.options,
        quiet=True,
    )
    with replaced_environment(play.environment):
        config.prepare()
    config.pexpect_timeout = CANCEL_POLL_S
    return config


def leashed(command: Sequence[str]) -> list[str]:
    """A command that is told to end when this process dies. To be started by the thread that lives as long."""
    return [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *command]


def sweep(runs_dir: Path) -> None:
    """Remove what runs that were killed left behind. A folder whose command still lives is locked, and kept."""
    for folder in (runs_dir / RUNNER_FOLDER).glob("*/"):
        with suppress(OSError), _locked(folder, wait=False):
            _remove_secrets(folder)


@contextmanager
def run_folder(runs_dir: Path) -> Iterator[Path]:
    """A folder of its own for one run, readable by this user only, of which only the output stays."""
    with _private_umask():
        runs_dir.mkdir(parents=True, exist_ok=True)
        sweep(runs_dir)
        folder = runs_dir / RUNNER_FOLDER / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
        folder.mkdir(parents=True, mode=0o700)
        with _locked(folder):
            try:
                yield folder
            finally:
                with suppress(FileNotFoundError):
                    (folder / "artifacts" / "run" / "stdout").replace(folder / OUTPUT)
                _remove_secrets(folder)


@contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the folder. Without `wait`, raises BlockingIOError when another command holds it."""
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _remove_secrets(folder: Path) -> None:
    for part in SECRET_PARTS:
        shutil.rmtree(folder / part, ignore_errors=True)


def rewrite_command(artifacts: Path) -> None:
    """Leave in the file `command` of ansible-runner only the command: it holds the whole environment besides."""
    path = artifacts / "command"
    said = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({"command": said["command"], "cwd": said["cwd"]}), encoding="utf-8")


@contextmanager
def _private_umask() -> Iterator[None]:
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def cancel_on_signal() -> Iterator[threading.Event]:
    """An event that SIGINT, SIGTERM and SIGHUP set, instead of ending this process in the middle of a run."""
    cancelled = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        cancelled.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield cancelled
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
