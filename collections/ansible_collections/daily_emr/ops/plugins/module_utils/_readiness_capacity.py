# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: controls of quotas. May change without notice.

"""Quotas: room for twice what is needed, in both Regions."""

from __future__ import annotations

from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import WEEK, Look, Registry, Seen, seen

AREA = Registry("capacity")
check = AREA.check

QUOTA = "service-quotas:GetServiceQuota"


def _room(look: Look, service: str, code: str, need: float) -> Seen:
    """Whether the quota is at least so many times what is needed, in the data Region and in that of the copies."""
    quotas = {
        region: look.read(QUOTA, region=region, ServiceCode=service, QuotaCode=code)["Quota"]["Value"]
        for region in (look.region, look.names["copy_region"])
    }
    return seen(min(quotas.values()) >= look.wanted["quota_times"] * need, quotas=quotas, needed=need)


@check(
    "fargate",
    "Room for tasks",
    "the quota of Fargate vCPUs is at least {quota_times} times {needed_vcpus} in both Regions",
    calls=(QUOTA,),
    valid_for=WEEK,
)
def fargate(look: Look) -> Seen:
    return _room(look, "fargate", "L-3032A538", look.wanted["needed_vcpus"])


@check(
    "database",
    "Room for databases",
    "the quota of RDS instances is at least {quota_times} times {needed_databases} in both Regions",
    calls=(QUOTA,),
    valid_for=WEEK,
)
def database(look: Look) -> Seen:
    return _room(look, "rds", "L-7B6409FD", look.wanted["needed_databases"])


@check(
    "addresses",
    "Room for addresses",
    "the quota of elastic IP addresses is at least {quota_times} times {needed_addresses} in both Regions",
    calls=(QUOTA,),
    valid_for=WEEK,
)
def addresses(look: Look) -> Seen:
    return _room(look, "ec2", "L-0263D0A3", look.wanted["needed_addresses"])
