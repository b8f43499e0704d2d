"""Stand-in of a telehealth provider: a control API over HTTP, TURN servers in two media regions, and webhooks.

The API is nobody's in particular: what every provider has, in one shape (docs/sandbox.md). It keeps a ledger of its
rooms and of every request: they, not a report of the caller, say who closed a room and who only looked.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from ..settings import TELEHEALTH_PORT, TURN_PORT
from .turn import TurnServer, credential_of

if TYPE_CHECKING:
    from ..settings import Settings

REGIONS = ("af-south-1", "eu-west-1")
"""Media regions, each with its own TURN servers; the first one is near."""
FAR_DELAY_S = 0.12
"""By how many real seconds the other region answers later."""
MOST_TOKEN_S, EMPTY_S = 3600.0, 60.0
"""How long a token is good, at most, and how long a test room is kept unless told otherwise."""
QUOTA = 250_000
"""Participant minutes of a month."""
USED = 84_000
STATUS_LAG_S = 600.0
"""AWS seconds until a provider's status page knows what its customers know."""
KEPT_REQUESTS, KEPT_EVENTS, KEPT_ROOMS = 2_000, 10_000, 20_000
RETRY_S = 1.0
WEBHOOK_TIMEOUT_S = 3.0

APPLICATION, PROBE, NOBODY = "application", "probe", "none"
"""Whose key a request has."""


@dataclass
class Room:
    name: str
    region: str
    test: bool
    by: str
    """Whose key made it."""
    opened_at: float
    closed_at: float | None = None
    closed_by: str | None = None


@dataclass
class Refusal(Exception):
    """An answer that is an error of the API."""

    status: int
    code: str
    message: str
    headers: dict[str, str] | None = None


def nobody(_transport: str, _address: str) -> bool:
    """Whom a TURN server leaves without an answer while it works."""
    return False


