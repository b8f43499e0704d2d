"""What users felt is kept with the run: counts of the web service, or the reason why nobody knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils import _clients
from ansible_collections.daily_emr.ops.plugins.module_utils._cancel import write_marker
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._impact import BriefClients
from ansible_collections.daily_emr.ops.plugins.module_utils._journal import Journal
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform
from ansible_collections.daily_emr.ops.plugins.modules import incident_impact

from tests.unit.changes.conftest import Runner
from tests.unit.changes.world import Json, Wire
from tests.unit.slo.conftest import BudgetWorld
from tests.unit.slo.sources import Answered, CloudWatch

MINUTE = timedelta(minutes=1)


class Impact:
    """Runs the module as the end of a run does: with an open incident and its journal."""

    def __init__(self, world: BudgetWorld, folder: Path) -> None:
        self.world, self.runner = world, Runner(world, folder)
        self.journal = Journal(folder / "INC-1" / "r1", "INC-1", "r1", "emr-web")
        self.journal.create()
        self.opened = datetime.fromisoformat(self.journal.append("opened", runbook="app_outage")["at"])

    def __call__(self, check: bool = False, time_factor: float = 1.0, **more: Any) -> Json:
        runner = self.runner
        incident = {"id": "INC-1", "run": "r1", "folder": str(self.journal.folder), "component": "emr-web"}
        environment = {**runner.environment, "time_factor": time_factor}
        given = {"environment": environment, "service": runner.service, "incident": incident, **more}
        checked = ArgumentSpecValidator(incident_impact.ENTRY.argument_spec).validate(given)
        assert not checked.error_messages, checked.error_messages
        return perform("incident_impact", incident_impact.ENTRY, checked.validated_parameters, Context(check))

    @property
    def lines(self) -> list[Json]:
        return [line for line in self.journal.read() if line["kind"] == "impact"]


@pytest.fixture
def impact(monkeypatch: pytest.MonkeyPatch, wire: Wire, tmp_path: Path) -> Impact:
    world = wire.world = BudgetWorld()
    monkeypatch.setattr(_clients, "session", lambda: wire.session)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    return Impact(world, tmp_path)


def outage(opened: datetime, unit_s: float = 60.0, per_unit: int = 60) -> list[Answered]:
    """Traffic of 40 units of time, whole ones on the clock, of which the sixth to the third before `opened` failed."""
    begin = opened.timestamp() // unit_s * unit_s
    return [
        Answered(
            begin - ago * unit_s + (number + 0.5) * unit_s / per_unit,
            500 if 3 <= ago <= 6 else 200,
            seconds=2.5 if 3 <= ago <= 6 else 0.1,
        )
        for ago in range(40, -1, -1)
        for number in range(per_unit)
    ]


def test_the_counts_of_every_minute_are_journalled_from_half_an_hour_before(impact: Impact) -> None:
    impact.world.cloudwatch = CloudWatch(outage(impact.opened))
    result = impact()
    (line,) = impact.lines
    assert result["known"] is line["known"] is True
    assert line["series"] == result["series"]
    json.dumps(result)
    first, last = (datetime.fromisoformat(line["series"][at]["at"]) for at in (0, -1))
    assert first == (impact.opened - 30 * MINUTE).replace(second=0, microsecond=0)
    # The minute in which it was read is not over.
    assert last + MINUTE <= datetime.now(UTC)
    assert {entry["minutes"] for entry in line["series"]} == {1.0}
    assert sum(entry["bad"] for entry in line["series"]) == 4 * 60
    assert {entry["valid"] for entry in line["series"]} == {60}
    assert {(entry["bad"], entry["p95_ms"]) for entry in line["series"]} == {(0, 100.0), (60, 2500.0)}
    assert (line["down_ratio"], line["down_requests"], line["time_factor"]) == (0.05, 50, 1.0)
    assert "240 of " in line["sentence"]
    assert impact.world.mutations == []


def test_the_budget_is_that_of_the_service_level(impact: Impact) -> None:
    impact.world.cloudwatch = CloudWatch(outage(impact.opened))
    slo = {"target": 0.999, "month_minutes": 43_200, "down_ratio": 0.1, "down_requests": 20}
    result = impact(slo=slo)
    assert (result["budget_minutes_month"], result["down_ratio"], result["down_requests"]) == (43.2, 0.1, 20)


def test_where_time_runs_faster_times_are_of_its_clock_and_minutes_of_aws(impact: Impact) -> None:
    impact.world.cloudwatch = CloudWatch(outage(impact.opened, unit_s=5.0, per_unit=50))
    series = impact(time_factor=60.0)["series"]
    assert {entry["minutes"] for entry in series} == {5.0}
    first = datetime.fromisoformat(series[0]["at"])
    assert timedelta(seconds=30) <= impact.opened - first < timedelta(seconds=35)
    assert first.timestamp() % 5 == 0
    assert [entry["p95_ms"] for entry in series[:7] if entry["bad"]] == [2500.0] * 4


def test_a_minute_in_which_no_target_answered_has_no_latency(impact: Impact) -> None:
    begin = impact.opened.timestamp() // 60 * 60 - 300
    impact.world.cloudwatch = CloudWatch([Answered(begin + number, 503, by_target=False) for number in range(60)])
    (entry,) = impact()["series"]
    assert (entry["bad"], entry["valid"], entry["p95_ms"]) == (60, 60, None)


def denied(world: BudgetWorld) -> None:
    world.broken.add("GetMetricData")


def silent(world: BudgetWorld) -> None:
    world.lose["GetMetricData"] = "before"


def without_balancer(world: BudgetWorld) -> None:
    world.broken.add("DescribeLoadBalancers")


def quiet(world: BudgetWorld) -> None:
    world.cloudwatch = CloudWatch([])


UNREADABLE = {denied: "AccessDenied", silent: "no usable answer", without_balancer: "AccessDenied", quiet: "no request"}


@pytest.mark.parametrize(("spoil", "why"), UNREADABLE.items())
def test_what_cannot_be_read_is_not_known_and_fails_nothing(
    impact: Impact, spoil: Callable[[BudgetWorld], None], why: str
) -> None:
    impact.world.cloudwatch = CloudWatch(outage(impact.opened))
    spoil(impact.world)
    result = impact()
    (line,) = impact.lines
    assert not result.get("failed")
    assert line["known"] is False
    assert line["why"] == result["msg"]
    assert "series" not in line
    # The reason is there, and no number that could be taken for one that was read.
    assert why in line["why"]
    assert not [value for value in line.values() if isinstance(value, float)]


def test_what_does_not_answer_is_not_waited_for_long(impact: Impact) -> None:
    clients = BriefClients(Environment.from_params({**impact.runner.environment, "time_factor": 1.0}))
    config = clients.read("cloudwatch").meta.config
    assert config.retries["total_max_attempts"] * (config.connect_timeout + config.read_timeout) <= 16


def test_another_account_is_not_read(impact: Impact) -> None:
    impact.runner.environment["account_id"] = "210987654321"
    impact.world.cloudwatch = CloudWatch(outage(impact.opened))
    assert (impact()["known"], impact.world.cloudwatch.asked) == (False, [])


def test_a_run_that_was_stopped_reads_nothing(impact: Impact) -> None:
    write_marker(impact.journal.folder, "by SIGINT")
    assert impact()["known"] is False
    assert impact.world.cloudwatch.asked == []
    assert "stopped" in impact.lines[0]["why"]


def test_check_mode_reads_and_writes_nothing(impact: Impact) -> None:
    result = impact(check=True)
    assert (result["changed"], result["known"], impact.lines) == (False, False, [])
    assert impact.world.cloudwatch.asked == []
