"""CloudWatch and Prometheus as they would have counted the same requests."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]

INCREASE = re.compile(r"sum\(increase\((\w+)\{([^}]*)\}\[(\d+)s\]\)\)")


@dataclass(frozen=True)
class Answered:
    """One request: when it was answered, with which status, by whom and how fast."""

    at: float
    status: int = 200
    by_target: bool = True
    seconds: float = 0.05


class CloudWatch:
    """GetMetricData over requests: one value for each period in which something was counted."""

    def __init__(self, requests: Iterable[Answered], canaries: dict[str, dict[float, float]] | None = None) -> None:
        self.requests, self.canaries = list(requests), canaries or {}
        self.asked: list[Json] = []

    def answer(self, params: Json) -> Json:
        self.asked.append(params)
        series: dict[str, dict[float, float]] = {}
        start, end = (params[name].timestamp() for name in ("StartTime", "EndTime"))
        for query in params["MetricDataQueries"]:
            first = start // query["MetricStat"]["Period"] * query["MetricStat"]["Period"]
            found = self._metric(query["MetricStat"])
            series[query["Id"]] = {at: value for at, value in found.items() if first <= at < end}
        return {
            "MetricDataResults": [
                {
                    "Id": query["Id"],
                    "Timestamps": [datetime.fromtimestamp(at, UTC) for at in sorted(series[query["Id"]], reverse=True)],
                    "Values": [value for _at, value in sorted(series[query["Id"]].items(), reverse=True)],
                    "StatusCode": "Complete",
                }
                for query in params["MetricDataQueries"]
            ]
        }

    def _metric(self, stat: Json) -> dict[float, float]:
        name, period = stat["Metric"]["MetricName"], stat["Period"]
        dimensions = {item["Name"]: item["Value"] for item in stat["Metric"]["Dimensions"]}
        found: Counter[float] = Counter()
        if stat["Stat"] == "p95":
            return self._p95(period)
        if name == "SuccessPercent":
            for at, percent in self.canaries.get(dimensions["CanaryName"], {}).items():
                found[at // period * period] += percent if stat["Stat"] == "Sum" else 1
            return dict(found)
        kind = re.fullmatch(r"HTTPCode_(ELB|Target)_(\d)XX_Count", name)
        for request in self.requests:
            begin = request.at // period * period
            if kind and (kind[1] == "Target") == request.by_target and int(kind[2]) == request.status // 100:
                found[begin] += 1
            if name == "TargetResponseTime" and request.by_target:
                limit = re.fullmatch(r"TC\(:([\d.]+)\)", stat["Stat"])
                if not limit or request.seconds <= float(limit[1]):
                    found[begin] += 1
        return dict(found)

    def _p95(self, period: int) -> dict[float, float]:
        """Of the times of what targets answered: the nearest rank."""
        times: dict[float, list[float]] = {}
        for request in self.requests:
            if request.by_target:
                times.setdefault(request.at // period * period, []).append(request.seconds)
        return {begin: sorted(some)[math.ceil(len(some) * 0.95) - 1] for begin, some in times.items()}


class PrometheusServer:
    """query_range over the counters of one task, scraped every so many seconds."""

    def __init__(self, requests: Iterable[Answered], scrape_s: int = 15, offset_s: int = 7) -> None:
        self.scrape_s, self.offset_s = scrape_s, offset_s
        self.queries: list[dict[str, str]] = []
        # What is answered instead, when a test wants that.
        self.instead: tuple[int, Any] | None = None
        self.lost: tuple[float, float] = (0.0, 0.0)
        self.counters: dict[str, dict[float, int]] = {}
        ordered = sorted((request for request in requests if request.by_target), key=lambda request: request.at)
        for name, counted in (
            ("all", ordered),
            ("5xx", [request for request in ordered if request.status >= 500]),
            ("fast", [request for request in ordered if request.seconds <= 0.6]),
        ):
            self.counters[name] = self._scrape(counted, ordered) if counted else {}

    def _scrape(self, counted: list[Answered], ordered: list[Answered]) -> dict[float, int]:
        first = ordered[0].at // self.scrape_s * self.scrape_s + self.offset_s - self.scrape_s
        samples, total = {}, 0
        waiting = iter(counted)
        request = next(waiting, None)
        while first <= ordered[-1].at + self.scrape_s:
            while request and request.at <= first:
                total, request = total + 1, next(waiting, None)
            samples[first] = total
            first += self.scrape_s
        return samples

    def value(self, counter: dict[float, int], at: float, over: float) -> float | None:
        """increase(counter[over]) at a time, made up at the edges of the window as Prometheus does."""
        if not counter or at < next(iter(counter)) or at - over > next(reversed(counter)):
            return None
        lost_from, lost_to = self.lost
        first = self.offset_s + (at - over - self.offset_s) // self.scrape_s * self.scrape_s
        moments = [first + number * self.scrape_s for number in range(int(over // self.scrape_s) + 3)]
        times = [one for one in moments if at - over < one <= at and one in counter and not lost_from <= one < lost_to]
        if len(times) < 2:
            return None
        span, growth = times[-1] - times[0], counter[times[-1]] - counter[times[0]]
        average, before, after = span / (len(times) - 1), times[0] - (at - over), at - times[-1]
        if growth > 0 and counter[times[0]] >= 0:
            before = min(before, span * counter[times[0]] / growth)
        limit = average * 1.1
        before, after = (one if one < limit else average / 2 for one in (before, after))
        return growth * (span + before + after) / span

    def evaluate(self, query: str, at: float) -> float | None:
        found = []
        for _metric, labels, seconds in INCREASE.findall(query):
            name = "5xx" if "http_response_status_code" in labels else "fast" if "le=" in labels else "all"
            found.append(self.value(self.counters[name], at, float(seconds)))
        if query.endswith("or vector(0))"):
            return found[0] or 0.0
        if len(found) == 1:
            return found[0]
        return None if None in found else found[0] - found[1]

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
                server.queries.append({"path": parts.path, **asked})
                status, body = server.instead or (200, server.range(asked))
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_args: Any) -> None:
                """Quiet."""

        return Handler

    def range(self, asked: dict[str, str]) -> Json:
        start, end, step = (float(asked[name]) for name in ("start", "end", "step"))
        count = int((end - start) // step) + 1
        assert count <= 11_000, "Prometheus refuses more points than this"
        times = [start + number * step for number in range(count)]
        points = [(at, self.evaluate(asked["query"], at)) for at in times]
        values = [[at, str(value)] for at, value in points if value is not None]
        result = [{"metric": {}, "values": values}] if values else []
        return {"status": "success", "data": {"resultType": "matrix", "result": result}}
