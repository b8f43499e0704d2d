# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: HTTP requests of probes. May change without notice.

"""One request, one answer, never an exception."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json

try:
    import urllib3
except ImportError:  # only where modules are imported without boto3, as ansible-test does; Clients refuses to start
    urllib3 = None  # type: ignore[assignment]

_BODY_BYTES = 64_000
_OK, _BLOCKED = 200, 403


@dataclass(frozen=True)
class Answer:
    """One answer. status is the HTTP status; without one, failure says why: timeout, refused, tls or error.

    body: the object that was answered; items: the objects, where it was a list of them. retry_after: the seconds that
    the server asks to wait before another try, None where it does not say.
    """

    status: int | None
    failure: str
    ms: int
    body: Json = field(default_factory=dict)
    items: list[Json] = field(default_factory=list)
    retry_after: float | None = None

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
    method: str,
    url: str,
    *,
    timeout_s: float,
    host: str = "",
    headers: Json | None = None,
    body: Json | None = None,
    most_bytes: int = _BODY_BYTES,
) -> Answer:
    """Send one HTTP request, following no redirect and retrying nothing.

    host is the name the application is asked for when the URL holds an address; it is also what TLS checks.
    Of an answer longer than most_bytes the rest stays unread, and its body is empty.
    """
    sent = {"User-Agent": "daily-emr-runbook", "Cache-Control": "no-cache", **(headers or {})}
    tls: Json = {}
    if host and not url.startswith("https://" + host):
        sent["Host"] = host
        tls = {"server_hostname": host, "assert_hostname": host} if url.startswith("https:") else {}
    timeout = urllib3.Timeout(total=timeout_s)
    started = time.monotonic()
    status, failure, found, wait = None, "", None, None
    try:
        with urllib3.PoolManager(retries=False, timeout=timeout, **tls) as pool:
            reply = pool.request(method, url, headers=sent, json=body, redirect=False, preload_content=False)
            status = reply.status
            wait = _seconds(reply.headers.get("Retry-After", ""))
            found = _json(reply.read(most_bytes))
    except urllib3.exceptions.NewConnectionError:  # before timeouts: to urllib3 it is one of them
        failure = "refused"
    except (urllib3.exceptions.TimeoutError, TimeoutError):
        status, failure = None, "timeout"
    except urllib3.exceptions.SSLError:
        failure = "tls"
    except (urllib3.exceptions.HTTPError, OSError):
        status, failure = None, "error"
    body = found if isinstance(found, dict) else {}
    items = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return Answer(status, failure, round((time.monotonic() - started) * 1000), body, items, wait)


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _seconds(text: str) -> float | None:
    """The number of seconds in a header; a date, which is allowed too, says nothing here."""
    try:
        return max(float(text), 0.0)
    except ValueError:
        return None


def probe(base_url: str, path: str, *, timeout_s: float, host: str = "") -> Answer:
    return request("GET", urljoin(base_url, path), timeout_s=timeout_s, host=host)
