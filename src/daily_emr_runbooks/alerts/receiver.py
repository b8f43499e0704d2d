"""The HTTP server that alerts are posted to. It verifies before it reads, and passes on plain words only."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from . import alertmanager, cloudwatch, pagerduty, sns
from .alert import Alert, NotVerified, Unreadable, parsed
from .folder import incident_of, keep, require_plain
from .triggers import Left, Triggers

if TYPE_CHECKING:
    from pathlib import Path

    from .settings import Settings

LARGEST = 256 * 1024
"""Bytes of a body: SNS sends at most that, the others far less."""
LONGEST_S = 10
"""Seconds that a sender may take for its body."""
LOG = logging.getLogger(__name__)
Put = Callable[[dict[str, Any]], Awaitable[None]]
Read = Callable[[web.Request, bytes], Awaitable[list[Alert]]]


class Receiver:
    """Answers the requests of the senders: 401 unless verified, else what became of each alert."""

    def __init__(
        self, settings: Settings, triggers: Triggers, prefix: str, runs_dir: Path, put: Put, get: sns.Get
    ) -> None:
        """prefix: what the names of all alarms of the environment begin with."""
        self._settings, self._triggers, self._prefix = settings, triggers, prefix
        self._runs_dir, self._put = runs_dir, put
        self._get = get

    def application(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST)
        if self._settings.has(alertmanager.SOURCE):
            self._add(app, alertmanager.SOURCE, self._alertmanager)
        if self._settings.has(pagerduty.SOURCE):
            self._add(app, pagerduty.SOURCE, self._pagerduty)
        if self._settings.has(cloudwatch.SOURCE):
            topic = sns.Topic(self._settings.topic, self._get)
            self._add(app, cloudwatch.SOURCE, partial(self._cloudwatch, topic))
        return app

    def _add(self, app: web.Application, source: str, read: Read) -> None:
        app.router.add_post(f"/{source}", self._handler(source, read))

    def _handler(self, source: str, read: Read) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            if not has_token(request.headers.get("Authorization", ""), self._settings.secrets[f"{source}_token"]):
                LOG.warning("A request to /%s without its token was refused.", source)
                # SNS sends what the address of a subscription holds only after it was asked for.
                return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="alerts"'})
            try:
                async with asyncio.timeout(LONGEST_S):
                    body = await request.read()
            except TimeoutError:
                return web.Response(status=408)
            try:
                alerts = await read(request, body)
            except NotVerified as error:
                LOG.warning("A request to /%s was refused. %s", source, error)
                return web.Response(status=401)
            except Unreadable as error:
                LOG.warning("A request to /%s could not be read. %s", source, error)
                return web.Response(status=400, text=f"{error}\n")
            except OSError as error:
                LOG.warning("SNS could not be asked about a message (%s): look at the way out to AWS.", error)
                return web.Response(status=502)
            return await self._start(alerts)

        return handle

    async def _start(self, alerts: list[Alert]) -> web.Response:
        """Tell a verified sender what became of its alerts; with success, because it would only send them again."""
        said = []
        for alert in alerts:
            try:
                runbook, component = self._triggers.answer(alert)
                file = keep(alert, component, self._runs_dir, datetime.now(UTC))
            except Left as left:
                LOG.warning("%s", left)
                said.append(str(left))
                continue
            except OSError as error:
                LOG.warning(
                    "The file of an alert cannot be written (%s): make room in %s.", error.strerror, self._runs_dir
                )
                return web.Response(status=503)
            words = {
                "runbook": runbook,
                "component": component,
                "environment": self._settings.environment,
                "incident": incident_of(alert, component),
                "file": str(file),
            }
            await self._put({"alert": words})
            said.append(f"{runbook} was asked for on {component}.")
        return web.Response(text="".join(f"{line}\n" for line in said or ["Nothing fires."]))

    async def _alertmanager(self, _request: web.Request, body: bytes) -> list[Alert]:
        return alertmanager.alerts(parsed(body), self._settings.environment)

    async def _pagerduty(self, request: web.Request, body: bytes) -> list[Alert]:
        secret = self._settings.secrets["pagerduty_secret"]
        pagerduty.verify(request.headers.get(pagerduty.SIGNATURE, ""), body, secret)
        return pagerduty.alerts(parsed(body), datetime.now(UTC))

    async def _cloudwatch(self, topic: sns.Topic, _request: web.Request, body: bytes) -> list[Alert]:
        message = parsed(body)
        kind = await topic.verify(message, datetime.now(UTC))
        if kind == sns.NOTIFICATION:
            return cloudwatch.alerts(message, self._prefix, topic.account)
        if kind == sns.CONFIRMATION:
            await topic.confirm(message)
            LOG.warning("The subscription to %s is confirmed.", topic.arn)
        else:
            LOG.warning("Somebody ended the subscription to %s: alarms do not come any more.", topic.arn)
        return []


def has_token(header: str, token: str) -> bool:
    """Whether an Authorization header holds the token: as Bearer, or as the password of Basic whoever the user is."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(value.strip().encode(errors="replace"), token.encode())


async def fetch(address: str) -> bytes:
    """What lies at an HTTPS address, through the proxy of the environment where there is one. Raises OSError."""
    try:
        async with (
            ClientSession(trust_env=True, timeout=ClientTimeout(total=LONGEST_S), raise_for_status=True) as session,
            session.get(address, allow_redirects=False) as answer,
        ):
            return await answer.read()
    except (ClientError, TimeoutError) as error:
        raise OSError(type(error).__name__) from error


async def serve(settings: Settings, triggers: Triggers, prefix: str, runs_dir: Path, put: Put) -> None:
    """Receive alerts until cancelled. Raises CommandError for a folder of another form, OSError for a taken address."""
    require_plain(runs_dir)
    app = Receiver(settings, triggers, prefix, runs_dir, put, fetch).application()
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port, ssl_context=settings.tls).start()
        host, port = runner.addresses[0][:2]
        LOG.warning("Alerts of %s are received on %s port %s.", settings.environment, host, port)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
