# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: everything a diagnosis of a web service reads. May change without notice.

"""Read a web service in chains that run at the same time.

The longest chain is guard, ListServiceDeployments, DescribeServiceDeployments, DescribeServiceRevisions,
DescribeTaskDefinition, DescribeImages; the whole takes no longer than that chain, or than one probe that hangs.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._balancer import read_balancer, read_shift, read_targets
from ansible_collections.daily_emr.ops.plugins.module_utils._chains import Chains
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import gather
from ansible_collections.daily_emr.ops.plugins.module_utils._dependencies import (
    accepts,
    read_cache,
    read_database,
    read_tasks,
    secret_changed_at,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError, Refused
from ansible_collections.daily_emr.ops.plugins.module_utils._health_evidence import REPLACED
from ansible_collections.daily_emr.ops.plugins.module_utils._health_metrics import read_metrics
from ansible_collections.daily_emr.ops.plugins.module_utils._health_probes import CHART_PATH, probe_task
from ansible_collections.daily_emr.ops.plugins.module_utils._http import probe
from ansible_collections.daily_emr.ops.plugins.module_utils._launchdarkly import LaunchDarkly
from ansible_collections.daily_emr.ops.plugins.module_utils._releases import (
    proven_revisions,
    read_capacity,
    read_history,
    read_release,
    read_service,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._waf import action_of, blocked_requests, read_acl
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    Json,
    Readings,
    iso,
    short_revision,
    target_groups,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

_TASKS_PAGE = 100  # DescribeTasks takes 100 tasks
_CHANGES = 50  # LookupEvents gives 50 events a page
_BLOCKED_WINDOW_S = 300.0
_SHORTEST_WINDOW_S = 15.0
_ROUTES = ["/api/", "/login"]


def read_all(clients: Clients, service: Json, thresholds: Json) -> Readings:
    """Every reading a diagnosis needs; what could not be read is named with its reason."""
    return _Look(clients, service, thresholds).everything()


class _Look(Chains):
    """Chains of reads, all at the same time; within a chain a read waits only for the one that names its subject."""

    def __init__(self, clients: Clients, service: Json, thresholds: Json) -> None:
        super().__init__()
        self.clients, self.service, self.thresholds = clients, service, thresholds
        self.ecs = service["cluster"], service["service"]
        self.host = service["probes"]["host"] or ""

    def everything(self) -> Readings:
        # The longest chain first, and next to it the evidence that expires.
        chains = (self.releases, self.stopped, self.tasks, self.balancer, self.rules, self.dependencies, self.others)
        gather(**{chain.__name__: chain for chain in chains})
        return self.readings

    def releases(self) -> None:
        self.take(
            history=lambda: read_history(self.clients, *self.ecs), service=lambda: read_service(self.clients, *self.ecs)
        )
        if not (self.known("history", "proven") and self.known("service", "proven")):
            return
        found = self.readings.values
        good_after_s = self.thresholds["good_after_hours"] * 3600.0
        found["proven"] = proven_revisions(found["history"], good_after_s, found["service"]["read_at"])
        if found["proven"]:
            self.take(last_known_good=lambda: read_release(self.clients, self.service, found["proven"][0]))

    def stopped(self) -> None:
        self.take(stopped_tasks=lambda: read_stopped(self.clients, *self.ecs))

    def tasks(self) -> None:
        self.take(tasks=lambda: read_tasks(self.clients, *self.ecs))
        if self.known("tasks", "task_probes"):
            port, timeout_s = self.service["port"], self.thresholds["probe_timeout_s"]
            ask = partial(probe_task, port=port, timeout_s=timeout_s, host=self.host)
            self.each("task_probes", {task["id"]: partial(ask, task) for task in self.readings.values["tasks"]})

    def balancer(self) -> None:
        self.take(balancer=lambda: read_balancer(self.clients, self.service["load_balancer"]))
        if self.known("balancer", "metrics", "shift"):
            arn = self.readings.values["balancer"]["arn"]
            self.take(
                metrics=lambda: read_metrics(self.clients, self.service, arn),
                shift=lambda: read_shift(self.clients, arn, str(iso(datetime.now(UTC)))),
            )

    def rules(self) -> None:
        scope = self.service["web_acl"]["scope"]
        self.take(acl=lambda: read_acl(self.clients, self.service["web_acl"]["name"], scope))
        if self.known("acl", "blocked"):
            acl = self.readings.values["acl"]["acl"]
            window_s = max(self.clients.environment.seconds(_BLOCKED_WINDOW_S), _SHORTEST_WINDOW_S)
            read = partial(blocked_requests, self.clients, acl, scope, window_s=window_s, routes=_ROUTES)
            # A rule group blocks by the actions of its own rules, unless it is overridden.
            blocking = [rule for rule in acl["Rules"] if action_of(rule)["action"] in ("block", "none")]
            self.each("blocked", {rule["Name"]: partial(read, rule) for rule in blocking})

    def dependencies(self) -> None:
        gather(
            database=lambda: self.dependency("database", read_database),
            cache=lambda: self.dependency("cache", read_cache),
        )

    def dependency(self, name: str, read: Callable[[Clients, str], Json]) -> None:
        self.take(**{name: lambda: read(self.clients, self.service[name])})
        if self.known(name, f"{name}_accepts"):
            found = self.readings.values[name]
            self.take(**{f"{name}_accepts": lambda: accepts(found["address"], found["port"])})

    def others(self) -> None:
        """What stands alone."""
        probes, timeout_s = self.service["probes"], self.thresholds["probe_timeout_s"]
        gather(
            secrets=lambda: self.each(
                "secrets", {name: partial(secret_changed_at, self.clients, name) for name in self.service["secrets"]}
            ),
            singles=lambda: self.take(
                targets=lambda: read_targets(self.clients, target_groups(self.service)),
                capacity=lambda: read_capacity(self.clients, *self.ecs),
                changes=lambda: read_changes(self.clients, self.thresholds["release_recent_minutes"]),
                flags=lambda: read_flags(self.clients, self.service["feature_flags"]),
                edge=lambda: probe(probes["edge_url"], CHART_PATH, timeout_s=timeout_s, host=self.host),
                balancer_probe=lambda: probe(probes["balancer_url"], CHART_PATH, timeout_s=timeout_s, host=self.host),
            ),
        )


def read_flags(clients: Clients, settings: Json) -> list[Json]:
    """The feature flags. A token or an address that is missing costs this reading and no other."""
    try:
        return LaunchDarkly(clients.environment, settings).flags()
    except Refused as error:
        raise OpsError(error.sentence) from error


def read_stopped(clients: Clients, cluster: str, service: str) -> list[Json]:
    """Tasks that stopped, why, as a class of reason. ECS shows them for at least an hour, so they are read first."""
    ecs = clients.read("ecs")
    pages = ecs.get_paginator("list_tasks").paginate(cluster=cluster, serviceName=service, desiredStatus="STOPPED")
    arns = [arn for page in pages for arn in page["taskArns"]]
    found = [
        task
        for start in range(0, len(arns), _TASKS_PAGE)
        for task in ecs.describe_tasks(cluster=cluster, tasks=arns[start : start + _TASKS_PAGE])["tasks"]
    ]
    return [
        {
            "id": task["taskArn"].rsplit("/", 1)[-1],
            "revision": short_revision(task["taskDefinitionArn"]),
            "zone": task.get("availabilityZone"),
            "stopped_at": iso(task.get("stoppedAt")),
            "code": task.get("stopCode", ""),
            "exit_codes": [item["exitCode"] for item in task.get("containers", []) if "exitCode" in item],
            "reason": stop_class(task),
        }
        for task in found
        # A task that has just ended is DEPROVISIONING for some seconds: its reason and exit codes are there already.
        if task.get("stopCode")
    ]


# Words in stoppedReason, in a container's reason and in the stop code, most telling first (incident domain, A1.2).
# Only the class goes on: the text itself may hold anything.
_STOP_CLASSES = (
    (("CannotPullContainerError", "not found"), "image gone"),
    (("CannotPullContainerError", "timeout"), "image out of reach"),
    (("CannotPullContainerError",), "image not pulled"),
    (("ResourceInitializationError", "AccessDenied"), "secrets refused"),
    (("ResourceInitializationError", "ResourceNotFound"), "secrets gone"),
    (("ResourceInitializationError",), "secrets or network not ready"),
    (("OutOfMemoryError",), "out of memory"),
    (("failed ELB health checks",), "failed health checks"),
    (("failed container health checks",), "failed health checks"),
    (("Capacity is unavailable",), "no Fargate capacity"),
    (("limit on the number of vCPUs",), "quota of vCPUs"),
    (("Scaling activity initiated by",), REPLACED),
    (("InfrastructureHealth",), "platform"),
    (("TerminationNotice",), "platform"),
    (("SpotInterruption",), "platform"),
    (("Essential container in task exited",), "exited"),
)


def stop_class(task: Json) -> str:
    """The class of the reason a task stopped for."""
    texts = [task.get("stoppedReason", ""), task.get("stopCode", "")]
    texts += [item.get("reason", "") for item in task.get("containers", [])]
    for words, name in _STOP_CLASSES:
        if any(all(word in text for word in words) for text in texts):
            return name
    return "other"


def read_changes(clients: Clients, minutes: int) -> list[Json]:
    """Recent write calls as CloudTrail knows them (up to 15 minutes late): name, source and time, no parameters."""
    since = datetime.now(UTC) - timedelta(minutes=minutes)
    answer = clients.read("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "ReadOnly", "AttributeValue": "false"}], StartTime=since, MaxResults=_CHANGES
    )
    return [
        {"name": event["EventName"], "source": event.get("EventSource", ""), "at": iso(event["EventTime"])}
        for event in answer["Events"]
    ]
