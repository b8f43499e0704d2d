# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the readings of a web service mean. May change without notice.

"""From readings to observations: pure, so that every rule can be tried without a system.

An observation is a finding, ok, or, when one of the readings it rests on is missing, unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from statistics import median_low

from ansible_collections.daily_emr.ops.plugins.module_utils import _health_evidence
from ansible_collections.daily_emr.ops.plugins.module_utils._balancer import too_few_targets
from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import DATABASE_SERVES
from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import REPLACED, Evidence, plain_all
from ansible_collections.daily_emr.ops.plugins.module_utils._health_probes import TaskProbe, reachable
from ansible_collections.daily_emr.ops.plugins.module_utils._health_suspects import release, suspects, traffic
from ansible_collections.daily_emr.ops.plugins.module_utils._health_symptoms import SUBJECTS, SYMPTOMS
from ansible_collections.daily_emr.ops.plugins.module_utils._http import Answer
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import (
    in_progress,
    rolling_back,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    Json,
    Readings,
    listed,
    parse_utc,
    plural,
)

# Judged by requests of users; without any, only our own probes can tell.
_NEED_TRAFFIC = ("error_ratio_high", "latency_high")


def observe(readings: Readings, service: Json, thresholds: Json, at: str) -> Evidence:
    """Every observation of one look."""
    component = service["component"]
    evidence = Evidence(reachable(readings), component, thresholds, at, symptoms=SYMPTOMS, about=SUBJECTS)
    for part in (_users, _service, _tasks, _dependencies, release, traffic, suspects):
        part(evidence)
    evidence.subjects = plain_all(evidence.subjects)
    return evidence


def healthy(evidence: Evidence) -> bool | None:
    """Whether the component serves its users and has its spare parts; None when something could not be read."""
    return _health_evidence.healthy(judged(evidence))


def judged(evidence: Evidence) -> list[Json]:
    """The symptoms that count now: without requests of users, those that rest on them do not."""
    silent = evidence.status("no_traffic") == "finding"
    return [
        item for item in evidence.observations if item["symptom"] and not (silent and item["name"] in _NEED_TRAFFIC)
    ]


def _users(evidence: Evidence) -> None:
    def failing(reading: str) -> tuple[bool, str]:
        answer: Answer = evidence.read(reading)
        return not answer.ok, answer.seen

    for name, reading, what in (
        ("edge_failing", "edge", "the edge"),
        ("balancer_failing", "balancer_probe", "the load balancer"),
    ):
        evidence.look(
            name,
            (reading,),
            partial(failing, reading),
            expected="a synthetic chart, 200",
            call=f"GET a chart through {what}",
        )

    def blocking() -> tuple[bool, str]:
        answers = [evidence.read("edge"), evidence.read("balancer_probe")]
        serving = [probe for probe in evidence.probes if probe.chart.ok]
        blocked = any(answer.blocked for answer in answers)
        return blocked and bool(
            serving
        ), f"{answers[0].seen} and {answers[1].seen}, {plural(len(serving), 'task')} would answer"

    evidence.look(
        "edge_blocking",
        ("edge", "balancer_probe", "task_probes"),
        blocking,
        expected="nobody is refused whom a task would serve",
        call="the same GET at the edge, the load balancer and each task",
    )


def _service(evidence: Evidence) -> None:
    look, read = evidence.look, evidence.read
    look(
        "no_tasks",
        ("tasks",),
        lambda: (not read("tasks"), plural(len(read("tasks")), "running task")),
        expected="running tasks",
        call="ecs:DescribeTasks",
    )

    def too_few() -> tuple[bool, str]:
        minimum = (read("capacity") or {}).get("minimum", 1)
        desired = read("service")["desired"]
        return desired < max(minimum, 1), f"desired {desired}, scaling minimum {minimum}"

    look(
        "scaled_to_zero",
        ("service", "capacity"),
        too_few,
        expected="a desired count of at least the scaling minimum",
        call="ecs:DescribeServices, application-autoscaling:DescribeScalableTargets",
    )
    look(
        "below_minimum",
        ("service",),
        lambda: (
            read("service")["running"] < read("service")["desired"],
            f"{read('service')['running']} of {read('service')['desired']} run",
        ),
        expected="as many running tasks as desired",
        call="ecs:DescribeServices",
    )

    def unspared() -> tuple[bool, str]:
        reasons = too_few_targets(read("targets"), evidence.thresholds)
        return bool(reasons), " ".join(reasons) or "enough healthy targets"

    look(
        "too_few_targets",
        ("targets",),
        unspared,
        expected=(
            f"at least {plural(evidence.thresholds['min_healthy_targets'], 'healthy target')} "
            f"in {plural(evidence.thresholds['min_zones'], 'zone')}"
        ),
        call="elbv2:DescribeTargetHealth",
    )

    def deploying() -> tuple[bool, str]:
        running = in_progress(read("history")) or rolling_back(read("history"))
        evidence.subjects["service_deployment"] = running and running["arn"]
        return running is not None, f"{running['status']} of {running['revision']}" if running else "none"

    look(
        "deployment_in_progress",
        ("history",),
        deploying,
        expected="no deployment",
        call="ecs:DescribeServiceDeployments",
    )

    def returning() -> tuple[bool, str]:
        found = rolling_back(read("history"))
        return found is not None, found["status"] if found else "none"

    look("rollback_running", ("history",), returning, expected="no rollback", call="ecs:DescribeServiceDeployments")


def _tasks(evidence: Evidence) -> None:
    def some(fails: Callable[[TaskProbe], bool], words: str) -> tuple[bool, str]:
        failing = [probe for probe in evidence.probes if fails(probe)]
        return bool(failing), f"{len(failing)} of {plural(len(evidence.probes), 'task')} {words}"

    rules: dict[str, tuple[Callable[[TaskProbe], bool], str, str, str]] = {
        "tasks_not_live": (lambda probe: not probe.live.ok, "not alive", "every task answers /livez", "GET /livez"),
        "tasks_not_ready": (lambda probe: not probe.ready.ok, "not ready", "every task answers /readyz", "GET /readyz"),
        "reads_failing": (
            lambda probe: not probe.chart.ok,
            "do not serve a chart",
            "every task serves a chart",
            "GET a chart",
        ),
    }
    for name, (fails, words, expected, call) in rules.items():
        evidence.look(
            name,
            ("task_probes",),
            partial(some, fails, words),
            expected=expected,
            call=f"{call} at each task",
        )

    def wedged() -> tuple[bool, str]:
        """Alive and content with its dependencies, but requests hang."""
        hanging = [
            probe for probe in evidence.probes if probe.live.ok and probe.chart.failure == "timeout" and probe.content
        ]
        return bool(hanging), f"requests hang in {len(hanging)} of {plural(len(evidence.probes), 'task')}"

    evidence.look(
        "tasks_wedged",
        ("task_probes",),
        wedged,
        expected="no task in which requests hang",
        call="GET a chart at each task",
    )

    def suffers(probes: list[TaskProbe]) -> bool:
        """No task serves. A single one must name its surroundings: alone it may as well be its own fault."""
        cut_off = any(probe.reason(name) in ("timeout", "refused") for probe in probes for name in probe.checks)
        return not any(probe.serves for probe in probes) and (cut_off or len(probes) > 1)

    def zonal() -> tuple[bool, str]:
        by_zone: dict[str, list[TaskProbe]] = {}
        for probe in evidence.probes:
            by_zone.setdefault(probe.zone, []).append(probe)
        bad = [zone for zone, probes in by_zone.items() if suffers(probes)]
        good = [zone for zone, probes in by_zone.items() if all(probe.serves for probe in probes)]
        # The newest release failing in one zone and an old one serving in another is a release, not a zone.
        mixed = {probe.revision for zone in bad for probe in by_zone[zone]} - {
            probe.revision for zone in good for probe in by_zone[zone]
        }
        impaired = len(bad) == 1 and len(good) == len(by_zone) - 1 and bool(good) and not mixed
        if impaired:
            evidence.subjects["impaired_zone"] = bad[0]
            zones = evidence.read("balancer")["zones"]
            evidence.subjects["impaired_zone_id"] = next((key for key, name in zones.items() if name == bad[0]), None)
        return impaired, f"failing: {listed(bad)}; serving: {listed(good)}"

    evidence.look(
        "zone_impaired",
        ("task_probes", "balancer", "shift"),
        zonal,
        expected="all zones fare alike",
        call="probes of each task by zone",
    )

    def stopped() -> tuple[bool, str]:
        broken = [task for task in evidence.read("stopped_tasks") if task["reason"] != REPLACED]
        evidence.subjects["stopped_reasons"] = sorted({task["reason"] for task in broken})
        return bool(broken), f"{plural(len(broken), 'task')}: {listed(evidence.subjects['stopped_reasons'])}"

    evidence.look(
        "stopped_tasks",
        ("stopped_tasks",),
        stopped,
        expected="tasks stop only when replaced",
        call="ecs:DescribeTasks of stopped tasks",
    )


def _dependencies(evidence: Evidence) -> None:
    def down(name: str, serves: tuple[str, ...]) -> tuple[bool | None, str]:
        """Down when no task can use it. Only where no task says anything its own state and address have to tell.

        They do not tell whether it hangs, nor, from outside of the network, whether it accepts connections.
        """
        status, accepts = evidence.read(name)["status"], evidence.read(f"{name}_accepts")
        reasons = [reason for probe in evidence.probes if (reason := probe.reason(name)) is not None]
        failing = [reason for reason in reasons if reason not in ("", "auth")]
        down: bool | None = len(failing) == len(reasons) if reasons else status not in serves
        if not reasons and not down and (evidence.probes or not accepts):
            down = None
        answers = "accepts" if accepts else "refuses"
        words = f"fails for {len(failing)} of {plural(len(reasons), 'task')}"
        return down, f"{status}, {answers} connections, {words}"

    for name, observation, serves in (
        ("database", "database_unreachable", DATABASE_SERVES),
        ("cache", "cache_unreachable", ("available", "modifying", "snapshotting")),
    ):
        evidence.look(
            observation,
            (name, f"{name}_accepts", "task_probes"),
            partial(down, name, serves),
            expected=f"a {name} that serves the tasks",
            call="rds:DescribeDBInstances, TCP, GET /readyz"
            if name == "database"
            else "elasticache:DescribeReplicationGroups, TCP, GET /readyz",
        )

    def refused() -> tuple[bool, str]:
        tasks = [probe for probe in evidence.probes if probe.reason("database") == "auth"]
        return bool(tasks), f"the database refuses the credentials of {plural(len(tasks), 'task')}"

    evidence.look(
        "database_auth_failing",
        ("task_probes",),
        refused,
        expected="accepted credentials",
        call="GET /readyz at each task",
    )

    def slow() -> tuple[bool | None, str]:
        taken = [
            ms
            for probe in evidence.probes
            if (ms := probe.ms("database")) is not None and probe.reason("database") in ("", "timeout")
        ]
        if not taken:
            return None if evidence.probes else False, "no task says how long a trivial query takes"
        # Half of the tasks cut off from it, as with a zone, is not a slow database.
        middle = median_low(taken)
        return middle > evidence.thresholds["database_slow_ms"], f"{middle:.0f} ms for a trivial query"

    evidence.look(
        "database_slow",
        ("task_probes",),
        slow,
        expected=f"at most {evidence.thresholds['database_slow_ms']} ms",
        call="GET /readyz at each task",
    )

    def rotated() -> tuple[bool, str]:
        recent = timedelta(minutes=evidence.thresholds["release_recent_minutes"])
        fresh = [
            name
            for name, moment in evidence.read("secrets").items()
            if parse_utc(evidence.at) - parse_utc(moment) < recent
        ]
        evidence.subjects["rotated_secret"] = fresh[0] if fresh else None
        return bool(fresh), f"changed lately: {listed(fresh)}"

    evidence.look(
        "secret_rotated",
        ("secrets",),
        rotated,
        expected="no secret changed lately",
        call="secretsmanager:ListSecretVersionIds",
    )
