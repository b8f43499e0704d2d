"""What AWS does and moto does not, one module for each service.

Each `install(aws)` puts methods on moto's classes; moto's own serialiser encodes what they return. Installing again
replaces the server that they ask. moto is pinned exactly, because all of this leans on its inside.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

OVERLAYS = (
    "autoscaling", "cloudfront", "cloudtrail", "cloudwatch", "dynamodb", "ec2", "ecr", "elasticache",
    "elasticache_groups", "elasticache_users", "elbv2", "iam", "log_delivery", "logs", "rds", "rds_copies",
    "rds_groups", "route53", "s3", "search", "secretsmanager", "ses", "sns", "sqs", "ssm",
    "synthetics", "tagging", "wafv2",
)  # fmt: skip


def install(aws: Any) -> None:
    """Put every overlay on moto, for this server."""
    for name in OVERLAYS:
        import_module(f"{__name__}.{name}").install(aws)
