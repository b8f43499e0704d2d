"""All parts of one sandbox, put together, started in order and stopped in reverse."""

from __future__ import annotations

import json
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import psutil

from .aws.server import AwsServer
from .claims import Claims
from .compute.scheduler import EcsScheduler
from .database_instance import DatabaseInstance
from .database_metrics import DatabaseMetrics
from .launchdarkly import LaunchDarkly
from .loop import LoopThread, wait_until
from .move_in import allowed_connections, move_in
from .network.balancer import Balancer
from .network.edge import Edge
from .people.part import People
from .postgres import DatabasePair
from .primitives import Primitives
from .queues.part import Queues
from .region.part import Region
from .scenarios import Scenarios
from .seed import seed
from .settings import TASK_PORT
from .sha import ShaPart
from .telehealth.part import Telehealth
from .traffic import Traffic
from .valkey import Cache
from .web import CHART, CONNECTIONS_PER_TASK, Web, probe

if TYPE_CHECKING:
    from .parts import Part
    from .settings import Settings

logger = logging.getLogger(__name__)

MEGABYTE = 1024 * 1024
HEALTHY_S = 60.0
SHOWN_OF_A_TASK = ("id", "service", "address", "zone", "pid", "status")


class World:
    """One sandbox inside its daemon.

    `start` returns when every target is healthy and the first write was acknowledged; when it fails it stops what
    it had started.
    """

    def __init__(self, settings: Settings, aws: AwsServer | None = None) -> None:
        """Put the parts together.

        Args:
            settings: names, addresses and folders.
            aws: a running AWS in which the environment was built by somebody else; without one it starts empty, and
                the environment is seeded.
        """
        self.settings = settings
        self.loop = LoopThread()
        self.database = DatabasePair(settings, self.loop)
        self.cache = Cache(settings, self.loop)
        self.launchdarkly = LaunchDarkly(settings, self.loop)
        self.claims = Claims(settings, self.loop)
        self.aws = aws or AwsServer(settings)
        self._built = aws is not None
        self.scheduler = EcsScheduler(settings, self.aws)
        self.scheduler.environment_of_zone = self._environment_of_zone
        self.scheduler.usage.database = lambda: self.database.primary.pid
        self.scheduler.usage.cache = lambda: self.cache.primary.pid
        self.balancer = Balancer(settings, self.aws)
        self.edge = Edge(settings, self.balancer)
        self.traffic = Traffic(settings, self.loop, self.database)
        self.instance = self.aws.database_instance = DatabaseInstance(settings, self.aws, self.database)
        self.queues = Queues(self)
        self.sha = ShaPart(self)
        self.telehealth = Telehealth(settings, self.loop, self.aws, self.database, self.launchdarkly)
        self.people = People(settings, self.loop, self.aws)
        self.region = Region(self)
        optional: dict[str, Part] = {
            "queues": self.queues,
            "claims": self.sha,
            "telehealth": self.telehealth,
            "people": self.people,
            "region": self.region,
        }
        """In the order in which they start."""
        self.parts = {name: part for name, part in optional.items() if name in settings.parts}
        """What this sandbox has of all that one may go without."""
        self.database_url = ""
        """The value of the secret DATABASE_URL that the database accepts."""
        self._started = ExitStack()

    def start(self) -> None:
        with ExitStack() as started:
            self._start(started)
            self._started = started.pop_all()

    def stop(self) -> None:
        """Stop everything; no process is left when this returns."""
        self._started.close()

    def _start(self, started: ExitStack) -> None:
        def run(part: Any) -> None:
            started.callback(part.stop)  # before the start: a part that starts half is stopped too
            part.start()

        run(self.loop)
        run(self.claims)
        if self._built:
            self.database.limit(allowed_connections(self.settings, self.aws))
        with ThreadPoolExecutor(1) as beside:
            started.callback(self.database.stop)
            database = beside.submit(self.database.start)
            if self._built:
                move_in(self.settings, self.aws)
            else:
                run(self.aws)
                seed(self.settings, self.aws)
            database.result()
        self._take_secrets(started)
        run(self.instance)
        self.metrics = DatabaseMetrics(self.settings, self.aws, self.database, self.instance.storage)
        for part in (self.metrics, self.launchdarkly, *self.parts.values(), self.scheduler, self.balancer, self.edge):
            run(part)
        self.web = Web(self)
        self.primitives = Primitives(self)
        self.scenarios = Scenarios(self)
        self._register_controls()
        wait_until(self.web.settled, "every target is healthy", HEALTHY_S)
        for name, part in self.parts.items():
            wait_until(part.healthy, f"the part {name} is healthy", HEALTHY_S)
        run(self.traffic)
        wait_until(lambda: self.traffic.acknowledged > 0, "the first write is acknowledged", HEALTHY_S)
        wait_until(lambda: self.scheduler.usage.reports_tasks, "the CPU of the tasks is reported", HEALTHY_S)

    def _take_secrets(self, started: ExitStack) -> None:
        """Servers take their passwords from the secrets, as the application does: so a broken secret really fails."""
        secrets = self.aws.boto("secretsmanager")
        self.database_url = secrets.get_secret_value(SecretId=self.settings.database_secret)["SecretString"]
        self.database.grant(self.database_url)
        self.database.admit_runbooks()
        started.callback(self.cache.stop)
        self.cache.start(secrets.get_secret_value(SecretId=self.settings.session_secret)["SecretString"])

    def _plant(self, value: str) -> None:
        self.traffic.plant(value)
        for part in self.parts.values():
            part.plant(value)

    def _environment_of_zone(self, zone: str) -> dict[str, str]:
        return {
            "DATABASE_PATH": "{}:{}".format(*self.database.path(zone)),
            "CACHE_ADDRESS": "{}:{}".format(*self.cache.path(zone)),
            "LAUNCHDARKLY_URL": self.settings.launchdarkly_url,
            "CLAIMS_URL": self.settings.claims_url,
        }

    def healthy(self) -> bool:
        """Every target is healthy, every task ready, a chart can be read through edge and balancer, and the database
        has no sessions of tasks that are gone.
        """
        return (
            self.web.settled()
            and all(_ok(self.web.ready(task)) for task in self.web.running())
            and probe(f"{self.settings.edge_url}{CHART}")[0] == HTTPStatus.OK
            and self.web.sessions() <= CONNECTIONS_PER_TASK * len(self.web.running())
            and all(part.healthy() for part in self.parts.values())
        )

    def wait_healthy(self) -> None:
        """Wait until the system is healthy and a write made after that is acknowledged."""
        wait_until(self.healthy, "the system is healthy", HEALTHY_S)
        before = self.traffic.acknowledged
        wait_until(lambda: self.traffic.acknowledged > before, "a write is acknowledged", HEALTHY_S)

    def describe(self) -> dict[str, Any]:
        """What sandbox.json says to the outside."""
        settings = self.settings
        return {
            "name": settings.name,
            "pid": os.getpid(),
            "started_at": time.time(),
            "endpoint_url": settings.endpoint_url,
            "control_url": settings.control_url,
            "credentials_file": str(settings.credentials_file),
            "account_id": settings.account_id,
            "region": settings.region,
            "time_factor": settings.time_factor,
            "edge_url": settings.edge_url,
            "balancer_url": settings.balancer_url,
            "launchdarkly_url": settings.launchdarkly_url,
            "task_port": TASK_PORT,
            "database": {
                "host": settings.database_address,
                "port": settings.database_port,
                "passfile": str(settings.database_passfile),
            },
            "cache": {"host": settings.cache_address, "port": settings.cache_port},
            "network": settings.network,
            "parts": list(self.parts),
        } | {name: facts for part in self.parts.values() for name, facts in part.describe().items()}

    def publish(self) -> None:
        """Write sandbox.json in one step: who reads it finds a whole and a ready sandbox."""
        draft = self.settings.file.with_suffix(".draft")
        draft.write_text(json.dumps(self.describe(), indent=2) + "\n")
        draft.rename(self.settings.file)

    def status(self) -> dict[str, Any]:
        """Processes, memory and health. PSS counts shared pages once."""
        daemon = psutil.Process()
        processes = [daemon, *daemon.children(recursive=True)]
        memory = [process.memory_full_info() for process in processes if process.is_running()]
        tasks = self.scheduler.tasks()
        service = self.web.service()
        return {
            **self.describe(),
            "healthy": self.healthy(),
            "faults": self.scenarios.broken,
            "service": {"desired": service["desiredCount"], "running": service["runningCount"]},
            "targets": self.web.target_states(),
            "tasks": [{name: getattr(task, name) for name in SHOWN_OF_A_TASK} for task in tasks],
            "pids": {"daemon": daemon.pid, **self.database.pids, **self.cache.pids}
            | {name: pid for part in self.parts.values() for name, pid in part.pids.items()}
            | {f"task-{task.id}": task.pid for task in tasks if task.pid},
            "processes": len(processes),
            "rss_mb": round(sum(entry.rss for entry in memory) / MEGABYTE),
            "pss_mb": round(sum(entry.pss for entry in memory) / MEGABYTE),
        }

    def _register_controls(self) -> None:
        flags, scenarios = self.launchdarkly, self.scenarios
        for method, path, handler in (
            ("GET", "/status", self.status),
            ("GET", "/ledger", self.traffic.ledger),
            ("GET", "/ledger/answers", lambda: {"answers": self.traffic.answers()}),
            ("POST", "/plant", self._plant),
            ("POST", "/break/{name}", scenarios.break_),
            ("POST", "/alarm/{name}", scenarios.await_alarm),
            ("POST", "/mend/{name}", scenarios.mend),
            ("POST", "/mend", scenarios.mend),
            ("GET", "/launchdarkly/log", lambda: {"requests": flags.log(), "changed_ms": flags.changed_ms()}),
            ("POST", "/launchdarkly/faults", lambda **fault: flags.add_fault(fault)),
            ("DELETE", "/launchdarkly/faults", flags.clear_faults),
            ("POST", "/launchdarkly/approval", flags.require_approval),
        ):
            self.aws.register(method, path, handler)


def _ok(checks: dict[str, Any]) -> bool:
    return bool(checks) and all(check["status"] == "ok" for check in checks.values())
