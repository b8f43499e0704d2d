"""The event loop of the daemon: proxies, LaunchDarkly and traffic run in it, every other part in threads."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)


class LoopThread:
    """An event loop in its own thread, callable from every other thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="event-loop", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout_s: float = 30.0) -> T:
        """Run a coroutine in the loop and return its result to this thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout_s)

    def stop(self) -> None:
        """Cancel what still runs and end the thread."""
        if not self._thread.is_alive():
            return
        self.run(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Rounds(ABC):
    """Something that is done again and again in a thread of its own. A round that fails is no end: the next one tries
    again.
    """

    def __init__(self, name: str, every_s: float) -> None:
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._go_round, name=name, daemon=True)

    @abstractmethod
    def _round(self) -> None:
        """Do it once."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread behind the round that it is in."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _go_round(self) -> None:
        while not self._stopped.wait(self._every_s):
            try:
                self._round()
            except Exception:
                logger.exception("%s failed; the next round tries again", self._thread.name)


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 30.0, poll_s: float = 0.05) -> None:
    """Wait in this thread until a condition is true.

    Raises:
        TimeoutError: names `what` was waited for.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"The sandbox waited {timeout_s:g} s in vain until {what}.")
        time.sleep(poll_s)
