# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: releases of an ECS service. May change without notice.

"""Which releases a service ran, which of them has proved itself, and which can run now."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import CALL_ERRORS, error_code
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import gather
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import (
    Json,
    answered_at,
    digest_of,
    iso,
    parse_utc,
    short_revision,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

RUNNING = ("PENDING", "IN_PROGRESS")
ROLLING_BACK = ("STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS")

# DescribeServiceDeployments and DescribeServiceRevisions take 20 ARNs; the history that matters is short.
_PAGE = 20
_DEPLOYMENTS_READ = 60
# Deployments in which ECS itself sets the weights of the listener rule, and those of them that take long to give all.
ECS_SETS_WEIGHTS = ("BLUE_GREEN", "CANARY", "LINEAR")
GRADUAL = {"CANARY": "canaryConfiguration", "LINEAR": "linearConfiguration"}
# A release that makes less of the bad requests than this is not the whole cause (incident domain, A3.2).
ENOUGH_OF_THE_BAD = 0.8


def read_service(clients: Clients, cluster: str, service: str) -> Json:
    """The ECS service with its primary deployment and AWS's own time of the answer."""
    answer = clients.read("ecs").describe_services(cluster=cluster, services=[service], include=["TAGS"])
    if not answer["services"]:
        raise OpsError(f"There is no service {service} in cluster {cluster}: check web_service in the inventory.")
    found = answer["services"][0]
    configuration = found.get("deploymentConfiguration", {})
    primary = next((item for item in found["deployments"] if item["status"] == "PRIMARY"), None)
    return {
        "arn": found["serviceArn"],
        "status": found["status"],
        "revision": short_revision(found["taskDefinition"]),
        "desired": found["desiredCount"],
        "running": found["runningCount"],
        "minimum_healthy_percent": configuration.get("minimumHealthyPercent", 100),
        "maximum_percent": configuration.get("maximumPercent", 200),
        "strategy": configuration.get("strategy", "ROLLING"),
        "configuration": configuration,
        "deployment": primary
        and {"id": primary["id"], "created_at": iso(primary["createdAt"]), "rollout": primary.get("rolloutState")},
        "tags": {tag["key"]: tag["value"] for tag in found.get("tags", [])},
        "read_at": iso(answered_at(answer)),
    }


def read_history(clients: Clients, cluster: str, service: str) -> list[Json]:
    """The service deployments, newest first. AWS keeps them for 90 days, since 2024-10-25."""
    ecs = clients.read("ecs")
    arns: list[str] = []
    page: Json = {}
    while len(arns) < _DEPLOYMENTS_READ:
        answer = ecs.list_service_deployments(cluster=cluster, service=service, **page)
        arns += [item["serviceDeploymentArn"] for item in answer["serviceDeployments"]]
        if not answer.get("nextToken"):
            break
        page = {"nextToken": answer["nextToken"]}
    deployments = [
        found
        for start in range(0, len(arns), _PAGE)
        for found in ecs.describe_service_deployments(serviceDeploymentArns=arns[start : start + _PAGE])[
            "serviceDeployments"
        ]
    ]
    revisions = _revisions(clients, {arn for item in deployments for arn in _revision_arns(item)})
    history = [_deployment(item, revisions) for item in deployments]
    return sorted(history, key=lambda item: str(item["created_at"]), reverse=True)


def _revision_arns(deployment: Json) -> list[str]:
    sources = [item["arn"] for item in deployment.get("sourceServiceRevisions", [])]
    target = deployment.get("targetServiceRevision", {}).get("arn")
    return [*sources, target] if target else sources


def _revisions(clients: Clients, arns: set[str]) -> dict[str, str]:
    """Map each service revision to its task definition."""
    ordered = sorted(arns)
    found: dict[str, str] = {}
    for start in range(0, len(ordered), _PAGE):
        answer = clients.read("ecs").describe_service_revisions(serviceRevisionArns=ordered[start : start + _PAGE])
        for item in answer["serviceRevisions"]:
            found[item["serviceRevisionArn"]] = short_revision(item["taskDefinition"])
    return found


def _deployment(item: Json, revisions: dict[str, str]) -> Json:
    sources = [
        revisions[source["arn"]] for source in item.get("sourceServiceRevisions", []) if source["arn"] in revisions
    ]
    return {
        "arn": item["serviceDeploymentArn"],
        "status": item["status"],
        "created_at": iso(item["createdAt"]),
        "finished_at": iso(item.get("finishedAt")),
        "revision": revisions.get(item.get("targetServiceRevision", {}).get("arn", "")),
        "from": sources,
        "configuration": item.get("deploymentConfiguration", {}),
        # A deployment that waits at a PAUSE hook is answered there, not stopped.
        "waits_at_hook": any(hook.get("status") == "AWAITING_ACTION" for hook in item.get("lifecycleHookDetails", [])),
    }


