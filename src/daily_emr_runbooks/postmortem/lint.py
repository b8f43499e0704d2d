"""The lint of a post-mortem: no blame, nothing empty, figures as the record has them, actions that can be done."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from ..text import clean
from .catalogue import catalogue
from .document import ACTIONS, COLUMNS, HIDDEN, STATUSES, Document, Row
from .draft import POSTMORTEM, TO_BE_SET, TO_FILL_IN, build, read_state, render
from .people import NUMBER_OF_A_PERSON

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .incident import Incident

SECTIONS = (
    "Summary",
    "Impact",
    "Detection",
    "Contributing factors",
    "Timeline",
    "Mitigation and resolution",
    "What went well",
    "What did not go well",
    "Where we got lucky",
    "Clinical-safety review",
    "Privacy review",
    ACTIONS,
    "Messaging",
)
TYPES = ("prevent", "detect", "mitigate", "process")
DUE_DAYS = {"P0": 14, "P1": 30, "P2": 90}
MOST_ACTIONS = 7
SLOW_DETECTION_SECONDS = 5 * 60
SLOW_MITIGATION_SECONDS = 30 * 60
SHORTEST_TEST = 10
"""Letters of a "done when": less is a word such as done, and no test."""
OWNED = ("| Owner |", "| Incident commander |", "| Scribe |", "| Meeting |")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True, order=True)
class Finding:
    """What to write otherwise. line: its number in the file, from 1; 0 where it is about the whole."""

    line: int
    what: str
    instead: str

    @property
    def sentence(self) -> str:
        """One harmless line."""
        return clean(f"{f'line {self.line}' if self.line else 'the whole'}: {self.what} Instead: {self.instead}")


def lint_file(incident: Incident) -> list[Finding]:
    """All findings in the post-mortem of an incident, by line. Raises CommandError when there is none."""
    return lint(incident, Document.read(incident.folder / POSTMORTEM))


def lint(incident: Incident, document: Document) -> list[Finding]:
    """All findings by line. Lines that stand as the draft had them are the record's, and are not blamed."""
    privacy = read_state(incident.folder).privacy
    generated = Document(render(incident, privacy))
    written = _written(document, generated)
    return sorted(
        {
            *_status(document),
            *_sections(document),
            *_placeholders(document),
            *_blame(incident, written),
            *_measured(document, {fact.label for fact in build(incident, privacy).measured}, generated),
            *_claims(incident, written),
            *_actions(incident, document),
        }
    )


def _written(document: Document, generated: Document) -> str:
    """The prose that people wrote, line for line; what the draft had, as often as it had it, is hidden."""
    left = Counter(line for line in generated.lines if line.strip())
    lines = []
    for line, prose in zip(document.lines, document.prose, strict=True):
        # Who owns the document is a person; it says nothing about the incident.
        own = left[line] <= 0 and not line.startswith(OWNED)
        left[line] -= 1
        lines.append(prose if own else HIDDEN)
    return "\n".join(lines)


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _blame(incident: Incident, written: str) -> Iterator[Finding]:
    for entry in catalogue().blame:
        for found in entry.pattern.finditer(written):
            said = " ".join(found[0].split())
            yield Finding(_line(written, found.start()), f'"{said}" ({entry.name}): {entry.why}', f"{entry.instead}.")
    for found in incident.names.found_in(written):
        what = f'"{found[0]}" names a person; people have roles here.'
        yield Finding(_line(written, found.start()), what, "the role, such as on-call or the clinical safety lead.")
    for found in NUMBER_OF_A_PERSON.finditer(written):
        # Not repeated: what a patient is known by does not get into a terminal's history or the log of a schedule.
        what = "This may be the number of a person: an ID, a phone, a record of the SHA."
        yield Finding(_line(written, found.start()), what, "a count; a large one with separators, as 4,100,000.")


def _status(document: Document) -> Iterator[Finding]:
    row = document.status
    if row is None or row.cells[1:2] == () or row.cells[1] not in STATUSES:
        yield Finding(row.line if row else 0, "The status is missing or unknown.", f"one of {', '.join(STATUSES)}.")
    if document.open_fence:
        yield Finding(document.open_fence, "This block of code is never closed.", "close it with the same fence.")


def _sections(document: Document) -> Iterator[Finding]:
    for title in SECTIONS:
        section = document.sections.get(title)
        if section is None:
            yield Finding(0, f'The section "{title}" is missing.', f"## {title}, and what there is to say about it.")
        elif section.empty:
            yield Finding(section.line, f'The section "{title}" is empty.', "what is known, or that there was nothing.")


def _placeholders(document: Document) -> Iterator[Finding]:
    for number, line in enumerate(document.prose, 1):
        if TO_FILL_IN.lower() in line.lower():
            yield Finding(number, "This is still to be filled in.", "the answer, in place of the question.")
    for row in document.rows:
        if TO_BE_SET in (cell.lower() for cell in row.cells):
            label = row.cells[0] if row.cells[0].lower() != TO_BE_SET else "This row"
            yield Finding(row.line, f"{label} is still to be set.", "the answer, or a line less.")


