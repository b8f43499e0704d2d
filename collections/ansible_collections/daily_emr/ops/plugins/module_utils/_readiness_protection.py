# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: controls of where data of patients lies. May change without notice.

"""Where data of patients lies, and that it lies nowhere else. Only tags and settings are read."""

from __future__ import annotations

from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import MONTH, Look, Registry, Seen, Unknown, seen
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_buckets import (
    default_encryption,
    denies_plain_http,
    is_private,
)

AREA = Registry("protection")
check = AREA.check


@check(
    "data_class",
    "Resources with data of patients",
    "database and buckets are tagged data-class=phi, and nothing that is tagged so lies outside the two data Regions",
    calls=("resourcegroupstaggingapi:GetResources",),
    valid_for=MONTH,
)
def data_class(look: Look) -> Seen:
    ours = (look.region, look.names["copy_region"])
    by_region = {
        region: [
            item["ResourceARN"]
            for item in look.listed(
                "resourcegroupstaggingapi:GetResources",
                "ResourceTagMappingList",
                region=region,
                TagFilters=[{"Key": "data-class", "Values": ["phi"]}],
            )
        ]
        # Every other Region is closed by account.region_deny.
        for region in sorted({*ours, *look.wanted["allowed_regions"]})
    }
    tagged = {arn.rpartition(":")[2] for region in ours for arn in by_region[region]}
    missing = {look.names["database"], *look.names["buckets"]} - tagged
    elsewhere = {arn for region, arns in by_region.items() if region not in ours for arn in arns}
    return seen(tagged and not missing and not elsewhere, tagged=tagged, missing=missing, elsewhere=elsewhere)


@check(
    "key_rotation",
    "Keys that rotate",
    "the key of the environment rotates by itself, in the data Region and in that of the copies",
    calls=("kms:DescribeKey", "kms:GetKeyRotationStatus"),
)
def key_rotation(look: Look) -> Seen:
    rotates = {}
    for region in (look.region, look.names["copy_region"]):
        key = look.read("kms:DescribeKey", region=region, KeyId=f"alias/{look.names['prefix']}")["KeyMetadata"]["KeyId"]
        rotates[region] = look.read("kms:GetKeyRotationStatus", region=region, KeyId=key)["KeyRotationEnabled"]
    return seen(all(rotates.values()), rotates=rotates)


def _buckets(look: Look) -> list[str]:
    if not look.names["buckets"]:
        raise Unknown("No bucket is named: put their names into readiness_names.buckets.")
    return list(look.names["buckets"])


@check(
    "buckets_private",
    "Buckets are private",
    "all public access blocks are on, and plain HTTP is denied, for every bucket",
    calls=("s3:GetPublicAccessBlock", "s3:GetBucketPolicy"),
)
def buckets_private(look: Look) -> Seen:
    public = {name for name in _buckets(look) if not is_private(look, name)}
    over_http = {name for name in _buckets(look) if not denies_plain_http(look, name)}
    return seen(not public and not over_http, public=public, over_http=over_http)


@check(
    "buckets_encrypted",
    "Buckets are encrypted",
    "every bucket encrypts with aws:kms by default",
    calls=("s3:GetBucketEncryption",),
)
def buckets_encrypted(look: Look) -> Seen:
    found = {name: default_encryption(look, name) for name in _buckets(look)}
    return seen(set(found.values()) == {"aws:kms"}, buckets=found)
