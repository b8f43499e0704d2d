"""The bucket of the audit, which locks what is put into it: heads of journals, as the runbooks put them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .aws.server import AwsServer
    from .settings import Settings

LOCK_DAYS = 35


def seed_audit(settings: Settings, aws: AwsServer, tags: list[dict[str, str]]) -> None:
    """Make the bucket. Not with the mutex held."""
    s3, name = aws.boto("s3"), settings.audit_bucket
    where = {"LocationConstraint": settings.region}
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": LOCK_DAYS}}
    s3.put_object_lock_configuration(
        Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    encryption = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [encryption]})
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
