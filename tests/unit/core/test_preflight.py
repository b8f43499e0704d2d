"""All that a plan needs of IAM is asked before its first change; what the role lacks is named at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._preflight import look_ahead
from ansible_collections.daily_emr.ops.plugins.module_utils._scope import session_policy
from ansible_collections.daily_emr.ops.plugins.modules import plan_contract
from botocore.exceptions import ClientError, EndpointConnectionError
from daily_emr_sandbox.aws.overlays import iam

from .conftest import ACCOUNT, REGION, ROLE, TABLE, Wire, account
from .test_changes import NAME, Limit, do, live
from .test_halts import NOBODY, House
from .test_scope import ENDS

ALL = {
    "dynamodb:ConditionCheckItem": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{TABLE}",
    "dynamodb:PutItem": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{TABLE}",
    "dynamodb:UpdateItem": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{TABLE}",
    "ssm:PutParameter": f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{NAME}",
    "sts:AssumeRole": f"arn:aws:iam::{ACCOUNT}:role/{ROLE}",
}


@pytest.fixture(autouse=True)
def world(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001  # for its effect
    iam.install(None)
    account("ssm").put_parameter(Name=NAME, Value="2", Type="String")
    monkeypatch.setattr(Limit, "sends", ("ssm:PutParameter",))
    trust = {"Version": "2012-10-17", "Statement": []}
    account("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(trust))


@pytest.fixture
def house(wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:  # noqa: ARG001  # for its effect
    return House(tmp_path, monkeypatch)


def may(*names: str, effect: str = "Allow", resource: str = "*", name: str = "act", **more: Any) -> None:
    """Give the role a policy of this name."""
    statement = {"Effect": effect, "Action": list(names), "Resource": resource, **more}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    account("iam").put_role_policy(RoleName=ROLE, PolicyName=name, PolicyDocument=document)


def sent(wire: Wire) -> list[str]:
    writes = {"PutItem", "UpdateItem", "TransactWriteItems", "PutParameter", "AssumeRole"}
    return [name for name in wire.sent if name in writes]


@pytest.mark.parametrize("removed", sorted(ALL))
def test_each_action_that_was_taken_away_is_named_before_anything_is_sent(
    house: House, wire: Wire, removed: str
) -> None:
    may(*(name for name in ALL if name != removed))
    house.looked()
    refused = house.plan(NOBODY)
    assert refused["refused"]
    assert f"may not do what the plan needs: {removed} on {ALL[removed]}. Nothing was changed" in refused["msg"]
    assert house.lease()["refused"]
    assert (sent(wire), live()) == ([], "2")


def test_all_that_is_missing_is_named_in_one_refusal(house: House, wire: Wire) -> None:
    may("ssm:GetParameter")
    house.looked()
    reasons = house.plan(NOBODY)["refusals"]
    assert len(reasons) == 1
    assert all(f"{name} on {arn}" in reasons[0] for name, arn in ALL.items())
    assert sent(wire) == []


def test_with_all_of_it_nothing_is_said_and_the_change_is_made(house: House, wire: Wire) -> None:
    may(*ALL)
    house.looked()
    assert not house.plan(NOBODY).get("warnings")
    house.lease()
    assert do(house.clients(), house.session)["outcome"] == "ok"
    assert (live(), wire.count("PutParameter")) == ("5", 1)


def test_the_control_without_the_look_ahead_the_plan_goes_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    may("ssm:GetParameter")
    house.looked()
    assert house.plan(NOBODY)["refused"]
    nothing = look_ahead(house.clients(), [])
    monkeypatch.setattr(plan_contract, "look_ahead", lambda *_given: nothing)
    assert not house.plan(NOBODY).get("failed")


def test_another_resource_than_the_planned_one_is_not_enough_and_a_denial_counts(house: House) -> None:
    may(*ALL)
    may("ssm:PutParameter", effect="Deny", resource=f"arn:aws:ssm:*:*:parameter{NAME}", name="deny")
    house.looked()
    assert f"ssm:PutParameter on {ALL['ssm:PutParameter']}" in house.plan(NOBODY)["msg"]


def test_the_tags_of_the_environment_and_its_region_are_known_and_others_are_not(house: House) -> None:
    others = (name for name in ALL if name != "ssm:PutParameter")
    may(*others)
    known = {"aws:ResourceTag/Environment": "staging", "aws:RequestedRegion": [REGION, "eu-west-1"]}
    may("ssm:PutParameter", name="tagged", Condition={"StringEquals": known})
    house.looked()
    assert not house.plan(NOBODY).get("warnings")
    may("ssm:PutParameter", name="tagged", Condition={"StringEquals": {"aws:ResourceTag/Environment": "production"}})
    assert house.plan(NOBODY)["refused"]
    may("ssm:PutParameter", name="tagged", Condition={"StringEquals": {"aws:PrincipalTag/team": "emr"}})
    told = house.plan(NOBODY)
    assert "rests on aws:PrincipalTag/team, which only the call tells" in told["warnings"][0]
    assert not told.get("failed")


def denied(_request: Any) -> None:
    reply = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    raise ClientError(reply, "SimulatePrincipalPolicy")


def unreachable(request: Any) -> None:
    raise EndpointConnectionError(endpoint_url=request.url, error=None)


@pytest.mark.parametrize(("fault", "words"), [(denied, "AccessDenied"), (unreachable, "no connection could be made")])
def test_a_simulation_that_is_denied_or_not_answered_is_not_checked_and_blocks_nothing(
    house: House, wire: Wire, fault: Any, words: str
) -> None:
    wire.faults["SimulatePrincipalPolicy"] = [fault] * 100
    house.looked()
    told = house.plan(NOBODY)
    (warning,) = told["warnings"]
    assert f"Whether role {ROLE} may do all of the plan was not checked" in warning
    assert words in warning
    house.lease()
    assert do(house.clients(), house.session)["outcome"] == "ok"


def test_a_plan_that_calls_nothing_of_aws_and_a_check_run_ask_nothing(
    house: House, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.looked()
    house.plan(NOBODY, check_mode=True)
    monkeypatch.setattr(Limit, "sends", ())
    house.looked()
    house.plan(NOBODY)
    assert wire.count("SimulatePrincipalPolicy") == 0


def test_a_step_without_a_resource_is_not_checked(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limit, "resources", lambda _self, _before: [])
    house.looked()
    assert "ssm:PutParameter names no resource" in house.plan(NOBODY)["warnings"][0]


class Scalable(Limit):
    """A call that checks two services, each about resources of its own."""

    sends: ClassVar[tuple[str, ...]] = ("application-autoscaling:RegisterScalableTarget",)

    def resources(self, before: Any) -> list[str]:
        environment = self.clients.environment
        return [
            environment.arn("ecs", "service/p/web"),
            environment.arn("application-autoscaling", "scalable-target/*"),
        ]


def test_each_service_is_asked_about_its_own_resources(house: House) -> None:
    scalable = ("application-autoscaling:RegisterScalableTarget", "ecs:DescribeServices")
    may(*ALL, *scalable)
    house.looked()
    do(house.clients(), house.session, "6", kind=Scalable, check_mode=True)
    refused = house.plan(NOBODY)["msg"]
    assert f"needs: ecs:UpdateService on arn:aws:ecs:{REGION}:{ACCOUNT}:service/p/web. Nothing" in refused


def test_what_is_asked_is_what_the_session_of_the_call_is_given(house: House, wire: Wire) -> None:
    may(*ALL)
    house.looked()
    house.plan(NOBODY)
    bodies = [str(body) for name, body in wire.bodies if name == "SimulatePrincipalPolicy"]
    given = session_policy("ssm", "PutParameter", [ALL["ssm:PutParameter"]], REGION, ACCOUNT, ENDS)
    (statement,) = json.loads(given)["Statement"]
    assert any(all(name.partition(":")[2] in body for name in statement["Action"]) for body in bodies)
