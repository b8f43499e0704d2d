"""Server processes of the sandbox: started without root, and gone when the daemon is gone."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BECOME = Path(__file__).with_name("become.py")

_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")
"""Starts every server: the death signal follows the *thread* that forked, so it must live as long as the daemon."""


def account() -> str | None:
    """Account that servers run as: `postgres`, else `nobody`; None when this process is not root anyway."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def hand_over(path: Path) -> None:
    """Give a file or folder to the account that servers run as."""
    if (name := account()) is not None:
        entry = pwd.getpwnam(name)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def start(
    command: Sequence[str | Path],
    log: Path,
    death_signal: signal.Signals = signal.SIGKILL,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a server in its own session; its output is appended to `log`."""
    return _spawner.submit(_start, [str(part) for part in command], log, death_signal, environment or {}).result()


def _start(
    command: list[str], log: Path, death_signal: signal.Signals, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    become = [sys.executable, "-I", "-S", str(BECOME), str(os.getpid()), str(int(death_signal)), account() or "-"]
    with log.open("ab") as output:
        return subprocess.Popen(
            [*become, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **environment},
            start_new_session=True,
        )


def run(command: Sequence[str | Path], log: Path) -> None:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed; says which log tells why.
    """
    if code := start(command, log).wait():
        raise RuntimeError(f"{Path(command[0]).name} ended with exit code {code}: see {log}.")


def end(process: subprocess.Popen[bytes], number: signal.Signals, timeout_s: float = 10.0) -> None:
    """Signal a server and wait until it is gone; SIGKILL when it takes longer than `timeout_s`."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
