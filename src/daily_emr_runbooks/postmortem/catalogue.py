"""The catalogue of the lint: words that blame and what to write instead, figures in prose, and verbs. Data, no code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

CATALOGUE = Path(__file__).parent / "lint.yml"
DURATION = r"(?P<value>\d+(?:\.\d+)?) ?(?P<unit>hours?|h|minutes?|min|seconds?|s)\b"
NUMBER = r"(?P<value>\d+(?:[,. ]\d{3})+(?!\d)|\d+(?:\.\d+)?)"
GAP = r"(?:[^\S\n]+|[^\S\n]*\n[^\S\n]*)"
"""A gap between two words: a line may end in it, a paragraph may not."""


@dataclass(frozen=True)
class Blame:
    """One way to blame. pattern: what it is found by; example: a text that it has to find."""

    name: str
    pattern: re.Pattern[str]
    why: str
    instead: str
    example: str


@dataclass(frozen=True)
class Claim:
    """How prose tells a figure of the record: it has a group `value`, and a group `unit` where it is a duration."""

    figure: str
    pattern: re.Pattern[str]
    example: str


@dataclass(frozen=True)
class Catalogue:
    blame: tuple[Blame, ...]
    claims: tuple[Claim, ...]
    verbs: frozenset[str]
    vague_verbs: frozenset[str]
    not_people: frozenset[str]


@cache
def catalogue() -> Catalogue:
    """The catalogue of this version."""
    data = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))
    return Catalogue(
        blame=tuple(Blame(pattern=compiled(entry.pop("patterns")), **entry) for entry in data["blame"]),
        claims=tuple(Claim(pattern=compiled(entry.pop("patterns")), **entry) for entry in data["claims"]),
        verbs=frozenset(data["verbs"].split()),
        vague_verbs=frozenset(data["vague_verbs"].split()),
        not_people=frozenset(data["not_people"].split()),
    )


def compiled(patterns: list[str]) -> re.Pattern[str]:
    """Any of some patterns of the catalogue: a blank is any gap within a paragraph, capitals do not matter."""
    filled = "|".join(patterns).replace(" ", GAP).replace("<duration>", DURATION).replace("<number>", NUMBER)
    return re.compile(rf"(?<!\w)(?:{filled})(?!\w)", re.IGNORECASE)
