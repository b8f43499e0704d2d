"""Two providers on loopback, LaunchDarkly, AWS in memory; all of it well until a test breaks it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils import _clients, _telehealth_changes
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform
from ansible_collections.daily_emr.ops.plugins.module_utils._telehealth_provider import KEYS_FILE, PROVIDERS
from ansible_collections.daily_emr.ops.plugins.modules import telehealth_setting

from tests.unit.changes.conftest import Runner, Serve
from tests.unit.changes.world import AwsError, Json, P, Wire, World

from .launchdarkly import Flags
from .readings import TELEHEALTH, THRESHOLDS, usual
from .servers import API_KEY, Provider

TOPIC = f"arn:aws:sns:af-south-1:123456789012:{P}-telehealth-notices"
MINUTE = timedelta(minutes=1)
# A probe of these servers is answered within milliseconds, later where many others use the machine; one that is not
# answered must not take seconds.
PATIENCE_S = 0.7


class TelehealthWorld(World):
    """AWS, as far as telehealth needs it."""

    def __init__(self) -> None:
        super().__init__()
        self.joins: list[Json] = usual()
        self.pace: list[Json] = [{"region": "af-south-1", "joins": "128", "p95": "1800", "rtt": "60"}]
        self.bookings: list[Json] = [{"channel": "video", "bookings": "12"}]
        # Minutes since which the bot has joined each provider once a minute, and those in which it failed.
        self.bot: dict[str, tuple[int, set[int]]] = {name: (70, set()) for name in PROVIDERS}
        # How many consultations the application counted, each minute.
        self.running = {"primary": [9.0, 11.0]}
        self.subscribers, self.limit, self.spent, self.published = 4, 100.0, [3.0], 0
        self.table: dict[str, Json] = {}
        self.secrets |= {
            f"daily-emr/sandbox/TELEHEALTH_{name.upper()}_KEY": datetime(2026, 1, 1, tzinfo=UTC) for name in PROVIDERS
        }

    def logs_StartQuery(self, params: Json) -> Json:
        if params["logGroupName"] != f"/ecs/{P}-telehealth":
            raise AwsError("ResourceNotFoundException")
        self.queries.append(params)
        return {"queryId": f"q{len(self.queries) - 1}"}

    def logs_GetQueryResults(self, params: Json) -> Json:
        query = self.queries[int(params["queryId"][1:])]["queryString"]
        rows = self.bookings if '"booking"' in query else self.pace if "pct(ms" in query else self.joins
        return {"status": "Complete", "results": [[{"field": key, "value": row[key]} for key in row] for row in rows]}

    def cloudwatch_GetMetricData(self, params: Json) -> Json:
        (query,) = params["MetricDataQueries"]
        metric = query["MetricStat"]["Metric"]
        dimensions = {item["Name"]: item["Value"] for item in metric["Dimensions"]}
        assert params["StartTime"] < params["EndTime"]
        now, times, values = datetime.now(UTC), [], []
        if metric["MetricName"] == "SyntheticJoin":
            assert (metric["Namespace"], query["MetricStat"]["Stat"]) == ("DailyEMR/Telehealth", "Minimum")
            minutes, bad = self.bot[dimensions["Provider"]]
            ago = range(min(minutes, 62), -1, -1) if minutes >= 0 else []
            times, values = [now - n * MINUTE for n in ago], [0.0 if n in bad else 1.0 for n in ago]
        elif metric["MetricName"] == "RunningConsultations":
            counted = self.running.get(dimensions["Provider"], [])
            times, values = [now - n * MINUTE for n in range(len(counted), 0, -1)], counted
        elif metric["MetricName"] == "SMSMonthToDateSpentUSD":
            assert params["StartTime"].day == 1 or now.day == 1
            times, values = [now] * len(self.spent), self.spent
        elif metric["MetricName"] == "NumberOfMessagesPublished":
            assert dimensions == {"TopicName": f"{P}-telehealth-notices"}
            times, values = ([now], [float(self.published)]) if self.published else ([], [])
        return {"MetricDataResults": [{"Id": query["Id"], "Timestamps": times, "Values": values}]}

    def dynamodb_TransactWriteItems(self, params: Json) -> Json:
        for part in params["TransactItems"]:
            if "Put" in part:
                self.dynamodb_PutItem(part["Put"])
        return {}

    def dynamodb_PutItem(self, params: Json) -> Json:
        item = params["Item"]
        self.table[item["pk"]["S"]] = item
        return {}

    def dynamodb_GetItem(self, params: Json) -> Json:
        found = self.table.get(params["Key"]["pk"]["S"])
        return {"Item": found} if found else {}

    def sns_GetTopicAttributes(self, params: Json) -> Json:
        assert params["TopicArn"] == TOPIC
        return {"Attributes": {"SubscriptionsConfirmed": str(self.subscribers)}}

    def sns_GetSMSAttributes(self, _params: Json) -> Json:
        return {"attributes": {"MonthlySpendLimit": str(self.limit)}}

    def sns_Publish(self, params: Json) -> Json:
        assert params["TopicArn"] == TOPIC
        return {"MessageId": "m-1"}


class TelehealthRunner(Runner):
    """Gives each module the telehealth that the inventory would give it."""

    telehealth: Json

    def change(self, module: str, args: Json, incident: bool = True) -> Change:
        return super().change(module, {"telehealth": self.telehealth, **args}, incident)


class Telehealth:
    """All of it, and a way to run its modules."""

    def __init__(self, world: TelehealthWorld, run: TelehealthRunner, flags: Flags) -> None:
        self.world, self.run, self.flags = world, run, flags
        self.primary, self.secondary = Provider(), Provider()
        self._well = {name: dict(self.provider(name).answers) for name in PROVIDERS}
        self.said: list[str] = []

    def provider(self, name: str) -> Provider:
        return self.primary if name == "primary" else self.secondary

    @property
    def settings(self) -> Json:
        return self.run.telehealth

    def down(self, *names: str) -> None:
        for name in names or PROVIDERS:
            self.provider(name).all(503)

    def up(self) -> None:
        for name in PROVIDERS:
            self.provider(name).answers = dict(self._well[name])

    def patients_fail(self, failure: str, provider: str = "primary") -> None:
        """All joins fail in a way, at a provider."""
        self.world.joins = [{**row, "good": "0", "failure": failure} for row in usual(provider=provider)]

    def bot_fails(self, *names: str) -> None:
        """The newest join of the bot failed there."""
        self.world.bot |= {name: (70, {0}) for name in names}

    def read(self, module: str, *, check: bool = False, **more: Any) -> Json:
        """The result of a module that reads, as a task would have it."""
        entry = importlib.import_module(f"ansible_collections.daily_emr.ops.plugins.modules.{module}").ENTRY
        given = {"environment": self.run.environment, "telehealth": self.settings, "thresholds": THRESHOLDS, **more}
        checked = ArgumentSpecValidator(entry.argument_spec).validate(given)
        assert not checked.error_messages, checked.error_messages
        self.said = []
        return perform(
            module, entry, checked.validated_parameters, Context(check_mode=check, progress=self.said.append)
        )

    def sent(self) -> list[tuple[str, Json]]:
        """Calls that changed something: at AWS, beside the bookkeeping."""
        return self.world.mutations


@pytest.fixture(scope="session")
def wire() -> Wire:
    """One botocore session for all tests: a new one reads every service model again."""
    return Wire(botocore.session.Session())


@pytest.fixture
def serve() -> Iterator[Serve]:
    made = Serve()
    yield made
    made.stop()


@pytest.fixture
def telehealth(monkeypatch: pytest.MonkeyPatch, wire: Wire, serve: Serve, tmp_path: Path) -> Iterator[Telehealth]:
    world = wire.world = TelehealthWorld()
    monkeypatch.setattr(_clients, "session", lambda: wire.session)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for place in (_telehealth_changes, telehealth_setting):
        monkeypatch.setattr(place, "PROBE_TIMEOUT_S", PATIENCE_S)
    run, flags = TelehealthRunner(world, tmp_path), Flags()
    (tmp_path / KEYS_FILE).write_text(json.dumps(dict.fromkeys(PROVIDERS, API_KEY)))
    made = Telehealth(world, run, flags)
    providers = {
        name: {**made.provider(name).settings, "secret": f"daily-emr/sandbox/TELEHEALTH_{name.upper()}_KEY"}
        for name in PROVIDERS
    }
    run.telehealth = {
        **TELEHEALTH,
        "log_group": f"/ecs/{P}-telehealth",
        "notice_topic": f"{P}-telehealth-notices",
        "providers": providers,
        "feature_flags": {
            "api_url": serve.handle("127.0.0.1", flags.handler()),
            "project": "daily-emr",
            "environment": "sandbox",
        },
    }
    yield made
    made.primary.close()
    made.secondary.close()


Spoil = Callable[[Telehealth], object]
