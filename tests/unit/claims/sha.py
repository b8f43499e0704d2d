"""A claims API on loopback, over HTTPS with an authority of its own. It behaves as a test says, and keeps its log."""

from __future__ import annotations

import json
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import trustme

Json = dict[str, Any]
FACILITY = "FID-47-100001-1"
SYSTEM = "https://fhir.dha.go.ke/eclaims/Identifier/claim-number"
PATIENT = "Wanjiku Canary, CR9912345"
GOOD_KEY = {"key": "daily-emr", "secret": "good-secret-canary-1"}
OLD_KEY = {"key": "daily-emr", "secret": "old-secret-canary-2"}


@dataclass
class Sha:
    """What it does. statuses: operation -> status it answers instead; held: identifier -> accepted copies.

    bodies: operation -> what stands in its answer 200 instead; spoil: what is done to an answer about a claim.
    """

    keys: list[Json] = field(default_factory=lambda: [GOOD_KEY])
    statuses: dict[str, int] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    held: dict[str, int] = field(default_factory=dict)
    rejected: set[str] = field(default_factory=set)
    failing_key: Json | None = None
    bodies: dict[str, bytes] = field(default_factory=dict)
    spoil: Callable[[Json], object] | None = None
    throttle_after: int | None = None
    requests: list[tuple[str, float]] = field(default_factory=list)
    retry_after: str = "30"
    skew_s: float = 0.0

    def asked(self, operation: str) -> list[float]:
        return [at for name, at in self.requests if name == operation]


class Server:
    """The service. tls: "good", "expired" or "foreign", an authority that is not ours."""

    def __init__(self, folder: Path, sha: Sha, tls: str = "good") -> None:
        ours = trustme.CA()
        self.ca_file = folder / f"authority-{tls}.pem"
        ours.cert_pem.write_to_path(str(self.ca_file))
        ended = datetime.now(UTC) - timedelta(days=1) if tls == "expired" else None
        certificate = (trustme.CA() if tls == "foreign" else ours).issue_cert("127.0.0.1", not_after=ended)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(sha))
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _basic(key: Json) -> str:
    return "Basic " + b64encode(f"{key['key']}:{key['secret']}".encode()).decode()


def _handler(sha: Sha) -> type[BaseHTTPRequestHandler]:  # noqa: C901  # one class
    operations = {"/v1/oauth2/token": "token", "/v1/facility-search": "facility", "/fhir/ClaimResponse": "status"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer()

        def _answer(self) -> None:
            place = urlsplit(self.path)
            operation = operations.get(place.path, "submit")
            sha.requests.append((operation, time.monotonic()))
            if operation in sha.silent:
                time.sleep(2.0)
                return
            status = sha.statuses.get(operation, 0)
            if operation == "status" and sha.throttle_after is not None:
                status = 429 if len(sha.asked("status")) > sha.throttle_after else 0
            if status:
                # What a real one does: repeat what it was given.
                self._send(status, {"resourceType": "OperationOutcome", "issue": [{"diagnostics": PATIENT}]})
            elif operation in sha.bodies:
                self._send(200, sha.bodies[operation])
            elif operation == "token":
                self._token()
            elif self.headers.get("Authorization") != "Bearer token-canary-3":
                self._send(401, {"diagnostics": PATIENT})
            elif operation == "facility":
                known = parse_qs(place.query)["id"] == [FACILITY]
                self._send(200 if known else 404, {"id": FACILITY, "contact": PATIENT})
            elif operation == "status":
                assert self.headers.get("Prefer") == "handling=strict"
                found = self._responses(parse_qs(place.query)["request.identifier"][0])
                if sha.spoil:
                    sha.spoil(found)
                self._send(200, found)
            else:
                self._send(404, {})

        def _token(self) -> None:
            allowed = {_basic(key) for key in sha.keys}
            if sha.failing_key and self.headers.get("Authorization") == _basic(sha.failing_key):
                self._send(503, {"error": PATIENT})
                return
            good = self.headers.get("Authorization") in allowed
            self._send(200 if good else 401, {"access_token": "token-canary-3"} if good else {"error": PATIENT})

        def _responses(self, asked: str) -> Json:
            system, _, identifier = asked.partition("|")
            assert system == SYSTEM
            copies = 1 if identifier in sha.rejected else sha.held.get(identifier, 0)
            outcome = "error" if identifier in sha.rejected else "complete"
            response = {"resourceType": "ClaimResponse", "id": "r-1", "status": "active", "outcome": outcome}
            response |= {"disposition": PATIENT, "request": {"identifier": {"system": system, "value": identifier}}}
            link = [{"relation": "self", "url": f"/fhir/ClaimResponse?{urlencode({'request.identifier': asked})}"}]
            entries = [{"resource": response}] * copies
            return {"resourceType": "Bundle", "type": "searchset", "total": copies, "link": link, "entry": entries}

        def _send(self, status: int, body: Json | bytes) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response_only(status)
            moment = datetime.now(UTC) - timedelta(seconds=sha.skew_s)
            self.send_header("Date", moment.strftime("%a, %d %b %Y %H:%M:%S GMT"))
            self.send_header("Content-Length", str(len(data)))
            if status == 429:
                self.send_header("Retry-After", sha.retry_after)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_args: Any) -> None:
            """Quiet."""

    return Handler
