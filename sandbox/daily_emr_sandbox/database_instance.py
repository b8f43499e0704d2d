"""The one RDS instance of the sandbox: the states it walks through, and what it says, while the real pair fails over.

Pace and order follow RDS (incident domain, A2.1 and A2.4: 60 to 120 s from the call to a writable endpoint, the zones
in the answer of DescribeDBInstances follow later). Events carry the messages of RDS; DescribeEvents has no numbers.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .aws.server import AwsServer
    from .postgres import DatabasePair
    from .settings import Settings

logger = logging.getLogger(__name__)

# AWS seconds.
ACCEPTED_S, PROMOTION_S, RESTARTED_S, ZONES_S = 3.0, 45.0, 15.0, 30.0
REBOOT_S = 30.0
TOO_SOON_S = 1800.0
"""A failover that is asked for again within this time is not done (RDS-EVENT-0034; incident domain, A2.4 M6)."""


@dataclass(frozen=True)
class Event:
    """An event in the form of moto's RDS."""

    source_identifier: str
    source_arn: str
    message: str
    event_categories: list[str]
    source_type: str = "db-instance"
    date: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC).replace(tzinfo=None))


class DatabaseInstance:
    """What the control plane shows of the pair. `reboot` returns at once; the walk goes on in a thread."""

    def __init__(self, settings: Settings, aws: AwsServer, pair: DatabasePair) -> None:
        self._settings, self._aws, self._pair = settings, aws, pair
        self.rebooting = False
        self.zone, self.standby_zone = settings.zones[0], settings.zones[1]
        self._failed_over_at = -TOO_SOON_S
        self._stop = threading.Event()
        self._walk: threading.Thread | None = None

    def reboot(self, *, failover: bool) -> None:
        """Begin a reboot; call with the mutex held, when the instance is available."""
        self.rebooting = True
        walk = self._fail_over if failover else self._restart
        self._walk = threading.Thread(target=self._guarded, args=(walk,), name="rds-instance", daemon=True)
        self._walk.start()

    def stop(self) -> None:
        self._stop.set()
        if self._walk is not None:
            self._walk.join()

    @property
    def settled(self) -> bool:
        """No walk is under way: the standby follows and commits wait for it."""
        return self._walk is None or not self._walk.is_alive()

    # Walks. Each ends early, wherever it is, when the sandbox stops.

    def _guarded(self, walk: Callable[[], None]) -> None:
        try:
            walk()
        except Exception:
            if not self._stop.is_set():
                logger.exception("the database instance stopped in the middle of a reboot")
        finally:
            self.rebooting = False

    def _fail_over(self) -> None:
        if time.monotonic() - self._failed_over_at < TOO_SOON_S / self._settings.time_factor:
            self._say(
                "Abandoning user requested failover since a failover recently occurred on the database instance.",
                "failover",
            )
            return
        self._failed_over_at = time.monotonic()
        if not self._wait(ACCEPTED_S):
            return
        self._say("Multi-AZ instance failover started.", "failover")
        self._pair.lose_primary()
        if not self._wait(PROMOTION_S):
            return
        self._pair.promote_standby()
        self._say("DB instance restarted", "availability")
        if not self._wait(RESTARTED_S):
            return
        self._say("Multi-AZ instance failover completed", "failover", "notification")
        self.rebooting = False
        if not self._wait(ZONES_S):
            return
        self.zone, self.standby_zone = self.standby_zone, self.zone
        self._pair.rebuild_standby()

    def _restart(self) -> None:
        if not self._wait(ACCEPTED_S):
            return
        self._say("DB instance shutdown", "availability")
        self._pair.stop_primary()
        if self._wait(REBOOT_S):
            self._pair.start_primary()
            self._say("DB instance restarted", "availability")

    def _wait(self, aws_seconds: float) -> bool:
        """False when the sandbox stops meanwhile."""
        return not self._stop.wait(aws_seconds / self._settings.time_factor)

    def _say(self, message: str, *categories: str) -> None:
        name = self._settings.database_name
        with self._aws.mutex:
            backend = self._aws.backend("rds")
            arn = backend.describe_db_instances(name)[0].arn
            backend.events.append(Event(name, arn, message, list(categories)))
