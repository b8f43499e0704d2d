"""The far end of `runbook run --on NODE`: runs what comes on standard input, and sends back how it goes.

The protocol is that of `ansible-runner worker` (transmit | worker | process), with four differences:

- the environment is that of this machine, scrubbed as for a run from here, and nothing of it is sent back: credentials
  neither come with the run nor leave with it (ansible-runner sends its whole environment back, twice);
- the lines of the journal are sent as they are written, and the run's folder at the end;
- a line `{"cancel": true}` behind the run stops it;
- a connection that is lost does not: the run goes on to its end, and its record stays here, in DAILY_EMR_RUNS.
"""

from __future__ import annotations

import io
import json
import os
import queue
import shutil
import signal
import sys
import threading
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ansible_runner.streaming import Worker

from .environment import replaced_environment, run_environment
from .project import Project
from .record import JOURNAL, RunFolder, folder_of, read_lines
from .runner import CANCEL_POLL_S, leashed, rewrite_command, run_folder
from .supervisor import OPERATOR, Supervisor, supervised

if TYPE_CHECKING:
    from collections.abc import Mapping

JOURNAL_EVENT = "daily_emr_journal"
"""An event of our own beside those of ansible-runner: `incident`, `run`, and `lines` of that journal."""
RECORDS = "records"
"""Folder in the artifacts in which the folders of the runs come back, as INCIDENT/RUN."""
FOLLOW_S = 0.2
MOST_WAITING = 64 * 1024 * 1024
"""Bytes that may wait for the other end to read; it reads a megabyte in a second over a poor line."""
PACKAGES = Path(__file__).resolve().parents[2] / "node_modules"
"""The packages of Node that `make setup` put beside this command; they belong to the machine, as Python's do."""
CANCEL = {"cancel": True}


def runs_folder(outside: Mapping[str, str]) -> Path:
    """Where a node keeps the records of the runs it was sent: DAILY_EMR_RUNS, else in the user's own state folder."""
    state = Path(outside.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return Path(outside.get("DAILY_EMR_RUNS") or state / "daily-emr" / "runs").absolute()


def work(source: IO[bytes], sink: IO[bytes]) -> None:
    """Run what comes from `source` to its end. Never raises for a connection that is lost."""
    runs_dir = runs_folder(os.environ)
    with run_folder(runs_dir) as folder:
        environment = run_environment(
            os.environ,
            project=folder / "project",
            runs_dir=runs_dir,
            sandbox=Path(os.environ.get("DAILY_EMR_SANDBOX") or folder / "project" / ".sandbox").absolute(),
        )
        stream = LastingStream(sink)
        worker: RunbookWorker | None = None
        # A connection that drops takes no run with it, so neither does the SIGHUP that may come of it.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with (
            replaced_environment(environment),
            supervised(
                Project(folder / "project"),
                lambda: worker.folders if worker else [],
                signals=(signal.SIGINT, signal.SIGTERM),
            ) as supervisor,
        ):
            worker = RunbookWorker(source, stream, folder, runs_dir, supervisor)
            worker.run()
        stream.end()


