# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: what several areas ask about a bucket. May change without notice.

"""What is asked about more than one bucket."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Look


def default_encryption(look: Look, bucket: str) -> str:
    """The algorithm that a bucket encrypts with when nobody says otherwise."""
    found = look.read_or_none("s3:GetBucketEncryption", "ServerSideEncryptionConfigurationNotFoundError", Bucket=bucket)
    if found is None:
        return "none"
    (rule,) = found["ServerSideEncryptionConfiguration"]["Rules"]
    return str(rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"])


def is_private(look: Look, bucket: str) -> bool:
    """Whether all four public access blocks of a bucket are on."""
    found = look.read_or_none("s3:GetPublicAccessBlock", "NoSuchPublicAccessBlockConfiguration", Bucket=bucket)
    blocks = (found or {}).get("PublicAccessBlockConfiguration", {})
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    return all(blocks.get(name) is True for name in names)


def denies_plain_http(look: Look, bucket: str) -> bool:
    """Whether the policy of a bucket denies everybody every request that does not use TLS."""
    found = look.read_or_none("s3:GetBucketPolicy", "NoSuchBucketPolicy", Bucket=bucket)
    return found is not None and any(_denies(statement) for statement in statements(found["Policy"]))


def _denies(statement: dict[str, Any]) -> bool:
    secure = statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")
    everybody = statement.get("Principal") in ("*", {"AWS": "*"})
    everything = "s3:*" in as_list(statement.get("Action", []))
    return statement["Effect"] == "Deny" and str(secure).lower() == "false" and everybody and everything


def statements(policy: str) -> list[dict[str, Any]]:
    """The statements of a policy."""
    return [dict(statement) for statement in as_list(json.loads(policy)["Statement"])]


def as_list(value: Any) -> list[Any]:
    """One or several, as IAM writes them."""
    return list(value) if isinstance(value, list) else [value]
