"""How well the authority works: what is changed to make it fail, in one place. Safe to change from any thread."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

How = Literal["answer", "refuse", "unavailable", "commit_silent", "silent", "commit_reset", "commit_unavailable"]
"""What becomes of a submission: accepted and answered; 422; 503 and not accepted; accepted and never answered; neither
accepted nor answered; accepted and the connection broken; accepted and 503."""


@dataclass
class RateLimit:
    """One request at a time: what comes before the next is due is answered 429."""

    per_second: float
    retry_after_s: int
    _next: float = 0.0

    def admits(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + 1 / self.per_second
        return True


@dataclass
class Behaviour:
    """Of all operations behind the token; a new one is a healthy authority."""

    down: bool = False
    limit: RateLimit | None = None
    _delays: Iterator[float] = field(default_factory=lambda: itertools.repeat(0.0))
    _submissions: Iterator[How] = field(default_factory=lambda: itertools.repeat("answer"))

    def slow(self, *delays_s: float) -> None:
        """Each answer takes the next of these, in turn."""
        self._delays = itertools.cycle(delays_s)

    def submissions(self, *how: How) -> None:
        """Each submission meets the next of these, in turn."""
        self._submissions = itertools.cycle(how)

    def next_delay(self) -> float:
        return next(self._delays)

    def next_submission(self) -> How:
        return next(self._submissions)
