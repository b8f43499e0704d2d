# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: bad and valid requests as Prometheus counted them. May change without notice.

"""query_range: what the tasks answered, in the same steps as CloudWatch.

Without any error there is no series of errors, which is 0. Without any request there is no series of requests, which
is not 0: the tasks that would report them may all be dead. What the load balancer answers itself is not counted here.

https://prometheus.io/docs/prometheus/latest/querying/api/#range-queries
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from ansible_collections.daily_emr.ops.plugins.module_utils._clients import is_loopback
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, CallUnknown, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._http import request
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import listed

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
    from ansible_collections.daily_emr.ops.plugins.module_utils._slo import Series
    from ansible_collections.daily_emr.ops.plugins.module_utils._slo_spans import Pace, Span

_STEPS = 11_000  # the most of one answer
_MOST_BYTES = 64 * _STEPS
_TIMEOUT_S = 10.0
_CALL = "Prometheus:QueryRange"
_COUNT = "http_server_request_duration_seconds_count"
_BUCKET = "http_server_request_duration_seconds_bucket"
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_IS_5XX = 'http_response_status_code=~"5.."'


class Prometheus:
    """The HTTP API of one Prometheus.

    labels choose the service, {"job": "emr-web"} for example. scrape_s is how far apart two samples of a counter are.
    """

    def __init__(self, environment: Environment, url: str | None, labels: Mapping[str, str], scrape_s: int) -> None:
        self._url = (url or "").rstrip("/")
        parts = urlsplit(self._url)
        if not self._url:
            raise Refused("source is prometheus and prometheus_url is not set: set it, or read from cloudwatch.")
        if environment.sandbox and not is_loopback(self._url):
            raise Refused("prometheus_url of the sandbox is not a loopback address: correct it.")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Refused("prometheus_url is no http or https address: correct it.")
        wrong = [name for name in labels if not _LABEL.fullmatch(name)]
        if wrong:
            raise Refused(f"prometheus_labels has {listed(wrong)}, which is no name of a label: correct it.")
        if scrape_s <= 0:
            raise Refused(f"prometheus_scrape_seconds is {scrape_s}: it must be more than 0.")
        self._scrape_s = scrape_s
        self._labels = [f"{name}={_quoted(value)}" for name, value in labels.items()]

    def requests(self, pace: Pace, spans: Sequence[Span]) -> Series:
        """Requests that were answered with a 5xx, among all."""

        def bad(period: int) -> str:
            return f"({self._increase(period, _COUNT, _IS_5XX)} or vector(0))"

        return self._series(bad, pace, spans)

    def slow(self, slow_s: float, pace: Pace, spans: Sequence[Span]) -> Series:
        """Requests that took longer than slow_s, among all; no value without a bucket that ends there."""

        def bad(period: int) -> str:
            fast = self._increase(period, _BUCKET, f'le="{slow_s:g}"')
            return f"{self._increase(period, _COUNT)} - {fast}"

        return self._series(bad, pace, spans)

    def _increase(self, period: int, metric: str, *more: str) -> str:
        """The increase over a step and the time between two scrapes.

        Samples that lie within a step have the requests of one interval less between them than the step has; increase()
        would make them up from the others. One interval more, and each request is counted in exactly one step.
        """
        labels = ",".join((*more, *self._labels))
        return f"sum(increase({metric}{{{labels}}}[{period + self._scrape_s}s]))"

    def _series(self, bad: Callable[[int], str], pace: Pace, spans: Sequence[Span]) -> Series:
        counted: dict[int, dict[datetime, tuple[float, float]]] = {}
        for span in spans:
            found = self._values(bad(span.period), span)
            valid = self._values(self._increase(span.period, _COUNT), span)
            counted.setdefault(span.period, {}).update(
                {at: (max(found[at], 0.0), count) for at, count in valid.items() if at in found}
            )
        return pace.series(counted)

    def _values(self, expression: str, span: Span) -> dict[datetime, float]:
        """Value of each step, by its beginning."""
        step = timedelta(seconds=span.period)
        share = span.period / (span.period + self._scrape_s)
        values: dict[datetime, float] = {}
        for part in span.pages(_STEPS):
            # A step is counted where it ends; the last one may end after the span.
            last = part.start + math.ceil((part.end - part.start) / step) * step
            asked = {
                "query": expression,
                "start": (part.start + step).timestamp(),
                "end": last.timestamp(),
                "step": span.period,
            }
            for moment, value in self._ask(asked):
                values[datetime.fromtimestamp(moment, UTC) - step] = value * share
        return values

    def _ask(self, asked: Mapping[str, Any]) -> list[tuple[float, float]]:
        url = f"{self._url}/api/v1/query_range?{urlencode(asked)}"
        answer = request("GET", url, timeout_s=_TIMEOUT_S, most_bytes=_MOST_BYTES)
        if answer.status is None:
            raise CallUnknown(f"{_CALL} got no answer: {answer.seen}.")
        if not answer.ok:
            raise CallFailed(f"{_CALL} was answered with status {answer.status}.")
        body = answer.body
        if body.get("warnings"):
            raise CallUnknown(f"{_CALL} was answered with warnings: a part of the values may be missing.")
        data = body.get("data")
        if body.get("status") != "success" or not isinstance(data, dict) or data.get("resultType") != "matrix":
            raise CallUnknown(f"{_CALL} was answered with something that is no range of values.")
        # A sum is one series at most; an empty result is no value, not 0.
        try:
            points = [(float(at), float(value)) for series in data["result"][:1] for at, value in series["values"]]
        except (LookupError, TypeError, ValueError):
            raise CallUnknown(f"{_CALL} was answered with values that are no numbers.") from None
        return [(at, value) for at, value in points if math.isfinite(value)]


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
