"""Faults of the queues, their workers and what the workers call."""

from __future__ import annotations

import contextlib
import datetime as dt
import signal
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import psycopg

from ..queues.producer import BULLMQ
from ..queues.seed import WORKERS
from .base import Fault

if TYPE_CHECKING:
    from ..world import World

QUEUE = "notifications"
"""The one that is broken; the others show that trouble of one queue is not trouble of all."""
BACKLOG = 10
HELD = WORKERS[QUEUE].desired * WORKERS[QUEUE].concurrency
"""Jobs that its workers may take before others have to wait."""
SLOW_S = 8.0
"""The usual is 0.4 s; the gateway's timeout in the handler is 15 s."""
BURST, BURST_RATE = 250, 16.0
POISONED, POISON_JOB, POISON_TEMPLATE = 40, "lab-result-ready", "lab-result-v2"
THROTTLE = 1, 2000
"""One job in so many milliseconds."""
DEAD, REFUSED = 40, 60
STALLS = 2
DATABASE_DELAY_S = 3.0
LEFT_CONNECTIONS = 1
"""Connections of the database that its other clients leave to the workers."""
OTHERS = "emr-reports"
USED = """
SELECT count(*) FILTER (WHERE backend_type = 'client backend'),
       current_setting('max_connections')::int - current_setting('reserved_connections')::int
       - current_setting('superuser_reserved_connections')::int
FROM pg_stat_activity"""


class QueueFault(Fault):
    """A fault of the queue of notifications, unless it says otherwise."""

    part = "queues"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.queues = world.queues

    def wait_backlog(self, least: int = BACKLOG) -> None:
        """Return when so many jobs wait: those that would come in the next seconds come at once."""
        missing = least - self.queues.waiting(QUEUE)
        if missing > 0:
            self.queues.producer.add(QUEUE, missing + HELD)
        self.wait(lambda: self.queues.waiting(QUEUE) >= least, f"{least} jobs wait")


class WorkersDead(QueueFault):
    name = "workers_dead"
    summary = "the workers' tasks run, and their processes stand still: nobody takes a job"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._stopped: set[str] = set()

    def break_(self) -> None:
        self.wait(lambda: self.queues.workers(QUEUE) > 0, "workers take jobs")
        for task in self.queues.running(QUEUE):
            self.world.scheduler.kill(task.id, signal.SIGSTOP)
            self._stopped.add(task.id)
        # A process that stands still keeps its connections; what stands between it and the store does not for ever.
        with self.queues.store.primary.connect() as session:
            for connection in self.queues.connections(QUEUE):
                session.client_kill_filter(_id=connection["id"])
        self.wait_backlog()

    def mend(self) -> None:
        if left := self._stopped & {task.id for task in self.queues.running(QUEUE)}:
            for task in left:
                with contextlib.suppress(LookupError):
                    self.world.scheduler.kill(task, signal.SIGCONT)
            self.queues.recycle(QUEUE)
        self._stopped.clear()


class QueuePaused(QueueFault):
    name = "queue_paused"
    summary = "the queue of notifications was paused, and nobody remembers"

    def break_(self) -> None:
        self.queues.producer.call(QUEUE, "pause")
        self.wait_backlog()

    def mend(self) -> None:
        self.queues.producer.call(QUEUE, "resume")


class QueueThrottled(QueueFault):
    name = "queue_throttled"
    summary = "a rate limit was left on the queue of notifications: it takes less than what arrives"

    def break_(self) -> None:
        self.queues.producer.call(QUEUE, "setGlobalRateLimit", *THROTTLE)
        self.wait_backlog()

    def mend(self) -> None:
        self.queues.producer.call(QUEUE, "removeGlobalRateLimit")


