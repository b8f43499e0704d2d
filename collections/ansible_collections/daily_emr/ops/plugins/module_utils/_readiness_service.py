# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: controls of the application and its workers. May change without notice.

"""The ECS services: two tasks at least, in two zones, and releases that go back by themselves."""

from __future__ import annotations

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Look, Registry, Seen, Unknown, seen

AREA = Registry("service")
check = AREA.check

SERVICES, DEFINITION = "ecs:DescribeServices", "ecs:DescribeTaskDefinition"
SCALING = "application-autoscaling:DescribeScalableTargets"
POLICIES = "application-autoscaling:DescribeScalingPolicies"
CPU = "ECSServiceAverageCPUUtilization"


def web_service(look: Look) -> dict[str, Any]:
    """The ECS service of the application."""
    return look.one(SERVICES, "services", cluster=look.names["cluster"], services=[look.names["service"]])


def task_definition(look: Look) -> dict[str, Any]:
    """What the application runs: the task definition of its service."""
    arn = web_service(look)["taskDefinition"]
    return dict(look.read(DEFINITION, taskDefinition=arn)["taskDefinition"])


def containers(look: Look) -> list[dict[str, Any]]:
    found = [item for item in task_definition(look)["containerDefinitions"] if item.get("essential", True)]
    if not found:
        raise Unknown("The task definition names no essential container.")
    return found


@check("tasks", "Enough tasks", "at least {min_tasks} tasks are wanted, and all of them run", calls=(SERVICES,))
def tasks(look: Look) -> Seen:
    service = web_service(look)
    desired, running = service["desiredCount"], service["runningCount"]
    return seen(
        service["status"] == "ACTIVE" and running >= desired >= look.wanted["min_tasks"],
        measured={"desired": desired, "running": running},  # scaling changes them all day
        status=service["status"],
    )


@check(
    "workers",
    "Workers of the queues",
    "every worker service is ACTIVE, wants at least one task, and has all that it wants",
    calls=(SERVICES,),
)
def workers(look: Look) -> Seen:
    names = look.names["workers"]
    found = look.listed(SERVICES, "services", cluster=look.names["cluster"], services=list(names))
    well = {
        item["serviceName"]
        for item in found
        if item["runningCount"] >= item["desiredCount"] > 0 == item["pendingCount"]
    }
    active = {item["serviceName"] for item in found if item["status"] == "ACTIVE"}
    return seen(names and well & active == set(names), not_well=set(names) - (well & active))


@check(
    "zones",
    "Tasks in several zones",
    "running tasks are in at least {min_zones} zones",
    calls=("ecs:ListTasks", "ecs:DescribeTasks"),
)
def zones(look: Look) -> Seen:
    cluster = look.names["cluster"]
    arns = look.listed("ecs:ListTasks", "taskArns", cluster=cluster, serviceName=look.names["service"])
    # One call of DescribeTasks takes a hundred at most; two zones are proven by fewer.
    found = look.listed("ecs:DescribeTasks", "tasks", cluster=cluster, tasks=sorted(arns)[:100]) if arns else []
    running = {item["availabilityZone"] for item in found if item["lastStatus"] == "RUNNING"}
    return seen(len(running) >= look.wanted["min_zones"], zones=running)


@check(
    "deployment",
    "Deployments that go back",
    "minimumHealthyPercent is at least {min_healthy_percent}, and the circuit breaker rolls back",
    calls=(SERVICES,),
)
def deployment(look: Look) -> Seen:
    found = web_service(look)["deploymentConfiguration"]
    breaker = found.get("deploymentCircuitBreaker", {"enable": False, "rollback": False})
    least = found["minimumHealthyPercent"]
    return seen(
        least >= look.wanted["min_healthy_percent"] and breaker["enable"] and breaker["rollback"],
        minimum_healthy_percent=least,
        circuit_breaker=breaker["enable"],
        rolls_back=breaker["rollback"],
    )


@check(
    "deployment_alarms",
    "Alarms that stop a deployment",
    "a deployment watches at least one alarm, and rolls back when it rings",
    calls=(SERVICES,),
)
def deployment_alarms(look: Look) -> Seen:
    alarms = web_service(look)["deploymentConfiguration"].get("alarms", {})
    names = sorted(alarms.get("alarmNames", []))
    return seen(names and alarms["enable"] and alarms["rollback"], alarms=names)


