"""What breaks the database is real: it is seen from outside, what a runbook would do heals it, and nothing is lost."""

from __future__ import annotations

import datetime as dt
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until
from daily_emr_sandbox.settings import TASK_PORT

DATABASE = "daily-emr-sandbox-db"
SERVICE = "service/daily-emr-sandbox/daily-emr-sandbox-web"
STARTED, COMPLETED = "Multi-AZ instance failover started.", "Multi-AZ instance failover completed"
# Each has a test below.
NAMES = (
    "connection_storm",
    "failover_refused",
    "failover_running",
    "idle_in_transaction",
    "lock_storm",
    "old_primary_returns",
    "orphaned_slot",
    "pools_stuck_error",
    "pools_stuck_hang",
    "primary_impaired",
    "reply_dropped",
    "standby_lagging",
    "storage_full",
)
STANDBYS = {"7": (8, 26102), "8": (7, 26101)}
"""Host and port of the standby, by the host of the primary."""
BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"


class Operator:
    """Somebody who looks and acts as a runbook does: through AWS, and in a session of the runbooks' role."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.rds = sandbox.boto("rds", config=Config(retries={"total_max_attempts": 1}))
        place = sandbox.description["database"]
        self._place = {name: place[name] for name in ("host", "port", "passfile")}

    def breaks(self, name: str) -> None:
        """Break it, twice: the second time finds it broken."""
        for _ in range(2):
            self.sandbox.break_(name)
        assert self.sandbox.status()["faults"] == [name]

    def session(self, user: str = "emr_runbook", **more: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(**self._place | more, user=user, dbname="emr", autocommit=True, connect_timeout=3)

    def ask(self, statement: str, *values: Any) -> Any:
        """First column of the first row."""
        with self.session() as session:
            [(value, *_)] = session.execute(statement, values).fetchall()
        return value

    def node(self) -> str:
        return str(self.ask("SELECT host(inet_server_addr())"))

    def instance(self) -> dict[str, Any]:
        return self.rds.describe_db_instances(DBInstanceIdentifier=DATABASE)["DBInstances"][0]

    def status(self) -> str:
        return str(self.instance()["DBInstanceStatus"])

    def events(self) -> list[str]:
        found = self.rds.describe_events(SourceIdentifier=DATABASE, SourceType="db-instance", Duration=30)["Events"]
        return [event["Message"] for event in found]

    def fail_over(self) -> None:
        self.rds.reboot_db_instance(DBInstanceIdentifier=DATABASE, ForceFailover=True)

    def wait_failed_over(self) -> None:
        wait_until(lambda: COMPLETED in self.events(), "the failover is complete", 60)

    def charts(self, timeout_s: float = 2) -> list[int]:
        """Status of reading a chart at each task; 0 where there is no answer in time."""
        running = [task for task in self.sandbox.status()["tasks"] if task["status"] == "RUNNING"]
        return [get(f"http://{task['address']}:{TASK_PORT}/api/charts/probe", timeout_s) for task in running]

    def ready(self) -> list[int]:
        running = [task for task in self.sandbox.status()["tasks"] if task["status"] == "RUNNING"]
        return [get(f"http://{task['address']}:{TASK_PORT}/readyz", 6) for task in running]

    def metric(self, name: str, statistic: str) -> float:
        now = dt.datetime.now(dt.UTC)
        points = self.sandbox.boto("cloudwatch").get_metric_statistics(
            Namespace="AWS/RDS", MetricName=name, Dimensions=[{"Name": "DBInstanceIdentifier", "Value": DATABASE}],
            StartTime=now - dt.timedelta(minutes=2), EndTime=now + dt.timedelta(minutes=1), Period=60,
            Statistics=[statistic],
        )["Datapoints"]  # fmt: skip
        return float(max(points, key=lambda point: point["Timestamp"])[statistic])


def get(url: str, timeout_s: float) -> int:
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            return json.load(answer) and answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


@pytest.fixture
def operator(sandbox: Sandbox) -> Iterator[Operator]:
    """Whatever a test broke and did about it is mended after it; the next one mends a second time, without harm."""
    sandbox.mend()
    made = Operator(sandbox)
    yield made
    sandbox.mend()
    assert sandbox.status()["healthy"] is True
    assert (made.status(), made.events()) == ("available", [])
    assert made.ask("SELECT count(*) FROM pg_replication_slots WHERE NOT active") == 0
    assert made.ask("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == 1
    assert sandbox.ledger()["lost"] == 0


def test_a_sick_host_and_a_lock_storm_go_together(operator: Operator) -> None:
    operator.sandbox.break_("primary_impaired")
    operator.sandbox.break_("lock_storm")
    assert operator.sandbox.status()["faults"] == ["primary_impaired", "lock_storm"]
    assert operator.ask(BLOCKED) >= 4


def test_a_failover_leaves_the_sick_host(operator: Operator) -> None:
    operator.breaks("primary_impaired")
    before = operator.node()
    assert operator.metric("WriteLatency", "Maximum") >= 1.5
    with operator.session() as session:
        started = dt.datetime.now(dt.UTC)
        session.execute("SELECT 1")
        assert (dt.datetime.now(dt.UTC) - started).total_seconds() >= 1.5
    assert operator.ask("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0

    operator.fail_over()
    operator.wait_failed_over()
    wait_until(lambda: set(operator.charts()) == {200}, "charts are read again", 60)
    assert operator.node() != before


def test_a_failover_that_loses_its_reply_happens(operator: Operator) -> None:
    operator.breaks("reply_dropped")
    with pytest.raises(HTTPClientError):
        operator.fail_over()
    operator.wait_failed_over()
    assert operator.events().count(STARTED) == 1


def test_a_failover_soon_after_another_is_abandoned(operator: Operator) -> None:
    operator.breaks("failover_refused")
    before = operator.node()
    assert operator.events()[-1] == COMPLETED
    operator.fail_over()
    wait_until(lambda: operator.events()[-1].startswith("Abandoning"), "it is abandoned")
    assert operator.node() == before


def test_a_standby_that_stopped_following_shows(operator: Operator) -> None:
    """Nobody fails over here: what was acknowledged since then would be lost."""
    operator.breaks("standby_lagging")
    assert operator.ask("SELECT count(*) FROM pg_stat_replication") == 0
    age = dt.datetime.now(dt.UTC) - operator.instance()["LatestRestorableTime"]
    assert age.total_seconds() * operator.sandbox.description["time_factor"] > 600
    operator.sandbox.mend("standby_lagging")
    assert operator.ask("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == 1


def test_a_running_failover_ends_by_itself(operator: Operator) -> None:
    operator.breaks("failover_running")
    assert operator.status() == "rebooting"
    assert STARTED in operator.events()
    assert COMPLETED not in operator.events()
    operator.wait_failed_over()
    wait_until(lambda: set(operator.charts()) == {200}, "charts are read again", 60)


def test_a_lost_host_that_boots_again_is_no_second_primary(operator: Operator) -> None:
    operator.breaks("old_primary_returns")
    operator.fail_over()
    operator.wait_failed_over()
    assert len({operator.node() for _ in range(5)}) == 1
    other = STANDBYS[operator.node().rsplit(".", 1)[1]]
    network = operator.sandbox.description["network"]

    def refuses() -> bool:
        try:
            with operator.session(host=f"{network}.{other[0]}", port=other[1]) as session:
                session.execute("INSERT INTO ops.heartbeat VALUES (2, now(), NULL)")
        except psycopg.errors.ReadOnlySqlTransaction:
            return True
        except psycopg.OperationalError:  # it does not answer yet, or is being rebuilt
            return False
        raise AssertionError("two hosts take writes")

    wait_until(refuses, "the lost host refuses to write")


@pytest.mark.parametrize(("fault", "answer"), [("pools_stuck_error", 503), ("pools_stuck_hang", 0)])
def test_only_another_task_helps_a_stuck_pool(operator: Operator, fault: str, answer: int) -> None:
    operator.breaks(fault)
    assert set(operator.charts()) == {answer}
    assert set(operator.ready()) == {200}
    assert operator.events()[-3:] == [STARTED, "DB instance restarted", COMPLETED]
    assert operator.ask("INSERT INTO ops.heartbeat VALUES (1, now(), NULL) ON CONFLICT (id) DO UPDATE"
                        " SET at = excluded.at RETURNING pg_is_in_recovery()") is False  # fmt: skip
    operator.sandbox.boto("ecs").update_service(
        cluster="daily-emr-sandbox", service="daily-emr-sandbox-web", forceNewDeployment=True
    )
    wait_until(lambda: operator.charts() == [200, 200], "new tasks serve", 90)


def test_cancelling_the_migration_ends_the_lock_storm(operator: Operator) -> None:
    operator.breaks("lock_storm")
    assert operator.ask(BLOCKED) >= 4
    assert set(operator.charts()) == {0}
    assert operator.ask(
        "SELECT pg_cancel_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE mode = 'AccessExclusiveLock' AND NOT granted AND usename = 'emr_application'"
    )
    wait_until(lambda: set(operator.charts()) == {200}, "charts are read again")
    assert operator.ask(BLOCKED) == 0


def test_ending_the_idle_session_lets_the_writers_go_on(operator: Operator) -> None:
    operator.breaks("idle_in_transaction")
    assert operator.ask(BLOCKED) >= 3
    age = "SELECT extract(epoch FROM now() - state_change) FROM pg_stat_activity WHERE state = 'idle in transaction'"
    assert float(operator.ask(age)) * operator.sandbox.description["time_factor"] > 300
    assert operator.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE state = 'idle in transaction' AND usename = 'emr_application'"
    )
    wait_until(lambda: operator.ask(BLOCKED) == 0, "nobody waits any more")


def refusal(url: str) -> str:
    """Why the database takes no connection; a task that gives one up may leave room for a moment."""
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError as error:
        return str(error)
    return ""


def test_fewer_tasks_end_the_connection_storm(operator: Operator) -> None:
    used = "SELECT 100.0 * count(*) / current_setting('max_connections')::int FROM pg_stat_activity" \
           " WHERE backend_type = 'client backend'"  # fmt: skip
    assert operator.ask(used) < 50
    operator.breaks("connection_storm")
    assert operator.ask(used) > 85
    secret = operator.sandbox.boto("secretsmanager").get_secret_value(SecretId="daily-emr/sandbox/DATABASE_URL")
    wait_until(lambda: "remaining connection slots" in refusal(secret["SecretString"]), "no connection is left")

    scaling = {"ServiceNamespace": "ecs", "ResourceId": SERVICE, "ScalableDimension": "ecs:service:DesiredCount"}
    operator.sandbox.boto("application-autoscaling").register_scalable_target(**scaling, MaxCapacity=6)
    wait_until(lambda: operator.charts() == [200] * 6, "the tasks that are left serve", 60)
    wait_until(lambda: operator.ask(used) < 80, "connections are free")
    psycopg.connect(secret["SecretString"]).close()


def test_more_storage_brings_a_full_database_back(operator: Operator) -> None:
    operator.breaks("storage_full")
    assert operator.status() == "storage-full"
    assert "the database has been shut down" in operator.events()[-1]
    assert operator.metric("FreeStorageSpace", "Minimum") == 0
    with pytest.raises(psycopg.OperationalError, match="refused"):
        operator.node()
    with pytest.raises(ClientError, match="InvalidDBInstanceState"):
        operator.fail_over()

    operator.rds.modify_db_instance(DBInstanceIdentifier=DATABASE, AllocatedStorage=140, ApplyImmediately=True)
    wait_until(lambda: operator.status() == "available", "the storage has grown", 60)
    wait_until(lambda: set(operator.charts()) == {200}, "charts are read again")


def test_dropping_the_orphaned_slot_gives_its_space_back(operator: Operator) -> None:
    operator.breaks("orphaned_slot")
    assert operator.metric("FreeStorageSpace", "Minimum") < 15 * 1024**3
    [slot, active, kept] = operator.ask(
        "SELECT ARRAY[slot_name::text, active::text, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::text]"
        " FROM pg_replication_slots ORDER BY restart_lsn LIMIT 1"
    )
    assert (slot, active) == ("old_reporting", "false")
    assert int(kept) > 10 * 1024**3
    operator.ask("SELECT pg_drop_replication_slot('old_reporting')::text")
    wait_until(lambda: operator.metric("OldestReplicationSlotLag", "Minimum") < 1024**2, "the space is back")
