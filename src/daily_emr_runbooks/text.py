"""Text from outside, made harmless for a terminal and a reader."""

from __future__ import annotations

import re
import unicodedata

# Cc control, Cf invisible and bidirectional marks, Cs halves of pairs, Co private use, Zl and Zp line breaks.
UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
LONGEST = 2000


def clean(value: object, longest: int = LONGEST) -> str:
    """One line of printable text: whatever could move a cursor, hide or reorder words is written as an escape."""
    text = value if isinstance(value, str) else _plain(value)
    if len(text) > longest:
        text = f"{text[: longest - 1]}…"
    return "".join(_escaped(letter) if unicodedata.category(letter) in UNSAFE_CATEGORIES else letter for letter in text)


def _escaped(letter: str) -> str:
    return " " if letter in "\n\t" else letter.encode("unicode_escape", "surrogatepass").decode("ascii")


def _plain(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{key}: {_plain(item)}" for key, item in value.items()) or "nothing"
        case list() | tuple():
            return ", ".join(_plain(item) for item in value) or "nothing"
        case _:
            return str(value)


def seconds(value: float | None) -> str:
    """A duration for people: 8.4 s, 3 min 20 s."""
    if value is None:
        return "an unknown time"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{value:.1f} s"


def plain(text: str) -> str:
    """Ansible's markup as Markdown: C(x) and V(x) become code."""
    return re.sub(r"\b[CVO]\(([^)]*)\)", r"`\1`", text)
