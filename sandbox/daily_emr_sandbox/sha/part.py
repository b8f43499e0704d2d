"""The claims as one part of the sandbox, seen and changed from inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import psycopg

from ..app.server import CLAIMS_QUEUE_ONLY, ELIGIBILITY_CACHED
from .facilities import Facilities
from .outbox import Outbox
from .service import Sha

if TYPE_CHECKING:
    from ..world import World

QUEUE = "claims"
TIMEOUT_S, LEAST_TIMEOUT_S = 30.0, 2.0
"""What a worker waits for the payer, in AWS seconds, and at least in real ones."""
PENDING = "AWSPENDING"


class ShaPart:
    """The authority's API, the facilities and the outbox. Its workers and their queue belong to the part `queues`."""

    def __init__(self, world: World) -> None:
        self._world, self._settings = world, world.settings
        self.api = Sha(world.settings, world.loop)
        self.facilities = Facilities(world.settings, world.loop)
        self.outbox = Outbox(world.database, self._enqueue, self.api.ledger)
        self.troubled = False
        """Whether something of it was broken and not mended."""

    def start(self) -> None:
        world, family = self._world, self._settings.worker_service(QUEUE)
        self.api.accept_keys(self.current_key())
        self.api.start()
        usual = world.scheduler.environment_of_family[family]
        world.scheduler.environment_of_family[family] = lambda: {**usual(), **self._environment()}
        world.queues.producer.stop_usual(QUEUE)
        world.queues.books.done[QUEUE] = self.outbox.done
        world.aws.register("GET", "/claims", lambda: self.outbox.books(list(self.facilities.acknowledged)))
        world.aws.register("GET", "/sha/ledger", self.api.ledger.summary)
        world.aws.register("GET", "/sha/requests", lambda: {"requests": self.api.ledger.requests()})
        self.outbox.start()
        self.facilities.start()

    def stop(self) -> None:
        self.facilities.stop()
        self.outbox.stop()
        self.api.stop()

    def healthy(self) -> bool:
        """Claims are made and sent, none is in doubt or put off, and nothing is left of a fault."""
        try:
            return not self.troubled and bool(self.facilities.acknowledged) and self.outbox.clean()
        except psycopg.Error:
            return False

    def restore(self) -> None:
        """The circuit is closed, and what was put off is sent."""
        for flag in (CLAIMS_QUEUE_ONLY, ELIGIBILITY_CACHED):
            self._world.launchdarkly.turn(flag, on=False, by="release-manager")
        self.outbox.tidy()

    def plant(self, value: str) -> None:
        self.facilities.planted = value

    def describe(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "claims": {
                "base_url": settings.sha_url,
                "ca_file": str(settings.sha_ca_file),
                "facility_id": settings.sha_facility,
            }
        }

    @property
    def pids(self) -> dict[str, int]:
        return {}

    # For faults.

    @property
    def timeout_s(self) -> float:
        """What a worker waits for an answer."""
        return max(LEAST_TIMEOUT_S, self._settings.scaled(TIMEOUT_S))

    def current_key(self) -> str:
        """The key that workers get when they start."""
        found = self._secrets.get_secret_value(SecretId=self._settings.sha_secret)
        return str(found["SecretString"])

    def prepare_key(self, key: str) -> None:
        """Somebody put a new key beside the one that is used."""
        self._secrets.put_secret_value(SecretId=self._settings.sha_secret, SecretString=key, VersionStages=[PENDING])

    def mend(self) -> None:
        """The authority works, knows every key that we have, and what is left of the fault is taken back."""
        self.api.mend()
        self._world.claims.mend()
        self.api.accept_keys(*self._all_keys())
        self._forget_pending()
        self.troubled = False
        self.outbox.tidy()

    @property
    def _secrets(self) -> Any:
        return self._world.aws.boto("secretsmanager")

    def _versions(self) -> list[dict[str, Any]]:
        listed = self._secrets.list_secret_version_ids(SecretId=self._settings.sha_secret, IncludeDeprecated=True)
        versions: list[dict[str, Any]] = listed["Versions"]
        return versions

    def _all_keys(self) -> list[str]:
        """The one that is used last: that is what a new worker has."""
        name, current = self._settings.sha_secret, self.current_key()
        values = [
            str(self._secrets.get_secret_value(SecretId=name, VersionId=version["VersionId"])["SecretString"])
            for version in self._versions()
        ]
        return [*(value for value in values if value != current), current]

    def _forget_pending(self) -> None:
        for version in self._versions():
            if PENDING in version["VersionStages"]:
                self._secrets.update_secret_version_stage(
                    SecretId=self._settings.sha_secret, VersionStage=PENDING, RemoveFromVersionId=version["VersionId"]
                )

    def _enqueue(self, jobs: Sequence[dict[str, Any]]) -> bool:
        producer = self._world.queues.producer
        try:
            if self.outbox.tidying:
                producer.call(QUEUE, "clean", 0, 0, "failed")
            return producer.enqueue(QUEUE, "submit-claim", jobs)
        except (OSError, RuntimeError):
            return False

    def _environment(self) -> dict[str, str]:
        return {
            "CLAIMS_API_URL": self._settings.sha_url,
            "CLAIMS_API_CA_FILE": str(self._settings.sha_ca_file),
            "CLAIMS_API_TIMEOUT_MS": str(round(self.timeout_s * 1000)),
        }
