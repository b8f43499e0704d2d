"""The AWS control plane of one sandbox, as the other parts use it."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import socket
import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config

from .calllog import CallLog
from .control import Control
from .faults import Faults
from .principals import Principals

if TYPE_CHECKING:
    from ..database_instance import DatabaseInstance
    from ..queues.group import QueueGroup
    from ..settings import Settings
    from .gateway import OwnService
    from .overlays.sqs import MoveTasks

Samples = Callable[[str, str, dt.datetime, dt.datetime], list[dict[str, Any]]]

CONNECT_S = 1.0
WARM = (
    "applicationautoscaling", "cloudtrail", "cloudwatch", "dynamodb", "ec2", "ecr", "ecs", "elasticache", "elbv2",
    "iam", "kms", "logs", "rds", "s3", "secretsmanager", "sns", "sqs", "ssm", "sts", "wafv2",
)  # fmt: skip
"""moto modules that are loaded at the start, so that no runbook pays for it."""


class SharedModels:
    """Loader of the inner clients: takes the service models that moto has read already, which saves time and memory."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        # A client of S3 takes the buckets out of the paths of its model, where moto's router looks for them.
        if type_name != "service-2" or service_name == "s3":
            return self._loader.load_service_model(service_name, type_name, api_version)
        from moto.core.utils import get_service_model

        return get_service_model(service_name)._service_description

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class AwsServer:
    """moto behind one mutex, on the address of the sandbox's AWS endpoint.

    moto's state belongs to the process, so only one server runs in a process at a time; `start` begins empty.

    Attributes:
        mutex: hold it around every touch of a backend, in every thread, and only for as long as that takes.
        calls: the calls that arrived from outside.
        faults: what will happen to them.
        trail: what CloudTrail shows; other parts may `add` events.
        shifts: zonal shifts.
        sampled_requests: set by the world: samples of a web ACL's rule (ARN, metric name, from, to).
        database_instance: set by the world: the instance that can be rebooted.
        queue_group: set by the part `queues`: the replication group of the real pair.
        own_services: services that are not moto's, by their name in boto3; what is added before the start takes the
            place of moto's.
        database_status: set by the world to replace the look at the database's endpoint; a status of RDS.
    """

    def __init__(self, settings: Settings) -> None:
        from .arc_zonal_shift import ZonalShifts
        from .overlays.cloudtrail import Trail

        self.settings = settings
        self.mutex = threading.RLock()
        self.calls = CallLog()
        self.faults = Faults()
        self.control = Control(settings, self.calls, self.faults)
        self.principals = Principals(settings)
        self.trail = Trail(settings)
        self.shifts = ZonalShifts(self)
        self.own_services: dict[str, OwnService] = {"arc-zonal-shift": self.shifts.answer}
        self.sampled_requests: Samples = lambda *_: []
        self.database_status: Callable[[], str] = self.look_at_database
        self.database_instance: DatabaseInstance | None = None
        self.queue_group: QueueGroup | None = None
        self.move_tasks: MoveTasks
        """Set by `start`: message move tasks of SQS."""
        self.sqs_counts: Counter[tuple[str, str]]
        """Set by `start`: messages sent and deleted so far, by queue and metric."""
        self.token = secrets.token_hex(16)
        """Marks calls of the sandbox itself, and of the tasks that it runs: they are neither logged nor hit by
        faults.
        """
        self._clients: dict[tuple[str, str], Any] = {}
        self._clients_lock = threading.Lock()
        self._session = botocore.session.Session()
        self._session.register_component("data_loader", SharedModels(self._session.get_component("data_loader")))
        self._server: Any = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Load the backends, begin with an empty AWS, write the credentials file and serve."""
        from moto.core.base_backend import BackendDict
        from moto.core.model_instances import reset_model_data
        from moto.moto_server.werkzeug_app import MotoRequestHandler
        from werkzeug.serving import make_server

        from . import overlays
        from .gateway import Gateway

        os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # read when moto's EC2 is loaded; saves a second
        for service in WARM:
            self.backend(service)
        BackendDict.reset()
        reset_model_data()
        overlays.install(self)
        self.principals.write_file()
        self._platform = self.principals.assume(f"{self.settings.prefix}-deploy", session="release-manager")
        handler = type("QuietHandler", (MotoRequestHandler,), {"log_request": lambda *_: None})
        gateway = Gateway(
            mutex=self.mutex, token=self.token, principals=self.principals, calls=self.calls, faults=self.faults,
            control=self.control, trail=self.trail, own_services=self.own_services,
        )  # fmt: skip
        self._server = make_server(
            self.settings.aws_address, self.settings.aws_port, gateway, threaded=True, request_handler=handler
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="aws", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests; those that a fault holds go on. Nothing happens when it does not run."""
        self.faults.remove()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = self._thread = None

    def register(self, method: str, path: str, handler: Callable[..., Any]) -> None:
        """Add a route to the control API; see `Control`."""
        self.control.register(method, path, handler)

    def backend(self, service: str, region: str = "") -> Any:
        """moto's state of a service (its moto name) in the sandbox's account. Hold the mutex.

        Args:
            region: another one than the sandbox's own.
        """
        from moto.backends import get_backend

        accounts: Any = get_backend(service)
        regions = accounts[self.settings.account_id]
        wanted = region or self.settings.region
        return regions[wanted if wanted in regions else "aws"]

    def boto(self, service: str, region: str = "") -> Any:
        """A client of the sandbox itself: its calls are neither logged nor hit by faults. Not with the mutex held."""
        place = (service, region or self.settings.region)
        with self._clients_lock:
            if place not in self._clients:
                client = self._session.create_client(
                    service,
                    region_name=place[1],
                    endpoint_url=self.settings.endpoint_url,
                    aws_access_key_id=self._platform.access_key_id,
                    aws_secret_access_key=self._platform.secret_access_key,
                    aws_session_token=self._platform.session_token,
                    config=Config(
                        retries={"mode": "standard", "total_max_attempts": 1}, proxies={}, max_pool_connections=32,
                        s3={"addressing_style": "path"},
                    ),
                )  # fmt: skip
                client.meta.events.register("before-call.*.*", self._mark)
                self._clients[place] = client
            return self._clients[place]

    def shifted_zones(self, arn: str) -> set[str]:
        """Names of the zones that a zonal shift moves the traffic of a load balancer away from. Hold the mutex."""
        return self.shifts.zones(arn)

    def _mark(self, params: dict[str, Any], **_event: Any) -> None:
        params["headers"]["X-Daily-Emr-Sandbox"] = self.token

    def look_at_database(self) -> str:
        """What RDS says of an instance whose endpoint accepts connections, or not."""
        try:
            place = (self.settings.database_address, self.settings.database_port)
            socket.create_connection(place, timeout=CONNECT_S).close()
        except OSError:
            return "stopped"
        return "available"
