# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: HTTP probes of a web service. May change without notice.

"""What users and the load balancer would see: one request, one answer, never an exception."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

from ansible_collections.daily_emr.ops.plugins.module_utils._clients import gather
from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import failure_class
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

try:
    import urllib3
except ImportError:  # only where modules are imported without boto3, as ansible-test does; Clients refuses to start
    urllib3 = None  # type: ignore[assignment]

# A row that every environment has, of a synthetic tenant; no patient is behind it.
CHART_PATH = "/api/charts/probe"
CHARTS_PATH = "/api/charts"
CHARTS_ROUTE = "/api/charts"
_BODY_BYTES = 64_000
_OK, _BLOCKED = 200, 403


@dataclass(frozen=True)
class Answer:
    """One answer. status is the HTTP status; without one, failure says why: timeout, refused, tls or error."""

    status: int | None
    failure: str
    ms: int
    body: Json = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.status == _OK

    @property
    def blocked(self) -> bool:
        return self.status == _BLOCKED

    @property
    def seen(self) -> str:
        """The answer in a word, for a record: nothing of its body."""
        return f"{self.status} in {self.ms} ms" if self.status else f"{self.failure} after {self.ms} ms"


def request(
    method: str, url: str, *, timeout_s: float, host: str = "", headers: Json | None = None, body: Json | None = None
) -> Answer:
    """Send one HTTP request, following no redirect and retrying nothing.

    host is the name the application is asked for when the URL holds an address; it is also what TLS checks.
    """
    sent = {"User-Agent": "daily-emr-runbook", "Cache-Control": "no-cache", **(headers or {})}
    tls: Json = {}
    if host and not url.startswith("https://" + host):
        sent["Host"] = host
        tls = {"server_hostname": host, "assert_hostname": host} if url.startswith("https:") else {}
    timeout = urllib3.Timeout(total=timeout_s)
    started = time.monotonic()
    status, failure, found = None, "", {}
    try:
        with urllib3.PoolManager(retries=False, timeout=timeout, **tls) as pool:
            reply = pool.request(method, url, headers=sent, json=body, redirect=False, preload_content=False)
            status = reply.status
            found = _object(reply.read(_BODY_BYTES))
    except (urllib3.exceptions.TimeoutError, TimeoutError):
        status, failure = None, "timeout"
    except urllib3.exceptions.SSLError:
        failure = "tls"
    except urllib3.exceptions.NewConnectionError:
        failure = "refused"
    except (urllib3.exceptions.HTTPError, OSError):
        status, failure = None, "error"
    return Answer(status, failure, round((time.monotonic() - started) * 1000), found)


def _object(text: bytes) -> Json:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def probe(base_url: str, path: str, *, timeout_s: float, host: str = "") -> Answer:
    return request("GET", urljoin(base_url, path), timeout_s=timeout_s, host=host)


@dataclass(frozen=True)
class TaskProbe:
    """What one task answered: is it alive, what does it say of its dependencies, does it serve a chart."""

    id: str
    zone: str
    revision: str
    started_at: str
    live: Answer
    ready: Answer
    chart: Answer

    @property
    def checks(self) -> dict[str, Json]:
        """The checks of /readyz: {name: {"status", "ms", "reason"}}; empty when it did not answer in that form."""
        checks = self.ready.body.get("checks")
        if not isinstance(checks, dict):
            return {}
        return {str(name): check for name, check in checks.items() if isinstance(check, dict) and "status" in check}

    def reason(self, name: str) -> str | None:
        """Why a dependency fails for this task; empty when it does not, None when the task does not say."""
        check = self.checks.get(name)
        if check is None:
            return None
        return "" if check["status"] == "ok" else failure_class(check)

    @property
    def content(self) -> bool:
        """Whether the task says that all its dependencies answer; no word of them is not that."""
        return bool(self.checks) and not any(self.reason(name) for name in self.checks)

    @property
    def silent(self) -> bool:
        """Whether nothing at all came back."""
        return all(answer.status is None for answer in (self.live, self.ready, self.chart))

    def ms(self, name: str) -> float | None:
        """Milliseconds the dependency took, None when the task does not say."""
        taken = self.checks.get(name, {}).get("ms")
        return float(taken) if isinstance(taken, (int, float)) else None

    @property
    def serves(self) -> bool:
        return self.ready.ok and self.chart.ok


def probe_task(task: Json, port: int, timeout_s: float, host: str) -> TaskProbe:
    """Ask one task everything at once, past the load balancer."""
    if not task["address"]:
        nothing = Answer(None, "error", 0)
        answers: dict[str, Any] = {"live": nothing, "ready": nothing, "chart": nothing}
    else:
        base = f"http://{task['address']}:{port}"
        answers = gather(
            live=lambda: probe(base, "/livez", timeout_s=timeout_s, host=host),
            ready=lambda: probe(base, "/readyz", timeout_s=timeout_s, host=host),
            chart=lambda: probe(base, CHART_PATH, timeout_s=timeout_s, host=host),
        )
    return TaskProbe(task["id"], task["zone"] or "", task["revision"], task["started_at"], **answers)
