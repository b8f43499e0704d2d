# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A bucket and what is set on it, each of which is one call of S3 and so one kind."""

from __future__ import annotations

import json
from abc import abstractmethod
from typing import ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._changes import State
from ansible_collections.daily_emr.ops.plugins.module_utils._resources import Json, Resource, absent

REGION: Json = {"region": {"type": "str", "required": True}}
"""Where the bucket is: S3 is asked there."""


class BucketPart(Resource):
    """Something that is set on a bucket."""

    spec: ClassVar[Json] = REGION
    without: ClassVar[str] = ""
    """The code of the error that says that it is not set."""

    @property
    def region(self) -> str:
        return str(self.settings["region"])

    def read(self) -> Json | None:
        codes = [code for code in ("NoSuchBucket", "404", self.without) if code]
        found = absent(self.look, *codes)
        return found if found is None else dict(found)

    @abstractmethod
    def look(self) -> Json:
        """What is set, from one read."""


class Bucket(BucketPart):
    """A bucket. Whether its objects can be locked is decided when it is made."""

    name: ClassVar[str] = "bucket"
    spec: ClassVar[Json] = {**REGION, "locked": {"type": "bool", "default": False}}

    def look(self) -> Json:
        self.clients.read("s3", self.region).head_bucket(Bucket=self.called)
        return {}

    def desired(self) -> Json:
        return {}

    def done(self, before: State, after: State) -> bool:
        return bool(after["present"])

    def apply(self, before: State) -> None:
        # us-east-1 is the one region that may not be named.
        region = self.settings["region"]
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        self.clients.write("s3", "CreateBucket", region=self.region).create_bucket(
            Bucket=self.called, ObjectLockEnabledForBucket=self.settings["locked"], **where
        )


class BucketVersions(BucketPart):
    """Every version of an object is kept."""

    name: ClassVar[str] = "bucket_versions"

    def look(self) -> Json:
        return {
            "versions": self.clients.read("s3", self.region)
            .get_bucket_versioning(Bucket=self.called)
            .get("Status", "never")
        }

    def desired(self) -> Json:
        return {"versions": "Enabled"}

    def apply(self, before: State) -> None:
        self.clients.write("s3", "PutBucketVersioning", region=self.region).put_bucket_versioning(
            Bucket=self.called, VersioningConfiguration={"Status": "Enabled"}
        )


class BucketEncryption(BucketPart):
    """Objects are encrypted with our key."""

    name: ClassVar[str] = "bucket_encryption"
    spec: ClassVar[Json] = {**REGION, "kms_key": {"type": "str", "required": True}}
    without: ClassVar[str] = "ServerSideEncryptionConfigurationNotFoundError"

    def look(self) -> Json:
        answer = self.clients.read("s3", self.region).get_bucket_encryption(Bucket=self.called)
        (rule,) = answer["ServerSideEncryptionConfiguration"]["Rules"]
        default = rule["ApplyServerSideEncryptionByDefault"]
        return {
            "algorithm": default["SSEAlgorithm"],
            "key": default.get("KMSMasterKeyID", ""),
            "bucket_key": bool(rule.get("BucketKeyEnabled")),
        }

    def desired(self) -> Json:
        return {"algorithm": "aws:kms", "key": self.settings["kms_key"], "bucket_key": True}

    def apply(self, before: State) -> None:
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": self.settings["kms_key"]}
        rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}
        self.clients.write("s3", "PutBucketEncryption", region=self.region).put_bucket_encryption(
            Bucket=self.called, ServerSideEncryptionConfiguration={"Rules": [rule]}
        )


class BucketAccess(BucketPart):
    """Nothing makes a bucket public."""

    name: ClassVar[str] = "bucket_access"
    without: ClassVar[str] = "NoSuchPublicAccessBlockConfiguration"
    BLOCKS: ClassVar[tuple[str, ...]] = (
        "BlockPublicAcls",
        "BlockPublicPolicy",
        "IgnorePublicAcls",
        "RestrictPublicBuckets",
    )

    def look(self) -> Json:
        found = self.clients.read("s3", self.region).get_public_access_block(Bucket=self.called)[
            "PublicAccessBlockConfiguration"
        ]
        return {name: bool(found.get(name)) for name in self.BLOCKS}

    def desired(self) -> Json:
        return dict.fromkeys(self.BLOCKS, True)

    def apply(self, before: State) -> None:
        self.clients.write("s3", "PutPublicAccessBlock", region=self.region).put_public_access_block(
            Bucket=self.called, PublicAccessBlockConfiguration=self.desired()
        )


