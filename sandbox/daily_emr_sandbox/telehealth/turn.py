"""A STUN and TURN server of one media region, on UDP and TCP: RFC 8489 and RFC 8656 up to the allocation.

It answers Binding, Allocate and Refresh, with long-term credentials, and binds the relayed address. It relays
nothing: CreatePermission and ChannelBind are forbidden, so that nobody takes it for a path of media.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aioice import stun
from aioice.turn import UDP_TRANSPORT, TurnStreamMixin, make_integrity_key

SOFTWARE = "Daily EMR sandbox"
LIFETIME_S, LONGEST_S = 600, 3600
"""Of an allocation: what is given unless asked for, and the most (RFC 8656, sections 7.2 and 3.2)."""

Address = tuple[str, int]


def credential_of(secret: str, username: str) -> str:
    """Password of a user name `<end>:<who>`: known to whoever has the secret, without a list of users.

    https://datatracker.ietf.org/doc/html/draft-uberti-behave-turn-rest-00
    """
    return base64.b64encode(hmac.digest(secret.encode(), username.encode(), hashlib.sha1)).decode()


@dataclass
class Allocation:
    """A relayed address that is held for one client on one transport."""

    relayed: socket.socket
    transaction_id: bytes
    lifetime_s: int
    end: asyncio.TimerHandle

    def free(self) -> None:
        self.end.cancel()
        self.relayed.close()


class TurnServer:
    """`start`, `stop` and everything else here is for the event loop's thread.

    Attributes:
        delay_s: how much later than at once it answers.
        silent: whether what arrives by a transport ("udp", "tcp") from an address is left without an answer.
    """

    def __init__(self, address: str, port: int, *, realm: str, secret: str, delay_s: float = 0.0) -> None:
        self.place = (address, port)
        self.realm = realm
        self.silent: Callable[[str, str], bool] = lambda _transport, _address: False
        self.delay_s = delay_s
        self._secret = secret
        self._nonce = secrets.token_hex(8).encode()
        self._allocations: dict[tuple[str, Address], Allocation] = {}
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._streams: set[asyncio.Transport] = set()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=self.place)
        self._tcp = await loop.create_server(lambda: _Stream(self), *self.place)

    async def stop(self) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for stream in list(self._streams):
            stream.abort()
        for key in list(self._allocations):
            self.free(*key)

    @property
    def allocations(self) -> int:
        """How many are held."""
        return len(self._allocations)

    def take(self, data: bytes, transport: str, client: Address, send: Callable[[bytes], None]) -> None:
        """Answer a message, unless the path is broken or it is none of STUN: then nobody answers."""
        if self.silent(transport, client[0]):
            return
        try:
            request = stun.parse_message(data)
        except (ValueError, KeyError):
            return
        if request.message_class is stun.Class.REQUEST:
            answer = bytes(self._answer(request, transport, client))
            asyncio.get_running_loop().call_later(self.delay_s, send, answer)

    def opened(self, stream: asyncio.Transport) -> None:
        self._streams.add(stream)

    def closed(self, stream: asyncio.Transport, client: Address) -> None:
        self._streams.discard(stream)
        self.free("tcp", client)

    def free(self, transport: str, client: Address) -> None:
        """End the allocation of a client, if it has one."""
        if allocation := self._allocations.pop((transport, client), None):
            allocation.free()

    def _answer(self, request: stun.Message, transport: str, client: Address) -> stun.Message:
        if request.message_method is stun.Method.BINDING:
            answer = _response(request, **{"XOR-MAPPED-ADDRESS": client})
            answer.add_fingerprint()
            return answer
        key = self._key_of(request)
        if isinstance(key, stun.Message):
            return key
        if request.message_method is stun.Method.ALLOCATE:
            answer = self._allocate(request, transport, client)
        elif request.message_method is stun.Method.REFRESH:
            answer = self._refresh(request, transport, client)
        else:
            answer = _error(request, 403, "Forbidden")
        answer.add_message_integrity(key)
        return answer

    def _key_of(self, request: stun.Message) -> bytes | stun.Message:
        """Key of who is allowed to ask, else the error that says what is missing (RFC 8489, section 9.2.4)."""
        challenge = {"REALM": self.realm, "NONCE": self._nonce}
        given = request.attributes
        if "MESSAGE-INTEGRITY" not in given:
            return _fingerprinted(_error(request, 401, "Unauthorized", **challenge))
        if not {"USERNAME", "REALM", "NONCE"} <= given.keys():
            return _fingerprinted(_error(request, 400, "Bad Request"))
        if given["NONCE"] != self._nonce:
            return _fingerprinted(_error(request, 438, "Stale Nonce", **challenge))
        username = given["USERNAME"]
        key = make_integrity_key(username, self.realm, credential_of(self._secret, username))
        end = username.partition(":")[0]
        if not end.isdecimal() or int(end) < time.time() or not request.check_message_integrity(key):
            return _fingerprinted(_error(request, 401, "Unauthorized", **challenge))
        return key

    def _allocate(self, request: stun.Message, transport: str, client: Address) -> stun.Message:
        if "REQUESTED-TRANSPORT" not in request.attributes:
            return _error(request, 400, "Bad Request")
        if request.attributes["REQUESTED-TRANSPORT"] != UDP_TRANSPORT:
            return _error(request, 442, "Unsupported Transport Protocol")
        held = self._allocations.get((transport, client))
        if held is not None and held.transaction_id != request.transaction_id:
            return _error(request, 437, "Allocation Mismatch")
        if held is None:  # else it was sent again, and gets the same answer
            lifetime_s = _lifetime_s(request)
            relayed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            relayed.bind((self.place[0], 0))
            end = asyncio.get_running_loop().call_later(lifetime_s, self.free, transport, client)
            held = self._allocations[transport, client] = Allocation(relayed, request.transaction_id, lifetime_s, end)
        return _response(request, **{
            "XOR-RELAYED-ADDRESS": held.relayed.getsockname(), "XOR-MAPPED-ADDRESS": client,
            "LIFETIME": held.lifetime_s, "SOFTWARE": SOFTWARE,
        })  # fmt: skip

    def _refresh(self, request: stun.Message, transport: str, client: Address) -> stun.Message:
        held = self._allocations.get((transport, client))
        if held is None:
            return _error(request, 437, "Allocation Mismatch")
        lifetime_s = _lifetime_s(request)
        if lifetime_s == 0:
            self.free(transport, client)
        else:
            held.end.cancel()
            held.end = asyncio.get_running_loop().call_later(lifetime_s, self.free, transport, client)
        return _response(request, LIFETIME=lifetime_s)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: TurnServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._server.take(data, "udp", addr, lambda answer: self._transport.sendto(answer, addr))


class _Stream(TurnStreamMixin, asyncio.Protocol):
    """One connection of a client; the mixin cuts the stream into messages."""

    transport: asyncio.Transport

    def __init__(self, server: TurnServer) -> None:
        self._server = server
        self.datagram_received = self._take

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self._client: Address = transport.get_extra_info("peername")
        self._server.opened(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.closed(self.transport, self._client)

    def _take(self, data: bytes, client: Address) -> None:
        self._server.take(data, "tcp", client, self._send)

    def _send(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)


def _lifetime_s(request: stun.Message) -> int:
    return min(int(request.attributes.get("LIFETIME", LIFETIME_S)), LONGEST_S)


def _response(request: stun.Message, **attributes: Any) -> stun.Message:
    return stun.Message(request.message_method, stun.Class.RESPONSE, request.transaction_id, attributes)


def _error(request: stun.Message, code: int, reason: str, **attributes: Any) -> stun.Message:
    attributes = {"ERROR-CODE": (code, reason), **attributes}
    return stun.Message(request.message_method, stun.Class.ERROR, request.transaction_id, attributes)


def _fingerprinted(message: stun.Message) -> stun.Message:
    message.add_fingerprint()
    return message
