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
from functools import partial
from typing import TYPE_CHECKING

from .database_storage import Storage
from .loop import wait_until

if TYPE_CHECKING:
    from .aws.server import AwsServer
    from .postgres import DatabasePair
    from .settings import Settings

logger = logging.getLogger(__name__)

# AWS seconds.
ACCEPTED_S, PROMOTION_S, RESTARTED_S, ZONES_S = 3.0, 45.0, 15.0, 30.0
REBOOT_S = 30.0
MODIFYING_S, OPTIMIZING_S = 60.0, 300.0
COMPLETED = "Multi-AZ instance failover completed"
RESTORABLE_S = 300.0
"""Transaction logs are uploaded every five minutes."""
SETTLED_S = 120.0
"""Real seconds for a walk to end, whatever it is."""
SEEN_POLL_S = 0.2
LONG_AGO = dt.timedelta(days=1)
TOO_SOON_S = 1800.0
"""A failover that is asked for again within this time is not done (RDS-EVENT-0034; incident domain, A2.4 M6)."""


def _now() -> dt.datetime:
    """moto keeps times without a zone, in UTC."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


@dataclass
class Event:
    """An event in the form of moto's RDS."""

    source_identifier: str
    source_arn: str
    message: str
    event_categories: list[str]
    source_type: str = "db-instance"
    date: dt.datetime = field(default_factory=_now)


