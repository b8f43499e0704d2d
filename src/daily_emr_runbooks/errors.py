"""What the command says instead of a traceback."""

from __future__ import annotations

from difflib import get_close_matches

USAGE_EXIT_CODE = 2
"""Nothing was started: a wrong name, a refused input, a sandbox that is not running."""


class CommandError(Exception):
    """One sentence: what is wrong, where, and what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


def one_of(word: str, known: list[str]) -> str:
    """Return " Did you mean …?" or the list of what exists, ready to be put behind a sentence."""
    if near := get_close_matches(word, known, n=1):
        return f"Did you mean {near[0]}? There is: {', '.join(known)}."
    return f"There is: {', '.join(known) or 'nothing'}."
