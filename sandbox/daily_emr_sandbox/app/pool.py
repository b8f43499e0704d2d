"""A small connection pool: connects when asked, fails at once when the server refuses, waits when all are in use."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar


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

    @contextmanager
    def connection(self) -> Iterator[C]:
        """Lend a connection; one that failed in the hands of the borrower is closed, not reused.

        Raises:
            PoolExhausted: none became free within `wait_s`.
        """
        if not self._free.acquire(timeout=self._wait_s):
            raise PoolExhausted(f"no connection free after {self._wait_s:g} s")
        try:
            connection = self._idle.pop() if self._idle else self._connect()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)
        finally:
            self._free.release()

    def leak(self) -> None:
        """The defect of a wedged task: every connection is taken and none is ever given back."""
        for _ in range(self._size):
            self._free.acquire()
