# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what AWS says about a secret. May change without notice.

"""Facts of one secret in AWS Secrets Manager, read with the rights of a diagnosis: everything but the value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling, error_code
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, iso

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"
NOT_THERE = "ResourceNotFoundException"


def full_name(store: Json, entry: Json) -> str:
    return f"{store['prefix']}/{entry['name']}"


def describe(clients: Clients, name: str) -> Json | None:
    """The secret as it is now; None when there is none."""
    try:
        with calling("secretsmanager:DescribeSecret"):
            found = clients.read("secretsmanager").describe_secret(SecretId=name)
    except OpsError as error:
        if error_code(error) == NOT_THERE:
            return None
        raise
    return {
        "arn": found["ARN"],
        "kms_key": found.get("KmsKeyId") or "",
        "deleted": bool(found.get("DeletedDate")),
        "rotates": bool(found.get("RotationEnabled")),
        "rotation_days": (found.get("RotationRules") or {}).get("AutomaticallyAfterDays"),
        "rotated_at": iso(found.get("LastRotatedDate")),
        "changed_at": iso(found.get("LastChangedDate")),
        "tags": {tag["Key"]: tag["Value"] for tag in found.get("Tags") or []},
        "replicas": {item["Region"]: item["Status"] for item in found.get("ReplicationStatus") or []},
    }


def versions(clients: Clients, name: str) -> Json:
    """Id and date of the version with each label. A secret without a value has none."""
    with calling("secretsmanager:ListSecretVersionIds"):
        answer = clients.read("secretsmanager").list_secret_version_ids(SecretId=name)
    return {
        stage: {"id": version["VersionId"], "at": iso(version["CreatedDate"])}
        for version in answer["Versions"]
        for stage in version.get("VersionStages") or []
    }


def pending(found: Json) -> Json:
    """The version that waits to be promoted; empty when there is none, or when it was promoted already."""
    waiting, current = found.get(PENDING), found.get(CURRENT)
    return waiting if waiting and waiting["id"] != (current or {}).get("id") else {}
