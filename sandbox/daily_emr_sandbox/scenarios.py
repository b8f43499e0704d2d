"""The named faults of one sandbox. Each can be broken and mended any number of times; both return when it is so."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from .app.server import CLAIMS_CIRCUIT, READ_ONLY
from .faults.configuration import BadFlag, BrokenSecret, ScaledToZero, WafBlock
from .faults.connections import ConnectionStorm, PoolsStuckError, PoolsStuckHang
from .faults.database import (
    FailoverRefused,
    FailoverRunning,
    OldPrimaryReturns,
    PrimaryImpaired,
    ReplyDropped,
    StandbyLagging,
)
from .faults.infrastructure import CacheDown, DatabaseDown, SlowDatabase, WedgedTasks, ZoneImpaired
from .faults.queues import (
    DownstreamFails,
    DownstreamSlow,
    ExportsConsumerDead,
    ExportsDeadLetters,
    FailedJobsLeft,
    JobsStalled,
    PoisonJobs,
    QueueBurst,
    QueueFailover,
    QueueMemoryFull,
    QueuePaused,
    QueueThrottled,
    WorkersDatabaseBound,
    WorkersDead,
)
from .faults.region import RegionGone, RegionSplit, ReplicaBehind
from .faults.releases import BadReleaseCrash, BadReleaseErrors, RollbackImageDeleted
from .faults.sessions import IdleInTransaction, LockStorm
from .faults.sha import (
    ShaCertificateExpired,
    ShaCommitsThenTimesOut,
    ShaDown,
    ShaKeyRevoked,
    ShaRateLimited,
    ShaSchemaRefused,
    ShaSlow,
    ShaTokenExpired,
)
from .faults.spike import (
    CanaryFails,
    FlagFails,
    LatencyWithoutErrors,
    MetricsMissing,
    NewReleaseFails,
    NightTraffic,
    OneRouteFails,
    OneTaskErrors,
    OneTenantFails,
    OneZoneErrors,
    SlowThirdParty,
)
from .faults.storage import OrphanedSlot, StorageFull
from .faults.telehealth import (
    TelehealthApiDown,
    TelehealthAppVersion,
    TelehealthBothDown,
    TelehealthFarRegion,
    TelehealthMediaDown,
    TelehealthOneIsp,
    TelehealthOurKey,
    TelehealthQuota,
    TelehealthThinLines,
    TelehealthUdpBlocked,
    TelehealthWebhookSilent,
)
from .loop import wait_until
from .primitives import Primitives
from .web import WAIT_S

if TYPE_CHECKING:
    from .faults.base import Fault
    from .world import World

FAULTS: tuple[type[Fault], ...] = (
    # In the order in which everything is mended: what a rollout needs first, then rollouts.
    RegionGone,
    RegionSplit,
    ReplicaBehind,
    FailoverRunning,
    OldPrimaryReturns,
    StandbyLagging,
    FailoverRefused,
    ReplyDropped,
    PrimaryImpaired,
    StorageFull,
    OrphanedSlot,
    LockStorm,
    IdleInTransaction,
    ConnectionStorm,
    ScaledToZero,
    SlowDatabase,
    DatabaseDown,
    CacheDown,
    ZoneImpaired,
    OneZoneErrors,
    OneRouteFails,
    OneTenantFails,
    SlowThirdParty,
    ShaCertificateExpired,
    ShaCommitsThenTimesOut,
    ShaDown,
    ShaKeyRevoked,
    ShaRateLimited,
    ShaSchemaRefused,
    ShaSlow,
    ShaTokenExpired,
    NightTraffic,
    MetricsMissing,
    CanaryFails,
    WafBlock,
    BadFlag,
    FlagFails,
    RollbackImageDeleted,
    BadReleaseCrash,
    BadReleaseErrors,
    NewReleaseFails,
    BrokenSecret,
    WedgedTasks,
    PoolsStuckError,
    PoolsStuckHang,
    OneTaskErrors,
    LatencyWithoutErrors,
    TelehealthApiDown,
    TelehealthAppVersion,
    TelehealthBothDown,
    TelehealthFarRegion,
    TelehealthMediaDown,
    TelehealthOneIsp,
    TelehealthOurKey,
    TelehealthQuota,
    TelehealthThinLines,
    TelehealthUdpBlocked,
    TelehealthWebhookSilent,
    QueueMemoryFull,  # before what has to write there to be mended
    WorkersDatabaseBound,
    DownstreamSlow,
    DownstreamFails,
    FailedJobsLeft,
    QueuePaused,
    QueueThrottled,
    QueueFailover,
    WorkersDead,
    JobsStalled,
    PoisonJobs,
    QueueBurst,
    ExportsConsumerDead,
    ExportsDeadLetters,
)
ALIASES = {"bad_release": "bad_release_errors", "credentials_rotated": "broken_secret"}


USUAL_MIN = 30.0
"""AWS minutes of traffic that are known before a fault that only the traffic shows."""


class Scenarios:
    """All named faults of one sandbox; one is broken or mended at a time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._faults = {fault.name: fault(world) for fault in FAULTS if not fault.part or fault.part in world.parts}
        self._broken: list[str] = []
        self._turn = threading.Lock()

    @property
    def broken(self) -> list[str]:
        """Faults that were made and not mended by the sandbox; a runbook may have done it meanwhile."""
        return list(self._broken)

    def break_(self, name: str, **options: Any) -> dict[str, Any]:
        """Make a named fault and return when it is visible, or do a primitive, which is the caller's to look at.

        Raises:
            LookupError: no fault of that name, or no such task or zone.
            ValueError: options that it does not take.
        """
        if name in Primitives.NAMES:
            with self._turn:
                self._world.primitives.ask(name, options)
            return {"broken": name, **options}
        if options:
            raise ValueError(f"{name} takes no options: only primitives do ({', '.join(Primitives.NAMES)}).")
        fault = self._named(name)
        with self._turn:
            if fault.name not in self._broken:
                self._broken.append(fault.name)
            if fault.alarm_min and fault.against_usual:
                self._wait_usual()
            fault.break_()
        return {"broken": fault.name, "summary": fault.summary}

    def mend(self, name: str | None = None) -> dict[str, Any]:
        """Mend one fault, or everything, also what somebody scaled; returns when the system is healthy, unless other
        faults are left.
        """
        faults = list(self._faults.values()) if name is None else [self._named(name)]
        with self._turn:
            if name is None:
                self._world.primitives.end()
                self._world.web.restore_capacity()
                for switch in (READ_ONLY, CLAIMS_CIRCUIT):
                    self._world.launchdarkly.turn(switch, on=False, by="release-manager")
            for fault in faults:
                fault.mend()
                if fault.name in self._broken:
                    self._broken.remove(fault.name)
            if not self._broken:
                # Last: what was broken elsewhere left its traces in them, such as jobs that failed.
                for part in self._world.parts.values():
                    part.restore()
                self._world.instance.let_time_pass()
                self._world.wait_healthy()
        return {"mended": [fault.name for fault in faults]}

    def await_alarm(self, name: str) -> dict[str, Any]:
        """Return when somebody would be called for the fault: at once, or as soon as the alarm of the traffic rings."""
        minutes = 0.0 if name in Primitives.NAMES else self._named(name).alarm_min
        late_s = self._world.settings.scaled(minutes * 60)
        rings_at = time.monotonic() + late_s
        wait_until(lambda: time.monotonic() >= rings_at, "an alarm rings", late_s + WAIT_S)
        return {"alarm": name}

    def _wait_usual(self) -> None:
        """An alarm rings where the traffic is not as usual, so there has to be usual traffic first."""
        traffic, enough_s = self._world.traffic, self._world.settings.scaled(USUAL_MIN * 60)
        wait_until(lambda: traffic.age_s > enough_s, "there is usual traffic", enough_s + WAIT_S)

    def _named(self, name: str) -> Fault:
        name = ALIASES.get(name, name)
        if missing := [fault.part for fault in FAULTS if fault.name == name and name not in self._faults]:
            raise LookupError(f"{name} needs a sandbox with {missing[0]}: take one up with --parts {missing[0]}.")
        try:
            return self._faults[name]
        except KeyError:
            known = ", ".join([*sorted(self._faults), *Primitives.NAMES])
            raise LookupError(f"There is no fault {name!r}: use one of {known}.") from None
