# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: controls of the image registry. May change without notice.

"""Images: scanned, immutable, kept long enough to go back, and there in the second Region."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Look, Registry, Seen, Unknown, seen
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_service import (
    DEFINITION,
    SERVICES,
    task_definition,
)

AREA = Registry("registry")
check = AREA.check

ROLLBACKS = 3
"""Releases that must still be there to go back to; also the number of task definitions that are read."""


def _repository(look: Look) -> dict[str, Any]:
    return look.one("ecr:DescribeRepositories", "repositories", repositoryNames=[look.names["repository"]])


@check(
    "scanning",
    "Scanning of images",
    "the registry scans images of the application by itself",
    calls=("ecr:GetRegistryScanningConfiguration", "ecr:DescribeRepositories"),
)
def scanning(look: Look) -> Seen:
    registry = look.read("ecr:GetRegistryScanningConfiguration")["scanningConfiguration"]
    on_push = _repository(look).get("imageScanningConfiguration", {}).get("scanOnPush", False)
    automatic = any(rule["scanFrequency"] != "MANUAL" for rule in registry["rules"])
    return seen(automatic or on_push, kind=registry["scanType"], automatic=automatic, on_push=on_push)


def _digest(definition: dict[str, Any], repository: str) -> str:
    for container in definition["containerDefinitions"]:
        name, _at, digest = container["image"].partition("@")
        if name.partition("/")[2].partition(":")[0] == repository and digest:
            return str(digest)
    raise Unknown("The task definition does not name its image by digest.")


@check(
    "findings",
    "No critical vulnerability",
    "the scan of the deployed image is complete and found no critical vulnerability",
    calls=(SERVICES, DEFINITION, "ecr:DescribeImageScanFindings"),
)
def findings(look: Look) -> Seen:
    digest = _digest(task_definition(look), look.names["repository"])
    scan = look.read(
        "ecr:DescribeImageScanFindings",
        whole=False,
        repositoryName=look.names["repository"],
        imageId={"imageDigest": digest},
    )
    status = scan["imageScanStatus"]["status"]
    if status not in ("COMPLETE", "ACTIVE"):
        raise Unknown(f"The scan of the deployed image is {status}.")
    counts = scan["imageScanFindings"].get("findingSeverityCounts", {})
    critical = counts.get("CRITICAL", 0)
    return seen(critical == 0, image=digest, critical=critical, high=counts.get("HIGH", 0))


@check(
    "immutable",
    "Tags that stay",
    "tags of the repository are IMMUTABLE",
    calls=("ecr:DescribeRepositories",),
)
def immutable(look: Look) -> Seen:
    mutability = _repository(look)["imageTagMutability"]
    return seen(mutability == "IMMUTABLE", mutability=mutability)


@check(
    "lifecycle",
    "Images are kept",
    "no rule of the lifecycle policy keeps fewer than {kept_images} images",
    calls=("ecr:GetLifecyclePolicy",),
)
def lifecycle(look: Look) -> Seen:
    found = look.read_or_none(
        "ecr:GetLifecyclePolicy", "LifecyclePolicyNotFoundException", repositoryName=look.names["repository"]
    )
    if found is None:
        return seen(passed=False, policy="none")
    rules = [rule["selection"] for rule in json.loads(found["lifecyclePolicyText"])["rules"]]
    tagged = [rule for rule in rules if rule["tagStatus"] != "untagged"]
    # A rule by age may remove all images of a service that rests.
    by_age = [rule["countNumber"] for rule in tagged if rule["countType"] != "imageCountMoreThan"]
    kept = [rule["countNumber"] for rule in tagged if rule["countType"] == "imageCountMoreThan"]
    return seen(rules and not by_age and all(n >= look.wanted["kept_images"] for n in kept), kept=kept, by_age=by_age)


@check(
    "rollback",
    "Images to go back to",
    "the images of the last three task definitions are in the repository",
    calls=(SERVICES, "ecs:ListTaskDefinitions", DEFINITION, "ecr:DescribeImages"),
)
def rollback(look: Look) -> Seen:
    family = task_definition(look)["family"]
    newest = look.read("ecs:ListTaskDefinitions", whole=False, familyPrefix=family, sort="DESC", maxResults=ROLLBACKS)[
        "taskDefinitionArns"
    ]
    missing, digests = [], set()
    for arn in newest:
        definition = look.read(DEFINITION, taskDefinition=arn)["taskDefinition"]
        digest = _digest(definition, look.names["repository"])
        digests.add(digest)
        image = look.read_or_none(
            "ecr:DescribeImages",
            "ImageNotFoundException",
            repositoryName=look.names["repository"],
            imageIds=[{"imageDigest": digest}],
        )
        if not (image or {}).get("imageDetails"):
            missing.append(digest)
    return seen(len(digests) > 1 and not missing, images=len(digests), missing=missing)


@check(
    "replicated",
    "Images in the second Region",
    "the registry replicates images of the application to the Region of the copies",
    calls=("ecr:DescribeRegistry",),
)
def replicated(look: Look) -> Seen:
    rules = look.read("ecr:DescribeRegistry")["replicationConfiguration"]["rules"]
    regions = {
        destination["region"]
        for rule in rules
        for destination in rule["destinations"]
        if not rule.get("repositoryFilters")
        or any(look.names["repository"].startswith(item["filter"]) for item in rule["repositoryFilters"])
    }
    return seen(look.names["copy_region"] in regions, regions=regions)
