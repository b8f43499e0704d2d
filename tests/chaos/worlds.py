"""Worlds in which one change of a runbook is due, behind the sandbox's real gateway.

State and rules of the worlds are those of the unit tests; sockets, protocols, credentials, faults and the log of calls
are the sandbox's. The table of leases, STS and SSM are the sandbox's too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils import _postgres
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change, execute_change
from daily_emr_sandbox.aws.errors import AwsError as Refusal
from daily_emr_sandbox.aws.server import AwsServer
from daily_emr_sandbox.aws.wire import Call
from daily_emr_sandbox.daemon import free_network
from daily_emr_sandbox.settings import Settings

from tests.chaos.account import TABLE, environment_of, prepare_account
from tests.unit.changes import test_every_change as every
from tests.unit.changes.conftest import Runner, Serve
from tests.unit.changes.database import DatabaseWorld, Postgres
from tests.unit.changes.launchdarkly import Provider
from tests.unit.changes.test_database_changes import CASES as DATABASE_CASES
from tests.unit.changes.test_spike_refusals import second_rule
from tests.unit.changes.world import AwsError, Json, P, World, ago
from tests.unit.queue.conftest import QueueWorld
from tests.unit.queue.readings import QUEUE

COMPONENT, OWNER, RUN, FENCE = "emr-web", "someone@here", "r1", 1
SERVICES = (
    "application-autoscaling", "arc-zonal-shift", "cloudwatch", "ec2", "ecr", "ecs", "elasticache", "elbv2", "logs",
    "rds", "secretsmanager", "sns", "sqs", "wafv2",
)  # fmt: skip
"""Those of the worlds; all others stay the sandbox's."""


@dataclass
class Due:
    """A change that is due in its world: its module and options, and the one call that it makes."""

    module: str
    service: str
    operation: str
    args: Callable[[], Json]
    prepare: Callable[[World, Serve, Runner], None] = lambda _world, _serve, _run: None
    world: Callable[[], World] = World

    @property
    def name(self) -> str:
        return f"{self.module} {self.service}:{self.operation}"


def _of_web_service(case: every.Case, service: str) -> Due:
    def prepare(world: World, serve: Serve, run: Runner) -> None:
        case.prepare(world, serve)
        run.service["port"] = serve.port or 8080

    return Due(case.module, service, case.operation, lambda: dict(case.args), prepare)


SERVICE_OF = {
    "UpdateService": "ecs", "StopServiceDeployment": "ecs", "StopTask": "ecs", "UpdateWebACL": "wafv2",
    "RegisterScalableTarget": "application-autoscaling", "StartZonalShift": "arc-zonal-shift",
    "ModifyListener": "elbv2",
}  # fmt: skip


def _shifted(world: World, _serve: Serve, _run: Runner) -> None:
    world.arc_zonal_shift_StartZonalShift(
        {"resourceIdentifier": "", "awayFrom": "afs1-az1", "expiresIn": "2h", "comment": ""}
    )


def _second_rule(world: World, _serve: Serve, _run: Runner) -> None:
    second_rule(world)


def _queue(_world: World, _serve: Serve, run: Runner) -> None:
    run.queue = {name: value for name, value in QUEUE.items() if value is not None}
    run.queue |= {
        "component": "exports", "kind": "sqs", "name": f"{P}-exports", "dead_letters": f"{P}-exports-dead-letters",
        "worker_cluster": P, "worker_service": f"{P}-notifications-worker", "database": f"{P}-db",
    }  # fmt: skip


def _moving(world: World, serve: Serve, run: Runner) -> None:
    _queue(world, serve, run)
    assert isinstance(world, QueueWorld)
    world.sqs_StartMessageMoveTask({"SourceArn": _dead_letters(), "MaxNumberOfMessagesPerSecond": 5})


def _dead_letters() -> str:
    return f"arn:aws:sqs:af-south-1:123456789012:{P}-exports-dead-letters"


def _read_only(_world: World, serve: Serve, run: Runner) -> None:
    provider = Provider()
    provider.flag("read-only", on=True, hours=0.01, tags=("mode",))
    run.service["feature_flags"]["api_url"] = serve.handle("127.0.0.1", provider.handler())


