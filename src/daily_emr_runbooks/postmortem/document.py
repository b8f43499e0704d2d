"""A post-mortem as its people wrote it: lines, prose without code, sections, rows of tables, the actions."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST = 1_000_000
"""Bytes of a post-mortem; what is longer was not written by people."""
STATUSES = ("Draft", "In Review", "Reviewed", "Closed")
PUBLISHED = frozenset({"Reviewed", "Closed"})
ACTIONS = "Action items"
COLUMNS = ("priority", "type", "action", "owner team", "due", "done when")

_FENCE = re.compile(r" {0,3}(?:>[ \t]*)?(`{3,}|~{3,})")
_HEADING = re.compile(r"#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*")
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_LOOKS_LIKE = str.maketrans("\u2018\u2019\u2010\u2011\u2013\t", "''--- ")
HIDDEN = "\0"
"""Stands for what is not looked at: it is no gap between two words, and no part of one."""


@dataclass(frozen=True)
class Row:
    """A row of a table. line: its number, from 1; cells: as written, without the blanks around them."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """A part under a heading of the second level, with the parts below it."""

    title: str
    line: int
    lines: list[tuple[int, str]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not any(text.strip() for _, text in self.lines)


@dataclass(frozen=True)
class Document:
    """The text of a post-mortem."""

    text: str

    @classmethod
    def read(cls, path: Path) -> Document:
        """Raises CommandError when there is none, or when it is no text."""
        try:
            content = path.read_bytes()
            if len(content) > LONGEST:
                raise CommandError(f"{path} is longer than {LONGEST // 1_000_000} MB: take out what nobody wrote.")
            return cls(content.decode("utf-8").removeprefix("\ufeff"))
        except FileNotFoundError as error:
            raise CommandError(f"There is no {path}: `runbook postmortem {path.parent.name}` writes it.") from error
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{path} cannot be read as text: save it as UTF-8.") from error

    @cached_property
    def lines(self) -> list[str]:
        # Not splitlines(): what a reader sees as one line stays one.
        return self.text.replace("\r\n", "\n").split("\n")

    @cached_property
    def _fenced(self) -> tuple[set[int], int]:
        """The numbers of the lines in code blocks, and that of a fence that is never closed, else 0."""
        inside: set[int] = set()
        fence, opened = "", 0
        for number, line in enumerate(self.lines, 1):
            found = _FENCE.match(line)
            if not fence and found:
                fence, opened = found[1], number
                inside.add(number)
            elif fence:
                inside.add(number)
                if found and found[1].startswith(fence) and not line[found.end() :].strip():
                    fence = ""
        return (inside, opened) if fence else (inside, 0)

    @property
    def open_fence(self) -> int:
        return self._fenced[1]

    @cached_property
    def prose(self) -> list[str]:
        """The lines without code, in plain letters: what is quoted from a program blames nobody."""
        fenced, unclosed = self._fenced
        hidden = {number for number in fenced if not unclosed or number < unclosed}
        return [HIDDEN if number in hidden else _plain(line) for number, line in enumerate(self.lines, 1)]

    @cached_property
    def sections(self) -> dict[str, Section]:
        found: dict[str, Section] = {}
        current = None
        for number, line in enumerate(self.prose, 1):
            heading = _HEADING.fullmatch(line) if line.startswith(("# ", "## ")) else None
            if heading:
                current = Section(heading[1], number)
                found.setdefault(current.title, current)
            elif current:
                current.lines.append((number, self.lines[number - 1]))
        return found

    @cached_property
    def rows(self) -> list[Row]:
        """The rows of all tables that are no code."""
        pairs = zip(self.lines, self.prose, strict=True)
        return [
            Row(number, _cells(line)) for number, (line, prose) in enumerate(pairs, 1) if prose.lstrip().startswith("|")
        ]

    @property
    def status(self) -> Row | None:
        """The first row that is labelled Status."""
        return next((row for row in self.rows if row.cells[0] == "Status"), None)

    @property
    def published(self) -> bool:
        return self.status is not None and self.status.cells[1:2] != () and self.status.cells[1] in PUBLISHED

    def actions(self) -> Iterator[Row]:
        """The rows of the table of actions, without its head; cells are padded to COLUMNS."""
        section = self.sections.get(ACTIONS)
        numbers = {number for number, _ in section.lines} if section else set()
        for row in self.rows:
            if row.line not in numbers or row.cells[0].lower() == COLUMNS[0] or not "".join(row.cells).strip("-: "):
                continue
            yield Row(row.line, (*row.cells, *[""] * (len(COLUMNS) - len(row.cells))))


def _plain(line: str) -> str:
    without = _CODE.sub(HIDDEN, line)
    letters = unicodedata.normalize("NFKC", without).translate(_LOOKS_LIKE)
    return "".join(letter for letter in letters if unicodedata.category(letter) != "Cf").replace("**", "")


def _cells(line: str) -> tuple[str, ...]:
    inner = line.strip().removeprefix("|")
    inner = inner.removesuffix("|") if not inner.endswith("\\|") else inner
    return tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", inner))
