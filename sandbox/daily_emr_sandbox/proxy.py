"""TCP proxies with a fixed near end: the endpoint of a server, and one path for each zone.

A path can hang (what a zone's broken network does: packets vanish, nothing is refused) and can delay each round
trip (what a server with exhausted I/O does to its clients).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import cast

CHUNK = 65536


class Proxy:
    """Listens on one address and carries bytes to whatever `target()` names at the time of the connection."""

    def __init__(self, address: str, port: int, target: Callable[[], tuple[str, int]]) -> None:
        self.address, self.port = address, port
        self.delay_s = 0.0
        """Added to every message of a client; a query is one message, so this is the delay of a round trip."""
        self._target = target
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

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
        writers = [client_writer]
        try:
            await self._flowing.wait()
            server_reader, server_writer = await asyncio.open_connection(*self._target())
            writers.append(server_writer)
            pumps = [
                asyncio.create_task(self._pump(client_reader, server_writer, delayed=True)),
                asyncio.create_task(self._pump(server_reader, client_writer, delayed=False)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            client_writer.transport.abort()
        except asyncio.CancelledError:
            # Ends here on purpose: asyncio reports a cancelled connection handler as an error.
            for writer in writers:
                writer.transport.abort()
        finally:
            for writer in writers:
                writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delayed: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if delayed and self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self._flowing.wait()
                writer.write(chunk)
                await writer.drain()
