"""A failover: every precondition broken in turn, one call at most, and what it predicts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from .conftest import Runner
from .database import ABANDONED, COMPLETED, SECOND, STARTED, DatabaseWorld, Postgres
from .launchdarkly import Provider
from .world import Json, ago

Break = Callable[[DatabaseWorld, Postgres, Provider], object]


@pytest.fixture
def args(instance: DatabaseWorld, postgres: Postgres, provider: Provider) -> Json:  # noqa: ARG001  # all are needed
    provider.flag("read-only", on=True, hours=0.01, tags=("mode",))
    return {"since": ago(minutes=1).isoformat()}


def sent(instance: DatabaseWorld) -> list[str]:
    return [operation for operation, _params in instance.mutations]


def test_check_apply_check_apply(instance: DatabaseWorld, run: Runner, args: Json) -> None:
    plan = run("database_failover", check=True, **args)
    assert (plan["outcome"], plan["changed"], sent(instance)) == ("planned", True, []), plan["msg"]
    before = {"status": "available", "zone": "af-south-1a", "standby_zone": "af-south-1b", "failovers": 0}
    swapped = {"zone": "af-south-1b", "standby_zone": "af-south-1a", "failovers": 1}
    assert plan["diff"] == {"before": before, "after": before | swapped}

    done = run("database_failover", **args)
    assert (done["outcome"], sent(instance)) == ("ok", ["RebootDBInstance"]), done["msg"]
    assert done["undo"].startswith("Nothing to undo")

    for check in (True, False):
        again = run("database_failover", check=check, **args)
        assert (again["outcome"], again["changed"], again["prediction"]) == ("noop", False, [])
    assert sent(instance) == ["RebootDBInstance"]


@pytest.mark.parametrize(("lost", "outcome"), [("after", "ok"), ("before", "unknown")])
def test_a_lost_reply_is_one_call_and_is_looked_for(
    lost: str, outcome: str, instance: DatabaseWorld, run: Runner, args: Json
) -> None:
    instance.lose["RebootDBInstance"] = lost
    result = run("database_failover", **args)
    assert (result["outcome"], sent(instance)) == (outcome, ["RebootDBInstance"]), result["msg"]


def test_another_node_is_proof_enough(
    instance: DatabaseWorld, postgres: Postgres, run: Runner, args: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RDS says nothing yet, and the standby answers already."""
    monkeypatch.setattr(
        DatabaseWorld, "rds_RebootDBInstance", lambda _self, _params: postgres.node.update(address=SECOND) or {}
    )
    assert run("database_failover", **args)["outcome"] == "ok"
    assert sent(instance) == ["RebootDBInstance"]


def test_a_failover_that_somebody_else_began_counts(instance: DatabaseWorld, run: Runner, args: Json) -> None:
    instance.say(STARTED)
    assert (run("database_failover", **args)["outcome"], sent(instance)) == ("noop", [])


def setting(**values: object) -> Break:
    return lambda instance, _postgres, _provider: instance.instance.update(values)


def transactions(**values: object) -> Break:
    return lambda _instance, postgres, _provider: postgres.transactions.update(values)


def server(name: str, value: object) -> Break:
    return lambda _instance, postgres, _provider: setattr(postgres, name, value)


def event(message: str, **span: float) -> Break:
    return lambda instance, _postgres, _provider: instance.say(message, ago(**span))


def unreadable(operation: str) -> Break:
    return lambda instance, _postgres, _provider: instance.broken.add(operation)


