# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the way of sound and pictures, probed. May change without notice.

"""One probe of a STUN and TURN server over one transport: a binding, then an allocation that is given back.

RFC 8489 and RFC 8656, with the codec of aioice. Nobody is sent anything through the relay.
"""

from __future__ import annotations

import hashlib
import socket
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError

if TYPE_CHECKING:
    from collections.abc import Callable

try:
    from aioice import stun
except ImportError:  # only where modules are imported without the lock file, as ansible-test does; probe() says so
    stun = None  # type: ignore[assignment]

# A lost datagram is sent again after half a second, then after one, as RFC 8489 has it.
_RESEND_S = 0.5
_HEADER_BYTES = 20
_DATAGRAM_BYTES = 2048
_UNAUTHORIZED, _STALE_NONCE = 401, 438
# The relay that is asked for speaks UDP to the other side, whatever we speak to it.
_TO_UDP = 0x11000000
# What an answer can be that is no STUN message, or not the one that was asked for.
_UNREADABLE = (ValueError, KeyError, IndexError, TypeError, UnicodeDecodeError)


class Transport(StrEnum):
    """How a client reaches the server. TCP stands for the way of those whose network lets no UDP through."""

    UDP = "udp"
    TCP = "tcp"


@dataclass(frozen=True)
class Credential:
    """A user of a TURN server; good for minutes."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Relay:
    """What came of one probe. allocated is None where there was no credential to ask for an allocation with.

    failure: empty, timeout, refused, closed, unreadable, unsigned, error, or the code of the server's refusal.
    """

    transport: Transport
    bound: bool
    allocated: bool | None
    failure: str
    ms: float

    @property
    def works(self) -> bool:
        """Whether sound and pictures could go this way, as far as it was asked."""
        return self.bound and self.allocated is not False

    @property
    def seen(self) -> str:
        if self.failure:
            return f"{self.transport}: {self.failure} after {self.ms:.0f} ms"
        return f"{self.transport}: {'allocated' if self.allocated else 'bound'} in {self.ms:.0f} ms"


class _Failed(Exception):
    """The probe ends here; its only argument says why, in a word."""


def probe(host: str, port: int, transport: Transport, credential: Credential | None, timeout_s: float) -> Relay:
    """Bind, allocate and give the allocation back; never an exception for what the network or the server did."""
    if stun is None:
        raise OpsError("aioice is not installed in the Python that runs Ansible: install the project's lock file.")
    started = time.monotonic()
    bound, allocated, failure = False, None, ""
    try:
        with _Server(host, port, transport, started + timeout_s) as server:
            server.ask(stun.Message(stun.Method.BINDING, stun.Class.REQUEST))
            bound = True
            if credential is not None:
                allocated = False
                _allocate(server, credential)
                allocated = True
    except _Failed as error:
        failure = str(error)
    except ConnectionRefusedError:
        failure = "refused"
    except TimeoutError:
        failure = "timeout"
    except OSError:
        failure = "error"
    return Relay(transport, bound, allocated, failure, (time.monotonic() - started) * 1000)


def _allocate(server: _Server, credential: Credential) -> None:
    """Ask without a name first: the refusal carries the realm and the nonce of the real request (RFC 8489, 9.2)."""
    refusal = server.send(stun.Message(stun.Method.ALLOCATE, stun.Class.REQUEST, attributes=_wish()))
    for _attempt in range(2):
        code = _code(refusal)
        if code not in (_UNAUTHORIZED, _STALE_NONCE):
            raise _Failed(str(code) if code else "unsigned")
        signed = _Signed(refusal, credential)
        answer = server.send(signed.request(stun.Method.ALLOCATE, _wish()))
        if answer.message_class == stun.Class.RESPONSE:
            if not signed.by_server(answer) or "XOR-RELAYED-ADDRESS" not in answer.attributes:
                raise _Failed("unsigned")
            server.forget(signed.request(stun.Method.REFRESH, {"LIFETIME": 0}))
            return
        if _code(answer) == _UNAUTHORIZED:
            raise _Failed(str(_UNAUTHORIZED))
        refusal = answer
    raise _Failed(str(_code(refusal)))


def _wish() -> dict[str, Any]:
    return {"REQUESTED-TRANSPORT": _TO_UDP}


def _code(message: Any) -> int | None:
    code: int | None = message.error_code
    return code


class _Signed:
    """Requests of one user in one realm."""

    def __init__(self, refusal: Any, credential: Credential) -> None:
        try:
            self._realm, self._nonce = str(refusal.attributes["REALM"]), bytes(refusal.attributes["NONCE"])
        except KeyError:
            raise _Failed("unreadable") from None
        self._username = credential.username
        text = ":".join((credential.username, self._realm, credential.password))
        # The key of long-term credentials is an MD5 by definition (RFC 8489, 9.2.2).
        self._key = hashlib.md5(text.encode(), usedforsecurity=False).digest()

    def request(self, method: Any, attributes: dict[str, Any]) -> Any:
        ours = {"USERNAME": self._username, "REALM": self._realm, "NONCE": self._nonce}
        message = stun.Message(method, stun.Class.REQUEST, attributes={**attributes, **ours})
        message.add_message_integrity(self._key)
        return message

    def by_server(self, answer: Any) -> bool:
        return bool(answer.check_message_integrity(self._key))


class _Server:
    """A server over one socket. Every wait ends at the deadline, with TimeoutError."""

    def __init__(self, host: str, port: int, transport: Transport, deadline: float) -> None:
        self._where, self._deadline = (host, port), deadline
        self._stream = transport is Transport.TCP
        self._socket: socket.socket

    def __enter__(self) -> _Server:
        if self._stream:
            self._socket = socket.create_connection(self._where, self._left())
        else:
            family, kind, protocol, _name, address = socket.getaddrinfo(*self._where, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind, protocol)
            self._socket.connect(address)
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def ask(self, message: Any) -> Any:
        """The answer to a request that the server has no reason to refuse."""
        answer = self.send(message)
        if answer.message_class != stun.Class.RESPONSE:
            raise _Failed(str(_code(answer) or "unreadable"))
        return answer

    def send(self, message: Any) -> Any:
        """The answer to a request, whatever it is."""
        data = bytes(message)
        if self._stream:
            self._socket.settimeout(self._left())
            self._socket.sendall(data)
            return self._answer(message, self._read_stream, self._deadline)
        pause = _RESEND_S
        while True:
            self._socket.send(data)
            try:
                return self._answer(message, self._read_datagram, min(time.monotonic() + pause, self._deadline))
            except TimeoutError:
                self._left()
            pause *= 2

    def forget(self, message: Any) -> None:
        """Send and do not wait: what is not given back runs out by itself."""
        self._socket.send(bytes(message))

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _answer(self, message: Any, read: Callable[[float], bytes], until: float) -> Any:
        """The answer to this message; late answers to others are passed over."""
        while True:
            try:
                found = stun.parse_message(read(until))
            except _UNREADABLE:
                raise _Failed("unreadable") from None
            if found.transaction_id == message.transaction_id:
                return found

    def _read_datagram(self, until: float) -> bytes:
        return self._receive(_DATAGRAM_BYTES, until)

    def _read_stream(self, until: float) -> bytes:
        header = self._exactly(_HEADER_BYTES, until)
        return header + self._exactly(int.from_bytes(header[2:4], "big"), until)

    def _exactly(self, size: int, until: float) -> bytes:
        data = b""
        while len(data) < size:
            part = self._receive(size - len(data), until)
            if not part:
                raise _Failed("closed")
            data += part
        return data

    def _receive(self, size: int, until: float) -> bytes:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        return self._socket.recv(size)
