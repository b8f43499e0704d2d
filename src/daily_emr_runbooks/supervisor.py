"""Stands over a run: stops it without cutting a change in two, and lets nothing of it live on behind its verdict.

ansible-runner says "canceled" while a worker, in a session of its own, still makes its change. Here a run is stopped in
order: a marker in the run's folder tells the core to send nothing new; the call in flight ends, is read back and
journalled; the playbook ends by itself through its rescue and closes the incident. What has not ended by then is
killed, every descendant of it, and only then is anything said about the run.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .descendants import Descendants, adopt
from .record import RunFolder

if TYPE_CHECKING:
    from types import FrameType

    from .project import Project
    from .runbooks import Input
    from .runner import Event, EventHandler

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TIMEOUT, LOST, OPERATOR = "timeout", "lost", "operator"
"""What a marker says besides the name of a signal: see the collection's _cancel.py."""
POLL_S = 0.1
UNOPENED_S = 2.0
"""How long after its opening an incident may still be unknown here; before it nothing is changed."""
QUIET_S = 25.0
"""A call in flight (3 + 10 s), what it is read back with (10 s), and a margin."""
CLOSING_S = 30.0
"""What a playbook may take after that to run into its rescue and to close: a read in progress and four tasks."""
DEFAULT_SILENCE_S = 3 * 3600.0
SILENCE_MARGIN_S = 300.0
"""Beside its longest wait a run is never silent for longer than a read with its retries and a start of Ansible."""
TELLING_S = 20.0
"""How long people may be told of a run that has ended: a provider has ten seconds to answer (_channels.py)."""
WAIT = "_timeout_s"
"""How the inputs end that bound a wait, in seconds."""

Say = Callable[[str], None]


class Supervisor:
    """One run. `stop` is set when ansible-playbook itself is to be stopped."""

    def __init__(
        self,
        project: Project,
        folders: Callable[[], Sequence[RunFolder]],
        descendants: Descendants,
        say: Say = lambda _text: None,
        longest_silence_s: float = DEFAULT_SILENCE_S,
    ) -> None:
        self.stop = threading.Event()
        self.lost = ""
        """Why nobody can say that the run has ended; empty when nothing of it lives."""
        self._project, self._folders, self._descendants, self._say = project, folders, descendants, say
        self._longest_silence_s = longest_silence_s
        # Appended to by handlers of signals, where no lock may be taken: the next signal could find it taken.
        self._asked: list[tuple[str, float]] = []
        self._marked: set[Path] = set()
        self._marking = threading.Lock()
        self._unmarked = False
        """A marker could not be written: then the only way to stop is to kill, once nothing is in flight."""
        self._last_event = time.monotonic()
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    @property
    def reason(self) -> str:
        """Why the run was told to stop, as a marker says it; empty when it was not."""
        return self._asked[0][0] if self._asked else ""

    def cancel(self, reason: str) -> None:
        """Tell the run to stop. A second time: without waiting for the playbook to close by itself."""
        self._asked.append((reason, time.monotonic()))

    def watching(self, handler: EventHandler) -> EventHandler:
        """The handler, with an ear for signs of life."""

        def heard(event: Event) -> None:
            self._last_event = time.monotonic()
            handler(event)

        return heard

    @contextmanager
    def watched(self, signals: Sequence[signal.Signals]) -> Iterator[Supervisor]:
        """Obey signals and look after the run, for the time of the block."""

        def handle(number: int, _frame: FrameType | None) -> None:
            self.cancel(signal.Signals(number).name)

        before = {number: signal.signal(number, handle) for number in signals}
        self._watcher.start()
        try:
            yield self
        finally:
            # Still under our handlers: a signal that comes now must not end us between a kill and a verdict.
            self._ended.set()
            self._watcher.join()
            try:
                self.end()
            finally:
                for number, previous in before.items():
                    signal.signal(number, previous)

    def _watch(self) -> None:
        told = False
        while not self._ended.wait(POLL_S):
            if not self._asked and self._silent_s() > self._longest_silence_s:
                self.cancel(TIMEOUT)
            if not self._asked:
                continue
            self._mark(self.reason)
            if not told:
                self._say(
                    f"Stopping ({self.reason}): a call in flight ends and is read back, nothing new is started. "
                    "Once more: without waiting for the playbook to close."
                )
                told = True
            if self._time_is_up():
                self.stop.set()

    def _silent_s(self) -> float:
        """Seconds since the last sign of life: an event, progress among them, or a line of a journal."""
        written = 0.0
        for folder in self._folders():
            with suppress(OSError):
                written = max(written, (folder.path / "journal.jsonl").stat().st_mtime)
        return min(time.monotonic() - self._last_event, time.time() - written)

    def _time_is_up(self) -> bool:
        waited = time.monotonic() - self._asked[0][1]
        folders = self._folders()
        if not folders:
            return waited > UNOPENED_S
        if any(in_flight(folder) for folder in folders):
            return waited > QUIET_S
        return self._unmarked or len(self._asked) > 1 or waited > QUIET_S + CLOSING_S

    def _mark(self, reason: str) -> None:
        """Write the marker into every folder that is known by now, and a line into its journal."""
        with self._marking:
            for folder in self._folders():
                if folder.path not in self._marked and folder.path.is_dir():
                    self._marked.add(folder.path)
                    self._unmarked |= not mark(self._project, folder, reason)

    def end(self) -> None:
        """Let what makes a change finish it, kill the rest, and close what is not closed. To be called when the runner
        has returned, for whatever reason.
        """
        started = self._asked[0][1] if self._asked else time.monotonic()
        telling = tellers(self._folders())
        if self._descendants.living(telling):
            self._mark(self.reason or LOST)
        pause = threading.Event()
        while (
            self._descendants.living(telling)
            and any(in_flight(folder) for folder in self._folders())
            and time.monotonic() - started < QUIET_S
        ):
            pause.wait(POLL_S)
        left = self._descendants.kill(telling)
        for path in self._marked:  # what it says is in the journal, and the next run is not meant
            with suppress(OSError):
                (path / "cancel").unlink()
        if left:
            numbers = ", ".join(map(str, left))
            self.lost = (
                f"Process {numbers} of the run cannot be ended, so it may go on: look at it, and at the service."
            )
        else:
            write_missing_records(self._project, self._folders())
        # What tells people changes nothing, and reads in the journal how the run ended.
        ends = time.monotonic() + TELLING_S
        while telling.intersection(self._descendants.living()) and time.monotonic() < ends:
            pause.wait(POLL_S)
        self._descendants.kill()


