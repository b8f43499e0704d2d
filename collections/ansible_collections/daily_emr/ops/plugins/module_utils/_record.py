# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How a run ended, read from its journal, and the record that people and reports read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import RunOutcome, StepOutcome

SCHEMA = 1
STEP_KEYS = ("step", "target", "outcome", "diff", "prediction", "undo", "seconds")
Lines = Sequence[Mapping[str, Any]]


def judge(lines: Lines, failure: str, *, check_mode: bool) -> tuple[RunOutcome, str]:
    """Exactly one outcome and its sentence, from what the journal proves.

    failure: why a task of the run failed; empty when none did.
    """
    outcomes = [line for line in lines if line["kind"] == "outcome"]
    # What a step said while it was only looked at. It is neither done nor promised: it tells what a plan would do, and
    # why a run that did nothing did nothing.
    looked = [line for line in lines if line["kind"] == "looked"]
    done = [line for line in outcomes if line["outcome"] == StepOutcome.OK]
    in_doubt = _in_doubt(lines)
    if in_doubt:
        named = ", ".join(f"{line['step']} on {line['target']}" for line in in_doubt)
        return (
            RunOutcome.UNKNOWN,
            f"Nobody can say whether this was done: {named}. Look before anything else is changed.",
        )
    decision = last(lines, "decided")
    ended = _after_changes(lines, done, failure, decision) if done else _after_earlier_runs(lines, failure)
    if ended:
        return ended
    if decision.get("verdict") == "healthy":
        return RunOutcome.NOOP, str(decision["sentence"])
    if stopped := _stopped(lines, failure):
        return stopped
    if check_mode and any(line["outcome"] == StepOutcome.PLANNED for line in looked):
        return RunOutcome.PLANNED, " ".join(
            filter(None, (f"This would be done: {_named(looked, StepOutcome.PLANNED)}.", _approval(lines)))
        )
    refused = [line for line in lines if _refused(line)]
    if refused:
        hand_off = str(decision.get("hand_off") or "")
        return RunOutcome.REFUSED, " ".join(filter(None, (str(refused[-1]["msg"]), hand_off)))
    if not decision:
        return (
            RunOutcome.FAILED_CLEAN,
            "The run ended before anything was decided, so nothing was changed: run it again whole.",
        )
    verified = last(lines, "verified")
    outcomes = outcomes or looked
    if outcomes and verified.get("verified"):
        reached = verified.get("reached") or "it is healthy"
        return RunOutcome.NOOP, f"An earlier run had done everything already, and {reached}."
    if outcomes:
        return (
            RunOutcome.FAILED_CLEAN,
            f"Everything is as this runbook would make it, and it is not healthy: {decision['sentence']}",
        )
    return RunOutcome.REFUSED, str(decision["sentence"])


def announced(lines: Lines) -> bool:
    """Whether a change was announced that was not refused right behind it: it was done, tried, or is in doubt."""
    waiting: set[tuple[str, str]] = set()
    for line in lines:
        step = (str(line.get("step")), str(line.get("target")))
        if line["kind"] == "intent":
            waiting.add(step)
        elif line["kind"] == "refused":
            waiting.discard(step)
        elif line["kind"] == "outcome" and step in waiting:
            return True
    return bool(waiting)


def _stopped(lines: Lines, failure: str) -> tuple[RunOutcome, str] | None:
    """How a run that changed nothing was stopped, by somebody or by a failed task; None when it was not."""
    if cancelled := last(lines, "cancelled"):
        return RunOutcome.CANCELLED, f"{str(cancelled['msg']).rstrip('.')} before anything was changed."
    if failure and not _only_refused(lines, failure):
        return RunOutcome.FAILED_CLEAN, f"Nothing was changed: {failure}"
    return None


def last(lines: Lines, kind: str) -> Mapping[str, Any]:
    """The newest line of a kind; empty when there is none."""
    return next((line for line in reversed(lines) if line["kind"] == kind), {})


