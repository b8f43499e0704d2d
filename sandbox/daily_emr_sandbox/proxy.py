"""TCP proxies with a fixed near end: the endpoint of a server, and one path for each zone.

A path can hang (what a zone's broken network does: packets vanish, nothing is refused) and can delay each round
trip (what a server with exhausted I/O does to its clients). The host behind it can be sick, and it can be gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol, cast

CHUNK = 65536
LOG_IN = b"\x00p"
"""First bytes of what a client of PostgreSQL sends before its session begins: a start-up packet, a password."""


class Tap(Protocol):
    """Sees what clients send, before the server does."""

    async def sent(self, server: asyncio.StreamWriter, chunk: bytes) -> None: ...

    def ended(self, server: asyncio.StreamWriter) -> None: ...


class Proxy:
    """Listens on one address and carries bytes to whatever `target()` names at the time of the connection."""

    def __init__(
        self,
        address: str,
        port: int,
        target: Callable[[], tuple[str, int]],
        host_delay_s: Callable[[], float] = lambda: 0.0,
        tap: Tap | None = None,
    ) -> None:
        self.address, self.port = address, port
        self.delay_s = 0.0
        """Added to every message of a client; a query is one message, so this is the delay of a round trip."""
        self._target = target
        self._host_delay_s = host_delay_s
        """What the host of the target adds to each statement. A log-in touches no disk: it takes as long as ever."""
        self._tap = tap
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._lost = asyncio.Event()

    async def open(self) -> None:
        """Listen; nothing happens when it does already."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, self.address, self.port)

    async def close(self) -> None:
        """Stop listening, so that clients are refused, and abort what is open."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def lose(self) -> None:
        """The host behind is gone without a word: new clients are refused, open connections are silent for ever."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        self._lost.set()
        self._lost = asyncio.Event()

    @property
    def hanging(self) -> bool:
        return not self._flowing.is_set()

    async def hang(self) -> None:
        """Carry nothing any more, in old and new connections. Connections are neither refused nor closed."""
        self._flowing.clear()

    async def flow(self) -> None:
        self._flowing.set()

    async def _accept(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        writers, lost = [client_writer], self._lost
        try:
            await self._flowing.wait()
            server_reader, server_writer = await asyncio.open_connection(*self._target())
            writers.append(server_writer)
            pumps = [
                asyncio.create_task(self._pump(client_reader, server_writer, delayed=True)),
                asyncio.create_task(self._pump(server_reader, client_writer, delayed=False)),
            ]
            waits = [*pumps, asyncio.create_task(self._true(lost))]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
                await asyncio.gather(*waits, return_exceptions=True)
            if lost.is_set():
                server_writer.transport.abort()
                while await client_reader.read(CHUNK):  # until the client gives up
                    pass
        except OSError:
            client_writer.transport.abort()
        except asyncio.CancelledError:
            # Ends here on purpose: asyncio reports a cancelled connection handler as an error.
            for writer in writers:
                writer.transport.abort()
        finally:
            if self._tap is not None and len(writers) > 1:
                self._tap.ended(writers[1])
            for writer in writers:
                writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delayed: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if delayed and (delay_s := self._delay_s_of(chunk)):
                    await asyncio.sleep(delay_s)
                await self._flowing.wait()
                if delayed and self._tap is not None:
                    await self._tap.sent(writer, chunk)
                writer.write(chunk)
                await writer.drain()

    def _delay_s_of(self, chunk: bytes) -> float:
        return self.delay_s + (0.0 if chunk[0] in LOG_IN else self._host_delay_s())

    @staticmethod
    async def _true(event: asyncio.Event) -> None:
        await event.wait()
