"""A ready environment as AWS would describe it, and clients that answer from it.

The clients are botocore's own. What is answered is checked against the model of the service, as botocore's Stubber
does it, so that no fixture has a shape that AWS could not send; unlike a Stubber, it answers in any order.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import botocore.session
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._environment import Environment
from ansible_collections.daily_emr.ops.plugins.module_utils._readiness import Run
from botocore.exceptions import ClientError
from botocore.loaders import create_loader
from botocore.validate import ParamValidator

from tests.unit.content.test_content import ROOT

ACCOUNT, REGION, COPIES = "123456789012", "af-south-1", "eu-west-1"
NOW = datetime(2026, 11, 30, 7, 0, tzinfo=UTC)
PREFIX = "daily-emr-production"
ENVIRONMENT = Environment(
    "production", ACCOUNT, REGION, "^daily-emr-production-runbook-(act|diagnose)$", f"{PREFIX}-runbooks", "/fingerprint"
)
VPC, BALANCER_GROUP, TASK_GROUP, DATABASE_GROUP, EDGE_LIST = "vpc-1", "sg-alb", "sg-tasks", "sg-db", "pl-edge"
CONTROL = "arn:aws:controltower:af-south-1::control/AWS-GR_ENCRYPTED_VOLUMES"
ZONES = ("af-south-1a", "af-south-1b", "af-south-1c")
ECR = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{PREFIX}-web"
DIGESTS = [f"sha256:{digit * 64}" for digit in "abc"]
DUMPS = f"{PREFIX}-dumps-{ACCOUNT}"
BUCKETS = [DUMPS, f"{PREFIX}-exports-{ACCOUNT}"]
SECRETS = [f"daily-emr/production/{name}" for name in ("DATABASE_URL", "SESSION_PASSWORD")]
NAMES: dict[str, Any] = {
    "prefix": PREFIX,
    "copy_region": COPIES,
    "domain": "app.example.org",
    "organizational_unit": f"arn:aws:organizations::{ACCOUNT}:ou/o-1/ou-1",
    "state_bucket": f"{PREFIX}-state-{ACCOUNT}",
    "state_table": f"{PREFIX}-state",
    "runbooks_table": f"{PREFIX}-runbooks",
    "vpc": PREFIX,
    "database": f"{PREFIX}-db",
    "sessions": f"{PREFIX}-sessions",
    "queues": f"{PREFIX}-queues",
    "cluster": PREFIX,
    "service": f"{PREFIX}-web",
    "workers": [f"{PREFIX}-claims-worker"],
    "load_balancer": PREFIX,
    "repository": f"{PREFIX}-web",
    "web_acl": PREFIX,
    "secrets": SECRETS,
    "trail": PREFIX,
    "delivery_stream": f"{PREFIX}-audit",
    "log_group_prefixes": [f"/ecs/{PREFIX}"],
    "canary": PREFIX,
    "dumps_bucket": DUMPS,
    "restore_checks": "restore-checks/",
    "buckets": BUCKETS,
}
WANTED: dict[str, Any] = {
    name.removeprefix("readiness_"): value
    for name, value in yaml.safe_load((ROOT / "roles/readiness/defaults/main.yml").read_text()).items()
} | {"payer_allow_list": ["203.0.113.1", "203.0.113.2"], "required_alarms": ["silence"], "required_controls": [CONTROL]}

Answers = dict[str, Any]
"""By call: the answer, or a function of parameters and Region."""


def ago(**delta: float) -> datetime:
    return NOW - timedelta(**delta)


def tags(**values: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in values.items()]


def iam(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def _subnets() -> list[dict[str, Any]]:
    return [
        {"SubnetId": f"subnet-{tier}-{zone[-1]}", "AvailabilityZone": zone, "Tags": tags(tier=tier)}
        for tier in ("public", "app", "data")
        for zone in ZONES[:2]
    ]


def _tables() -> list[dict[str, Any]]:
    local = {"DestinationCidrBlock": "10.20.0.0/16", "GatewayId": "local", "State": "active"}
    out = {"DestinationCidrBlock": "0.0.0.0/0", "State": "active"}
    return [
        {"Associations": [{"Main": True}], "Routes": [local, out | {"GatewayId": "igw-1"}]},
        *(
            {"Associations": [{"SubnetId": f"subnet-app-{z}"}], "Routes": [local, out | {"NatGatewayId": f"nat-{z}"}]}
            for z in "ab"
        ),
        {"Associations": [{"SubnetId": f"subnet-data-{z}"} for z in "ab"], "Routes": [local]},
    ]


def _group(identifier: str, **peers: Any) -> dict[str, Any]:
    port = 5432 if identifier == DATABASE_GROUP else 443
    return {
        "GroupId": identifier,
        "IpPermissions": [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **peers}],
    }


def _replication_group(name: str) -> dict[str, Any]:
    members = [
        {"CacheClusterId": f"{name}-00{n}", "PreferredAvailabilityZone": zone} for n, zone in enumerate(ZONES[:2], 1)
    ]
    return {
        "ReplicationGroupId": name,
        "Status": "available",
        "MultiAZ": "enabled",
        "AutomaticFailover": "enabled",
        "MemberClusters": [member["CacheClusterId"] for member in members],
        "NodeGroups": [{"NodeGroupMembers": members}],
        "AtRestEncryptionEnabled": True,
        "TransitEncryptionEnabled": True,
        "UserGroupIds": ["users"],
        "SnapshotRetentionLimit": 7,
    }


def _service(name: str, **more: Any) -> dict[str, Any]:
    return {
        "serviceName": name,
        "status": "ACTIVE",
        "desiredCount": 2,
        "runningCount": 2,
        "pendingCount": 0,
        "taskDefinition": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{PREFIX}-web:3",
        "healthCheckGracePeriodSeconds": 60,
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-app-a"], "securityGroups": [TASK_GROUP]}},
        **more,
    }


def _definition(digest: str) -> dict[str, Any]:
    return {
        "family": f"{PREFIX}-web",
        "executionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/{PREFIX}-web",
        "containerDefinitions": [
            {
                "name": "web",
                "image": f"{ECR}@{digest}",
                "essential": True,
                "readonlyRootFilesystem": True,
                "user": "1000:1000",
                "stopTimeout": 60,
                "logConfiguration": {"logDriver": "awslogs"},
                "environment": [{"name": "NODE_ENV", "value": "production"}],
                "secrets": [
                    {"name": name.rpartition("/")[2], "valueFrom": f"{_secret_arn(name)}:url::"} for name in SECRETS
                ],
            }
        ],
    }


def _secret_arn(name: str) -> str:
    return f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-AbCdEf"


def _simulated(params: dict[str, Any], _region: str) -> dict[str, Any]:
    results = [
        {"EvalActionName": action, "EvalResourceName": arn, "EvalDecision": "allowed"}
        for action in params["ActionNames"]
        for arn in params["ResourceArns"]
    ]
    return {"EvaluationResults": results}


def _dump(night: int) -> list[dict[str, Any]]:
    at = NOW.replace(hour=1, minute=30) - timedelta(days=night)
    folder = at.strftime("%Y/%m/%d/%H%M%SZ")
    sizes = {"0001.dump": 1_000_000 + 1000 * night, "globals.sql": 900, "manifest.json": 700}
    return [
        {"Key": f"{folder}/{name}", "Size": size, "LastModified": at + timedelta(minutes=10)}
        for name, size in sizes.items()
    ]


def _objects() -> list[dict[str, Any]]:
    keys = [f"rehearsals/{name}/20261101T080000Z.json" for name in ("region_failover", *WANTED["runbooks"])]
    keys += ["restore-checks/20261122T030000Z.json", "restore-checks/20261129T030000Z.json"]
    reports = [{"Key": key, "Size": 200, "LastModified": ago(days=1)} for key in keys]
    return [item for night in range(9) for item in _dump(night)] + reports


REPORT = {"dump": "2026/11/29/013000Z", "finished_at": "2026-11-29T03:40:00+00:00", "ok": True}


def ready() -> Answers:
    """Every answer of an environment in which every check passes."""
    objects = _objects()
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:{PREFIX}-alarms"
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
    acl = {"Name": PREFIX, "Id": "acl-1", "ARN": f"arn:aws:wafv2:{REGION}:{ACCOUNT}:regional/webacl/{PREFIX}/1"}
    balancer = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/app/{PREFIX}/1"
    in_time = {"TableStatus": "ACTIVE", "DeletionProtectionEnabled": True}
    objects_of = {"Contents": objects}
    made: Answers = {
        "controltower:ListLandingZones": {"landingZones": [{"arn": "arn:aws:controltower:lz/1"}]},
        "controltower:GetLandingZone": {
            "landingZone": {"status": "ACTIVE", "version": "4.0", "manifest": {}, "driftStatus": {"status": "IN_SYNC"}}
        },
        "controltower:ListEnabledControls": {
            "enabledControls": [{"controlIdentifier": CONTROL, "statusSummary": {"status": "SUCCEEDED"}}]
        },
        "organizations:ListPoliciesForTarget": {"Policies": [{"Id": "p-1", "Name": "regions", "AwsManaged": False}]},
        "organizations:DescribePolicy": {
            "Policy": {
                "Content": iam(
                    {
                        "Effect": "Deny",
                        "NotAction": "iam:*",
                        "Resource": "*",
                        "Condition": {"StringNotEquals": {"aws:RequestedRegion": list(WANTED["allowed_regions"])}},
                    }
                )
            }
        },
        "iam:GetAccountSummary": {"SummaryMap": {"AccountMFAEnabled": 1, "AccountAccessKeysPresent": 0}},
        "accessanalyzer:ListAnalyzers": {
            "analyzers": [
                {"arn": "a", "name": "external", "type": "ACCOUNT", "createdAt": ago(days=9), "status": "ACTIVE"}
            ]
        },
        "guardduty:ListDetectors": {"DetectorIds": ["d1"]},
        "guardduty:GetDetector": {"Status": "ENABLED", "ServiceRole": "r"},
        "securityhub:DescribeHub": {"HubArn": "arn:aws:securityhub:hub/default", "AutoEnableControls": True},
        "account:GetRegionOptStatus": {"RegionOptStatus": "ENABLED"},
        "s3:GetBucketVersioning": {"Status": "Enabled"},
        "s3:GetBucketEncryption": {
            "ServerSideEncryptionConfiguration": {
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}]
            }
        },
        "s3:GetPublicAccessBlock": {
            "PublicAccessBlockConfiguration": dict.fromkeys(
                ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
            )
        },
        "s3:GetBucketPolicy": {
            "Policy": iam(
                {
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": "*",
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                }
            )
        },
        "dynamodb:DescribeTable": {"Table": in_time},
        "dynamodb:DescribeContinuousBackups": {
            "ContinuousBackupsDescription": {
                "ContinuousBackupsStatus": "ENABLED",
                "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "ENABLED"},
            }
        },
        "ec2:DescribeVpcs": {"Vpcs": [{"VpcId": VPC}]},
        "ec2:DescribeSubnets": {"Subnets": _subnets()},
        "ec2:DescribeNatGateways": {
            "NatGateways": [
                {
                    "NatGatewayId": f"nat-{zone}",
                    "SubnetId": f"subnet-public-{zone}",
                    "State": "available",
                    "NatGatewayAddresses": [{"PublicIp": address}],
                }
                for zone, address in zip("ab", WANTED["payer_allow_list"], strict=True)
            ]
        },
        "ec2:DescribeRouteTables": {"RouteTables": _tables()},
        "ec2:DescribeVpcEndpoints": {
            "VpcEndpoints": [
                {"ServiceName": f"com.amazonaws.{REGION}.{name}", "State": "available"} for name in WANTED["endpoints"]
            ]
        },
        "ec2:DescribeFlowLogs": {"FlowLogs": [{"FlowLogStatus": "ACTIVE", "TrafficType": "ALL"}]},
        "ec2:DescribeSecurityGroups": lambda params, _region: {
            "SecurityGroups": [
                _group(DATABASE_GROUP, UserIdGroupPairs=[{"GroupId": TASK_GROUP}])
                if name == DATABASE_GROUP
                else _group(BALANCER_GROUP, PrefixListIds=[{"PrefixListId": EDGE_LIST}])
                for name in params["GroupIds"]
            ]
        },
        "ec2:DescribeManagedPrefixLists": {"PrefixLists": [{"PrefixListId": EDGE_LIST}]},
        "ec2:DescribeNetworkInsightsPaths": {
            "NetworkInsightsPaths": [
                {"NetworkInsightsPathId": "nip-1", "Tags": tags(Name="tasks to database", expected="true")},
                {"NetworkInsightsPathId": "nip-2", "Tags": tags(Name="internet to database", expected="false")},
            ]
        },
        "ec2:DescribeNetworkInsightsAnalyses": {
            "NetworkInsightsAnalyses": [
                {"NetworkInsightsPathId": path, "Status": "succeeded", "StartDate": ago(days=d), "NetworkPathFound": f}
                for path, d, f in (("nip-1", 2, True), ("nip-1", 30, False), ("nip-2", 2, False))
            ]
        },
        "rds:DescribeDBInstances": {
            "DBInstances": [
                {
                    "DBInstanceIdentifier": NAMES["database"],
                    "DBInstanceClass": "db.m6g.large",
                    "MultiAZ": True,
                    "AvailabilityZone": ZONES[0],
                    "SecondaryAvailabilityZone": ZONES[1],
                    "StorageEncrypted": True,
                    "KmsKeyId": key,
                    "BackupRetentionPeriod": 7,
                    "LatestRestorableTime": ago(minutes=4),
                    "DeletionProtection": True,
                    "PubliclyAccessible": False,
                    "AutoMinorVersionUpgrade": True,
                    "AllocatedStorage": 100,
                    "MaxAllocatedStorage": 400,
                    "EnabledCloudwatchLogsExports": ["postgresql", "upgrade"],
                    "PerformanceInsightsEnabled": True,
                    "DBParameterGroups": [{"DBParameterGroupName": "pg", "ParameterApplyStatus": "in-sync"}],
                    "CertificateDetails": {"CAIdentifier": "rds-ca-rsa2048-g1", "ValidTill": ago(days=-300)},
                    "VpcSecurityGroups": [{"VpcSecurityGroupId": DATABASE_GROUP, "Status": "active"}],
                }
            ]
        },
        "rds:DescribeDBParameters": {"Parameters": [{"ParameterName": "rds.force_ssl", "ParameterValue": "1"}]},
        "rds:DescribeEventSubscriptions": {
            "EventSubscriptionsList": [
                {
                    "CustSubscriptionId": "failovers",
                    "Enabled": True,
                    "Status": "active",
                    "SourceType": "db-instance",
                    "SourceIdsList": [NAMES["database"]],
                    "EventCategoriesList": ["failover"],
                }
            ]
        },
        "kms:GetKeyRotationStatus": {"KeyRotationEnabled": True},
        "kms:DescribeKey": {"KeyMetadata": {"KeyId": "1", "KeyManager": "CUSTOMER", "KeyState": "Enabled"}},
        "elasticache:DescribeReplicationGroups": lambda params, _region: {
            "ReplicationGroups": [_replication_group(params["ReplicationGroupId"])]
        },
        "elasticache:DescribeCacheClusters": {
            "CacheClusters": [
                {"CacheParameterGroup": {"CacheParameterGroupName": "queues", "ParameterApplyStatus": "in-sync"}}
            ]
        },
        "elasticache:DescribeCacheParameters": {
            "Parameters": [{"ParameterName": "maxmemory-policy", "ParameterValue": "noeviction"}]
        },
        "ecs:DescribeServices": lambda params, _region: {
            "services": [
                _service(
                    name,
                    deploymentConfiguration={
                        "minimumHealthyPercent": 100,
                        "deploymentCircuitBreaker": {"enable": True, "rollback": True},
                        "alarms": {"alarmNames": ["canary"], "enable": True, "rollback": True},
                        "strategy": "CANARY",
                        "canaryConfiguration": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 30},
                    },
                )
                for name in params["services"]
            ]
        },
        "ecs:ListTasks": {"taskArns": ["t1", "t2"]},
        "ecs:DescribeTasks": {
            "tasks": [{"availabilityZone": zone, "lastStatus": "RUNNING"} for zone in ZONES[:2]],
        },
        "ecs:DescribeTaskDefinition": lambda params, _region: {
            "taskDefinition": _definition(DIGESTS[3 - int(params["taskDefinition"].rpartition(":")[2])])
        },
        "ecs:ListTaskDefinitions": {
            "taskDefinitionArns": [
                f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{PREFIX}-web:{n}" for n in (3, 2, 1)
            ]
        },
        "application-autoscaling:DescribeScalableTargets": {
            "ScalableTargets": [
                {
                    "ServiceNamespace": "ecs",
                    "ResourceId": f"service/{PREFIX}/{PREFIX}-web",
                    "ScalableDimension": "ecs:service:DesiredCount",
                    "MinCapacity": 2,
                    "MaxCapacity": 6,
                    "RoleARN": "r",
                    "CreationTime": ago(days=9),
                }
            ]
        },
        "application-autoscaling:DescribeScalingPolicies": {
            "ScalingPolicies": [
                {
                    "PolicyARN": "p",
                    "PolicyName": "cpu",
                    "ServiceNamespace": "ecs",
                    "ResourceId": f"service/{PREFIX}/{PREFIX}-web",
                    "ScalableDimension": "ecs:service:DesiredCount",
                    "PolicyType": "TargetTrackingScaling",
                    "CreationTime": ago(days=9),
                    "TargetTrackingScalingPolicyConfiguration": {
                        "TargetValue": 60.0,
                        "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
                    },
                }
            ]
        },
        "ecr:GetRegistryScanningConfiguration": {
            "scanningConfiguration": {
                "scanType": "ENHANCED",
                "rules": [{"scanFrequency": "CONTINUOUS_SCAN", "repositoryFilters": []}],
            }
        },
        "ecr:DescribeRepositories": {
            "repositories": [
                {
                    "repositoryName": NAMES["repository"],
                    "imageTagMutability": "IMMUTABLE",
                    "imageScanningConfiguration": {"scanOnPush": True},
                }
            ]
        },
        "ecr:DescribeImageScanFindings": {
            "imageScanStatus": {"status": "ACTIVE"},
            "imageScanFindings": {"findingSeverityCounts": {"HIGH": 2}},
        },
        "ecr:GetLifecyclePolicy": {
            "lifecyclePolicyText": json.dumps(
                {
                    "rules": [
                        {
                            "rulePriority": 1,
                            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 20},
                            "action": {"type": "expire"},
                        }
                    ]
                }
            )
        },
        "ecr:DescribeImages": {"imageDetails": [{"imageDigest": DIGESTS[0]}]},
        "ecr:DescribeRegistry": {
            "replicationConfiguration": {"rules": [{"destinations": [{"region": COPIES, "registryId": ACCOUNT}]}]}
        },
        "secretsmanager:DescribeSecret": lambda params, _region: {
            "Name": params["SecretId"],
            "KmsKeyId": key,
            "LastChangedDate": ago(days=30),
            "VersionIdsToStages": {"v" * 36: ["AWSCURRENT"]},
            "ReplicationStatus": [{"Region": COPIES, "Status": "InSync"}],
        },
        "iam:SimulatePrincipalPolicy": _simulated,
        "iam:GetRole": {
            "Role": {
                "Path": "/",
                "RoleName": "role-of-runbooks",
                "RoleId": "AROA1234567890123456",
                "Arn": f"arn:aws:iam::{ACCOUNT}:role/role-of-runbooks",
                "CreateDate": ago(days=9),
                "MaxSessionDuration": 3600,
            }
        },
        "cloudtrail:DescribeTrails": {
            "trailList": [{"IsOrganizationTrail": True, "IsMultiRegionTrail": True, "LogFileValidationEnabled": True}]
        },
        "cloudtrail:GetTrailStatus": {"IsLogging": True, "LatestDeliveryTime": ago(minutes=9)},
        "logs:DescribeLogGroups": {"logGroups": [{"logGroupName": f"/ecs/{PREFIX}-web", "retentionInDays": 400}]},
        "firehose:DescribeDeliveryStream": {
            "DeliveryStreamDescription": {
                "DeliveryStreamName": NAMES["delivery_stream"],
                "DeliveryStreamARN": "arn:aws:firehose:stream",
                "DeliveryStreamStatus": "ACTIVE",
                "DeliveryStreamType": "DirectPut",
                "VersionId": "1",
                "HasMoreDestinations": False,
                "Destinations": [
                    {
                        "DestinationId": "1",
                        "AmazonopensearchserviceDestinationDescription": {"S3BackupMode": "AllDocuments"},
                    }
                ],
            }
        },
        "cloudwatch:GetMetricData": {
            "MetricDataResults": [
                {"Id": "incoming", "Values": [120.0, 80.0]},
                {"Id": "success", "Values": [1.0, 1.0]},
            ]
        },
        "cloudwatch:DescribeAlarms": {
            "MetricAlarms": [
                {
                    "AlarmName": f"{PREFIX}-{name}",
                    "ActionsEnabled": True,
                    "AlarmActions": [topic],
                    "TreatMissingData": "breaching",
                }
                for name in ("silence", "no-healthy-targets")
            ]
        },
        "cloudwatch:GetDashboard": {
            "DashboardBody": json.dumps(
                {
                    "widgets": [
                        {"type": "text", "properties": {"markdown": "staging"}},
                        *(
                            {"type": "metric", "properties": {"metrics": [[name, "any"]]}}
                            for name in ("AWS/ApplicationELB", "AWS/ECS", "AWS/RDS", "AWS/SQS", "DailyEMR/Queues")
                        ),
                    ]
                }
            )
        },
        "sns:ListSubscriptionsByTopic": {"Subscriptions": [{"SubscriptionArn": f"{topic}:1"}]},
        "synthetics:DescribeCanaries": {"Canaries": [{"Name": PREFIX, "Status": {"State": "RUNNING"}}]},
        "synthetics:DescribeCanariesLastRun": {
            "CanariesLastRun": [{"LastRun": {"Status": {"State": "PASSED"}, "Timeline": {"Completed": ago(minutes=2)}}}]
        },
        "wafv2:ListWebACLs": {"WebACLs": [acl]},
        "wafv2:GetWebACL": {
            "WebACL": {
                "Name": PREFIX,
                "Id": "acl-1",
                "ARN": acl["ARN"],
                "DefaultAction": {"Allow": {}},
                "VisibilityConfig": _visible("acl"),
                "Rules": [
                    {
                        "Name": "common",
                        "Priority": 1,
                        "Statement": {
                            "ManagedRuleGroupStatement": {"VendorName": "AWS", "Name": "AWSManagedRulesCommonRuleSet"}
                        },
                        "OverrideAction": {"None": {}},
                        "VisibilityConfig": _visible("common"),
                    }
                ],
            }
        },
        "wafv2:ListResourcesForWebACL": {"ResourceArns": [balancer]},
        "wafv2:GetLoggingConfiguration": {
            "LoggingConfiguration": {
                "ResourceArn": acl["ARN"],
                "LogDestinationConfigs": [f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:aws-waf-logs"],
                "RedactedFields": [{"SingleHeader": {"Name": name}} for name in ("authorization", "cookie")],
            }
        },
        "cloudfront:ListDistributions": {"DistributionList": _distributions()},
        "acm:DescribeCertificate": {"Certificate": {"Status": "ISSUED", "NotAfter": ago(days=-200)}},
        "elbv2:DescribeLoadBalancers": {
            "LoadBalancers": [{"LoadBalancerArn": balancer, "SecurityGroups": [BALANCER_GROUP]}]
        },
        "elbv2:DescribeListeners": {"Listeners": [{"ListenerArn": "l-443", "Port": 443}]},
        "elbv2:DescribeRules": {
            "Rules": [
                {
                    "Conditions": [{"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Origin"}}],
                    "Actions": [{"Type": "forward"}],
                },
                {
                    "IsDefault": True,
                    "Conditions": [],
                    "Actions": [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "403"}}],
                },
            ]
        },
        "s3:ListObjectsV2": lambda params, _region: {
            "Contents": [item for item in objects_of["Contents"] if item["Key"].startswith(params["Prefix"])]
        },
        "s3:HeadObject": {
            "ServerSideEncryption": "aws:kms",
            "ChecksumSHA256": "sum",
            "ReplicationStatus": "COMPLETED",
        },
        "s3:HeadBucket": {"BucketRegion": COPIES},
        "s3:GetBucketReplication": {
            "ReplicationConfiguration": {
                "Role": "r",
                "Rules": [{"Status": "Enabled", "Destination": {"Bucket": f"arn:aws:s3:::{DUMPS}-copy"}}],
            }
        },
        "s3:GetObjectLockConfiguration": {
            "ObjectLockConfiguration": {"Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 35}}}
        },
        "s3:GetObject": REPORT | {"rto_s": 1800, "rpo_s": 60},
        "service-quotas:GetServiceQuota": {"Quota": {"Value": 100.0}},
        "resourcegroupstaggingapi:GetResources": lambda _params, region: {
            "ResourceTagMappingList": [
                {"ResourceARN": arn}
                for arn in [f"arn:aws:rds:{REGION}:{ACCOUNT}:db:{NAMES['database']}"]
                + [f"arn:aws:s3:::{name}" for name in BUCKETS]
                if region in ("", REGION)
            ]
        },
        "sesv2:GetEmailIdentity": {"VerifiedForSendingStatus": True, "DkimAttributes": {"Status": "SUCCESS"}},
        "sesv2:GetAccount": {"ProductionAccessEnabled": True, "SendingEnabled": True},
    }
    return made


def _visible(name: str) -> dict[str, Any]:
    return {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": True, "MetricName": name}


def _distributions() -> dict[str, Any]:
    """CloudFront lists a distribution with everything it has; only the required members and what is read stand here."""
    nothing: dict[str, Any] = {"Quantity": 0, "Items": []}
    behaviour = {"TargetOriginId": "alb", "ViewerProtocolPolicy": "redirect-to-https"}
    origin = {
        "Id": "alb",
        "DomainName": "origin.app.example.org",
        "CustomHeaders": {"Quantity": 1, "Items": [{"HeaderName": "x-origin", "HeaderValue": "hidden"}]},
        "CustomOriginConfig": {"HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "https-only"},
    }
    distribution = {
        "Id": "E1",
        "ARN": f"arn:aws:cloudfront::{ACCOUNT}:distribution/E1",
        "Status": "Deployed",
        "LastModifiedTime": ago(days=9),
        "DomainName": "d1.cloudfront.net",
        "Aliases": {"Quantity": 1, "Items": ["app.example.org"]},
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": behaviour,
        "CacheBehaviors": nothing,
        "CustomErrorResponses": nothing,
        "Comment": "",
        "PriceClass": "PriceClass_All",
        "Enabled": True,
        "ViewerCertificate": {
            "ACMCertificateArn": f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/1",
            "MinimumProtocolVersion": "TLSv1.2_2021",
        },
        "Restrictions": {"GeoRestriction": {"RestrictionType": "none", "Quantity": 0}},
        "WebACLId": "",
        "HttpVersion": "http2",
        "IsIPV6Enabled": True,
        "Staging": False,
    }
    return {"Marker": "", "MaxItems": 100, "IsTruncated": False, "Quantity": 1, "Items": [distribution]}


class AwsError(Exception):
    """What an answer is when AWS refuses: a test puts it in the place of the answer."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class FakeClients:
    """The clients of a run, which answer from a world and send nothing."""

    def __init__(self, answers: Answers) -> None:
        self.environment = ENVIRONMENT
        self.answers = answers
        self.calls: list[str] = []

    def read(self, service: str, region: str = "") -> Any:
        client = _client(service, region or REGION)
        # The client is shared by all tests of a process, so it is told whose answers it gives.
        client.world = (self, service, region)
        return client

    def evidence(self, bucket: str, key: str) -> str:
        answer = self.answer("s3:GetObject", {"Bucket": bucket, "Key": key}, "")
        return answer if isinstance(answer, str) else json.dumps(answer)

    def answer(self, call: str, params: dict[str, Any], region: str) -> Any:
        self.calls.append(call)
        found = self.answers[call]
        if callable(found):
            found = found(params, region)
        if isinstance(found, AwsError):
            reply = {"Error": {"Code": found.code}, "ResponseMetadata": {"HTTPStatusCode": 400}}
            raise ClientError(reply, call.partition(":")[2])
        return copy.deepcopy(found)


