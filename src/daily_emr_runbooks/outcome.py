"""The success gate: what a run may be called. A return code of 0 is not enough, and never decides alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .project import Project
    from .record import RunFolder
    from .runner import Finished

GOOD = frozenset({"succeeded", "noop", "planned"})
UNCHANGED = frozenset({"noop", "planned", "refused", "failed_clean", "cancelled"})
WORST_FIRST = (
    "unknown",
    "failed_partial",
    "failed_rolled_back",
    "failed_clean",
    "cancelled",
    "refused",
    "succeeded",
    "planned",
    "noop",
)
DONE = "ok"


@dataclass(frozen=True)
class Verdict:
    """The one word for a run, why, and where its records lie."""

    outcome: str
    sentence: str
    exit_code: int
    folders: list[RunFolder] = field(default_factory=list)


def judge(project: Project, finished: Finished, folders: Sequence[RunFolder], planned: Sequence[str]) -> Verdict:
    """Judge a run from its records and from how ansible-playbook ended.

    Args:
        planned: the components that the run was meant for; a component without a record was not dealt with.
    """
    project.make_importable()
    from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import EXIT_CODES

    codes = {str(word): int(code) for word, code in EXIT_CODES.items()}
    if finished.lost:
        return Verdict("unknown", finished.lost, codes["unknown"], list(folders))
    verdicts = [_of_folder(folder, finished) for folder in folders] or [_without_record(finished, codes["refused"])]
    outcome, sentence = min(verdicts, key=lambda verdict: WORST_FIRST.index(verdict[0]))
    if outcome in GOOD and (doubt := _doubt(finished, folders, planned)):
        outcome, sentence = "unknown", doubt
    return Verdict(outcome, sentence, codes[outcome], list(folders))


def _of_folder(folder: RunFolder, finished: Finished) -> tuple[str, str]:
    """Outcome and sentence of one component's run."""
    record = folder.record()
    if record is None:
        return _unfinished(folder, finished)
    outcome, sentence = str(record.get("outcome")), str(record.get("sentence") or "")
    if outcome not in WORST_FIRST:
        return "unknown", f"The record of {folder.incident} ends with no outcome: look at {folder.path}."
    steps = [step for step in record.get("steps") or [] if isinstance(step, dict)]
    if outcome in UNCHANGED and any(_was_done(step, record) for step in steps):
        return "unknown", f"The record says {outcome}, but names a change that was done: look at {folder.path}."
    if outcome == "succeeded":
        if bad := [step for step in steps if not _accounted_for(step, sentence)]:
            return (
                "unknown",
                f"The record says succeeded, but {bad[0].get('name', 'a step')} was not: look at {folder.path}.",
            )
        if (record.get("verification") or {}).get("verified") is not True:
            return "unknown", f"The record says succeeded, but nothing was verified: look at {folder.path}."
    return outcome, sentence


def _accounted_for(step: dict[str, Any], sentence: str) -> bool:
    """Whether a step fits a run that succeeded. One that failed, a precaution, has to be said."""
    if step.get("outcome") == "failed":
        return bool(step.get("name")) and str(step["name"]) in sentence
    return step.get("outcome") in (DONE, "noop", "refused")


def _was_done(step: dict[str, Any], record: dict[str, Any]) -> bool:
    return record.get("mode") != "plan" and step.get("outcome") == DONE


def _unfinished(folder: RunFolder, finished: Finished) -> tuple[str, str]:
    """A run that left a journal and no record: killed, cancelled, or its closing failed."""
    kinds = {line.get("kind") for line in folder.journal()}
    how = "was stopped" if finished.cancelled else "ended"
    if kinds & {"lease", "intent"}:
        # A module may still be finishing its change after ansible-playbook is gone.
        return "unknown", (
            f"The run {how} after it had taken the lease, so a change may have been made: "
            f"look at {folder.path / 'journal.jsonl'} and at the service. The lease stays."
        )
    if finished.cancelled:
        return "cancelled", "The run was stopped before anything was changed."
    return "failed_clean", _because(finished, "The run ended without a record; nothing was changed.")


def _without_record(finished: Finished, refused_code: int) -> tuple[str, str]:
    """Nothing was opened, so there was no lease, so nothing was changed."""
    if finished.cancelled:
        return "cancelled", "The run was stopped before it began."
    refused = finished.return_code == refused_code or any(result.get("refused") for result in finished.results)
    if finished.return_code == 0:
        return "failed_clean", (
            "Ansible ended without an error and without an outcome: no component was dealt with, nothing was changed."
        )
    default = f"Ansible ended with {finished.return_code} before the incident was opened: see {finished.output}."
    return "refused" if refused else "failed_clean", _because(finished, default)


def _because(finished: Finished, default: str) -> str:
    said = finished.messages or finished.errors
    return clean(said[-1]) if said else default


def _doubt(finished: Finished, folders: Sequence[RunFolder], planned: Sequence[str]) -> str | None:
    """Why a good outcome cannot be believed, if so."""
    if finished.cancelled:
        return "The run was stopped although its record looks finished: look at the service."
    if finished.stats is None:
        return f"Ansible ended before its own count of what it did: see {finished.output}."
    if finished.return_code != 0:
        return f"The record says it is good, but Ansible ended with {finished.return_code}: see {finished.output}."
    for kind in ("failures", "dark", "ignored"):
        if hosts := [host for host, count in finished.stats.get(kind, {}).items() if count]:
            return (
                f"The record says it is good, but Ansible counts {kind} on {', '.join(hosts)}: see {finished.output}."
            )
    dealt_with = {str((folder.record() or {}).get("component")) for folder in folders} & set(
        finished.stats["processed"]
    )
    if missing := sorted(set(planned) - dealt_with):
        return f"{', '.join(missing)} was not dealt with: Ansible has no result, or there is no record."
    return None
