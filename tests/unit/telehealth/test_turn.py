"""The probe of a relay: over both transports, with every way in which a server can fail."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from aioice import stun
from ansible_collections.daily_emr.ops.plugins.module_utils._turn import Credential, Relay, Transport, probe

from .servers import NONCE, PASSWORD, REALM, USER, Reply, refusal
from .servers import Relay as Server

BOTH = list(Transport)
KNOWN = Credential(USER, PASSWORD)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def ask(server: Server, transport: Transport, credential: Credential | None = KNOWN, timeout_s: float = 3.0) -> Relay:
    return probe(server.host, server.port, transport, credential, timeout_s)


@pytest.mark.parametrize("transport", BOTH)
def test_a_relay_binds_allocates_and_is_given_back(server: Server, transport: Transport) -> None:
    relay = ask(server, transport)
    assert (relay.bound, relay.allocated, relay.failure, relay.works) == (True, True, "", True)
    assert server.freed.wait(2), "the allocation is given back"
    assert server.asked[:3] == [(transport, "BINDING"), (transport, "ALLOCATE"), (transport, "ALLOCATE")]
    assert "allocated" in relay.seen


@pytest.mark.parametrize("transport", BOTH)
def test_without_a_credential_a_binding_is_all_there_is(server: Server, transport: Transport) -> None:
    relay = ask(server, transport, None)
    assert (relay.bound, relay.allocated, relay.works) == (True, None, True)
    assert server.asked == [(transport, "BINDING")]


@pytest.mark.parametrize("transport", BOTH)
def test_a_wrong_password_is_refused(server: Server, transport: Transport) -> None:
    relay = ask(server, transport, Credential(USER, "another"))
    assert (relay.bound, relay.allocated, relay.failure, relay.works) == (True, False, "401", False)
    assert not server.freed.is_set()


@pytest.mark.parametrize("transport", BOTH)
def test_silence_is_a_timeout(server: Server, transport: Transport) -> None:
    server.silent.add(transport)
    relay = ask(server, transport, timeout_s=0.2)
    assert (relay.bound, relay.failure, relay.works) == (False, "timeout", False)
    assert relay.ms < 2000


def test_a_datagram_that_was_lost_is_sent_again(server: Server) -> None:
    lost = [True]

    def once(message: stun.Message) -> stun.Message | None:
        return None if lost and lost.pop() else server.properly(message)

    server.answer = once
    assert ask(server, Transport.UDP).allocated is True
    assert [method for _transport, method in server.asked[:2]] == ["BINDING", "BINDING"]


@pytest.mark.parametrize("transport", BOTH)
def test_nobody_there_is_refused(transport: Transport) -> None:
    with socket.socket() as free, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        free.bind(("127.0.0.1", 0))
        other.bind(free.getsockname())
        host, port = free.getsockname()
    assert probe(host, port, transport, None, 3.0).failure == "refused"


def stale(code: int) -> Reply:
    """A server whose nonce is stale at the first try, or always."""
    seen: list[stun.Message] = []

    def answer(message: stun.Message) -> stun.Message:
        if message.message_method is stun.Method.BINDING:
            return stun.Message(message.message_method, stun.Class.RESPONSE, message.transaction_id)
        seen.append(message)
        if len(seen) == 1:
            return refusal(message, 401, REALM=REALM, NONCE=b"old")
        return refusal(message, code, REALM=REALM, NONCE=NONCE)

    return answer


@pytest.mark.parametrize(("code", "failure"), [(438, "438"), (486, "486"), (508, "508")])
def test_a_server_that_does_not_want_says_why(server: Server, code: int, failure: str) -> None:
    server.answer = stale(code)
    relay = ask(server, Transport.UDP)
    assert (relay.allocated, relay.failure) == (False, failure)


def test_a_stale_nonce_is_replaced(server: Server) -> None:
    def answer(message: stun.Message) -> stun.Message | None:
        if message.attributes.get("NONCE") == b"old":
            return refusal(message, 438, REALM=REALM, NONCE=NONCE)
        found = server.properly(message)
        if found and found.error_code == 401:
            found.attributes["NONCE"] = b"old"
        return found

    server.answer = answer
    assert ask(server, Transport.TCP).allocated is True


def unsigned(message: stun.Message) -> stun.Message:
    """Whoever stands in between can answer; only the server can sign."""
    if message.message_method is stun.Method.ALLOCATE and "NONCE" not in message.attributes:
        return refusal(message, 401, REALM=REALM, NONCE=NONCE)
    attributes = {"XOR-RELAYED-ADDRESS": ("127.0.0.1", 9)}
    return stun.Message(message.message_method, stun.Class.RESPONSE, message.transaction_id, attributes)


ODD: dict[str, Reply] = {
    "unsigned": unsigned,
    "unreadable": lambda _message: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "500": lambda message: refusal(message, 500),
}


@pytest.mark.parametrize("failure", ODD)
def test_an_answer_that_is_none(server: Server, failure: str) -> None:
    server.answer = ODD[failure]
    relay = ask(server, Transport.UDP)
    assert (relay.failure, relay.works) == (failure, False)


def test_a_refusal_without_a_realm_is_unreadable(server: Server) -> None:
    server.answer = lambda message: (
        server.properly(message) if message.message_method is stun.Method.BINDING else refusal(message, 401)
    )
    assert ask(server, Transport.UDP).failure == "unreadable"


def test_an_answer_to_somebody_else_is_passed_over(server: Server) -> None:
    """One late answer, then the right one: the datagram of another transaction does not count."""

    def answer(message: stun.Message) -> stun.Message | None:
        if message.message_method is stun.Method.BINDING and len(server.asked) == 1:
            return stun.Message(message.message_method, stun.Class.RESPONSE)
        return server.properly(message)

    server.answer = answer
    assert ask(server, Transport.UDP).allocated is True


def test_a_connection_that_ends_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()

        def hang_up() -> None:
            connection, _address = listening.accept()
            connection.recv(100)
            connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        assert probe(host, port, Transport.TCP, None, 3.0).failure == "closed"


def test_the_password_stands_in_no_text() -> None:
    assert PASSWORD not in repr(KNOWN)
