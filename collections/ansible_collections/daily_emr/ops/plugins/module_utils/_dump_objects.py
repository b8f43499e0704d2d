# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: dumps in S3. May change without notice.

"""Dumps in their bucket: how an object is put there so that nobody can remove it, and which dump is the newest.

A name in the bucket proves nothing: a delete marker can hide it and a newer version can stand in front of it, and a
locked bucket allows both. What cannot be changed is a version. So a manifest is the *first* version of its name, it
names the version of each part, and only those are ever read.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling, error_code
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change, State
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import error_code_of, gather
from ansible_collections.daily_emr.ops.plugins.module_utils._dumps import (
    CHECKS,
    MANIFEST,
    NAME,
    BadDump,
    Part,
    base64_of,
    days_back,
    is_count,
    moment_of,
    parts_of,
    read_manifest,
    retain_until,
    sha256_of,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import OpsError

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients

Json = dict[str, Any]

BLOCK = 1 << 20
LOCK_MODE = "GOVERNANCE"
ABSENT: State = {"bytes": 0, "sha256": "", "encryption": "", "lock": "", "retain_until": ""}
# Codes with which S3 says that there is no such object, or no such version.
GONE = ("404", "NoSuchKey", "NoSuchVersion", "405", "MethodNotAllowed")
# A copy in the second region is there within 15 minutes (S3 replication time control, incident domain F.2).
REPLICATION_MINUTES = 15
# Fewer dumps have no usual size.
ENOUGH_SIZES = 3


class LockedObject(Change):
    """One object that is written once and stays until its lock ends. A subclass says what is in it."""

    content_type: ClassVar[str] = "application/json"

    @property
    def dumps(self) -> Json:
        found: Json = self.params["dumps"]
        return found

    @property
    @abstractmethod
    def key(self) -> str:
        """Where it lies in the bucket."""

    @property
    @abstractmethod
    def begun(self) -> str:
        """The name of the dump, or of the check, that it belongs to: its lock ends so many days later."""

    @abstractmethod
    def size_and_sha256(self, before: State) -> tuple[int, str]:
        """What the object will be."""

    @abstractmethod
    def put(self, send: Callable[[Any], None], before: State) -> None:
        """Hand the content to `send`, once."""

    def more_context(self) -> Json:
        """What further refusals need."""
        return {}

    def more_refusals(self, before: State) -> list[str]:
        return []

    @property
    def target(self) -> str:
        return f"s3://{self.dumps['bucket']}/{self.key}"

    def observe(self) -> State:
        bucket = self.dumps["bucket"]
        s3 = self.clients.read("s3")
        found = gather(
            lock=partial(s3.get_object_lock_configuration, Bucket=bucket, **_ours(self.clients)),
            encryption=partial(s3.get_bucket_encryption, Bucket=bucket, **_ours(self.clients)),
            object=partial(head, self.clients, bucket, self.key),
            more=self.more_context,
        )
        for name in ("object", "more"):
            if isinstance(found[name], OpsError):
                raise found[name]
        seen = found["object"]
        context = {"lock": _lock(found["lock"]), "encryption": _encryption(found["encryption"]), **found["more"]}
        return {**(ABSENT if seen is None else seen.as_state()), "context": context}

    def wanted(self, before: State) -> State:
        size, sha256 = self.size_and_sha256(before)
        return {
            "bytes": size,
            "sha256": sha256,
            "encryption": self.dumps["encryption"],
            "lock": LOCK_MODE,
            "retain_until": _utc(self._until()),
        }

    def refusals(self, before: State) -> list[str]:
        context, bucket = before["context"], self.dumps["bucket"]
        reasons = []
        if before["sha256"] or before["bytes"]:
            reasons.append(
                f"{self.target} is there already with another content, and nothing here is ever overwritten."
            )
        if not context["lock"]:
            reasons.append(
                f"{bucket} does not lock its objects, so what is put there could be removed: make it with "
                "playbooks/bootstrap.yml (object lock can only be had at the creation of a bucket)."
            )
        if context["encryption"].get("SSEAlgorithm") != self.dumps["encryption"]:
            reasons.append(
                f"{bucket} does not encrypt with {self.dumps['encryption']} by default: run playbooks/bootstrap.yml, "
                "or correct dumps.encryption."
            )
        if self._until() <= datetime.now(UTC):
            reasons.append(f"{self.begun} is so long ago that its lock would have ended already: take a new dump.")
        return reasons + self.more_refusals(before)

    def apply(self, before: State) -> None:
        size, sha256 = self.size_and_sha256(before)
        encryption = before["context"]["encryption"]
        more = {"SSEKMSKeyId": encryption["KMSMasterKeyID"]} if encryption.get("KMSMasterKeyID") else {}

        def send(body: Any) -> None:
            self.clients.write("s3", "PutObject").put_object(
                Bucket=self.dumps["bucket"],
                # Names of buckets are the world's: one of another account never gets a dump.
                **_ours(self.clients),
                Key=self.key,
                Body=body,
                ContentLength=size,
                ContentType=self.content_type,
                # S3 compares it with what arrives, and keeps it: a truncated or damaged upload is refused.
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=base64_of(sha256),
                ServerSideEncryption=encryption["SSEAlgorithm"],
                ObjectLockMode=LOCK_MODE,
                ObjectLockRetainUntilDate=self._until(),
                IfNoneMatch="*",
                **more,
            )

        self.put(send, before)

    def resources(self, before: State) -> list[str]:
        return [f"arn:aws:s3:::{self.dumps['bucket']}/{self.key}"]

    def inverse(self, before: State) -> str:
        return f"Nothing to undo: the object is locked until {_utc(self._until())}, and goes by the bucket's own rule."

    def _until(self) -> datetime:
        return retain_until(self.begun, self.dumps["retention_days"])


class LockedDocument(LockedObject):
    """A locked object whose content is made in memory."""

    @abstractmethod
    def content(self, before: State) -> bytes:
        """What is in it; the same for the same state."""

    def size_and_sha256(self, before: State) -> tuple[int, str]:
        content = self.content(before)
        return len(content), hashlib.sha256(content).hexdigest()

    def put(self, send: Callable[[Any], None], before: State) -> None:
        send(self.content(before))


@dataclass(frozen=True)
class Head:
    """What S3 says of one version of an object."""

    version_id: str
    bytes: int
    sha256: str
    encryption: str
    lock: str
    retain_until: datetime | None
    replication: str

    def as_state(self) -> State:
        return {
            "bytes": self.bytes,
            "sha256": self.sha256,
            "encryption": self.encryption,
            "lock": self.lock,
            "retain_until": _utc(self.retain_until) if self.retain_until else "",
        }


def head(clients: Clients, bucket: str, key: str, version_id: str = "") -> Head | None:
    """What S3 says of an object, or of one version of it; None when there is none. Raises OpsError."""
    version = {"VersionId": version_id} if version_id else {}
    try:
        with calling("s3:HeadObject"):
            found = clients.read("s3").head_object(
                Bucket=bucket, Key=key, ChecksumMode="ENABLED", **_ours(clients), **version
            )
    except OpsError as error:
        if error.__cause__ is not None and error_code(error.__cause__) in GONE:
            return None
        raise
    return Head(
        str(found.get("VersionId") or ""),
        int(found["ContentLength"]),
        sha256_of(found.get("ChecksumSHA256")),
        str(found.get("ServerSideEncryption") or ""),
        str(found.get("ObjectLockMode") or ""),
        found.get("ObjectLockRetainUntilDate"),
        str(found.get("ReplicationStatus") or ""),
    )


def _ours(clients: Clients) -> dict[str, str]:
    """For every call: the bucket is one of our account, or the call is refused."""
    return {"ExpectedBucketOwner": clients.environment.account_id}


def faults_of(part: Part, seen: Head | None, dumps: Json, now: datetime) -> list[str]:
    """What is wrong with an object of a dump; pure."""
    if seen is None:
        return [f"{part.key} is gone"]
    faults = []
    if seen.bytes != part.bytes:
        faults.append(f"{part.key} has {seen.bytes} bytes instead of {part.bytes}")
    if seen.sha256 != part.sha256:
        faults.append(f"{part.key} has {'another' if seen.sha256 else 'no'} checksum")
    if seen.encryption != dumps["encryption"]:
        faults.append(f"{part.key} is not encrypted with {dumps['encryption']}")
    if not seen.lock or seen.retain_until is None or seen.retain_until <= now:
        faults.append(f"{part.key} is not locked")
    return faults


def heads(clients: Clients, bucket: str, parts: Sequence[Part]) -> list[Head | None]:
    """What S3 says of all of them, at the same time. Raises OpsError."""
    with ThreadPoolExecutor(min(8, len(parts)) or 1) as pool:
        return list(pool.map(lambda part: head(clients, bucket, part.key, part.version_id), parts))


@dataclass(frozen=True)
class Named:
    """A name in the bucket that belongs to a dump or a check: its first version, and what was done to it since."""

    key: str
    first: str
    at: datetime
    hidden: bool
    later: int


def list_names(clients: Clients, bucket: str, prefixes: Sequence[str]) -> dict[str, Named]:
    """Names under these prefixes, hidden ones too. Raises OpsError."""
    with ThreadPoolExecutor(min(8, len(prefixes))) as pool:
        found = pool.map(partial(_versions, clients, bucket), prefixes)
        entries = [entry for page in found for entry in page]
    names: dict[str, list[tuple[datetime, str, bool, bool]]] = {}
    for entry, marker in entries:
        seen = (entry["LastModified"], str(entry["VersionId"]), bool(entry.get("IsLatest")), marker)
        names.setdefault(str(entry["Key"]), []).append(seen)
    made = {}
    for key, versions in names.items():
        # S3 lists the newest version first, so among equals of one second the last in the list is the first written.
        written = [version for version in versions if not version[3]]
        if written:
            first = min(reversed(written), key=lambda version: version[0])
            hidden = any(version[2] and version[3] for version in versions)
            made[key] = Named(key, first[1], first[0], hidden, len(written) - 1)
    return made


def _versions(clients: Clients, bucket: str, prefix: str) -> list[tuple[Json, bool]]:
    with calling("s3:ListObjectVersions"):
        pages = (
            clients.read("s3")
            .get_paginator("list_object_versions")
            .paginate(Bucket=bucket, Prefix=prefix, **_ours(clients))
        )
        return [
            (entry, marker)
            for page in pages
            for word, marker in (("Versions", False), ("DeleteMarkers", True))
            for entry in page.get(word) or []
        ]


@contextmanager
def _reading(key: str) -> Iterator[None]:
    """A reading of an object; botocore compares what arrives with the checksum that S3 keeps."""
    try:
        with calling("s3:GetObject"):
            yield
    except OpsError as error:
        if type(error.__cause__).__name__ == "FlexibleChecksumError":
            raise BadDump(f"{key} is damaged: its checksum is another one.") from error
        raise


def read_object(clients: Clients, bucket: str, key: str, version_id: str) -> bytes:
    """The content of a small object. Raises BadDump for a damaged one, else OpsError."""
    with _reading(key):
        client = clients.objects(bucket)
        found: bytes = client.get_object(Bucket=bucket, Key=key, VersionId=version_id, **_ours(clients))["Body"].read()
        return found


@dataclass(frozen=True)
class Dumps:
    """What lies in the bucket."""

    manifest: Json | None
    names: list[str]
    incomplete: list[str]
    troubles: list[str]
    replication: dict[str, int]
    check: Json | None
    earlier_bytes: list[int]
    """Sizes of the dumps before the newest, as far as their manifests say them."""


def look(clients: Clients, dumps: Json, *, now: datetime, days: int) -> Dumps:
    """The newest dump of the last days by its manifest, what is wrong with it, and the newest restore check.

    Raises:
        OpsError: the bucket cannot be read, so nobody can say.
    """
    bucket = dumps["bucket"]
    found = list_names(clients, bucket, days_back(now, days))
    checks = list_names(clients, bucket, days_back(now, days, f"{CHECKS}/"))
    folders = {name for name in (key.rpartition("/")[0] for key in found) if NAME.fullmatch(name)}
    names = sorted((name for name in folders if f"{name}/{MANIFEST}" in found), reverse=True)
    incomplete = sorted(folders - set(names), reverse=True)
    check = _newest_check(clients, bucket, checks)
    if not names:
        return Dumps(None, [], incomplete, [f"there is no dump of the last {days} days"], {}, check, [])
    earlier = _sizes(clients, bucket, [found[f"{name}/{MANIFEST}"] for name in names[1:]])
    newest = found[f"{names[0]}/{MANIFEST}"]
    troubles = [f"{key} was hidden by a delete marker" for key in sorted(found) if _hidden(found[key], names[0])]
    troubles += [
        f"{key} was written {named.later} more times after the first"
        for key, named in sorted(found.items())
        if key.startswith(f"{names[0]}/") and named.later
    ]
    try:
        manifest = read_manifest(read_object(clients, bucket, newest.key, newest.first), names[0])
    except BadDump as error:
        return Dumps(None, names, incomplete, [*troubles, error.sentence.rstrip(".")], {}, check, earlier)
    parts = parts_of(manifest)
    # The manifest's own checksum is nowhere but in S3; of it lock and encryption are looked at.
    seen_manifest = head(clients, bucket, newest.key, newest.first)
    own = Part(newest.key, seen_manifest.bytes, seen_manifest.sha256, newest.first) if seen_manifest else None
    seen = heads(clients, bucket, parts)
    for part, one in zip([*parts, *([own] if own else [])], [*seen, *([seen_manifest] if own else [])], strict=True):
        troubles += faults_of(part, one, dumps, now)
    replication: dict[str, int] = {}
    for one in [*seen, seen_manifest]:
        status = one.replication if one else ""
        replication[status or "none"] = replication.get(status or "none", 0) + 1
    return Dumps(manifest, names, incomplete, troubles, replication, check, earlier)


def size_trouble(size: int, earlier: Sequence[int], percent: int) -> str:
    """What is strange about the size of a dump; empty when nothing is, or when too few are known. Pure."""
    if not percent or len(earlier) < ENOUGH_SIZES:
        return ""
    median = statistics.median(earlier)
    change = 100 * (size - median) / median if median else 0.0
    if abs(change) <= percent:
        return ""
    return (
        f"it is {abs(change):.0f} % {'larger' if change > 0 else 'smaller'} than usual ({size} bytes, median of the "
        f"days before {median:.0f})"
    )


def _sizes(clients: Clients, bucket: str, manifests: Sequence[Named]) -> list[int]:
    if not manifests:
        return []
    with ThreadPoolExecutor(min(8, len(manifests))) as pool:
        return [size for size in pool.map(partial(_size, clients, bucket), manifests) if size]


def _size(clients: Clients, bucket: str, manifest: Named) -> int:
    """0 when the manifest does not say it: an old dump that is damaged is not what is asked about."""
    try:
        size = json.loads(read_object(clients, bucket, manifest.key, manifest.first))["bytes"]
    except (ValueError, KeyError, TypeError, BadDump):
        return 0
    return int(size) if is_count(size) else 0


def check_troubles(check: Json | None, now: datetime, max_age_h: int) -> list[str]:
    """What is wrong with the newest restore check. Pure."""
    if check is None:
        return ["no dump was ever restored to try it"]
    troubles = []
    if check.get("result") != "passed":
        said = str(check.get("summary") or check.get("result"))
        troubles.append(f"the newest restore check did not pass: {said.rstrip('.')}")
    try:
        age = now - datetime.fromisoformat(str(check.get("checked_at")))
    except (ValueError, TypeError):
        return [*troubles, "the newest restore check does not say when it was"]
    if age > timedelta(hours=max_age_h):
        troubles.append(f"the newest restore check is {age.total_seconds() / 86400:.0f} days old")
    return troubles


def replication_trouble(found: Mapping[str, int], age: timedelta) -> str:
    """What is wrong with the copies in the second region; empty when nothing is. Pure."""
    if found.get("FAILED"):
        return f"{found['FAILED']} objects could not be copied to the second region"
    if found.get("none"):
        return f"{found['none']} objects are not being copied to the second region"
    if found.get("PENDING") and age > timedelta(minutes=REPLICATION_MINUTES):
        return f"{found['PENDING']} objects still wait for their copy after {age.total_seconds() / 60:.0f} minutes"
    return ""


def _hidden(named: Named, name: str) -> bool:
    return named.hidden and named.key.startswith(f"{name}/")


def _newest_check(clients: Clients, bucket: str, checks: Mapping[str, Named]) -> Json | None:
    if not checks:
        return None
    newest = checks[max(checks)]
    try:
        found: Json = json.loads(read_object(clients, bucket, newest.key, newest.first))
    except (ValueError, BadDump):
        return {"result": "unknown", "key": newest.key, "summary": "The record of the restore check is damaged."}
    return {**found, "key": newest.key}


def _lock(found: Any) -> bool:
    """Whether the bucket locks; raises what the reading ended with, unless that says that it does not."""
    if isinstance(found, OpsError):
        if error_code_of(found) == "ObjectLockConfigurationNotFoundError":
            return False
        raise found
    return bool(found["ObjectLockConfiguration"].get("ObjectLockEnabled") == "Enabled")


def _encryption(found: Any) -> Json:
    if isinstance(found, OpsError):
        if error_code_of(found) == "ServerSideEncryptionConfigurationNotFoundError":
            return {}
        raise found
    rules = found["ServerSideEncryptionConfiguration"]["Rules"]
    made: Json = next((rule["ApplyServerSideEncryptionByDefault"] for rule in rules), {})
    return made


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def age_of(name: str, now: datetime) -> timedelta:
    return now - moment_of(name)


def download(
    clients: Clients, bucket: str, part: Part, write: Callable[[bytes], object], progress: Callable[[str], None]
) -> None:
    """Read one part, and hand it on block by block.

    Raises:
        BadDump: what arrived is not what the manifest names.
        OpsError: it cannot be read.
    """
    made, size = hashlib.sha256(), 0
    with _reading(part.key):
        body = clients.objects(bucket).get_object(
            Bucket=bucket, Key=part.key, VersionId=part.version_id, **_ours(clients)
        )["Body"]
        for block in body.iter_chunks(BLOCK):
            made.update(block)
            size += len(block)
            write(block)
            progress("")
    arrived = replace(part, bytes=size, sha256=made.hexdigest())
    if arrived != part:
        raise BadDump(
            f"{part.key} is damaged: {size} bytes arrived instead of {part.bytes}."
            if size != part.bytes
            else f"{part.key} is damaged: its checksum is another one."
        )
