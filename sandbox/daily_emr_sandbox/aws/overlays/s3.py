"""S3: a lock that holds, a checksum that is compared, and copies in the second region.

moto keeps objects, versions and locks as AWS does, with these gaps: whoever asks to bypass a governance lock may; a
lock can be shortened; the default retention is told in days and in years, which boto refuses; versioning of a locked
bucket can be suspended; the SHA-256 of an upload is kept and not compared with what arrived; an object of a bucket
without encryption has none; and a replication is only written down.
"""

from __future__ import annotations

import base64
import copy
import hashlib
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.s3.models import FakeKey, S3Backend
from moto.s3.responses import S3Response

from ..errors import AwsError

if TYPE_CHECKING:
    from ..server import AwsServer

_is_locked = FakeKey.is_locked
_response_dict = FakeKey.response_dict
_put_object = S3Response.put_object
_backend_put_object = S3Backend.put_object
_put_object_retention = S3Backend.put_object_retention
_put_bucket_versioning = S3Backend.put_bucket_versioning


def is_locked(self: Any, governance_bypass: bool) -> bool:
    """Nobody in the sandbox has s3:BypassGovernanceRetention, as no runbook has."""
    del governance_bypass
    return bool(_is_locked(self, governance_bypass=False))


def put_object_retention(
    self: Any, bucket_name: str, key_name: str, version_id: str | None, retention: tuple[str | None, str | None]
) -> None:
    """A lock may be made longer, and nothing else."""
    key = self.get_object(bucket_name, key_name, version_id=version_id)
    mode, until = retention
    if key is not None and is_locked(key, governance_bypass=False) and (not mode or (until or "") < key.lock_until):
        raise AwsError("AccessDenied", "Access Denied because object protected by object lock.", 403)
    _put_object_retention(self, bucket_name, key_name, version_id, retention)


def put_bucket_versioning(self: Any, bucket_name: str, status: str) -> None:
    if self.get_bucket(bucket_name).object_lock_enabled and status != "Enabled":
        raise AwsError(
            "InvalidBucketState", "An Object Lock configuration is present on this bucket, so the versioning state "
            "cannot be changed.", 409,
        )  # fmt: skip
    _put_bucket_versioning(self, bucket_name, status)


def put_object(self: Any) -> Any:
    """What arrives is compared with the checksum that was sent for it."""
    told = self.headers.get("x-amz-checksum-sha256")
    if told and base64.b64encode(hashlib.sha256(self.body or b"").digest()).decode() != told:
        raise AwsError("BadDigest", "The SHA256 you specified did not match the calculated checksum.", 400)
    return _put_object(self)


def store_object(self: Any, bucket_name: str, key_name: str, *args: Any, **more: Any) -> Any:
    """Every object is encrypted, and copied at once where a rule says so."""
    made = _backend_put_object(self, bucket_name, key_name, *args, **more)
    made.encryption = made.encryption or "AES256"
    return made


def replicate(backend: Any, bucket_name: str, key: Any) -> None:
    """Copy an object by the enabled rules of its bucket, with its lock and its checksum, and say how that went."""
    rules = (backend.get_bucket_replication(bucket_name) or {}).get("Rule", [])
    enabled = [rule for rule in rules if rule.get("Status") == "Enabled"]
    if not enabled:
        return
    key.sandbox_replication = "COMPLETED"
    for rule in enabled:
        target = str(rule["Destination"]["Bucket"]).rpartition(":")[2]
        if target not in backend.buckets or backend.get_bucket(target).versioning_status != "Enabled":
            key.sandbox_replication = "FAILED"
            continue
        made = _backend_put_object(
            backend, target, key.name, key.value, encryption=key.encryption, kms_key_id=None, lock_mode=key.lock_mode,
            lock_until=key.lock_until, checksum_value=key.checksum_value,
        )  # fmt: skip
        made.checksum_algorithm = key.checksum_algorithm
        made.sandbox_replication = "REPLICA"
        made.set_metadata(copy.copy(key.metadata))


def response_dict(self: Any) -> dict[str, Any]:
    told: dict[str, Any] = _response_dict.fget(self)
    status = getattr(self, "sandbox_replication", "")
    return told | ({"x-amz-replication-status": status} if status else {})


def get_object_lock_configuration(self: Any) -> Any:
    enabled, mode, days, years = self.backend.get_object_lock_configuration(self.bucket_name)
    shown: dict[str, Any] = {"ObjectLockEnabled": "Enabled" if enabled else "Disabled"}
    if mode:
        length = {"Days": int(days)} if days else {"Years": int(years or 0)}
        shown["Rule"] = {"DefaultRetention": {"Mode": mode, **length}}
    self.data["Action"] = "GetObjectLockConfiguration"
    return self.serialized(ActionResult({"ObjectLockConfiguration": shown}))


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's S3. Harmless when done twice."""

    def put_and_copy(self: Any) -> Any:
        answer = put_object(self)
        key = self.backend.get_object(self.bucket_name, self.parse_key_name())
        if key is not None:
            replicate(self.backend, self.bucket_name, key)
        return answer

    FakeKey.is_locked = is_locked
    FakeKey.response_dict = property(response_dict)
    S3Backend.put_object = store_object
    S3Backend.put_object_retention = put_object_retention
    S3Backend.put_bucket_versioning = put_bucket_versioning
    S3Response.put_object = put_and_copy
    S3Response.get_object_lock_configuration = get_object_lock_configuration
