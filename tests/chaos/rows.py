"""One row of the table that `make chaos` prints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """What was tried, how often, what went wrong (must be empty), and how the control without the guard failed."""

    name: str
    tried: int
    faults: tuple[str, ...]
    control: str
    """What the same check finds without the guard; empty when it finds nothing, which is a fault itself."""
    seconds: float = 0.0