class DatabaseInstance:
    """What the control plane shows of the pair. What changes it returns at once; the walk goes on in a thread."""

    def __init__(self, settings: Settings, aws: AwsServer, pair: DatabasePair) -> None:
        self._settings, self._aws, self._pair = settings, aws, pair
        self.state = ""
        """A state of RDS that hides whether the endpoint accepts connections; empty: it does not."""
        self.zone, self.standby_zone = settings.zones[0], settings.zones[1]
        self.storage: Storage
        """Set by `start`: it belongs to an instance that is there."""
        self.lost_host_returns = False
        """Whether the host that the next failover leaves boots again before the standby is rebuilt."""
        self._failed_over_at: float | None = None
        self._held_ago_s: float | None = None
        self._stop = threading.Event()
        self._seen = threading.Event()
        self._seen.set()
        self._walks: list[threading.Thread] = []

    def start(self) -> None:
        """Know the instance that was seeded."""
        self.storage = Storage(self._settings, self._aws)

    def stop(self) -> None:
        self._stop.set()
        for walk in self._walks:
            walk.join()

    # What clients ask for; with the mutex held, and when the instance is in a state for it.

    def reboot(self, *, failover: bool) -> None:
        self._begin("rebooting", self._asked_failover if failover else self._restart)

    def grow(self, gib: int) -> None:
        """Apply another size of the storage."""
        self.storage.pend({"AllocatedStorage": gib})
        self._begin("modifying", partial(self._grow, gib))

    # What happens by itself.

    def fail_over(self, *, recovery_s: float = 0.0, silently: bool = False) -> None:
        """The host of the primary dies, and RDS promotes the standby without being asked.

        Args:
            recovery_s: AWS seconds that the standby needs longer than usual, replaying what large transactions left.
                They begin when somebody looks at the events: however slowly a runbook starts, it comes in the middle.
            silently: sessions never hear of the old host again.
        """
        self._begin("rebooting", partial(self._fail_over, recovery_s=recovery_s, silently=silently))

    def exhaust_storage(self) -> None:
        """Nothing is left of the storage: RDS shuts the database down."""
        self.wait_settled()
        self.storage.fill()
        self.state = "storage-full"
        self._say("The allocated storage for the DB instance has been exhausted. Allocate additional storage to "
                  "resolve.", "low storage")  # fmt: skip
        self._pair.stop_primary()
        self._say("DB instance has reached the storage-full threshold, and the database has been shut down. You can "
                  "increase the allocated storage to address this issue.", "availability")  # fmt: skip

    def restore_storage(self) -> None:
        """The storage is as it was seeded, and the database runs."""
        self.wait_settled()
        self.storage.restore()
        if self.state == "storage-full":
            self._pair.start_primary()
            self.state = ""

    def hold_quiet_period(self, ago_s: float | None) -> None:
        """The last failover stays so many AWS seconds ago, however late it gets; None: time passes again."""
        self._held_ago_s = ago_s
        self.renew()

    @property
    def holds_quiet_period(self) -> bool:
        return self._held_ago_s is not None

    def look(self) -> None:
        """Somebody is about to read the events: a failover that waited for that begins now."""
        with self._aws.mutex:
            if not self._seen.is_set():
                self._aws.backend("rds").events[-1].date = _now()
                self._seen.set()
        self.renew()

    def renew(self) -> None:
        """Move the last failover to where it is held."""
        if self._held_ago_s is None or self._failed_over_at is None:
            return
        ago_s = self._settings.scaled(self._held_ago_s)
        self._failed_over_at = time.monotonic() - ago_s
        with self._aws.mutex:
            events = self._aws.backend("rds").events
            last = max(index for index, event in enumerate(events) if event.message == COMPLETED)
            later = _now() - dt.timedelta(seconds=ago_s) - events[last].date
            for event in events[: last + 1]:
                event.date += later

    def let_time_pass(self) -> None:
        """Everything that happened is long ago: a failover and a change of the storage may be asked for."""
        self.wait_settled()
        self._failed_over_at = self._held_ago_s = None
        self.storage.forget_change()
        with self._aws.mutex:
            for event in self._aws.backend("rds").events:
                event.date -= LONG_AGO

    @property
    def restorable_at(self) -> dt.datetime:
        """Latest time that the instance can be restored to. It does not move while the standby does not follow."""
        ago_s = self._settings.scaled(RESTORABLE_S) + self._pair.apart_s
        return _now() - dt.timedelta(seconds=ago_s)

    @property
    def settled(self) -> bool:
        """No walk is under way: the standby follows and commits wait for it."""
        return not any(walk.is_alive() for walk in self._walks)

    def wait_settled(self) -> None:
        wait_until(lambda: self.settled, "the database instance is settled", SETTLED_S)

    # Walks. Each ends early, wherever it is, when the sandbox stops.

    def _begin(self, state: str, walk: Callable[[], None]) -> None:
        before, self.state = self.state, state
        thread = threading.Thread(target=self._guarded, args=(walk, before), name="rds-instance", daemon=True)
        self._walks = [*(walk for walk in self._walks if walk.is_alive()), thread]
        thread.start()

    def _guarded(self, walk: Callable[..., None], before: str) -> None:
        try:
            walk()
            before = ""
        except Exception:
            if not self._stop.is_set():
                logger.exception("the database instance stopped in the middle of a walk")
        finally:
            if threading.current_thread() is self._walks[-1]:  # the end of a failover overlaps what comes next
                self.state = before

    def _asked_failover(self) -> None:
        self.renew()
        self._held_ago_s = None  # from here on time passes: what happened before must not seem to happen after
        ago_s = None if self._failed_over_at is None else time.monotonic() - self._failed_over_at
        if ago_s is not None and ago_s < self._settings.scaled(TOO_SOON_S):
            self._say(
                "Abandoning user requested failover since a failover recently occurred on the database instance.",
                "failover",
            )
        elif self._wait(ACCEPTED_S):
            self._fail_over()

    def _fail_over(self, *, recovery_s: float = 0.0, silently: bool = False) -> None:
        self._failed_over_at = time.monotonic()
        self._say("Multi-AZ instance failover started.", "failover")
        self._pair.lose_primary(silently=silently)
        if recovery_s and not self._wait_seen():
            return
        if not self._wait(PROMOTION_S + recovery_s):
            return
        self._pair.promote_standby()
        self._say("DB instance restarted", "availability")
        if self.lost_host_returns:
            self._pair.return_lost()
        if not self._wait(RESTARTED_S):
            return
        self._say(COMPLETED, "failover", "notification")
        self.state = ""
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

    def _grow(self, gib: int) -> None:
        if not self._wait(MODIFYING_S):
            return
        self._say(f"Applying modification to allocated storage: {gib} GiB", "configuration change")
        self.storage.grow(gib)
        if not self._pair.primary.running:
            self._pair.start_primary()
            self._say("DB instance restarted", "availability")
        self.state = "storage-optimization"
        self._wait(OPTIMIZING_S)
        self._say("Finished applying modification to allocated storage", "configuration change")

    def _wait_seen(self) -> bool:
        """Until somebody looks. False when the sandbox stops."""
        self._seen.clear()
        while not self._seen.wait(SEEN_POLL_S):
            if self._stop.is_set():
                return False
        return True

    def _wait(self, aws_seconds: float) -> bool:
        """False when the sandbox stops meanwhile."""
        return not self._stop.wait(self._settings.scaled(aws_seconds))

    def _say(self, message: str, *categories: str) -> None:
        name = self._settings.database_name
        with self._aws.mutex:
            backend = self._aws.backend("rds")
            arn = backend.describe_db_instances(name)[0].arn
            backend.events.append(Event(name, arn, message, list(categories)))
