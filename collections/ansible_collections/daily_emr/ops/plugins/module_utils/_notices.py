# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what people are told of a run. May change without notice.

"""From the journal of a run to what people are told: pure, from allow-listed fields, and nothing that names a patient.

The journal is the outbox: what is to be told can be read from it at any time, by whoever has to tell it. Nothing is
queued beside it, so telling costs a run nothing, and a run that died is told of like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._outcomes import RunOutcome, StepOutcome

Line = Mapping[str, Any]
Facts = dict[str, str]
# A word, or a short line of ours; longer ones are cut. Free text of providers is in none of the fields.
LONGEST = 500


# How a run ended that did not say so itself.
DIED = "died"


class Told(StrEnum):
    """What there is to tell."""

    OPENED = "opened"
    FINDING = "finding"
    CHANGING = "changing"  # right before a mutating step
    CHANGED = "changed"
    VERIFIED = "verified"
    CLOSED = "closed"
    ESCALATED = "escalated"  # a person has to look


@dataclass(frozen=True)
class Notice:
    """One thing to tell. key: the same whenever the same journal is read; what providers know it by."""

    key: str
    told: Told
    at: str
    facts: Facts


class LooksLikeAPatient(Exception):
    """A text has something in it that could name a patient; the argument says of what kind, and not what."""


# Outgoing text is refused when one of these is in it. Numbers of cards and records, telephones and addresses:
# incident_domain, "PHI rules".
DENIED = {
    "a national id": re.compile(r"(?<!\d)\d{7,8}(?!\d)"),
    "a telephone number": re.compile(r"(?:\+?254|\b0)[\s-]?[17]\d{2}[\s-]?\d{3}[\s-]?\d{3}\b"),
    "a number of the client registry": re.compile(r"\bCR\d{6,}", re.IGNORECASE),
    "an e-mail address": re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
}
# What we named ourselves holds a date of eight digits, and is known by its whole shape.
OWN_NAMES = re.compile(
    r"\b(?:INC-)?20\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-[0-2]\d[0-5]\d[0-5]\d-[0-9a-f]{4}\b"
)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")

ABOUT = ("incident", "run", "environment", "component", "runbook", "title", "severity")
# Outcomes of a run after which somebody else has to decide what is next.
NEEDS_A_PERSON = (
    RunOutcome.REFUSED,
    RunOutcome.FAILED_CLEAN,
    RunOutcome.FAILED_ROLLED_BACK,
    RunOutcome.FAILED_PARTIAL,
    RunOutcome.UNKNOWN,
)


def notices(lines: Sequence[Line], *, gone: bool = False) -> list[Notice]:
    """What there is to tell of a run, oldest first. A plan tells nobody anything, because nothing happens.

    gone: nobody works on the run any more. One that has not closed then has died, and somebody has to look.
    """
    if not lines or lines[0]["kind"] != "opened" or lines[0].get("mode") != "run":
        return []
    about = {name: _plain(lines[0].get(name)) for name in ABOUT}
    told = [*_told(lines)]
    if gone and lines[-1]["kind"] != "closed":
        told.append((lines[-1], Told.ESCALATED, {"outcome": DIED}))
    return [Notice(_key(line, word), word, str(line["at"]), about | facts) for line, word, facts in told]


def _told(lines: Sequence[Line]) -> Iterable[tuple[Line, Told, Facts]]:
    reached = "unknown"
    for line in lines:
        kind = line["kind"]
        if kind == "opened":
            yield line, Told.OPENED, {}
        elif kind == "decided" and line.get("verdict") == "healthy":
            reached = "health"
        elif kind == "decided":
            yield line, Told.FINDING, {"cause": _plain(line.get("cause")) or "undetermined"}
        elif kind == "intent":
            yield line, Told.CHANGING, _step(line)
        elif kind == "outcome" and line.get("step") and line.get("outcome") != StepOutcome.NOOP:
            yield line, Told.CHANGED, {**_step(line), "outcome": _plain(line.get("outcome"))}
        elif kind == "verified":
            reached = _reached(line)
            yield line, Told.VERIFIED, {"reached": reached}
        elif kind == "closed":
            outcome = _plain(line.get("outcome"))
            yield line, Told.CLOSED, {"outcome": outcome, "reached": reached}
            if outcome in NEEDS_A_PERSON:
                yield line, Told.ESCALATED, {"outcome": outcome}


def _reached(line: Line) -> str:
    """What verification has seen: health, or only "contained", which one whose goal is less says itself, or neither."""
    if line.get("verified") is not True:
        return "not healthy" if line.get("verified") is False else "unknown"
    return "contained" if line.get("reached") else "health"


def _step(line: Line) -> Facts:
    prediction = line.get("prediction")
    predicted = [_plain(one) for one in prediction] if isinstance(prediction, list) else []
    # The end of an ARN or of "kind/name": an account number is nobody's business outside.
    target = _plain(line.get("target")).rpartition(":")[2]
    return {"step": _plain(line.get("step")), "target": target, "prediction": " ".join(predicted)[:LONGEST]}


def _key(line: Line, told: Told) -> str:
    return f"{_plain(line['incident'])}/{_plain(line['run'])}/{int(line['seq'])}/{told}"


def _plain(value: Any) -> str:
    """A text of one line without anything that a terminal or a page would act on."""
    return CONTROL.sub(" ", str(value if value is not None else "")).strip()[:LONGEST]


def checked(text: str) -> str:
    """A text that may go out. Raises LooksLikeAPatient where something in it could name one."""
    rest = OWN_NAMES.sub("", text)
    for kind, pattern in DENIED.items():
        if pattern.search(rest):
            raise LooksLikeAPatient(kind)
    return text


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
