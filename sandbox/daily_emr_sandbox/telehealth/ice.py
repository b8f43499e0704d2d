"""What a client does to find a path for its media: a STUN binding, or an allocation at a TURN server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from aioice import stun
from aioice.turn import UDP_TRANSPORT, TurnStreamMixin, make_integrity_key

T = TypeVar("T")


class IceError(Exception):
    """No path. `refused` when the server answered, and said no."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


@dataclass(frozen=True)
class Path:
    """From where a client asks which server, and by which transport: "udp" or "tcp"."""

    source: str
    host: str
    port: int
    transport: str


async def bind(path: Path, timeout_s: float) -> float:
    """Ask a server for our own address; seconds of the round trip.

    Raises:
        IceError: no answer.
    """
    return await _within(timeout_s, path, _bind)


async def allocate(path: Path, username: str, credential: str, timeout_s: float) -> float:
    """Get a relayed address and give it back at once; seconds of the round trip.

    Raises:
        IceError: no answer, or a refusal.
    """
    return await _within(timeout_s, path, lambda channel: _allocate(channel, username, credential))


async def _within(timeout_s: float, path: Path, ask: Callable[[Channel], Awaitable[T]]) -> T:
    channel = Channel()
    try:
        async with asyncio.timeout(timeout_s):
            await channel.connect(path)
            return await ask(channel)
    except TimeoutError:
        raise IceError("no answer") from None
    except (OSError, ValueError, KeyError) as error:  # refused, or an answer that is none
        raise IceError(type(error).__name__) from None
    finally:
        channel.close()


async def _bind(channel: Channel) -> float:
    started = time.monotonic()
    await channel.ask(stun.Message(stun.Method.BINDING, stun.Class.REQUEST))
    return time.monotonic() - started


async def _allocate(channel: Channel, username: str, credential: str) -> float:
    challenge = await channel.ask(_request(stun.Method.ALLOCATE))
    if challenge.error_code != HTTPStatus.UNAUTHORIZED:
        raise IceError("an allocation without credentials was not challenged", refused=True)
    realm, nonce = challenge.attributes["REALM"], challenge.attributes["NONCE"]
    key = make_integrity_key(username, realm, credential)

    def signed(method: stun.Method, **more: Any) -> stun.Message:
        request = _request(method, USERNAME=username, REALM=realm, NONCE=nonce, **more)
        request.add_message_integrity(key)
        return request

    started = time.monotonic()
    answer = await channel.ask(signed(stun.Method.ALLOCATE))
    seconds = time.monotonic() - started
    if answer.message_class is not stun.Class.RESPONSE or not answer.check_message_integrity(key):
        raise IceError(f"the allocation was refused with {answer.error_code}", refused=True)
    channel.tell(signed(stun.Method.REFRESH, LIFETIME=0))
    return seconds


def _request(method: stun.Method, **attributes: Any) -> stun.Message:
    if method is stun.Method.ALLOCATE:
        attributes["REQUESTED-TRANSPORT"] = UDP_TRANSPORT
    return stun.Message(method, stun.Class.REQUEST, attributes=attributes)


class Channel(TurnStreamMixin, asyncio.Protocol, asyncio.DatagramProtocol):
    """One conversation with a server, one question at a time. Nothing is sent again: on loopback nothing is lost."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[bytes] | None = None
        self._transport: Any = None
        self._send: Callable[[bytes], None]

    async def connect(self, path: Path) -> None:
        loop, source, server = asyncio.get_running_loop(), (path.source, 0), (path.host, path.port)
        if path.transport == "udp":
            await loop.create_datagram_endpoint(lambda: self, local_addr=source, remote_addr=server)
            self._send = self._transport.sendto
        else:
            await loop.create_connection(lambda: self, *server, local_addr=source)
            self._send = self._transport.write

    async def ask(self, request: stun.Message) -> stun.Message:
        """The answer to a request; whoever asks bounds how long that may take."""
        self._answer = asyncio.get_running_loop().create_future()
        self.tell(request)
        answer = stun.parse_message(await self._answer)
        if answer.transaction_id != request.transaction_id:
            raise IceError("an answer to another question", refused=True)
        return answer

    def tell(self, request: stun.Message) -> None:
        """Send and wait for nothing."""
        self._send(bytes(request))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: Any) -> None:
        self._transport = self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        self._fail(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionResetError())

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
