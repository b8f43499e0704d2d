"""The task processes of one sandbox: started, watched, ended. None outlives the daemon (see become.py)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..children import BECOME

END_S = 3.0
"""Real seconds that processes get to end when the sandbox goes down."""


class Processes:
    """One process for each running task, by task id."""

    def __init__(self, logs_dir: Path) -> None:
        self._logs_dir = logs_dir
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def start(self, task_id: str, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Start a task and return its pid. It sees only its own environment, never the daemon's."""
        self._logs_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        basics = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
        basics |= {"PYTHONUNBUFFERED": "1"}
        # Our own fork, not children.start: the death signal follows the thread that forks, and this one ends last.
        become = [sys.executable, "-I", "-S", str(BECOME), str(os.getpid()), str(int(signal.SIGKILL)), "-"]
        with (self._logs_dir / f"task-{task_id}.log").open("ab") as log:
            process = subprocess.Popen(
                [*become, *command],
                env=basics | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._logs_dir,
                start_new_session=True,
            )
        with self._lock:
            self._running[task_id] = process
        return process.pid

    def exit_code(self, task_id: str) -> int | None:
        """Exit code as a container reports it (128 + signal number), None while it runs."""
        process = self._running.get(task_id)
        if process is None:
            return None
        code = process.poll()
        return 128 - code if code is not None and code < 0 else code

    def send(self, task_id: str, number: int) -> None:
        process = self._running.get(task_id)
        if process is None or process.poll() is not None:
            raise LookupError(f"task {task_id} has no running process")
        process.send_signal(number)

    def terminate(self, task_id: str) -> None:
        if process := self._running.get(task_id):
            process.terminate()

    def kill(self, task_id: str) -> None:
        if process := self._running.get(task_id):
            process.kill()

    def forget(self, task_id: str) -> None:
        with self._lock:
            self._running.pop(task_id, None)

    def end_all(self) -> None:
        """SIGTERM, then SIGKILL to what is left, and wait for the end of each."""
        with self._lock:
            left = list(self._running.values())
            self._running.clear()
        for process in left:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + END_S
        for process in left:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
