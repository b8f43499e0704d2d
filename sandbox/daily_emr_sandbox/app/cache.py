"""Sessions in Valkey, over the four commands that are needed. A client library would double the memory of a task."""

from __future__ import annotations

import socket


class CacheRefused(Exception):
    """The server answered with an error."""


class Cache:
    """One authenticated connection.

    Raises:
        OSError: not reachable, or no answer within `timeout_s`.
        CacheRefused: wrong password.
    """

    def __init__(self, address: str, password: str, timeout_s: float) -> None:
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), timeout_s)
        self._answers = self._socket.makefile("rb")
        try:
            if password:
                self.call("AUTH", password)
        except BaseException:
            self.close()
            raise

    def call(self, *parts: str) -> str | int | None:
        """Send one command and return its answer (simple string, integer or bulk string)."""
        words = [part.encode() for part in parts]
        self._socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        line = self._answers.readline()
        if not line:
            raise ConnectionResetError("the cache closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise CacheRefused(rest.split(b" ", 1)[0].decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._answers.read(int(rest) + 2)[:-2].decode()
        return rest.decode()

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


def reason(error: Exception) -> str:
    """Why the cache failed, in the words of /readyz."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, CacheRefused):
        return "auth" if str(error) in {"WRONGPASS", "NOAUTH", "ERR"} else "error"
    return "refused" if isinstance(error, OSError) else "error"
