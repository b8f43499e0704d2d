# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what may be behind an outage of a web service. May change without notice.

"""Observations of what may be behind it: releases, load, flags, rules and other changes. Pure."""

from __future__ import annotations

from datetime import timedelta

from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import REPLACED, Evidence
from ansible_collections.daily_emr.ops.plugins.module_utils._health_probes import CHARTS_ROUTE, TaskProbe
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import cannot_start, in_progress, schema_mismatch
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, listed, parse_utc, plural

_BLOCKED_SAMPLES = 3
_OUT_OF_MEMORY = "out of memory"
# ECS shows stopped tasks for an hour or more; a kill that long ago says nothing of now.
_KILLED_LATELY = timedelta(minutes=10)


def release(evidence: Evidence) -> None:
    read = evidence.read
    revision = (evidence.readings.values.get("service") or {}).get("revision")
    good = evidence.readings.values.get("proven", [])
    evidence.subjects |= {
        "newest_revision": revision,
        "last_known_good": good[0] if good else None,
        "load_balancer_arn": (evidence.readings.values.get("balancer") or {}).get("arn"),
    }

    def recent() -> tuple[bool, str]:
        if revision in good:
            return False, f"{revision} has proved itself"
        moments = [item["created_at"] for item in read("history") if item["revision"] == revision]
        if not moments:
            return False, f"no deployment of {revision} is known"
        age = parse_utc(evidence.at) - parse_utc(max(moments))
        minutes = age.total_seconds() / 60
        return minutes < evidence.thresholds["release_recent_minutes"], f"{revision}, deployed {minutes:.0f} min ago"

    evidence.look(
        "release_recent",
        ("service", "history", "proven"),
        recent,
        expected="a release that has proved itself",
        call="ecs:DescribeServiceDeployments",
    )

    def crashing() -> tuple[bool, str]:
        """Its tasks end by themselves; an older release's do not."""
        mine = [task for task in read("stopped_tasks") if task["revision"] == revision and task["reason"] != REPLACED]
        ended = [task for task in mine if any(task["exit_codes"])]
        unstarted = [task for task in mine if task["code"] == "TaskFailedToStart"]
        settled = not (in_progress(read("history")) or read("service")["running"] < read("service")["desired"])
        broken = ended + unstarted
        return revision not in good and bool(
            broken
        ) and not settled, f"{plural(len(broken), 'task')} of {revision} ended by themselves"

    evidence.look(
        "new_release_crashing",
        ("service", "stopped_tasks", "history", "proven"),
        crashing,
        expected="tasks of the newest release keep running",
        call="ecs:DescribeTasks of stopped tasks",
    )

    def failing() -> tuple[bool, str]:
        """Every task of the newest release fails by itself, every older one serves."""
        new = [probe for probe in evidence.probes if probe.revision == revision]
        old = [probe for probe in evidence.probes if probe.revision != revision]
        bad = [probe for probe in new if not probe.chart.ok and (probe.content or _speaks_for_itself(probe))]
        found = revision not in good and bool(new) and len(bad) == len(new) and all(probe.chart.ok for probe in old)
        return found, f"{len(bad)} of {plural(len(new), 'task')} of {revision} fail, {plural(len(old), 'older task')}"

    evidence.look(
        "new_release_failing",
        ("service", "task_probes", "proven"),
        failing,
        expected="the newest release fails no more than older ones",
        call="GET a chart at each task",
    )

    def gone() -> tuple[bool, str]:
        if not good:
            return True, "no release is known to be good"
        reasons = cannot_start(read("last_known_good"))
        return bool(reasons), " ".join(reasons) or f"{good[0]} could start"

    def incompatible() -> tuple[bool, str]:
        reasons = schema_mismatch(read("last_known_good"), read("database")["schema_version"]) if good else []
        return bool(reasons), " ".join(reasons) or "fits"

    needs = ("proven", "last_known_good") if good else ("proven",)
    evidence.look(
        "rollback_image_missing", needs, gone, expected="a known good release that can start", call="ecr:DescribeImages"
    )
    evidence.look(
        "rollback_incompatible",
        (*needs, "database"),
        incompatible,
        expected="a known good release that fits the schema",
        call="ecs:DescribeTaskDefinition, rds:DescribeDBInstances",
    )


def _speaks_for_itself(probe: TaskProbe) -> bool:
    """Answers, and says nothing of its dependencies: its own readiness is broken. One that hangs tells nothing."""
    return not probe.checks and probe.ready.status is not None and probe.chart.status is not None


