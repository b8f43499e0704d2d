"""The queues without the rest of a sandbox: database, store, provider, producer, and workers as plain processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from daily_emr_sandbox.daemon import free_network
from daily_emr_sandbox.loop import LoopThread
from daily_emr_sandbox.postgres import DatabasePair
from daily_emr_sandbox.queues.books import Books
from daily_emr_sandbox.queues.gateway import Gateway
from daily_emr_sandbox.queues.producer import BULLMQ, PROGRAMS, Producer, node
from daily_emr_sandbox.queues.store import WORKER, QueueStore
from daily_emr_sandbox.settings import Settings

WORKER_PASSWORD, DATABASE_PASSWORD = "of-the-workers", "of-the-application"
LOCK_MS = 2000
END_S = 5.0


class Stack:
    """What a test has of them. Nothing is produced by itself, and the provider takes no time."""

    def __init__(self, settings: Settings, loop: LoopThread) -> None:
        self.settings = settings
        self.database = DatabasePair(settings, loop)
        self.store = QueueStore(settings, loop)
        self.gateway = Gateway(settings, loop)
        self.producer = Producer(settings)
        exports = SimpleNamespace(acknowledged={})
        parts = SimpleNamespace(store=self.store, producer=self.producer, gateway=self.gateway, exports=exports)
        aws: Any = SimpleNamespace(mutex=contextlib.nullcontext(), backend=NoExports)
        self.books = Books(SimpleNamespace(settings=settings, database=self.database, aws=aws), parts)  # type: ignore[arg-type]
        self._workers: list[subprocess.Popen[bytes]] = []
        self._started = 0

    @property
    def parts(self) -> list[Any]:
        return [self.database, self.store, self.gateway, self.producer]

    def start(self) -> None:
        self.database.start()
        address = f"{self.settings.database_address}:{self.settings.database_port}"
        self.url = f"postgresql://emr_application:{DATABASE_PASSWORD}@{address}/emr"
        self.database.grant(self.url)
        self.store.start(WORKER_PASSWORD)
        self.store.resize("cache.m6g.large")  # thousands of jobs
        self.gateway.start()
        self.gateway.slow(0)
        self.producer.start(WORKER_PASSWORD)

    def work(self, queue: str, concurrency: int = 2, pool_size: int = 2) -> subprocess.Popen[bytes]:
        """Start a worker as a task of ECS would run it."""
        settings = self.settings
        gateway, port = settings.gateway_address
        environment = {
            "BULLMQ": BULLMQ[queue],
            "CONCURRENCY": str(concurrency),
            "DATABASE_PATH": f"{settings.database_address}:{settings.database_port}",
            "DATABASE_URL": self.url,
            "GATEWAY_URL": f"http://{gateway}:{port}",
            "LOCK_MS": str(LOCK_MS),
            "POOL_SIZE": str(pool_size),
            "QUEUE": queue,
            "QUEUE_ADDRESS": f"{settings.queue_address}:{settings.queue_port}",
            "QUEUE_PASSWORD": WORKER_PASSWORD,
            "QUEUE_PREFIX": "bull",
            "QUEUE_USER": WORKER,
            "STALLED_MS": str(LOCK_MS),
            "TASK_ID": f"task-{self._started}",
        }
        self._started += 1
        with (settings.logs_dir / f"worker-{self._started}.log").open("ab") as log:
            worker = subprocess.Popen(
                [*node(), PROGRAMS / "main.mjs"], env=os.environ | environment, stdout=log, stderr=log
            )
        self._workers.append(worker)
        return worker

    def logs(self) -> str:
        """What the workers wrote."""
        return "".join(path.read_text() for path in sorted(self.settings.logs_dir.glob("worker-*.log")))

    def end_workers(self) -> None:
        for worker in self._workers:
            worker.send_signal(signal.SIGTERM)
        for worker in self._workers:
            try:
                worker.wait(END_S)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        self._workers.clear()

    def stop(self) -> None:
        self.end_workers()
        for part in reversed(self.parts):
            part.stop()


class NoExports:
    """An SQS without messages."""

    def __init__(self, _service: str) -> None:
        self._messages: list[Any] = []

    def get_queue_attributes(self, *_names: Any) -> None: ...

    def get_queue(self, _name: str) -> NoExports:
        return self


@contextlib.contextmanager
def running_queues(state_dir: Path) -> Iterator[Stack]:
    loop = LoopThread()
    loop.start()
    try:
        with free_network() as network:
            stack = Stack(Settings(state_dir, network, time_factor=40, parts=frozenset({"queues"})), loop)
            try:
                stack.start()
                yield stack
            finally:
                stack.stop()
    finally:
        loop.stop()
