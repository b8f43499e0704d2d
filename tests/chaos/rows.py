"""One row of the table that `make chaos` prints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """What was tried, how often, what went wrong (must be empty), and whether the control without the guard failed as
    it has to.
    """

    name: str
    tried: int
    faults: tuple[str, ...]
    control: str
    """What the control showed: how it failed without the guard; empty when the control did not fail, which is a fault
    itself.
    """
    seconds: float = 0.0
