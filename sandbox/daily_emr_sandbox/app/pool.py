"""A small connection pool: fails at once when the server refuses, waits when all connections are in use."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

logger = logging.getLogger("emr")

FILL_PAUSE_S = 2.0


class Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class PoolExhausted(Exception):
    """No connection became free in time."""


class Pool(Generic[C]):
    """At most `size` connections, each used by one thread at a time."""

    def __init__(self, connect: Callable[[], C], size: int, wait_s: float) -> None:
        self._connect = connect
        self._size = size
        self._wait_s = wait_s
        self._free = threading.Semaphore(size)
        self._idle: deque[C] = deque()
        self._open = 0
        self._counting = threading.Lock()
        self._keeps_dead = False

    @contextmanager
    def connection(self) -> Iterator[C]:
        """Lend a connection; one that failed in the hands of the borrower is closed, not reused.

        Raises:
            PoolExhausted: none became free within `wait_s`.
        """
        if not self._free.acquire(timeout=self._wait_s):
            raise PoolExhausted(f"no connection free after {self._wait_s:g} s")
        try:
            connection = self._take()
            try:
                yield connection
            except BaseException:
                if self._keeps_dead:
                    self._idle.append(connection)
                else:
                    connection.close()
                    self._count(-1)
                raise
            self._idle.append(connection)
        finally:
            self._free.release()

    def fill(self) -> None:
        """Keep `size` connections open, for ever; what the server refuses is asked for again."""
        pause = threading.Event()
        while True:
            # A permit is held meanwhile: together with those of the borrowers there are never more than `size`.
            if self._open < self._size and self._free.acquire(blocking=False):
                try:
                    self._idle.appendleft(self._opened())
                    continue
                except Exception as error:  # noqa: BLE001 - a request that needs a connection says what is wrong
                    logger.info("the pool is not full: %s", type(error).__name__)
                finally:
                    self._free.release()
            pause.wait(FILL_PAUSE_S)

    def leak(self) -> None:
        """The defect of a wedged task: every connection is taken and none is ever given back."""
        for _ in range(self._size):
            self._free.acquire()

    def keep_dead(self) -> None:
        """The defect of a pool that does not notice that its server is gone: dead connections are lent again."""
        self._keeps_dead = True

    def _take(self) -> C:
        try:
            return self._idle.pop()
        except IndexError:
            return self._opened()

    def _opened(self) -> C:
        self._count(1)
        try:
            return self._connect()
        except BaseException:
            self._count(-1)
            raise

    def _count(self, change: int) -> None:
        with self._counting:
            self._open += change