def build_record(
    lines: Lines, environment: str, outcome: RunOutcome, sentence: str, *, check_mode: bool
) -> dict[str, Any]:
    """The record of a run. It holds what the journal holds, arranged for reading."""
    opened, closed = lines[0], lines[-1]
    # After a mitigation a second round may find the component healthy; the record is about the cause.
    named = [line for line in lines if line["kind"] == "decided" and line.get("cause")]
    decided = named[-1] if named else last(lines, "decided")
    before = [line for line in lines if line["seq"] < decided["seq"]] if decided else lines
    return {
        "schema": SCHEMA,
        "incident": opened["incident"],
        "run": opened["run"],
        "runbook": opened.get("runbook", ""),
        "title": opened.get("title", ""),
        "severity": opened.get("severity", ""),
        "environment": environment,
        "alert": dict(opened.get("alert") or {}),
        "component": opened["component"],
        "mode": "plan" if check_mode else "run",
        "outcome": str(outcome),
        "sentence": sentence,
        "opened_at": opened["at"],
        "closed_at": closed["at"],
        "seconds": round((_moment(closed) - _moment(opened)).total_seconds(), 3),
        "operator": next((line["operator"] for line in lines if line.get("operator")), ""),
        "journal": [dict(line) for line in lines],
        "observations": list(last(before, "observed").get("observations", [])),
        "decision": _body(decided),
        "steps": [
            {**{key: line.get(key) for key in STEP_KEYS}, "name": line.get("msg"), "refusals": line.get("refusals", [])}
            for line in lines
            if line.get("step") and _is_step(line, lines, check_mode=check_mode)
        ],
        "plan": _body(last(lines, "planned")),
        "broken_glass": [_body(line) for line in lines if line["kind"] == "break_glass"],
        "verification": _body(last(lines, "verified")),
    }


def _after_changes(lines: Lines, done: Lines, failure: str, decision: Mapping[str, Any]) -> tuple[RunOutcome, str]:
    verified = last([line for line in lines if line["seq"] > done[-1]["seq"]], "verified")
    changed = _named(done, StepOutcome.OK)
    if verified.get("verified") and not failure:
        # A verification whose goal is less than health says so itself.
        reached = f"{changed} was done, and {verified.get('reached') or 'it is healthy again'}."
        return RunOutcome.SUCCEEDED, " ".join([reached, *_left_since(lines, done, reached)])
    why = failure or str(verified.get("sentence") or "") or "it was not verified."
    state = "it is not healthy" if verified.get("verified") is False else "whether it is healthy is not known"
    # What the second round decided and did not do is what the next person has to know.
    found = str(decision.get("sentence") or "") if decision.get("seq", 0) > done[-1]["seq"] else ""
    partly = f"{changed} was done, and {state}: {why}"
    return RunOutcome.FAILED_PARTIAL, " ".join(filter(None, (partly, found, *_left_since(lines, done, partly))))


def _done_before(lines: Lines) -> list[Mapping[str, Any]]:
    """Steps that earlier runs of the incident have done, those included that were in doubt until this run looked."""
    before = [step for line in lines if line["kind"] == "opened" for step in line.get("done_before") or []]
    mine = {line.get("incident") for line in lines}
    probed = [
        {**line, "run": line["of"]["run"], "moved": moved(line.get("diff") or {})}
        for line in lines
        if line["kind"] == "probed" and line.get("word") == "done" and line["of"].get("incident") in mine
    ]
    return [*before, *probed]


def _after_earlier_runs(lines: Lines, failure: str) -> tuple[RunOutcome, str] | None:
    """Nothing was left to do in this run, and it looked whether what was done before has helped; None otherwise."""
    earlier, verified = _done_before(lines), last(lines, "verified")
    if not earlier or not verified:
        return None
    runs: dict[str, list[str]] = {}
    for step in earlier:
        runs.setdefault(str(step["run"]), []).append(f"{step['step']} on {step['target']}{step['moved']}")
    changed = "; ".join(f"{', '.join(steps)} was done by run {run}" for run, steps in runs.items())
    if verified.get("verified") and not failure:
        return RunOutcome.SUCCEEDED, f"{changed}, and {verified.get('reached') or 'it is healthy again'}."
    state = "it is not healthy" if verified.get("verified") is False else "whether it is healthy is not known"
    found = last(lines, "decided")
    so = "" if found.get("verdict") == "healthy" else str(found.get("sentence") or "")
    said = f"{changed}, and {state}: {failure or verified.get('sentence') or 'look at it.'}"
    return RunOutcome.FAILED_PARTIAL, " ".join(filter(None, (said, so)))


