"""The bucket of the dumps: locked, encrypted with a key of its own, and copied to the second region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .settings import COPY_REGION

if TYPE_CHECKING:
    from .aws.server import AwsServer
    from .settings import Settings


def seed_dumps(settings: Settings, aws: AwsServer, tags: list[dict[str, str]]) -> None:
    """Make bucket, key and copy. Not with the mutex held."""
    s3, kms = aws.boto("s3"), aws.boto("kms")
    named = [{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in tags]
    key = kms.create_key(Description="Dumps of Daily EMR", Tags=named)["KeyMetadata"]["Arn"]
    for name, region in ((settings.dumps_copy_bucket, COPY_REGION), (settings.dumps_bucket, settings.region)):
        with aws.mutex:  # a bucket of another region can only be made there, and the sandbox has one endpoint
            aws.backend("s3").create_bucket(name, region).object_lock_enabled = True
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        encryption: dict[str, Any] = {"SSEAlgorithm": "aws:kms"}
        if region == settings.region:
            encryption["KMSMasterKeyID"] = key
        s3.put_bucket_encryption(
            Bucket=name,
            ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": encryption}]},
        )
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
    s3.put_bucket_replication(
        Bucket=settings.dumps_bucket,
        ReplicationConfiguration={
            "Role": f"arn:aws:iam::{settings.account_id}:role/{settings.prefix}-replication",
            "Rules": [
                {
                    "ID": "dumps",
                    "Status": "Enabled",
                    "Priority": 1,
                    "Filter": {"Prefix": ""},
                    "DeleteMarkerReplication": {"Status": "Disabled"},
                    "Destination": {"Bucket": f"arn:aws:s3:::{settings.dumps_copy_bucket}"},
                }
            ],
        },
    )
