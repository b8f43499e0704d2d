"""Numbered points of a run at which it can be killed: each line of the journal, before and after it is on the disk, and
each HTTP request of a change, before it is sent and before its reply is read.

It stands beside sitecustomize.py and is loaded before anything else, so it imports the standard library alone. The
points are found from outside (os.fsync, http.client), and nothing that is shipped knows of them.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

VARIABLE = "DAILY_EMR_CHAOS"
JOURNAL = "journal.jsonl"
ENOUGH_S = 5.0
"""How long a process waits at its point for a signal that it sent to another to take effect there."""
Json = dict[str, Any]


class Points:
    """plan: `points`, a file to which each point is written as it is reached; and to kill, `at` (its name), `signal`,
    `target` (worker, playbook, command), and `fired`, a file that says that it was done, once in a run. `patience_s`:
    how long the process waits at its point for the end of another that it struck; else only as long as a signal needs.
    """

    def __init__(self, plan: Json) -> None:
        self._plan = plan
        self._kinds: Counter[str] = Counter()
        self._requests = 0
        self._changing = False
        self._fsync = os.fsync

    def install(self) -> None:
        os.fsync = self._on_fsync
        connection = http.client.HTTPConnection
        send, reply = connection.endheaders, connection.getresponse

        def endheaders(this: Any, *args: Any, **options: Any) -> Any:
            if self._changing:
                self._requests += 1
                self.reached(f"request {self._requests} before it is sent")
            return send(this, *args, **options)

        def getresponse(this: Any, *args: Any, **options: Any) -> Any:
            if self._changing:
                self.reached(f"request {self._requests} before its reply")
            return reply(this, *args, **options)

        connection.endheaders, connection.getresponse = endheaders, getresponse  # type: ignore[method-assign]

    def _on_fsync(self, descriptor: int) -> None:
        kind = _kind_of_last_line(descriptor)
        if not kind:
            self._fsync(descriptor)
            return
        self._kinds[kind] += 1
        name = f"{kind} {self._kinds[kind]}" if self._kinds[kind] > 1 else kind
        self.reached(f"{name} before it is on the disk")
        self._fsync(descriptor)
        if kind == "intent":
            self._changing, self._requests = True, 0
            self._keep_change()
        self.reached(f"{name} on the disk")
        if kind in ("outcome", "refused"):
            self._changing = False

    def reached(self, name: str) -> None:
        if points := self._plan.get("points"):
            with open(points, "a") as file:  # noqa: PTH123 - a plain append, in any process
                file.write(f"{name}\n")
        if name == self._plan.get("at") and self._first():
            self._strike()

    def _first(self) -> bool:
        try:
            os.close(os.open(self._plan["fired"], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        return True

    def _strike(self) -> None:
        number = signal.Signals[self._plan["signal"]]
        playbook = os.getppid()
        pids = {"worker": os.getpid(), "playbook": playbook, "command": _parent(playbook)}
        target = pids[self._plan["target"]]
        born = _start(target)
        os.kill(target, number)
        if target == os.getpid():
            return
        # Let it take effect there while this process is still at its point.
        enough = ENOUGH_S if number == signal.SIGKILL or self._plan["target"] == "playbook" else 0.5
        until = time.monotonic() + self._plan.get("patience_s", enough)
        while _start(target) == born and time.monotonic() < until:
            time.sleep(0.01)

    def _keep_change(self) -> None:
        """Keep the options of the change that is being made, so that it can be made again alone."""
        if not (kept := self._plan.get("changes")):
            return
        frame: Any = sys._getframe()
        while frame and not hasattr(frame.f_locals.get("self"), "change"):
            frame = frame.f_back
        if frame:
            change = frame.f_locals["self"].change
            with open(kept, "a") as file:  # noqa: PTH123
                file.write(json.dumps({"step": change.name, "params": dict(change.params)}, default=str) + "\n")


def from_environment() -> None:
    """Install what the environment asks for. A fault here must not touch the run: then it is not killed, and the test
    says that its point was not reached.
    """
    with contextlib.suppress(Exception):
        if text := os.environ.get(VARIABLE):
            Points(json.loads(text)).install()


def _kind_of_last_line(descriptor: int) -> str:
    try:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.name != JOURNAL:
            return ""
        return str(json.loads(path.read_bytes().rstrip(b"\n").rpartition(b"\n")[2])["kind"])
    except (OSError, ValueError, KeyError):
        return ""


def _start(pid: int) -> str:
    """When a process was started, in ticks; empty when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
