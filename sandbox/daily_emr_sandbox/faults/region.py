"""Faults of the first region as a whole."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from ..loop import wait_until
from ..region.part import GO_NO_GO_S
from ..web import WAIT_S
from .base import Fault

if TYPE_CHECKING:
    from ..region.part import Region

GONE_ANSWERS = 0


class RegionGone(Fault):
    name = "region_gone"
    summary = "the first region is gone: control plane, database and load balancer answer nobody"
    part = "region"

    def break_(self) -> None:
        self.world.aws.faults.dark = frozenset({self.settings.region})
        self.world.balancer.dark = True
        self.world.instance.wait_settled()
        self.world.database.stop_region()
        patience = self.settings.scaled(GO_NO_GO_S) + WAIT_S
        wait_until(self._seen_from_outside, "the canary of the second region has rung for long", patience)

    def mend(self) -> None:
        self._region.first_returns()

    def _seen_from_outside(self) -> bool:
        return self.read_status() == GONE_ANSWERS and self._region.canary_rings_long

    @property
    def _region(self) -> Region:
        return self.world.region


class RegionSplit(RegionGone):
    name = "region_split"
    summary = "the first region's control plane and database answer nobody outside, and its application goes on writing"

    def break_(self) -> None:
        self.world.aws.faults.dark = frozenset({self.settings.region})
        self.world.database.close_endpoint()
        self.wait(lambda: self.read_status() == HTTPStatus.OK, "the application answers")

    def mend(self) -> None:
        super().mend()
        self.world.database.open_endpoint()


class ReplicaBehind(RegionGone):
    name = "region_gone_behind"
    summary = "the first region is gone, and its replica had fallen behind before"

    def break_(self) -> None:
        self._region.replica.fall_behind()
        before = self.world.traffic.acknowledged
        self.wait(lambda: self.world.traffic.acknowledged >= before + 3, "writes are acknowledged that nobody copies")
        super().break_()
