"""What a teardown refuses before it calls anybody, and what it takes for its own."""

from __future__ import annotations

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._calls import as_call_error
from ansible_collections.daily_emr.ops.plugins.module_utils._teardown import is_gone, plan, teardown_refusals
from botocore.exceptions import ClientError

ARN = "arn:aws:{}:af-south-1:123456789012:{}"


@pytest.mark.parametrize("name", ["staging", "production", "Production", ""])
def test_only_an_ephemeral_environment_is_taken_down_whatever_is_confirmed(name: str):
    assert any("never taken down" in reason for reason in teardown_refusals(name, name))


def test_the_name_must_be_typed():
    assert teardown_refusals("development", "sandbox") == [
        "teardown_confirm is not the name of the environment of this inventory, development: nothing was removed."
    ]
    assert teardown_refusals("development", "development") == []


def test_the_outermost_goes_first():
    arns = [ARN.format("ec2", "vpc/vpc-1"), ARN.format("ec2", "subnet/subnet-1"), ARN.format("ecs", "service/a/b")]
    steps, left = plan(arns)
    assert [removal.operation for removal, _arn, _found in steps] == ["DeleteService", "DeleteSubnet", "DeleteVpc"]
    assert left == []


def test_keys_and_snapshots_of_people_are_left_and_named():
    steps, left = plan([ARN.format("kms", "key/1"), ARN.format("rds", "snapshot:before-the-weekend")])
    assert steps == []
    assert "a key is never deleted by a program" in left[0]
    assert "a person" in left[1]


def test_what_goes_with_its_owner_is_neither_removed_nor_left():
    arns = [ARN.format("rds", "snapshot:rds:db-2026-11-30"), ARN.format("elasticache", "cluster:queues-001")]
    assert plan(arns) == ([], [])


def test_a_role_goes_before_its_policy():
    steps, left = plan(["arn:aws:iam::123456789012:policy/p", "arn:aws:iam::123456789012:role/r"])
    assert [removal.operation for removal, _arn, _found in steps] == ["DeleteRole", "DeletePolicy"]
    assert left == []


def test_a_kind_that_nobody_knows_is_left_and_named():
    assert "not removed by a program" in plan([ARN.format("backup", "backup-vault:x")])[1][0]


@pytest.mark.parametrize(
    ("operation", "code", "gone"),
    [
        ("DeleteSecurityGroup", "InvalidGroup.NotFound", True),
        ("DescribeSecurityGroups", "InvalidGroup.NotFound", True),
        ("DeleteSecurityGroup", "DependencyViolation", False),
        ("RevokeSecurityGroupIngress", "InvalidPermission.NotFound", False),
        ("RevokeSecurityGroupIngress", "InvalidGroup.NotFound", False),
    ],
)
def test_a_write_that_goes_before_says_nothing_about_what_is_removed(operation: str, code: str, gone: bool):
    (removal, _arn, _found), *_ = plan([ARN.format("ec2", "security-group/sg-1")])[0]
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    # As `calling` lets it out, from which the code and the operation have to be found again.
    error = as_call_error(cause := ClientError(answer, operation))
    error.__cause__ = cause
    assert is_gone(removal, error) is gone
