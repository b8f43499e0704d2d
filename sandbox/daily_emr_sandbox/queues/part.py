"""The queues as one part of the sandbox, seen and changed from inside."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any

import valkey

from ..loop import wait_until
from ..proxy import Proxy
from ..web import WAIT_S
from .books import Books
from .gateway import Gateway
from .group import QueueGroup
from .metrics import QueueMetrics
from .producer import BULLMQ, PROGRAMS, ExportsProducer, Producer, node
from .seed import MAXIMUM, WORKERS
from .store import QueueStore

if TYPE_CHECKING:
    from ..world import World

CALM, FEW = 20, 3
"""Waiting and failed jobs of a queue that nothing is wrong with, at most: something may just have been mended."""
LOOK = """
return {redis.call('LLEN', KEYS[1]) + redis.call('LLEN', KEYS[2]) + redis.call('ZCARD', KEYS[3]),
        redis.call('ZCARD', KEYS[4]), redis.call('HEXISTS', KEYS[5], 'paused') == 1 and 1 or 0,
        redis.call('HEXISTS', KEYS[5], 'concurrency') + redis.call('HEXISTS', KEYS[5], 'max')}"""


class Queues:
    """Store, provider, producers, workers and books of the queues."""

    def __init__(self, world: World) -> None:
        settings = world.settings
        self._world, self._settings = world, settings
        self.store = QueueStore(settings, world.loop)
        self.group = QueueGroup(settings, world.aws, self.store)
        self.gateway = Gateway(settings, world.loop)
        self.producer = Producer(settings)
        self.exports = ExportsProducer(settings, world.aws)
        self.metrics = QueueMetrics(settings, world.aws, self.store)
        self.books = Books(world, self)
        self._database = Proxy(settings.queue_address, settings.database_port, lambda: _serving(world))
        """The workers' own path to the database."""

    def start(self) -> None:
        aws, scheduler = self._world.aws, self._world.scheduler
        secrets = aws.boto("secretsmanager")
        password = secrets.get_secret_value(SecretId=self._settings.queue_secret)["SecretString"]
        self.store.start(password)
        self._world.loop.run(self._database.open())
        aws.queue_group = self.group
        self.gateway.start()
        self.producer.start(password)
        self.producer.usual()
        self.exports.start()
        self.metrics.start()
        for queue in WORKERS:
            family = self._settings.worker_service(queue)
            if queue in BULLMQ:
                scheduler.environment_of_family[family] = self._environment_of_workers
                scheduler.commands[family] = (*node(), str(PROGRAMS / "main.mjs"))
            else:
                scheduler.environment_of_family[family] = self._environment_of_exports
                scheduler.commands[family] = scheduler.program("-m", "daily_emr_sandbox.worker.exports")
        aws.register("GET", "/queues/ledger", self.books.ledger)
        aws.register("GET", "/queues/writes", lambda since=0: {"writes": self.store.witness.writes(int(since))})

    def stop(self) -> None:
        self.metrics.stop()
        self.exports.stop()
        self.producer.stop()
        self.gateway.stop()
        self.group.stop()
        self.store.stop()
        self._world.loop.run(self._database.close())

    def healthy(self) -> bool:
        """All workers that are wanted take jobs, nothing waits for long, nothing failed, nothing is paused."""
        try:
            return (
                self.group.status == "available"
                and self.store.following()
                and all(self.calm(queue) for queue in BULLMQ)
                and all(self._settled(queue) for queue in WORKERS)
                and all(self.workers(queue) == WORKERS[queue].desired for queue in BULLMQ)
                and self.dead_letters() == 0
                and self.waiting_exports() <= CALM
            )
        except (valkey.ValkeyError, OSError):
            return False

    def restore(self) -> None:
        """Queues run without limits and are empty, services have their size, the books begin anew."""
        self.gateway.mend()
        self.group.restore()
        self.producer.usual()
        for queue in BULLMQ:
            self.producer.call(queue, "resume")
            self.producer.call(queue, "removeGlobalConcurrency")
            self.producer.call(queue, "removeGlobalRateLimit")
            self.producer.call(queue, "drain", True)
            self.producer.call(queue, "clean", 0, 0, "failed")
            self.producer.call(queue, "trimEvents", 0)
        self._forget_other_queues()
        self.slow_database(0)
        self.purge_exports()
        for queue, workers in WORKERS.items():
            self.scale(queue, workers.desired)
        self.books.forget()
        self.group.let_time_pass()

    def plant(self, value: str) -> None:
        self.producer.plant(value)
        self.exports.planted = value

    def describe(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "queues": {
                "host": settings.queue_address,
                "port": settings.queue_port,
                "user": settings.queue_runbook,
                "passfile": str(settings.queue_passfile),
            }
        }

    @property
    def pids(self) -> dict[str, int]:
        producer = {"producer": self.producer.pid} if self.producer.pid is not None else {}
        return self.store.pids | producer

    # Looks.

    def running(self, queue: str) -> list[Any]:
        """Tasks of the workers of a queue that run now."""
        return self._world.web.running_of(self._settings.worker_service(queue))

    def workers(self, queue: str) -> int:
        """Workers of a BullMQ queue that the primary knows, by the names of their connections."""
        return len(self.connections(queue))

    def connections(self, queue: str) -> list[dict[str, str]]:
        """Connections on which workers of a queue wait for jobs."""
        prefix = worker_connection(queue)
        with self.store.primary.connect() as session:
            return [client for client in session.client_list() if client["name"].startswith(prefix)]

    def look(self, queue: str) -> tuple[int, int, bool, bool]:
        """Waiting and failed jobs, whether it is paused, whether it is throttled."""
        keys = [f"bull:{queue}:{part}" for part in ("wait", "paused", "prioritized", "failed", "meta")]
        with self.store.primary.connect() as session:
            waiting, failed, paused, limits = session.eval(LOOK, len(keys), *keys)
        return int(waiting), int(failed), bool(paused), bool(limits)

    def waiting(self, queue: str) -> int:
        return self.look(queue)[0]

    def failed(self, queue: str) -> int:
        return self.look(queue)[1]

    def calm(self, queue: str) -> bool:
        waiting, failed, paused, throttled = self.look(queue)
        return waiting <= CALM and failed <= FEW and not paused and not throttled

    def completed(self, queue: str) -> int:
        """Jobs of a queue that were completed since the sandbox started."""
        with self.store.primary.connect() as session:
            return int(session.hget(f"bull:{queue}:metrics:completed", "count") or 0)

    def stalls(self, queue: str) -> int:
        """Events of stalled jobs that the queue still knows."""
        with self.store.primary.connect() as session:
            return sum(event[b"event"] == b"stalled" for _, event in session.xrevrange(f"bull:{queue}:events"))

    def waiting_exports(self) -> int:
        return self._visible(self._settings.exports_queue)

    def dead_letters(self) -> int:
        return self._visible(self._settings.exports_dead_letters)

    # Changes.

    def scale(self, queue: str, desired: int) -> None:
        """Size of the workers' service, and its limits as they were seeded."""
        settings, aws = self._settings, self._world.aws
        name = settings.worker_service(queue)
        aws.boto("application-autoscaling").register_scalable_target(
            ServiceNamespace="ecs",
            ResourceId=f"service/{settings.prefix}/{name}",
            ScalableDimension="ecs:service:DesiredCount",
            MinCapacity=min(desired, WORKERS[queue].desired),
            MaxCapacity=MAXIMUM,
        )
        if self.service(queue)["desiredCount"] != desired:
            self._world.web.ecs.update_service(cluster=settings.prefix, service=name, desiredCount=desired)

    def service(self, queue: str) -> dict[str, Any]:
        name = self._settings.worker_service(queue)
        found = self._world.web.ecs.describe_services(cluster=self._settings.prefix, services=[name])
        service: dict[str, Any] = found["services"][0]
        return service

    def recycle(self, queue: str) -> None:
        """Replace the workers of a queue; wait until none of the old ones is left."""
        old = {task.id for task in self._tasks(queue)}
        self._world.web.ecs.update_service(
            cluster=self._settings.prefix, service=self._settings.worker_service(queue), forceNewDeployment=True
        )
        wait_until(lambda: not old & {task.id for task in self._tasks(queue)}, "the old workers are gone", WAIT_S)

    def _tasks(self, queue: str) -> list[Any]:
        """Tasks of a service, those that start and stop too."""
        name = self._settings.worker_service(queue)
        return [task for task in self._world.scheduler.tasks() if task.service == name]

    def _settled(self, queue: str) -> bool:
        states = [task.status for task in self._tasks(queue)]
        return states == ["RUNNING"] * WORKERS[queue].desired

    def purge_exports(self) -> None:
        """Unlike PurgeQueue as often as it is wanted, and with the tasks that move messages."""
        aws = self._world.aws
        with aws.mutex:
            aws.move_tasks.forget()
            for name in (self._settings.exports_queue, self._settings.exports_dead_letters):
                queue = aws.backend("sqs").get_queue(name)
                queue._messages.clear()
                queue.pending_messages.clear()

    def slow_database(self, seconds: float) -> None:
        """Every statement of a worker takes so much longer; 0 ends it."""
        self._database.delay_s = seconds

    def _environment_of_workers(self) -> dict[str, str]:
        settings = self._settings
        host, port = settings.gateway_address
        return {
            "DATABASE_PATH": f"{self._database.address}:{self._database.port}",
            "QUEUE_ADDRESS": f"{settings.queue_address}:{settings.queue_port}",
            "GATEWAY_URL": f"http://{host}:{port}",
        }

    def _environment_of_exports(self) -> dict[str, str]:
        settings, aws = self._settings, self._world.aws
        role = aws.principals.assume(f"{settings.worker_service('exports')}-task", session="worker")
        host, port = settings.gateway_address
        return {
            "GATEWAY_URL": f"http://{host}:{port}",
            "QUEUE_NAME": settings.exports_queue,
            "AWS_REGION": settings.region,
            "AWS_ENDPOINT_URL": settings.endpoint_url,
            "AWS_ACCESS_KEY_ID": role.access_key_id,
            "AWS_SECRET_ACCESS_KEY": role.secret_access_key,
            "AWS_SESSION_TOKEN": role.session_token,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "SANDBOX_TOKEN": aws.token,
        }

    def _visible(self, name: str) -> int:
        with self._world.aws.mutex:
            return len(self._world.aws.backend("sqs").get_queue(name).messages)

    def _forget_other_queues(self) -> None:
        """Queues that somebody made beside ours, such as one for quarantined jobs."""
        with self.store.primary.connect() as session:
            for queue in BULLMQ:
                if keys := list(session.scan_iter(f"bull:{queue}-*", count=1000)):
                    session.delete(*keys)


def _serving(world: World) -> tuple[str, int]:
    return world.database.primary.address, world.database.primary.port


def worker_connection(queue: str) -> str:
    """Beginning of the name that bullmq gives the blocking connection of a worker."""
    return f"bull:{base64.b64encode(queue.encode()).decode()}:w:"
