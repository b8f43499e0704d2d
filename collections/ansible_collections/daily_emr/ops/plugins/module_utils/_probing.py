# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Looks at the steps in doubt that an incident was opened with, one after the other, and writes down what it saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._history import History, Line, read_history
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal, Session
from ansible_collections.daily_emr.ops.plugins.module_utils._lease import LeaseStore
from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import StepOutcome
from ansible_collections.daily_emr.ops.plugins.module_utils._record import last
from ansible_collections.daily_emr.ops.plugins.module_utils._resume import short
from ansible_collections.daily_emr.ops.plugins.module_utils._step_lines import Probed
from ansible_collections.daily_emr.ops.plugins.module_utils._steps import (
    ANSWER,
    change_class,
    change_of,
    observed,
    plain,
    probe,
    shown,
)

WORDS = {
    Probed.DONE: "was done",
    Probed.NOT_DONE: "was not done",
    Probed.AMBIGUOUS: "may have been done",
}


class Probing:
    """The steps in doubt of one opened incident. Every error but an ambiguous step ends the run as a refusal."""

    def __init__(
        self,
        clients: Clients,
        session: Session,
        params: Mapping[str, Any],
        *,
        check_mode: bool,
        progress: Callable[[str], None],
    ) -> None:
        self.clients, self.session, self.params, self.check_mode = clients, session, params, check_mode
        self.progress = progress
        self.journal = Journal.of(session)
        self.store = LeaseStore(clients, clients.environment.table)
        self.answer = str(params["answer"])
        self.histories: dict[str, History] = {}
        self.reasons: list[str] = []

    def run(self) -> dict[str, Any]:
        opened = last(self.journal.read(), "opened")
        try:
            watched = self.watch(str(opened.get("left") or ""))
            seen = [self.look(self.line(step), watched) for step in opened.get("in_doubt") or []]
            if self.answer and seen and not any(line.get("answered") for line in seen):
                self.progress(f"{ANSWER} was not needed: every step showed how it ended.")
            if self.reasons:
                raise Refused(*self.reasons)
        except OpsError as error:
            self.journal.append("refused", msg=error.sentence)
            raise
        ours = [line for line in seen if line["of"]["incident"] == self.session.id and line["word"] == Probed.DONE]
        return {
            "probed": [{name: line[name] for name in ("step", "target", "word")} for line in seen],
            "done": [short({**line, **line["of"]}) for line in ours],
            "msg": " ".join(str(line["msg"]) for line in seen) or "No step is in doubt.",
        }

    def watch(self, left: str) -> str:
        """Make sure that whoever holds the lease sends nothing more; returns the version that was watched."""
        view = self.store.peek(self.session.component)
        if self.check_mode or not view.held or view.rvn == left:
            return ""
        self.store.watch(view, self.progress)
        return view.rvn

    def line(self, step: Mapping[str, Any]) -> Line:
        incident = str(step["incident"])
        if incident not in self.histories:
            folder = self.session.folder.parents[1] / incident
            self.histories[incident] = read_history(self.clients, folder, incident)
        return self.histories[incident].line(str(step["run"]), int(step["seq"]))

    def look(self, line: Line, watched: str) -> Line:
        """Look at one step, and write down what was seen."""
        word, now, why = self.word(line)
        facts: dict[str, Any] = {}
        if word is Probed.AMBIGUOUS and self.answer and not self.reasons:
            # One answer is for one step: the next that nobody can judge needs its own.
            word, facts, self.answer = (
                Probed(self.answer),
                {"answered": self.answer, "operator": self.clients.prove().operator},
                "",
            )
        before, intended = ((line.get("diff") or {}).get(name) or {} for name in ("before", "after"))
        named = f"{line['step']} on {line['target']}"
        by = f", by the answer of {facts['operator']}" if facts else ""
        sentence = f"{named}, in doubt since run {line['run']}, {WORDS[word]}{by}."
        if word is Probed.AMBIGUOUS and not _asks_itself(line):
            is_now = f"it is now: {shown(now)}" if now is not None else why
            self.reasons.append(
                f"Nobody can say whether run {line['run']} did {named}. It was: {shown(before)}; it was to be: "
                f"{shown(intended)}; {is_now}. Look at it, then run again with --input {ANSWER}=done or "
                f"--input {ANSWER}=not_done (ansible-playbook: -e)."
            )
        after = now if now is not None else intended
        facts |= {name: line[name] for name in ("undo", "undo_of", "module", "args", "traces") if name in line}
        written = self.journal.append(
            "probed",
            step=line["step"],
            target=line["target"],
            word=str(word),
            of={"incident": line["incident"], "run": line["run"], "seq": line["seq"]},
            diff={"before": before, "after": after},
            watched=watched,
            msg=sentence,
            **facts,
        )
        if not self.check_mode:
            self.store.record(written)
            if line.get("imperative") and word is not Probed.AMBIGUOUS:
                self.store.settle(line, StepOutcome.OK if word is Probed.DONE else StepOutcome.FAILED)
        return written

    def word(self, line: Line) -> tuple[Probed, dict[str, Any] | None, str]:
        """What the world says of a step, the state it is in now, and why that could not be read."""
        try:
            incident = self.session.as_params()
            change = change_of(line.get("module"), line.get("args"), self.params["options"], self.clients, incident)
            now = observed(change, line["target"])
        except OpsError as error:
            return Probed.AMBIGUOUS, None, f"what it is now could not be read ({error.sentence.rstrip('.')})"
        return probe(change, line, now), plain(now), ""


def _asks_itself(line: Line) -> bool:
    """Whether the runbook itself refuses to do it again, and says how a person answers."""
    try:
        return change_class(line.get("module")).asks_itself
    except OpsError:
        return False
