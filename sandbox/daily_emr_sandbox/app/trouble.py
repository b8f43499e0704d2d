"""What goes wrong with a single task, whatever its release: asked for by a signal, and gone with its process."""

from __future__ import annotations

import errno
import random
import time

PAUSE_S = 0.9
"""Mean pause of a task that lags: shorter than what the load balancer waits."""
USUAL_PAUSE_S = 0.004


class Trouble:
    """Health of the process itself. Health checks pass: an orchestrator sees nothing."""

    def __init__(self) -> None:
        self._disk_full = False
        self._lags = False

    def fill_disk(self) -> None:
        """From now on every request of a user fails."""
        self._disk_full = True

    def lag(self) -> None:
        """From now on the event loop pauses: every request of a user waits, none fails."""
        self._lags = True

    def meet(self) -> None:
        """A request of a user meets the trouble."""
        if self._lags:
            time.sleep(PAUSE_S * random.uniform(0.5, 1.5))
        if self._disk_full:
            raise OSError(errno.ENOSPC, "no space left on device")

    @property
    def paused_s(self) -> float:
        return PAUSE_S * 1.5 if self._lags else USUAL_PAUSE_S
