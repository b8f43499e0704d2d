"""The actions of a post-mortem as issues of Jira Cloud, REST API version 3. Pure: what is sent, and not the sending."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..text import clean
from .document import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .document import Document, Row
    from .incident import Incident

PRIORITIES = {"P0": "Highest", "P1": "High", "P2": "Medium"}
LONGEST_SUMMARY = 255
"""Letters of a summary; Jira refuses a longer one."""


@dataclass(frozen=True)
class Action:
    """A row of the table of actions. number: its place in it, from 1; issue: its key where it has one already."""

    number: int
    priority: str
    kind: str
    text: str
    team: str
    due: str
    done: str
    issue: str

    @classmethod
    def of(cls, number: int, row: Row) -> Action:
        cells = [clean(re.sub(r"\\([|*_`])", r"\1", cell)) for cell in row.cells]
        return cls(number, *cells[: len(COLUMNS)], *(cells[len(COLUMNS) :] or [""])[:1])


def actions_of(document: Document) -> Iterator[Action]:
    """The actions of a post-mortem that the lint finds nothing in."""
    return (Action.of(number, row) for number, row in enumerate(document.actions(), 1))


def label(incident: str, action: Action) -> str:
    """What an issue is found by again: the same words of the same incident have the same label."""
    words = " ".join(action.text.lower().split())
    return f"ai-{hashlib.sha256(f'{incident}|{words}'.encode()).hexdigest()[:12]}"


def payload(incident: Incident, action: Action, project: str, issue_type: str = "Task") -> dict[str, Any]:
    """The body of POST /rest/api/3/issue. project: its key in Jira. It has no name of a person: an owner is a team."""
    severity = incident.severity.lower()
    began = incident.at("impact_began") or incident.at("detected")
    labels = [
        "postmortem",
        severity,
        *([f"{severity}_{began:%Y%m%d}"] if began else []),
        incident.name.lower(),
        label(incident.name, action),
        action.kind.lower(),
        f"team-{_slug(action.team)}",
    ]
    ending = f" ({incident.name} AI-{action.number})"
    return {
        "fields": {
            "project": {"key": project},
            "issuetype": {"name": issue_type},
            "summary": f"{clean(action.text, LONGEST_SUMMARY - len(ending))}{ending}",
            "labels": labels,
            "priority": {"name": PRIORITIES[action.priority]},
            "duedate": action.due,
            "description": {
                "type": "doc",
                "version": 1,
                "content": [
                    _paragraph(f"{action.text} Owner: {action.team}."),
                    {
                        "type": "bulletList",
                        "content": [
                            {"type": "listItem", "content": [_paragraph(text)]}
                            for text in (
                                f"Done when: {action.done}",
                                f"Type: {action.kind}, {action.priority}, due {action.due}",
                                f"From the post-mortem of {incident.name}",
                            )
                        ],
                    },
                ],
            },
        }
    }


def _paragraph(text: str) -> dict[str, Any]:
    return {"type": "paragraph", "content": [{"type": "text", "text": text}]}


def _slug(text: str) -> str:
    """A word as labels have them: without blanks."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
