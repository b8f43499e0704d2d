"""How well the authority works: what is changed to make it fail, in one place. Safe to change from any thread."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

How = Literal[
    "answer", "refuse", "unavailable", "commit_silent", "silent", "commit_reset", "commit_unavailable", "page"
]
"""What becomes of a submission: accepted and answered; 422; 503 and not accepted; accepted and never answered; neither
accepted nor answered; accepted and the connection broken; accepted and 503; 200 from a proxy that passed nothing on."""


@dataclass
class RateLimit:
    """A bucket that holds what may come in a second: what comes when it is empty is answered 429."""

    per_second: float
    retry_after_s: int
    _left: float = 0.0
    _at: float = -math.inf

    def admits(self) -> bool:
        now = time.monotonic()
        self._left = min(max(self.per_second, 1.0), self._left + (now - self._at) * self.per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
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