def tellers(folders: Sequence[RunFolder]) -> set[int]:
    """The processes that tell people of these runs: each has written its number where it keeps others from doing so."""
    found = set()
    for folder in folders:
        with suppress(OSError, ValueError):
            found.add(int((folder.path / "notifications.lock").read_text()))
    return found


@contextmanager
def supervised(
    project: Project,
    folders: Callable[[], Sequence[RunFolder]],
    say: Say = lambda _text: None,
    longest_silence_s: float = DEFAULT_SILENCE_S,
    signals: Sequence[signal.Signals] = SIGNALS,
) -> Iterator[Supervisor]:
    """A supervisor for what is started in the block, by the main thread. Behind the block nothing of it lives."""
    with (
        adopt() as descendants,
        Supervisor(project, folders, descendants, say, longest_silence_s).watched(signals) as supervisor,
    ):
        yield supervisor


def mark(project: Project, folder: RunFolder, reason: str) -> bool:
    """Tell the core in a run's folder to stop, and its journal why; false when the core cannot be told."""
    project.make_importable()
    try:
        from ansible_collections.daily_emr.ops.plugins.module_utils._cancel import note_cancel, write_marker
        from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError

        write_marker(folder.path, reason)
    except (ImportError, OSError):  # a checkout that knows no marker, or a full disk
        return False
    if folder.record() is None and reason != LOST:  # nobody stopped a run that was lost
        with suppress(OpsError, OSError):  # the marker is what counts
            note_cancel(_session(folder))
    return True


def longest_silence_s(declared: Iterable[Input], given: Mapping[str, Any]) -> float:
    """Seconds without a sign of life after which a run has timed out: its longest wait, by its inputs, and a margin."""
    bounds = [given.get(entry.name, entry.default) for entry in declared if entry.name.endswith(WAIT)]
    waits = [float(bound) for bound in bounds if isinstance(bound, (int, float))]
    return max(waits) + SILENCE_MARGIN_S if waits else DEFAULT_SILENCE_S


def in_flight(folder: RunFolder) -> bool:
    """Whether a call may be on its way: a step whose last word in the journal is its intent."""
    words: dict[tuple[Any, Any], Any] = {}
    for line in folder.journal():
        if line.get("kind") in ("intent", "outcome", "refused") and line.get("step"):
            words[line["step"], line.get("target")] = line["kind"]
    return "intent" in words.values()


def write_missing_records(project: Project, folders: Sequence[RunFolder]) -> None:
    """Close what its playbook could not: nothing of the run lives any more, so its journal says all that happened.

    The lease is not given back, because this command has no credentials of its own; the sentence says so.
    """
    unclosed = [folder for folder in folders if folder.record() is None and _opened(folder)]
    if not unclosed:
        return
    project.make_importable()
    from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
    from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, write_record
    from ansible_collections.daily_emr.ops.plugins.module_utils._record import build_record, judge

    for folder in unclosed:
        opened, journal = _opened(folder), Journal.of(_session(folder))
        plan = opened.get("mode") == "plan"
        leased = any(line.get("kind") == "lease" for line in folder.journal())
        with suppress(OpsError, OSError, KeyError):  # then it stays without a record, and the gate judges its journal
            outcome, sentence = judge(journal.read(), "the run ended before its incident was closed.", check_mode=plan)
            if leased:
                sentence += f" The lease on {opened['component']} was not given back."
            lease = "kept" if leased else "none"
            journal.append("closed", outcome=str(outcome), sentence=sentence, lease=lease, by="supervisor")
            environment = str(opened.get("environment") or "")
            record = build_record(journal.read(), environment, outcome, sentence, check_mode=plan)
            write_record(folder.path, record)


def _opened(folder: RunFolder) -> dict[str, Any]:
    """The first line of a journal; empty when it is not of a run that was opened by the core."""
    lines = folder.journal()
    return lines[0] if lines and lines[0].get("kind") == "opened" and "mode" in lines[0] else {}


def _session(folder: RunFolder) -> Any:
    from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Session

    lines = folder.journal()
    component = str(lines[0].get("component") or "") if lines else ""
    return Session(folder.incident, folder.run, folder.path, component)
