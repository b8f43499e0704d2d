"""EC2: what moto spells in its own way, NAT gateways by their tags, and no end for a group that a rule names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.exceptions import DependencyViolationError
from moto.ec2.models.nat_gateways import NatGatewayBackend
from moto.ec2.models.security_groups import SecurityGroupBackend
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE

if TYPE_CHECKING:
    from ..server import AwsServer

TAG = "tag:"

_describe_nat_gateways = NatGatewayBackend.describe_nat_gateways
_delete_security_group = SecurityGroupBackend._delete_security_group


def describe_nat_gateways(self: Any, filters: Any, nat_gateway_ids: list[str] | None) -> list[Any]:
    found = _describe_nat_gateways(self, filters, nat_gateway_ids)
    wanted = {name.removeprefix(TAG): values for name, values in (filters or {}).items() if name.startswith(TAG)}
    return [gateway for gateway in found if all(_tags(gateway).get(name) in values for name, values in wanted.items())]


def _tags(gateway: Any) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in gateway.get_tags()}


def delete_security_group(self: Any, vpc_id: str | None, group_id: str) -> None:
    """AWS refuses this while a rule of another group names this one; moto leaves a rule that names nothing."""
    others = [one for groups in self.groups.values() for one in groups.values() if one.id != group_id]
    rules = [rule for one in others for rule in (*one.ingress_rules, *one.egress_rules)]
    if group_id in {rule.source_group.get("GroupId") for rule in rules}:
        raise DependencyViolationError(f"resource {group_id} has a dependent object")
    _delete_security_group(self, vpc_id, group_id)


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's EC2. Harmless when done twice."""
    NatGatewayBackend.describe_nat_gateways = describe_nat_gateways
    SecurityGroupBackend._delete_security_group = delete_security_group
    # The type of the resource in DescribeTags, by which clients filter.
    EC2_PREFIX_TO_RESOURCE["nat"] = "natgateway"
