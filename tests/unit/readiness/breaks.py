"""For each control, one way in which an environment that was ready no longer is. A control without one fails a test."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.unit.readiness.world import COPIES, DUMPS, NAMES, PREFIX, WANTED, Answers, AwsError, _dump, ago, iam

Break = Callable[[Answers], object]


def change(call: str, *path: Any, **values: Any) -> Break:
    """Other values at a place in the answer of a call."""

    def apply(answers: Answers) -> None:
        before = answers[call]

        def after(params: dict[str, Any], region: str) -> Any:
            answer = before(params, region) if callable(before) else before
            place = answer
            for step in path:
                place = place[step]
            for key, value in values.items():
                if value is GONE:
                    place.pop(key, None)
                else:
                    place[key] = value
            return answer

        answers[call] = after

    return apply


def refuse(call: str, code: str) -> Break:
    return lambda answers: answers.update({call: AwsError(code)})


def answer(call: str, value: Any) -> Break:
    return lambda answers: answers.update({call: value})


def parameter(name: str, value: str) -> list[dict[str, str]]:
    return [{"ParameterName": name, "ParameterValue": value}]


GONE = object()
INSTANCE = ("rds:DescribeDBInstances", "DBInstances", 0)
GROUP = ("elasticache:DescribeReplicationGroups", "ReplicationGroups", 0)
SERVICE = ("ecs:DescribeServices", "services", 0)
DEPLOYMENT = (*SERVICE, "deploymentConfiguration")
CONTAINER = ("ecs:DescribeTaskDefinition", "taskDefinition", "containerDefinitions", 0)
ALARM = ("cloudwatch:DescribeAlarms", "MetricAlarms", 1)
SECRET = ("secretsmanager:DescribeSecret",)
RULES = ("ec2:DescribeSecurityGroups", "SecurityGroups", 0, "IpPermissions", 0)
STREAM = ("firehose:DescribeDeliveryStream", "DeliveryStreamDescription")
TABLE = ("dynamodb:DescribeTable", "Table")
DISTRIBUTION = ("cloudfront:ListDistributions", "DistributionList", "Items", 0)
LATE = {"ok": True, "rto_s": 7200, "rpo_s": 60, "finished_at": "2026-11-01T08:00:00+00:00"}
FAILED = {"ok": False, "rto_s": 60, "rpo_s": 60, "finished_at": "2026-11-29T08:00:00+00:00", "dump": "d"}


def without_manifest_tonight(answers: Answers) -> None:
    before = answers["s3:ListObjectsV2"]
    manifest = _dump(0)[-1]["Key"]
    answers["s3:ListObjectsV2"] = lambda params, region: {
        "Contents": [
            item
            for item in before(params, region)["Contents"]
            if not item["Key"].startswith(manifest.rpartition("/")[0])
        ]
    }


def half_a_dump(answers: Answers) -> None:
    before = answers["s3:ListObjectsV2"]
    newest = _dump(0)[0]["Key"]
    answers["s3:ListObjectsV2"] = lambda params, region: {
        "Contents": [
            item | ({"Size": 500_000} if item["Key"] == newest else {}) for item in before(params, region)["Contents"]
        ]
    }


def same_group_twice(answers: Answers) -> None:
    before = answers["elasticache:DescribeReplicationGroups"]
    answers["elasticache:DescribeReplicationGroups"] = lambda _params, region: before(
        {"ReplicationGroupId": NAMES["queues"]}, region
    )


BREAKS: dict[str, Break] = {
    "account.landing_zone": change("controltower:GetLandingZone", "landingZone", driftStatus={"status": "DRIFTED"}),
    "account.controls": change(
        "controltower:ListEnabledControls", "enabledControls", 0, statusSummary={"status": "FAILED"}
    ),
    "account.service_control_policies": change("organizations:ListPoliciesForTarget", Policies=[]),
    "account.region_deny": change(
        "organizations:DescribePolicy",
        "Policy",
        Content=iam(
            {
                "Effect": "Deny",
                "Condition": {"StringNotEquals": {"aws:RequestedRegion": [*WANTED["allowed_regions"], "us-west-2"]}},
            }
        ),
    ),
    "account.root_mfa": change("iam:GetAccountSummary", "SummaryMap", AccountMFAEnabled=0),
    "account.root_keys": change("iam:GetAccountSummary", "SummaryMap", AccountAccessKeysPresent=1),
    "account.access_analyzer": change("accessanalyzer:ListAnalyzers", analyzers=[]),
    "account.guardduty": change("guardduty:GetDetector", Status="DISABLED"),
    "account.security_hub": refuse("securityhub:DescribeHub", "InvalidAccessException"),
    "account.regions": change("account:GetRegionOptStatus", RegionOptStatus="ENABLING"),
    "state.versioning": change("s3:GetBucketVersioning", Status=GONE),
    "state.encryption": refuse("s3:GetBucketEncryption", "ServerSideEncryptionConfigurationNotFoundError"),
    "state.private": change("s3:GetPublicAccessBlock", "PublicAccessBlockConfiguration", BlockPublicPolicy=False),
    "state.tls_only": refuse("s3:GetBucketPolicy", "NoSuchBucketPolicy"),
    "state.lock": change(*TABLE, DeletionProtectionEnabled=False),
    "network.subnets": lambda answers: answers["ec2:DescribeSubnets"]["Subnets"].pop(),
    "network.nat": change("ec2:DescribeNatGateways", "NatGateways", 1, State="failed"),
    "network.app_routes": change("ec2:DescribeRouteTables", "RouteTables", 2, "Routes", 1, NatGatewayId="nat-a"),
    "network.data_routes": lambda answers: answers["ec2:DescribeRouteTables"]["RouteTables"].pop(),
    "network.endpoints": lambda answers: answers["ec2:DescribeVpcEndpoints"]["VpcEndpoints"].pop(),
    "network.flow_logs": change("ec2:DescribeFlowLogs", FlowLogs=[]),
    "network.database_ingress": change(*RULES, IpRanges=[{"CidrIp": "10.0.0.0/8"}]),
    "network.reachability": change(
        "ec2:DescribeNetworkInsightsAnalyses", "NetworkInsightsAnalyses", 2, NetworkPathFound=True
    ),
    "network.nat_addresses": change(
        "ec2:DescribeNatGateways", "NatGateways", 1, "NatGatewayAddresses", 0, PublicIp="203.0.113.9"
    ),
    "database.multi_az": change(*INSTANCE, MultiAZ=False),
    "database.instance_class": change(*INSTANCE, DBInstanceClass="db.t4g.micro"),
    "database.encryption": change("kms:DescribeKey", "KeyMetadata", KeyManager="AWS"),
    "database.backups": change(*INSTANCE, BackupRetentionPeriod=1),
    "database.restorable": change(*INSTANCE, LatestRestorableTime=ago(minutes=10)),
    "database.deletion_protection": change(*INSTANCE, DeletionProtection=False),
    "database.private": change(*INSTANCE, PubliclyAccessible=True),
    "database.minor_upgrades": change(*INSTANCE, AutoMinorVersionUpgrade=False),
    "database.storage_growth": change(*INSTANCE, MaxAllocatedStorage=GONE),
    "database.log_exports": change(*INSTANCE, EnabledCloudwatchLogsExports=["postgresql"]),
    "database.insights": change(*INSTANCE, PerformanceInsightsEnabled=False),
    "database.forced_tls": change("rds:DescribeDBParameters", Parameters=parameter("rds.force_ssl", "0")),
    "database.certificate": change(
        *INSTANCE, CertificateDetails={"CAIdentifier": "rds-ca-rsa2048-g1", "ValidTill": ago(days=-29)}
    ),
    "database.events": change("rds:DescribeEventSubscriptions", "EventSubscriptionsList", 0, Enabled=False),
    "cache.spare": change(*GROUP, AutomaticFailover="disabled"),
    "cache.zones": change(*GROUP, "NodeGroups", 0, "NodeGroupMembers", 1, PreferredAvailabilityZone="af-south-1a"),
    "cache.encryption": change(*GROUP, TransitEncryptionEnabled=False),
    "cache.authentication": change(*GROUP, UserGroupIds=[]),
    "cache.snapshots": change(*GROUP, SnapshotRetentionLimit=GONE),
    "cache.eviction": change(
        "elasticache:DescribeCacheParameters", Parameters=parameter("maxmemory-policy", "volatile-lru")
    ),
    "cache.apart": same_group_twice,
    "service.tasks": change(*SERVICE, desiredCount=1, runningCount=1),
    "service.workers": change(*SERVICE, runningCount=1),
    "service.zones": change("ecs:DescribeTasks", "tasks", 1, lastStatus="PENDING"),
    "service.deployment": change(*DEPLOYMENT, deploymentCircuitBreaker={"enable": True, "rollback": False}),
    "service.deployment_alarms": change(*DEPLOYMENT, "alarms", enable=False),
    "service.canary": change(*DEPLOYMENT, strategy="ROLLING"),
    "service.scaling": change("application-autoscaling:DescribeScalableTargets", "ScalableTargets", 0, MinCapacity=1),
    "service.cpu_target": change("application-autoscaling:DescribeScalingPolicies", ScalingPolicies=[]),
    "service.image_digest": change(*CONTAINER, image=f"example/{PREFIX}-web:latest"),
    "service.hardening": change(*CONTAINER, user=GONE),
    "service.stop_timeout": change(*CONTAINER, stopTimeout=GONE),
    "service.logs": change(*CONTAINER, logConfiguration=GONE),
    "service.grace_period": change(*SERVICE, healthCheckGracePeriodSeconds=GONE),
    "registry.scanning": lambda answers: (
        change("ecr:GetRegistryScanningConfiguration", "scanningConfiguration", rules=[])(answers),
        change("ecr:DescribeRepositories", "repositories", 0, imageScanningConfiguration={"scanOnPush": False})(
            answers
        ),
    ),
    "registry.findings": change(
        "ecr:DescribeImageScanFindings", imageScanFindings={"findingSeverityCounts": {"CRITICAL": 1}}
    ),
    "registry.immutable": change("ecr:DescribeRepositories", "repositories", 0, imageTagMutability="MUTABLE"),
    "registry.lifecycle": refuse("ecr:GetLifecyclePolicy", "LifecyclePolicyNotFoundException"),
    "registry.rollback": refuse("ecr:DescribeImages", "ImageNotFoundException"),
    "registry.replicated": change("ecr:DescribeRegistry", replicationConfiguration={"rules": []}),
    "secrets.present": refuse(*SECRET, "ResourceNotFoundException"),
    "secrets.keys": change(*SECRET, KmsKeyId=GONE),
    "secrets.age": change(*SECRET, LastChangedDate=ago(days=90)),
    "secrets.copies": change(*SECRET, ReplicationStatus=[{"Region": COPIES, "Status": "Failed"}]),
    "secrets.readable": change(
        "iam:SimulatePrincipalPolicy",
        EvaluationResults=[
            {"EvalActionName": "secretsmanager:GetSecretValue", "EvalResourceName": "*", "EvalDecision": "implicitDeny"}
        ],
    ),
    "secrets.injected": change(*CONTAINER, environment=[{"name": "DATABASE_URL", "value": "postgresql://"}]),
    "audit.trail": change("cloudtrail:DescribeTrails", "trailList", 0, LogFileValidationEnabled=False),
    "audit.logging": change("cloudtrail:GetTrailStatus", IsLogging=False),
    "audit.retention": change("logs:DescribeLogGroups", "logGroups", 0, retentionInDays=30),
    "audit.delivery": change(
        *STREAM, "Destinations", 0, "AmazonopensearchserviceDestinationDescription", S3BackupMode="FailedDocumentsOnly"
    ),
    "audit.delivered": change("cloudwatch:GetMetricData", "MetricDataResults", 1, Values=[1.0, 0.5]),
    "observability.alarms": change(*ALARM[:-1], 0, AlarmName=f"{PREFIX}-other"),
    "observability.alarm_actions": change(*ALARM, ActionsEnabled=False),
    "observability.missing_data": change(*ALARM, TreatMissingData="missing"),
    "observability.heard": change(
        "sns:ListSubscriptionsByTopic", Subscriptions=[{"SubscriptionArn": "PendingConfirmation"}]
    ),
    "observability.canary": change("synthetics:DescribeCanaries", "Canaries", 0, Status={"State": "STOPPED"}),
    "observability.dashboard": refuse("cloudwatch:GetDashboard", "ResourceNotFound"),
    "edge.web_acl": change("wafv2:ListResourcesForWebACL", ResourceArns=[]),
    "edge.web_acl_logging": refuse("wafv2:GetLoggingConfiguration", "WAFNonexistentItemException"),
    "edge.tls": change(*DISTRIBUTION, "ViewerCertificate", MinimumProtocolVersion="TLSv1"),
    "edge.certificate": change("acm:DescribeCertificate", "Certificate", NotAfter=ago(days=-30)),
    "edge.origin_ingress": change(*RULES, IpRanges=[{"CidrIp": "0.0.0.0/0"}]),
    "edge.origin_secret": change("elbv2:DescribeRules", "Rules", 1, Actions=[{"Type": "forward"}]),
    "backups.fresh": without_manifest_tonight,
    "backups.size": half_a_dump,
    "backups.sealed": change("s3:HeadObject", ServerSideEncryption="AES256"),
    "backups.copied": change("s3:HeadObject", ReplicationStatus="FAILED"),
    "backups.locked": refuse("s3:GetObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"),
    "backups.restored": answer("s3:GetObject", FAILED),
    "rehearsals.region_failover": answer("s3:GetObject", LATE),
    "rehearsals.runbooks": answer("s3:GetObject", FAILED),
    "protection.key_rotation": change("kms:GetKeyRotationStatus", KeyRotationEnabled=False),
    "protection.data_class": change(
        "resourcegroupstaggingapi:GetResources", ResourceTagMappingList=[{"ResourceARN": f"arn:aws:s3:::{DUMPS}"}]
    ),
    "protection.buckets_private": refuse("s3:GetPublicAccessBlock", "NoSuchPublicAccessBlockConfiguration"),
    "protection.buckets_encrypted": change(
        "s3:GetBucketEncryption",
        "ServerSideEncryptionConfiguration",
        Rules=[{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}],
    ),
    "messaging.sender": change("sesv2:GetEmailIdentity", VerifiedForSendingStatus=False),
    "messaging.out_of_sandbox": change("sesv2:GetAccount", ProductionAccessEnabled=False),
    "capacity.fargate": change("service-quotas:GetServiceQuota", "Quota", Value=6.0),
    "capacity.database": change("service-quotas:GetServiceQuota", "Quota", Value=5.0),
    "capacity.addresses": change("service-quotas:GetServiceQuota", "Quota", Value=5.0),
    "runbooks.table": change(
        "dynamodb:DescribeContinuousBackups",
        "ContinuousBackupsDescription",
        PointInTimeRecoveryDescription={"PointInTimeRecoveryStatus": "DISABLED"},
    ),
    "runbooks.roles": refuse("iam:GetRole", "NoSuchEntity"),
}
"""Beside `ready`, in which every check passes: the failing fixture of each."""

# Other ways that are easily overlooked.
FURTHER: list[tuple[str, Break]] = [
    ("account.region_deny", change("organizations:DescribePolicy", "Policy", Content=json.dumps({"Statement": []}))),
    ("database.multi_az", change(*INSTANCE, SecondaryAvailabilityZone="af-south-1a")),
    ("database.encryption", change(*INSTANCE, StorageEncrypted=False)),
    (
        "database.forced_tls",
        change(*INSTANCE, DBParameterGroups=[{"DBParameterGroupName": "pg", "ParameterApplyStatus": "pending-reboot"}]),
    ),
    ("network.database_ingress", change(*RULES, UserIdGroupPairs=[{"GroupId": "sg-somebody-else"}])),
    ("network.data_routes", change("ec2:DescribeRouteTables", "RouteTables", 3, "Routes", 0,
                                   DestinationCidrBlock=GONE, DestinationIpv6CidrBlock="::/0")),
    ("service.zones", answer("ecs:ListTasks", {"taskArns": []})),
    ("service.hardening", change(*CONTAINER, user="root:root")),
    ("registry.lifecycle", answer("ecr:GetLifecyclePolicy", {"lifecyclePolicyText": json.dumps({"rules": [
        {"selection": {"tagStatus": "any", "countType": "sinceImagePushed", "countNumber": 90}}]})})),
    ("secrets.present", change(*SECRET, VersionIdsToStages={})),
    ("secrets.present", change(*SECRET, DeletedDate=ago(days=1))),
    ("audit.logging", change("cloudtrail:GetTrailStatus", LatestDeliveryTime=ago(minutes=60))),
    ("backups.sealed", change("s3:HeadObject", ChecksumSHA256=GONE)),
    ("backups.copied", refuse("s3:GetBucketReplication", "ReplicationConfigurationNotFoundError")),
    ("backups.restored", answer("s3:GetObject", FAILED | {"ok": True, "finished_at": "2026-11-20T08:00:00+00:00"})),
    ("edge.web_acl", change("wafv2:GetWebACL", "WebACL", "Rules", 0, OverrideAction={"Count": {}})),
    ("protection.data_class", answer("resourcegroupstaggingapi:GetResources",
                                     {"ResourceTagMappingList": [{"ResourceARN": "arn:aws:s3:::elsewhere"}]})),
    ("rehearsals.region_failover", answer("s3:GetObject", LATE | {"rto_s": 60, "finished_at": "2026-08-01T00:00:00Z"})),
    ("runbooks.roles", change("iam:GetRole", "Role", MaxSessionDuration=43200)),
]  # fmt: skip
