"""Routes of the application."""

from __future__ import annotations

import json
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn

import psycopg

from . import clinic, database, readiness
from .cache import Cache, CacheRefused
from .flags import Flags
from .journal import PLATFORM, TENANT_HEADER, Journal, Watched, note_error, route_of
from .pool import Pool, PoolExhausted
from .trouble import Trouble

logger = logging.getLogger("emr")

POOL_SIZE = 4
POOL_WAIT_S = 30.0
"""As long as a browser waits: a wedged task hangs, it does not answer errors."""
CACHE_TIMEOUT_S = 2.0
SESSION_S = 3600
CHARTS = "/api/charts"
CHART = re.compile(rf"{CHARTS}/[^/]+")
NEW_CHART_VIEW = "new-chart-view"
READ_ONLY = "read-only"
CLAIMS_CIRCUIT = "claims-circuit"
ELIGIBILITY_CACHED = "claims-eligibility-cached"
CLAIMS_QUEUE_ONLY = "claims-submit-queue-only"
RETRY_AFTER_S = 60
BODY_LIMIT = 64 * 1024

Answer = tuple[int, dict[str, Any]]
Question = Callable[[Pool[database.Session], str], Answer]
"""What the caller's facility asks, answered from the database."""


class Application:
    """One task of one release.

    Args:
        environ: RELEASE and RELEASE_DEFECT of the image; DATABASE_URL and SESSION_PASSWORD from the secrets;
            TASK_* , DATABASE_PATH, CACHE_ADDRESS, LAUNCHDARKLY_URL and CLAIMS_URL from where the task runs.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.defect = environ.get("RELEASE_DEFECT", "")
        self.version = {
            "release": environ.get("RELEASE", "unknown"),
            "revision": environ.get("TASK_REVISION", "0"),
            "digest": environ.get("TASK_IMAGE_DIGEST", ""),
            "task": environ["TASK_ID"],
            "zone": environ.get("TASK_ZONE", ""),
        }
        to_database = database.connector(environ["DATABASE_URL"], environ["DATABASE_PATH"])
        to_cache = partial(Cache, environ["CACHE_ADDRESS"], environ.get("SESSION_PASSWORD", ""), CACHE_TIMEOUT_S)
        self.charts: Pool[database.Session] = Watched("database", to_database, POOL_SIZE, POOL_WAIT_S)
        self.sessions: Pool[Cache] = Watched("cache", to_cache, POOL_SIZE, POOL_WAIT_S)
        self.flags = Flags(environ.get("LAUNCHDARKLY_URL", ""))
        self.trouble = Trouble()
        self.journal = Journal(self.version, lambda: self.trouble.paused_s)
        self._questions: dict[tuple[str, str], Question] = {
            ("GET", "/api/appointments"): clinic.appointments,
            ("GET", "/api/reports"): clinic.report,
            ("POST", "/api/claims/eligibility"): partial(
                clinic.eligibility,
                claims_url=environ.get("CLAIMS_URL", ""),
                cut_off=lambda: self.flags.is_on(CLAIMS_CIRCUIT) or self.flags.is_on(ELIGIBILITY_CACHED),
            ),
        }
        self._checks = {
            "database": readiness.database_check(to_database),
            "cache": readiness.cache_check(to_cache),
        }
        # As a pool with a minimum does: what a task takes of the server's connections, it takes from its start.
        threading.Thread(target=self.charts.fill, daemon=True).start()
        # Log in before anybody asks: the first check of a slow database must not time out over the log-in.
        threading.Thread(target=self._ready, daemon=True).start()

    def answer(self, method: str, path: str, headers: Message, body: bytes) -> tuple[str, Answer]:
        """Route and answer of a request; the route, not the path, is what may be logged."""
        match method, path:
            case "GET", "/livez":
                return path, (200, {"status": "ok"})
            case "GET", "/readyz":
                return path, self._ready()
            case "GET", "/version":
                return path, (200, self.version)
            case "POST", ("/api/charts" | "/api/claims") if self.flags.is_on(READ_ONLY):
                return path, (503, {"error": READ_ONLY})
            case "GET", "/login":
                return path, self._guarded(self._log_in)
            case "POST", "/api/charts":
                return path, self._guarded(partial(self._write, headers.get("Idempotency-Key", ""), body))
            case "POST", "/api/claims":
                return path, self._guarded(partial(self._save_claim, body))
            case "GET", _ if CHART.fullmatch(path):
                chart_id = path.rsplit("/", 1)[1]
                return f"{CHARTS}/:id", self._guarded(partial(self._read, chart_id, headers))
            case question if question in self._questions:
                return path, self._guarded(partial(self._ask, self._questions[question], headers))
            case _:
                return "other", (404, {"error": "not found"})

    def _ready(self) -> Answer:
        with ThreadPoolExecutor(len(self._checks)) as together:
            checks = dict(zip(self._checks, together.map(readiness.Check.run, self._checks.values()), strict=True))
        ok = all(check["status"] == "ok" for check in checks.values())
        status = {"status": "ok" if ok else "fail", "release": self.version["release"], "task": self.version["task"]}
        return 200 if ok else 503, status | {"checks": checks}

    def _guarded(self, route: Callable[[], Answer]) -> Answer:
        """A dependency that fails makes a 503 with its name. Its error text may hold values: it is not even logged."""
        try:
            return route()
        except psycopg.Error as error:
            logger.error("database failed: %s", type(error).__name__)  # noqa: TRY400
            return 503, {"error": "database unavailable"}
        except (OSError, CacheRefused) as error:
            logger.error("cache failed: %s", type(error).__name__)  # noqa: TRY400
            return 503, {"error": "cache unavailable"}
        except PoolExhausted:
            logger.error("no connection became free")  # noqa: TRY400
            return 503, {"error": "busy"}

    def _log_in(self) -> Answer:
        session = secrets.token_urlsafe(16)
        with self.sessions.connection() as cache:
            cache.call("SET", f"session:{session}", "synthetic", "EX", str(SESSION_S))
        return 200, {"session": session}

    def _check_session(self, cookie: str) -> None:
        with self.sessions.connection() as cache:
            cache.call("EXISTS", f"session:{cookie.removeprefix('session=')}")

    def _ask(self, question: Question, headers: Message) -> Answer:
        """Answer a question about the caller's facility."""
        if self.defect == "errors":
            raise_defect("TypeError: undefined is not a function (navigation)")
        self._check_session(headers.get("Cookie", ""))
        return question(self.charts, headers.get(TENANT_HEADER, ""))

    def _read(self, chart_id: str, headers: Message) -> Answer:
        if self.defect == "errors":
            raise_defect("TypeError: undefined is not a function (chart summary)")
        if self.flags.is_on(NEW_CHART_VIEW):
            raise_defect("TypeError: cannot read properties of undefined (new chart view)")
        self._check_session(headers.get("Cookie", ""))
        with self.charts.connection() as session:
            chart = database.read_chart(session, chart_id, headers.get(TENANT_HEADER, ""))
        if chart is None:
            return 404, {"error": "no such chart"}
        clinic.check_settings(chart.settings)
        return 200, {"id": chart.id, "tenant": chart.tenant, "updated_at": chart.updated_at}

    def _write(self, key: str, body: bytes) -> Answer:
        if self.defect == "errors":
            raise_defect("TypeError: undefined is not a function (chart form)")
        try:
            chart = json.loads(body)
            tenant, note = chart["tenant"], chart["note"]
        except (ValueError, KeyError, TypeError):
            return 400, {"error": "tenant and note are required"}
        if not (isinstance(tenant, str) and isinstance(note, str) and key):
            return 400, {"error": "tenant, note and Idempotency-Key are required"}
        self._check_session("")
        with self.charts.connection() as session:
            return 201, {"id": database.write_chart(session, tenant, note, key)}

    def _save_claim(self, body: bytes) -> Answer:
        self._check_session("")
        return clinic.save_claim(self.charts, body, queue_only=self.flags.is_on(CLAIMS_QUEUE_ONLY))


