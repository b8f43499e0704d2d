"""IAM's simulation, by the policies that a role really has in the sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.aws_only import Aws, refusal, running_aws

ACCOUNT = "123456789012"
NAME = "daily-emr-sandbox-tried"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/{NAME}"
SERVICE = f"arn:aws:ecs:af-south-1:{ACCOUNT}:service/p/web"
TAG = "aws:ResourceTag/Environment"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with running_aws(tmp_path_factory.mktemp("iam")) as running:
        running.client("iam").create_role(RoleName=NAME, AssumeRolePolicyDocument="{}")
        yield running


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def simulated(aws: Aws, role: str, *actions: str, **known: str) -> dict[str, tuple[str, list[str]]]:
    """Action -> decision, and the keys that were missing."""
    entries = [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"} for key, value in known.items()
    ]
    reply = aws.client("iam").simulate_principal_policy(
        PolicySourceArn=role, ActionNames=list(actions), ResourceArns=[SERVICE], ContextEntries=entries
    )
    return {
        one["EvalActionName"]: (one["EvalDecision"], one["MissingContextValues"]) for one in reply["EvaluationResults"]
    }


def test_own_and_attached_policies_allow_and_a_denial_wins(aws: Aws) -> None:
    iam = aws.client("iam")
    own = document({"Effect": "Allow", "Action": ["ecs:Update*"], "Resource": SERVICE})
    iam.put_role_policy(RoleName=NAME, PolicyName="own", PolicyDocument=own)
    denied = {"Effect": "Deny", "Action": "ecs:StopTask", "Resource": "*"}
    attached = document({"Effect": "Allow", "Action": "ecs:StopTask", "Resource": "*"}, denied)
    made = iam.create_policy(PolicyName="attached", PolicyDocument=attached)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=NAME, PolicyArn=made)

    found = simulated(aws, ROLE, "ecs:UpdateService", "ecs:StopTask", "rds:RebootDBInstance")

    assert {name: decision for name, (decision, _) in found.items()} == {
        "ecs:UpdateService": "allowed",
        "ecs:StopTask": "explicitDeny",
        "rds:RebootDBInstance": "implicitDeny",
    }


def test_a_condition_needs_its_key_which_is_named_where_it_is_missing(aws: Aws) -> None:
    condition = {"StringEquals": {TAG: ["sandbox", "staging"]}}
    tagged = document({"Effect": "Allow", "Action": "sns:Publish", "Resource": "*", "Condition": condition})
    aws.client("iam").put_role_policy(RoleName=NAME, PolicyName="tagged", PolicyDocument=tagged)

    assert simulated(aws, ROLE, "sns:Publish")["sns:Publish"] == ("implicitDeny", [TAG])
    assert simulated(aws, ROLE, "sns:Publish", **{TAG: "sandbox"})["sns:Publish"] == ("allowed", [])
    assert simulated(aws, ROLE, "sns:Publish", **{TAG: "production"})["sns:Publish"] == ("implicitDeny", [])


def test_a_role_that_only_sessions_were_handed_out_for_may_what_they_may_and_a_strange_one_is_none(aws: Aws) -> None:
    acting = f"arn:aws:iam::{ACCOUNT}:role/daily-emr-sandbox-runbook-act"
    assert simulated(aws, acting, "ecs:UpdateService")["ecs:UpdateService"] == ("allowed", [])
    with pytest.raises(ClientError) as error:
        simulated(aws, f"{ROLE}-not", "ecs:UpdateService")
    assert refusal(error.value)[0] == "NoSuchEntity"
