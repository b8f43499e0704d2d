# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: the load balancer and the web ACL in front of a service. May change without notice.

"""Zones and targets of a load balancer, and where its traffic is shifted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import CALL_ERRORS, error_code
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import Json, iso, listed, plural

if TYPE_CHECKING:
    from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients


def read_balancer(clients: Clients, name: str) -> Json:
    """ARN and zones (id -> name) of the load balancer."""
    found = clients.read("elbv2").describe_load_balancers(Names=[name])["LoadBalancers"][0]
    subnets = [zone["SubnetId"] for zone in found["AvailabilityZones"]]
    answer = clients.read("ec2").describe_subnets(SubnetIds=subnets)
    zones = {subnet["AvailabilityZoneId"]: subnet["AvailabilityZone"] for subnet in answer["Subnets"]}
    return {"arn": found["LoadBalancerArn"], "zones": zones}


def read_targets(clients: Clients, groups: list[str]) -> list[Json]:
    """Address, zone, state and reason of each target that is registered in one of the groups.

    Only the first group has to be there: where releases do not begin as a canary yet, there is no alternate one.
    """
    elbv2 = clients.read("elbv2")
    try:
        found = elbv2.describe_target_groups(Names=groups)["TargetGroups"]
    except CALL_ERRORS as error:
        if error_code(error) != "TargetGroupNotFound" or len(groups) == 1:
            raise
        # AWS answers for none when one is missing, and does not say in a field which.
        found = elbv2.describe_target_groups(Names=groups[:1])["TargetGroups"]
    return [
        {
            "address": item["Target"]["Id"],
            "zone": item["Target"].get("AvailabilityZone"),
            "state": item["TargetHealth"]["State"],
            "reason": item["TargetHealth"].get("Reason", ""),
        }
        for group in found
        for item in elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
    ]


def read_shift(clients: Clients, arn: str, now: str) -> Json | None:
    """The shift in force as id, zone and end, all None when there is none; None when shifts are not enabled.

    A practice run is not in force in this sense: a shift that a person starts replaces it. An autoshift has no id,
    because only AWS can end it.
    """
    try:
        found = clients.read("arc-zonal-shift").get_managed_resource(resourceIdentifier=arn)
    except CALL_ERRORS as error:
        if error_code(error) == "ResourceNotFoundException":
            return None
        raise
    for shift in found.get("zonalShifts", []):
        until = str(iso(shift["expiryTime"]))
        if until > now and shift.get("shiftType", "ZONAL_SHIFT") != "PRACTICE_RUN":
            return {"id": shift["zonalShiftId"], "away_from": shift["awayFrom"], "until": until}
    for shift in found.get("autoshifts", []):
        if shift["appliedStatus"] == "APPLIED":
            return {"id": None, "away_from": shift["awayFrom"], "until": None}
    return {"id": None, "away_from": None, "until": None}


def too_few_targets(targets: list[Json], thresholds: Json) -> list[str]:
    """Why the healthy targets are not enough; pure."""
    healthy = [target for target in targets if target["state"] == "healthy"]
    zones = {target["zone"] for target in healthy}
    if len(healthy) < thresholds["min_healthy_targets"] or len(zones) < thresholds["min_zones"]:
        reasons = {target["reason"] for target in targets} - {""}
        why = f" ({listed(reasons)})" if reasons else ""
        return [f"{plural(len(healthy), 'healthy target')} in {plural(len(zones), 'zone')}{why}"]
    return []
