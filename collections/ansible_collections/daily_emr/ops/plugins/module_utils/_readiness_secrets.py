# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: controls of the secrets. May change without notice.

"""Secrets: there, fresh, encrypted with our key, copied, and readable by tasks. Their values are never asked for."""

from __future__ import annotations

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Look, Registry, Seen, Unknown, seen
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_service import (
    DEFINITION,
    SERVICES,
    task_definition,
)

AREA = Registry("secrets")
check = AREA.check

DESCRIBE = "secretsmanager:DescribeSecret"
AWS_KEY = "alias/aws/secretsmanager"


def _secrets(look: Look) -> dict[str, dict[str, Any] | None]:
    """Each secret, or None where AWS says that there is none."""
    found = {
        name: look.read_or_none(DESCRIBE, "ResourceNotFoundException", SecretId=name) for name in look.names["secrets"]
    }
    if not found:
        raise Unknown("No secret is named: put their names into readiness_names.secrets.")
    return found


def _all(look: Look) -> dict[str, dict[str, Any]]:
    found = {name: secret for name, secret in _secrets(look).items() if secret is not None}
    if missing := set(look.names["secrets"]) - set(found):
        raise Unknown(f"{len(missing)} of the secrets are not there: see secrets.present.")
    return found


@check(
    "present",
    "Every secret is there",
    "each named secret exists, has a current version, and is not about to be deleted",
    calls=(DESCRIBE,),
)
def present(look: Look) -> Seen:
    missing = {
        name
        for name, secret in _secrets(look).items()
        if secret is None
        or secret.get("DeletedDate")
        or not any("AWSCURRENT" in stages for stages in secret.get("VersionIdsToStages", {}).values())
    }
    return seen(not missing, secrets=len(look.names["secrets"]), missing=missing)


@check("keys", "Keys of our own", "each secret is encrypted with a key of our own", calls=(DESCRIBE,))
def keys(look: Look) -> Seen:
    with_key_of_aws = {name for name, secret in _all(look).items() if secret.get("KmsKeyId", AWS_KEY) == AWS_KEY}
    return seen(not with_key_of_aws, with_key_of_aws=with_key_of_aws)


@check(
    "age",
    "Fresh secrets",
    "each secret rotates by itself or was changed less than {secret_days} days ago",
    calls=(DESCRIBE,),
)
def age(look: Look) -> Seen:
    old = {
        name
        for name, secret in _all(look).items()
        if not secret.get("RotationEnabled")
        and look.age(secret.get("LastChangedDate")).days >= look.wanted["secret_days"]
    }
    return seen(not old, old=old)


@check(
    "copies",
    "Copies in the second Region",
    "each secret has a copy in the Region of the copies that is InSync",
    calls=(DESCRIBE,),
)
def copies(look: Look) -> Seen:
    without = {
        name
        for name, secret in _all(look).items()
        if not any(
            copy["Region"] == look.names["copy_region"] and copy["Status"] == "InSync"
            for copy in secret.get("ReplicationStatus", [])
        )
    }
    return seen(not without, without=without)


@check(
    "readable",
    "Tasks may read their secrets",
    "the execution role of the application may read each secret that its task definition names",
    calls=(SERVICES, DEFINITION, "iam:SimulatePrincipalPolicy"),
)
def readable(look: Look) -> Seen:
    definition = task_definition(look)
    arns = sorted(
        # After the ARN of the secret may stand a key of its JSON, a stage and a version.
        {":".join(item["valueFrom"].split(":")[:7]) for container in definition["containerDefinitions"]
         for item in container.get("secrets", [])}
    )  # fmt: skip
    if not arns:
        return seen(passed=False, secrets=0, denied=[])
    results = look.listed(
        "iam:SimulatePrincipalPolicy",
        "EvaluationResults",
        PolicySourceArn=definition["executionRoleArn"],
        ActionNames=["secretsmanager:GetSecretValue"],
        ResourceArns=arns,
    )
    decisions = {item["EvalResourceName"]: item["EvalDecision"] for item in results}
    denied = [arn.rpartition(":")[2] for arn in arns if decisions.get(arn) != "allowed"]
    return seen(not denied, secrets=len(arns), denied=denied)


@check(
    "injected",
    "Secrets come at deployment",
    "the task definition takes each secret from Secrets Manager and has none in plain text",
    calls=(SERVICES, DEFINITION),
)
def injected(look: Look) -> Seen:
    secret_names = {name.rpartition("/")[2].upper().replace("-", "_") for name in look.names["secrets"]}
    taken: set[str] = set()
    in_plain_text: set[str] = set()
    for container in task_definition(look)["containerDefinitions"]:
        taken |= {item["name"] for item in container.get("secrets", [])}
        in_plain_text |= {item["name"] for item in container.get("environment", [])} & secret_names
    return seen(taken and not in_plain_text, taken=taken, in_plain_text=in_plain_text)
