"""The EMR stand-in as one task, against a real database and cache."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from daily_emr_sandbox.app.journal import route_of, tenant_hash
from daily_emr_sandbox.claims import Claims
from daily_emr_sandbox.launchdarkly import LaunchDarkly
from daily_emr_sandbox.loop import LoopThread, wait_until
from daily_emr_sandbox.postgres import DatabasePair
from daily_emr_sandbox.settings import TASK_PORT, Settings
from daily_emr_sandbox.valkey import Cache

URL = "postgresql://emr:right-password@database:5432/emr"
PASSWORD = "session-password"
NOTE = "Wanjiku-Canary-29481733"
CLAIM = {
    "facility": "FID-27-104211-1", "encounter": "one", "type": "claim", "class": "rest", "days": 30,
    "patient": NOTE, "diagnosis": "1A00", "intervention": "SHA-08-004",
}  # fmt: skip


@dataclass
class Parts:
    settings: Settings
    database: DatabasePair
    cache: Cache
    flags: LaunchDarkly
    claims: Claims

    @property
    def zone(self) -> str:
        return self.settings.zones[0]


class Task:
    """One process of the application."""

    def __init__(self, parts: Parts, folder: Path, **environment: str) -> None:
        self.base = f"http://{parts.settings.address(20)}:{TASK_PORT}"
        self.log = folder / "task.log"
        environ = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": URL,
            "SESSION_PASSWORD": PASSWORD,
            "DATABASE_PATH": "{}:{}".format(*parts.database.path(parts.zone)),
            "CACHE_ADDRESS": "{}:{}".format(*parts.cache.path(parts.zone)),
            "LAUNCHDARKLY_URL": parts.settings.launchdarkly_url,
            "CLAIMS_URL": parts.settings.claims_url,
            "RELEASE": "2026.47.1",
            "TASK_ID": "0123456789abcdef",
            "TASK_ADDRESS": parts.settings.address(20),
            "TASK_PORT": str(TASK_PORT),
            "TASK_ZONE": parts.zone,
            "TASK_REVISION": "2",
            "TASK_IMAGE_DIGEST": "sha256:00",
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "daily_emr_sandbox.app"], env=environ | environment, stdout=log, stderr=log
            )

    def get(self, path: str, timeout_s: float = 10) -> tuple[int, dict[str, Any]]:
        return self._send(urllib.request.Request(self.base + path), timeout_s)

    def ask(self, path: str, tenant: str, method: str = "GET") -> tuple[int, dict[str, Any]]:
        """Send a request of a tenant."""
        request = urllib.request.Request(self.base + path, headers={"X-Tenant": tenant}, method=method)
        return self._send(request, 10)

    def post(self, key: str, **chart: Any) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(
            f"{self.base}/api/charts", json.dumps(chart).encode(), headers={"Idempotency-Key": key}
        )
        return self._send(request, 10)

    def claim(self, **claim: Any) -> tuple[int, dict[str, Any]]:
        """Give a claim to the application."""
        return self._send(urllib.request.Request(f"{self.base}/api/claims", json.dumps(CLAIM | claim).encode()), 10)

    def lines(self) -> list[dict[str, Any]]:
        """The log of its requests."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def metrics(self) -> dict[str, float]:
        """Samples of /metrics, by name and labels."""
        with urllib.request.urlopen(f"{self.base}/metrics", timeout=5) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain")
            text = answer.read().decode()
        rows = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in rows}

    def check(self, name: str) -> tuple[str, str | None]:
        """Status and reason of one check of /readyz."""
        check = self.get("/readyz")[1]["checks"][name]
        return check["status"], check["reason"]

    @property
    def live(self) -> bool:
        try:
            return self.get("/livez") == (200, {"status": "ok"})
        except OSError:
            return False

    @staticmethod
    def _send(request: urllib.request.Request, timeout_s: float) -> tuple[int, dict[str, Any]]:
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


@pytest.fixture(scope="module")
def parts(settings: Settings, loop: LoopThread) -> Iterator[Parts]:
    built = Parts(
        settings, DatabasePair(settings, loop), Cache(settings, loop), LaunchDarkly(settings, loop),
        Claims(settings, loop),
    )  # fmt: skip
    try:
        built.database.start()
        built.database.grant(URL)
        built.cache.start(PASSWORD)
        built.flags.start()
        built.claims.start()
        yield built
    finally:
        built.claims.stop()
        built.flags.stop()
        built.cache.stop()
        built.database.stop()


