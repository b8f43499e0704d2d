"""The stand-in of a telehealth provider, as applications and runbooks ask it: over HTTP, and STUN on UDP and TCP."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from aioice import stun
from aioice.turn import TurnTransport, create_turn_endpoint, make_integrity_key
from daily_emr_sandbox.loop import LoopThread, wait_until
from daily_emr_sandbox.settings import TELEHEALTH_PORT, TURN_PORT, Settings
from daily_emr_sandbox.telehealth import provider as providers
from daily_emr_sandbox.telehealth.ice import Channel, IceError, Path, allocate, bind
from daily_emr_sandbox.telehealth.provider import Provider

PATIENCE_S = 0.4


class Receiver:
    """Takes webhooks, or refuses them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.status = 200
        self.taken: list[dict[str, Any]] = []

    async def start(self) -> None:
        application = web.Application()
        application.router.add_post("/webhooks/primary", self._take)
        self.runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, self._settings.telehealth_webhook_address, TELEHEALTH_PORT).start()

    async def _take(self, request: web.Request) -> web.Response:
        if self.status == 200:
            self.taken.append(await request.json())
        return web.Response(status=self.status)


class Customer:
    """Asks the provider with one of its keys."""

    def __init__(self, settings: Settings, provider: Provider) -> None:
        self._url = settings.telehealth_url(provider.name)
        self.application = min(provider.application_keys)
        self.probe = provider.probe_key

    def ask(self, method: str, path: str, body: Any = None, *, key: str) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(
            self._url + path,
            json.dumps(body).encode() if method == "POST" else None,
            {"Authorization": f"Bearer {key}"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {**json.load(error), "retry_after": error.headers.get("Retry-After")}

    def room(self) -> str:
        status, made = self.ask("POST", "/v1/rooms", {}, key=self.application)
        assert status == 201
        return made["room"]

    def ice(self, **body: Any) -> dict[str, Any]:
        status, minted = self.ask("POST", "/v1/tokens", {"test": True, **body}, key=self.probe)
        assert status == 201
        return minted["ice"]


@pytest.fixture
def receiver(settings: Settings, loop: LoopThread) -> Iterator[Receiver]:
    made = Receiver(settings)
    loop.run(made.start())
    yield made
    loop.run(made.runner.cleanup())


@pytest.fixture
def provider(settings: Settings, loop: LoopThread, receiver: Receiver) -> Iterator[Provider]:  # noqa: ARG001 - first
    made = Provider(settings, "primary")
    loop.run(made.start())
    yield made
    loop.run(made.stop())


@pytest.fixture
def customer(settings: Settings, provider: Provider) -> Customer:
    return Customer(settings, provider)


@pytest.fixture
def path(settings: Settings, provider: Provider) -> Path:  # noqa: ARG001 - it must run
    return Path(settings.address(251), settings.telehealth_address("primary"), TURN_PORT, "udp")


# The control API.


def test_a_key_opens_what_it_is_for(customer: Customer) -> None:
    room = customer.room()

    assert customer.ask("GET", "/v1/status", key="another")[0] == 401
    assert customer.ask("POST", "/v1/tokens", {"test": True}, key="")[0] == 401
    assert customer.ask("POST", "/v1/tokens", {"room": room}, key=customer.application)[0] == 201
    assert customer.ask("POST", "/v1/tokens", {"room": room}, key=customer.probe)[0] == 403
    assert customer.ask("POST", "/v1/tokens", {"test": True}, key=customer.probe)[0] == 201
    assert customer.ask("POST", "/v1/rooms", {}, key=customer.probe)[0] == 403
    assert customer.ask("DELETE", f"/v1/rooms/{room}", key=customer.probe)[0] == 403
    assert customer.ask("GET", "/v1/rooms?test=false", key=customer.probe) == (200, {"open": 1})


def test_the_ledger_says_who_closed_a_room(customer: Customer, provider: Provider) -> None:
    room = customer.room()
    _, test = customer.ask("POST", "/v1/rooms", {"test": True, "empty_timeout_s": 0.1}, key=customer.probe)

    assert customer.ask("GET", "/v1/status", key=customer.probe)[1]["sessions"] == 1
    assert customer.ask("DELETE", f"/v1/rooms/{room}", key=customer.application)[0] == 204
    assert customer.ask("DELETE", f"/v1/rooms/{room}", key=customer.application)[0] == 404
    assert customer.ask("POST", "/v1/tokens", {"room": room}, key=customer.application)[0] == 404
    wait_until(lambda: not provider.open_rooms, "the test room is closed")
    assert (provider.rooms[room].by, provider.rooms[room].closed_by) == ("application", "application")
    assert (provider.rooms[test["room"]].by, provider.rooms[test["room"]].closed_by) == ("probe", "empty")


def test_requests_are_logged_without_the_names_of_rooms(customer: Customer, provider: Provider) -> None:
    room = customer.room()
    customer.ask("DELETE", f"/v1/rooms/{room}", key=customer.application)
    customer.ask("GET", "/v1/unknown", key=customer.probe)

    seen = [(entry["method"], entry["path"], entry["status"], entry["key"]) for entry in provider.requests()]
    assert seen == [
        ("POST", "/v1/rooms", 201, "application"),
        ("DELETE", "/v1/rooms/{room}", 204, "application"),
        ("GET", "other", 404, "probe"),
    ]


@pytest.mark.parametrize("body", [["test"], {"test": True, "region": "us-east-1"}, {"test": True, "ttl_s": "long"}])
def test_a_body_that_makes_no_sense_is_refused(customer: Customer, body: Any) -> None:
    assert customer.ask("POST", "/v1/tokens", body, key=customer.probe)[0] == 400


def test_a_used_up_quota_stops_what_is_new_and_nothing_else(customer: Customer, provider: Provider) -> None:
    room = customer.room()
    provider.quota_used_up = True

    for key in (customer.application, customer.probe):
        status, refusal = customer.ask("POST", "/v1/tokens", {"test": True}, key=key)
        assert (status, refusal["code"], refusal["retry_after"]) == (429, "quota_exceeded", "3600")
    assert customer.ask("POST", "/v1/rooms", {}, key=customer.application)[0] == 429
    quota = customer.ask("GET", "/v1/status", key=customer.probe)[1]["quota"]
    assert quota["used"] == quota["limit"]
    assert customer.ask("DELETE", f"/v1/rooms/{room}", key=customer.application)[0] == 204


def test_the_status_page_answers_in_an_outage_and_finds_out_late(
    customer: Customer, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.refuses_all = 503
    provider.in_trouble()

    def published() -> str:
        return customer.ask("GET", "/v1/status", key=customer.probe)[1]["status"]

    assert customer.ask("POST", "/v1/tokens", {"test": True}, key=customer.probe)[0] == 503
    assert customer.ask("GET", "/v1/webhooks", key=customer.probe)[0] == 503
    assert published() == "operational"
    monkeypatch.setattr(providers, "STATUS_LAG_S", 0)
    assert published() == "outage"
    provider.refuses_all = None
    assert published() == "degraded"
    provider.well()
    assert published() == "operational"


def test_webhooks_wait_until_the_application_takes_them(
    customer: Customer, provider: Provider, receiver: Receiver
) -> None:
    def told() -> dict[str, Any]:
        return customer.ask("GET", "/v1/webhooks", key=customer.probe)[1]

    room = customer.room()
    wait_until(lambda: len(receiver.taken) == 1, "the first webhook arrives")
    receiver.status = 503
    customer.ask("DELETE", f"/v1/rooms/{room}", key=customer.application)
    wait_until(lambda: told()["last_status"] == 503, "it is refused")
    assert told()["pending"] == 1
    assert told()["last_delivered_at"] < told()["last_event_at"]

    receiver.status = 200
    wait_until(lambda: provider.waiting_events == 0, "the second webhook arrives")

    assert [(event["kind"], event["room"]) for event in receiver.taken] == [
        ("room.opened", room),
        ("room.closed", room),
    ]
    assert told()["last_delivered_at"] > told()["last_event_at"]


# STUN and TURN.


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("region", ["af-south-1", "eu-west-1"])
def test_credentials_of_a_token_give_a_relayed_address(
    customer: Customer, provider: Provider, loop: LoopThread, settings: Settings, transport: str, region: str
) -> None:
    ice = customer.ice(region=region)
    path = Path(settings.address(251), ice["host"], ice["port"], transport)

    seconds = loop.run(allocate(path, ice["username"], ice["credential"], 2))

    assert (seconds > 0.1) is (region == "eu-west-1"), "the far region answers later"
    wait_until(lambda: provider.turn[region].allocations == 0, "the client gave it back")
    for username, credential in (
        (ice["username"], "another"),
        (f"1{ice['username']}", ice["credential"]),
        (f"{int(time.time()) - 1}:{ice['username']}", ice["credential"]),
    ):
        with pytest.raises(IceError, match="401") as refused:
            loop.run(allocate(path, username, credential, 2))
        assert refused.value.refused


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_another_implementation_gets_along_with_the_server(
    customer: Customer, provider: Provider, loop: LoopThread, transport: str
) -> None:
    ice, server = customer.ice(), provider.turn["af-south-1"]

    async def connect() -> TurnTransport:
        made, _ = await create_turn_endpoint(
            asyncio.DatagramProtocol, (ice["host"], ice["port"]), ice["username"], ice["credential"],
            transport=transport,
        )  # fmt: skip
        return made

    relayed = loop.run(connect())
    assert relayed.get_extra_info("sockname")[0] == ice["host"]
    assert server.allocations == 1
    loop.loop.call_soon_threadsafe(relayed.close)
    wait_until(lambda: server.allocations == 0, "the allocation is freed")


def test_a_broken_path_is_silent_for_whom_it_is_broken(
    provider: Provider, loop: LoopThread, path: Path, settings: Settings
) -> None:
    tcp = Path(path.source, path.host, path.port, "tcp")
    elsewhere = Path(settings.address(252), path.host, path.port, "udp")

    provider.media_silent = lambda transport, address: (transport, address) == ("udp", path.source)

    with pytest.raises(IceError, match="no answer") as silent:
        loop.run(bind(path, PATIENCE_S))
    assert not silent.value.refused
    assert loop.run(bind(tcp, 2)) > 0
    assert loop.run(bind(elsewhere, 2)) > 0


class Asker:
    """Asks one message after the other from the same address."""

    def __init__(self, loop: LoopThread, path: Path, ice: dict[str, Any]) -> None:
        self._loop, self._ice = loop, ice
        self.nonce = b""
        loop.run(self._connect(path))
        self.nonce = self.ask(stun.Method.ALLOCATE, signed=False).attributes["NONCE"]

    async def _connect(self, path: Path) -> None:
        self.channel = Channel()
        await self.channel.connect(path)

    def ask(self, method: stun.Method, *, signed: bool = True, again: bytes | None = None, **more: Any) -> stun.Message:
        attributes = {name.replace("_", "-"): value for name, value in more.items()}
        message = stun.Message(method, stun.Class.REQUEST, again, attributes)
        if signed:
            message.attributes |= {
                "USERNAME": self._ice["username"],
                "REALM": self._ice["realm"],
                "NONCE": self.nonce,
            }
            message.add_message_integrity(
                make_integrity_key(self._ice["username"], self._ice["realm"], self._ice["credential"])
            )
        return self._loop.run(self.channel.ask(message))


@pytest.fixture
def asker(customer: Customer, loop: LoopThread, path: Path) -> Iterator[Asker]:
    made = Asker(loop, path, customer.ice())
    yield made
    loop.loop.call_soon_threadsafe(made.channel.close)


UDP, TCP = 17 << 24, 6 << 24


def test_an_allocation_follows_the_rules_of_turn(asker: Asker, provider: Provider, path: Path) -> None:
    server = provider.turn["af-south-1"]

    assert asker.ask(stun.Method.BINDING, signed=False).attributes["XOR-MAPPED-ADDRESS"][0] == path.source
    assert asker.ask(stun.Method.ALLOCATE).error_code == 400, "no transport was requested"
    assert asker.ask(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=TCP).error_code == 442
    assert asker.ask(stun.Method.REFRESH, LIFETIME=0).error_code == 437, "there is nothing to refresh"
    first = asker.ask(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=UDP, LIFETIME=90_000)
    assert first.attributes["LIFETIME"] == 3600
    assert first.attributes["XOR-RELAYED-ADDRESS"][0] == path.host
    again = asker.ask(stun.Method.ALLOCATE, again=first.transaction_id, REQUESTED_TRANSPORT=UDP)
    assert again.attributes["XOR-RELAYED-ADDRESS"] == first.attributes["XOR-RELAYED-ADDRESS"]
    assert asker.ask(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=UDP).error_code == 437
    assert asker.ask(stun.Method.CREATE_PERMISSION).error_code == 403
    assert asker.ask(stun.Method.REFRESH, LIFETIME=300).attributes["LIFETIME"] == 300
    assert server.allocations == 1
    assert asker.ask(stun.Method.REFRESH, LIFETIME=0).attributes["LIFETIME"] == 0
    assert server.allocations == 0
    asker.nonce = b"stale"
    assert asker.ask(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=UDP).error_code == 438


def test_an_allocation_ends_with_its_lifetime(asker: Asker, provider: Provider) -> None:
    asker.ask(stun.Method.ALLOCATE, REQUESTED_TRANSPORT=UDP, LIFETIME=1)
    assert provider.turn["af-south-1"].allocations == 1
    wait_until(lambda: provider.turn["af-south-1"].allocations == 0, "its lifetime is over", timeout_s=3)
