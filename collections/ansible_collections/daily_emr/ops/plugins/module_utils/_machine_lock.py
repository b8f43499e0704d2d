# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the lock of this machine on a component. May change without notice.

"""Who works on a component on this machine: a lock of the kernel during each change, and who that is in its file.

It stands beside the lease, and stands in for it where the table gives no answer: a run without the table excludes every
other one of the same account of this machine. It knows of no other machine. What a run wrote there and did not take
back, because it died, is lifted by naming why (take_over), as a lease is; a change that is under way is not.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Session, utc_now

Holder = Mapping[str, Any]


class MachineLock:
    """The lock of one component of one environment. Every trouble with its file is Refused."""

    def __init__(self, environment: Environment, component: str) -> None:
        self._component = component
        where = (
            environment.name,
            environment.account_id,
            environment.region,
            environment.endpoint_url or "",
            component,
        )
        name = hashlib.sha256("\0".join(where).encode()).hexdigest()[:32]
        self._folder = Path(tempfile.gettempdir()) / f"daily-emr-locks-{os.geteuid()}"
        self._path = self._folder / f"{name}.lock"

    def claim(self, session: Session, owner: str, *, without_table: bool, take_over: str = "") -> None:
        """Write down that this run works on the component now.

        Under the lease the table has said that nobody else does, so what a run under the lease left here is over; what
        a run without the table left here, the table does not know. Raises Refused, naming who that is.
        """
        with self._locked(alone=without_table) as file:
            other = _holder(file)
            theirs = bool(other) and other.get("run") != session.run
            if theirs and (without_table or other.get("without_table")) and not take_over:
                raise Refused(
                    f"{self._component} is being worked on, on this machine, by {_said(other)}: talk to them; if that "
                    "run is dead, go on with its incident and --input incident_take_over=REASON (ansible-playbook: -e)."
                )
            mine = {"incident": session.id, "run": session.run, "owner": owner, "since": utc_now()}
            _write(file, {**mine, "without_table": without_table})

    @contextmanager
    def changing(self, session: Session, *, without_table: bool) -> Iterator[None]:
        """Hold the lock while a change is made. Runs under the lease share it: among them the table decides.

        Raises Refused while somebody else's change is under way, or when another run has claimed the component since.
        """
        with self._locked(alone=without_table) as file:
            other = _holder(file)
            if without_table and other.get("run") != session.run:
                raise Refused(
                    f"{self._component} is no longer claimed by this run, on this machine, but by {_said(other)}, so "
                    "nothing was changed: talk to them, and run again."
                )
            yield

    def give_back(self, session: Session) -> None:
        """Take back what claim() wrote. What cannot be taken back stays, and is lifted as that of a dead run is."""
        with suppress(Refused), self._locked(alone=False) as file:
            if _holder(file).get("run") == session.run:
                _write(file, {})

    @contextmanager
    def _locked(self, *, alone: bool) -> Iterator[BinaryIO]:
        with self._open() as file:
            try:
                fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            except OSError as error:
                raise Refused(
                    f"{self._component} is being changed in this moment, on this machine, by {_said(_holder(file))}: "
                    "wait until that has ended, and run again."
                ) from error
            yield file

    def _open(self) -> BinaryIO:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            found = self._folder.lstat()
            ours = (
                stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o022
            )
            if not ours:
                raise Refused(f"{self._folder}, where this machine keeps its locks, is not ours alone: remove it.")
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.fdopen(os.open(self._path, flags, 0o600), "r+b", buffering=0)
        except OSError as error:
            raise Refused(
                f"The lock {self._path} cannot be opened ({error.strerror}): make room, or remove it."
            ) from error


def _holder(file: BinaryIO) -> Holder:
    """Who is written in the file; empty when nobody is. What cannot be read is somebody."""
    file.seek(0)
    text = file.read()
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"without_table": True}


def _write(file: BinaryIO, holder: Holder) -> None:
    try:
        file.seek(0)
        file.truncate()
        file.write(json.dumps(holder).encode() if holder else b"")
    except OSError as error:
        raise Refused(
            f"The lock of this machine cannot be written ({error.strerror}): make room on the disk."
        ) from error


def _said(holder: Holder) -> str:
    if not holder:
        return "nobody"
    said = {name: str(holder.get(name) or "unknown") for name in ("owner", "since", "incident", "run")}
    return f"{said['owner']} since {said['since']}, for incident {said['incident']}, run {said['run']}"
