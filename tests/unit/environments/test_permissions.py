"""Policies come from the sources of the modules, with bounds that hold whatever is declared."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._approvals import PREFIX

from daily_emr_runbooks.permissions import DENIED, READ, RECOVERY, action, declared, policies, runbooks

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def made():
    return policies(ROOT)


def allowed(document: dict) -> list[dict]:
    return [statement for statement in document["Statement"] if statement["Effect"] == "Allow"]


def test_a_write_is_found_by_its_two_words_also_in_what_a_module_imports():
    _reads, writes = declared(ROOT, "database_failover")
    assert "rds:RebootDBInstance" in writes


def test_a_read_is_found_by_its_service_and_its_method():
    reads, _writes = declared(ROOT, "web_service_health")
    assert {"ecs:DescribeServices", "elasticloadbalancing:DescribeTargetHealth"} <= reads


def test_who_diagnoses_changes_nothing_and_reads_no_secret(made):
    for statement in allowed(made["diagnose"]):
        for name in statement["Action"]:
            assert READ.match(name.partition(":")[2]), name
            assert name != "secretsmanager:GetSecretValue"


def test_each_runbook_has_a_policy_of_its_own(made):
    assert {name for name in made if name.startswith("act-")} == {f"act-{name}" for name in [*runbooks(ROOT), RECOVERY]}


def test_a_runbook_acts_only_on_what_is_tagged_in_its_region_and_on_its_table(made):
    for name, document in made.items():
        if not name.startswith("act-"):
            continue
        for statement in allowed(document):
            if statement["Resource"] == "*":
                where = statement["Condition"]["StringEquals"]
                if "cloudwatch:namespace" in where:  # a metric has no tags
                    assert statement["Action"] == ["cloudwatch:PutMetricData"]
                    continue
                assert where["aws:ResourceTag/app"] == "daily-emr"
                assert "aws:RequestedRegion" in where
            elif statement["Action"] == ["secretsmanager:GetSecretValue"]:
                assert all("/DATABASE_URL-" in one for one in statement["Resource"])
            else:
                assert ":table/" in statement["Resource"]


def test_only_the_runbook_that_fails_over_may(made):
    may = [name for name, document in made.items() if "rds:RebootDBInstance" in str(allowed(document))]
    assert may == ["act-database_failover"]


def test_every_policy_denies_what_nobody_may(made):
    for name, document in made.items():
        assert document["Statement"][-1] == {"Effect": "Deny", "Action": DENIED, "Resource": "*"}, name


def test_no_policy_allows_everything_of_a_service(made):
    assert "*" not in {name[-1] for document in made.values() for one in allowed(document) for name in one["Action"]}


def test_every_policy_fits_what_iam_takes(made):
    import json

    assert max(len(json.dumps(document, separators=(",", ":"))) for document in made.values()) < 6144


def test_a_call_whose_action_has_another_name_is_translated():
    assert action("elbv2", "ModifyListener") == ["elasticloadbalancing:ModifyListener"]
    assert action("s3", "HeadBucket") == ["s3:ListBucket"]


def test_only_the_failover_of_a_region_promotes_and_only_in_the_second_region(made):
    may = [name for name, document in made.items() if "rds:PromoteReadReplica" in str(allowed(document))]
    assert may == ["act-region_failover"]
    for statement in allowed(made["act-region_failover"]):
        assert "{{ runbook_support_region }}" not in str(statement)


def test_who_acts_is_denied_to_write_approvals_and_who_approves_writes_nothing_else(made):
    keys = [f"{PREFIX}*"]
    (denied,) = [
        one for one in made["act-region_failover"]["Statement"] if "Condition" in one and one["Effect"] == "Deny"
    ]
    assert denied["Condition"] == {"ForAnyValue:StringLike": {"dynamodb:LeadingKeys": keys}}
    assert {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"} <= set(denied["Action"])
    on_table = [one for one in allowed(made["approver"]) if "dynamodb:PutItem" in one["Action"]]
    (may,) = on_table
    assert may["Condition"]["ForAllValues:StringLike"] == {"dynamodb:LeadingKeys": keys}
    # Without it, a request that names no key would match every one of its keys.
    assert may["Condition"]["Null"] == {"dynamodb:LeadingKeys": "false"}
    assert denied["Resource"] == may["Resource"]
    _reads, writes = declared(ROOT, "region_approval")
    assert "dynamodb:PutItem" in writes