class _Reply:
    status_code = 200


LOADER = create_loader()


@cache
def _client(service: str, region: str) -> Any:
    session = botocore.session.Session()
    session.register_component("data_loader", LOADER)
    client = session.create_client(service, region, aws_access_key_id="x", aws_secret_access_key="x")

    def remember(params: dict[str, Any], context: dict[str, Any], **_event: Any) -> None:
        context["asked"] = copy.deepcopy(params)

    def reply(model: Any, context: dict[str, Any], **_event: Any) -> tuple[_Reply, Any]:
        clients, name, asked_region = client.world
        answer = clients.answer(f"{name}:{model.name}", context["asked"], asked_region)
        if model.output_shape is not None:
            problems = ParamValidator().validate(answer, model.output_shape)
            # What a model calls required and no check reads may be left out.
            wrong = [line for line in problems.generate_report().splitlines() if "Missing required" not in line]
            assert not wrong, f"{name}:{model.name}: {wrong}"
        return _Reply(), answer

    client.meta.events.register_first("before-parameter-build.*.*", remember)
    client.meta.events.register_first("before-call.*.*", reply)
    return client


def run(answers: Answers, **wanted: Any) -> tuple[Run, FakeClients]:
    clients = FakeClients(answers)
    return Run(clients, NAMES, WANTED | wanted, NOW), clients  # type: ignore[arg-type]


Break = Callable[[Answers], object]
