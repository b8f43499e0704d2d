"""The processes that a run has started, however deep, and those that left their parent: found, and ended.

Linux: this process becomes the one that orphans are given to (a subreaper), so nothing gets out of its tree. Elsewhere
there is no such thing: `adopt` says so, and the tree is what it is.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37
PROC = Path("/proc")
STATE, PARENT, START = 0, 1, 19
"""Fields of /proc/PID/stat, counted behind the name of the program (proc(5))."""
POLL_S = 0.02
LOOKS = 3
"""One look at /proc can miss a process whose parent ends while it is looked at."""
LAST_S = 10.0
"""How long a process that was sent SIGKILL may take to be gone; one that waits for a dead disk may never be."""


class Descendants:
    """What this process has started since `adopt`. What was there before, and all below it, is somebody else's."""

    def __init__(self, before: frozenset[tuple[int, str]]) -> None:
        self._before = before

    def living(self, spared: Collection[int] = ()) -> list[int]:
        """Process ids, parents first, without those spared. Those that are dead and were given to us are cleared away
        on the way.
        """
        pause = threading.Event()
        for _ in range(LOOKS):
            if (found := self._look()) or _childless():
                break
            pause.wait(POLL_S)
        return [pid for pid in found if pid not in spared]

    def _look(self) -> list[int]:
        table = _table()
        children: dict[int, list[int]] = {}
        for pid, (parent, _, _) in table.items():
            children.setdefault(parent, []).append(pid)
        found: list[int] = []
        waiting = [pid for pid in children.get(os.getpid(), []) if (pid, table[pid][1]) not in self._before]
        for pid in waiting:
            waiting.extend(children.get(pid, []))
            if table[pid][2] not in "ZX":
                found.append(pid)
            elif table[pid][0] == os.getpid():
                with suppress(ChildProcessError):  # whoever started it has asked already how it ended
                    os.waitpid(pid, os.WNOHANG)
        return found

    def kill(self, spared: Collection[int] = ()) -> list[int]:
        """SIGKILL until none but those spared is left; returns those that would not go."""
        deadline = time.monotonic() + LAST_S
        pause = threading.Event()
        while (left := self.living(spared)) and time.monotonic() < deadline:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            pause.wait(POLL_S)
        return left


def _childless() -> bool:
    """Whether this process has no child, living or dead; the kernel knows that at once, and surely."""
    if not supported():
        return True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


@contextmanager
def adopt() -> Iterator[Descendants]:
    """Be given the orphans of what is started in the block."""
    before = frozenset((pid, start) for pid, (parent, start, _) in _table().items() if parent == os.getpid())
    was = _subreaper()
    _set_subreaper(on=True)
    try:
        yield Descendants(before)
    finally:
        _set_subreaper(on=was)


def supported() -> bool:
    """Whether orphans can be adopted on this machine."""
    return sys.platform == "linux"


def _subreaper() -> bool:
    if not supported():
        return False
    value = ctypes.c_int(0)
    ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(value), 0, 0, 0)
    return bool(value.value)


def _set_subreaper(*, on: bool) -> None:
    if supported():
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


def _table() -> dict[int, tuple[int, str, str]]:
    """Parent, time of start and state of every process, by its id; empty where there is no /proc (proc(5))."""
    found = {}
    for entry in PROC.glob("[0-9]*/stat"):
        try:
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # gone since
            continue
        if len(fields) > START:
            found[int(entry.parent.name)] = (int(fields[PARENT]), fields[START], fields[STATE])
    return found
