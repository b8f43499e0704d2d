"""Each named fault can be seen from outside, loses no acknowledged write, and goes away again."""

from __future__ import annotations

import datetime as dt
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from daily_emr_sandbox.client import Sandbox, SandboxError
from daily_emr_sandbox.loop import wait_until
from daily_emr_sandbox.postgres_node import PRIMARY_PORT
from daily_emr_sandbox.scenarios import ALIASES, FAULTS
from daily_emr_sandbox.settings import TASK_PORT

from tests.integration import test_app_outage as app_outage
from tests.integration import test_claims_api_outage as claims_api_outage
from tests.integration import test_database_failover as database_failover
from tests.integration import test_error_spike as error_spike
from tests.integration import test_region_failover as region_failover
from tests.sandbox.spike_signs import SPIKE_SIGNS, Logs

from .test_database_faults import NAMES
from .test_queue_faults import SIGNS as QUEUE_SIGNS
from .test_telehealth import SIGNS as TELEHEALTH_SIGNS

CHART = "/api/charts/probe"
CLUSTER, WEB = "daily-emr-sandbox", "daily-emr-sandbox-web"


def get(url: str, timeout_s: float = 6) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            body = error.read()
        return error.code, json.loads(body) if body.startswith(b"{") else {}
    except OSError:
        return 0, {}


