# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the readings of an error attribution mean. May change without notice.

"""From readings to observations: pure, so that every rule can be tried without a system.

Each observation states one fact. That a dependency, a route and a task explain the same errors is possible, and which
of them is the cause is for the decision table to say: a dependency before its route, a release before its task, a task
before its zone.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ansible_collections.daily_emr.ops.plugins.module_utils._attribution import (
    DIMENSIONS,
    TIMES_MORE,
    Count,
    Split,
    clearly_worse,
    outlier,
    signatures,
    slowest,
    split,
    suspects,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import Evidence, healthy, plain_all
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import in_progress, rolling_back
from ansible_collections.daily_emr.ops.plugins.module_utils._request_log import counts
from ansible_collections.daily_emr.ops.plugins.module_utils._spike_readings import Period, changes_of
from ansible_collections.daily_emr.ops.plugins.module_utils._traffic import Traffic
from ansible_collections.daily_emr.ops.plugins.module_utils._waf import NEARLY_ALL
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    Json,
    Readings,
    iso,
    listed,
    parse_utc,
    plural,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

# What users feel. Both ok means healthy.
SYMPTOMS = ("errors_elevated", "latency_high")
CIRCUIT = "circuit:"
SHED = "shed"
# Where an observation is about something else than the component: the name of its subject.
_ABOUT = {
    **{f"{dimension}_explains": f"bad_{dimension}" for dimension in DIMENSIONS},
    **{f"slow_{dimension}": f"slow_{dimension}" for dimension in DIMENSIONS},
    "newest_release_explains": "bad_release",
    "deployment_in_progress": "service_deployment",
    "deployment_near_onset": "suspect_deployment",
    "flag_near_onset": "suspect_flag",
    "secret_near_onset": "suspect_secret",
    "call_near_onset": "suspect_call",
    "sudden_onset": "onset",
    "client_dominates": "rate_rule",
}
_LISTED = 10
# Periods that say how many requests are usual.
_USUAL_MINUTES = 15
_KINDS = {"deployment": "history", "flag": "flag_changes", "secret": "secrets", "call": "events"}
_CALLS = {
    "deployment": "ecs:DescribeServiceDeployments",
    "flag": "LaunchDarkly:GetAuditLogEntries",
    "secret": "secretsmanager:ListSecretVersionIds",
    "call": "cloudtrail:LookupEvents",
}
Answer: TypeAlias = "tuple[bool | None, str]"
_NOBODY = "no request was counted lately: nobody came, or nothing counts"
_METRICS, _LOG = "cloudwatch:GetMetricData", "logs:StartQuery"


class Attribution(Evidence):
    """The readings of one look at the traffic, what they add up to, and the observations that are made of them."""

    def __init__(self, readings: Readings, component: str, thresholds: Json, at: str, known: list[str] | None) -> None:
        super().__init__(readings, component, thresholds, at, symptoms=SYMPTOMS, about=_ABOUT)
        self.given_signatures = known
        self.period: Period = readings.values["period"]
        self.counts: dict[str, dict[str, Count]] = {
            dimension: counts(dimension, readings.values["bad"], readings.values[f"requests_by_{dimension}"])
            for dimension in DIMENSIONS
            if {"bad", f"requests_by_{dimension}"} <= readings.values.keys()
        }
        self.splits: dict[str, Split] = {}
        self.suspects: list[Json] = []

    @property
    def traffic(self) -> Traffic:
        found: Traffic = self.read("traffic")
        return found

    @property
    def lately(self) -> Traffic:
        """The last minutes, without those from before the period that is looked at."""
        return self.traffic.lately(parse_utc(self.at)).since(self.period.start)

    @property
    def during(self) -> Traffic:
        return self.traffic.since(self.period.start)

    @property
    def logged_bad(self) -> int:
        return sum(int(row["bad"]) for row in self.read("bad"))

    @property
    def signatures(self) -> list[str]:
        """The kinds of errors now, that came more than by chance; none when the log could not be read."""
        return signatures(self.readings.values.get("bad", []), self.thresholds["min_signature"])

    @property
    def known_signatures(self) -> list[str] | None:
        """The kinds of errors there were before; None when nobody knows."""
        if self.given_signatures is not None:
            return self.given_signatures
        return signatures(self.read("known_bad"), 1) if "known_bad" in self.readings.values else None

    def shares(self) -> Json:
        """The table of each dimension: its values by bad requests, the worst first."""
        total = self.logged_bad if "bad" in self.readings.values else 0
        return {dimension: _table(found, total) for dimension, found in self.counts.items()}


def _table(found: dict[str, Count], total: int) -> list[Json]:
    ranked = sorted(found.items(), key=lambda item: (-item[1].bad, -item[1].requests, item[0]))
    return [
        {
            "value": value,
            "bad": count.bad,
            "requests": count.requests,
            "share": round(count.bad / total, 4) if total else 0.0,
            "ratio": round(count.ratio, 4),
            "p95_ms": count.p95_ms,
        }
        for value, count in ranked[:_LISTED]
    ]


Rule: TypeAlias = "Callable[[Attribution], Answer]"


def attribute(
    readings: Readings, service: Json, thresholds: Json, at: str, known_signatures: list[str] | None = None
) -> Attribution:
    """Every observation of one look."""
    found = Attribution(readings, service["component"], thresholds, at, known_signatures)
    for part in (_users, _clients, _log, _dimensions, _release, _changes):
        part(found)
    found.subjects = plain_all(found.subjects)
    return found


def state_of(found: Attribution) -> bool | None:
    """Whether users are served; None when something could not be read."""
    return healthy(item for item in found.observations if item["symptom"])


def _users(found: Attribution) -> None:
    limits = found.thresholds
    rules: dict[str, tuple[Rule, str]] = {
        "low_traffic": (_low, f"at least {plural(limits['min_requests'], 'request')} in five minutes"),
        "errors_elevated": (_elevated, f"at most {limits['error_ratio']:.2%} of the requests end in 5xx"),
        "latency_high": (_late, f"P95 at most {limits['p95_ms']} ms"),
        "latency_without_errors": (_queueing, "no slowness without errors"),
        "balancer_generates": (_balancer, "errors are made by tasks"),
        "sudden_onset": (_sudden, "a ratio of bad requests without a step"),
        "load_up": (_load, f"less than {limits['load_times']:g} times the usual requests"),
        "client_errors_surge": (_refused, "as many 4xx as usual"),
    }
    for name, (rule, expected) in rules.items():
        found.look(name, ("traffic",), partial(rule, found), expected=expected, call=_METRICS)


def _low(found: Attribution) -> Answer:
    requests = found.lately.count.requests
    return requests < found.thresholds["min_requests"], f"{plural(requests, 'request')} lately"


def _elevated(found: Attribution) -> Answer:
    count, bad = found.lately.count, found.traffic.hour(parse_utc(found.at)).count.bad
    if not count.requests:
        return None, _NOBODY
    seen = f"{count.bad} of {plural(count.requests, 'request')} lately, {bad} bad ones in an hour"
    if count.bad == 0 or bad < found.thresholds["min_bad"]:
        return False, seen
    if count.requests < found.thresholds["min_requests"]:
        return None, f"{seen}: too few to tell"
    return count.ratio > found.thresholds["error_ratio"], seen


def _late(found: Attribution) -> Answer:
    p95, count = found.lately.p95_ms, found.lately.count
    if not count.requests:
        return None, _NOBODY
    if p95 is None:
        return (None, "requests, and no response time") if count.requests > count.bad else (False, "no good answers")
    return p95 > found.thresholds["p95_ms"], f"P95 {p95:.0f} ms"


def _queueing(found: Attribution) -> Answer:
    slow, failing = found.status("latency_high"), found.status("errors_elevated")
    seen = f"latency: {slow}, errors: {failing}"
    if slow == "ok" or failing == "finding":
        return False, seen
    return (None if "unknown" in (slow, failing) else True), seen


def _balancer(found: Attribution) -> Answer:
    bad, own = found.during.count.bad, found.during.sum("elb_5xx")
    codes = {str(code): found.during.sum(f"elb_{code}") for code in (502, 503, 504)}
    found.subjects["balancer_codes"] = {code: count for code, count in codes.items() if count}
    words = ", ".join(f"{count} times {code}" for code, count in codes.items() if count) or "other codes"
    seen = f"{own} of {plural(bad, 'bad request')} never got an answer of a task{f' ({words})' if own else ''}"
    return bad >= found.thresholds["min_bad"] and own >= found.thresholds["explains_share"] * bad, seen


def _sudden(found: Attribution) -> Answer:
    onset = found.period.onset
    found.subjects["onset"] = iso(onset.at) if onset else None
    if onset is None:
        return False, "the ratio of bad requests has no clear step"
    return True, f"from {onset.before:.2%} to {onset.after:.2%} at {iso(onset.at)}"


def _load(found: Attribution) -> Answer:
    lately = found.lately
    if not lately.minutes:
        return False, "no requests lately"
    start = found.period.onset.at if found.period.onset else lately.minutes[0].at
    before, after = found.traffic.before(start), found.traffic.since(start)
    if len(before.minutes) < _USUAL_MINUTES:
        return None, "too little is known of before"
    seen = f"{after.per_minute:.0f} requests per minute, {before.per_minute:.0f} before"
    return after.per_minute >= found.thresholds["load_times"] * before.per_minute, seen


def _refused(found: Attribution) -> Answer:
    """More 4xx than usual. Which ones is what the log says; that it could not be read does not hide them."""
    lately = found.lately
    before = found.traffic.before(lately.minutes[0].at) if lately.minutes else found.traffic
    now, usual = (Count(part.sum("target_4xx"), part.count.requests) for part in (lately, before))
    rows = found.readings.values.get("client_errors", [])
    codes = listed(f"{row['requests']} times {row.get('status', 'unknown')}" for row in rows[:3])
    found.subjects["client_error_codes"] = {str(row.get("status")): int(row["requests"]) for row in rows[:_LISTED]}
    seen = f"{now.ratio:.1%} of the requests end in 4xx, {usual.ratio:.1%} before; in the log: {codes}"
    return now.ratio > found.thresholds["client_error_ratio"] and clearly_worse(now, usual, TIMES_MORE), seen


def _clients(found: Attribution) -> None:
    def dominates() -> Answer:
        """One client makes nearly all that a rate-based rule counts, and much of everything."""
        per_minute = found.lately.per_minute
        counted: Json = found.read("counted")
        rule = max(sorted(counted), key=lambda name: float(counted[name]["most_per_minute"]), default=None)
        found.subjects["rate_rule"] = None
        if rule is None or not counted[rule]["samples"]:
            return False, "no rate-based rule that counts has counted anything"
        seen = counted[rule]
        alone = seen["most"] >= NEARLY_ALL * seen["samples"]
        words = f"{plural(seen['clients'], 'client')} counted by {rule}, the first with {seen['most_per_minute']:.0f}"
        dominating = alone and seen["most_per_minute"] >= found.thresholds["client_share"] * per_minute > 0
        found.subjects["rate_rule"] = rule if dominating else None
        return dominating, f"{words} of {per_minute:.0f} requests per minute"

    found.look(
        "client_dominates",
        ("counted", "traffic"),
        dominates,
        expected=f"no client sends {found.thresholds['client_share']:.0%} of all requests",
        call="wafv2:GetSampledRequests",
    )


def _log(found: Attribution) -> None:
    def missing() -> tuple[bool, str]:
        if found.read("no_logs"):
            return True, str(found.read("no_logs"))
        lines = sum(int(float(row["requests"])) for row in found.read("requests_by_release"))
        answered = found.during.count.requests - found.during.sum("elb_5xx")
        seen = f"{plural(lines, 'request')} in the log, {answered} answered by tasks"
        return lines == 0 and answered >= found.thresholds["min_requests"], seen

    needs = ("no_logs",) if found.readings.values.get("no_logs") else ("no_logs", "requests_by_release", "traffic")
    found.look("no_logs", needs, missing, expected="the request log has what the tasks answered", call=_LOG)

    def new() -> tuple[bool | None, str]:
        now, known = found.signatures, found.known_signatures
        if not now:
            return False, f"no signature came {found.thresholds['min_signature']} times"
        if known is None:
            return None, f"{plural(len(now), 'signature')}, and nothing is known of before"
        fresh = [name for name in now if name not in known]
        return bool(fresh), "; ".join(fresh[:3]) or f"{plural(len(now), 'signature')}, all known"

    found.look(
        "new_error_signature",
        ("bad",),
        new,
        expected="no error that was not there before (status, route, dependency)",
        call=_LOG,
    )


def _dimensions(found: Attribution) -> None:
    for dimension in DIMENSIONS:
        found.look(
            f"{dimension}_explains",
            ("bad", f"requests_by_{dimension}"),
            partial(_explains, found, dimension),
            expected=f"no {dimension} makes {found.thresholds['explains_share']:.0%} of the bad requests",
            call=_LOG,
        )
    for dimension in DIMENSIONS:
        found.look(
            f"slow_{dimension}",
            ("bad", f"requests_by_{dimension}", "traffic"),
            partial(_slow, found, dimension),
            expected=f"no {dimension} is slow while the others are not",
            call=_LOG,
        )
    _task_ratios(found)
    _switches(found)

    def unexplained() -> tuple[bool | None, str]:
        explained = [name for name in DIMENSIONS if found.status(f"{name}_explains") == "finding"]
        if found.status("errors_elevated") == "ok":
            return False, "there is nothing to explain"
        if explained or found.status("balancer_generates") == "finding":
            return False, f"explained by {', '.join(explained) or 'the load balancer'}"
        open_ones = [name for name in DIMENSIONS if found.status(f"{name}_explains") == "unknown"]
        if open_ones or found.status("errors_elevated") == "unknown":
            return None, f"not known: {listed(open_ones)}"
        return True, "the bad requests are spread over every dimension"

    found.look("unexplained", ("traffic",), unexplained, expected="one dimension explains the bad requests", call=_LOG)


def _explains(found: Attribution, dimension: str) -> tuple[bool | None, str]:
    bad, thresholds = found.logged_bad, found.thresholds
    found.subjects.setdefault(f"bad_{dimension}", None)
    if bad < thresholds["min_bad"]:
        seen = f"{plural(bad, 'bad request')} in the log"
        return (False, seen) if found.status("errors_elevated") == "ok" else (None, f"{seen}: too few to tell")
    split_up = found.splits[dimension] = split(dimension, found.counts[dimension], bad, thresholds["explains_share"])
    if split_up.explains:
        found.subjects[f"bad_{dimension}"] = split_up.value
        found.subjects[f"{dimension}_share"] = split_up.share
    return split_up.explains, split_up.seen


def _slow(found: Attribution, dimension: str) -> tuple[bool | None, str]:
    found.subjects.setdefault(f"slow_{dimension}", None)
    if found.status("latency_high") == "ok":
        return False, "nothing is slow"
    least = found.thresholds["min_requests"]
    split_up = slowest(dimension, found.counts[dimension], found.thresholds["p95_ms"], least)
    if split_up.explains:
        found.subjects[f"slow_{dimension}"] = split_up.value
    return split_up.explains, split_up.seen


def _task_ratios(found: Attribution) -> None:
    task = found.subjects.get("bad_task")
    ratios = outlier(found.counts.get("task", {}), task) if task else None
    found.subjects |= {
        "task_ratio": round(ratios[0], 4) if ratios else None,
        "median_task_ratio": round(ratios[1], 4) if ratios else None,
    }
    zones = (found.readings.values.get("balancer") or {}).get("zones", {})
    zone = found.subjects.get("bad_zone")
    found.subjects["bad_zone_id"] = next((key for key, name in zones.items() if zone and name == zone), None)


def _switches(found: Attribution) -> None:
    """The flags that operators turn: the breaker of the bad dependency, and what sheds load."""
    flags: list[Json] = found.readings.values.get("flags", [])
    dependency = found.subjects.get("bad_dependency") or found.subjects.get("slow_dependency")
    breaker = next((flag["key"] for flag in flags if f"{CIRCUIT}{dependency}" in flag["tags"]), None)
    found.subjects |= {
        "circuit_flag": breaker if dependency else None,
        "shed_flags": sorted(flag["key"] for flag in flags if SHED in flag["tags"]),
    }

    def cut_off() -> tuple[bool, str]:
        if not dependency:
            return False, "no dependency is bad"
        key = found.subjects["circuit_flag"]
        return bool(key), f"{dependency}: {key or 'no flag opens its breaker'}"

    found.look(
        "dependency_has_breaker",
        ("flags", "bad") if dependency else ("bad",),
        cut_off,
        expected="no dependency has to be cut off",
        call="LaunchDarkly:GetFeatureFlags",
    )


def _release(found: Attribution) -> None:
    read = found.read

    def deploying() -> tuple[bool, str]:
        running = in_progress(read("history")) or rolling_back(read("history"))
        found.subjects["service_deployment"] = running["arn"] if running else None
        return running is not None, f"{running['status']} of {running['revision']}" if running else "none"

    found.look(
        "deployment_in_progress",
        ("history",),
        deploying,
        expected="no deployment",
        call="ecs:DescribeServiceDeployments",
    )

    def divided() -> tuple[bool, str]:
        mixed = [item for item in read("forwards") if sum(weight > 0 for weight in item["weights"].values()) > 1]
        words = [f"{name} {weight}" for item in mixed for name, weight in sorted(item["weights"].items())]
        return bool(mixed), ", ".join(words) or "no rule divides"

    found.look(
        "traffic_divided",
        ("forwards",),
        divided,
        expected="no rule divides the traffic between target groups",
        call="elbv2:DescribeListeners, elbv2:DescribeRules",
    )

    def newest() -> tuple[bool | None, str]:
        status = found.status("release_explains")
        release = found.subjects.get("bad_release")
        revisions = {
            str(row["revision"]) for row in read("bad") if row.get("release") == release and row.get("revision")
        }
        found.subjects |= {"bad_share": found.subjects.get("release_share"), "bad_revision": None}
        if status != "finding":
            return (None if status == "unknown" else False), f"release_explains: {status}"
        if len(revisions) != 1:
            return None, f"requests of {release} name {plural(len(revisions), 'revision')}"
        (revision,) = revisions
        found.subjects["bad_revision"] = revision
        running = str(read("service")["revision"])
        # The task knows the number of its revision, or its whole name.
        same = running.rpartition(":")[2] == revision.rpartition(":")[2]
        return same, f"{release} is revision {revision}, the service is to run {running}"

    found.look(
        "newest_release_explains",
        ("bad", "service"),
        newest,
        expected="the newest release makes no more errors than others",
        call=f"{_LOG}, ecs:DescribeServices",
    )


def _changes(found: Attribution) -> None:
    onset = found.period.onset
    changes, _unread = changes_of(found.readings)
    period = found.period
    found.suspects = suspects(changes, onset.at, period.suspect_from, period.suspect_to) if onset else []
    for kind, reading in _KINDS.items():
        found.subjects[f"suspect_{kind}"] = None
        found.look(
            f"{kind}_near_onset",
            ("traffic", reading) if onset else ("traffic",),
            _near(found, kind),
            expected=f"no {kind} from an hour before to five minutes after the errors began",
            call=_CALLS[kind],
        )


def _near(found: Attribution, kind: str) -> Callable[[], tuple[bool, str]]:
    def rule() -> tuple[bool, str]:
        if not found.period.onset:
            return False, "no onset is known"
        near = [item for item in found.suspects if item["kind"] == kind]
        if not near:
            return False, "none"
        found.subjects[f"suspect_{kind}"] = near[0]["name"] if kind != "flag" else _flag(found, near[0]["name"])
        minutes = near[0]["minutes_before"]
        when = f"{minutes:g} min before" if minutes >= 0 else f"{-minutes:g} min after"
        return True, f"{near[0]['name']}, {when} the onset" + (f"; {len(near) - 1} more" if near[1:] else "")

    return rule


def _flag(found: Attribution, key: str) -> Json:
    """As a mitigation takes it: the flag, whether it is on, and the route that fails."""
    flag: Json = next((item for item in found.readings.values.get("flags", []) if item["key"] == key), {})
    return {"key": key, "on": flag.get("on"), "route": found.subjects.get("bad_route")}


def result_of(found: Attribution) -> dict[str, Any]:
    """What the module returns, beside the observations."""
    onset = found.period.onset
    _changes_read, unread_kinds = changes_of(found.readings)
    return {
        "shares": plain_all(found.shares()),
        "window": {"start": iso(found.period.start), "end": iso(found.period.end)},
        "onset": {"at": iso(onset.at), "before": round(onset.before, 4), "after": round(onset.after, 4)}
        if onset
        else None,
        "suspects": [plain_all({**item, "at": iso(item["at"])}) for item in found.suspects[:_LISTED]],
        "suspects_unread": unread_kinds if onset else [],
        "signatures": plain_all(found.signatures[:50]),
        "known_signatures": plain_all((found.known_signatures or [])[:50]),
    }
