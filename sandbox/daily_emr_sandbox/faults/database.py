"""Faults of the database's host and of its failover."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from .base import Fault

if TYPE_CHECKING:
    from ..world import World

IMPAIRED_S = 1.5
# AWS seconds. All in all less than the ten minutes within which a failover counts as under way.
LONG_RECOVERY_S = 420.0
APART_S = 900.0
FAILED_OVER_AGO_S = 1200.0
"""Longer than a runbook takes from its diagnosis to its decision, shorter than RDS remembers."""


class PrimaryImpaired(Fault):
    name = "primary_impaired"
    summary = "the host of the primary is sick: every statement there takes 1.5 s longer, without load or locks"

    def break_(self) -> None:
        self.world.database.primary.delay_s = IMPAIRED_S
        self.wait(lambda: self.world.metrics.values.get("WriteLatency", 0) >= IMPAIRED_S, "the latency is measured")
        self.wait(self._slow, "tasks find the database slow")

    def mend(self) -> None:
        for node in (self.world.database.primary, self.world.database.standby):
            node.delay_s = 0.0

    def _slow(self) -> bool:
        checks = [self.web.database_check(task) for task in self.some_running()]
        return all(check.get("ms", 0) >= IMPAIRED_S * 1000 for check in checks)


class StandbyLagging(PrimaryImpaired):
    name = "standby_lagging"
    summary = "the host of the primary is sick, and the standby stopped following minutes ago"

    def break_(self) -> None:
        self.world.instance.wait_settled()
        self.world.database.part(self.settings.scaled(APART_S))
        super().break_()

    def mend(self) -> None:
        super().mend()
        self.world.instance.wait_settled()
        self.world.database.rebuild_standby()


class FailoverRefused(PrimaryImpaired):
    name = "failover_refused"
    summary = "the host of the primary is sick, minutes after a failover: RDS would abandon another one"

    def break_(self) -> None:
        instance = self.world.instance
        if not instance.holds_quiet_period:
            instance.wait_settled()
            instance.fail_over()
            instance.wait_settled()
            instance.hold_quiet_period(FAILED_OVER_AGO_S)
        super().break_()

    def mend(self) -> None:
        self.world.instance.hold_quiet_period(None)
        super().mend()


class ReplyDropped(PrimaryImpaired):
    name = "reply_dropped"
    summary = "the host of the primary is sick, and the reply to the next reboot is lost after it was carried out"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._plan = ""

    def break_(self) -> None:
        self._forget()
        self._plan = self.world.aws.faults.add("rds", "RebootDBInstance", "drop_after")
        super().break_()

    def mend(self) -> None:
        self._forget()
        super().mend()

    def _forget(self) -> None:
        if self._plan in {plan["id"] for plan in self.world.aws.faults.listed()}:
            self.world.aws.faults.remove(self._plan)
        self._plan = ""


class OldPrimaryReturns(PrimaryImpaired):
    name = "old_primary_returns"
    summary = "the host of the primary is sick, and boots again by itself after it was lost in a failover"

    def break_(self) -> None:
        self.world.instance.lost_host_returns = True
        super().break_()

    def mend(self) -> None:
        self.world.instance.wait_settled()
        self.world.instance.lost_host_returns = False
        super().mend()


class FailoverRunning(Fault):
    name = "failover_running"
    summary = "the host of the primary died, and RDS fails over by itself, slowly: the standby has much to replay"

    def break_(self) -> None:
        if self.world.instance.settled:
            self.world.instance.fail_over(recovery_s=LONG_RECOVERY_S)
        self.wait(lambda: self.read_status() != HTTPStatus.OK, "charts cannot be read")

    def mend(self) -> None:
        self.world.instance.look()
        self.world.instance.wait_settled()