class LastingStream(io.RawIOBase):
    """A stream whose other end may go away, or stop reading: what is written then is dropped, and the writer goes on.

    A thread of its own writes, because a full pipe would hold the run in the middle of a step.
    """

    name = "the other end"  # ansible-runner asks

    def __init__(self, sink: IO[bytes]) -> None:
        super().__init__()
        self._sink = sink
        self._lost = False
        self._waiting = 0
        self._counting = threading.Lock()
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._pass_on, daemon=True)
        self._writer.start()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        with self._counting:
            self._waiting += len(data)
            self._lost = self._lost or self._waiting > MOST_WAITING
        if not self._lost:
            self._queue.put(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Everything is written as soon as it can be."""

    def end(self) -> None:
        """Wait until everything has been written, or the other end is lost."""
        self._queue.put(None)
        while self._writer.is_alive() and not self._lost:
            self._writer.join(FOLLOW_S)

    def _pass_on(self) -> None:
        while (data := self._queue.get()) is not None:
            try:
                self._sink.write(data)
                if self._queue.empty():
                    self._sink.flush()
            except (OSError, ValueError):  # broken, or closed
                self._lost = True
                return
            with self._counting:
                self._waiting -= len(data)


class RunbookWorker(Worker):  # type: ignore[misc]
    """One run. ansible-runner calls the handlers from this thread; the journal is followed by another."""

    def __init__(
        self, source: IO[bytes], sink: LastingStream, folder: Path, runs_dir: Path, supervisor: Supervisor
    ) -> None:
        self._supervisor = supervisor
        super().__init__(source, sink, private_data_dir=str(folder), cancel_callback=supervisor.stop.is_set)
        self._folder = folder
        self._runs_dir = runs_dir
        self._offsets: dict[Path, int] = {}
        self._ended = threading.Event()

    @property
    def folders(self) -> list[RunFolder]:
        """The runs that are known by now."""
        return [RunFolder(path) for path in list(self._offsets)]

    def run(self) -> tuple[str, int | None]:
        follower = threading.Thread(target=self._follow, daemon=True)
        # Says that somebody who understands is here, before anything is run.
        self._send({"status": "unstarted", "runs_dir": str(self._runs_dir)})
        follower.start()
        try:
            ended: tuple[str, int | None] = super().run()
        finally:
            self._ended.set()
            follower.join()
        return ended

    def update_paths(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        # Called once, when the settings of the run have come. How often it looks whether it was cancelled:
        kwargs["settings"] = {"pexpect_timeout": CANCEL_POLL_S}
        updated: dict[str, Any] = super().update_paths(kwargs)
        return updated

    def status_handler(self, status_data: dict[str, Any], runner_config: Any) -> None:
        if status_data["status"] == "starting":
            runner_config.command = leashed(runner_config.command)
            if PACKAGES.is_dir():
                # Node looks for a package in the folders above the program that asks for it.
                (self._folder / "project" / PACKAGES.name).symlink_to(PACKAGES)
        if status_data["status"] == "running":
            # The run has come whole, so what follows on the stream is for us.
            threading.Thread(target=self._listen, daemon=True).start()
            rewrite_command(Path(runner_config.artifact_dir))
        kept = {key: status_data[key] for key in ("status", "job_explanation") if key in status_data}
        super().status_handler(kept, runner_config)

    def event_handler(self, event_data: dict[str, Any]) -> None:
        if event_data.get("event") == "playbook_on_start":
            shutil.rmtree(self._folder / "env", ignore_errors=True)
        result = (event_data.get("event_data") or {}).get("res")
        if isinstance(result, dict) and (found := folder_of(result)) and found not in self._offsets:
            self._offsets[found] = 0
        self._send_journals()  # an event may speak of what a line of the journal says
        super().event_handler(event_data)

    def artifacts_handler(self, artifact_dir: str) -> None:
        self._supervisor.end()
        if self._supervisor.lost:
            raise OSError(self._supervisor.lost)  # the other end hears of no end, and says that the run may go on
        self._send_journals()
        for found in self._offsets:
            with suppress(OSError):
                shutil.copytree(found, Path(artifact_dir) / RECORDS / found.parent.name / found.name)
        super().artifacts_handler(artifact_dir)

    def _follow(self) -> None:
        while not self._ended.wait(FOLLOW_S):
            self._send_journals()

    def _send_journals(self) -> None:
        with self._output_lock:
            for found, offset in list(self._offsets.items()):
                with suppress(OSError):
                    lines, self._offsets[found] = read_lines(found / JOURNAL, offset)
                    if lines:
                        said = {
                            "event": JOURNAL_EVENT,
                            "incident": found.parent.name,
                            "run": found.name,
                            "lines": lines,
                        }
                        self._send(said | {"counter": 1, "uuid": str(uuid.uuid4())})

    def _send(self, said: dict[str, Any]) -> None:
        with self._output_lock:
            self._output.write(json.dumps(said).encode() + b"\n")
            self._output.flush()

    def _listen(self) -> None:
        """Wait for the word to stop. The end of the stream is no such word: a connection may be lost."""
        for line in self._input:
            with suppress(ValueError):
                if json.loads(line) == CANCEL:
                    self._supervisor.cancel(OPERATOR)


def main() -> None:
    """`runbook worker`: standard input and output are the stream; whatever else writes there goes to standard error."""
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    work(sys.stdin.buffer, sink)
