"""One look at a live database: what it sees, what it does not, and that it leaves nothing behind in check mode."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import psycopg
import pytest

from tests.unit.changes.world import Json
from tests.unit.database.conftest import LiveDatabase
from tests.unit.web_service.live import TASKS


def look(live: LiveDatabase, *, check: bool = False) -> Json:
    result = live.run("database_health", check=check)
    assert not result.get("failed"), result["msg"]
    assert result["changed"] is False
    return result


def with_status(result: Json, status: str) -> set[str]:
    return {item["name"] for item in result["observations"] if item["status"] == status}


def test_a_healthy_database_is_healthy(live: LiveDatabase) -> None:
    result = look(live)
    assert with_status(result, "finding") | with_status(result, "unknown") == set()
    assert (result["healthy"], result["sentence"]) == (True, "emr-db is healthy.")
    assert result["facts"]["bloat"]["tables"] == 3
    assert result["subjects"]["fitting_tasks"] == 32
    for item in result["observations"]:
        assert all(item[key] for key in ("name", "status", "subject", "expected", "seen", "at", "call")), item
    json.dumps(result)


@pytest.mark.parametrize("check", [False, True])
def test_check_mode_writes_nothing_that_stays(live: LiveDatabase, check: bool) -> None:
    look(live, check=check)
    assert live.server.of("write") == ["write and roll back" if check else "write"]
    assert [item for item in live.live.answers.requests if item[1] != "GET"] == []
    assert live.world.mutations == []


def test_no_more_than_two_sessions_are_opened(live: LiveDatabase) -> None:
    look(live)
    assert sorted(kind for kind, _options in live.server.sessions) == ["read", "write"]


# What could not be read -> observations that rest on it, among others.
LOST = {
    "DescribeDBInstances": {"instance_not_available", "standby_missing", "endpoint_refusing", "write_failing"},
    "DescribeEvents": {"failover_in_progress", "failover_recent"},
    "DescribePendingMaintenanceActions": {"maintenance_pending"},
    "GetMetricData": {"storage_low"},
    "ListSecretVersionIds": {"secret_rotated"},
    "DescribeScalableTargets": {"scaled_out"},
    "ListTasks": {"application_failing", "application_auth_failing", "pools_stuck"},
}


@pytest.mark.parametrize("operation", sorted(LOST))
def test_what_could_not_be_read_is_unknown_never_ok(live: LiveDatabase, operation: str) -> None:
    live.world.broken.add(operation)
    result = look(live)
    assert LOST[operation] <= with_status(result, "unknown")
    assert with_status(result, "finding") == set()
    assert result["healthy"] in (None, True)


@pytest.mark.parametrize("items", [[], [{}], None])
def test_a_flag_that_is_not_there_is_unknown(live: LiveDatabase, items: list[Json] | None) -> None:
    live.live.flags["items"] = items
    result = look(live)
    assert with_status(result, "unknown") == {"read_only_mode", "failover_since_read_only"}
    assert result["healthy"] is None


def test_a_full_house_says_how_many_tasks_fit(live: LiveDatabase) -> None:
    """Nobody is let in, so the parameter group has to tell how many may be."""
    error = psycopg.OperationalError("FATAL: sorry, too many clients already")
    live.server.refusing = {"read": error, "write": error}
    result = look(live)
    assert "connections_refused" in with_status(result, "finding")
    assert result["subjects"]["fitting_tasks"] == 32
    assert "scaled_out" not in with_status(result, "unknown")


def test_a_failover_is_seen_by_the_words_of_its_events(live: LiveDatabase) -> None:
    started = {"Message": "Multi-AZ instance failover started.", "Date": datetime.now(UTC)}
    live.world.events = [started]
    assert "failover_in_progress" in with_status(look(live), "finding")
    live.world.events.append({"Message": "Multi-AZ instance failover completed", "Date": datetime.now(UTC)})
    result = look(live)
    assert with_status(result, "finding") == {"failover_recent"}
    assert result["healthy"] is True


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Multi-AZ failover to standby complete - DNS propagation may take a few minutes.", "failover_recent"),
        ("Recovered from partial failover.", "failover_recent"),
        ("Abandoning user requested failover since a failover recently occurred on the database instance.", ""),
        ("DB instance restarted", ""),
    ],
)
def test_other_words_of_rds(live: LiveDatabase, message: str, kind: str) -> None:
    live.world.events = [{"Message": message, "Date": datetime.now(UTC)}]
    assert with_status(look(live), "finding") == ({kind} - {""})


def test_an_account_that_is_not_ours_ends_the_diagnosis(live: LiveDatabase) -> None:
    live.live.environment["account_id"] = "999999999999"
    result = live.run("database_health")
    assert (result["failed"], result["refused"]) == (True, True)
    assert live.server.sessions == []


def test_text_of_the_server_and_of_the_application_stays_where_it_is(live: LiveDatabase) -> None:
    live.server.failing["ages"] = "22P02"
    for place in TASKS.values():
        live.live.answers.at[place, "GET /api/charts/probe"] = (503, {"error": "database: Otieno 0712345678"})
    result = look(live)
    text = json.dumps(result)
    assert "pools_stuck" in with_status(result, "finding")
    assert "Otieno" not in text
    assert "national_id" not in text
