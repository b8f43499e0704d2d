"""What two linters of policies say about the generated ones: nothing."""

from __future__ import annotations

import json
import warnings

from moto.iam.policy_validation import IAMPolicyDocumentValidator
from policy_sentry.analysis.analyze import analyze_by_access_level
from policy_sentry.querying.actions import get_action_data

from tests.unit.environments.conftest import names

with warnings.catch_warnings():
    # It reads its own data by pkg_resources, which says at each import that its days are over.
    warnings.simplefilter("ignore", UserWarning)
    import parliament

# By the tables of AWS a log-in manages permissions, a query of logs writes, and so does what decrypts.
LOGINS = {"rds-db:connect", "elasticache:Connect"}


def mismatch(action: str, wanted: str) -> tuple[str, str]:
    return "RESOURCE_MISMATCH", str({"action": action, "required_format": wanted})


WRONG = {
    ("UNKNOWN_ACTION", "Unknown action ecs:StopServiceDeployment"): "Younger than the tables of parliament 1.6.",
    mismatch(
        "servicequotas:GetServiceQuota", "*"
    ): "A quota is a resource by the tables of AWS, and was none when those of parliament 1.6 were made.",
    mismatch(
        "ses:CreateEmailIdentity", "*"
    ): "An identity is a resource by the tables of AWS, and was none when those of parliament 1.6 were made.",
    (
        "RESOURCE_STAR",
        "['cloudfront:CreateDistribution']",
    ): "What is not made yet is no resource by the newer tables of AWS.",
    **{
        mismatch(name, f"arn:*:opensearch:*:*:{kind}/*"): "They have tags as well; those of a domain are meant."
        for name in ("es:AddTags",)
        for kind in ("application", "datasource")
    },
    **{
        (
            "RESOURCE_POLICY_PRIVILEGE_ESCALATION",
            "Possible resource policy privilege escalation on arn:aws:s3:::daily-emr-staging-* "
            f"due to {action} not being allowed, but does allow s3:PutBucketPolicy",
        ): "Who builds the buckets writes their policies; bootstrap asks for the second factor, and the trail has it."
        for action in ("s3:PutObject", "s3:GetObject", "s3:DeleteObject")
    },
}
"""Findings that are wrong, or a thing that is wanted, with the reason."""


def findings(document: dict) -> set[tuple[str, str]]:
    """One for each action: which actions share a policy changes with their number."""
    found = parliament.analyze_policy_string(json.dumps(document)).findings
    return {
        (one.issue, str(part))
        for one in found
        for part in (one.detail if one.issue == "RESOURCE_MISMATCH" else [one.detail])
    }


def test_parliament_finds_nothing_else(filled):
    found = {name: findings(document) for name, document in filled.items()}
    assert {name: some - WRONG.keys() for name, some in found.items() if some - WRONG.keys()} == {}


def test_each_finding_that_is_excused_is_still_found(filled):
    assert WRONG.keys() == {one for document in filled.values() for one in findings(document)} & WRONG.keys()


def test_parliament_would_find_a_statement_without_bounds():
    star = {"Effect": "Allow", "Action": ["ecs:UpdateService"], "Resource": "*"}
    assert {issue for issue, _detail in findings({"Version": "2012-10-17", "Statement": [star]})} == {"RESOURCE_STAR"}


def test_iam_takes_every_policy(filled):
    """By the rules that the emulator has of IAM; AWS refuses such a policy only when bootstrap has built the rest."""
    for document in filled.values():
        IAMPolicyDocumentValidator(json.dumps(document)).validate()


def test_policy_sentry_knows_every_action(filled):
    assert [
        one for document in filled.values() for one in names(document) if not get_action_data(*one.split(":"))
    ] == []


def test_nobody_but_who_builds_manages_permissions(filled):
    found = {
        name: set(analyze_by_access_level(document, "Permissions management")) - LOGINS
        for name, document in filled.items()
        if not name.startswith("bootstrap-write")
    }
    # It removes the roles that bootstrap made, and gives nobody anything.
    assert {one.partition(":")[2].startswith(("Delete", "Detach")) for one in found.pop("teardown")} == {True}
    assert {name: some for name, some in found.items() if some} == {}


def test_who_looks_has_no_action_that_writes(filled):
    for name in ("diagnose", "readiness", "bootstrap-read"):
        for level in ("Write", "Tagging", "Permissions management"):
            found = set(analyze_by_access_level(filled[name], level))
            assert found - LOGINS - {"logs:StartQuery", "kms:Decrypt"} == set(), name
