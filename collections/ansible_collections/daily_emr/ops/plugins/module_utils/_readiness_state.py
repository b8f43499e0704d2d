# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: controls of the Terraform state. May change without notice.

"""The state of Terraform: whoever can change it can change everything."""

from __future__ import annotations

from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Look, Registry, Seen, named, seen
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_buckets import (
    default_encryption,
    denies_plain_http,
    is_private,
)

AREA = Registry("state")
check = AREA.check


def _bucket(look: Look) -> str:
    return named(look.names["state_bucket"], "The bucket of the Terraform state")


@check(
    "versioning",
    "Versions of the state",
    "versioning of the state bucket is Enabled",
    calls=("s3:GetBucketVersioning",),
)
def versioning(look: Look) -> Seen:
    status = look.read("s3:GetBucketVersioning", Bucket=_bucket(look)).get("Status", "never switched on")
    return seen(status == "Enabled", status=status)


@check(
    "encryption",
    "Encryption of the state",
    "the state bucket encrypts with aws:kms by default",
    calls=("s3:GetBucketEncryption",),
)
def encryption(look: Look) -> Seen:
    found = default_encryption(look, _bucket(look))
    return seen(found == "aws:kms", algorithm=found)


@check(
    "private",
    "No public access to the state",
    "all four public access blocks of the state bucket are on",
    calls=("s3:GetPublicAccessBlock",),
)
def private(look: Look) -> Seen:
    return seen(is_private(look, _bucket(look)), private=is_private(look, _bucket(look)))


@check(
    "tls_only",
    "The state only over TLS",
    "the policy of the state bucket denies requests without TLS",
    calls=("s3:GetBucketPolicy",),
)
def tls_only(look: Look) -> Seen:
    denies = denies_plain_http(look, _bucket(look))
    return seen(denies, denies_plain_http=denies)


@check(
    "lock",
    "Lock of the state",
    "the lock table is ACTIVE, protected from deletion and restorable to a point in time",
    calls=("dynamodb:DescribeTable", "dynamodb:DescribeContinuousBackups"),
)
def lock(look: Look) -> Seen:
    name = named(look.names["state_table"], "The lock table of the Terraform state")
    table = look.read("dynamodb:DescribeTable", TableName=name)["Table"]
    backups = look.read("dynamodb:DescribeContinuousBackups", TableName=name)["ContinuousBackupsDescription"]
    point_in_time = backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
    protected = table.get("DeletionProtectionEnabled", False)
    return seen(
        table["TableStatus"] == "ACTIVE" and protected and point_in_time == "ENABLED",
        status=table["TableStatus"],
        protected=protected,
        point_in_time=point_in_time,
    )