class BucketOwnership(BucketPart):
    """All objects are the bucket owner's, and there are no ACLs."""

    name: ClassVar[str] = "bucket_ownership"
    without: ClassVar[str] = "OwnershipControlsNotFoundError"

    def look(self) -> Json:
        rules = self.clients.read("s3", self.region).get_bucket_ownership_controls(Bucket=self.called)[
            "OwnershipControls"
        ]["Rules"]
        return {"owner": rules[0]["ObjectOwnership"]}

    def desired(self) -> Json:
        return {"owner": "BucketOwnerEnforced"}

    def apply(self, before: State) -> None:
        rules = [{"ObjectOwnership": "BucketOwnerEnforced"}]
        self.clients.write("s3", "PutBucketOwnershipControls", region=self.region).put_bucket_ownership_controls(
            Bucket=self.called, OwnershipControls={"Rules": rules}
        )


class BucketPolicy(BucketPart):
    """The policy of a bucket."""

    name: ClassVar[str] = "bucket_policy"
    spec: ClassVar[Json] = {**REGION, "policy": {"type": "dict", "required": True}}
    without: ClassVar[str] = "NoSuchBucketPolicy"

    def look(self) -> Json:
        return {
            "policy": json.loads(self.clients.read("s3", self.region).get_bucket_policy(Bucket=self.called)["Policy"])
        }

    def desired(self) -> Json:
        return {"policy": self.settings["policy"]}

    def apply(self, before: State) -> None:
        self.clients.write("s3", "PutBucketPolicy", region=self.region).put_bucket_policy(
            Bucket=self.called, Policy=json.dumps(self.settings["policy"])
        )


class BucketTags(BucketPart):
    """Tags of a bucket. One that somebody added is left."""

    name: ClassVar[str] = "bucket_tags"
    without: ClassVar[str] = "NoSuchTagSet"

    def look(self) -> Json:
        found = self.clients.read("s3", self.region).get_bucket_tagging(Bucket=self.called)["TagSet"]
        standing = {tag["Key"]: tag["Value"] for tag in found}
        return {"tags": {key: standing.get(key) for key in self._ours()}, "context": {"all": standing}}

    def _ours(self) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self.tags}

    def desired(self) -> Json:
        return {"tags": self._ours()}

    def apply(self, before: State) -> None:
        everything = {**before.get("context", {}).get("all", {}), **self._ours()}
        tags = [{"Key": key, "Value": value} for key, value in sorted(everything.items())]
        self.clients.write("s3", "PutBucketTagging", region=self.region).put_bucket_tagging(
            Bucket=self.called, Tagging={"TagSet": tags}
        )


class BucketLock(BucketPart):
    """How long nobody can remove an object."""

    name: ClassVar[str] = "bucket_lock"
    spec: ClassVar[Json] = {**REGION, "days": {"type": "int", "required": True}}
    without: ClassVar[str] = "ObjectLockConfigurationNotFoundError"

    def look(self) -> Json:
        found = self.clients.read("s3", self.region).get_object_lock_configuration(Bucket=self.called)[
            "ObjectLockConfiguration"
        ]
        rule = found.get("Rule", {}).get("DefaultRetention", {})
        return {"mode": rule.get("Mode", "none"), "days": rule.get("Days", 0)}

    def desired(self) -> Json:
        return {"mode": "GOVERNANCE", "days": self.settings["days"]}

    def apply(self, before: State) -> None:
        rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": self.settings["days"]}}
        self.clients.write("s3", "PutObjectLockConfiguration", region=self.region).put_object_lock_configuration(
            Bucket=self.called, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
        )


BUCKET_KINDS: dict[str, type[Resource]] = {
    kind.name: kind
    for kind in (
        Bucket,
        BucketAccess,
        BucketEncryption,
        BucketLock,
        BucketOwnership,
        BucketPolicy,
        BucketTags,
        BucketVersions,
    )
}
