# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Takes an ephemeral environment down: only what carries its tags, and never staging or production.

What there is comes from the tags alone, never from names: AWS lists what is tagged, and roles and policies of IAM,
which it does not list, are asked for their tags one by one. Each removal is one declared call, after what has to go
before it. Rounds go on for as long as one of them got something done; what is still going, or must be emptied by a
person, is named in the result.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import (
    calling,
    error_code,
    failed_operation,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, OpsError, Refused

# An environment that may be taken down is named here, and not by what an inventory says about itself.
EPHEMERAL = ("development", "sandbox")
ROUNDS = 8
READS = ("Describe", "Get", "List")
GONE = re.compile(r".*(NotFound|NonExistent|NoSuch|DoesNotExist|ResourceNotFound|NotActive).*", re.IGNORECASE)

Json = dict[str, Any]


@dataclass(frozen=True)
class Removal:
    """How one kind of resource is removed. pattern is matched with "service:resource" of its ARN."""

    pattern: str
    service: str
    operation: str
    params: Callable[[re.Match[str], str], Json]
    more: Json = field(default_factory=dict)


def _named(parameter: str, **more: Any) -> Callable[[re.Match[str], str], Json]:
    return lambda found, _arn: {parameter: found[1], **more}


def _by_arn(parameter: str, **more: Any) -> Callable[[re.Match[str], str], Json]:
    return lambda _found, arn: {parameter: arn, **more}


# In the order in which things depend on each other, the outermost first. Keys of KMS are left: nobody may schedule
# their deletion.
REMOVALS: tuple[Removal, ...] = (
    Removal(r"synthetics:canary:(.+)", "synthetics", "DeleteCanary", _named("Name", DeleteLambda=True)),
    Removal(
        r"ecs:service/([^/]+)/([^/]+)",
        "ecs",
        "DeleteService",
        lambda found, _arn: {"cluster": found[1], "service": found[2], "force": True},
    ),
    Removal(r"elasticloadbalancing:loadbalancer/app/.+", "elbv2", "DeleteLoadBalancer", _by_arn("LoadBalancerArn")),
    Removal(
        r"wafv2:regional/webacl/([^/]+)/(.+)",
        "wafv2",
        "DeleteWebACL",
        lambda found, _arn: {"Name": found[1], "Id": found[2], "Scope": "REGIONAL"},
    ),
    Removal(r"elasticloadbalancing:targetgroup/.+", "elbv2", "DeleteTargetGroup", _by_arn("TargetGroupArn")),
    Removal(r"ecs:cluster/(.+)", "ecs", "DeleteCluster", _named("cluster")),
    Removal(r"ecs:task-definition/(.+:\d+)", "ecs", "DeregisterTaskDefinition", _named("taskDefinition")),
    Removal(r"firehose:deliverystream/(.+)", "firehose", "DeleteDeliveryStream", _named("DeliveryStreamName")),
    Removal(r"cloudtrail:trail/(.+)", "cloudtrail", "DeleteTrail", _named("Name")),
    Removal(r"cloudwatch:alarm:(.+)", "cloudwatch", "DeleteAlarms", lambda found, _arn: {"AlarmNames": [found[1]]}),
    Removal(
        r"rds:db:(.+)",
        "rds",
        "DeleteDBInstance",
        _named("DBInstanceIdentifier", SkipFinalSnapshot=True, DeleteAutomatedBackups=True),
    ),
    Removal(r"rds:es:(.+)", "rds", "DeleteEventSubscription", _named("SubscriptionName")),
    Removal(r"rds:subgrp:(.+)", "rds", "DeleteDBSubnetGroup", _named("DBSubnetGroupName")),
    Removal(r"rds:pg:(.+)", "rds", "DeleteDBParameterGroup", _named("DBParameterGroupName")),
    Removal(
        r"elasticache:replicationgroup:(.+)", "elasticache", "DeleteReplicationGroup", _named("ReplicationGroupId")
    ),
    Removal(r"elasticache:usergroup:(.+)", "elasticache", "DeleteUserGroup", _named("UserGroupId")),
    Removal(r"elasticache:user:(.+)", "elasticache", "DeleteUser", _named("UserId")),
    Removal(
        r"elasticache:parametergroup:(.+)",
        "elasticache",
        "DeleteCacheParameterGroup",
        _named("CacheParameterGroupName"),
    ),
    Removal(r"elasticache:subnetgroup:(.+)", "elasticache", "DeleteCacheSubnetGroup", _named("CacheSubnetGroupName")),
    Removal(r"sqs:([^:]+)", "sqs", "DeleteQueue", _named("QueueUrl")),
    Removal(r"sns:([^:]+)", "sns", "DeleteTopic", _by_arn("TopicArn")),
    Removal(r"logs:log-group:([^:]+).*", "logs", "DeleteLogGroup", _named("logGroupName")),
    Removal(r"ecr:repository/(.+)", "ecr", "DeleteRepository", _named("repositoryName", force=True)),
    Removal(r"dynamodb:table/([^/]+)", "dynamodb", "DeleteTable", _named("TableName")),
    Removal(r"ec2:natgateway/(.+)", "ec2", "DeleteNatGateway", _named("NatGatewayId")),
    Removal(r"ec2:elastic-ip/(.+)", "ec2", "ReleaseAddress", _named("AllocationId")),
    Removal(r"ec2:vpc-endpoint/(.+)", "ec2", "DeleteVpcEndpoints", lambda found, _arn: {"VpcEndpointIds": [found[1]]}),
    Removal(
        r"ec2:(?:vpc-flow-log|flow-logs)/(.+)", "ec2", "DeleteFlowLogs", lambda found, _arn: {"FlowLogIds": [found[1]]}
    ),
    Removal(r"ec2:subnet/(.+)", "ec2", "DeleteSubnet", _named("SubnetId")),
    Removal(r"ec2:route-table/(.+)", "ec2", "DeleteRouteTable", _named("RouteTableId")),
    Removal(r"ec2:security-group/(.+)", "ec2", "DeleteSecurityGroup", _named("GroupId")),
    Removal(r"ec2:internet-gateway/(.+)", "ec2", "DeleteInternetGateway", _named("InternetGatewayId")),
    Removal(r"ec2:vpc/(.+)", "ec2", "DeleteVpc", _named("VpcId")),
    Removal(r"s3:([^/]+)", "s3", "DeleteBucket", _named("Bucket")),
    Removal(r"ses:(?:email-)?identity/(.+)", "sesv2", "DeleteEmailIdentity", _named("EmailIdentity")),
    # Its name must be free when the environment is built again tomorrow.
    Removal(
        r"secretsmanager:secret:.+",
        "secretsmanager",
        "DeleteSecret",
        _by_arn("SecretId", ForceDeleteWithoutRecovery=True),
    ),
    Removal(r"iam:role/(?:.+/)?([^/]+)", "iam", "DeleteRole", _named("RoleName")),
    Removal(r"iam:policy/.+", "iam", "DeletePolicy", _by_arn("PolicyArn")),
    Removal(r"ssm:parameter(/.+)", "ssm", "DeleteParameter", _named("Name")),
)
# Left on purpose, with the reason that is shown.
KEPT = {
    r"kms:key/.+": "a key is never deleted by a program, and the next environment of this name uses it again",
    r"rds:snapshot:(?!rds:).+": "a snapshot that a person made is a person's to remove",
}
# What carries the tags of its owner, and goes with it.
WITH_ITS_OWNER = re.compile(r"rds:snapshot:rds:.+|elasticache:cluster:.+|ecs:task/.+|ec2:network-interface/.+")


def teardown_refusals(name: str, confirmed: str) -> list[str]:
    """Why this environment is not taken down, before anybody is called; pure."""
    reasons = []
    if name not in EPHEMERAL:
        reasons.append(
            f"{name} is never taken down: only {' and '.join(EPHEMERAL)} are ephemeral, and no input changes that."
        )
    if confirmed != name:
        reasons.append(
            f"teardown_confirm is not the name of the environment of this inventory, {name}: nothing was removed."
        )
    return reasons


def tagged(clients: Clients, tags: dict[str, str], copy_region: str) -> dict[str, str]:
    """ARN -> region of all that carries every one of these tags, in both regions and in IAM."""
    filters = [{"Key": key, "Values": [value]} for key, value in sorted(tags.items())]
    found: dict[str, str] = {}
    for region in dict.fromkeys((clients.environment.region, copy_region)):
        with calling("tag:GetResources"):
            pager = clients.read("resourcegroupstaggingapi", region).get_paginator("get_resources")
            for page in pager.paginate(TagFilters=filters):
                found |= {entry["ResourceARN"]: region for entry in page["ResourceTagMappingList"]}
    return found | dict.fromkeys(_tagged_in_iam(clients, tags), "")


def _tagged_in_iam(clients: Clients, tags: dict[str, str]) -> list[str]:
    """ARNs of roles and policies with these tags, which the API of the tags does not know."""
    client, found = clients.read("iam"), []
    with calling("iam:ListRoles"):
        for page in client.get_paginator("list_roles").paginate():
            found += [
                role["Arn"]
                for role in page["Roles"]
                if _carries(client.list_role_tags(RoleName=role["RoleName"])["Tags"], tags)
            ]
    with calling("iam:ListPolicies"):
        for page in client.get_paginator("list_policies").paginate(Scope="Local"):
            found += [
                policy["Arn"]
                for policy in page["Policies"]
                if _carries(client.list_policy_tags(PolicyArn=policy["Arn"])["Tags"], tags)
            ]
    return found


def _carries(given: list[dict[str, str]], tags: dict[str, str]) -> bool:
    return tags.items() <= {tag["Key"]: tag["Value"] for tag in given}.items()


def plan(arns: list[str]) -> tuple[list[tuple[Removal, str, re.Match[str]]], list[str]]:
    """What is removed, in its order, and what is left and why; pure."""
    steps, left = [], []
    for arn in arns:
        service, rest = arn.split(":")[2], arn.split(":", 5)[5]
        word = f"{service}:{rest}"
        if WITH_ITS_OWNER.fullmatch(word):
            continue
        reason = next((why for pattern, why in KEPT.items() if re.fullmatch(pattern, word)), "")
        match = next(
            (
                (rank, removal, found)
                for rank, removal in enumerate(REMOVALS)
                if (found := re.fullmatch(removal.pattern, word))
            ),
            None,
        )
        if match:
            steps.append((match[0], match[1], arn, match[2]))
        else:
            left.append(f"{arn}: {reason or 'this kind is not removed by a program'}")
    steps.sort(key=lambda step: (step[0], step[2]))
    return [(removal, arn, found) for _rank, removal, arn, found in steps], left


def take_down(clients: Clients, tags: dict[str, str], copy_region: str, role: str, *, check_mode: bool) -> Json:
    """Remove what carries the tags, but not the role that this is done in, nor its policies.

    Raises Refused for an environment that is not ephemeral, as a second guard.
    """
    name = clients.environment.name
    if reasons := teardown_refusals(name, tags.get("Environment", "")):
        raise Refused(*reasons)
    regions = tagged(clients, tags, copy_region)
    ours = _acted_in(clients, set(regions), role)
    steps, left = plan(sorted(regions.keys() - ours))
    left += [f"{arn}: this is done in this role, and another run needs it" for arn in sorted(ours)]
    if check_mode:
        return {"changed": bool(steps), "removed": [arn for _removal, arn, _found in steps], "left": left}
    removed: list[str] = []
    why: dict[str, str] = {}
    for _round in range(ROUNDS):
        rest = []
        for removal, arn, found in steps:
            try:
                _remove(clients, removal, arn, found, regions[arn])
                removed.append(arn)
            except OpsError as error:
                if is_gone(removal, error):
                    continue
                why[arn] = error.sentence
                rest.append((removal, arn, found))
        if len(rest) in (0, len(steps)):
            steps = rest
            break
        steps = rest
    left += [f"{arn}: {why[arn]}" for _removal, arn, _found in steps]
    return {"changed": bool(removed), "removed": removed, "left": left}


def _acted_in(clients: Clients, arns: set[str], role: str) -> set[str]:
    """Those of the role that this is done in and of its policies; none where that role is not the environment's."""
    if not (ours := {arn for arn in arns if arn.endswith(f":role/{role}")}):
        return set()
    with calling("iam:ListAttachedRolePolicies"):
        attached = clients.read("iam").list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    return ours | (arns & {policy["PolicyArn"] for policy in attached})


def is_gone(removal: Removal, error: OpsError) -> bool:
    """Whether what was to be removed does not exist; pure.

    A read or the removal itself says so. A write that goes before it may miss something else: a rule that was
    revoked, or a group that a rule names.
    """
    operation = failed_operation(error)
    asked = operation == removal.operation or operation.startswith(READS)
    return isinstance(error, CallFailed) and asked and GONE.fullmatch(error_code(error)) is not None


def _remove(clients: Clients, removal: Removal, arn: str, found: re.Match[str], region: str) -> None:
    params = removal.params(found, arn)
    if before := BEFORE.get(removal.operation):
        with calling(f"{removal.service}:{removal.operation}, what goes before it"):
            params |= before(clients, params)
    client = clients.write(removal.service, removal.operation, region=region)
    with calling(f"{removal.service}:{removal.operation}"):
        getattr(client, _method(client, removal.operation))(**params)


def _queue_url(clients: Clients, params: Json) -> Json:
    return {"QueueUrl": clients.read("sqs").get_queue_url(QueueName=params["QueueUrl"])["QueueUrl"]}


def _detach_gateway(clients: Clients, params: Json) -> Json:
    gateway = params["InternetGatewayId"]
    listed = clients.read("ec2").describe_internet_gateways(InternetGatewayIds=[gateway])["InternetGateways"]
    for attached in listed[0]["Attachments"]:
        clients.write("ec2", "DetachInternetGateway").detach_internet_gateway(
            InternetGatewayId=gateway, VpcId=attached["VpcId"]
        )
    return {}


def _free_table(clients: Clients, params: Json) -> Json:
    listed = clients.read("ec2").describe_route_tables(RouteTableIds=[params["RouteTableId"]])["RouteTables"]
    for one in listed[0]["Associations"]:
        if not one.get("Main"):
            client = clients.write("ec2", "DisassociateRouteTable")
            client.disassociate_route_table(AssociationId=one["RouteTableAssociationId"])
    return {}


def _empty_group(clients: Clients, params: Json) -> Json:
    """Groups name each other, and AWS deletes none that another one names."""
    group = params["GroupId"]
    listed = clients.read("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    if listed[0]["IpPermissions"]:
        client = clients.write("ec2", "RevokeSecurityGroupIngress")
        client.revoke_security_group_ingress(GroupId=group, IpPermissions=listed[0]["IpPermissions"])
    return {}


def _stop_canary(clients: Clients, params: Json) -> Json:
    listed = clients.read("synthetics").describe_canaries(Names=[params["Name"]])["Canaries"]
    if any(one["Status"]["State"] == "RUNNING" for one in listed):
        clients.write("synthetics", "StopCanary").stop_canary(Name=params["Name"])
    return {}


def _lock_token(clients: Clients, params: Json) -> Json:
    return {"LockToken": clients.read("wafv2").get_web_acl(**params)["LockToken"]}


def _end_copies(clients: Clients, params: Json) -> Json:
    secret = clients.read("secretsmanager").describe_secret(SecretId=params["SecretId"])
    if regions := [one["Region"] for one in secret.get("ReplicationStatus") or []]:
        client = clients.write("secretsmanager", "RemoveRegionsFromReplication")
        client.remove_regions_from_replication(SecretId=params["SecretId"], RemoveReplicaRegions=regions)
    return {}


def _empty_role(clients: Clients, params: Json) -> Json:
    reader, name = clients.read("iam"), params["RoleName"]
    for policy in reader.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        client = clients.write("iam", "DetachRolePolicy")
        client.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
    for inline in reader.list_role_policies(RoleName=name)["PolicyNames"]:
        clients.write("iam", "DeleteRolePolicy").delete_role_policy(RoleName=name, PolicyName=inline)
    return {}


def _older_versions(clients: Clients, params: Json) -> Json:
    for version in clients.read("iam").list_policy_versions(**params)["Versions"]:
        if not version["IsDefaultVersion"]:
            client = clients.write("iam", "DeletePolicyVersion")
            client.delete_policy_version(**params, VersionId=version["VersionId"])
    return {}


BEFORE: dict[str, Callable[[Clients, Json], Json]] = {
    "DeleteCanary": _stop_canary,
    "DeleteInternetGateway": _detach_gateway,
    "DeletePolicy": _older_versions,
    "DeleteQueue": _queue_url,
    "DeleteRole": _empty_role,
    "DeleteRouteTable": _free_table,
    "DeleteSecret": _end_copies,
    "DeleteSecurityGroup": _empty_group,
    "DeleteWebACL": _lock_token,
}
"""By operation: what goes before it, and what it needs besides."""


def _method(client: Any, operation: str) -> str:
    mapping: dict[str, str] = client.meta.method_to_api_mapping
    return next(method for method, name in mapping.items() if name == operation)
