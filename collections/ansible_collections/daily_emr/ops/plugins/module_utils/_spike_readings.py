# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: everything an error attribution reads. May change without notice.

"""Read the traffic, the request log and the changes around it.

The traffic says since when; only then the log is asked about that time, all dimensions at once, and what was changed
around it. Without an onset nobody asks for its suspects.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._attribution import (
    DIMENSIONS,
    Onset,
    change_point,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._balancer import read_balancer
from ansible_collections.daily_emr.ops.plugins.module_utils._chains import Chains
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import gather
from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import secret_changed_at
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._health_readings import read_flags
from ansible_collections.daily_emr.ops.plugins.module_utils._launchdarkly import LaunchDarkly
from ansible_collections.daily_emr.ops.plugins.module_utils._listeners import read_forwards
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import read_history, read_service
from ansible_collections.daily_emr.ops.plugins.module_utils._request_log import (
    BAD_BY_ALL,
    CLIENT_ERRORS,
    NoLogGroup,
    ask,
    requests_by,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._traffic import Traffic, read_traffic
from ansible_collections.daily_emr.ops.plugins.module_utils._waf import counted_requests, counts_clients, read_acl
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, Readings, iso, parse_utc

if TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

# How far to look back where no onset is found, at the pace of AWS.
_USUAL_WINDOW_S = 900.0
# Insights counts by whole seconds, and the sandbox is fast: a window is never shorter than this.
_SHORTEST_WINDOW_S = 10.0
# Of requests that WAF sampled; WAF samples in steps of its own.
_COUNTED_WINDOW_S, _SHORTEST_SAMPLED_S = 300.0, 60.0
# Metrics are late and clocks apart: a change may seem to come after what it caused, by two periods at least.
SUSPECT_BEFORE_S, _SUSPECT_AFTER_S = 3600.0, 300.0
_LATE_PERIODS = 2
# CloudTrail gives 50 events a page and takes two calls a second.
_EVENT_PAGES = 3
_EVENTS = 50
# Sources whose writes are bookkeeping and change nothing that users could feel.
_NOISE = {f"{name}.amazonaws.com" for name in ("cloudtrail", "dynamodb", "kms", "logs", "monitoring", "sts")}
LOG_READINGS = ("bad", "client_errors", "known_bad", *(f"requests_by_{dimension}" for dimension in DIMENSIONS))


@dataclass(frozen=True)
class Period:
    """What the counts of the log are about, and what came before it."""

    start: datetime
    end: datetime
    onset: Onset | None
    known_from: datetime
    suspect_from: datetime
    suspect_to: datetime
    """Between these two a change may have made the onset."""


def read_all(clients: Clients, service: Json, now: datetime, since: datetime | None) -> Readings:
    """Every reading an attribution needs; what could not be read is named with its reason."""
    return _Look(clients, service, now, since).everything()


class _Look(Chains):
    def __init__(self, clients: Clients, service: Json, now: datetime, since: datetime | None) -> None:
        super().__init__()
        self.clients, self.service, self.now, self.since = clients, service, now, since
        self.ecs = service["cluster"], service["service"]

    def everything(self) -> Readings:
        chains = (self.traffic, self.releases, self.flags, self.secrets, self.rules)
        gather(**{chain.__name__: chain for chain in chains})
        return self.readings

    def traffic(self) -> None:
        self.take(balancer=lambda: read_balancer(self.clients, self.service["load_balancer"]))
        if self.known("balancer", "traffic"):
            arn = self.readings.values["balancer"]["arn"]
            self.take(traffic=lambda: read_traffic(self.clients, arn, self.now))
        period = self.period(self.readings.values.get("traffic"))
        gather(log=lambda: self.log(period), changes=lambda: self.changes(period))

    def period(self, traffic: Traffic | None) -> Period:
        back = max(self.clients.environment.seconds(_USUAL_WINDOW_S), _SHORTEST_WINDOW_S)
        onset = change_point(traffic.points) if traffic and self.since is None else None
        start = self.since or (onset.at if onset else self.now - timedelta(seconds=back))
        start = min(start, self.now - timedelta(seconds=_SHORTEST_WINDOW_S)) if self.since is None else start
        oldest = traffic.minutes[0].at if traffic and traffic.minutes else start
        seconds, began = self.clients.environment.seconds, onset.at if onset else start
        late_s = max(seconds(_SUSPECT_AFTER_S), _LATE_PERIODS * traffic.period_s if traffic else 0.0)
        suspect_from = began - timedelta(seconds=seconds(SUSPECT_BEFORE_S))
        suspect_to = min(began + timedelta(seconds=late_s), self.now)
        found = Period(start, self.now, onset, min(oldest, start), suspect_from, suspect_to)
        self.readings.values["period"] = found
        return found

    def log(self, period: Period) -> None:
        group = self.service.get("log_group")
        values, missing = self.readings.values, self.readings.unread
        values["no_logs"] = ""
        if not group:
            why = values["no_logs"] = "the service names no log_group"
            missing |= dict.fromkeys(LOG_READINGS, why)
            return

        def read(query: str, start: datetime, end: datetime) -> list[Json]:
            try:
                return ask(self.clients, group, query, start, end)
            except NoLogGroup as error:
                values["no_logs"] = error.sentence
                raise

        during = (period.start, period.end)
        calls: dict[str, Callable[[], list[Json]]] = {
            f"requests_by_{dimension}": partial(read, requests_by(dimension), *during) for dimension in DIMENSIONS
        }
        calls |= {"bad": partial(read, BAD_BY_ALL, *during), "client_errors": partial(read, CLIENT_ERRORS, *during)}
        if period.onset:
            # Up to the second before: what began with the onset is new.
            calls["known_bad"] = partial(read, BAD_BY_ALL, period.known_from, period.start - timedelta(seconds=1))
        self.take(**calls)

    def releases(self) -> None:
        self.take(
            history=lambda: read_history(self.clients, *self.ecs),
            service=lambda: read_service(self.clients, *self.ecs),
            forwards=lambda: read_forwards(self.clients, self.service["load_balancer"]),
        )

    def changes(self, period: Period) -> None:
        if not period.onset:
            return
        start, flags = period.suspect_from, self.service["feature_flags"]
        self.take(
            events=lambda: read_events(self.clients, start, period.suspect_to),
            flag_changes=lambda: read_flag_changes(self.clients, flags, start),
        )

    def flags(self) -> None:
        self.take(flags=lambda: read_flags(self.clients, self.service["feature_flags"]))

    def rules(self) -> None:
        """What the rate-based rules count that do not block: how much one client sends, never who it is."""
        where = self.service["web_acl"]
        self.take(acl=lambda: read_acl(self.clients, where["name"], where["scope"]))
        if not self.known("acl", "counted"):
            return
        acl = self.readings.values.pop("acl")["acl"]
        window_s = max(self.clients.environment.seconds(_COUNTED_WINDOW_S), _SHORTEST_SAMPLED_S)
        read = partial(counted_requests, self.clients, acl, where["scope"], window_s=window_s, shared=[])
        self.each("counted", {rule["Name"]: partial(read, rule) for rule in acl["Rules"] if counts_clients(rule)})

    def secrets(self) -> None:
        names = self.service["secrets"]
        self.each("secrets", {name: partial(secret_changed_at, self.clients, name) for name in names})


def read_flag_changes(clients: Clients, settings: Json, since: datetime) -> list[Json]:
    """Flags that were changed, and when. A token or an address that is missing costs this reading and no other."""
    try:
        return LaunchDarkly(clients.environment, settings).changes(since)
    except Refused as error:
        raise OpsError(error.sentence) from error


def read_events(clients: Clients, start: datetime, end: datetime) -> list[Json]:
    """Write calls as CloudTrail knows them (up to 15 minutes late): name, source and time, no parameters.

    Raises OpsError when there are more of them than are read: the ones left out might be the cause.
    """
    pages = (
        clients.read("cloudtrail")
        .get_paginator("lookup_events")
        .paginate(
            LookupAttributes=[{"AttributeKey": "ReadOnly", "AttributeValue": "false"}],
            StartTime=start,
            EndTime=end,
            PaginationConfig={"MaxItems": _EVENT_PAGES * _EVENTS + 1, "PageSize": _EVENTS},
        )
    )
    events = [event for page in pages for event in page["Events"]]
    if len(events) > _EVENT_PAGES * _EVENTS:
        raise OpsError(f"CloudTrail has more than {_EVENT_PAGES * _EVENTS} write calls since {iso(start)}")
    return [
        {"name": event["EventName"], "source": event.get("EventSource", ""), "at": iso(event["EventTime"])}
        for event in events
        if event.get("EventSource") not in _NOISE
    ]


def changes_of(readings: Readings) -> tuple[list[Json], list[str]]:
    """All changes that were read, {kind, name, at}, and the kinds that could not be."""
    values = readings.values
    found = [
        {"kind": "deployment", "name": str(item["revision"]), "at": parse_utc(item["created_at"])}
        for item in values.get("history", [])
    ]
    found += [
        {"kind": "flag", "name": item["key"], "at": parse_utc(item["at"])} for item in values.get("flag_changes", [])
    ]
    found += [
        {"kind": "secret", "name": name, "at": parse_utc(at)} for name, at in (values.get("secrets") or {}).items()
    ]
    found += [
        {"kind": "call", "name": f"{item['source'].partition('.')[0]}:{item['name']}", "at": parse_utc(item["at"])}
        for item in values.get("events", [])
    ]
    sources = {"history": "deployment", "flag_changes": "flag", "secrets": "secret", "events": "call"}
    return found, [kind for name, kind in sources.items() if name not in values]