@pytest.fixture
def start(parts: Parts, tmp_path: Path) -> Iterator[Any]:
    """Start the task, with what differs in its environment, and wait until it is live."""
    tasks: list[Task] = []

    def start_task(**environment: str) -> Task:
        task = Task(parts, tmp_path, **environment)
        tasks.append(task)
        wait_until(lambda: task.live, "the task is live")
        return task

    yield start_task
    for task in tasks:
        task.process.terminate()
        task.process.wait(10)


@pytest.fixture
def task(start: Any) -> Task:
    return start()


def test_ready_and_version_say_who_answers(task: Task) -> None:
    status, ready = task.get("/readyz")

    assert (status, ready["status"], ready["release"]) == (200, "ok", "2026.47.1")
    assert {name: check["reason"] for name, check in ready["checks"].items()} == {"database": None, "cache": None}
    assert task.get("/version")[1] == {
        "release": "2026.47.1",
        "revision": "2",
        "digest": "sha256:00",
        "task": "0123456789abcdef",
        "zone": "af-south-1a",
    }


def test_the_same_key_writes_one_chart(task: Task, parts: Parts) -> None:
    first = task.post("key-1", tenant="synthetic", note="one")
    second = task.post("key-1", tenant="synthetic", note="one")

    assert first[0] == 201
    assert second == first
    with parts.database.standby.connect() as session:
        wait_until(
            lambda: session.execute("SELECT count(*) FROM charts WHERE idempotency_key = 'key-1'").fetchone() == (1,),
            "the standby has the one chart",
        )


@pytest.mark.parametrize("chart", [{"tenant": "synthetic"}, {"tenant": "synthetic", "note": 7}])
def test_a_chart_without_a_note_is_refused(task: Task, chart: dict[str, Any]) -> None:
    assert task.post("key-2", **chart)[0] == 400


def test_a_note_is_stored_and_never_answered_or_logged(task: Task, parts: Parts) -> None:
    chart_id = task.post("key-3", tenant="synthetic", note=NOTE)[1]["id"]
    status, chart = task.get(f"/api/charts/{chart_id}?patient={NOTE}")
    missing = task.get(f"/api/charts/{NOTE}")
    parts.database.stop_primary()
    try:
        assert task.get(f"/api/charts/{NOTE}")[0] == 503
    finally:
        parts.database.start_primary()

    assert (status, set(chart)) == (200, {"id", "tenant", "updated_at"})
    assert missing == (404, {"error": "no such chart"})
    with parts.database.primary.connect() as session:
        assert session.execute("SELECT note FROM charts WHERE id = %s", (chart_id,)).fetchone() == (NOTE,)
    logged = task.log.read_text()
    assert ("/api/charts/:id", 503) in {(line["route"], line["status"]) for line in task.lines()}
    assert NOTE not in logged
    assert NOTE not in "".join(path.read_text() for path in parts.settings.logs_dir.iterdir())


def test_logging_in_makes_a_session_in_the_cache(task: Task, parts: Parts) -> None:
    status, answer = task.get("/login")

    assert status == 200
    with parts.cache.primary.connect() as cache:
        assert cache.get(f"session:{answer['session']}") == b"synthetic"


def test_a_refused_database_is_told_from_a_working_cache(task: Task, parts: Parts) -> None:
    parts.database.stop_primary()
    try:
        assert task.check("database") == ("fail", "refused")
        assert task.check("cache") == ("ok", None)
        assert task.get("/api/charts/probe")[0] == 503
        assert task.live
    finally:
        parts.database.start_primary()
    assert task.check("database") == ("ok", None)


def test_a_silent_path_is_a_timeout(task: Task, parts: Parts) -> None:
    assert task.check("database") == ("ok", None)
    parts.database.hang(parts.zone)
    parts.cache.hang(parts.zone)
    try:
        assert task.check("database") == ("fail", "timeout")
        assert task.check("cache") == ("fail", "timeout")
        assert task.live
    finally:
        parts.database.flow(parts.zone)
        parts.cache.flow(parts.zone)
    wait_until(lambda: task.check("database") == ("ok", None), "the database answers again")


def test_a_slow_database_shows_in_its_time_only(task: Task, parts: Parts) -> None:
    assert task.check("database") == ("ok", None)
    parts.database.slow(0.6)
    try:
        check = task.get("/readyz")[1]["checks"]["database"]
        assert check["status"] == "ok"
        assert check["ms"] >= 600
        assert task.get("/api/charts/probe")[0] == 200
    finally:
        parts.database.slow(0)


def test_a_wrong_password_is_live_and_not_ready(start: Any) -> None:
    task = start(DATABASE_URL=URL.replace("right", "wrong"))

    assert task.check("database") == ("fail", "auth")
    assert task.get("/readyz")[0] == 503
    assert task.get("/api/charts/probe")[0] == 503