def read_release(clients: Clients, service: Json, revision: str) -> Json:
    """What must be true of a task definition before it may run: its image, its schema range, its secrets."""
    answer = clients.read("ecs").describe_task_definition(taskDefinition=revision, include=["TAGS"])
    definition = answer["taskDefinition"]
    container = next(
        (item for item in definition["containerDefinitions"] if item["name"] == service["container"]), None
    )
    if container is None:
        raise OpsError(f"{revision} has no container {service['container']}: check web_service in the inventory.")
    tags = {tag["key"]: tag["value"] for tag in answer.get("tags", [])}
    digest = digest_of(container["image"])
    secrets = _secrets(container)
    there = gather(
        image=lambda: bool(digest) and image_present(clients, service["repository"], str(digest)),
        **{name: partial(_present, clients, name) for name in secrets},
    )
    for answer in there.values():
        if isinstance(answer, OpsError):
            raise answer
    return {
        "revision": revision,
        "registered": definition.get("status", "ACTIVE") == "ACTIVE",
        "release": tags.get("release"),
        "schema_compat": tags.get("schema_compat"),
        "security_fix": tags.get("security_fix"),
        "digest": digest,
        "image_present": there["image"],
        "missing_secrets": [name for name in secrets if not there[name]],
    }


def image_present(clients: Clients, repository: str, digest: str) -> bool:
    """False only when ECR says so; any other answer raises."""
    try:
        clients.read("ecr").describe_images(repositoryName=repository, imageIds=[{"imageDigest": digest}])
    except CALL_ERRORS as error:
        if error_code(error) == "ImageNotFoundException":
            return False
        raise
    return True


def _secrets(container: Json) -> list[str]:
    """Secrets and parameters a container gets, as ARN or name, without JSON key and version of a secret."""
    return sorted({":".join(item["valueFrom"].split(":")[:7]) for item in container.get("secrets", [])})


def _present(clients: Clients, name: str) -> bool:
    """ECS takes the ARN of a secret, or the ARN or the bare name of a parameter of Systems Manager."""
    if ":secretsmanager:" not in name:
        parameter = name.partition(":parameter")[2] or name
        # The ARN of a parameter without a path has a slash that its name has not.
        names = sorted({parameter, parameter.lstrip("/")})
        wanted = {"Key": "Name", "Option": "Equals", "Values": names}
        return bool(clients.read("ssm").describe_parameters(ParameterFilters=[wanted])["Parameters"])
    try:
        found = clients.read("secretsmanager").describe_secret(SecretId=name)
    except CALL_ERRORS as error:
        if error_code(error) == "ResourceNotFoundException":
            return False
        raise
    return "DeletedDate" not in found


def proven(history: list[Json], revision: str, good_after_s: float, now: str) -> bool:
    """Whether one successful deployment of the revision ran ``good_after_s`` before another revision came."""
    return any(
        item["revision"] == revision
        and item["status"] == "SUCCESSFUL"
        and item["finished_at"]
        and (_replaced_at(history, item, now) - parse_utc(item["finished_at"])).total_seconds() >= good_after_s
        for item in history
    )


def _replaced_at(history: list[Json], deployment: Json, now: str) -> datetime:
    """When another revision took its place. One that failed was rolled back, and this one went on."""
    later = [
        parse_utc(item["created_at"])
        for item in history
        if item["created_at"] > deployment["created_at"]
        and item["revision"] != deployment["revision"]
        and item["status"] == "SUCCESSFUL"
    ]
    return min(later, default=parse_utc(now))


def proven_revisions(history: list[Json], good_after_s: float, now: str) -> list[str]:
    """Revisions that have proved themselves, the one most recently deployed with success first."""
    revisions = dict.fromkeys(
        item["revision"] for item in history if item["revision"] and item["status"] == "SUCCESSFUL"
    )
    return [revision for revision in revisions if proven(history, revision, good_after_s, now)]


def passed_over(history: list[Json], revision: str, running: str) -> list[str]:
    """Revisions deployed with success after this one last was, and the running one: what a rollback gives up."""
    newest = max((item["created_at"] for item in history if item["revision"] == revision), default="")
    later = [
        item["revision"]
        for item in history
        if item["created_at"] > newest and item["status"] == "SUCCESSFUL" and item["revision"]
    ]
    return [name for name in dict.fromkeys([running, *later]) if name != revision]


