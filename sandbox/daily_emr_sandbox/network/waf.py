"""Web ACL evaluation, and the sampled requests that GetSampledRequests shows.

Rules are WAFv2 JSON as moto keeps it. A sample never holds a query string, a body, a cookie or an id in the
path: the path is reduced to a template, because the real one may name a patient.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import re
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SAMPLES_KEPT = 500
"""Most samples that AWS returns for one rule."""
LITERAL_SEGMENT = re.compile(r"[a-z]{1,20}(?:[-_][a-z]{1,20})*\Z")
Sample = dict[str, Any]
"""One entry of SampledRequests."""
SAMPLED_HEADERS = ("Host", "User-Agent")


@dataclass(frozen=True)
class Request:
    """What a rule may look at."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    """Names in lower case."""
    client: str


@dataclass(frozen=True)
class Verdict:
    """Action (ALLOW or BLOCK), metric name of the rule that decided, and of the rules that only counted."""

    action: str
    rule: str
    counted: tuple[str, ...] = ()
    status: int = 403


def path_template(path: str) -> str:
    """`/api/charts/81723` -> `/api/charts/{id}`.

    Only the noun stays (the first word, or the one after `api`): anything behind it may name somebody.
    """
    segments = path.split("/")
    nouns = 3 if segments[1:2] == ["api"] else 2
    return "/".join(
        segment if not segment or (place < nouns and LITERAL_SEGMENT.match(segment)) else "{id}"
        for place, segment in enumerate(segments)
    )


class WebAcl:
    """One web ACL as it stands in a snapshot of the control plane."""

    def __init__(
        self, *, arn: str, metric: str, rules: list[dict[str, Any]], default_action: dict[str, Any],
        ip_sets: Mapping[str, list[str]],
    ) -> None:  # fmt: skip
        self.arn, self.metric = arn, metric
        self._rules = sorted(rules, key=lambda rule: rule["Priority"])
        self._default = "BLOCK" if "Block" in default_action else "ALLOW"
        self._ip_sets = {key: [ipaddress.ip_network(item) for item in items] for key, items in ip_sets.items()}

    def judge(self, request: Request, rates: Rates) -> Verdict:
        counted: list[str] = []
        for rule in self._rules:
            if not self._matches(rule["Statement"], request, rates, rule["Name"]):
                continue
            metric = (rule.get("VisibilityConfig") or {}).get("MetricName") or rule["Name"]
            action = rule.get("Action") or {}
            if "Block" in action:
                custom = (action["Block"] or {}).get("CustomResponse") or {}
                return Verdict("BLOCK", metric, tuple(counted), int(custom.get("ResponseCode", 403)))
            if "Allow" in action:
                return Verdict("ALLOW", metric, tuple(counted))
            counted.append(metric)
        return Verdict(self._default, "Default_Action", tuple(counted))

    def _matches(self, statement: dict[str, Any], request: Request, rates: Rates, rule: str) -> bool:
        ((kind, body),) = ((key, value) for key, value in statement.items() if value is not None)
        if kind == "AndStatement":
            return all(self._matches(part, request, rates, rule) for part in body["Statements"])
        if kind == "OrStatement":
            return any(self._matches(part, request, rates, rule) for part in body["Statements"])
        if kind == "NotStatement":
            return not self._matches(body["Statement"], request, rates, rule)
        if kind == "ByteMatchStatement":
            return _byte_match(body, request)
        if kind == "IPSetReferenceStatement":
            address = ipaddress.ip_address(_source(body.get("IPSetForwardedIPConfig"), request))
            return any(address in network for network in self._ip_sets.get(body["ARN"], []))
        if kind == "RateBasedStatement":
            scope = body.get("ScopeDownStatement")
            if scope and not self._matches(scope, request, rates, rule):
                return False
            source = _source(body.get("ForwardedIPConfig"), request)
            hits = rates.hit((self.arn, rule, source), float(body.get("EvaluationWindowSec", 300)))
            return hits > int(body["Limit"])
        return False  # managed rule groups and the like match nothing here


def _source(forwarded: dict[str, Any] | None, request: Request) -> str:
    if forwarded and (header := request.headers.get(forwarded["HeaderName"].lower())):
        return header.split(",")[0].strip()
    return request.client


def _byte_match(body: dict[str, Any], request: Request) -> bool:
    wanted = _text(body["SearchString"])
    value = _field(body["FieldToMatch"], request)
    if value is None:
        return False
    for step in sorted(body.get("TextTransformations", []), key=lambda item: item["Priority"]):
        if step["Type"] == "LOWERCASE":
            value = value.lower()
    tests: dict[str, bool] = {
        "EXACTLY": value == wanted,
        "STARTS_WITH": value.startswith(wanted),
        "ENDS_WITH": value.endswith(wanted),
        "CONTAINS": wanted in value,
        "CONTAINS_WORD": re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", value) is not None,
    }
    return tests[body["PositionalConstraint"]]


def _text(search: Any) -> str:
    """SearchString is a blob: base64 on the wire, bytes when set in process."""
    if isinstance(search, bytes):
        return search.decode()
    try:
        return base64.b64decode(search, validate=True).decode()
    except ValueError:
        return str(search)


def _field(field: dict[str, Any], request: Request) -> str | None:
    if "UriPath" in field:
        return request.path
    if "QueryString" in field:
        return request.query
    if "Method" in field:
        return request.method
    if "SingleHeader" in field:
        return request.headers.get(field["SingleHeader"]["Name"].lower())
    return None


class Rates:
    """Requests of each source in a sliding window; the window is divided by the time factor."""

    def __init__(self, time_factor: float) -> None:
        self._time_factor = time_factor
        self._hits: defaultdict[tuple[str, str, str], deque[float]] = defaultdict(deque)

    def hit(self, key: tuple[str, str, str], window_s: float) -> int:
        moment, hits = time.monotonic(), self._hits[key]
        hits.append(moment)
        while hits[0] < moment - window_s / self._time_factor:
            hits.popleft()
        return len(hits)


class Samples:
    """Sampled requests by (web ACL ARN, metric name of the rule), newest last, in the form of the API."""

    def __init__(self) -> None:
        self._kept: defaultdict[tuple[str, str], deque[Sample]] = defaultdict(lambda: deque(maxlen=SAMPLES_KEPT))

    def add(self, web_acl: str, rule: str, action: str, request: Request) -> None:
        sent = {name: request.headers.get(name.lower()) for name in SAMPLED_HEADERS}
        headers = [{"Name": name, "Value": value} for name, value in sent.items() if value is not None]
        sample = {
            "Request": {
                "ClientIP": request.client,
                "Country": "KE",
                "URI": path_template(request.path),
                "Method": request.method,
                "HTTPVersion": "HTTP/1.1",
                "Headers": headers,
            },
            "Weight": 1,
            "Timestamp": dt.datetime.now(dt.UTC),
            "Action": action,
            "ResponseCodeSent": 403 if action == "BLOCK" else None,
        }
        self._kept[web_acl, rule].append({key: value for key, value in sample.items() if value is not None})

    def between(self, web_acl: str, rule: str, start: dt.datetime, end: dt.datetime) -> list[Sample]:
        """Samples of a rule in a time window; `ALL` is every rule of the web ACL."""
        wanted = [key for key in list(self._kept) if key[0] == web_acl and rule in {"ALL", key[1]}]
        return [s for key in wanted for s in list(self._kept[key]) if start <= s["Timestamp"] <= end]
