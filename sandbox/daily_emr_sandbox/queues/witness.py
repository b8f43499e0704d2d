"""The witness of what runbooks write into the queues: every write command of their user, as the server executed it.

The endpoints tell who logs in over which connection. From then on, and before its first command reaches the server,
MONITOR of that server tells what it executes, the commands inside a script included. It runs only while a connection
of a runbook is open, because it costs the server something.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import re
import time
from functools import partial
from typing import Any

from ..loop import LoopThread, wait_until

LINE = re.compile(rb"\+(\d+\.\d+) \[\d+ ([^\]]+)\] (.*)")
ARGUMENT = re.compile(rb'"((?:[^"\\]|\\.)*)"')
IN_SCRIPT = b"lua"
UNDECIDED_BYTES = 64 * 1024
LINGER_S = 1.0
"""A connection is watched that much longer than it lasts: what the server said of it may still be on its way."""
STEP_S = 0.02
SETTLED_S = 5.0

Place = tuple[str, int]


class Witness:
    """The tap of the endpoints of the queues."""

    def __init__(self, loop: LoopThread, user: str, password: str) -> None:
        self._loop, self._user, self._password = loop, user.encode(), password
        self._began: dict[Place, bytes] = {}
        """What a connection sent as long as it is not known who it is."""
        self._decided: set[Place] = set()
        self._monitors: dict[Place, Monitor] = {}
        self._writes: list[dict[str, Any]] = []

    def writes(self, since: int = 0) -> list[dict[str, Any]]:
        """Write commands of the runbooks, oldest first, without those before the one numbered `since`."""
        marker = f"witness-{time.monotonic_ns()}"
        for monitor in list(self._monitors.values()):
            self._loop.run(monitor.mark(marker))
            wait_until(partial(monitor.saw, marker), "the witness is up to date", SETTLED_S, STEP_S)
        return self._writes[since:]

    async def sent(self, server: asyncio.StreamWriter, chunk: bytes) -> None:
        ours: Place = server.get_extra_info("sockname")[:2]
        if ours in self._decided:
            return
        began = self._began.get(ours, b"") + chunk
        user = logged_in(began)
        if user is None and len(began) < UNDECIDED_BYTES:
            self._began[ours] = began
            return
        self._began.pop(ours, None)
        self._decided.add(ours)
        if user == self._user:
            await self._watch(server.get_extra_info("peername")[:2], ours)

    def ended(self, server: asyncio.StreamWriter) -> None:
        ours: Place = server.get_extra_info("sockname")[:2]
        self._began.pop(ours, None)
        self._decided.discard(ours)
        for monitor in self._monitors.values():
            if ours in monitor.watched:
                asyncio.get_running_loop().call_later(LINGER_S, monitor.forget, ours)

    async def _watch(self, node: Place, ours: Place) -> None:
        monitor = self._monitors.get(node)
        if monitor is None or monitor.ended:
            monitor = self._monitors[node] = Monitor(node, self._password, self._writes)
        await monitor.watch(ours)


class Monitor:
    """MONITOR of one server, as long as there is a connection to watch. Lives in the loop."""

    def __init__(self, node: Place, password: str, writes: list[dict[str, Any]]) -> None:
        self._node, self._password, self._writes = node, password, writes
        self.watched: set[Place] = set()
        self.ended = False
        self._names: dict[bytes, str] = {}
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._commands: set[bytes] = set()
        self._by: bytes = b""
        self._marks: set[bytes] = set()

    async def watch(self, connection: Place) -> None:
        """Returns when nothing of the connection can be missed any more."""
        async with self._starting:
            if self._reading is None:
                await self._start()
            self.watched.add(connection)

    def forget(self, connection: Place) -> None:
        self.watched.discard(connection)
        if not self.watched and self._reading is not None:
            self.ended = True
            self._reading.cancel()

    async def mark(self, marker: str) -> None:
        """Let something be seen that comes after everything that was executed so far."""
        if self.ended:
            return
        _, writer = await self._open()
        writer.write(_command("ECHO", marker))
        await writer.drain()
        writer.close()

    def saw(self, marker: str) -> bool:
        return self.ended or marker.encode() in self._marks

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self._node)
        writer.write(_command("AUTH", self._password))
        await reader.readline()
        return reader, writer

    async def _start(self) -> None:
        reader, writer = await self._open()
        writer.write(_command("COMMAND", "LIST", "FILTERBY", "ACLCAT", "write"))
        count = int((await reader.readline())[1:])
        for _ in range(count):
            await reader.readline()
            self._commands.add((await reader.readline()).strip().lower())
        writer.write(_command("MONITOR"))
        await reader.readline()
        self._reading = asyncio.create_task(self._read(reader, writer))

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await _line(reader):
                self._saw(line)
        except OSError:
            pass  # the server is gone, and so is every connection to it
        finally:
            self.ended = True
            writer.close()

    def _saw(self, line: bytes) -> None:
        found = LINE.match(line)
        if found is None:
            return
        at, who, rest = found.groups()
        if who != IN_SCRIPT:
            self._by = who
        host, _, port = self._by.decode().rpartition(":")
        arguments = ARGUMENT.findall(rest, 0, 4096)
        if not arguments:
            return
        command = arguments[0].lower()
        if command == b"echo" and arguments[1:]:
            self._marks.add(arguments[1])
        if not port.isdigit() or (host, int(port)) not in self.watched:
            return
        if command == b"client" and len(arguments) > 2 and arguments[1].lower() == b"setname":  # noqa: PLR2004
            self._names[self._by] = arguments[2].decode(errors="replace")
        if command in self._commands:
            self._writes.append(
                {
                    "at": dt.datetime.fromtimestamp(float(at), dt.UTC).isoformat(timespec="milliseconds"),
                    "node": self._node[0],
                    "client": self._names.get(self._by, ""),
                    "command": command.decode(),
                    "key": arguments[1].decode(errors="replace") if arguments[1:] else "",
                }
            )


def logged_in(began: bytes) -> bytes | None:
    """User of the first log-in in what a client sent; None while there is none."""
    for words in _commands(began):
        name = words[0].upper()
        if name == b"AUTH":
            return words[1] if len(words) > 2 else b"default"  # noqa: PLR2004 - with a password alone it has no user
        upper = [word.upper() for word in words]
        if name == b"HELLO" and b"AUTH" in upper and len(words) > upper.index(b"AUTH") + 1:
            return words[upper.index(b"AUTH") + 1]
    return None


def _commands(data: bytes) -> list[list[bytes]]:
    """Whole commands at the beginning of what a client sent."""
    found: list[list[bytes]] = []
    rest = data
    with contextlib.suppress(ValueError, IndexError):
        while rest.startswith(b"*"):
            head, rest = rest.split(b"\r\n", 1)
            words = []
            for _ in range(int(head[1:])):
                size, rest = rest.split(b"\r\n", 1)
                length = int(size[1:])
                if len(rest) < length + 2:
                    return found
                words.append(rest[:length])
                rest = rest[length + 2 :]
            found.append(words)
    return found


def _command(*words: str) -> bytes:
    parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
    return f"*{len(words)}\r\n{''.join(parts)}".encode()


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next line, however long; what is beyond the buffer is cut off."""
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError:
        head = await reader.read(4096)
        while True:
            try:
                await reader.readuntil(b"\n")
            except asyncio.LimitOverrunError:
                await reader.read(4096)
            except asyncio.IncompleteReadError:
                return head
            else:
                return head