def _left_since(lines: Lines, done: Lines, said: str) -> list[str]:
    """What was refused or failed after the first change, was never done and is not said yet: somebody has to do it,
    however well the run ended.
    """
    reached = {(line["step"], line["target"]) for line in done}
    return [
        f"{line['step']} on {line['target']} {'was refused' if line['kind'] == 'refused' else 'failed'}: {line['msg']}"
        for line in lines
        if (line["kind"] == "refused" or line.get("outcome") == StepOutcome.FAILED)
        and line["seq"] > done[0]["seq"]
        and line.get("step")
        and (line["step"], line["target"]) not in reached
        and str(line["msg"]) not in said
    ]


def _in_doubt(lines: Lines) -> list[Mapping[str, Any]]:
    """Steps whose last word is an intent, or an unknown outcome: in both cases the call may have been made."""
    words: dict[tuple[str, str], Mapping[str, Any]] = {}
    for line in lines:
        settled = line["kind"] == "probed" and line.get("word") != "ambiguous" and line["of"]["run"] == line["run"]
        if (line["kind"] in ("intent", "outcome", "refused") or settled) and line.get("step"):
            words[line["step"], line["target"]] = line
    return [line for line in words.values() if line["kind"] == "intent" or line.get("outcome") == StepOutcome.UNKNOWN]


def _only_refused(lines: Lines, failure: str) -> bool:
    return any(_refused(line) and line.get("msg") == failure for line in lines)


def _refused(line: Mapping[str, Any]) -> bool:
    return bool(line["kind"] == "refused" or (line["kind"] == "looked" and line["outcome"] == StepOutcome.REFUSED))


def _is_step(line: Mapping[str, Any], lines: Lines, *, check_mode: bool) -> bool:
    """Whether a line is a step of the record: what was done or refused. What was only looked at is one in a plan, and
    where a refusal kept it from being tried.
    """
    if line["kind"] != "looked":
        return bool(line["kind"] in ("outcome", "refused"))
    tried = any(
        other["kind"] in ("outcome", "refused")
        and (other.get("step"), other.get("target")) == (line["step"], line["target"])
        for other in lines
    )
    return check_mode or (_refused(line) and not tried)


def _approval(lines: Lines) -> str:
    """Which plan it is, and how many people have to approve it; empty where there is none."""
    planned = last(lines, "planned")
    if not planned:
        return ""
    wanted = int(planned.get("approvals") or 0)
    needs = "needs nobody's approval here" if not wanted else f"needs {wanted} approval{'s' if wanted > 1 else ''}"
    return f"The plan {planned['plan']} {needs}."


def _named(lines: Lines, outcome: StepOutcome) -> str:
    return ", ".join(
        f"{line['step']} on {line['target']}{moved(line.get('diff') or {})}"
        for line in lines
        if line["outcome"] == outcome
    )


def moved(diff: Mapping[str, Any]) -> str:
    """What the step changed, from and to; empty when it is more than a word."""
    before, after = diff.get("before") or {}, diff.get("after") or {}
    moved = [
        f"{key} {before.get(key)} → {value}"
        for key, value in after.items()
        if value != before.get(key) and isinstance(value, (str, int, float))
    ]
    return f" ({', '.join(moved)})" if moved else ""


def _body(line: Mapping[str, Any]) -> dict[str, Any]:
    head = ("seq", "kind", "incident", "run", "component")
    return {key: value for key, value in line.items() if key not in head}


def _moment(line: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(line["at"])
