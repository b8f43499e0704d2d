"""Faults of what the tasks run on and talk to."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from ..primitives import CHART, probe
from .base import Fault

if TYPE_CHECKING:
    from ..world import World

SLOW_ROUND_TRIP_S = 0.6
"""Above what counts as slow; seven of them, a log-in, stay below the connect timeout of the application."""


class WedgedTasks(Fault):
    name = "wedged_tasks"
    summary = "tasks leaked their database connections: they live, and chart requests hang"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._wedged: set[str] = set()

    def break_(self) -> None:
        tasks = self.web.running()
        for task in tasks:
            if task.id not in self._wedged:
                self.world.scheduler.kill(task.id, signal.SIGUSR1)
                self._wedged.add(task.id)
        urls = [f"http://{task.address}:8080{CHART}" for task in tasks]
        self.wait(lambda: all(probe(url, 1.0)[0] == 0 for url in urls), "reads hang at every task")

    def mend(self) -> None:
        if self._wedged & {task.id for task in self.web.running()}:
            self.web.recycle()
        self._wedged.clear()


class ZoneImpaired(Fault):
    name = "zone_impaired"
    summary = "database and cache cannot be reached from the first zone; tasks there live and are not ready"

    def break_(self) -> None:
        zone = self.settings.zones[0]
        self.world.database.hang(zone)
        self.world.cache.hang(zone)
        self.wait(lambda: self._timed_out(zone), f"no task of {zone} is ready")

    def mend(self) -> None:
        for zone in self.settings.zones:
            self.world.database.flow(zone)
            self.world.cache.flow(zone)
        shifts = self.world.aws.boto("arc-zonal-shift")
        for shift in shifts.list_zonal_shifts(status="ACTIVE")["items"]:  # the zone is well: its traffic may come back
            shifts.cancel_zonal_shift(zonalShiftId=shift["zonalShiftId"])

    def _timed_out(self, zone: str) -> bool:
        reasons = [self.web.database_check(task).get("reason") for task in self.web.running() if task.zone == zone]
        return all(reason == "timeout" for reason in reasons)


class DatabaseDown(Fault):
    name = "database_down"
    summary = "the database refuses connections"

    def break_(self) -> None:
        self.world.database.stop_primary()
        self.wait(self._refused, "no task reaches the database")

    def mend(self) -> None:
        self.world.database.start_primary()

    def _refused(self) -> bool:
        return all(self.web.database_check(task).get("status") == "fail" for task in self.web.running())


class SlowDatabase(Fault):
    name = "slow_database"
    summary = "every round trip to the database takes 0.6 s longer"

    def break_(self) -> None:
        self.world.database.slow(SLOW_ROUND_TRIP_S)
        self.wait(self._slow, "tasks find the database slow")

    def mend(self) -> None:
        self.world.database.slow(0)

    def _slow(self) -> bool:
        return all(
            self.web.database_check(task).get("ms", 0) >= SLOW_ROUND_TRIP_S * 1000 for task in self.web.running()
        )
