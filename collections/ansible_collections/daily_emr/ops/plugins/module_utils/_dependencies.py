# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what the tasks of a web service lean on. May change without notice.

"""The tasks, what they say of their dependencies, and what is known of the dependencies without them."""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._health_metrics import window
from ansible_collections.daily_emr.ops.plugins.module_utils._http import Answer, probe
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    Json,
    iso,
    listed,
    parse_utc,
    plural,
    short_revision,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

_PAGE = 100  # DescribeTasks takes 100 tasks
_CONNECT_S = 3.0
_PEAK_VALUES = 5

# What /readyz says when a dependency fails; everything else is an error.
FAILURE_CLASSES = ("auth", "timeout", "refused")
# States in which RDS serves connections.
DATABASE_SERVES = ("available", "backing-up", "storage-optimization", "configuring-enhanced-monitoring")


def read_tasks(clients: Clients, cluster: str, service: str) -> list[Json]:
    """The running tasks of the service, the oldest first."""
    ecs = clients.read("ecs")
    pages = ecs.get_paginator("list_tasks").paginate(cluster=cluster, serviceName=service, desiredStatus="RUNNING")
    arns = [arn for page in pages for arn in page["taskArns"]]
    found = [
        task
        for start in range(0, len(arns), _PAGE)
        for task in ecs.describe_tasks(cluster=cluster, tasks=arns[start : start + _PAGE])["tasks"]
    ]
    tasks = [_task(item) for item in found if item["lastStatus"] == "RUNNING" and item.get("startedAt")]
    return sorted(tasks, key=lambda task: str(task["started_at"]))


def read_task_status(clients: Clients, cluster: str, service: str, task: str) -> str | None:
    """ "running" or "stopped", as ECS wants the task to be; None when the service has, and lately had, no such task."""
    found = clients.read("ecs").describe_tasks(cluster=cluster, tasks=[task])["tasks"]
    mine = [item for item in found if item.get("group") == f"service:{service}"]
    if not mine:
        return None
    return "stopped" if mine[0].get("desiredStatus") == "STOPPED" else "running"


def _task(item: Json) -> Json:
    details = [detail for attached in item.get("attachments", []) for detail in attached.get("details", [])]
    addresses = [detail["value"] for detail in details if detail["name"] == "privateIPv4Address"]
    return {
        "id": item["taskArn"].rsplit("/", 1)[-1],
        "started_at": iso(item["startedAt"]),
        "revision": short_revision(item["taskDefinitionArn"]),
        "zone": item.get("availabilityZone"),
        "address": next(iter(addresses), None),
    }


def ready(address: str | None, port: int, timeout_s: float) -> Json:
    """What a task says at /readyz: ``{"says": "ok" | "fail" | "nothing", "checks": {name: reason or None}}``."""
    checks: dict[str, Json] = {}
    if address is not None:
        answer = probe(f"http://{address}:{port}", "/readyz", timeout_s=timeout_s)
        checks = checks_of(answer)
    if not checks:
        return {"says": "nothing", "checks": {}}
    return {
        "says": "ok" if answer.ok else "fail",
        "checks": {name: failure_of(check) or None for name, check in checks.items()},
    }


def checks_of(answer: Answer) -> dict[str, Json]:
    """The checks of an answer of /readyz, {name: {"status", "ms", "reason"}}; empty when it has not that form."""
    checks = answer.body.get("checks")
    if not isinstance(checks, dict):
        return {}
    return {str(name): check for name, check in checks.items() if isinstance(check, dict) and "status" in check}


def failure_of(check: Json) -> str:
    """Why a dependency fails, as a word of ours, empty when it does not fail.

    What else the application writes there may hold anything.
    """
    if check["status"] == "ok":
        return ""
    return str(check["reason"]) if check.get("reason") in FAILURE_CLASSES else "error"


def accepts(address: str | None, port: int | None) -> bool:
    """Whether a TCP connection is accepted. Raises OpsError when there is no address to try."""
    if not address or not port:
        raise OpsError("it has no endpoint")
    try:
        socket.create_connection((address, port), timeout=_CONNECT_S).close()
    except OSError:
        return False
    return True


def read_database(clients: Clients, identifier: str) -> Json:
    """State, place, address and schema version of the database."""
    found = clients.read("rds").describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
    tags = {tag["Key"]: tag["Value"] for tag in found.get("TagList", [])}
    endpoint = found.get("Endpoint", {})
    return {
        "status": found["DBInstanceStatus"],
        "zone": found.get("AvailabilityZone"),
        "address": endpoint.get("Address"),
        "port": endpoint.get("Port"),
        "schema_version": tags.get("schema_version"),
        "parameter_groups": [item["DBParameterGroupName"] for item in found.get("DBParameterGroups", [])],
    }