def traffic(evidence: Evidence) -> None:
    def metrics() -> Json:
        found: Json = evidence.read("metrics")
        return found

    def silent() -> tuple[bool, str]:
        return not metrics()["requests"], f"{metrics()['requests'] or 0:.0f} requests in {metrics()['window_s']:.0f} s"

    def erring() -> tuple[bool, str]:
        ratio = metrics()["errors"] / metrics()["requests"] if metrics()["requests"] else 0.0
        return ratio > evidence.thresholds["error_ratio"], f"{ratio:.1%} of {metrics()['requests'] or 0:.0f} requests"

    def late() -> tuple[bool | None, str]:
        p95, requests = metrics()["p95_ms"], metrics()["requests"] or 0
        if p95 is None:
            # Answers of the balancer itself have no response time.
            return None if requests > metrics()["errors"] else False, "no answer of a task"
        return p95 > evidence.thresholds["p95_ms"], f"P95 {p95:.0f} ms"

    def short() -> tuple[bool | None, str]:
        cpu, limits = metrics()["cpu_percent"], evidence.read("capacity") or {}
        running = evidence.read("service")["running"]
        memory = [
            task
            for task in evidence.read("stopped_tasks")
            if task["reason"] == _OUT_OF_MEMORY
            and (not task["stopped_at"] or parse_utc(evidence.at) - parse_utc(task["stopped_at"]) < _KILLED_LATELY)
        ]
        # What a raise starts from: kills leave fewer tasks than the minimum for a while.
        evidence.subjects["capacity"] = max(running, limits.get("minimum", 0))
        hot = (cpu or 0) > evidence.thresholds["cpu_percent"]
        load = "unknown" if cpu is None else f"{cpu:.0f} %"
        killed = f"{plural(len(memory), 'task')} out of memory"
        found = True if hot or memory else None if cpu is None and running else False
        return found, f"CPU {load}, {killed}, scaling maximum {limits.get('maximum', 'none')}"

    call = "cloudwatch:GetMetricData"
    thresholds = evidence.thresholds
    evidence.look("no_traffic", ("metrics",), silent, expected="requests of users", call=call)
    evidence.look(
        "error_ratio_high",
        ("metrics",),
        erring,
        expected=f"at most {thresholds['error_ratio']:.0%} of the requests end in 5xx",
        call=call,
    )
    evidence.look("latency_high", ("metrics",), late, expected=f"P95 at most {thresholds['p95_ms']} ms", call=call)
    evidence.look(
        "capacity_exhausted",
        ("metrics", "service", "capacity", "stopped_tasks"),
        short,
        expected=f"CPU at most {thresholds['cpu_percent']} %, enough memory",
        call=call,
    )


def suspects(evidence: Evidence) -> None:
    def flagged() -> tuple[bool, str]:
        """A flag that is on, changed lately, and guards the route that fails."""
        failing = [probe for probe in evidence.probes if not probe.chart.ok and probe.chart.status is not None]
        oldest = timedelta(hours=evidence.thresholds["flag_recent_hours"])
        guards = [flag for flag in evidence.read("flags") if f"route:{CHARTS_ROUTE}" in flag["tags"]]
        fresh = [
            flag for flag in guards if flag["on"] and parse_utc(evidence.at) - parse_utc(flag["changed_at"]) < oldest
        ]
        found = bool(fresh) and bool(failing)
        newest = max(fresh, key=lambda flag: str(flag["changed_at"])) if found else None
        evidence.subjects["suspect_flag"] = {"key": newest["key"], "route": CHARTS_ROUTE} if newest else None
        return found, f"changed lately and guarding {CHARTS_ROUTE}: {listed(flag['key'] for flag in fresh)}"

    evidence.look(
        "flag_suspect",
        ("flags", "task_probes"),
        flagged,
        expected="no flag changed lately guards a failing route",
        call="LaunchDarkly:GetFeatureFlags",
    )

    def blocked() -> tuple[bool, str]:
        rules = {name: sum(found["routes"].values()) for name, found in evidence.read("blocked").items()}
        worst = max(rules, key=lambda name: rules[name], default=None)
        count = rules[worst] if worst else 0
        evidence.subjects["blocking_rule"] = worst if count >= _BLOCKED_SAMPLES else None
        return (
            count >= _BLOCKED_SAMPLES,
            f"{count} sampled requests to application routes blocked by {worst}" if worst else "no rule blocks",
        )

    evidence.look(
        "waf_blocking",
        ("blocked",),
        blocked,
        expected="no rule blocks application routes",
        call="wafv2:GetSampledRequests",
    )
    evidence.look(
        "changes_recent",
        ("changes",),
        lambda: (bool(evidence.read("changes")), listed({change["name"] for change in evidence.read("changes")})),
        expected="no change lately",
        call="cloudtrail:LookupEvents",
    )
