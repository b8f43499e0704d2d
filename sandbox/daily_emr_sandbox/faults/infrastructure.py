"""Faults of what the tasks run on and talk to."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ..settings import TASK_PORT
from ..web import CHART, probe
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
        # Before it answers, a task does not listen to the signal yet either.
        self.wait(lambda: all(self._lives(task) for task in self.some_running()), "every task lives")
        tasks = self.some_running()
        for task in tasks:
            if task.id not in self._wedged:
                self.primitives.kill_task(task.id, "USR1")
                self._wedged.add(task.id)
        self.wait(lambda: all(self._hangs(task) for task in tasks), "reads hang at every task")

    def mend(self) -> None:
        if self._wedged & {task.id for task in self.web.running()}:
            self.web.recycle()
        self._wedged.clear()

    def _lives(self, task: Any) -> bool:
        return probe(f"http://{task.address}:{TASK_PORT}/livez", 1.0)[0] == HTTPStatus.OK

    def _hangs(self, task: Any) -> bool:
        return probe(f"http://{task.address}:{TASK_PORT}{CHART}", 1.0)[0] == 0 and self._lives(task)


class ZoneImpaired(Fault):
    name = "zone_impaired"
    summary = "database and cache cannot be reached from one zone; tasks there live and are not ready"

    def break_(self) -> None:
        # The first zone that has tasks: an impaired zone without any is no fault that somebody could see.
        zone = min(task.zone for task in self.some_running())
        self.primitives.hang_zone(zone)
        self.wait(lambda: self._timed_out(zone), f"no task of {zone} is ready")

    def mend(self) -> None:
        for zone in self.settings.zones:
            self.primitives.flow_zone(zone)
        shifts = self.world.aws.boto("arc-zonal-shift")
        for shift in shifts.list_zonal_shifts(status="ACTIVE")["items"]:  # the zone is well: its traffic may come back
            shifts.cancel_zonal_shift(zonalShiftId=shift["zonalShiftId"])

    def _timed_out(self, zone: str) -> bool:
        reasons = [self.web.database_check(task).get("reason") for task in self.web.running() if task.zone == zone]
        return bool(reasons) and all(reason == "timeout" for reason in reasons)


class DatabaseDown(Fault):
    name = "database_down"
    summary = "the database refuses connections"

    def break_(self) -> None:
        self.primitives.stop_database()
        self.wait(self._refused, "no task reaches the database")

    def mend(self) -> None:
        self.primitives.start_database()

    def _refused(self) -> bool:
        return all(self.web.database_check(task).get("status") == "fail" for task in self.some_running())


class SlowDatabase(Fault):
    name = "slow_database"
    summary = "every round trip to the database takes 0.6 s longer"

    def break_(self) -> None:
        self.primitives.delay_database(SLOW_ROUND_TRIP_S)
        self.wait(self._slow, "tasks find the database slow")

    def mend(self) -> None:
        self.primitives.delay_database(0)

    def _slow(self) -> bool:
        return all(
            self.web.database_check(task).get("ms", 0) >= SLOW_ROUND_TRIP_S * 1000 for task in self.some_running()
        )


class CacheDown(Fault):
    name = "cache_down"
    summary = "the session cache refuses connections"

    def break_(self) -> None:
        self.primitives.stop_cache()
        self.wait(self._refused, "no task reaches the cache")

    def mend(self) -> None:
        self.primitives.start_cache()

    def _refused(self) -> bool:
        return all(self.web.ready(task).get("cache", {}).get("status") == "fail" for task in self.some_running())
