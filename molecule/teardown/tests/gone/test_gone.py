"""An environment that was built is taken down but for its keys and the role that does it, and nothing else goes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
from daily_emr_sandbox.account import REMOVER, calls

STATE = Path(os.environ["DAILY_EMR_SANDBOX"])
ROOT = Path(__file__).resolve().parents[4]
INVENTORIES = ("inventories/development", "molecule/teardown/inventory")
TAGS = {"app": "daily-emr", "Environment": "sandbox", "managed_by": "daily-emr-bootstrap"}
ROLE, POLICY = "daily-emr-sandbox-teardown", "daily-emr-sandbox-runbook-teardown"
STRANGER = "daily-emr-sandbox-by-hand"


def teardown(*arguments: str) -> str:
    given = [part for name in INVENTORIES for part in ("-i", name)]
    done = subprocess.run(
        ["ansible-playbook", *given, "playbooks/teardown.yml", "-e", "teardown_confirm=sandbox", *arguments],
        cwd=ROOT, env={**os.environ, "DAILY_EMR_SANDBOX": str(STATE / REMOVER)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def aws() -> Any:
    facts = json.loads((STATE / "sandbox.json").read_text())
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = facts["credentials_file"]
    session = boto3.session.Session(region_name=facts["region"])
    return lambda service, region=None: session.client(service, region, endpoint_url=facts["endpoint_url"])


def tagged(aws: Any) -> set[str]:
    """ARNs of what carries the tags, in both regions and in IAM."""
    found = set()
    filters = [{"Key": key, "Values": [value]} for key, value in TAGS.items()]
    for region in ("af-south-1", "eu-west-1"):
        pager = aws("resourcegroupstaggingapi", region).get_paginator("get_resources")
        for page in pager.paginate(TagFilters=filters):
            found |= {one["ResourceARN"] for one in page["ResourceTagMappingList"]}
    iam = aws("iam")
    for page in iam.get_paginator("list_roles").paginate():
        found |= {role["Arn"] for role in page["Roles"] if iam.list_role_tags(RoleName=role["RoleName"])["Tags"]}
    for page in iam.get_paginator("list_policies").paginate(Scope="Local"):
        found |= {one["Arn"] for one in page["Policies"] if iam.list_policy_tags(PolicyArn=one["Arn"])["Tags"]}
    return found


@pytest.fixture(scope="module")
def story(aws: Any) -> dict[str, Any]:
    aws("sns").create_topic(Name=STRANGER)
    aws("iam").create_role(RoleName=STRANGER, AssumeRolePolicyDocument="{}")
    made = tagged(aws)
    since = calls(STATE)[-1]["seq"]
    teardown("--check")
    planned = [call["operation"] for call in calls(STATE, since) if call["mutating"]]
    printed = teardown()
    return {"made": made, "planned": planned, "printed": printed, "left": tagged(aws)}


def test_there_was_something_to_take_down(story):
    services = {arn.split(":")[2] for arn in story["made"]}
    assert {"ec2", "ecr", "ecs", "elasticache", "iam", "kms", "rds", "s3", "ses", "synthetics", "wafv2"} <= services


def test_a_plan_removes_nothing(story):
    assert story["planned"] == []


def test_nothing_with_the_tags_is_left_but_the_keys_and_the_role_that_this_is_done_in(story):
    left = {arn for arn in story["left"] if ":kms:" not in arn}
    ours = {f"arn:aws:iam::123456789012:{kind}" for kind in (f"role/{ROLE}", f"policy/{POLICY}")}
    assert left == ours
    assert left < story["left"]
    assert all(arn in story["printed"] for arn in story["left"])


@pytest.mark.usefixtures("story")
def test_addresses_of_nat_and_the_sender_of_mail_are_gone(aws):
    assert aws("ec2").describe_addresses()["Addresses"] == []
    for region in ("af-south-1", "eu-west-1"):
        assert aws("sesv2", region).list_email_identities()["EmailIdentities"] == []


@pytest.mark.usefixtures("story")
def test_what_carries_no_tags_stays(aws):
    assert [one["TopicArn"].rpartition(":")[2] for one in aws("sns").list_topics()["Topics"]] == [STRANGER]
    assert STRANGER in {role["RoleName"] for role in aws("iam").list_roles()["Roles"]}


@pytest.mark.usefixtures("story")
def test_a_second_run_finds_nothing_more():
    since = calls(STATE)[-1]["seq"]
    teardown()
    assert [call["operation"] for call in calls(STATE, since) if call["mutating"]] == []
