"""Telehealth as a part of the sandbox."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from ..launchdarkly import SEEDED_FLAGS
from ..seed import SECRETS_AGE_S
from ..settings import TURN_PORT
from .bookings import Bookings
from .desk import Desk
from .provider import Provider
from .sessions import Sessions

if TYPE_CHECKING:
    from ..aws.server import AwsServer
    from ..launchdarkly import LaunchDarkly
    from ..loop import LoopThread
    from ..postgres import DatabasePair
    from ..settings import Settings

PROVIDERS = ("primary", "secondary")
FLAGS = tuple(key for key in SEEDED_FLAGS if key.startswith("telehealth-"))


class Telehealth:
    """Both providers, the application's side, and the patients."""

    def __init__(
        self,
        settings: Settings,
        loop: LoopThread,
        aws: AwsServer,
        database: DatabasePair,
        launchdarkly: LaunchDarkly,
    ) -> None:
        self._settings, self._loop, self._aws, self._launchdarkly = settings, loop, aws, launchdarkly
        self.providers = {name: Provider(settings, name) for name in PROVIDERS}
        self._keys = {name: min(provider.application_keys) for name, provider in self.providers.items()}
        self.bookings = Bookings(settings, database)
        self.desk = Desk(settings, aws, self.bookings, PROVIDERS)
        self.sessions = self.desk.sessions = Sessions(
            settings, self.providers, self.desk.keys, self.desk.note, self.desk.measured
        )

    def start(self) -> None:
        file = self._settings.telehealth_keys_file
        file.touch(mode=0o600)
        file.write_text(json.dumps({name: provider.probe_key for name, provider in self.providers.items()}))
        self.desk.prepare(self._keys)
        self._age_secrets()
        self._loop.run(self._open())
        self.desk.start()
        for method, path, handler in (
            ("GET", "/telehealth/sessions", self.sessions.ledger),
            ("GET", "/telehealth/notices", lambda: {"notices": self.desk.notices()}),
            ("GET", "/telehealth/requests/{provider}", self._requests),
        ):
            self._aws.register(method, path, handler)

    def stop(self) -> None:
        self.desk.stop()
        self._loop.run(self._close())

    def healthy(self) -> bool:
        return self.sessions.joins_well

    def restore(self) -> None:
        """Flags, bookings and secrets as at the beginning, and as old."""
        self._launchdarkly.restore(*FLAGS)
        self.bookings.reopen()
        self.restore_key("primary")

    def plant(self, value: str) -> None:
        """Use a value wherever a patient would be named: among bookings, and in consultations."""
        self.bookings.plant(value)
        self.sessions.identity = value

    def describe(self) -> dict[str, Any]:
        settings = self._settings
        facts: dict[str, Any] = {
            name: {
                "api_url": settings.telehealth_url(name),
                "turn_host": settings.telehealth_address(name),
                "turn_port": TURN_PORT,
            }
            for name in PROVIDERS
        }
        facts["second_region_turn_port"] = TURN_PORT + 1
        facts["keys_file"] = str(settings.telehealth_keys_file)
        return {"telehealth": facts}

    @property
    def pids(self) -> dict[str, int]:
        return {}

    def replace_key(self, provider: str) -> None:
        """Somebody writes a value into the secret that the provider does not know."""
        secret = self._settings.telehealth_secret(provider)
        self._aws.boto("secretsmanager").put_secret_value(SecretId=secret, SecretString=f"app-{'0' * 32}")

    def restore_key(self, provider: str) -> None:
        secret, key = self._settings.telehealth_secret(provider), self._keys[provider]
        secrets = self._aws.boto("secretsmanager")
        if secrets.get_secret_value(SecretId=secret)["SecretString"] != key:
            secrets.put_secret_value(SecretId=secret, SecretString=key)
            self._age_secrets()

    def _age_secrets(self) -> None:
        """The keys were written long ago."""
        written = time.time() - SECRETS_AGE_S
        with self._aws.mutex:
            for provider in PROVIDERS:
                secret = self._aws.backend("secretsmanager").secrets[self._settings.telehealth_secret(provider)]
                secret.created_date = secret.last_changed_date = written
                for version in secret.versions.values():
                    version["createdate"] = written

    def _requests(self, provider: str) -> dict[str, Any]:
        if provider not in self.providers:
            raise LookupError(f"There is no provider {provider!r}: use one of {', '.join(PROVIDERS)}.")
        return {"requests": self.providers[provider].requests()}

    async def _open(self) -> None:
        await self.desk.open()
        for provider in self.providers.values():
            await provider.start()
        await self.sessions.start()

    async def _close(self) -> None:
        await self.sessions.stop()
        for provider in self.providers.values():
            await provider.stop()
        await self.desk.close()
