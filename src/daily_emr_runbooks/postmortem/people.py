"""The people whose names stand in the records of runs: a post-mortem names roles, and none of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from .catalogue import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

ROLE = "the operator"
MAIL = re.compile(r"[A-Za-z0-9][\w.+-]*@[\w-]+(?:\.[\w-]+)*")
HANDLE = re.compile(r"(?<![\w@.])@[A-Za-z][\w.-]+")
NUMBER_OF_A_PERSON = re.compile(r"\bCR\d{6,}|(?<![\w+])(?:\+?254|0)[17]\d{8}\b|(?<![\w.,:-])\d{7,8}(?![\w,:-])")
"""Kenyan IDs, phones, and what the SHA knows people by."""
SHORTEST = 3
"""Letters of a part of a name; shorter ones are initials, and found in every text."""


@dataclass(frozen=True)
class Names:
    """Names of operators as AWS and the records have them, such as grace.wanjiru or wanjiru."""

    operators: frozenset[str] = frozenset()

    @classmethod
    def of_runs(cls, runs_dir: Path) -> Names:
        """Everybody who ran something on this machine."""
        return cls(frozenset(name for path in runs_dir.glob("INC-*/*/record.json") for name in _operators(path)))

    def found_in(self, text: str) -> Iterator[re.Match[str]]:
        """Where a text names somebody: by address, by handle, or by a name of an operator."""
        for pattern in (MAIL, HANDLE, *self._patterns):
            yield from pattern.finditer(text)

    def taken_out(self, text: str) -> str:
        """The same text with roles instead of names."""
        for pattern in (MAIL, *self._patterns):
            text = pattern.sub(ROLE, text)
        return text

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], ...]:
        whole, parts = set(), set()
        for operator in self.operators:
            account = operator.partition("@")[0]
            # Accounts of machines are no people, and "act" or "ci" stand in every text.
            people = [part for part in re.split(r"[^A-Za-z]+", account) if part.lower() not in catalogue().not_people]
            people = [part for part in people if len(part) >= SHORTEST]
            if people:
                whole.add(account)
                parts |= {part.capitalize() for part in people}
        # A part of a name counts with its capital alone: grace is a word, Grace a person.
        return (*_words(whole, re.IGNORECASE), *_words(parts, re.NOFLAG))


def _words(words: Iterable[str], flags: re.RegexFlag) -> Iterator[re.Pattern[str]]:
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    if longest_first:
        yield re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", flags)


def _operators(path: Path) -> Iterator[str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return
    operator = found.get("operator") if isinstance(found, dict) else None
    if isinstance(operator, str) and operator.strip():
        yield operator.strip()
