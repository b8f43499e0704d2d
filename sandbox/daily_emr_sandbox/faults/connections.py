"""Faults of the application's connections to the database."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg

from ..settings import TASK_PORT
from ..web import CHART, CONNECTIONS_PER_TASK, probe
from .base import Fault

if TYPE_CHECKING:
    from ..world import World

STORM_TASKS = 8


class PoolsStuckError(Fault):
    name = "pools_stuck_error"
    summary = "a failover is over, and the tasks' pools lend their dead connections again and again: 503 at once"
    silently: ClassVar[bool] = False
    answer: ClassVar[int] = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._stuck: set[str] = set()

    def break_(self) -> None:
        running = {task.id for task in self.some_running()}
        if not running <= self._stuck:
            self.wait(self._pools_full, "the pools of the tasks are full")
            self._stuck |= {task.id for task in self.web.running()}
            self._spoil()
            self.world.instance.wait_settled()
            self.world.instance.fail_over(silently=self.silently)
            self.world.instance.wait_settled()
        self.wait(lambda: all(self._fails(task) for task in self.some_running()), "no task serves a chart")

    def mend(self) -> None:
        if self._stuck & {task.id for task in self.web.running()}:
            self.world.instance.wait_settled()
            self.web.recycle()
        self._stuck.clear()

    def _spoil(self) -> None:
        for task in self._stuck & {task.id for task in self.web.running()}:
            self.primitives.kill_task(task, "USR2")

    def _pools_full(self) -> bool:
        return self.web.sessions() >= CONNECTIONS_PER_TASK * len(self.web.running())

    def _fails(self, task: Any) -> bool:
        chart = probe(f"http://{task.address}:{TASK_PORT}{CHART}", 1.0)[0]
        return chart == self.answer and self.web.database_check(task).get("status") == "ok"


class PoolsStuckHang(PoolsStuckError):
    name = "pools_stuck_hang"
    summary = "a failover is over, and the tasks' pools wait for ever for the lost host: requests hang"
    silently = True
    answer = 0

    def _spoil(self) -> None:
        """Nothing: a pool without a timeout is enough."""


class ConnectionStorm(Fault):
    name = "connection_storm"
    summary = "the service was scaled out until its pools exhausted the connections of the database"

    def break_(self) -> None:
        self.world.aws.boto("application-autoscaling").register_scalable_target(
            ServiceNamespace="ecs",
            ResourceId=f"service/{self.settings.prefix}/{self.settings.web}",
            ScalableDimension="ecs:service:DesiredCount",
            MaxCapacity=STORM_TASKS,
        )
        self.web.update(desiredCount=STORM_TASKS)
        self.wait(lambda: len(self.web.running()) == STORM_TASKS, "all tasks run")
        self.wait(self._refused, "the database takes no connection more")

    def mend(self) -> None:
        self.web.restore_capacity()

    def _refused(self) -> bool:
        try:
            psycopg.connect(self.world.database_url, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            return "connection slots" in str(error) or "too many clients" in str(error)
        return False
