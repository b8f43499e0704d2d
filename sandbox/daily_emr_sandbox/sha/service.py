"""The HTTPS API: token, facility search, status of a claim by our identifier, and submission.

Shapes follow what is public of AfyaLink and of the draft Kenyan eClaims guide (incident domain, A5.0). Nothing public
says that a submission is idempotent, so here it is not.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ..loop import LoopThread
from .behaviour import Behaviour
from .certificates import Certificates
from .facilities import FACILITIES
from .fhir import IDENTIFIER, Invalid, operation_outcome, read_bundle, searchset
from .ledger import Ledger, Request

if TYPE_CHECKING:
    from ..settings import Settings

TOKEN_S = 300
"""Not divided by the time factor: a token lasts as long as on the real API."""
SILENT_S = 60.0
"""An answer that never comes: longer than anybody waits."""
RUNBOOK_AGENT = "daily-emr-runbook"
Answer = Awaitable[web.StreamResponse]


class Sha:
    """The service; `start`, `stop` and everything that changes it may be called from any thread."""

    def __init__(self, settings: Settings, loop: LoopThread, key: str = "") -> None:
        self._settings, self._loop = settings, loop
        self.certificates = Certificates(settings.claims_address)
        self.ledger = Ledger()
        self.behaviour = Behaviour()
        self._keys: tuple[str, ...] = (key or self.new_key(),)
        self._tokens: dict[str, float] = {}
        self._site: web.TCPSite | None = None
        self._runner: web.AppRunner | None = None

    def start(self) -> None:
        self.certificates.write_authority(self._settings.sha_ca_file)
        self._loop.run(self._start())

    def stop(self) -> None:
        if self._runner is not None:
            self._loop.run(self._runner.cleanup())
            self._runner = self._site = None

    # What it can be made to do.

    @property
    def key(self) -> str:
        """The value of SHA_API_KEY that it accepts; the newest where it accepts several."""
        return self._keys[-1]

    @property
    def keys(self) -> tuple[str, ...]:
        return self._keys

    def new_key(self) -> str:
        """A key that it would give us. It is not accepted yet."""
        return json.dumps({"key": self._settings.sha_facility, "secret": secrets.token_urlsafe(24)})

    def accept_keys(self, *keys: str) -> None:
        """From now on these are our keys; where one is not any more, the tokens end at once."""
        if not set(self._keys) <= set(keys):
            self._tokens.clear()
        self._keys = keys

    def expire_certificate(self) -> None:
        """The next handshakes show a certificate that ended; open connections are closed, as a restart does."""
        self.certificates.expire()
        self._loop.run(self._reopen())

    def refuse(self) -> None:
        """Nobody listens."""
        self._loop.run(self._close())

    def accept(self) -> None:
        """Somebody listens again."""
        self._loop.run(self._open())

    def mend(self) -> None:
        """Everything works again; the ledger stays."""
        self.behaviour = Behaviour()
        self.certificates.renew()
        self._loop.run(self._reopen())

    # HTTP.

    async def _start(self) -> None:
        application = web.Application()
        application.add_routes(
            [
                web.post("/v1/oauth2/token", self._token),
                web.get("/v1/facility-search", self._behind_token("facility", self._facility)),
                web.get("/fhir/ClaimResponse", self._behind_token("status", self._status)),
                web.post("/v1/shr-med/bundle", self._behind_token("submit", self._submit)),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await self._open()

    async def _open(self) -> None:
        if self._runner is not None and self._site is None:
            address, port = self._settings.claims_address, self._settings.sha_port
            self._site = web.TCPSite(self._runner, address, port, ssl_context=self.certificates.context)
            await self._site.start()

    async def _close(self) -> None:
        if self._runner is not None and self._site is not None and self._runner.server is not None:
            await self._site.stop()
            self._site = None
            await self._runner.server.shutdown(0.1)

    async def _reopen(self) -> None:
        await self._close()
        await self._open()

    async def _token(self, request: web.Request) -> web.Response:
        seen = self._arrived("token", request)
        form = await request.post()
        if form.get("grant_type") != "client_credentials":
            return _answer(seen, HTTPStatus.BAD_REQUEST, {"error": "unsupported_grant_type"})
        if request.headers.get("Authorization") not in {_basic(key) for key in self._keys}:
            return _answer(seen, HTTPStatus.UNAUTHORIZED, {"error": "invalid_client"})
        token = secrets.token_urlsafe(24)
        self._tokens[token] = time.monotonic() + TOKEN_S
        return _answer(seen, HTTPStatus.OK, {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_S})

    def _behind_token(
        self, operation: str, serve: Callable[[web.Request, Request], Answer]
    ) -> Callable[[web.Request], Answer]:
        """What every operation has in common: the log, the token, the limit, and how slow and how well it is."""

        async def served(request: web.Request) -> web.StreamResponse:
            seen = self._arrived(operation, request)
            behaviour = self.behaviour
            limit = behaviour.limit
            if limit is not None and not limit.admits():
                later = {"Retry-After": str(limit.retry_after_s)}
                return _answer(seen, HTTPStatus.TOO_MANY_REQUESTS, operation_outcome("throttled", "too-fast"), later)
            delay_s = behaviour.next_delay()
            await asyncio.sleep(delay_s / 2)
            if behaviour.down:
                return _answer(seen, HTTPStatus.SERVICE_UNAVAILABLE, operation_outcome("transient", "unavailable"))
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if self._tokens.get(token, 0.0) < time.monotonic():
                return _answer(seen, HTTPStatus.UNAUTHORIZED, operation_outcome("login", "token-refused"))
            answer = await serve(request, seen)
            await asyncio.sleep(delay_s / 2)
            return answer

        return served

    async def _facility(self, request: web.Request, seen: Request) -> web.StreamResponse:
        wanted = request.query.get("id", "")
        name = {self._settings.sha_facility: "Daily EMR test facility", **FACILITIES}.get(wanted)
        if name is None:
            return _answer(seen, HTTPStatus.NOT_FOUND, operation_outcome("not-found", "facility-unknown"))
        return _answer(seen, HTTPStatus.OK, {"id": wanted, "facility_name": name, "active": True})

    async def _status(self, request: web.Request, seen: Request) -> web.StreamResponse:
        system, _, identifier = request.query.get("request.identifier", "").partition("|")
        if system != IDENTIFIER or not identifier:
            return _answer(seen, HTTPStatus.BAD_REQUEST, operation_outcome("invalid", "identifier-missing"))
        made = f"{self._settings.sha_url}{request.rel_url}"
        return _answer(seen, HTTPStatus.OK, searchset(self.ledger.of(identifier), made))

    async def _submit(self, request: web.Request, seen: Request) -> web.StreamResponse:
        try:
            submission = read_bundle(await request.json())
        except (ValueError, KeyError, TypeError, AttributeError, Invalid) as error:
            self.ledger.rejected += 1
            return _answer(seen, HTTPStatus.BAD_REQUEST, operation_outcome("structure", "bundle-invalid", str(error)))
        how = self.behaviour.next_submission()
        if how == "refuse":
            self.ledger.rejected += 1
            text = f"Patient {submission.patient}: profile 2026-11 is required"
            outcome = operation_outcome("structure", "profile-required", text)
            return _answer(seen, HTTPStatus.UNPROCESSABLE_ENTITY, outcome)
        response = None
        if how == "answer" or how.startswith("commit"):
            response = self.ledger.accept(submission)
        if how.endswith("silent"):
            await asyncio.sleep(SILENT_S)
        if how.endswith("reset") and request.transport is not None:
            request.transport.abort()
        if how.endswith("unavailable"):
            return _answer(seen, HTTPStatus.SERVICE_UNAVAILABLE, operation_outcome("transient", "unavailable"))
        if how == "page":
            seen.status = int(HTTPStatus.OK)
            return web.Response(text="<html>The service is being looked after.</html>", content_type="text/html")
        if how == "answer":
            return _answer(seen, HTTPStatus.CREATED, response)
        return web.Response()

    def _arrived(self, operation: str, request: web.Request) -> Request:
        agent = request.headers.get("User-Agent", "")
        return self.ledger.arrived(operation, runbook=agent.startswith(RUNBOOK_AGENT))


def _basic(key: str) -> str:
    """What a client that has this key sends."""
    found = json.loads(key)
    return "Basic " + b64encode(f"{found['key']}:{found['secret']}".encode()).decode()


def _answer(
    seen: Request, status: HTTPStatus, body: dict[str, Any] | None, headers: dict[str, str] | None = None
) -> web.Response:
    seen.status = int(status)
    return web.json_response(body, status=int(status), headers=headers)
