"""A service in trouble behind real botocore clients, and the module that finds out why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import botocore.session
import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils import _clients, _request_log

from tests.unit.changes.conftest import Runner, Serve
from tests.unit.changes.world import LOG_GROUP, Json
from tests.unit.spike.readings import THRESHOLDS
from tests.unit.web_service.conftest import Live
from tests.unit.web_service.live import LiveWire, LiveWorld

MINUTE = timedelta(minutes=1)


class SpikeWorld(LiveWorld):
    """The world of a diagnosis, with a series of traffic and more changes in CloudTrail."""

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime.now(UTC).replace(second=0, microsecond=0)
        self.series: list[Json] = []
        self.events: list[tuple[str, str, float]] = []

    def cloudwatch_GetMetricData(self, params: Json) -> Json:
        start = self.now - len(self.series) * MINUTE
        names = {"p95": "p95"} | {query["Id"]: query["Id"] for query in params["MetricDataQueries"]}
        results = []
        for name in names:
            found = [(start + n * MINUTE, codes[name]) for n, codes in enumerate(self.series) if name in codes]
            results.append(
                {"Id": name, "Timestamps": [at for at, _ in found], "Values": [float(value) for _, value in found]}
            )
        return {"MetricDataResults": results}

    def cloudtrail_LookupEvents(self, params: Json) -> Json:
        moments = [(name, source, self.now - minutes * MINUTE) for name, source, minutes in self.events]
        return {
            "Events": [
                {"EventName": name, "EventSource": source, "EventTime": at}
                for name, source, at in moments
                if params["StartTime"] <= at <= params["EndTime"]
            ]
        }


class Flags:
    """LaunchDarkly's list of flags, and its audit log."""

    def __init__(self) -> None:
        self.flags: list[Json] = []
        self.audit: list[Json] = []
        self.asked: list[str] = []

    def flag(self, key: str, *tags: str, on: bool = False) -> None:
        here = {"sandbox": {"on": on, "lastModified": 0}}
        self.flags.append({"key": key, "tags": list(tags), "environments": here})

    def changed(self, key: str, at: datetime, environment: str = "sandbox") -> None:
        resource = f"proj/daily-emr:env/{environment}:flag/{key}"
        entry = {"_id": f"e{len(self.audit)}", "date": int(at.timestamp() * 1000), "kind": "flag"}
        target = {"name": "somebody's words", "resources": [resource]}
        self.audit.insert(0, {**entry, "comment": "somebody's words", "target": target})

    def page(self, path: str) -> Json:
        self.asked.append(path)
        if "/auditlog" not in path:
            return {"items": self.flags, "totalCount": len(self.flags)}
        query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        before, after = int(query.get("before", 10**15)), int(query["after"])
        items = [item for item in self.audit if after < item["date"] < before]
        return {"items": items[: int(query["limit"])]}

    def handler(self) -> type[BaseHTTPRequestHandler]:
        flags = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                data = json.dumps(flags.page(self.path)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_args: Any) -> None:
                """Quiet."""

        return Handler


class Spike(Live):
    """The service, and one run of the attribution."""

    def __init__(self, world: SpikeWorld, folder: Path, serve: Serve) -> None:
        runner = Runner(world, folder)
        self.world: SpikeWorld = world
        self.environment, self.service = runner.environment, runner.service
        self.thresholds = THRESHOLDS
        self.flags = Flags()
        self.service["feature_flags"]["api_url"] = serve.handle("127.0.0.6", self.flags.handler())
        self.service["log_group"] = LOG_GROUP

    def look(self, **more: Any) -> Json:
        result: Json = self.run("error_attribution", **more)
        assert "observations" in result, result
        return result


@pytest.fixture(scope="session")
def wire() -> LiveWire:
    """One botocore session for all tests: a new one reads every service model again."""
    return LiveWire(botocore.session.Session())


@pytest.fixture
def serve() -> Iterator[Serve]:
    made = Serve()
    yield made
    made.stop()


@pytest.fixture
def spike(monkeypatch: pytest.MonkeyPatch, wire: LiveWire, serve: Serve, tmp_path: Path) -> Spike:
    world = wire.world = SpikeWorld()
    monkeypatch.setattr(_clients, "session", lambda: wire.session)
    monkeypatch.setattr(_request_log.time, "sleep", lambda _seconds: None)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    return Spike(world, tmp_path, serve)
