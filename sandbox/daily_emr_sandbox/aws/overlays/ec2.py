"""EC2: what moto spells in its own way, and NAT gateways by their tags, which moto does not filter by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.models.nat_gateways import NatGatewayBackend
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE

if TYPE_CHECKING:
    from ..server import AwsServer

TAG = "tag:"

_describe_nat_gateways = NatGatewayBackend.describe_nat_gateways


def describe_nat_gateways(self: Any, filters: Any, nat_gateway_ids: list[str] | None) -> list[Any]:
    found = _describe_nat_gateways(self, filters, nat_gateway_ids)
    wanted = {name.removeprefix(TAG): values for name, values in (filters or {}).items() if name.startswith(TAG)}
    return [gateway for gateway in found if all(_tags(gateway).get(name) in values for name, values in wanted.items())]


def _tags(gateway: Any) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in gateway.get_tags()}


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's EC2. Harmless when done twice."""
    NatGatewayBackend.describe_nat_gateways = describe_nat_gateways
    # The type of the resource in DescribeTags, by which clients filter.
    EC2_PREFIX_TO_RESOURCE["nat"] = "natgateway"