def test_a_wrong_session_password_is_told_as_such(start: Any) -> None:
    task = start(SESSION_PASSWORD="wrong")

    assert task.check("cache") == ("fail", "auth")
    assert task.check("database") == ("ok", None)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/charts", "/api/charts"),
        ("/api/charts/4711", "/api/charts/:id"),
        ("/api/charts/4711/notes", "other"),
        ("/api/claims/eligibility", "/api/claims/eligibility"),
        ("/wp-login.php", "other"),
        ("/readyz", "/readyz"),
    ],
)
def test_a_path_is_known_by_its_template(path: str, route: str) -> None:
    assert route_of(path) == route


def test_a_request_leaves_one_line_that_names_nobody(task: Task) -> None:
    assert task.ask("/api/charts/probe?patient=x", "facility-1")[0] == 200
    task.get("/readyz")
    task.get("/version")

    (line,) = task.lines()
    assert line.pop("time") > 1_700_000_000_000
    assert line.pop("duration") > 0
    assert line == {
        "route": "/api/charts/:id",
        "method": "GET",
        "status": 200,
        "release": "2026.47.1",
        "revision": "2",
        "task": "0123456789abcdef",
        "zone": "af-south-1a",
        "tenant": tenant_hash("facility-1"),
    }


@pytest.mark.parametrize(
    ("path", "method", "answer"),
    [
        ("/api/appointments", "GET", {"open": 1}),
        ("/api/reports", "GET", {"visits_a_day": 301}),
        ("/api/claims/eligibility", "POST", {"eligible": True}),
    ],
)
def test_a_facility_gets_its_answers(task: Task, path: str, method: str, answer: dict[str, Any]) -> None:
    assert task.ask(path, "facility-1", method) == (200, answer)
    assert task.ask(path, "facility-unknown", method)[0] == 200


def test_a_dependency_that_fails_is_named_with_its_time(task: Task, parts: Parts) -> None:
    parts.cache.refuse()
    try:
        assert task.get("/login")[0] == 503
    finally:
        parts.cache.accept()
    parts.database.slow(0.4)
    try:
        assert task.get("/api/charts/probe")[0] == 200
    finally:
        parts.database.slow(0)

    failed, slow = task.lines()
    assert (failed["dependency"], failed["error"]) == ("cache", "ECONNREFUSED")
    assert slow["dependency"] == "database"
    assert 400 <= slow["dependency_ms"] <= slow["duration"]
    assert "error" not in slow


def test_a_slow_claims_service_is_given_up(task: Task, parts: Parts) -> None:
    eligibility = ("/api/claims/eligibility", "facility-1", "POST")
    parts.claims.slow(2.0, 0.4)
    try:
        assert task.ask(*eligibility) == (504, {"error": "claims timed out"})
        assert task.ask(*eligibility)[0] == 200
        parts.claims.slow(0.0)
        parts.claims.fail(500)
        assert task.ask(*eligibility) == (502, {"error": "claims unavailable"})
    finally:
        parts.claims.mend()

    late, slow, failed = task.lines()
    assert (late["dependency"], late["error"]) == ("claims", "TimeoutError")
    assert 1500 <= late["dependency_ms"] < 2000
    assert slow["dependency"] == "claims"
    assert (failed["dependency"], failed["error"]) == ("claims", "ClaimsFailed")


def test_a_claim_is_saved_once_and_answered_without_its_content(task: Task, parts: Parts) -> None:
    status, answer = task.claim()

    assert (status, answer["status"]) == (202, "saved, will be sent")
    assert task.claim() == (status, answer), "entered again it is the same claim"
    assert states(parts) == {answer["claim"]: "ready"}
    assert NOTE not in json.dumps(answer) + task.log.read_text()


@pytest.mark.parametrize("broken", [{"class": "urgent"}, {"type": "bill"}, {"days": "soon"}, {"facility": None}])
def test_what_is_no_claim_is_refused(task: Task, broken: dict[str, Any]) -> None:
    assert task.claim(**broken) == (400, {"error": "not a claim"})


def test_with_the_circuit_open_a_claim_is_saved_for_later(task: Task, parts: Parts) -> None:
    def saved() -> bool:
        identifier = task.claim(encounter=uuid.uuid4().hex)[1]["claim"]
        return states(parts)[identifier] == "deferred"

    parts.flags.turn("claims-submit-queue-only", on=True, by="test")
    try:
        wait_until(saved, "claims are saved for later")
    finally:
        parts.flags.turn("claims-submit-queue-only", on=False, by="test")