def _measured(document: Document, labels: set[str], generated: Document) -> Iterator[Finding]:
    """Each measured row still stands, with the value of the record."""
    wanted = {row.cells[0]: row.cells[1] for row in generated.rows if len(row.cells) == 2 and row.cells[0] in labels}  # noqa: PLR2004
    for label, value in wanted.items():
        rows = [row for row in document.rows if row.cells[0] == label]
        if not rows:
            yield Finding(0, f'The measured row "{label}" is missing.', f"| {label} | {value} |")
        for row in rows:
            if row.cells[1:] != (value,):
                said = " ".join(row.cells[1:])
                yield Finding(row.line, f'"{label}" is not what the record has: {said}.', f"{value}.")


def _claims(incident: Incident, written: str) -> Iterator[Finding]:
    """Figures in sentences, held to the record where it knows them."""
    for claim in catalogue().claims:
        known = _known(incident, claim.figure)
        for found in claim.pattern.finditer(written) if known is not None else ():
            value = float(re.sub(r"(?<=\d)[, ](?=\d{3})", "", found["value"]))
            unit = found.groupdict().get("unit")
            scale = _UNITS[unit[0].lower()] if unit else 1.0
            digits = len(found["value"].partition(".")[2])
            # Rounded up or down as they like: by less than one of the last place that they wrote.
            if known is not None and abs(value - known / scale) >= 10.0**-digits:
                said = (
                    f"{known / scale:.1f} {unit}"
                    if unit
                    else f"{known:.1f} %"
                    if _part(claim.figure)
                    else f"{known:.0f}"
                )
                what = f'"{" ".join(found[0].split())}" is not what the record has.'
                yield Finding(_line(written, found.start()), what, f"{said}.")


def _part(figure: str) -> bool:
    return figure == "budget_share"


def _known(incident: Incident, figure: str) -> float | None:
    """A figure of the record in seconds, percent, or requests."""
    if figure in ("bad", "valid"):
        return incident.impact(figure)
    if _part(figure):
        share = incident.impact(figure)
        return None if share is None else 100 * share
    if figure == "impact_minutes":
        minutes = incident.impact("minutes")
        return None if minutes is None else 60 * minutes
    return incident.seconds(figure)


def _actions(incident: Incident, document: Document) -> Iterator[Finding]:
    rows = [row for row in document.actions() if TO_BE_SET not in (cell.lower() for cell in row.cells)]
    for row in rows:
        yield from _action(incident, row)
    if len(rows) > MOST_ACTIONS:
        what = f"There are {len(rows)} actions; more than {MOST_ACTIONS} are not done."
        yield Finding(rows[MOST_ACTIONS].line, what, "the ones that would have changed most.")
    section = document.sections.get(ACTIONS)
    kinds = {row.cells[1].lower() for row in rows}
    slow = (("detect", SLOW_DETECTION_SECONDS), ("mitigate", SLOW_MITIGATION_SECONDS))
    for kind, seconds in slow:
        took = incident.seconds(kind)
        # Unknown is never ok: what nobody could measure counts as slow.
        if kind not in kinds and (took > seconds if took is not None else incident.mandatory[0]):
            why = f"took longer than {seconds // 60} min" if took is not None else "took nobody knows how long"
            what = f"To {kind} {why}, and no action is of type {kind}."
            yield Finding(section.line if section else 0, what, f"an action that makes it faster to {kind}.")


def _action(incident: Incident, row: Row) -> Iterator[Finding]:
    priority, kind, action, owner, due, done = row.cells[: len(COLUMNS)]
    verb = re.split(r"[^a-z-]", action.lower().lstrip("*_` "), maxsplit=1)[0]
    if verb in catalogue().vague_verbs:
        yield Finding(
            row.line, f'Nobody can tell when "{verb}" is done.', "the change that is meant, as add or remove."
        )
    elif verb not in catalogue().verbs:
        yield Finding(
            row.line, f'The action does not begin with a verb: "{action}".', "a verb first: Add, Alert, Limit."
        )
    if kind.lower() not in TYPES:
        yield Finding(row.line, f'The type "{kind}" is unknown.', f"one of {', '.join(TYPES)}.")
    if not owner:
        yield Finding(row.line, "The action has no owner.", "the team that it belongs to.")
    if len(done) < SHORTEST_TEST:
        yield Finding(row.line, "The action has no test of being done.", "what everybody will see when it is done.")
    if priority not in DUE_DAYS:
        yield Finding(row.line, f'The priority "{priority}" is unknown.', f"one of {', '.join(DUE_DAYS)}.")
        return
    try:
        day = date.fromisoformat(due)
    except ValueError:
        yield Finding(row.line, f'The due date "{due}" is no date.', "a day such as 2026-12-06.")
        return
    since = incident.at("resolved")
    if since is not None and day > (latest := since.date() + timedelta(days=DUE_DAYS[priority])):
        what = f"{priority} is due {DUE_DAYS[priority]} days after the resolution, and {day} is later."
        yield Finding(row.line, what, f"{latest} or before.")
