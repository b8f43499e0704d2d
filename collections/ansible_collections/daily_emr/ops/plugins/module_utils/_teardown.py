# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Takes an ephemeral environment down: only what carries its tags, and never staging or production.

What there is comes from the tags alone, never from names. Each removal is one declared call. Rounds go on for as long
as one of them got something done; what is still going, or must be emptied by a person, is named in the result.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.daily_emr.ops.plugins.module_utils._calls import calling, error_code
from ansible_collections.daily_emr.ops.plugins.module_utils._clients import Clients
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, OpsError, Refused

# An environment that may be taken down is named here, and not by what an inventory says about itself.
EPHEMERAL = ("development", "sandbox")
ROUNDS = 8
GONE = re.compile(r".*(NotFound|NonExistent|NoSuch|DoesNotExist|ResourceNotFound).*", re.IGNORECASE)

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
# their deletion. A gateway of the VPC is taken off it by the call that follows it in the table.
REMOVALS: tuple[Removal, ...] = (
    Removal(
        r"ecs:service/([^/]+)/([^/]+)",
        "ecs",
        "DeleteService",
        lambda found, _arn: {"cluster": found[1], "service": found[2], "force": True},
    ),
    Removal(r"elasticloadbalancing:loadbalancer/app/.+", "elbv2", "DeleteLoadBalancer", _by_arn("LoadBalancerArn")),
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
    Removal(r"ssm:parameter(/.+)", "ssm", "DeleteParameter", _named("Name")),
)
# Left on purpose, with the reason that is shown.
KEPT = {
    r"kms:key/.+": "a key is never deleted by a program",
    r"secretsmanager:.+": "the role secrets removes secrets",
    r"rds:snapshot:.+": "a snapshot goes with its retention",
}


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


def tagged(clients: Clients, tags: dict[str, str]) -> list[str]:
    """ARNs of all that carries every one of these tags."""
    filters = [{"Key": key, "Values": [value]} for key, value in sorted(tags.items())]
    with calling("tag:GetResources"):
        pages = clients.read("resourcegroupstaggingapi").get_paginator("get_resources").paginate(TagFilters=filters)
        found = {entry["ResourceARN"] for page in pages for entry in page["ResourceTagMappingList"]}
    return sorted(found)


def plan(arns: list[str]) -> tuple[list[tuple[Removal, str, re.Match[str]]], list[str]]:
    """What is removed, in its order, and what is left and why; pure."""
    steps, left = [], []
    for arn in arns:
        service, rest = arn.split(":")[2], arn.split(":", 5)[5]
        word = f"{service}:{rest}"
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


def take_down(clients: Clients, tags: dict[str, str], *, check_mode: bool) -> Json:
    """Remove what carries the tags. Raises Refused for an environment that is not ephemeral, as a second guard."""
    name = clients.environment.name
    if reasons := teardown_refusals(name, tags.get("Environment", "")):
        raise Refused(*reasons)
    steps, left = plan(tagged(clients, tags))
    if check_mode:
        return {"changed": bool(steps), "removed": [arn for _removal, arn, _found in steps], "left": left}
    removed: list[str] = []
    why: dict[str, str] = {}
    for _round in range(ROUNDS):
        rest = []
        for removal, arn, found in steps:
            try:
                _remove(clients, removal, arn, found)
                removed.append(arn)
            except OpsError as error:
                if isinstance(error, CallFailed) and GONE.fullmatch(error_code(error)):
                    continue
                why[arn] = error.sentence
                rest.append((removal, arn, found))
        if len(rest) in (0, len(steps)):
            steps = rest
            break
        steps = rest
    left += [f"{arn}: {why[arn]}" for _removal, arn, _found in steps]
    return {"changed": bool(removed), "removed": removed, "left": left}


def _remove(clients: Clients, removal: Removal, arn: str, found: re.Match[str]) -> None:
    params = removal.params(found, arn)
    if removal.operation == "DeleteQueue":
        with calling("sqs:GetQueueUrl"):
            params = {"QueueUrl": clients.read("sqs").get_queue_url(QueueName=found[1])["QueueUrl"]}
    if removal.operation == "DeleteInternetGateway":
        _detach(clients, found[1])
    if removal.operation == "DeleteRouteTable":
        _free(clients, found[1])
    client = clients.write(removal.service, removal.operation)
    with calling(f"{removal.service}:{removal.operation}"):
        getattr(client, _method(client, removal.operation))(**params)


def _detach(clients: Clients, gateway: str) -> None:
    with calling("ec2:DetachInternetGateway"):
        listed = clients.read("ec2").describe_internet_gateways(InternetGatewayIds=[gateway])["InternetGateways"]
        for attached in listed[0]["Attachments"]:
            clients.write("ec2", "DetachInternetGateway").detach_internet_gateway(
                InternetGatewayId=gateway, VpcId=attached["VpcId"]
            )


def _free(clients: Clients, table: str) -> None:
    with calling("ec2:DisassociateRouteTable"):
        listed = clients.read("ec2").describe_route_tables(RouteTableIds=[table])["RouteTables"]
        for one in listed[0]["Associations"]:
            if not one.get("Main"):
                client = clients.write("ec2", "DisassociateRouteTable")
                client.disassociate_route_table(AssociationId=one["RouteTableAssociationId"])


def _method(client: Any, operation: str) -> str:
    mapping: dict[str, str] = client.meta.method_to_api_mapping
    return next(method for method, name in mapping.items() if name == operation)
