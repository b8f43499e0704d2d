# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: controls of the account. May change without notice.

"""The account stands inside guardrails that nobody in it can take away."""

from __future__ import annotations

from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Look, Registry, Seen, named, seen
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness_buckets import as_list, statements

AREA = Registry("account")
check = AREA.check


@check(
    "landing_zone",
    "Landing zone of Control Tower",
    "the landing zone is ACTIVE and its drift status is IN_SYNC",
    calls=("controltower:ListLandingZones", "controltower:GetLandingZone"),
)
def landing_zone(look: Look) -> Seen:
    arn = look.one("controltower:ListLandingZones", "landingZones")["arn"]
    zone = look.read("controltower:GetLandingZone", landingZoneIdentifier=arn)["landingZone"]
    drift = zone["driftStatus"]["status"]
    return seen(
        zone["status"] == "ACTIVE" and drift == "IN_SYNC", status=zone["status"], drift=drift, version=zone["version"]
    )


@check(
    "controls",
    "Controls of the organizational unit",
    "every required control is enabled: {required_controls}",
    calls=("controltower:ListEnabledControls",),
)
def controls(look: Look) -> Seen:
    unit = named(look.names["organizational_unit"], "The organizational unit of the account")
    enabled = look.listed("controltower:ListEnabledControls", "enabledControls", targetIdentifier=unit)
    working = {item["controlIdentifier"] for item in enabled if item["statusSummary"]["status"] == "SUCCEEDED"}
    missing = set(look.wanted["required_controls"]) - working
    return seen(working and not missing, enabled=len(working), missing=missing)


def _policies(look: Look) -> list[dict[str, Any]]:
    attached = look.listed(
        "organizations:ListPoliciesForTarget", "Policies", TargetId=look.account, Filter="SERVICE_CONTROL_POLICY"
    )
    return [item for item in attached if not item["AwsManaged"]]


@check(
    "service_control_policies",
    "Service control policies",
    "at least one service control policy of our own is attached to the account",
    calls=("organizations:ListPoliciesForTarget",),
)
def service_control_policies(look: Look) -> Seen:
    own = sorted(item["Name"] for item in _policies(look))
    return seen(own, policies=own)


@check(
    "region_deny",
    "Only the approved Regions",
    "a service control policy denies every Region but {allowed_regions}",
    calls=("organizations:ListPoliciesForTarget", "organizations:DescribePolicy"),
)
def region_deny(look: Look) -> Seen:
    allowed: set[str] = set()
    for policy in _policies(look):
        content = look.read("organizations:DescribePolicy", PolicyId=policy["Id"])["Policy"]["Content"]
        for statement in statements(content):
            regions = statement.get("Condition", {}).get("StringNotEquals", {}).get("aws:RequestedRegion")
            if statement["Effect"] == "Deny" and regions:
                allowed = set(as_list(regions))
    return seen(allowed and allowed <= set(look.wanted["allowed_regions"]), allowed=allowed)


@check(
    "root_mfa",
    "Second factor of the root user",
    "AccountMFAEnabled is 1",
    calls=("iam:GetAccountSummary",),
)
def root_mfa(look: Look) -> Seen:
    enabled = look.read("iam:GetAccountSummary")["SummaryMap"]["AccountMFAEnabled"]
    return seen(enabled == 1, enabled=enabled)


@check(
    "root_keys",
    "No access keys of the root user",
    "AccountAccessKeysPresent is 0",
    calls=("iam:GetAccountSummary",),
)
def root_keys(look: Look) -> Seen:
    present = look.read("iam:GetAccountSummary")["SummaryMap"]["AccountAccessKeysPresent"]
    return seen(present == 0, present=present)


@check(
    "access_analyzer",
    "IAM Access Analyzer",
    "at least one analyzer is ACTIVE",
    calls=("accessanalyzer:ListAnalyzers",),
)
def access_analyzer(look: Look) -> Seen:
    analyzers = look.listed("accessanalyzer:ListAnalyzers", "analyzers")
    active = sorted(item["name"] for item in analyzers if item["status"] == "ACTIVE")
    return seen(active, active=active)


@check(
    "guardduty",
    "GuardDuty",
    "a detector is ENABLED",
    calls=("guardduty:ListDetectors", "guardduty:GetDetector"),
)
def guardduty(look: Look) -> Seen:
    states = {
        detector: look.read("guardduty:GetDetector", DetectorId=detector)["Status"]
        for detector in look.listed("guardduty:ListDetectors", "DetectorIds")
    }
    return seen("ENABLED" in states.values(), detectors=states)


@check(
    "security_hub",
    "Security Hub",
    "the hub is there and takes in new controls by itself",
    calls=("securityhub:DescribeHub",),
)
def security_hub(look: Look) -> Seen:
    hub = look.read_or_none("securityhub:DescribeHub", "InvalidAccessException")
    automatic = (hub or {}).get("AutoEnableControls", False)
    return seen(hub and hub["HubArn"] and automatic, subscribed=hub is not None, takes_in_new_controls=automatic)


@check(
    "regions",
    "Both Regions are switched on",
    "the data Region and the Region of the copies are enabled for the account",
    calls=("account:GetRegionOptStatus",),
)
def regions(look: Look) -> Seen:
    states = {
        region: look.read("account:GetRegionOptStatus", RegionName=region)["RegionOptStatus"]
        for region in (look.region, look.names["copy_region"])
    }
    return seen(set(states.values()) <= {"ENABLED", "ENABLED_BY_DEFAULT"}, regions=states)
