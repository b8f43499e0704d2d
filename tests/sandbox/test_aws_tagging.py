"""The list of what carries a tag: in its own region, with what moto leaves out, and without what is gone."""

from __future__ import annotations

import pytest

from .aws_only import Aws, running_aws

TAGS = [{"Key": "app", "Value": "daily-emr"}]
LOWER = [{"key": "app", "value": "daily-emr"}]


@pytest.fixture
def aws(tmp_path):
    with running_aws(tmp_path) as running:
        yield running


def listed(aws: Aws) -> set[str]:
    """Service and kind of what is listed in the data region."""
    pager = aws.client("resourcegroupstaggingapi").get_paginator("get_resources")
    pages = pager.paginate(TagFilters=[{"Key": "app", "Values": ["daily-emr"]}])
    return {one["ResourceARN"].split(":", 2)[2] for page in pages for one in page["ResourceTagMappingList"]}


def kinds(aws: Aws) -> set[str]:
    return {":".join(arn.split(":")[:1] + arn.split(":")[3:]).partition("/")[0] for arn in listed(aws)}


def test_a_bucket_is_listed_in_its_own_region_alone(aws):

    for name, region in (("here", "af-south-1"), ("there", "eu-west-1")):
        s3 = aws.client("s3", region=region)
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": TAGS})
    assert listed(aws) == {"s3:::here"}


def test_a_service_that_was_deleted_is_not_listed(aws):
    ec2, ecs = aws.client("ec2"), aws.client("ecs")
    vpc = ec2.create_vpc(CidrBlock="10.30.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.30.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(VpcId=vpc, GroupName="web", Description="web")["GroupId"]
    ecs.create_cluster(clusterName="one", tags=LOWER)
    ecs.register_task_definition(
        family="web", networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256", memory="512",
        containerDefinitions=[{"name": "web", "image": "web"}], tags=LOWER,
    )  # fmt: skip
    ecs.create_service(
        cluster="one", serviceName="web", taskDefinition="web", desiredCount=0, launchType="FARGATE", tags=LOWER,
        networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group]}},
    )  # fmt: skip
    assert kinds(aws) == {"ecs:cluster", "ecs:service", "ecs:task-definition"}
    ecs.delete_service(cluster="one", service="web", force=True)
    ecs.deregister_task_definition(taskDefinition="web:1")
    assert kinds(aws) == {"ecs:cluster"}


def test_addresses_and_endpoints_are_listed_until_they_are_gone(aws):
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    (table,) = [
        one["RouteTableId"]
        for one in ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    ]
    address = ec2.allocate_address(Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": TAGS}])[
        "AllocationId"
    ]
    endpoint = ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName="com.amazonaws.af-south-1.s3",
        VpcEndpointType="Gateway",
        RouteTableIds=[table],
        TagSpecifications=[{"ResourceType": "vpc-endpoint", "Tags": TAGS}],
    )["VpcEndpoint"]["VpcEndpointId"]
    assert kinds(aws) == {"ec2:elastic-ip", "ec2:vpc-endpoint"}
    ec2.release_address(AllocationId=address)
    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])
    assert kinds(aws) == set()


def test_images_are_listed(aws):
    aws.client("ecr").create_repository(repositoryName="web", tags=TAGS)
    assert kinds(aws) == {"ecr:repository"}


def test_users_of_caches_and_their_groups_are_listed_until_they_are_gone(aws):
    cache = aws.client("elasticache")
    cache.create_user(
        UserId="nobody", UserName="default", Engine="valkey", AccessString="off -@all", Passwords=["p" * 16], Tags=TAGS
    )
    cache.create_user_group(UserGroupId="queues", Engine="valkey", UserIds=["nobody"], Tags=TAGS)
    assert {arn.rpartition("123456789012:")[2] for arn in listed(aws)} == {"user:nobody", "usergroup:queues"}
    cache.delete_user_group(UserGroupId="queues")
    cache.delete_user(UserId="nobody")
    assert listed(aws) == set()