@check(
    "canary",
    "Canary",
    "a release takes {canary_percent} % of the traffic for {canary_minutes} minutes before it takes all",
    calls=(SERVICES,),
)
def canary(look: Look) -> Seen:
    found = web_service(look)["deploymentConfiguration"]
    canary_of = found.get("canaryConfiguration", {})
    percent, bake = canary_of.get("canaryPercent"), canary_of.get("canaryBakeTimeInMinutes")
    right = percent == look.wanted["canary_percent"] and bake == look.wanted["canary_minutes"]
    strategy = found.get("strategy", "ROLLING")
    return seen(strategy == "CANARY" and right, strategy=strategy, percent=percent, minutes=bake)


def _scaling(look: Look, call: str, key: str) -> list[dict[str, Any]]:
    resource = f"service/{look.names['cluster']}/{look.names['service']}"
    which = {"ResourceIds": [resource]} if call == SCALING else {"ResourceId": resource}
    return look.listed(call, key, ServiceNamespace="ecs", ScalableDimension="ecs:service:DesiredCount", **which)


@check(
    "scaling",
    "Limits of scaling",
    "the service scales between at least {min_tasks} tasks and more, and scaling is not suspended",
    calls=(SCALING,),
)
def scaling(look: Look) -> Seen:
    (target,) = _scaling(look, SCALING, "ScalableTargets")
    suspended = sorted(name for name, value in target.get("SuspendedState", {}).items() if value)
    least, most = target["MinCapacity"], target["MaxCapacity"]
    return seen(most > least >= look.wanted["min_tasks"] and not suspended, least=least, most=most, suspended=suspended)


@check(
    "cpu_target",
    "Scaling on CPU",
    "a target tracking policy keeps the average CPU at {cpu_target} %",
    calls=(POLICIES,),
)
def cpu_target(look: Look) -> Seen:
    targets = [
        tracking["TargetValue"]
        for policy in _scaling(look, POLICIES, "ScalingPolicies")
        if (tracking := policy.get("TargetTrackingScalingPolicyConfiguration"))
        and tracking.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType") == CPU
    ]
    return seen(targets == [look.wanted["cpu_target"]], targets=targets)


@check(
    "image_digest",
    "Image by digest",
    "every container names its image by digest",
    calls=(SERVICES, DEFINITION),
)
def image_digest(look: Look) -> Seen:
    by_tag = {item["name"] for item in containers(look) if "@sha256:" not in item["image"]}
    return seen(not by_tag, by_tag=by_tag)


@check(
    "hardening",
    "Containers with little power",
    "every container has a read-only root filesystem and a user that is not root",
    calls=(SERVICES, DEFINITION),
)
def hardening(look: Look) -> Seen:
    writable = {item["name"] for item in containers(look) if not item.get("readonlyRootFilesystem")}
    as_root = {item["name"] for item in containers(look) if item.get("user", "root").split(":")[0] in ("root", "0", "")}
    return seen(not writable and not as_root, writable=writable, as_root=as_root)


@check(
    "stop_timeout",
    "Time to finish requests",
    "every container has at least {stop_timeout_s} s to stop",
    calls=(SERVICES, DEFINITION),
)
def stop_timeout(look: Look) -> Seen:
    # Fargate gives 30 s where the task definition says nothing; a release that relies on that does not say so.
    seconds = {item["name"]: item.get("stopTimeout", 0) for item in containers(look)}
    return seen(min(seconds.values()) >= look.wanted["stop_timeout_s"], seconds=seconds)


@check(
    "logs",
    "Logs of the containers",
    "every container sends its logs away by awslogs or awsfirelens",
    calls=(SERVICES, DEFINITION),
)
def logs(look: Look) -> Seen:
    drivers = {item["name"]: item.get("logConfiguration", {}).get("logDriver", "none") for item in containers(look)}
    return seen(set(drivers.values()) <= {"awslogs", "awsfirelens"}, drivers=drivers)


@check(
    "grace_period",
    "Time to start",
    "health checks of new tasks count only after a grace period",
    calls=(SERVICES,),
)
def grace_period(look: Look) -> Seen:
    seconds = web_service(look).get("healthCheckGracePeriodSeconds", 0)
    return seen(seconds > 0, seconds=seconds)