class PoisonJobs(QueueFault):
    name = "poison_jobs"
    summary = "jobs of one name cannot be rendered: each fails as often as it is tried"

    def break_(self) -> None:
        missing = POISONED - self.queues.failed(QUEUE)
        if missing > 0:
            self.queues.producer.add(QUEUE, missing, job=POISON_JOB, template=POISON_TEMPLATE)
        self.wait(lambda: self.queues.failed(QUEUE) >= POISONED, "they failed for good")

    def mend(self) -> None:
        self.queues.producer.call(QUEUE, "clean", 0, 0, "failed")


class QueueBurst(QueueFault):
    name = "queue_burst"
    summary = "far more jobs arrive than the workers can do"

    def break_(self) -> None:
        self.queues.producer.produce(QUEUE, BURST_RATE)
        self.queues.producer.add(QUEUE, BURST)
        self.wait_backlog(BURST // 2)

    def mend(self) -> None:
        self.queues.producer.usual()
        self.queues.producer.call(QUEUE, "drain", True)


class DownstreamSlow(QueueFault):
    name = "downstream_slow"
    summary = "the provider of messages takes 8 s for each: workers are busy and get nothing done"

    def break_(self) -> None:
        self.queues.gateway.slow(SLOW_S)
        self.wait_backlog()

    def mend(self) -> None:
        self.queues.gateway.mend()


class DownstreamFails(QueueFault):
    name = "downstream_fails"
    summary = "the provider of messages refuses every one of them with 503"

    def break_(self) -> None:
        self.queues.gateway.fail(HTTPStatus.SERVICE_UNAVAILABLE)
        missing = BACKLOG - self.queues.failed(QUEUE)
        if missing > 0:
            self.queues.producer.add(QUEUE, missing)
        self.wait(lambda: self.queues.failed(QUEUE) >= BACKLOG, "jobs failed for good")

    def mend(self) -> None:
        self.queues.gateway.mend()
        self.queues.producer.call(QUEUE, "clean", 0, 0, "failed")


class FailedJobsLeft(QueueFault):
    name = "failed_jobs_left"
    summary = "the provider refused jobs for a while and takes them again; those that failed then are left"
    alarm_min, against_usual = 12.0, False

    def break_(self) -> None:
        missing = REFUSED - self.queues.failed(QUEUE)
        if missing > 0:
            self.queues.gateway.fail(HTTPStatus.SERVICE_UNAVAILABLE)
            try:
                self.queues.producer.add(QUEUE, missing)
                self.wait(lambda: self.queues.failed(QUEUE) >= REFUSED, "they failed for good")
            finally:
                self.queues.gateway.fail(HTTPStatus.OK)

    def mend(self) -> None:
        self.queues.producer.call(QUEUE, "clean", 0, 0, "failed")


class WorkersDatabaseBound(QueueFault):
    name = "workers_database_bound"
    summary = "reports hold nearly all connections of the database, and the workers wait for it"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._held: list[psycopg.Connection[Any]] = []
        self._taken = 0

    def break_(self) -> None:
        self.queues.slow_database(DATABASE_DELAY_S)
        if not self._held:
            self._take_connections()
        self.wait_backlog()
        self.wait(self._shown, "the metric of the connections shows it")

    def mend(self) -> None:
        self.queues.slow_database(0)
        for session in self._held:
            with contextlib.suppress(psycopg.Error):
                session.cancel_safe(timeout=5)
            session.close()
        self._held.clear()

    def _shown(self) -> bool:
        now = dt.datetime.now(dt.UTC)
        points = self.world.aws.boto("cloudwatch").get_metric_statistics(
            Namespace="AWS/RDS", MetricName="DatabaseConnections", Statistics=["Maximum"], Period=1,
            Dimensions=[{"Name": "DBInstanceIdentifier", "Value": self.settings.database_name}],
            StartTime=now - dt.timedelta(seconds=5), EndTime=now,
        )["Datapoints"]  # fmt: skip
        return any(point["Maximum"] >= self._taken for point in points)

    def _take_connections(self) -> None:
        with self.world.database.primary.connect("postgres") as session:
            [(used, usable)] = session.execute(USED).fetchall()
        self._taken = usable - LEFT_CONNECTIONS - 1  # a worker may just connect again
        for _ in range(usable - used - LEFT_CONNECTIONS):
            held = psycopg.connect(self.world.database_url, autocommit=True, application_name=OTHERS)
            held.pgconn.send_query(b"SELECT pg_sleep(86400)")
            self._held.append(held)


class QueueFailover(QueueFault):
    name = "queue_failover"
    summary = "a failover of the queues is over, and the workers take their jobs from the old primary: READONLY"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._stuck: set[str] = set()

    def break_(self) -> None:
        if not self._stuck & {task.id for task in self.queues.running(QUEUE)}:
            self._stuck = {task.id for queue in BULLMQ for task in self.queues.running(queue)}
            self.queues.group.fail_over()
        # Their blocking connections are at the new primary, so it knows them; those that take jobs are at the old one.
        self.wait_backlog()

    def mend(self) -> None:
        for queue in BULLMQ if self._stuck else ():
            if self._stuck & {task.id for task in self.queues.running(queue)}:
                self.queues.recycle(queue)
        self._stuck.clear()


class QueueMemoryFull(QueueFault):
    name = "queue_memory_full"
    summary = "the memory of the queues is full, and nothing may be evicted: every write is refused"

    def break_(self) -> None:
        before = self.queues.producer.refused()[QUEUE]
        self.queues.store.fill()
        self.wait(lambda: self.queues.producer.refused()[QUEUE] > before + 2, "new jobs are refused")

    def mend(self) -> None:
        self.queues.group.restore()


class JobsStalled(QueueFault):
    name = "jobs_stalled"
    summary = "a worker computes for longer than its locks last: its jobs stall and run again elsewhere"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._blocked: set[str] = set()

    def break_(self) -> None:
        running = {task.id for task in self.queues.running(QUEUE)}
        if not self._blocked & running:
            self.wait(lambda: self.queues.workers(QUEUE) == WORKERS[QUEUE].desired, "all workers take jobs")
            chosen = self.queues.running(QUEUE)[0].id
            self.world.scheduler.kill(chosen, signal.SIGUSR2)
            self._blocked.add(chosen)
        before = self.queues.stalls(QUEUE)
        self.wait(lambda: self.queues.stalls(QUEUE) >= before + STALLS, "jobs stall")

    def mend(self) -> None:
        if self._blocked & {task.id for task in self.queues.running(QUEUE)}:
            self.queues.recycle(QUEUE)
        self._blocked.clear()


class ExportsDeadLetters(QueueFault):
    name = "exports_dead_letters"
    summary = "exports could not be stored for a while and became dead letters; now they could"

    def break_(self) -> None:
        missing = DEAD - self.queues.dead_letters()
        if missing > 0:
            self.queues.gateway.fail_exports(HTTPStatus.SERVICE_UNAVAILABLE)
            try:
                self.queues.exports.add(missing)
                self.wait(lambda: self.queues.dead_letters() >= DEAD, "they are dead letters")
            finally:
                self.queues.gateway.fail_exports(HTTPStatus.OK)

    def mend(self) -> None:
        self.queues.purge_exports()


class ExportsConsumerDead(QueueFault):
    name = "exports_consumer_dead"
    summary = "the service that makes exports was scaled to zero: they wait"

    def break_(self) -> None:
        self.queues.scale("exports", 0)
        self.wait(lambda: not self.queues.running("exports"), "nobody makes exports")
        missing = BACKLOG - self.queues.waiting_exports()
        if missing > 0:
            self.queues.exports.add(missing)
        self.wait(lambda: self.queues.waiting_exports() >= BACKLOG, "exports wait")

    def mend(self) -> None:
        self.queues.scale("exports", WORKERS["exports"].desired)
