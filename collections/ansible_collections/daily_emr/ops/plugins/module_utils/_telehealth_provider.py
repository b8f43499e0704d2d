# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: a provider of consultations by video, as far as a runbook needs it. May change without notice.

"""The adapter: mint_token, create_room, status, webhook_age and turn_probe of one provider, and a look at them all.

It is the only place that knows what a provider's API looks like. Every request carries the runbooks' own key, which may
make tokens and rooms for tests alone; the key of the application is a value of a secret, and nobody reads it here.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ansible_collections.daily_emr.ops.plugins.module_utils._clients import gather, is_loopback
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._http import Answer, request
from ansible_collections.daily_emr.ops.plugins.module_utils._turn import Credential, Relay, Transport, probe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
    from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

PRIMARY, SECONDARY = "primary", "secondary"
PROVIDERS = (PRIMARY, SECONDARY)
KEYS_FILE = "telehealth_keys"
# A test token and a test room: nobody joins with them, and they end by themselves.
_TEST_S = 60
_IDENTITY = "runbook-probe"
_KEY_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_QUOTA = (HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.TOO_MANY_REQUESTS)
OUTAGE = "outage"


def other(name: str) -> str:
    """The provider that is not this one."""
    return SECONDARY if name == PRIMARY else PRIMARY


def key_variable(name: str) -> str:
    """The environment variable with the key that the runbooks probe a provider with."""
    return f"TELEHEALTH_{name.upper()}_PROBE_KEY"


@dataclass(frozen=True)
class ProviderLook:
    """What one provider answered, all of it at about the same time. room is None where none was asked for."""

    name: str
    status: Answer
    token: Answer
    webhooks: Answer
    relays: tuple[Relay, ...]
    room: Answer | None = None

    @property
    def answers(self) -> dict[str, Answer]:
        """The answers of the control API that a new consultation needs, and the status that says how it is."""
        return {"status": self.status, "token": self.token} | ({"room": self.room} if self.room else {})

    def refused(self, statuses: tuple[HTTPStatus, ...]) -> list[str]:
        return [f"{name}: {answer.seen}" for name, answer in self.answers.items() if answer.status in statuses]

    @property
    def key_refused(self) -> list[str]:
        return self.refused(_KEY_REFUSED)

    @property
    def over_quota(self) -> list[str]:
        """By an answer, or by the provider's own count."""
        used, limit = self.quota
        full = [f"{used:.0f} of {limit:.0f} used"] if limit and used >= limit else []
        return self.refused(_QUOTA) + full

    @property
    def quota(self) -> tuple[float, float]:
        """What is used of how much; 0 and 0 where the provider does not say."""
        found = self.status.body.get("quota")
        found = found if isinstance(found, dict) else {}
        return _number(found.get("used")) or 0.0, _number(found.get("limit")) or 0.0

    @property
    def sessions(self) -> int | None:
        """Consultations that run there, None where the provider does not say."""
        found = _number(self.status.body.get("sessions"))
        return None if found is None else int(found)

    @property
    def broken(self) -> list[str]:
        """Answers that are none, and those that say that the provider itself failed."""
        ours = (*_KEY_REFUSED, *_QUOTA)
        return [
            f"{name}: {answer.seen}"
            for name, answer in self.answers.items()
            if not accepted(answer) and answer.status not in ours
        ]

    @property
    def answered(self) -> bool:
        """Whether any of it came from the provider: without one answer our own network may be what is broken."""
        return any(answer.status is not None for answer in self.answers.values())

    def relay(self, transport: Transport) -> Relay | None:
        return next((relay for relay in self.relays if relay.transport is transport), None)

    @property
    def media_works(self) -> bool:
        """Whether sound and pictures have a way; the way over TCP is enough."""
        return any(relay.works for relay in self.relays)

    def unusable(self) -> list[str]:
        """Why a new consultation should not go there, as one word each would say it; empty: it may."""
        reasons = [*self.key_refused, *self.over_quota, *self.broken]
        # Status pages are late: an outage counts, and "operational" proves nothing.
        if self.status.body.get("status") == OUTAGE:
            reasons.append("it says itself that it is in an outage")
        if not any(relay.allocated for relay in self.relays):
            reasons.append(f"no relay: {', '.join(relay.seen for relay in self.relays) or 'no credential'}")
        return reasons


