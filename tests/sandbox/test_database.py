"""What the runbooks see and may do of the database: their role, its metrics, its storage, what RDS refuses."""

from __future__ import annotations

import datetime as dt
import json
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError
from daily_emr_sandbox.client import Sandbox
from daily_emr_sandbox.loop import wait_until

DATABASE = "daily-emr-sandbox-db"
FLAG = "/api/v2/flags/daily-emr/read-only"
HEARTBEAT = (
    "INSERT INTO ops.heartbeat (id, at, node) VALUES (1, now(), inet_server_addr())"
    " ON CONFLICT (id) DO UPDATE SET at = excluded.at, node = excluded.node RETURNING host(node)"
)
METRICS = {
    "DBLoad": (0, 20),
    "FreeStorageSpace": (50 * 1024**3, 100 * 1024**3),
    "MaximumUsedTransactionIDs": (1, 1_000_000),
    "OldestReplicationSlotLag": (0, 1024**2),
    "ReadLatency": (0, 0.5),
    "TransactionLogsDiskUsage": (1024**2, 1024**3),
    "WriteLatency": (0, 0.5),
}
"""Name, and between which values a healthy database has it. Bytes, seconds, counts."""


@pytest.fixture
def rds(sandbox: Sandbox) -> Iterator[Any]:
    sandbox.mend()
    yield sandbox.boto("rds")
    sandbox.break_("storage_full")  # only its end puts a grown storage back
    sandbox.mend()


def session(sandbox: Sandbox) -> psycopg.Connection[Any]:
    place = sandbox.description["database"]
    return psycopg.connect(
        host=place["host"], port=place["port"], passfile=place["passfile"], user="emr_runbook", dbname="emr",
        autocommit=True,
    )  # fmt: skip


def instance(rds: Any) -> dict[str, Any]:
    return rds.describe_db_instances(DBInstanceIdentifier=DATABASE)["DBInstances"][0]


def storage(rds: Any) -> tuple[str, int, dict[str, Any]]:
    found = instance(rds)
    return found["DBInstanceStatus"], found["AllocatedStorage"], found["PendingModifiedValues"]


def test_the_runbooks_role_beats_the_heart_and_reads_no_chart(sandbox: Sandbox) -> None:
    file = Path(sandbox.description["database"]["passfile"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    with session(sandbox) as runbook:
        [(node,)] = runbook.execute(HEARTBEAT).fetchall()
        assert node != sandbox.description["database"]["host"]
        others = "SELECT DISTINCT usename, state FROM pg_stat_activity WHERE application_name = 'emr-web'"
        assert ("emr_application", "idle") in runbook.execute(others).fetchall()
        roles = "SELECT pg_has_role('pg_use_reserved_connections', 'MEMBER'), current_setting('reserved_connections')"
        assert runbook.execute(roles).fetchone() == (True, "3")
        for statement in ("SELECT 1 FROM charts", "DELETE FROM ops.heartbeat", "SELECT pg_read_file('PG_VERSION')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                runbook.execute(statement)


@pytest.mark.parametrize("name", METRICS)
def test_the_database_is_measured_from_inside(sandbox: Sandbox, name: str) -> None:
    cloudwatch, low_high = sandbox.boto("cloudwatch"), METRICS[name]

    def last() -> float | None:
        now = dt.datetime.now(dt.UTC)
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/RDS", MetricName=name, Dimensions=[{"Name": "DBInstanceIdentifier", "Value": DATABASE}],
            StartTime=now - dt.timedelta(minutes=2), EndTime=now + dt.timedelta(minutes=1), Period=60,
            Statistics=["Minimum"],
        )["Datapoints"]  # fmt: skip
        return max((point["Minimum"] for point in points), default=None)

    wait_until(lambda: last() is not None, f"{name} is reported")
    assert low_high[0] <= (last() or 0) <= low_high[1]


def test_storage_only_grows_and_not_again_soon(sandbox: Sandbox, rds: Any) -> None:
    def modify(gib: int, **more: Any) -> dict[str, Any]:
        return rds.modify_db_instance(DBInstanceIdentifier=DATABASE, AllocatedStorage=gib, **more)["DBInstance"]

    def refused(code: str, gib: int) -> None:
        with pytest.raises(ClientError) as refusal:
            modify(gib, ApplyImmediately=True)
        assert refusal.value.response["Error"]["Code"] == code

    assert storage(rds) == ("available", 100, {})
    refused("InvalidParameterValue", 109)
    refused("InvalidParameterCombination", 90)

    modify(120, ApplyImmediately=False)
    assert storage(rds) == ("available", 100, {"AllocatedStorage": 120})

    assert modify(120, ApplyImmediately=True)["DBInstanceStatus"] == "modifying"
    assert storage(rds)[1:] == (100, {"AllocatedStorage": 120})
    refused("InvalidDBInstanceState", 150)
    with pytest.raises(ClientError, match="InvalidDBInstanceState"):
        rds.reboot_db_instance(DBInstanceIdentifier=DATABASE, ForceFailover=True)
    wait_until(lambda: storage(rds) == ("storage-optimization", 120, {}), "the storage has grown")
    wait_until(lambda: storage(rds) == ("available", 120, {}), "the storage is optimized")
    refused("InvalidParameterCombination", 150)
    assert sandbox.ledger()["lost"] == 0


def test_what_can_be_restored_advances_while_the_standby_follows(sandbox: Sandbox, rds: Any) -> None:
    def age_s() -> float:
        """AWS seconds."""
        age = dt.datetime.now(dt.UTC) - instance(rds)["LatestRestorableTime"]
        return age.total_seconds() * sandbox.description["time_factor"]

    assert 280 <= age_s() < 600
    sandbox.break_("standby_lagging")
    first = instance(rds)["LatestRestorableTime"]
    assert age_s() > 600
    assert abs(instance(rds)["LatestRestorableTime"] - first) < dt.timedelta(milliseconds=50)
    sandbox.mend("standby_lagging")
    assert 280 <= age_s() < 600


def test_in_read_only_mode_reads_go_on_and_writes_come_back_later(sandbox: Sandbox) -> None:
    launchdarkly, token = (
        sandbox.description["launchdarkly_url"],
        (sandbox.state_dir / "launchdarkly_token").read_text(),
    )

    def turn(kind: str) -> None:
        body = json.dumps({"environmentKey": "sandbox", "instructions": [{"kind": kind}]}).encode()
        headers = {
            "Authorization": token,
            "Content-Type": "application/json; domain-model=launchdarkly.semanticpatch",
        }
        urllib.request.urlopen(urllib.request.Request(launchdarkly + FLAG, body, headers, method="PATCH")).close()

    def write() -> tuple[int, dict[str, Any], str | None]:
        body = json.dumps({"tenant": "synthetic", "note": "synthetic"}).encode()
        edge = sandbox.description["edge_url"]
        request = urllib.request.Request(f"{edge}/api/charts", body, {"Idempotency-Key": "read-only-test"})
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, {}, None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error), error.headers["Retry-After"]

    turn("turnFlagOn")
    try:
        # Tasks poll one after the other: several in a row come from all of them.
        wait_until(lambda: {write()[0] for _ in range(4)} == {503}, "every task knows the mode")
        assert write() == (503, {"error": "read-only"}, "60")
        with urllib.request.urlopen(sandbox.description["edge_url"] + "/api/charts/probe") as answer:
            assert answer.status == 200
    finally:
        turn("turnFlagOff")
    wait_until(lambda: {write()[0] for _ in range(4)} == {201}, "writes are taken again")
