# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# Private: controls of the network. May change without notice.

"""Subnets, routes and security groups: what can be reached from where."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import WEEK, Look, Registry, Seen, Unknown, seen

AREA = Registry("network")
check = AREA.check

TIERS = ("public", "app", "data")
EVERYWHERE = ("0.0.0.0/0", "::/0")
POSTGRES = 5432


def _vpc(look: Look) -> str:
    filters = [{"Name": "tag:Name", "Values": [look.names["vpc"]]}]
    return str(look.one("ec2:DescribeVpcs", "Vpcs", Filters=filters)["VpcId"])


def _inside(look: Look, call: str, key: str, name: str = "vpc-id", option: str = "Filters") -> list[Any]:
    filters: dict[str, Any] = {option: [{"Name": name, "Values": [_vpc(look)]}]}
    return look.listed(call, key, **filters)


def _subnets(look: Look) -> list[dict[str, Any]]:
    return _inside(look, "ec2:DescribeSubnets", "Subnets")


def _tier(item: dict[str, Any]) -> str:
    return next((tag["Value"] for tag in item.get("Tags", []) if tag["Key"] == "tier"), "")


def _routes(look: Look, tier: str) -> dict[str, list[dict[str, Any]]]:
    """The active routes of each subnet of a tier. A subnet without a table of its own uses the main one of the VPC."""
    tables = _inside(look, "ec2:DescribeRouteTables", "RouteTables")
    by_subnet = {
        association.get("SubnetId", "main"): table["Routes"]
        for table in tables
        for association in table["Associations"]
        if association.get("SubnetId") or association.get("Main")
    }
    found = {item["SubnetId"]: by_subnet.get(item["SubnetId"], by_subnet.get("main")) for item in _subnets(look)}
    if missing := sorted(subnet for subnet, routes in found.items() if routes is None):
        raise Unknown(f"No route table was found for subnet {missing[0]}.")
    mine = {item["SubnetId"] for item in _subnets(look) if _tier(item) == tier}
    return {subnet: list(routes or []) for subnet, routes in found.items() if subnet in mine}


@check(
    "subnets",
    "Subnets in several zones",
    "public, app and data subnets in at least {min_zones} zones each",
    calls=("ec2:DescribeVpcs", "ec2:DescribeSubnets"),
    valid_for=WEEK,
)
def subnets(look: Look) -> Seen:
    zones: dict[str, set[str]] = {tier: set() for tier in TIERS}
    for item in _subnets(look):
        if _tier(item) in zones:
            zones[_tier(item)].add(item["AvailabilityZone"])
    return seen(all(len(found) >= look.wanted["min_zones"] for found in zones.values()), zones=zones)


def _gateways(look: Look) -> dict[str, str]:
    """Zone of each NAT gateway that works."""
    zones = {item["SubnetId"]: item["AvailabilityZone"] for item in _subnets(look)}
    gateways = _inside(look, "ec2:DescribeNatGateways", "NatGateways", option="Filter")
    return {item["NatGatewayId"]: zones[item["SubnetId"]] for item in gateways if item["State"] == "available"}


@check(
    "nat",
    "NAT gateways in several zones",
    "NAT gateways are available in at least {min_zones} zones",
    calls=("ec2:DescribeVpcs", "ec2:DescribeSubnets", "ec2:DescribeNatGateways"),
    valid_for=WEEK,
)
def nat(look: Look) -> Seen:
    zones = set(_gateways(look).values())
    return seen(len(zones) >= look.wanted["min_zones"], zones=zones)


@check(
    "app_routes",
    "Routes of the app subnets",
    "each app subnet goes out by a NAT gateway of its own zone",
    calls=("ec2:DescribeVpcs", "ec2:DescribeSubnets", "ec2:DescribeNatGateways", "ec2:DescribeRouteTables"),
    valid_for=WEEK,
)
def app_routes(look: Look) -> Seen:
    gateways = _gateways(look)
    zones = {item["SubnetId"]: item["AvailabilityZone"] for item in _subnets(look)}
    routes = _routes(look, "app")
    wrong = {
        subnet
        for subnet, found in routes.items()
        if not any(
            route.get("DestinationCidrBlock") == EVERYWHERE[0]
            and route.get("State") == "active"
            and gateways.get(route.get("NatGatewayId", "")) == zones[subnet]
            for route in found
        )
    }
    return seen(routes and not wrong, subnets=len(routes), wrong=wrong)


@check(
    "data_routes",
    "Routes of the data subnets",
    "no data subnet has a route to the internet",
    calls=("ec2:DescribeVpcs", "ec2:DescribeSubnets", "ec2:DescribeRouteTables"),
    valid_for=WEEK,
)
def data_routes(look: Look) -> Seen:
    routes = _routes(look, "data")
    wrong = {
        subnet
        for subnet, found in routes.items()
        for route in found
        if (route.get("DestinationCidrBlock") or route.get("DestinationIpv6CidrBlock")) in EVERYWHERE
    }
    return seen(routes and not wrong, subnets=len(routes), wrong=wrong)


@check(
    "endpoints",
    "Endpoints of AWS inside the VPC",
    "an endpoint is available for each of {endpoints}",
    calls=("ec2:DescribeVpcs", "ec2:DescribeVpcEndpoints"),
    valid_for=WEEK,
)
def endpoints(look: Look) -> Seen:
    found = _inside(look, "ec2:DescribeVpcEndpoints", "VpcEndpoints")
    prefix = f"com.amazonaws.{look.region}."
    there = {item["ServiceName"].removeprefix(prefix) for item in found if item["State"].lower() == "available"}
    missing = set(look.wanted["endpoints"]) - there
    return seen(not missing, missing=missing)


@check(
    "flow_logs",
    "Flow logs",
    "flow logs of the VPC are ACTIVE and record all traffic",
    calls=("ec2:DescribeVpcs", "ec2:DescribeFlowLogs"),
    valid_for=WEEK,
)
def flow_logs(look: Look) -> Seen:
    logs = _inside(look, "ec2:DescribeFlowLogs", "FlowLogs", name="resource-id", option="Filter")
    states = sorted(f"{item['FlowLogStatus']} {item['TrafficType']}" for item in logs)
    return seen("ACTIVE ALL" in states, logs=states)


@check(
    "database_ingress",
    "Who reaches the database",
    "port 5432 of the database is open to security groups of tasks and to nobody else",
    calls=("rds:DescribeDBInstances", "ec2:DescribeSecurityGroups", "ecs:DescribeServices"),
    valid_for=WEEK,
)
def database_ingress(look: Look) -> Seen:
    instance = look.one("rds:DescribeDBInstances", "DBInstances", DBInstanceIdentifier=look.names["database"])
    groups = sorted(item["VpcSecurityGroupId"] for item in instance["VpcSecurityGroups"])
    names = [look.names["service"], *look.names["workers"]]
    services = look.listed("ecs:DescribeServices", "services", cluster=look.names["cluster"], services=names)
    tasks = {
        group
        for item in services
        for group in item["networkConfiguration"]["awsvpcConfiguration"].get("securityGroups", [])
    }
    others: set[str] = set()
    peers: set[str] = set()
    for group in look.listed("ec2:DescribeSecurityGroups", "SecurityGroups", GroupIds=groups):
        for rule in group["IpPermissions"]:
            if rule["IpProtocol"] != "-1" and not rule["FromPort"] <= POSTGRES <= rule["ToPort"]:
                continue
            peers |= {pair["GroupId"] for pair in rule.get("UserIdGroupPairs", [])}
            others |= {item["CidrIp"] for item in rule.get("IpRanges", [])}
            others |= {item["CidrIpv6"] for item in rule.get("Ipv6Ranges", [])}
            others |= {item["PrefixListId"] for item in rule.get("PrefixListIds", [])}
    others |= peers - tasks
    return seen(peers & tasks and not others, groups_of_tasks=peers & tasks, others=others)


@check(
    "reachability",
    "Proven paths",
    "each path was analysed less than {analysis_days} days ago, and found as its tag expected says",
    calls=("ec2:DescribeNetworkInsightsPaths", "ec2:DescribeNetworkInsightsAnalyses"),
    valid_for=WEEK,
)
def reachability(look: Look) -> Seen:
    filters = [{"Name": "tag:app", "Values": ["daily-emr"]}]
    paths = look.listed("ec2:DescribeNetworkInsightsPaths", "NetworkInsightsPaths", Filters=filters)
    newest: dict[str, dict[str, Any]] = defaultdict(dict)
    for item in look.listed("ec2:DescribeNetworkInsightsAnalyses", "NetworkInsightsAnalyses"):
        known = newest[item["NetworkInsightsPathId"]]
        if item["Status"] == "succeeded" and (not known or item["StartDate"] > known["StartDate"]):
            newest[item["NetworkInsightsPathId"]] = item
    found: dict[str, str] = {}
    good, expectations = [], set()
    for path in paths:
        tags = {tag["Key"]: tag["Value"] for tag in path["Tags"]}
        analysis = newest[path["NetworkInsightsPathId"]]
        if not analysis:
            raise Unknown(f"Path {path['NetworkInsightsPathId']} was never analysed: start an analysis of it.")
        if look.age(analysis["StartDate"]).days >= look.wanted["analysis_days"]:
            raise Unknown(f"The last analysis of path {path['NetworkInsightsPathId']} is too old: start another one.")
        is_found = "true" if analysis["NetworkPathFound"] else "false"
        expectations.add(tags["expected"])
        found[tags["Name"]] = is_found
        good.append(is_found == tags["expected"])
    if expectations != {"true", "false"}:
        raise Unknown(
            "There is no path that must be there (tasks to database) beside one that must not (internet to it)."
        )
    return seen(all(good), paths=found)


@check(
    "nat_addresses",
    "Addresses that the payer knows",
    "the public addresses of the NAT gateways are those on the payer's allow list",
    calls=("ec2:DescribeVpcs", "ec2:DescribeNatGateways"),
    valid_for=WEEK,
)
def nat_addresses(look: Look) -> Seen:
    allowed = set(look.wanted["payer_allow_list"])
    if not allowed:
        raise Unknown("The payer's allow list is not known: put its addresses into readiness_payer_allow_list.")
    gateways = _inside(look, "ec2:DescribeNatGateways", "NatGateways", option="Filter")
    ours = {
        address["PublicIp"]
        for item in gateways
        if item["State"] == "available"
        for address in item["NatGatewayAddresses"]
        if address.get("PublicIp")
    }
    return seen(ours and ours == allowed, unknown_to_the_payer=ours - allowed, not_ours=allowed - ours)
