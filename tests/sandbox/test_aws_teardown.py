"""A teardown against the control plane. The witness is its call log."""

from __future__ import annotations

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._modules import Context, perform
from ansible_collections.daily_emr.ops.plugins.modules import teardown
from botocore.exceptions import ClientError
from daily_emr_sandbox.account import let_build

from .aws_only import Aws, running_aws

TAGS = {"app": "daily-emr", "Environment": "sandbox", "managed_by": "daily-emr-bootstrap"}


@pytest.fixture
def aws(tmp_path):
    with running_aws(tmp_path) as running:
        let_build(running.server)
        yield running


def params(aws: Aws, **more: object) -> dict:
    settings = aws.settings
    environment = {
        "name": "sandbox",
        "account_id": settings.account_id,
        "region": settings.region,
        "role_pattern": "^nobody$",
        "table": "daily-emr-sandbox-runbooks",
        "fingerprint_parameter": "/daily-emr/sandbox/fingerprint",
        "domain": "app.daily-emr.test",
        "endpoint_url": settings.endpoint_url,
        "credentials_file": str(settings.credentials_file),
        "time_factor": 1.0,
    }
    pattern = "^daily-emr-sandbox-bootstrap$"
    return {
        "environment": environment,
        "builder_role_pattern": pattern,
        "confirm": "sandbox",
        "tags": TAGS,
        "copy_region": "eu-west-1",
    } | more


def plant(aws: Aws) -> None:
    sns, listed = aws.client("sns"), [{"Key": key, "Value": value} for key, value in TAGS.items()]
    sns.create_topic(Name="ours", Tags=listed)
    sns.create_topic(Name="of-another-environment", Tags=[*listed[:1], {"Key": "Environment", "Value": "staging"}])
    sns.create_topic(Name="daily-emr-sandbox-by-hand")


def topics(aws: Aws) -> set[str]:
    return {one["TopicArn"].rpartition(":")[2] for one in aws.client("sns").list_topics()["Topics"]}


def mutating(aws: Aws, since: int) -> list[str]:
    return [call["operation"] for call in aws.server.calls.since(since) if call["mutating"]]


def run(given, *, check_mode: bool = False):
    return perform("teardown", teardown.ENTRY, given, Context(check_mode=check_mode))


def test_only_what_carries_every_tag_is_removed(aws):
    plant(aws)
    since = aws.server.calls.seq
    planned = run(params(aws), check_mode=True)
    assert (planned["changed"], len(planned["removed"]), mutating(aws, since)) == (True, 1, [])
    done = run(params(aws))
    assert (done["changed"], done["left"], mutating(aws, since)) == (True, [], ["DeleteTopic"])
    assert topics(aws) == {"of-another-environment", "daily-emr-sandbox-by-hand"}
    assert run(params(aws), check_mode=True)["changed"] is False
    again = run(params(aws))
    assert (again["changed"], mutating(aws, since)) == (False, ["DeleteTopic"])


@pytest.mark.parametrize("name", ["staging", "production"])
def test_staging_and_production_are_refused_without_a_call(aws, name):
    plant(aws)
    since = aws.server.calls.seq
    given = params(aws, confirm=name, tags={**TAGS, "Environment": name})
    given["environment"] |= {"name": name}
    result = run(given)
    assert result["refused"]
    assert "never taken down" in result["msg"]
    assert aws.server.calls.since(since) == []


def test_a_wrong_tag_is_refused_without_a_call(aws):
    plant(aws)
    since = aws.server.calls.seq
    result = run(params(aws, tags={**TAGS, "Environment": "staging"}))
    assert result["refused"]
    assert run(params(aws, confirm="development"))["refused"]
    assert aws.server.calls.since(since) == []


def test_control_who_may_not_build_is_refused(aws):
    plant(aws)
    since = aws.server.calls.seq
    assert run(params(aws, builder_role_pattern="^somebody-else$"))["refused"]
    assert mutating(aws, since) == []


def test_groups_that_name_each_other_go_and_a_cluster_is_not_found_again(aws):
    ec2, ecs = aws.client("ec2"), aws.client("ecs")
    listed = [{"Key": key, "Value": value} for key, value in TAGS.items()]
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    carries = [{"ResourceType": "security-group", "Tags": listed}]
    groups = [
        ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc, TagSpecifications=carries)["GroupId"]
        for name in ("tasks", "database", "cache")
    ]
    for group in groups:  # In whatever order they are removed, each has a rule that names one that went before.
        named = [{"GroupId": other} for other in groups if other != group]
        rule = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": named}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    with pytest.raises(ClientError, match="DependencyViolation"):
        ec2.delete_security_group(GroupId=groups[0])
    ecs.create_cluster(clusterName="ours", tags=[{"key": key, "value": value} for key, value in TAGS.items()])
    done = run(params(aws))
    assert (len(done["removed"]), done["left"]) == (4, [])
    left = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
    assert {group["GroupId"] for group in left} & set(groups) == set()
    assert run(params(aws), check_mode=True)["removed"] == []


def test_the_role_that_this_is_done_in_stays_with_its_policies_and_is_named(aws):
    iam, listed = aws.client("iam"), [{"Key": key, "Value": value} for key, value in TAGS.items()]
    look = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sns:ListTopics", "Resource": "*"}]}'
    for name in ("daily-emr-sandbox-bootstrap", "daily-emr-sandbox-other"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=look, Tags=listed)
        policy = iam.create_policy(PolicyName=name, PolicyDocument=look, Tags=listed)["Policy"]["Arn"]
        iam.attach_role_policy(RoleName=name, PolicyArn=policy)
    since = aws.server.calls.seq
    done = run(params(aws))
    assert mutating(aws, since) == ["DetachRolePolicy", "DeleteRole", "DeletePolicy"]
    assert [arn.endswith("other") for arn in done["removed"]] == [True, True]
    kept = [one.split(": ")[0].rpartition(":")[2] for one in done["left"]]
    assert kept == ["policy/daily-emr-sandbox-bootstrap", "role/daily-emr-sandbox-bootstrap"]
    assert run(params(aws))["changed"] is False
