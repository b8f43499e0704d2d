"""The module behind real botocore clients, with requests that CloudWatch and Prometheus counted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils import _clients
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform
from ansible_collections.daily_emr.ops.plugins.modules import error_budget

from tests.unit.changes.conftest import Runner
from tests.unit.changes.world import Json, Wire, World
from tests.unit.slo.sources import CloudWatch

NOW = datetime.now(UTC).replace(second=0, microsecond=0)


class BudgetWorld(World):
    def __init__(self) -> None:
        super().__init__()
        self.cloudwatch = CloudWatch([])

    def cloudwatch_GetMetricData(self, params: Json) -> Json:
        return self.cloudwatch.answer(params)


class Budget:
    """Runs the module as a task would."""

    def __init__(self, world: BudgetWorld, folder: Path) -> None:
        self.world, self.runner = world, Runner(world, folder)
        self.said: list[str] = []

    def __call__(self, check: bool = False, **more: Any) -> Json:
        runner = self.runner
        given = {"environment": runner.environment, "service": runner.service, "at": NOW.isoformat(), **more}
        checked = ArgumentSpecValidator(error_budget.ENTRY.argument_spec).validate(given)
        assert not checked.error_messages, checked.error_messages
        context = Context(check_mode=check, progress=self.said.append)
        return perform("error_budget", error_budget.ENTRY, checked.validated_parameters, context)


@pytest.fixture(scope="session")
def wire() -> Wire:
    """One botocore session for all tests: a new one reads every service model again."""
    return Wire(botocore.session.Session())


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch, wire: Wire, tmp_path: Path) -> Budget:
    world = wire.world = BudgetWorld()
    monkeypatch.setattr(_clients, "session", lambda: wire.session)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    return Budget(world, tmp_path)
