# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How a run is stopped without cutting a change in two: a marker that the core obeys, and signals that wait.

A file named `cancel` in the run's folder, or in its incident's, means: no further mutating call. The supervisor of the
`runbook` command writes it, anybody else may. Without a supervisor (plain ansible-playbook, AWX) the signal reaches the
process that makes the change itself; there it waits until the outcome is in the journal.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, Session

MARKER = "cancel"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TIMEOUT, LOST, OPERATOR = "timeout", "lost", "operator"
# What a marker may say, and how it is told. Anything else in the file is somebody's word, and is not repeated.
REASONS = {
    **{number.name: f"by {number.name}" for number in SIGNALS},
    TIMEOUT: "because it timed out",
    LOST: "because its ansible-playbook had ended",
    OPERATOR: "by its operator",
}
SOMEBODY = "by somebody"
LONGEST_REASON = 32

# Signals that came while a change was made; the newest last. Of this process: a signal is nobody else's.
_pending: list[signal.Signals] = []


def refuse_when_cancelled(session: Session | None) -> None:
    """Raise Refused when the run was told to stop, by a marker or by a signal that waits."""
    reason = stopped(session)
    if not reason:
        return
    if session is None:
        raise Refused(f"The run was stopped {reason}, so nothing more is done: run it again.")
    marker = session.folder.parent / MARKER
    first = f"remove {marker}, then " if _said(marker) else ""
    raise Refused(
        f"The run was stopped {reason}, so nothing more is done: {first}go on with `runbook resume {session.id}`."
    )


def stopped(session: Session | None) -> str:
    """How the run was stopped, to stand behind "was stopped"; empty when it was not."""
    if _pending:
        return REASONS[_pending[0].name]
    if session is None:
        return ""
    return _said(session.folder / MARKER) or _said(session.folder.parent / MARKER)


def write_marker(folder: Path, reason: str) -> None:
    """Tell the run of a folder to stop. Raises OSError when that cannot be written."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(folder / MARKER, flags, 0o600), "w") as file:
        file.write(reason)


def note_cancel(session: Session) -> None:
    """Journal once that the run was stopped, if it was. Raises Refused when the journal cannot be written."""
    journal, reason = Journal.of(session), stopped(session)
    if reason and not any(line["kind"] == "cancelled" for line in journal.read()):
        journal.append("cancelled", msg=f"The run was stopped {reason}.")


@contextmanager
def signals_deferred(noticed: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP wait until the end of the block, then take effect as they would have.

    noticed: called at the end when one came, before it takes effect. In a thread that is not the main one nothing is
    deferred, because Python hands signals to the main thread alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: _replace(number) for number in SIGNALS}
    try:
        yield
    finally:
        try:
            if _pending:
                noticed()
        finally:
            for number, handler in before.items():
                if handler is not None:  # else it was not set from Python, and cannot be set back
                    signal.signal(number, handler)
            came, _pending[:] = _pending[:], []
            if came:
                os.kill(os.getpid(), came[0])


def _replace(number: signal.Signals) -> Any:
    """Defer one signal, and return who handled it. One that is ignored, as under nohup, goes on being ignored."""
    if signal.getsignal(number) is signal.SIG_IGN:
        return signal.SIG_IGN
    return signal.signal(number, _remember)


def _remember(number: int, _frame: FrameType | None) -> None:
    _pending.append(signal.Signals(number))


def _said(marker: Path) -> str:
    """The reason in a marker; empty when there is none. A marker that cannot be read is one."""
    try:
        with marker.open(encoding="utf-8", errors="replace") as file:
            return REASONS.get(file.read(LONGEST_REASON).strip(), SOMEBODY)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError:
        return SOMEBODY
