# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: controls of dumps. May change without notice.

"""Dumps: fresh, whole, encrypted, locked, copied, and restored not long ago."""

from __future__ import annotations

from statistics import median
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Look, Registry, Seen, Unknown, hours, seen

AREA = Registry("backups")
check = AREA.check

OBJECTS, HEAD = "s3:ListObjectsV2", "s3:HeadObject"
MANIFEST = "/manifest.json"
"""What a dump ends with: a folder without one is no dump."""


def _dumps(look: Look) -> list[list[dict[str, Any]]]:
    """The objects of each whole dump, the oldest dump first: names of dumps are times, YYYY/MM/DD/HHMMSSZ."""
    by_folder: dict[str, list[dict[str, Any]]] = {}
    months = {look.now.strftime("%Y/%m"), _month_before(look)}
    for month in sorted(months):
        listing = look.read(OBJECTS, Bucket=look.names["dumps_bucket"], Prefix=f"{month}/")
        for item in listing.get("Contents", []):
            by_folder.setdefault(item["Key"].rpartition("/")[0], []).append(item)
    whole = [
        by_folder[folder]
        for folder in sorted(by_folder)
        if any(item["Key"].endswith(MANIFEST) for item in by_folder[folder])
    ]
    if not whole:
        raise Unknown("There is no dump in the bucket for dumps.")
    return whole


def _month_before(look: Look) -> str:
    first = look.now.replace(day=1)
    year, month = (first.year - 1, 12) if first.month == 1 else (first.year, first.month - 1)
    return f"{year:04d}/{month:02d}"


def _bytes(dump: list[dict[str, Any]]) -> int:
    return sum(item["Size"] for item in dump if not item["Key"].endswith(MANIFEST))


@check("fresh", "A dump of last night", "the newest whole dump is less than {dump_hours} hours old", calls=(OBJECTS,))
def fresh(look: Look) -> Seen:
    age = look.age(max(item["LastModified"] for item in _dumps(look)[-1]))
    return seen(hours(age) < look.wanted["dump_hours"], measured={"hours": hours(age)})


@check(
    "size",
    "Size of the dump",
    "the size of the newest dump is within {dump_size_percent} % of the median of the seven before it",
    calls=(OBJECTS,),
)
def size(look: Look) -> Seen:
    *before, newest = [_bytes(dump) for dump in _dumps(look)[-8:]]
    if not before:
        raise Unknown("There is only one dump, so nothing says how big it should be.")
    usual = median(before)
    change = abs(newest - usual) * 100
    return seen(
        change <= usual * look.wanted["dump_size_percent"], measured={"bytes": newest, "usual_bytes": int(usual)}
    )


def _heads(look: Look) -> list[dict[str, Any]]:
    """What S3 says about the objects of the newest dump: the first and the last, which was written at the end."""
    keys = sorted(item["Key"] for item in _dumps(look)[-1])
    bucket = look.names["dumps_bucket"]
    return [
        look.read(HEAD, Bucket=bucket, Key=key, ChecksumMode="ENABLED") for key in dict.fromkeys((keys[0], keys[-1]))
    ]


@check(
    "sealed",
    "Checksum and encryption",
    "objects of the newest dump carry a SHA-256 and are encrypted with aws:kms",
    calls=(OBJECTS, HEAD),
)
def is_sealed(look: Look) -> Seen:
    heads = _heads(look)
    encryption = {head.get("ServerSideEncryption", "none") for head in heads}
    checked = all(head.get("ChecksumSHA256") for head in heads)
    return seen(checked and encryption == {"aws:kms"}, checksum=checked, encryption=encryption)


@check(
    "copied",
    "Copied to the second Region",
    "the bucket replicates to the Region of the copies, and the newest dump has arrived there",
    calls=("s3:GetBucketReplication", "s3:HeadBucket", OBJECTS, HEAD),
)
def copied(look: Look) -> Seen:
    found = look.read_or_none(
        "s3:GetBucketReplication", "ReplicationConfigurationNotFoundError", Bucket=look.names["dumps_bucket"]
    )
    rules = [] if found is None else found["ReplicationConfiguration"]["Rules"]
    targets = {rule["Destination"]["Bucket"].rpartition(":")[2] for rule in rules if rule["Status"] == "Enabled"}
    regions = {
        look.read("s3:HeadBucket", Bucket=bucket, region=look.names["copy_region"])["BucketRegion"]
        for bucket in sorted(targets)
    }
    states = {head.get("ReplicationStatus", "none") for head in _heads(look)}
    return seen(
        look.names["copy_region"] in regions and states <= {"COMPLETED", "COMPLETE"},
        regions=regions,
        newest_dump=states,
    )


@check(
    "locked",
    "Nobody can remove a dump",
    "object lock keeps objects for at least {lock_days} days",
    calls=("s3:GetObjectLockConfiguration",),
)
def locked(look: Look) -> Seen:
    found = look.read_or_none(
        "s3:GetObjectLockConfiguration", "ObjectLockConfigurationNotFoundError", Bucket=look.names["dumps_bucket"]
    )
    if found is None:
        return seen(passed=False, lock="none")
    rule = found["ObjectLockConfiguration"].get("Rule", {}).get("DefaultRetention", {})
    days = rule.get("Days", 0) + 365 * rule.get("Years", 0)
    return seen(days >= look.wanted["lock_days"], lock=rule.get("Mode", "none"), days=days)


@check(
    "restored",
    "Restore check",
    "a dump was restored and checked less than {restore_check_days} days ago, and the newest check passed",
    calls=(OBJECTS, "s3:GetObject"),
)
def restored(look: Look) -> Seen:
    keys = look.reports(look.names["restore_checks"])
    if not keys:
        raise Unknown("No restore check has left a report.")
    report = look.report(keys[-1])
    days = look.age(report.finished_at).days
    return seen(
        report.ok and days < look.wanted["restore_check_days"],
        measured={"days": days, "rto_s": report.rto_s, "rpo_s": report.rpo_s, "dump": report.dump},
        ok=report.ok,
    )