DUE = [
    *(_of_web_service(case, SERVICE_OF[case.operation]) for case in every.CASES),
    Due("zonal_shift", "arc-zonal-shift", "CancelZonalShift", lambda: {"state": "absent"}, _shifted),
    Due("listener_weights", "elbv2", "ModifyRule", lambda: {"bad_share": 0.9, "rule": "arn:rule"}, _second_rule),
    Due(
        "database_storage", "rds", "ModifyDBInstance", lambda: dict(DATABASE_CASES["storage"].args), world=DatabaseWorld
    ),
    Due(
        "database_failover", "rds", "RebootDBInstance", lambda: {"since": ago(minutes=1).isoformat()}, _read_only,
        DatabaseWorld,
    ),
    Due(
        "sqs_move_task", "sqs", "StartMessageMoveTask", lambda: {"rate": 5, "reconciled": True}, _queue,
        lambda: QueueWorld(1),
    ),
    Due(
        "sqs_move_task", "sqs", "CancelMessageMoveTask", lambda: {"state": "cancelled", "rate": 5}, _moving,
        lambda: QueueWorld(1),
    ),
]  # fmt: skip


@dataclass
class Stage:
    """The sandbox's gateway with a world behind it that can be changed from trial to trial."""

    aws: AwsServer
    folder: Path
    world: World = field(default_factory=World)

    def answer(self, call: Call) -> Json:
        """One call, executed by the world. Held by the gateway under its mutex."""
        if not call.operation.startswith(("Describe", "List", "Get", "Lookup", "StartQuery")):
            self.world.mutations.append((call.operation, call.params))
        try:
            answer: Json = getattr(self.world, f"{call.service.replace('-', '_')}_{call.operation}")(call.params)
        except AwsError as error:
            raise Refusal(error.code, "", error.status) from error
        return answer

    def change(self, due: Due, serve: Serve) -> tuple[Change, Any]:
        """The change in a fresh world in which it is due, with its session; the lease is held."""
        self.world = due.world()
        run = Runner(self.world, self.folder)
        due.prepare(self.world, serve, run)
        run.environment |= environment_of(self.aws)
        change = run.change(due.module, due.args())
        return change, run.session

    def run(self, due: Due, serve: Serve) -> Json:
        """The result of the change, with a clock that never waits."""
        change, session = self.change(due, serve)
        now = [0.0]

        def sleep(seconds: float) -> None:
            now[0] += seconds

        return execute_change(change, change.clients, session, check_mode=False, clock=lambda: now[0], sleep=sleep)


def lease_item(fence: int, target: str = COMPONENT, owner: str = OWNER, run: str = RUN) -> Json:
    """The item of a held lease."""
    text = {"pk": f"lease#{target}", "sk": "lease", "rvn": "begun", "owner": owner, "host": "here", "incident": "INC-1"}
    item: Json = {name: {"S": value} for name, value in {**text, "run": run, "since": "2026-11-22T01:00:00Z"}.items()}
    return item | {"held": {"BOOL": True}, "fence": {"N": str(fence)}, "lease_s": {"N": "600"}}


@contextlib.contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """A running gateway before the worlds, and the lease of the component held by one run."""
    postgres, connect_before = Postgres(), _postgres.psycopg.connect
    with free_network() as network:
        aws = AwsServer(Settings(folder / "state", network, time_factor=40, parts=frozenset()))
        made = Stage(aws, folder / "run")
        made.folder.mkdir(parents=True)
        aws.own_services |= dict.fromkeys(SERVICES, made.answer)
        aws.start()
        _postgres.psycopg.connect = postgres.connect  # type: ignore[assignment]
        try:
            prepare_account(aws)
            (aws.settings.state_dir / "launchdarkly_token").write_text("api-token")
            aws.boto("dynamodb").put_item(TableName=TABLE, Item=lease_item(FENCE))
            yield made
        finally:
            _postgres.psycopg.connect = connect_before
            aws.stop()