def read_cache(clients: Clients, identifier: str) -> Json:
    """State, address and members of an ElastiCache replication group."""
    answer = clients.read("elasticache").describe_replication_groups(ReplicationGroupId=identifier)
    group = answer["ReplicationGroups"][0]
    node: Json = next(iter(group.get("NodeGroups", [])), {})
    primary = node.get("PrimaryEndpoint", {})
    endpoint = group.get("ConfigurationEndpoint") or primary
    return {
        "status": group["Status"],
        "address": endpoint.get("Address"),
        "port": endpoint.get("Port"),
        "members": group.get("MemberClusters", []),
    }


def secret_changed_at(clients: Clients, name: str) -> str:
    """When the value that is current now was written. The value itself is never read."""
    # Only versions with a stage are listed, and a secret has a handful of those: one page holds them.
    for version in clients.read("secretsmanager").list_secret_version_ids(SecretId=name)["Versions"]:
        if "AWSCURRENT" in version.get("VersionStages", []):
            return str(iso(version["CreatedDate"]))
    raise OpsError("it has no current version")


def peak(clients: Clients, namespace: str, metric: str, statistic: str, now: str, **dimensions: str) -> float:
    """The highest one-minute value of the last five minutes, at the pace of AWS.

    Raises OpsError when there is none: no data is not 0.
    """
    end = parse_utc(now)
    period, shortest = window(clients.environment.time_factor)
    back = max(_PEAK_VALUES * timedelta(seconds=period), shortest)
    query = {
        "Id": "m",
        "MetricStat": {
            "Metric": {
                "Namespace": namespace,
                "MetricName": metric,
                "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
            },
            "Period": period,
            "Stat": statistic,
        },
    }
    answer = clients.read("cloudwatch").get_metric_data(
        MetricDataQueries=[query], StartTime=end - back, EndTime=end + timedelta(seconds=period)
    )
    values: list[float] = answer["MetricDataResults"][0]["Values"]
    if not values:
        raise OpsError(f"{namespace} {metric} has no value in the last {back.total_seconds():.0f} s")
    return max(values)


def dependency_down(name: str, context: Json, serving: Iterable[str]) -> list[str]:
    """Why the dependency may not be relied on. The tasks' own word comes first, then status and connection."""
    reasons = []
    status = (context.get(name) or {}).get("status")
    if status and status not in serving:
        reasons.append(f"The {name} is {status}: bring it back first, recycling the tasks now would only thrash.")
    words = [probe["checks"][name] for probe in context.get("ready", {}).values() if name in probe["checks"]]
    failing = [word for word in words if word not in (None, "auth")]
    if failing:
        seen = f"{plural(len(failing), 'task')} of {len(words)} cannot use it ({listed(set(failing))})"
        reasons.append(f"The {name} is down: {seen}. Bring it back first, recycling the tasks would only thrash.")
    if not words and context.get(f"{name}_accepts") is False:
        reasons.append(f"The {name} is down: it accepts no connection. Bring it back first, then recycle.")
    elif not words and context.get("ready"):
        reasons.append(
            f"No task says whether it can use the {name}, so whether new ones could is unknown: "
            "look at /readyz of a task first."
        )
    return reasons


def unproven_secrets(tasks: list[Json], probes: dict[str, Json], changed: dict[str, str]) -> list[str]:
    """Why new tasks might get a secret that does not work.

    Secrets are injected when a task starts: a recycle hands their current value to every task.
    A value is proved by a task that started after it was written and is ready. Without such a task a recycle is
    the cure only where every task that answers is refused with the value before it.
    """
    refused = [task for task in tasks if "auth" in probes[task["id"]]["checks"].values()]
    answering = [task for task in tasks if probes[task["id"]]["says"] != "nothing"]
    reasons = []
    outdated = False
    for name, moment in sorted(changed.items()):
        newer = [task for task in tasks if parse_utc(task["started_at"]) > parse_utc(moment)]
        if len(newer) == len(tasks):
            continue
        outdated = True
        if any(probes[task["id"]]["says"] == "ok" for task in newer):
            continue
        if any(task in refused for task in newer):
            reasons.append(f"The value of {name} since {moment} does not work: restore the one before it first.")
        elif newer or not answering or len(refused) < len(answering):
            reasons.append(
                f"{name} changed at {moment}, after tasks had started, and no task has proved the new value: "
                "prove or restore it first, a recycle would hand it to every task."
            )
    if refused and not outdated:
        reasons.append("The tasks already have the current secrets and are refused with them: mend the secret first.")
    return reasons


def read_max_connections(clients: Clients, groups: list[str]) -> int:
    """``max_connections`` of the parameter groups. Raises OpsError when it is a formula of the instance class."""
    for group in groups:
        pages = clients.read("rds").get_paginator("describe_db_parameters").paginate(DBParameterGroupName=group)
        for page in pages:
            for parameter in page["Parameters"]:
                value = str(parameter.get("ParameterValue", ""))
                if parameter["ParameterName"] == "max_connections" and value.isdigit():
                    return int(value)
    raise OpsError("its parameter group does not say it as a number; set the option max_connections")