class Provider:
    """One provider. What HTTP or the network does comes back as an Answer, never as an exception."""

    def __init__(
        self,
        name: str,
        settings: Json,
        environment: Environment,
        timeout_s: float,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self._timeout_s = name, timeout_s
        self._url = str(settings["api_url"]).rstrip("/")
        self._turn = (str(settings["turn_host"]), int(settings["turn_port"]))
        if not (is_loopback(self._url) if environment.sandbox else urlsplit(self._url).scheme == "https"):
            wanted = "a loopback address" if environment.sandbox else "an https address"
            raise OpsError(f"api_url of the {name} provider is not {wanted}: correct telehealth.providers.{name}.")
        self._key = _key(name, environment, os.environ if environ is None else environ)

    def status(self) -> Answer:
        """How the provider says it is, how many consultations run there, and how much of the quota is used."""
        return self._send("GET", "status")

    def mint_token(self) -> Answer:
        """A token for a test; it holds the credential of the relays, and leaves nothing behind."""
        return self._send("POST", "tokens", {"identity": _IDENTITY, "test": True, "ttl_s": _TEST_S})

    def create_room(self) -> Answer:
        """An empty room for a test, which ends by itself."""
        return self._send("POST", "rooms", {"name": _IDENTITY, "test": True, "empty_timeout_s": _TEST_S})

    def webhooks(self) -> Answer:
        """What the provider knows of its deliveries to us."""
        return self._send("GET", "webhooks")

    def turn_probe(self, transport: Transport, token: Answer) -> Relay:
        """One of the two ways of sound and pictures; without a token only whether somebody is there."""
        ice = token.body.get("ice")
        ice = ice if isinstance(ice, dict) else {}
        user, password = ice.get("username"), ice.get("credential")
        known = Credential(str(user), str(password)) if user and password else None
        return probe(*self._turn, transport, known, self._timeout_s)

    def look(self, *, rooms: bool) -> ProviderLook:
        """Everything at once; the relays as soon as there is a credential. rooms: whether to make a test room."""
        calls: dict[str, Any] = {"status": self.status, "media": self._media, "webhooks": self.webhooks}
        found = gather(**calls, **({"room": self.create_room} if rooms else {}))
        for value in found.values():
            if isinstance(value, OpsError):
                raise value
        token, relays = found.pop("media")
        return ProviderLook(self.name, token=token, relays=relays, **found)

    def _media(self) -> tuple[Answer, tuple[Relay, ...]]:
        token = self.mint_token()
        relays = gather(**{str(way): partial(self.turn_probe, way, token) for way in Transport})
        for value in relays.values():
            if isinstance(value, OpsError):
                raise value
        return token, tuple(relays[way] for way in Transport)

    def _send(self, method: str, what: str, body: Json | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {self._key}"}
        return request(method, f"{self._url}/v1/{what}", timeout_s=self._timeout_s, headers=headers, body=body)


def accepted(answer: Answer) -> bool:
    return answer.status is not None and HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES


def webhook_age(webhooks: Answer, now: float) -> float | None:
    """Seconds since the provider last delivered an event to us; None where it does not say, infinity for never."""
    if not accepted(webhooks):
        return None
    if webhooks.body.get("last_delivered_at") is None:
        return float("inf") if webhooks.body.get("last_event_at") is not None else None
    delivered = _number(webhooks.body["last_delivered_at"])
    return None if delivered is None else max(now - delivered, 0.0)


def token_times(token: Answer) -> tuple[float, float] | None:
    """From when until when a token is good, seconds since 1970; None where it does not say."""
    start, end = (_number(token.body.get(name)) for name in ("not_before", "expires_at"))
    return None if start is None or end is None else (start, end)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _key(name: str, environment: Environment, environ: Mapping[str, str]) -> str:
    """The key to probe with. Raises OpsError where there is none: the provider cannot be read, and no more."""
    if environment.sandbox:
        path = Path(str(environment.credentials_file)).parent / KEYS_FILE
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))[name])
        except (OSError, ValueError, LookupError, TypeError):
            raise OpsError(f"The sandbox has no key of the {name} provider in {path}: start a sandbox.") from None
    key = environ.get(key_variable(name), "")
    if not key:
        raise OpsError(f"{key_variable(name)} is not set: set it to the key that may make test rooms there.")
    return key
