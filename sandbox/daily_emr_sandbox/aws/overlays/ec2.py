"""EC2: what moto spells in its own way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE

if TYPE_CHECKING:
    from ..server import AwsServer


def install(_aws: AwsServer) -> None:
    """Put the overlay on moto's EC2. Harmless when done twice."""
    # The type of the resource in DescribeTags, by which clients filter.
    EC2_PREFIX_TO_RESOURCE["nat"] = "natgateway"
