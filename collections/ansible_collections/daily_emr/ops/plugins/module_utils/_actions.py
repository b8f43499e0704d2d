# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which actions of IAM a call of an API needs. The policies of roles and those of single calls rest on the same map."""

from __future__ import annotations

SECRET = "secretsmanager:GetSecretValue"  # noqa: S105  # the name of an action
PREFIXES = {
    "accessanalyzer": "access-analyzer",
    "cloudwatch": "cloudwatch",
    "elbv2": "elasticloadbalancing",
    "opensearch": "es",
    "resourcegroupstaggingapi": "tag",
    "service-quotas": "servicequotas",
    "sesv2": "ses",
}
# Calls whose action has another name, or needs another one as well.
ACTIONS = {
    "cloudfront:CreateDistributionWithTags": ["cloudfront:CreateDistribution", "cloudfront:TagResource"],
    "logs:PutDeliverySource": ["cloudfront:AllowVendedLogDeliveryForResource", "logs:PutDeliverySource"],
    "s3:HeadBucket": ["s3:ListBucket"],
    "s3:HeadObject": ["s3:GetObject"],
    "s3:ListBuckets": ["s3:ListAllMyBuckets"],
    "s3:ListObjectsV2": ["s3:ListBucket"],
    "s3:ListObjectVersions": ["s3:ListBucketVersions"],
    "s3:GetBucketEncryption": ["s3:GetEncryptionConfiguration"],
    "s3:PutBucketEncryption": ["s3:PutEncryptionConfiguration"],
    "s3:GetPublicAccessBlock": ["s3:GetBucketPublicAccessBlock"],
    "s3:PutPublicAccessBlock": ["s3:PutBucketPublicAccessBlock"],
    "s3:GetBucketReplication": ["s3:GetReplicationConfiguration"],
    "s3:PutBucketReplication": ["s3:PutReplicationConfiguration"],
    "s3:GetObjectLockConfiguration": ["s3:GetBucketObjectLockConfiguration"],
    "s3:PutObjectLockConfiguration": ["s3:PutBucketObjectLockConfiguration"],
    "s3:GetBucketAccelerateConfiguration": ["s3:GetAccelerateConfiguration"],
    "s3:ListBucketInventoryConfigurations": ["s3:GetInventoryConfiguration"],
    "s3:DeleteBucketEncryption": ["s3:PutEncryptionConfiguration"],
    "dynamodb:TransactWriteItems": ["dynamodb:ConditionCheckItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
    "dynamodb:TransactGetItems": ["dynamodb:GetItem"],
}
# What AWS does with a key of KMS for whoever makes one of these calls.
KEYS = {
    "s3:GetObject": {"kms:Decrypt"},
    "s3:PutObject": {"kms:Decrypt", "kms:GenerateDataKey"},
    SECRET: {"kms:Decrypt"},
    "secretsmanager:CreateSecret": {"kms:Decrypt", "kms:GenerateDataKey"},
    "secretsmanager:PutSecretValue": {"kms:Decrypt", "kms:GenerateDataKey"},
}
# What a service checks besides, in the name of who makes the call, on the same resources.
CHECKED = {
    # Application Auto Scaling user guide, "Permission validation for API calls on target resources".
    "application-autoscaling:RegisterScalableTarget": ["ecs:DescribeServices", "ecs:UpdateService"],
    # S3 API reference, "GetObject": for one that names a version.
    "s3:GetObject": ["s3:GetObjectVersion"],
    # S3 user guide, "Object Lock considerations": for an object that is put with its retention.
    "s3:PutObject": ["s3:PutObjectRetention"],
    # SQS developer guide, "Configuring queue permissions for a dead-letter queue redrive".
    "sqs:StartMessageMoveTask": [
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
    ],
}


def action(service: str, operation: str) -> list[str]:
    """The actions of IAM that a call needs. service: its name in boto3; operation: as in its model."""
    name = f"{PREFIXES.get(service, service)}:{operation}"
    return ACTIONS.get(name, [name])