PARAMETERS = [{"DBParameterGroupName": "emr", "ParameterApplyStatus": "pending-reboot"}]
BROKEN: dict[str, tuple[Break, str]] = {
    "single zone": (setting(MultiAZ=False), "is not Multi-AZ"),
    "no standby": (setting(SecondaryAvailabilityZone=""), "names no zone of a standby"),
    "rebooting": (setting(DBInstanceStatus="rebooting"), "The instance is rebooting"),
    "backing up": (setting(DBInstanceStatus="backing-up"), "The instance is backing-up"),
    "failed over recently": (event(COMPLETED, minutes=15), "The last failover was completed "),
    "failover to standby": (
        event("Multi-AZ failover to standby complete - DNS propagation may take a few minutes.", minutes=20),
        "The last failover was completed ",
    ),
    "failing over since before": (event(STARTED, minutes=3), "The last failover was started "),
    "abandoned": (event(ABANDONED, minutes=5), "The last failover was abandoned "),
    "pending": (setting(PendingModifiedValues={"AllocatedStorage": 120}), "are pending (AllocatedStorage)"),
    "parameters": (setting(DBParameterGroups=PARAMETERS), "The parameter group emr is pending-reboot"),
    "not restorable": (setting(LatestRestorableTime=ago(minutes=15)), "The latest restorable time is "),
    "never restorable": (setting(LatestRestorableTime=None), "names no latest restorable time"),
    "a long write": (transactions(longest_writing_s=61.0), "A transaction that has written is open for 61 s"),
    "prepared": (server("prepared", 2), "2 prepared transactions would survive"),
    "in recovery": (lambda _i, postgres, _p: postgres.node.update(in_recovery=True), "is in recovery"),
    "blind": (server("sees_all", False), "grant pg_monitor"),
    "not quiesced": (lambda _i, _s, provider: provider.flag("read-only", on=False), "The flag read-only is off"),
    "no such flag": (lambda _i, _s, provider: provider.flags.clear(), "Could not read the read only flag"),
    "events unread": (unreadable("DescribeEvents"), "Could not read the events"),
    "endpoint gone": (server("down", "connection refused"), "Could not read the sessions"),
    "endpoint silent": (server("down", "timeout expired"), "RDS fails over by itself within two minutes"),
    "no endpoint": (setting(Endpoint={}), "Could not read the sessions"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_precondition_alone_refuses_it(
    name: str, instance: DatabaseWorld, postgres: Postgres, provider: Provider, run: Runner, args: Json
) -> None:
    control = run("database_failover", check=True, **args)
    assert (control["outcome"], control["prediction"][0][:8]) == ("planned", "Eligible")
    break_, sentence = BROKEN[name]
    break_(instance, postgres, provider)
    if instance.instance["LatestRestorableTime"] is None:
        del instance.instance["LatestRestorableTime"]
    for check in (True, False):
        result = run("database_failover", check=check, **args)
        assert result["outcome"] == "refused", result
        assert any(sentence in reason for reason in result["refusals"]), result["refusals"]
        assert result["prediction"][0].startswith("Not eligible, for want of: ")
    assert sent(instance) == []


def test_what_stands_alone_is_one_reason(instance: DatabaseWorld, run: Runner, args: Json) -> None:
    instance.instance["MultiAZ"] = False
    assert len(run("database_failover", **args)["refusals"]) == 1


def test_after_the_quiet_period_it_may_be_done(instance: DatabaseWorld, run: Runner, args: Json) -> None:
    instance.say(COMPLETED, ago(minutes=31))
    assert run("database_failover", check=True, **args)["outcome"] == "planned"


def test_the_plan_needs_no_flag(provider: Provider, run: Runner, args: Json) -> None:
    provider.flags.clear()
    assert run("database_failover", check=True, quiesced=False, **args)["outcome"] == "planned"


@pytest.mark.parametrize(("hours", "sentence"), [(30, "The diagnosis is 30 h old"), (-1, "is in the future")])
def test_the_diagnosis_is_of_today(
    hours: float, sentence: str, instance: DatabaseWorld, run: Runner, args: Json
) -> None:
    result = run("database_failover", **args | {"since": ago(hours=hours).isoformat()})
    assert sentence in result["msg"]
    assert sent(instance) == []


@pytest.mark.parametrize(
    ("limit", "allowed"),
    [
        ({"quiet_minutes": 29}, "at least 30"),
        ({"restorable_minutes": 11}, "at most 10"),
        ({"transaction_s": 61}, "at most 60"),
    ],
)
def test_no_input_takes_a_precondition_away(
    limit: Json, allowed: str, instance: DatabaseWorld, run: Runner, args: Json
) -> None:
    result = run("database_failover", **args | limit)
    assert result["outcome"] == "refused"
    assert f"set it to {allowed}" in result["msg"]
    assert sent(instance) == []


def test_what_it_predicts(instance: DatabaseWorld, run: Runner, args: Json) -> None:
    instance.metrics["TransactionLogsGeneration"] = 2_500_000.0
    text = " ".join(run("database_failover", check=True, **args)["prediction"])
    for words in (
        "Eligible for a failover.",
        "primary af-south-1a, standby af-south-1b",
        "The longest transaction is 3 s old, 1 open transaction has written",
        "2 tasks in service",
        "2.5 MB of log",
        "75 s (p50) to 180 s (p95)",
        "3 % to 7 % of an error budget of 43.2 minutes",
        "lives 5 s",
    ):
        assert words in text


def test_what_only_informs_does_not_refuse(instance: DatabaseWorld, run: Runner, args: Json) -> None:
    instance.broken |= {"DescribeServices", "GetMetricData"}
    plan = run("database_failover", check=True, **args)
    assert plan["outcome"] == "planned"
    assert "An unknown number of tasks in service" in " ".join(plan["prediction"])


def test_periods_are_at_the_pace_of_aws(instance: DatabaseWorld, run: Runner, args: Json, postgres: Postgres) -> None:
    run.environment |= {"time_factor": 10.0}
    args["since"] = datetime.now(UTC).isoformat()
    instance.instance["LatestRestorableTime"] = datetime.now(UTC)
    instance.say(COMPLETED, ago(minutes=4))
    assert run("database_failover", check=True, **args)["outcome"] == "planned"
    postgres.transactions["longest_writing_s"] = 7.0
    assert "open for 7 s" in run("database_failover", check=True, **args)["msg"]
