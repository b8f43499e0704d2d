"""What somebody may change by hand, which control of readiness sees it, which task mends it, and by which calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

NAME = "daily-emr-sandbox"
ACCOUNT = "123456789012"
SCALED = {
    "ServiceNamespace": "ecs",
    "ScalableDimension": "ecs:service:DesiredCount",
    "ResourceId": f"service/{NAME}/{NAME}-web",
    "PolicyName": f"{NAME}-web-cpu",
}
ANYWHERE = "0.0.0.0/0"
SECOND = "eu-west-1"
Aws = Callable[..., Any]
"""A client of a service, by its name, in the first region or in the one that is named."""


@dataclass(frozen=True)
class Drift:
    """One kind of drift.

    Attributes:
        make: changes it, as somebody would in the console.
        controls: those of readiness that fail by it.
        task: what of bootstrap shows and mends it: "role : task: item".
        mended_by: the mutating calls that mend it, as (service, operation).
    """

    name: str
    make: Callable[[Aws], None]
    controls: tuple[str, ...]
    task: str
    mended_by: tuple[tuple[str, str], ...]


def tagged(aws: Aws, kind: str, key: str, identity: str, name: str) -> str:
    """Id of what carries this name."""
    method = getattr(aws("ec2"), f"describe_{kind}")
    (found,) = method(Filters=[{"Name": "tag:Name", "Values": [name]}])[key]
    return str(found[identity])


def open_the_database(aws: Aws) -> None:
    group = tagged(aws, "security_groups", "SecurityGroups", "GroupId", f"{NAME}-database")
    rule = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": ANYWHERE}]}
    aws("ec2").authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])


def lead_data_out(aws: Aws) -> None:
    table = tagged(aws, "route_tables", "RouteTables", "RouteTableId", f"{NAME}-data")
    gateway = tagged(aws, "internet_gateways", "InternetGateways", "InternetGatewayId", NAME)
    aws("ec2").create_route(RouteTableId=table, DestinationCidrBlock=ANYWHERE, GatewayId=gateway)


def make_a_bucket_public(aws: Aws) -> None:
    aws("s3").delete_public_access_block(Bucket=f"{NAME}-exports-{ACCOUNT}")


def stop_versions(aws: Aws) -> None:
    aws("s3").put_bucket_versioning(
        Bucket=f"{NAME}-terraform-state-{ACCOUNT}", VersioningConfiguration={"Status": "Suspended"}
    )


def stop_rotation(aws: Aws) -> None:
    key = aws("kms").describe_key(KeyId=f"alias/{NAME}")["KeyMetadata"]["KeyId"]
    aws("kms").disable_key_rotation(KeyId=key)


def forget_logs(aws: Aws) -> None:
    aws("logs").put_retention_policy(logGroupName=f"/ecs/{NAME}-web", retentionInDays=30)


def unprotect_the_database(aws: Aws) -> None:
    aws("rds").modify_db_instance(
        DBInstanceIdentifier=f"{NAME}-db", DeletionProtection=False, BackupRetentionPeriod=1, ApplyImmediately=True
    )


def allow_plain_text(aws: Aws) -> None:
    value = {"ParameterName": "rds.force_ssl", "ParameterValue": "0", "ApplyMethod": "immediate"}
    aws("rds").modify_db_parameter_group(DBParameterGroupName=f"{NAME}-db", Parameters=[value])


def untag_the_database(aws: Aws) -> None:
    arn = aws("rds").describe_db_instances(DBInstanceIdentifier=f"{NAME}-db")["DBInstances"][0]["DBInstanceArn"]
    aws("rds").remove_tags_from_resource(ResourceName=arn, TagKeys=["data-class"])


def move_tags_of_images(aws: Aws) -> None:
    aws("ecr").put_image_tag_mutability(repositoryName=f"{NAME}-web", imageTagMutability="MUTABLE")


def keep_few_images(aws: Aws) -> None:
    aws("ecr").delete_lifecycle_policy(repositoryName=f"{NAME}-web")


def take_the_web_acl_away(aws: Aws) -> None:
    (balancer,) = aws("elbv2").describe_load_balancers(Names=[NAME])["LoadBalancers"]
    aws("wafv2").disassociate_web_acl(ResourceArn=balancer["LoadBalancerArn"])


def speak_old_tls(aws: Aws) -> None:
    client = aws("cloudfront")
    (found,) = client.list_distributions()["DistributionList"]["Items"]
    answer = client.get_distribution_config(Id=found["Id"])
    config = answer["DistributionConfig"]
    config["ViewerCertificate"]["MinimumProtocolVersion"] = "TLSv1"
    client.update_distribution(Id=found["Id"], IfMatch=answer["ETag"], DistributionConfig=config)


def take_any_value_that_holds_ours(aws: Aws) -> None:
    waf, scope = aws("wafv2"), {"Scope": "REGIONAL"}
    (found,) = waf.list_web_acls(**scope)["WebACLs"]
    answer = waf.get_web_acl(Name=NAME, Id=found["Id"], **scope)
    acl = answer["WebACL"]
    (rule,) = [one for one in acl["Rules"] if one["Name"] == "only-through-the-edge"]
    for proof in rule["Statement"]["NotStatement"]["Statement"]["OrStatement"]["Statements"]:
        if "ByteMatchStatement" in proof:
            proof["ByteMatchStatement"]["PositionalConstraint"] = "CONTAINS"
    waf.update_web_acl(
        Name=NAME, Id=found["Id"], LockToken=answer["LockToken"], Rules=acl["Rules"], **scope,
        DefaultAction=acl["DefaultAction"], VisibilityConfig=acl["VisibilityConfig"],
    )  # fmt: skip


def let_everybody_into_the_queues(aws: Aws) -> None:
    aws("elasticache").modify_replication_group(
        ReplicationGroupId=f"{NAME}-queues", UserGroupIdsToRemove=[f"{NAME}-queues"], ApplyImmediately=True
    )


def take_the_dashboard_away(aws: Aws) -> None:
    aws("cloudwatch").delete_dashboards(DashboardNames=[NAME])


def take_silence_for_nothing(aws: Aws) -> None:
    (alarm,) = aws("cloudwatch").describe_alarms(AlarmNames=[f"{NAME}-database-cpu"])["MetricAlarms"]
    names = (
        "AlarmName", "AlarmDescription", "Namespace", "MetricName", "Statistic", "Dimensions", "ComparisonOperator",
        "Threshold", "Period", "EvaluationPeriods", "AlarmActions", "OKActions",
    )  # fmt: skip
    aws("cloudwatch").put_metric_alarm(**{name: alarm[name] for name in names}, TreatMissingData="missing")


def stop_the_trail(aws: Aws) -> None:
    aws("cloudtrail").stop_logging(Name=NAME)


def let_jobs_be_evicted(aws: Aws) -> None:
    value = {"ParameterName": "maxmemory-policy", "ParameterValue": "allkeys-lru"}
    aws("elasticache").modify_cache_parameter_group(
        CacheParameterGroupName=f"{NAME}-queues", ParameterNameValues=[value]
    )


def scale_late(aws: Aws) -> None:
    aws("application-autoscaling").put_scaling_policy(
        **SCALED,
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 90.0,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
        },
    )


def let_deployments_fail(aws: Aws) -> None:
    (service,) = aws("ecs").describe_services(cluster=NAME, services=[f"{NAME}-web"])["services"]
    changed = {
        "deploymentCircuitBreaker": {"enable": False, "rollback": False},
        "canaryConfiguration": {"canaryPercent": 100.0, "canaryBakeTimeInMinutes": 0},
    }
    configuration = {**service["deploymentConfiguration"], **changed}
    aws("ecs").update_service(cluster=NAME, service=f"{NAME}-web", deploymentConfiguration=configuration)


def release(aws: Aws) -> None:
    """No drift: what ECS itself does in a release. The other target group has the traffic then, and may stand first."""
    (service,) = aws("ecs").describe_services(cluster=NAME, services=[f"{NAME}-web"])["services"]
    (balanced,) = service["loadBalancers"]
    more = balanced["advancedConfiguration"]
    first, other = balanced["targetGroupArn"], more["alternateTargetGroupArn"]
    swapped = {**balanced, "targetGroupArn": other, "advancedConfiguration": {**more, "alternateTargetGroupArn": first}}
    aws("ecs").update_service(cluster=NAME, service=f"{NAME}-web", loadBalancers=[swapped])
    weights = [{"TargetGroupArn": first, "Weight": 0}, {"TargetGroupArn": other, "Weight": 100}]
    forward = {"Type": "forward", "ForwardConfig": {"TargetGroups": weights}}
    aws("elbv2").modify_rule(RuleArn=more["productionListenerRule"], Actions=[forward])


def stop_recovery(aws: Aws) -> None:
    aws("dynamodb").update_continuous_backups(
        TableName=f"{NAME}-runbooks", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
    )


def unprotect_the_replica(aws: Aws) -> None:
    aws("rds", SECOND).modify_db_instance(
        DBInstanceIdentifier=f"{NAME}-db-replica", DeletionProtection=False, ApplyImmediately=True
    )


def turn_dns_by_its_own_opposite(aws: Aws) -> None:
    (check,) = aws("route53").list_health_checks()["HealthChecks"]
    aws("route53").update_health_check(HealthCheckId=check["Id"], Inverted=True)


def look_at_the_health_of_targets(aws: Aws) -> None:
    """So that DNS turns by itself, to a database that takes no writes."""
    (zone,) = aws("route53").list_hosted_zones()["HostedZones"]
    listed = aws("route53").list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
    (record,) = [one for one in listed if one.get("Failover") == "PRIMARY"]
    target = {**record["AliasTarget"], "EvaluateTargetHealth": True}
    change = {"Action": "UPSERT", "ResourceRecordSet": {**record, "AliasTarget": target}}
    aws("route53").change_resource_record_sets(HostedZoneId=zone["Id"], ChangeBatch={"Changes": [change]})


DRIFTS = (
    Drift(
        "the database is open to everybody",
        open_the_database,
        ("network.database_ingress",),
        f"network : Have the security groups: {NAME}-database",
        (("ec2", "RevokeSecurityGroupIngress"),),
    ),
    Drift(
        "data subnets have a way out",
        lead_data_out,
        ("network.data_routes",),
        f"network : Have the route tables: {NAME}-data",
        (("ec2", "DeleteRoute"),),
    ),
    Drift(
        "a bucket may be made public",
        make_a_bucket_public,
        ("protection.buckets_private",),
        f"storage : Have the buckets: bucket_access {NAME}-exports-{ACCOUNT}",
        (("s3", "PutPublicAccessBlock"),),
    ),
    Drift(
        "the state of Terraform has no versions",
        stop_versions,
        ("state.versioning",),
        "state_backend : Have the bucket of the state: bucket_versions",
        (("s3", "PutBucketVersioning"),),
    ),
    Drift(
        "the key does not rotate",
        stop_rotation,
        ("protection.key_rotation",),
        "encryption : Have a key in the data region and one where the copies are: af-south-1",
        (("kms", "EnableKeyRotation"),),
    ),
    Drift(
        "logs are forgotten after a month",
        forget_logs,
        ("audit.retention",),
        f"logs : Have the logs kept: /ecs/{NAME}-web",
        (("logs", "PutRetentionPolicy"),),
    ),
    Drift(
        "the database may be deleted, and keeps backups for a day",
        unprotect_the_database,
        ("database.deletion_protection", "database.backups"),
        "database : Have the instance",
        (("rds", "ModifyDBInstance"),),
    ),
    Drift(
        "the database takes connections without TLS",
        allow_plain_text,
        ("database.forced_tls",),
        "database : Have its parameters",
        (("rds", "ModifyDBParameterGroup"),),
    ),
    Drift(
        "nobody can see that the database holds data of patients",
        untag_the_database,
        ("protection.data_class",),
        "database : Have its tags",
        (("rds", "AddTagsToResource"),),
    ),
    Drift(
        "tags of images move",
        move_tags_of_images,
        ("registry.immutable",),
        f"registry : Build the registry, or verify the one that somebody else owns: {NAME}-web image_repository",
        (("ecr", "PutImageTagMutability"),),
    ),
    Drift(
        "nothing says which images are kept",
        keep_few_images,
        ("registry.lifecycle",),
        f"registry : Build the registry, or verify the one that somebody else owns: {NAME}-web image_lifecycle",
        (("ecr", "PutLifecyclePolicy"),),
    ),
    Drift(
        "no web ACL is in front of the load balancer",
        take_the_web_acl_away,
        ("edge.web_acl",),
        "edge : Have it in front of the load balancer",
        (("wafv2", "AssociateWebACL"),),
    ),
    Drift(
        "the edge speaks an old version of TLS",
        speak_old_tls,
        ("edge.tls",),
        "edge : Distribution | Have the distribution",
        (("cloudfront", "UpdateDistribution"),),
    ),
    Drift(
        "the web ACL takes any value that holds the secret one",
        take_any_value_that_holds_ours,
        ("edge.origin_secret",),
        "edge : Distribution | Have the rule know the newest value",
        (("wafv2", "UpdateWebACL"),),
    ),
    Drift(
        "nobody is asked at the queues",
        let_everybody_into_the_queues,
        ("cache.authentication",),
        f"cache : Build sessions and queues, or verify those that somebody else owns: cache_login {NAME}-queues",
        (("elasticache", "ModifyReplicationGroup"),),
    ),
    Drift(
        "the dashboard is gone",
        take_the_dashboard_away,
        ("observability.dashboard",),
        "alarms : Have the dashboard",
        (("cloudwatch", "PutDashboard"),),
    ),
    Drift(
        "an alarm does not say what silence means",
        take_silence_for_nothing,
        ("observability.missing_data",),
        "alarms : Have an alarm for each metric that calls somebody: database-cpu",
        (("cloudwatch", "PutMetricAlarm"),),
    ),
    Drift(
        "the trail is not written",
        stop_the_trail,
        ("audit.logging",),
        "audit : Have the trail of every call to AWS",
        (("cloudtrail", "StartLogging"),),
    ),
    Drift(
        "jobs of a queue are evicted",
        let_jobs_be_evicted,
        ("cache.eviction",),
        f"cache : Build sessions and queues, or verify those that somebody else owns: cache_parameters {NAME}-queues",
        (("elasticache", "ModifyCacheParameterGroup"),),
    ),
    Drift(
        "the service is scaled too late",
        scale_late,
        ("service.cpu_target",),
        "service : Have the cluster, the first task definitions and the services: "
        f"scaling_policy service/{NAME}/{NAME}-web",
        (("application-autoscaling", "PutScalingPolicy"),),
    ),
    Drift(
        "a release gets all the traffic at once, and is not rolled back when it fails",
        let_deployments_fail,
        ("service.deployment", "service.canary"),
        f"service : Have the cluster, the first task definitions and the services: container_service {NAME}-web",
        (("ecs", "UpdateService"),),
    ),
    Drift(
        "the table of the runbooks cannot be restored",
        stop_recovery,
        ("runbooks.table",),
        "runbook_support : Have the table protected, and restorable to each second: table_recovery",
        (("dynamodb", "UpdateContinuousBackups"),),
    ),
    # Of the second region; no control of readiness looks at these.
    Drift(
        "the replica may be deleted",
        unprotect_the_replica,
        (),
        "database : Replica | Have the replica",
        (("rds", "ModifyDBInstance"),),
    ),
    Drift(
        "DNS turns when nobody failed over",
        turn_dns_by_its_own_opposite,
        (),
        "dns : Have what DNS turns by",
        (("route53", "UpdateHealthCheck"),),
    ),
    Drift(
        "DNS turns by the health of targets",
        look_at_the_health_of_targets,
        (),
        "dns : Have the names: origin.app.daily-emr.test PRIMARY",
        (("route53", "ChangeResourceRecordSets"),),
    ),
)