class Provider:
    """One provider. Its faults may be set from any thread; `start` and `stop` are for the event loop's thread.

    Attributes:
        refuses_all: status of every answer of the control API, None while it works.
        quota_used_up: nothing new is given until next month.
        media_silent: whether nothing that comes by a transport from an address is answered in any media region.
        application_keys: the keys that the application may use; the probe key of the runbooks is for tests only.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self.name = name
        self._settings = settings
        self.refuses_all: int | None = None
        self.quota_used_up = False
        self.media_silent: Callable[[str, str], bool] = nobody
        self.application_keys = {f"app-{secrets.token_hex(16)}"}
        self.probe_key = f"probe-{secrets.token_hex(16)}"
        self._secret = secrets.token_hex(16)
        address = settings.telehealth_address(name)
        self.turn = {
            region: TurnServer(
                address, TURN_PORT + number, realm=f"{name}.telehealth.test", secret=self._secret,
                delay_s=FAR_DELAY_S * number,
            )
            for number, region in enumerate(REGIONS)
        }  # fmt: skip
        for server in self.turn.values():
            server.silent = self._is_silent
        self.rooms: dict[str, Room] = {}
        # Those of the application are many, and must not displace those of others.
        self._requests = {key: deque[dict[str, Any]](maxlen=KEPT_REQUESTS) for key in (APPLICATION, PROBE, NOBODY)}
        self._events: deque[dict[str, Any]] = deque(maxlen=KEPT_EVENTS)
        self._event_waits = asyncio.Event()
        self._last_event_at: float | None = None
        self._last_delivered_at: float | None = None
        self._last_status: int | None = None
        self._trouble_since: float | None = None
        self._runner: web.AppRunner | None = None
        self._delivery: asyncio.Task[None] | None = None

    async def start(self) -> None:
        for server in self.turn.values():
            await server.start()
        application = web.Application(middlewares=[self._log, self._guard])
        application.add_routes(
            [
                web.get("/v1/status", self._status),
                web.post("/v1/tokens", self._mint_token),
                web.post("/v1/rooms", self._create_room),
                web.get("/v1/rooms", self._count_rooms),
                web.delete("/v1/rooms/{room}", self._close_room),
                web.get("/v1/webhooks", self._webhooks),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._settings.telehealth_address(self.name), TELEHEALTH_PORT).start()
        self._delivery = asyncio.create_task(self._deliver())

    async def stop(self) -> None:
        if self._delivery is not None:
            self._delivery.cancel()
            await asyncio.gather(self._delivery, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
        for server in self.turn.values():
            await server.stop()

    def in_trouble(self) -> None:
        """From now on the status page has something to find out."""
        self._trouble_since = self._trouble_since or time.monotonic()

    def well(self) -> None:
        self._trouble_since = None

    def requests(self) -> list[dict[str, Any]]:
        """The newest requests, oldest first: {at, method, path, status, key, agent}; the path is a template."""
        return sorted((entry for log in self._requests.values() for entry in list(log)), key=lambda entry: entry["at"])

    @property
    def waiting_events(self) -> int:
        """Webhooks that the application has not taken."""
        return len(self._events)

    @property
    def open_rooms(self) -> list[Room]:
        return [room for room in self.rooms.values() if room.closed_at is None]

    def _is_silent(self, transport: str, source: str) -> bool:
        return self.media_silent(transport, source)

    # HTTP.

    @web.middleware
    async def _log(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            answer: web.StreamResponse = await handler(request)
        except Refusal as refusal:
            answer = web.json_response(
                {"code": refusal.code, "message": refusal.message}, status=refusal.status, headers=refusal.headers
            )
        except web.HTTPException as error:
            answer = web.json_response({"code": "invalid_request", "message": error.reason}, status=error.status)
        resource = request.match_info.route.resource
        key = self._whose(request)
        self._requests[key].append(
            {
                "at": time.time(),
                "method": request.method,
                "path": resource.canonical if resource is not None else "other",
                "status": answer.status,
                "key": key,
                "agent": request.headers.get("User-Agent", "")[:80],
            }
        )
        return answer

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        # A provider's status page is served from elsewhere, so that it answers in an outage, and it lags.
        if self.refuses_all is not None and request.path != "/v1/status":
            raise Refusal(self.refuses_all, "unavailable", "The service is unavailable, try again later")
        if self._whose(request) == NOBODY:
            raise Refusal(401, "unauthorized", "The key is not valid")
        answer: web.StreamResponse = await handler(request)
        return answer

    def _whose(self, request: web.Request) -> str:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if key in self.application_keys:
            return APPLICATION
        return PROBE if key == self.probe_key else NOBODY

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                "status": self._published(),
                "sessions": sum(not room.test for room in self.open_rooms),
                "quota": {"used": QUOTA if self.quota_used_up else USED, "limit": QUOTA},
            }
        )

    def _published(self) -> str:
        """What the status page says: late, and never worse than degraded while the control API answers."""
        lag_s = self._settings.scaled(STATUS_LAG_S)
        if self._trouble_since is None or time.monotonic() - self._trouble_since < lag_s:
            return "operational"
        return "degraded" if self.refuses_all is None else "outage"

    async def _mint_token(self, request: web.Request) -> web.Response:
        self._check_quota()
        body = await _body(request)
        test, region = body.get("test") is True, _region(body)
        room = str(body.get("room"))
        if not test:
            self._only_application(request)
            if room not in self.rooms or self.rooms[room].closed_at is not None:
                raise Refusal(404, "not_found", "There is no such room that is open")
        now = int(time.time())
        end = now + int(min(_seconds(body, "ttl_s", MOST_TOKEN_S), MOST_TOKEN_S))
        claims = {"sub": body.get("identity"), "room": None if test else room, "nbf": now, "exp": end}
        username = f"{end}:{secrets.token_hex(4)}"
        server = self.turn[region]
        return web.json_response(
            {
                "token": self._token(claims),
                "not_before": now,
                "expires_at": end,
                "region": region,
                "ice": {
                    "host": server.place[0],
                    "port": server.place[1],
                    "realm": server.realm,
                    "username": username,
                    "credential": credential_of(self._secret, username),
                },
            },
            status=HTTPStatus.CREATED,
        )

    def _token(self, claims: dict[str, Any]) -> str:
        """A JSON web token (RFC 7519)."""
        parts = [_base64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
        signature = hmac.digest(self._secret.encode(), ".".join(parts).encode(), hashlib.sha256)
        return ".".join([*parts, _base64(signature)])

    async def _create_room(self, request: web.Request) -> web.Response:
        self._check_quota()
        body = await _body(request)
        test, region, empty_s = body.get("test") is True, _region(body), _seconds(body, "empty_timeout_s", EMPTY_S)
        if not test:
            self._only_application(request)
        room = Room(f"room-{secrets.token_hex(8)}", region, test, self._whose(request), time.time())
        self.rooms[room.name] = room
        self._forget()
        if test:  # nobody hangs up in a test
            asyncio.get_running_loop().call_later(empty_s, self._close, room, "empty")
        else:
            self._happened("room.opened", room)
        return web.json_response({"room": room.name, "region": region}, status=HTTPStatus.CREATED)

    async def _count_rooms(self, request: web.Request) -> web.Response:
        wanted = request.query.get("test")
        return web.json_response(
            {"open": sum(wanted is None or room.test is (wanted == "true") for room in self.open_rooms)}
        )

    async def _close_room(self, request: web.Request) -> web.Response:
        room = self.rooms.get(request.match_info["room"])
        if room is None or room.closed_at is not None:
            raise Refusal(404, "not_found", "There is no such room that is open")
        if not room.test:
            self._only_application(request)
        self._close(room, self._whose(request))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _webhooks(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                "last_event_at": self._last_event_at,
                "last_delivered_at": self._last_delivered_at,
                "pending": self.waiting_events,
                "last_status": self._last_status,
            }
        )

    def _check_quota(self) -> None:
        if self.quota_used_up:
            raise Refusal(429, "quota_exceeded", "The quota of this month is used up", {"Retry-After": "3600"})

    def _only_application(self, request: web.Request) -> None:
        if self._whose(request) != APPLICATION:
            raise Refusal(403, "forbidden", "This key is for tests only")

    def _close(self, room: Room, by: str) -> None:
        if room.closed_at is None:
            room.closed_at, room.closed_by = time.time(), by
            if not room.test:
                self._happened("room.closed", room)

    def _forget(self) -> None:
        """Forget the oldest room that is closed, when there are many."""
        if len(self.rooms) > KEPT_ROOMS and (old := next((r for r in self.rooms.values() if r.closed_at), None)):
            del self.rooms[old.name]

    # Webhooks: in order, again and again until the application takes them.

    def _happened(self, kind: str, room: Room) -> None:
        self._last_event_at = time.time()
        self._events.append({"id": secrets.token_hex(8), "kind": kind, "room": room.name, "at": self._last_event_at})
        self._event_waits.set()

    async def _deliver(self) -> None:
        url = f"{self._settings.telehealth_webhook_url}/webhooks/{self.name}"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WEBHOOK_TIMEOUT_S)) as session:
            while True:
                await self._event_waits.wait()
                while self._events:
                    self._last_status = None
                    with suppress(aiohttp.ClientError, TimeoutError):
                        async with session.post(url, json=self._events[0]) as answer:
                            self._last_status = answer.status
                    if self._last_status == HTTPStatus.OK:
                        self._events.popleft()
                        self._last_delivered_at = time.time()
                    else:
                        await asyncio.sleep(RETRY_S)
                self._event_waits.clear()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _region(body: dict[str, Any]) -> str:
    region = body.get("region", REGIONS[0])
    if region not in REGIONS:
        raise Refusal(400, "invalid_request", f"region must be one of {', '.join(REGIONS)}")
    return str(region)


def _seconds(body: dict[str, Any], name: str, otherwise: float) -> float:
    value = body.get(name, otherwise)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise Refusal(400, "invalid_request", f"{name} must be a number of seconds")
    return float(value)


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refusal(400, "invalid_request", "The body must be a JSON object")
    return body
