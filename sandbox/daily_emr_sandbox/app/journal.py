"""What a request leaves behind: one line of JSON on standard output, and the numbers of /metrics.

Neither has anything that names somebody: no path, no id, no body, no header. A tenant is a hash. Requests that the
platform makes (health checks, version, metrics) are no traffic and leave nothing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from typing import TypeVar

from .pool import Closable, Pool

C = TypeVar("C", bound=Closable)

ROUTES = {
    "/login",
    "/api/charts",
    "/api/charts/:id",
    "/api/appointments",
    "/api/claims",
    "/api/claims/eligibility",
    "/api/reports",
}
OTHER = "other"
PLATFORM = {"/livez", "/readyz", "/version", "/metrics"}
TENANT_HEADER = "X-Tenant"
SLOW_MS = 250
"""A dependency that took longer is named, also when the request succeeded."""
LE = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.6, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper bounds that OpenTelemetry advises for HTTP durations, in seconds, and 0.6 s: the objective for latency."""


def route_of(path: str) -> str:
    """Template of a path: what of it may be logged."""
    if path.startswith("/api/charts/") and path.count("/") == len(("api", "charts", "id")):
        return "/api/charts/:id"
    return path if path in ROUTES | PLATFORM else OTHER


def tenant_hash(name: str) -> str:
    """The same for a tenant in every task and every release."""
    return hashlib.sha256(name.encode()).hexdigest()[:12]


@dataclass
class Seen:
    """What is found out while a request is answered."""

    dependencies: list[tuple[str, int, bool]] = field(default_factory=list)
    """Name, milliseconds, whether it failed; in the order of their use."""
    error: str | None = None
    """Code of the first error; never its text, which may hold values."""

    def blamed(self) -> tuple[str, int] | None:
        """The dependency that failed, else the slowest one when it was slow."""
        failed = [(name, ms) for name, ms, bad in self.dependencies if bad]
        slow = [(name, ms) for name, ms, _ in self.dependencies if ms >= SLOW_MS]
        return failed[0] if failed else max(slow, key=lambda one: one[1], default=None)


_current = threading.local()


def seen() -> Seen:
    """Of the request that this thread answers."""
    found: Seen | None = getattr(_current, "seen", None)
    if found is None:
        found = _current.seen = Seen()
    return found


@contextmanager
def dependency(name: str) -> Iterator[None]:
    """Times what is done with a dependency; an exception means that it failed."""
    started, failed = time.monotonic(), True
    try:
        yield
        failed = False
    except Exception as error:
        note_error(error)
        raise
    finally:
        seen().dependencies.append((name, _ms(started), failed))


def note_error(error: Exception) -> None:
    """Remember an error by its code or class; the first one of a request is the one that counts."""
    number = error.errno if isinstance(error, OSError) else None
    code = errno.errorcode.get(number, "") if isinstance(number, int) else ""
    seen().error = seen().error or code or type(error).__name__


class Watched(Pool[C]):
    """A pool whose every use is timed under the name of what it leads to, waiting for a connection included."""

    def __init__(self, name: str, connect: Callable[[], C], size: int, wait_s: float) -> None:
        super().__init__(connect, size, wait_s)
        self._name = name

    @contextmanager
    def connection(self) -> Iterator[C]:
        with dependency(self._name), super().connection() as lent:
            yield lent


class Journal:
    """Log and metrics of one task.

    Args:
        version: release, revision, task and zone.
        paused_s: the longest pause of the event loop, a number of its own in the metrics.
    """

    def __init__(self, version: Mapping[str, str], paused_s: Callable[[], float]) -> None:
        self._names = {name: version[name] for name in ("release", "revision", "task", "zone")}
        self._paused_s = paused_s
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, int], list[int]] = {}
        self._sums: dict[tuple[str, str, int], float] = {}

    def begin(self) -> None:
        _current.seen = Seen()

    def end(self, method: str, path: str, headers: Message, status: int, started: float) -> None:
        """A request was answered; `started` is monotonic."""
        route = route_of(path)
        if route in PLATFORM:
            return
        seconds = time.monotonic() - started
        self._count((route, method, status), seconds)
        line = {
            "time": time.time_ns() // 1_000_000,
            "route": route,
            "method": method,
            "status": status,
            "duration": round(seconds * 1000, 1),
            **self._names,
        }
        if tenant := headers.get(TENANT_HEADER):
            line["tenant"] = tenant_hash(tenant)
        if blamed := seen().blamed():
            line["dependency"], line["dependency_ms"] = blamed
        if (error := seen().error) and status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            line["error"] = error
        sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
        sys.stdout.flush()

    def _count(self, key: tuple[str, str, int], seconds: float) -> None:
        with self._lock:
            buckets = self._counts.setdefault(key, [0] * (len(LE) + 1))
            buckets[bisect_left(LE, seconds)] += 1
            self._sums[key] = self._sums.get(key, 0.0) + seconds

    def metrics(self) -> str:
        """Prometheus text exposition, names and labels as OpenTelemetry's semantic conventions make them."""
        name = "http_server_request_duration_seconds"
        lines = [f"# HELP {name} Duration of HTTP server requests.", f"# TYPE {name} histogram"]
        with self._lock:
            taken = [(key, list(buckets), self._sums[key]) for key, buckets in self._counts.items()]
        for (route, method, status), buckets, total in taken:
            labels = (
                f'http_route="{route}",http_request_method="{method}",http_response_status_code="{status}",'
                f'service_version="{self._names["release"]}",zone="{self._names["zone"]}"'
            )
            reached = 0
            for bound, count in zip((*LE, "+Inf"), buckets, strict=True):
                reached += count
                lines.append(f'{name}_bucket{{{labels},le="{bound}"}} {reached}')
            lines += [f"{name}_sum{{{labels}}} {total:.6f}", f"{name}_count{{{labels}}} {reached}"]
        delay = "nodejs_eventloop_delay_max_seconds"
        lines += [f"# HELP {delay} Event loop maximum delay.", f"# TYPE {delay} gauge", f"{delay} {self._paused_s():g}"]
        return "\n".join(lines) + "\n"


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
