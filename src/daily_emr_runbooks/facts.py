"""The facts of a run that may be shown: allow-listed fields of journal lines and records, made harmless.

The live display and the report are built from these and from nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from .text import clean, seconds

if TYPE_CHECKING:
    from pathlib import Path

EAT = timezone(timedelta(hours=3), "EAT")
PHASES = ("open", "diagnose", "decide", "mitigate", "verify", "close")
PHASE_OF_KIND = {
    "opened": "open",
    "observed": "diagnose",
    "decided": "decide",
    "looked": "mitigate",
    "planned": "mitigate",
    "lease": "mitigate",
    "break_glass": "mitigate",
    "intent": "mitigate",
    "outcome": "mitigate",
    "refused": "mitigate",
    "waited": "mitigate",
    "verified": "verify",
    "impact": "close",
    "closed": "close",
}
STATUS_ORDER = {"finding": 0, "unknown": 1, "ok": 2}


@dataclass(frozen=True)
class Observation:
    """One thing that was looked at."""

    name: str
    status: str
    subject: str
    expected: str
    seen: str
    at: str
    call: str
    symptom: bool
    """Whether users feel it, or a spare part is missing; a circumstance, such as a recent change, is none."""

    @property
    def sentence(self) -> str:
        if self.status == "unknown":
            return f"{self.subject}: not known: {self.seen}"
        seen = self.seen if self.subject in self.seen else f"{self.subject}: {self.seen}"
        return f"{seen}, expected {self.expected}"


@dataclass(frozen=True)
class FieldChange:
    """One value, before and after."""

    field: str
    before: str
    after: str


@dataclass(frozen=True)
class RuledOut:
    cause: str
    why: str


@dataclass(frozen=True)
class Decision:
    verdict: str
    cause: str
    sentence: str
    because: str
    evidence: tuple[str, ...]
    ruled_out: tuple[RuledOut, ...]
    mitigations: tuple[str, ...]
    hand_off: str


def observations(rows: object) -> list[Observation]:
    """Findings first, symptoms before circumstances, then unknowns, then what is fine; in their own order within."""
    found = [
        Observation(
            name=clean(row.get("name", "")),
            # Anything that is not one of the three words is unknown, never ok.
            status=row["status"] if row.get("status") in STATUS_ORDER else "unknown",
            subject=clean(row.get("subject") or row.get("name", "")),
            expected=clean(row.get("expected")),
            seen=clean(row.get("seen")),
            at=clean(row.get("at") or ""),
            call=clean(row.get("call") or ""),
            symptom=row.get("symptom") is not False,
        )
        for row in _dicts(rows)
    ]
    return sorted(found, key=lambda observation: (STATUS_ORDER[observation.status], not observation.symptom))


def decision(body: object) -> Decision | None:
    if not isinstance(body, Mapping) or not body.get("verdict"):
        return None
    return Decision(
        verdict=clean(body["verdict"]),
        cause=clean(body.get("cause") or ""),
        sentence=clean(body.get("sentence") or ""),
        because=clean(body.get("because") or ""),
        evidence=tuple(_evidence(entry) for entry in _list(body.get("evidence"))),
        ruled_out=tuple(
            RuledOut(clean(row.get("cause", "")), clean(row.get("why", ""))) for row in _dicts(body.get("ruled_out"))
        ),
        mitigations=tuple(sentences(body.get("mitigations"))),
        hand_off=clean(body.get("hand_off") or ""),
    )


def _evidence(entry: object) -> str:
    """Evidence is an observation, or the name of one."""
    if isinstance(entry, Mapping):
        return next(iter(found.sentence for found in observations([entry])))
    return clean(entry)


def field_changes(diff: object) -> list[FieldChange]:
    """The leaves in which `before` and `after` differ."""
    if not isinstance(diff, Mapping):
        return []
    before, after = diff.get("before"), diff.get("after")
    return [FieldChange(field or "value", clean(old), clean(new)) for field, old, new in _leaves("", before, after)]


def _leaves(path: str, before: object, after: object) -> list[tuple[str, object, object]]:
    if before == after:
        return []
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = list(dict.fromkeys([*before, *after]))
        return [
            leaf for name in names for leaf in _leaves(f"{path}.{name}".lstrip("."), before.get(name), after.get(name))
        ]
    return [(clean(path), before, after)]


def undo_sentence(undo: object) -> str:
    """How a step would be undone: the module that would do it, or why none can."""
    match undo:
        case {"module": str(module), **rest}:
            args = rest.get("args")
            given: Mapping[str, object] = args if isinstance(args, Mapping) else {}
            # Dictionaries (the service, the environment) say where; what would be put back is plain.
            told = {name: value for name, value in given.items() if not isinstance(value, dict | list)}
            return clean(f"{module} with {clean(told)}" if told else module)
        case str(reason) if reason:
            return clean(reason)
        case _:
            return "nothing is known about how to undo it"


def step_name(line: Mapping[str, Any]) -> str:
    """What a step does and to what."""
    name = clean(line.get("step") or "change")
    return f"{name} on {clean(line['target'])}" if line.get("target") else name


def outcome_sentence(line: Mapping[str, Any]) -> str:
    """How a step ended, in the words of the step where it has some."""
    return clean(line.get("msg") or f"{step_name(line)}: {line.get('outcome') or 'unknown'}")


def planned_sentence(line: Mapping[str, Any]) -> str:
    """Which plan it is, and how many people have to approve it."""
    wanted = number(line.get("approvals")) or 0
    needs = f"needs {wanted:.0f} approval{'s' if wanted > 1 else ''}" if wanted else "needs nobody's approval"
    return clean(f"The plan is {line.get('plan') or 'unknown'}, and {needs}")


def approval_advice(record: Mapping[str, Any], plan: Path) -> str:
    """How to have the plan of a check run approved and carried out; empty for one that needs nobody, or is no plan."""
    planned = record.get("plan")
    if record.get("outcome") != "planned" or not isinstance(planned, Mapping) or not number(planned.get("approvals")):
        return ""
    environment, runbook = clean(record.get("environment")), clean(record.get("runbook"))
    return (
        f"Have others approve it, each under their own name: ansible-playbook -i inventories/{environment} "
        f"playbooks/approve.yml -e approval_plan={plan}; then, within 15 minutes: runbook run {runbook} "
        f"-i {environment} --approve {clean(planned.get('plan'))} and the same inputs."
    )


def break_glass_sentence(line: Mapping[str, Any]) -> str:
    """Which rule was lifted, by whom and why, and what nobody could check therefore."""
    said = f"Broke glass: {line.get('rule')} was lifted by {line.get('operator')}: {line.get('reason')}"
    return clean(f"{said}. Not checked: {line['unchecked']}." if line.get("unchecked") else said)


def waited_sentence(line: Mapping[str, Any]) -> str:
    """What was waited for, how long, and whether it came."""
    end = "Settled" if line.get("settled") is True else "Not settled"
    return clean(
        f"{end} after {seconds(number(line.get('seconds')))}: {clean(line.get('seen') or 'nothing was seen')}."
    )


def impact_sentence(line: Mapping[str, Any]) -> str:
    """How many requests failed, or why nobody knows."""
    if line.get("known") is True:
        return clean(line.get("sentence") or "The requests of the web service were counted.")
    return f"What users felt is not known: {clean(line.get('why') or 'nothing says why')}"


def number(value: object) -> float | None:
    """A number that can be counted with; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def refusals(line: Mapping[str, Any]) -> list[str]:
    """The reasons in a `refused` line."""
    return sentences(line.get("refusals") or line.get("sentence") or line.get("msg"))


def sentences(value: object) -> list[str]:
    return [clean(entry) for entry in _list(value)]


def moment(text: object) -> datetime | None:
    """A UTC time of the journal, or None when it is not one."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def utc(at: object) -> str | None:
    """A time as records have it: UTC, ISO 8601, milliseconds. None when it is not one."""
    found = at if isinstance(at, datetime) else moment(at)
    return found.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if found else None


def eat(at: object) -> str | None:
    """The same in East Africa Time, with its distance from UTC."""
    found = at if isinstance(at, datetime) else moment(at)
    return found.astimezone(EAT).isoformat(timespec="milliseconds") if found else None


def _dicts(value: object) -> list[Mapping[str, Any]]:
    return [row for row in _list(value) if isinstance(row, Mapping)]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []
