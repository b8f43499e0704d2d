"""A provider of telehealth on loopback: its control API over HTTP, its relay over UDP and TCP."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aioice import stun

Json = dict[str, Any]

REALM, NONCE = "telehealth", b"nonce-1"
USER, PASSWORD = "1795424996:probe", "turn-secret"
KEY = hashlib.md5(f"{USER}:{REALM}:{PASSWORD}".encode()).digest()
API_KEY = "probe-key"
Reply = Callable[[stun.Message], "stun.Message | bytes | None"]


def refusal(message: stun.Message, code: int, **attributes: Any) -> stun.Message:
    attributes = {"ERROR-CODE": (code, "no"), **attributes}
    return stun.Message(message.message_method, stun.Class.ERROR, message.transaction_id, attributes)


class Relay:
    """Answers as RFC 8489 and 8656 want it, unless a test says otherwise. What arrived is in ``asked``."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.asked: list[tuple[str, str]] = []
        self.freed = threading.Event()
        self.silent: set[str] = set()
        self.answer: Reply = self.properly
        self.delay_s = 0.0
        self._stop = False
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((host, 0))
        self.host, self.port = self.tcp.getsockname()
        self.udp.bind((host, self.port))
        self.tcp.listen()
        for work in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=work, daemon=True).start()

    def close(self) -> None:
        self._stop = True
        # A thread that waits in accept or recvfrom is only woken by somebody who comes.
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", (self.host, self.port))
        with socket.socket() as last:
            last.connect_ex((self.host, self.port))
        self.udp.close()
        self.tcp.close()

    def properly(self, message: stun.Message) -> stun.Message | None:
        method, reply = message.message_method, stun.Class.RESPONSE
        if method is stun.Method.BINDING:
            attributes: Json = {"XOR-MAPPED-ADDRESS": ("127.0.0.1", 1)}
            return stun.Message(method, reply, message.transaction_id, attributes)
        if not message.check_message_integrity(KEY):
            return refusal(message, 401, REALM=REALM, NONCE=NONCE)
        if method is stun.Method.REFRESH:
            assert message.attributes["LIFETIME"] == 0
            self.freed.set()
            answer = stun.Message(method, reply, message.transaction_id, {"LIFETIME": 0})
        else:
            attributes = {"XOR-RELAYED-ADDRESS": ("127.0.0.1", 49152), "LIFETIME": 600}
            answer = stun.Message(method, reply, message.transaction_id, attributes)
        answer.add_message_integrity(KEY)
        return answer

    def _reply(self, data: bytes, transport: str) -> bytes:
        message = stun.parse_message(data)
        self.asked.append((transport, message.message_method.name))
        if transport in self.silent:
            return b""
        time.sleep(self.delay_s)
        answer = self.answer(message)
        return b"" if answer is None else bytes(answer)

    def _serve_udp(self) -> None:
        with suppress(OSError):  # the socket is closed when the test is over
            while not self._stop:
                data, address = self.udp.recvfrom(2048)
                if data and (answer := self._reply(data, "udp")):
                    self.udp.sendto(answer, address)

    def _serve_tcp(self) -> None:
        while not self._stop:
            try:
                connection, _address = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # who got what they wanted is gone before the last answer
            stream = connection.makefile("rb")
            while header := stream.read(20):
                answer = self._reply(header + stream.read(int.from_bytes(header[2:4], "big")), "tcp")
                if answer:
                    # In two pieces: TCP keeps no boundaries.
                    connection.sendall(answer[:7])
                    connection.sendall(answer[7:])


class Provider:
    """One provider, healthy until a test changes an answer. ``requests`` is what arrived."""

    def __init__(self) -> None:
        self.relay, self.far = Relay(), Relay()
        self.requests: list[tuple[str, str, Json]] = []
        now = time.time()
        ice = {"host": self.relay.host, "port": self.relay.port, "username": USER, "credential": PASSWORD}
        self.answers: dict[str, tuple[int, Json]] = {
            "GET /v1/status": (200, {"status": "operational", "sessions": 14, "quota": {"used": 10, "limit": 100}}),
            "POST /v1/tokens": (
                201,
                {"token": "eyJ.secret", "not_before": now - 1, "expires_at": now + 60, "ice": ice},
            ),
            "POST /v1/rooms": (201, {"room": "r1", "region": "af-south-1"}),
            "GET /v1/webhooks": (
                200,
                {"last_event_at": now - 2, "last_delivered_at": now - 2, "pending": 0, "last_status": 200},
            ),
        }
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def settings(self) -> Json:
        """As the inventory has them."""
        near, far = self.relay, self.far
        return {
            "api_url": f"http://127.0.0.1:{self._server.server_port}",
            "turn_host": near.host,
            "turn_port": near.port,
            "secret": "daily-emr/sandbox/TELEHEALTH_KEY",
            "processor_approved": True,
            "regions": [
                {"name": "af-south-1", "turn_host": near.host, "turn_port": near.port},
                {"name": "eu-west-1", "turn_host": far.host, "turn_port": far.port},
            ],
        }

    def all(self, status: int) -> None:
        """Every answer has this status."""
        for what in self.answers:
            self.answers[what] = (status, {})

    def body(self, what: str, **more: Any) -> None:
        status, body = self.answers[what]
        self.answers[what] = (status, {**body, **more})

    def sent(self, method: str) -> list[str]:
        return [path for sent, path, _headers in self.requests if sent == method]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.relay.close()
        self.far.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer("GET")

            def do_POST(self) -> None:
                self._answer("POST")

            def _answer(self, method: str) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
                assert self.headers["Authorization"] == f"Bearer {API_KEY}"
                provider.requests.append((method, self.path, body))
                status, answer = provider.answers[f"{method} {self.path}"]
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_args: Any) -> None:
                """Quiet."""

        return Handler