def test_eligibility_from_the_cache_asks_nobody_and_says_so(task: Task, parts: Parts) -> None:
    unverified = (200, {"eligible": None, "status": "unverified"})
    parts.claims.fail(503)
    parts.flags.turn("claims-eligibility-cached", on=True, by="test")
    try:
        wait_until(lambda: task.ask("/api/claims/eligibility", "facility-1", "POST") == unverified, "nobody is asked")
    finally:
        parts.flags.turn("claims-eligibility-cached", on=False, by="test")
        parts.claims.mend()


def states(parts: Parts) -> dict[str, str]:
    """State of every claim, by identifier."""
    with parts.database.primary.connect() as session:
        return dict(session.execute("SELECT identifier, state FROM claims").fetchall())


def test_metrics_count_what_users_asked(task: Task) -> None:
    for _ in range(3):
        task.get("/api/charts/probe")
    task.get("/api/charts/missing")
    task.get("/readyz")

    metrics = task.metrics()
    labels = (
        'http_route="/api/charts/:id",http_request_method="GET",http_response_status_code="200",'
        'service_version="2026.47.1",zone="af-south-1a"'
    )
    name = "http_server_request_duration_seconds"
    assert metrics[f"{name}_count{{{labels}}}"] == 3
    assert metrics[f'{name}_bucket{{{labels},le="+Inf"}}'] == 3
    assert metrics[f"{name}_sum{{{labels}}}"] > 0
    assert metrics[f"{name}_count{{{labels.replace('200', '404')}}}"] == 1
    assert not [sample for sample in metrics if "readyz" in sample]
    buckets = [value for sample, value in metrics.items() if sample.startswith(f"{name}_bucket{{{labels}")]
    assert buckets == sorted(buckets), "buckets are cumulative"
    assert metrics["nodejs_eventloop_delay_max_seconds"] < 0.1


def test_a_full_disk_fails_requests_and_no_health_check(task: Task) -> None:
    task.process.send_signal(signal.SIGURG)

    wait_until(lambda: task.get("/api/charts/probe")[0] == 500, "reads fail")
    assert task.get("/login")[0] == 500
    assert task.live
    assert task.get("/readyz")[0] == 200
    assert task.lines()[-1]["error"] == "ENOSPC"


def test_a_lagging_task_is_slow_without_errors(task: Task) -> None:
    task.process.send_signal(signal.SIGWINCH)
    wait_until(lambda: task.metrics()["nodejs_eventloop_delay_max_seconds"] > 1, "the lag is measured")

    assert task.get("/api/charts/probe")[0] == 200
    assert task.live
    (line,) = task.lines()
    assert line["duration"] >= 450
    assert "dependency" not in line


def test_leaked_connections_hang_requests_and_nothing_else(task: Task) -> None:
    assert task.get("/api/charts/probe")[0] == 200
    task.process.send_signal(signal.SIGUSR1)

    def hangs() -> bool:
        try:
            task.get("/api/charts/probe", timeout_s=1)
        except TimeoutError:
            return True
        return False

    wait_until(hangs, "reads hang")
    assert task.live
    assert task.get("/readyz")[0] == 200


def test_the_flag_breaks_reading_charts_until_it_is_off(task: Task, parts: Parts) -> None:
    parts.flags.turn("new-chart-view", on=True, by="test")
    try:
        wait_until(lambda: task.get("/api/charts/probe")[0] == 500, "reading charts fails")
        assert task.post("key-4", tenant="synthetic", note="x")[0] == 201
    finally:
        parts.flags.turn("new-chart-view", on=False, by="test")
    wait_until(lambda: task.get("/api/charts/probe")[0] == 200, "reading charts works again")


def test_a_release_with_errors_lives_and_fails_its_chart_routes(start: Any) -> None:
    task = start(RELEASE_DEFECT="errors")

    assert task.get("/readyz")[0] == 200
    assert task.get("/api/charts/probe") == (500, {"error": "internal error"})
    assert task.post("key-5", tenant="synthetic", note="x")[0] == 500
    assert task.get("/login")[0] == 200


def test_a_release_that_crashes_names_the_setting(parts: Parts, tmp_path: Path) -> None:
    task = Task(parts, tmp_path, RELEASE_DEFECT="crash")

    assert task.process.wait(30) == 1
    assert "Configuration error" in task.log.read_text()


def test_a_task_is_small(task: Task) -> None:
    for _ in range(50):
        task.get("/api/charts/probe")

    assert psutil.Process(task.process.pid).memory_info().rss < 50 * 1024 * 1024
