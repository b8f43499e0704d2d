"""Become another program that is told to end (SIGTERM) when the process that started it dies, even by SIGKILL.

Run by its path, `python -I -S leash.py PARENT COMMAND…`, so that it costs milliseconds and imports nothing of ours.
SIGTERM and not SIGKILL: ansible-playbook hands it on to its workers, and one that makes a change finishes it first.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before it could be watched
            sys.exit(128 + signal.SIGTERM)
    os.execvp(command[0], command)  # noqa: S606 - that is what this is for


if __name__ == "__main__":
    main()
