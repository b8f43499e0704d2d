"""The run as it goes, for the person who watches it.

The journal drives the display, because it is what the run itself believes; events of ansible-runner add only what
the journal cannot hold: the progress of a wait, an error before the incident was opened.
A terminal shows one line that moves (phases, time, latest progress) under lines that stay; anything else gets the
lines alone.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from . import facts
from .record import JOURNAL, Line, RunFolder, folder_of, read_lines
from .text import clean, seconds

if TYPE_CHECKING:
    from rich.console import Console

    from .runner import Event

POLL_S = 0.2
PHASE_IN_TASK = re.compile(r"\b(Open|Diagnose|Decide|Mitigate|Mitigation|Verify|Close)\b")
# How a module reports progress: "  emr-web: 4 of 20 looks were good".
PROGRESS = re.compile(r"  [\w.-]+: \S.*")
LONGEST_PROGRESS = 200
STYLES = {"finding": "bold red", "unknown": "yellow", "ok": "green"}
OURS = "daily_emr.ops."
STEP_SIGNS = {"ok": "✓", "noop": "✓", "unknown": "?"}
STEP_STYLES = {"ok": "green", "noop": "dim", "unknown": "yellow"}
SIGNS = {"finding": "✗", "unknown": "?", "ok": "✓"}


class LiveRun:
    """Shows a run. `event` is the handler for the runner; use it inside `with live.shown():`."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.folders: list[RunFolder] = []
        self.faults: list[str] = []
        self._offsets: dict[Path, int] = {}
        self._phase = facts.PHASES[0]
        self._progress = ""
        self._said: set[str] = set()
        self._started = time.monotonic()
        self._lock = threading.RLock()
        self._spinner = Spinner("dots")

    @contextmanager
    def shown(self) -> Iterator[LiveRun]:
        """Follow the journals and draw, until the block ends."""
        stop = threading.Event()
        follower = threading.Thread(target=self._follow, args=(stop,), daemon=True)
        with (
            Live(get_renderable=self._status_line, console=self.console, refresh_per_second=8, transient=True)
            if self.console.is_terminal
            else nullcontext()
        ):
            follower.start()
            try:
                yield self
            finally:
                stop.set()
                follower.join()
                self._guarded_drain()

    def event(self, event: Event) -> None:
        """One event of ansible-runner."""
        data = event.get("event_data") or {}
        with self._lock:
            match event.get("event"):
                case "playbook_on_task_start":
                    self._enter_task(str(data.get("task") or ""))
                case "verbose":
                    self._show_progress(str(event.get("stdout") or ""))
                case "runner_on_ok" | "runner_on_failed" as kind:
                    result = data.get("res")
                    if isinstance(result, Mapping):
                        self._notice_folder(result)
                        self._drain()
                        if str(data.get("task_action")).startswith(OURS):
                            self._show_warnings(result)
                        if kind == "runner_on_failed":
                            self._show_failure(result)

    def say(self, text: str) -> None:
        """A line of the command itself, among those of the run."""
        self.console.print(Text(text, "bold yellow"), soft_wrap=True)

    # -- the journal ---------------------------------------------------------------------------------------------

    def _follow(self, stop: threading.Event) -> None:
        while not stop.wait(POLL_S):
            self._guarded_drain()

    def _guarded_drain(self) -> None:
        try:
            with self._lock:
                self._drain()
        except Exception as fault:  # noqa: BLE001 - the display must never end the run that it shows
            self.faults.append(f"{type(fault).__name__} while showing the journal")

    def _notice_folder(self, result: Mapping[str, Any]) -> None:
        if (path := folder_of(result)) and (folder := RunFolder(path)) not in self.folders:
            self.folders.append(folder)

    def _drain(self) -> None:
        for folder in self.folders:
            path = folder.path / JOURNAL
            lines, self._offsets[path] = read_lines(path, self._offsets.get(path, 0))
            for line in lines:
                self.show(line)

    def show(self, line: Line) -> None:
        """Show one line of the journal."""
        kind = str(line.get("kind"))
        if kind in facts.PHASE_OF_KIND:
            self._phase = facts.PHASE_OF_KIND[kind]
        shows = {
            "opened": self._show_opened,
            "observed": self._show_observations,
            "decided": self._show_decision,
            "looked": self._show_looked,
            "planned": self._show_planned,
            "break_glass": self._show_break_glass,
            "lease": self._show_lease,
            "intent": self._show_intent,
            "outcome": self._show_outcome,
            "refused": self._show_refused,
            "waited": self._show_waited,
            "verified": self._show_verified,
            "impact": self._show_impact,
            # "closed" is not here: how it ended is said by the verdict, after the success gate.
        }
        if show := shows.get(kind):
            show(line)

    def _show_opened(self, line: Line) -> None:
        self._say("◆", f"{clean(line.get('incident'))} opened on {clean(line.get('component'))}", "bold")

    def _show_lease(self, line: Line) -> None:
        self._say("◆", f"lease taken, fence {clean(line.get('fence', 'unknown'))}", "dim")

    def _show_intent(self, line: Line) -> None:
        self._say("▶", facts.step_name(line), "bold")
        self._show_diff(line.get("diff"))

    def _show_looked(self, line: Line) -> None:
        match line.get("outcome"):
            case "planned":
                self._say("▷", f"would do {facts.step_name(line)}", "bold")
                self._show_diff(line.get("diff"))
                for sentence in facts.sentences(line.get("prediction")):
                    self._say(" ", sentence, "")
            case "refused":
                self._show_refused(line)
            case _:
                self._show_outcome(line)

    def _show_planned(self, line: Line) -> None:
        self._say("◆", facts.planned_sentence(line), "bold")

    def _show_break_glass(self, line: Line) -> None:
        self._say("!", facts.break_glass_sentence(line), "bold red")

    def _show_outcome(self, line: Line) -> None:
        outcome = clean(line.get("outcome") or "unknown")
        self._say_once(STEP_SIGNS.get(outcome, "✗"), facts.outcome_sentence(line), STEP_STYLES.get(outcome, "red"))

    def _show_refused(self, line: Line) -> None:
        for reason in facts.refusals(line):
            self._say_once("■", f"refused: {reason}", "yellow")

    def _show_waited(self, line: Line) -> None:
        self._say("…", facts.waited_sentence(line), "dim")

    def _show_verified(self, line: Line) -> None:
        good = line.get("verified") is True
        self._say("✓" if good else "✗", clean(line.get("sentence") or "verified"), "green" if good else "red")

    def _show_impact(self, line: Line) -> None:
        self._say("…", facts.impact_sentence(line), "dim")

    def _show_observations(self, line: Line) -> None:
        found = facts.observations(line.get("observations"))
        for observation in found:
            if observation.status == "finding" and not observation.symptom:
                self._say("•", f"{observation.name}  {observation.sentence}", "")
            elif observation.status != "ok":
                self._say(
                    SIGNS[observation.status], f"{observation.name}  {observation.sentence}", STYLES[observation.status]
                )
        good = sum(observation.status == "ok" for observation in found)
        if found:
            self._say("✓", f"{good} of {len(found)} readings are as expected", "green" if good == len(found) else "dim")

    def _show_decision(self, line: Line) -> None:
        decided = facts.decision(line.get("decision", line))
        if decided is None:
            return
        self._say("◆", decided.sentence or f"{decided.verdict} {decided.cause}".strip(), "bold")
        for evidence in decided.evidence:
            self._say(" ", f"because {evidence}", "")
        # What the evidence speaks for, or might; that the other causes have no support is in the report.
        for other in (other for other in decided.ruled_out if not other.why.startswith("not supported")):
            self._say(" ", f"not {other.cause}: {other.why}", "dim")

    def _show_diff(self, diff: object) -> None:
        for change in facts.field_changes(diff):
            shown = Text.assemble("    ", f"{change.field}: ", (change.before, "red"), " → ", (change.after, "green"))
            self.console.print(shown, soft_wrap=True)

    # -- events --------------------------------------------------------------------------------------------------

    def _enter_task(self, name: str) -> None:
        self._progress = ""
        if found := PHASE_IN_TASK.search(name):
            phase = found[1].lower()
            self._phase = "mitigate" if phase == "mitigation" else phase

    def _show_progress(self, text: str) -> None:
        if not PROGRESS.fullmatch(text):
            return
        self._progress = clean(text.strip(), LONGEST_PROGRESS)
        if not self.console.is_terminal:
            self._say("…", self._progress, "dim")

    def _show_warnings(self, result: Mapping[str, Any]) -> None:
        """What a module of ours could not do and does not fail for, such as telling people."""
        for warning in result.get("warnings") or []:
            self._say_once("!", clean(warning), "yellow")

    def _show_failure(self, result: Mapping[str, Any]) -> None:
        # With an exit code it is the end of the run, which the verdict tells.
        if isinstance(message := result.get("msg"), str) and "exit_code" not in result:
            self._say_once("✗", clean(message), "red")

    # -- drawing -------------------------------------------------------------------------------------------------

    def _say(self, sign: str, text: str, style: str) -> None:
        self.console.print(Text(f"{sign} {text}", style=style), soft_wrap=True)

    def _say_once(self, sign: str, text: str, style: str) -> None:
        # One refusal reaches us twice: as a line of the journal and as the failure of the module.
        key = text.removeprefix("refused: ")
        if key not in self._said:
            self._said.add(key)
            self._say(sign, text, style)

    def _status_line(self) -> Spinner:
        # Called by the thread that redraws, which holds the lock of the terminal: to wait for ours here, while
        # another thread holds it and prints, would stop both for ever. So it reads, and takes what it gets.
        phase, progress = self._phase, self._progress
        now = facts.PHASES.index(phase)
        phases = Text()
        for index, name in enumerate(facts.PHASES):
            style = "green" if index < now else "bold cyan" if index == now else "dim"
            phases.append(f"{name}  ", style)
        phases.append(seconds(time.monotonic() - self._started), "dim")
        if progress:
            phases.append(f"\n{progress}", "dim")
        self._spinner.update(text=phases)
        return self._spinner