class DefectError(Exception):
    """What a bug of a release throws."""


def raise_defect(text: str) -> NoReturn:
    raise DefectError(text)


class Handler(BaseHTTPRequestHandler):
    """HTTP edge of the application."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 70  # longer than the idle timeout of the load balancer, or it sees resets
    application: Application

    def handle_request_of(self, method: str) -> None:
        started = time.monotonic()
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_LIMIT:
            self.close_connection = True
            self._send(413, {"error": "too large"})
            return
        body = self.rfile.read(length)
        path = self.path.split("?", 1)[0]
        if path == "/metrics":
            self._send_text(200, "text/plain; version=0.0.4", self.application.journal.metrics())
            return
        self.application.journal.begin()
        try:
            if route_of(path) not in PLATFORM:
                self.application.trouble.meet()
            _, (status, answer) = self.application.answer(method, path, self.headers, body)
        except DefectError as error:
            note_error(TypeError(str(error)))
            logger.error("unhandled: %s", error)  # noqa: TRY400
            status, answer = 500, {"error": "internal error"}
        except Exception as error:  # noqa: BLE001 - a request never ends the task
            note_error(error)
            logger.error("unhandled: %s", type(error).__name__)  # noqa: TRY400
            status, answer = 500, {"error": "internal error"}
        # Noted first: who has an answer finds its line.
        self.application.journal.end(method, path, self.headers, status, started)
        self._send(status, answer)

    def do_GET(self) -> None:
        self.handle_request_of("GET")

    def do_POST(self) -> None:
        self.handle_request_of("POST")

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        later = {"Retry-After": str(RETRY_AFTER_S)} if answer.get("error") == READ_ONLY else {}
        self._send_text(status, "application/json", json.dumps(answer), later)

    def _send_text(self, status: int, content_type: str, text: str, more: Mapping[str, str] | None = None) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - name of the base class
        """Silent: the base class would log whole paths."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not worth a trace."""
