"""S3: the default retention of a bucket is told in days or in years, not in both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.s3.responses import S3Response

if TYPE_CHECKING:
    from ..server import AwsServer


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
    S3Response.get_object_lock_configuration = get_object_lock_configuration