def unfit(release: Json, schema_version: str | None) -> list[str]:
    """Why a release cannot run now, whatever its past; empty when it can."""
    return cannot_start(release) + schema_mismatch(release, schema_version)


def cannot_start(release: Json) -> list[str]:
    """Why no task of the release could start."""
    name = release["revision"]
    reasons = []
    if not release["registered"]:
        reasons.append(f"{name} is deregistered: register its task definition again.")
    if release["digest"] is None:
        reasons.append(
            f"The image of {name} is not pinned by digest, so nobody knows what would start: deploy a digest."
        )
    elif not release["image_present"]:
        reasons.append(f"The image of {name} no longer exists in ECR: push it again by its digest.")
    reasons += [
        f"{name} needs the secret {secret}, which is gone: restore it." for secret in release["missing_secrets"]
    ]
    return reasons


def schema_mismatch(release: Json, schema_version: str | None) -> list[str]:
    """Why the release does not fit the database's schema. A missing tag is a reason: unknown is never ok."""
    name, compat = release["revision"], release["schema_compat"]
    if schema_version is None or not schema_version.isdigit():
        return ["The database has no tag schema_version, so it is unknown which release fits: tag it, then run again."]
    low, dash, high = (compat or "").partition("-")
    if not (dash and low.isdigit() and high.isdigit()):
        return [
            f"{name} has no tag schema_compat (such as 12-14), so whether it fits is unknown: tag it, then run again."
        ]
    if not int(low) <= int(schema_version) <= int(high):
        return [f"{name} runs with schema {compat}, the database has {schema_version}: choose another, or fix forward."]
    return []


def removes(bad_share: float | None) -> list[str]:
    """What taking a release away would do to the errors, given its share of the bad requests."""
    if bad_share is None:
        return []
    sentence = f"Removes {bad_share * 100:.0f} % of the bad requests"
    return [f"{sentence}." if bad_share >= ENOUGH_OF_THE_BAD else f"{sentence}: below 80 % it will not fix it."]


def at_once(service: Json) -> Json:
    """What UpdateService needs besides, so that a deployment that mends something gives all the traffic at once.

    ECS keeps the strategy with the service and takes none for a single deployment: `ecs_service_strategy` gives the one
    that was back. The alarms ring for the release that is given up, and must not stop what takes it away.
    """
    if service["strategy"] not in GRADUAL:
        return {}
    kept = {key: value for key, value in service["configuration"].items() if key not in GRADUAL.values()}
    if "alarms" in kept:
        kept["alarms"] = {**kept["alarms"], "enable": False, "rollback": False}
    return {"deploymentConfiguration": {**kept, "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0}}


def gradual_before(service: Json, history: Iterable[Json]) -> Json | None:
    """The configuration that a service deployed with at once lost; None when its strategy is its owner's choice."""
    if not _sent_at_once(service["configuration"]):
        return None
    before = next((item for item in history if not _sent_at_once(item["configuration"])), None)
    found: Json = before["configuration"] if before else {}
    return found if found.get("strategy") in GRADUAL else None


def _sent_at_once(configuration: Json) -> bool:
    return configuration.get("strategy") == "BLUE_GREEN" and configuration.get("bakeTimeInMinutes") == 0


def moving_at_once(service: Json) -> list[str]:
    """What a plan says of it."""
    if service["strategy"] not in GRADUAL:
        return []
    return [f"All the traffic moves as soon as the new tasks are healthy, not step by step ({service['strategy']})."]


def in_progress(history: Iterable[Json]) -> Json | None:
    return next((item for item in history if item["status"] in RUNNING), None)


def same_revision(deployment: Json) -> bool:
    """Whether it only replaces tasks by others of their own revision (forceNewDeployment)."""
    return bool(deployment["from"][:1] == [deployment["revision"]])


def rolling_back(history: Iterable[Json]) -> Json | None:
    return next((item for item in history if item["status"] in ROLLING_BACK), None)


def read_capacity(clients: Clients, cluster: str, service: str) -> Json | None:
    """The limits of Application Auto Scaling, None when the service is not scaled by it."""
    answer = clients.read("application-autoscaling").describe_scalable_targets(
        ServiceNamespace="ecs",
        ResourceIds=[f"service/{cluster}/{service}"],
        ScalableDimension="ecs:service:DesiredCount",
    )
    if not answer["ScalableTargets"]:
        return None
    found = answer["ScalableTargets"][0]
    return {
        "minimum": found["MinCapacity"],
        "maximum": found["MaxCapacity"],
        "suspended": found.get("SuspendedState", {}).get("DynamicScalingOutSuspended", False),
    }
