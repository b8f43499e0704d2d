"""Users are sent to the second region only when a chart was written and read there, and a plan writes none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context
from ansible_collections.daily_emr.ops.plugins.modules import region_traffic
from ansible_collections.daily_emr.ops.plugins.modules.region_traffic import PlannedTraffic, Traffic

from tests.unit.region.test_region import ANSWERS, CLOSED, POSITION, PROMOTED, SILENT, context, word

Json = dict[str, Any]
READY = {
    "first_database": CLOSED,
    "replica": PROMOTED,
    "position": {**POSITION, "in_recovery": False},
    "second_application": ANSWERS,
    "announced": word("INC-1", "ok"),
}


class Application(ThreadingHTTPServer):
    """The second region's application: it reads always, and writes when it may."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Charts)
        self.writes, self.keeps = True, True
        self.written: list[str] = []


class _Charts(BaseHTTPRequestHandler):
    server: Application

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.writes:
            self.server.written.append("c1")
        self._answer(201 if self.server.writes else 503)

    def do_GET(self) -> None:
        self._answer(200 if self.server.keeps else 404)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b'{"id": "c1"}')

    def log_message(self, *_words: Any) -> None:
        pass


@pytest.fixture
def application() -> Iterator[Application]:
    with Application() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def traffic(kind: type[PlannedTraffic], application: Application, **readings: Any) -> tuple[PlannedTraffic, Json]:
    """The change after its look, and what it saw."""
    url = f"http://127.0.0.1:{application.server_port}"
    # Nobody listens where users go now: both ends of the proof are in the second region.
    recovery = {"second_url": url, "edge_url": "http://127.0.0.1:1", "host": ""}
    change = kind({"recovery": recovery, "database": {"instance": "replica"}}, SimpleNamespace())  # type: ignore[arg-type]
    found = context(**(READY | readings))
    looked = SimpleNamespace(need=found.__getitem__, context=lambda: found)
    change.take_sides = lambda **_more: looked  # type: ignore[method-assign,assignment,return-value]
    return change, change.observe()


def test_a_write_that_is_read_back_in_the_second_region_lets_users_go_there(application: Application) -> None:
    change, before = traffic(Traffic, application)
    assert change.refusals(before) == []
    assert application.written == ["c1"]


@pytest.mark.parametrize(("fault", "words"), [("writes", "write_failing: 503"), ("keeps", "read_back_failing: 404")])
def test_an_application_that_only_reads_gets_no_users(application: Application, fault: str, words: str) -> None:
    setattr(application, fault, False)
    change, before = traffic(Traffic, application)
    (reason,) = change.refusals(before)
    assert words in reason


def test_a_write_that_nobody_tried_is_not_proven(application: Application) -> None:
    change, before = traffic(Traffic, application)
    del before["context"]["failed_write"]
    (reason,) = change.refusals(before)
    assert "nobody tried" in reason


@pytest.mark.parametrize(
    ("kind", "readings"),
    [
        pytest.param(PlannedTraffic, {}, id="a plan"),
        pytest.param(Traffic, {"traffic": "second"}, id="users are there already"),
        pytest.param(Traffic, {"second_application": SILENT}, id="refused anyway"),
        pytest.param(Traffic, {"position": POSITION}, id="not promoted"),
    ],
)
def test_no_chart_is_written_without_need(application: Application, kind: type[PlannedTraffic], readings: Json) -> None:
    traffic(kind, application, **readings)
    assert application.written == []


@pytest.mark.parametrize("check_mode", [True, False])
def test_only_the_plan_goes_without_the_proof(monkeypatch: pytest.MonkeyPatch, check_mode: bool) -> None:
    went: list[str] = []
    for name in ("PLANNING", "SENDING"):
        run = lambda _params, _context, name=name: went.append(name) or {}  # noqa: E731
        monkeypatch.setattr(region_traffic, name, SimpleNamespace(run=run))
    region_traffic.run({}, Context(check_mode=check_mode))
    assert went == ["PLANNING" if check_mode else "SENDING"]