class Seen:
    """The system as somebody outside sees it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.ecs = sandbox.boto("ecs")

    def users(self) -> int:
        return get(self.sandbox.description["edge_url"] + CHART)[0]

    def tasks(self, path: str, timeout_s: float = 6) -> list[tuple[int, dict[str, Any]]]:
        running = [task for task in self.sandbox.status()["tasks"] if task["status"] == "RUNNING"]
        return [get(f"http://{task['address']}:{TASK_PORT}{path}", timeout_s) for task in running]

    def reasons(self) -> set[str | None]:
        return {body["checks"]["database"]["reason"] for _, body in self.tasks("/readyz")}

    def service(self) -> dict[str, Any]:
        return self.ecs.describe_services(cluster=CLUSTER, services=[WEB])["services"][0]

    def defects(self) -> dict[str, str]:
        """Environment of the container that the service is asked to run."""
        found = self.ecs.describe_task_definition(taskDefinition=self.service()["taskDefinition"])["taskDefinition"]
        return {entry["name"]: entry["value"] for entry in found["containerDefinitions"][0]["environment"]}


@pytest.fixture
def seen(sandbox: Sandbox) -> Iterator[Seen]:
    sandbox.mend()
    yield Seen(sandbox)
    sandbox.mend()


def release_fails(seen: Seen) -> None:
    assert seen.defects()["RELEASE_DEFECT"] == "errors"
    assert [status for status, _ in seen.tasks("/readyz")] == [200, 200]
    assert [status for status, _ in seen.tasks(CHART)] == [500, 500]
    assert seen.users() >= 500


def image_is_gone(seen: Seen) -> None:
    release_fails(seen)
    images = seen.sandbox.boto("ecr").describe_images(repositoryName=WEB)["imageDetails"]
    running = seen.ecs.describe_task_definition(taskDefinition=seen.service()["taskDefinition"])["taskDefinition"]
    assert len(images) == 1
    assert running["containerDefinitions"][0]["image"].endswith(images[0]["imageDigest"])


def database_refuses_the_secret(seen: Seen) -> None:
    assert seen.reasons() == {"auth"}
    assert [status for status, _ in seen.tasks("/livez")] == [200, 200]
    stages = seen.sandbox.boto("secretsmanager").describe_secret(SecretId="daily-emr/sandbox/DATABASE_URL")
    assert sorted(stage for stages in stages["VersionIdsToStages"].values() for stage in stages) == [
        "AWSCURRENT",
        "AWSPREVIOUS",
    ]


# What whole runs do not show: the runbook only hears what it needs of these.
SIGNS: dict[str, Callable[[Seen], None]] = {
    "broken_secret": database_refuses_the_secret,
    "rollback_image_deleted": image_is_gone,
    **{name: (lambda seen, sign=sign: sign(seen.sandbox)) for name, sign in SPIKE_SIGNS.items()},
}


def test_every_fault_has_its_signs_or_a_whole_run() -> None:
    claims = {*claims_api_outage.SIGNS, *claims_api_outage.RUNS}
    rehearsed = {*app_outage.FAULTS, *error_spike.FAULTS, *database_failover.FAULTS, *claims, *region_failover.FAULTS}
    signs = {*SIGNS, *NAMES, *QUEUE_SIGNS, *TELEHEALTH_SIGNS}
    shown = {ALIASES.get(name, name) for name in signs | rehearsed}
    assert shown == {fault.name for fault in FAULTS}


@pytest.mark.parametrize("name", SIGNS)
def test_a_fault_shows_and_goes_away(seen: Seen, name: str) -> None:
    seen.sandbox.break_(name)
    seen.sandbox.break_(name)
    SIGNS[name](seen)
    assert seen.sandbox.status()["faults"] == [name]

    seen.sandbox.mend(name)
    seen.sandbox.mend(name)
    assert seen.sandbox.status()["healthy"] is True
    assert seen.users() == 200
    ledger = seen.sandbox.ledger()
    assert ledger["lost"] == 0
    assert ledger["acknowledged"] > 0


def test_everything_at_once_is_mended_together(seen: Seen) -> None:
    names = ["rollback_image_deleted", "bad_flag", "broken_secret", "waf_block", "zone_impaired", "database_down"]
    for name in names:
        seen.sandbox.break_(name)
    assert seen.sandbox.status()["faults"] == names
    assert seen.sandbox.status()["healthy"] is False

    seen.sandbox.mend()

    assert seen.sandbox.status()["healthy"] is True
    assert seen.sandbox.status()["faults"] == []
    assert seen.users() == 200
    assert seen.sandbox.ledger()["lost"] == 0


def test_primitives_can_be_asked_for_by_name(seen: Seen) -> None:
    first, second = (task for task in seen.sandbox.status()["tasks"] if task["status"] == "RUNNING")
    seen.sandbox.break_("hang_zone", zone=first["zone"])
    seen.sandbox.break_("delay_database", seconds=0.2)
    slow = get(f"http://{second['address']}:{TASK_PORT}/readyz")[1]["checks"]["database"]
    assert slow["status"] == "ok"
    assert slow["ms"] >= 200
    assert get(f"http://{first['address']}:{TASK_PORT}/readyz")[1]["checks"]["database"]["reason"] == "timeout"

    seen.sandbox.mend()
    seen.sandbox.break_("kill_task", task=first["id"])
    wait_until(
        lambda: first["id"] not in {task["id"] for task in seen.sandbox.status()["tasks"]}, "the killed task is gone"
    )


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("hang_zone", {"zone": "moon-1a"}, "There is no zone 'moon-1a': use one of af-south-1a"),
        ("hang_zone", {}, "hang_zone takes other options"),
        ("kill_task", {"task": "nobody"}, "nobody has no running process"),
        ("kill_task", {"task": "x", "signal_name": "HUG"}, "There is no signal 'HUG'"),
        ("bad_flag", {"flag": "x"}, "bad_flag takes no options"),
    ],
)
def test_a_primitive_that_makes_no_sense_is_one_sentence(
    sandbox: Sandbox, name: str, options: dict[str, str], says: str
) -> None:
    with pytest.raises(SandboxError) as refusal:
        sandbox.break_(name, **options)

    assert says in str(refusal.value)


def test_mend_restores_what_somebody_scaled(seen: Seen) -> None:
    scaling = seen.sandbox.boto("application-autoscaling")
    about = {"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount"}
    scaling.register_scalable_target(**about, ResourceId=f"service/{CLUSTER}/{WEB}", MinCapacity=4)
    wait_until(lambda: seen.service()["runningCount"] == 4, "four tasks run")

    seen.sandbox.mend()

    (limits,) = scaling.describe_scalable_targets(**about)["ScalableTargets"]
    assert (limits["MinCapacity"], limits["MaxCapacity"]) == (2, 6)
    assert (seen.service()["desiredCount"], seen.service()["runningCount"]) == (2, 2)


def test_a_fault_is_in_the_history_of_changes(seen: Seen) -> None:
    mark = seen.sandbox.mark()
    seen.sandbox.break_("scaled_to_zero")

    events = seen.sandbox.boto("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "UpdateService"}]
    )["Events"]
    assert events
    assert all(call["operation"] != "UpdateService" for call in seen.sandbox.calls(mark)), (
        "the sandbox's own calls are not logged"
    )


def test_a_planted_value_reaches_the_database_and_no_log(seen: Seen) -> None:
    box, value, requests = seen.sandbox, "Wanjiku-Canary-29481733", Logs(seen.sandbox)
    box.plant(value)
    try:
        box.break_("database_down")
        box.mend()
        before = box.ledger()["acknowledged"]
        wait_until(lambda: box.ledger()["acknowledged"] >= before + 3, "three more writes")
    finally:
        box.plant("")

    place = f"host={box.description['network']}.7 port={PRIMARY_PORT} user=postgres dbname=emr"
    with psycopg.connect(place) as session:
        [(planted,)] = session.execute("SELECT count(*) FROM charts WHERE note = %s", (value,)).fetchall()
    assert planted >= 3
    logs = [path for path in (box.state_dir / "logs").rglob("*") if path.is_file()]
    assert len(logs) > 5
    assert [path.name for path in logs if value.encode() in path.read_bytes()] == []
    assert requests.total("count(*)") > 0
    assert requests.ask(f"filter @message like '{value}'") == []


def test_an_unknown_fault_names_the_known_ones(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="scaled_to_zero"):
        sandbox.break_("earthquake")


def test_users_never_see_an_error_while_nothing_is_broken(seen: Seen) -> None:
    before = seen.sandbox.ledger()
    wait_until(lambda: seen.sandbox.ledger()["acknowledged"] >= before["acknowledged"] + 10, "ten more writes")

    after = seen.sandbox.ledger()
    assert after["errors"] == before["errors"]
    assert after["lost"] == 0


def test_the_servers_behind_are_measured(seen: Seen) -> None:
    cloudwatch, now = seen.sandbox.boto("cloudwatch"), dt.datetime.now(dt.UTC)

    def highest(namespace: str, metric: str, name: str, value: str) -> float | None:
        points = cloudwatch.get_metric_statistics(
            Namespace=namespace, MetricName=metric, Dimensions=[{"Name": name, "Value": value}], Period=60,
            StartTime=now - dt.timedelta(minutes=5), EndTime=now + dt.timedelta(minutes=2), Statistics=["Maximum"],
        )["Datapoints"]  # fmt: skip
        return max((point["Maximum"] for point in points), default=None)

    database = ("DBInstanceIdentifier", f"{CLUSTER}-db")
    wait_until(lambda: (highest("AWS/RDS", "CPUUtilization", *database) or 0) > 0, "the database's CPU is reported")
    connections = highest("AWS/RDS", "DatabaseConnections", *database)
    cache = highest("AWS/ElastiCache", "EngineCPUUtilization", "CacheClusterId", f"{CLUSTER}-sessions-001")

    assert connections
    assert 2 <= connections <= 60, "each of the two tasks has at least one, the standby's walsender is none"
    assert cache is not None
    assert cache < 100
