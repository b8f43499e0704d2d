"""Policies come from the sources of the modules, with bounds that hold whatever is declared."""

from __future__ import annotations

import importlib
import inspect
import json

import pytest
import yaml
from ansible_collections.daily_emr.ops.plugins.module_utils._approvals import PREFIX
from ansible_collections.daily_emr.ops.plugins.module_utils._changes import Change
from ansible_collections.daily_emr.ops.plugins.module_utils._scope import needs_of
from daily_emr_sandbox.aws.session_policies import decided

from daily_emr_runbooks.calls import PLUGINS
from daily_emr_runbooks.permissions import (
    DENIED,
    EPHEMERAL,
    LOGIN,
    METRIC,
    NAMED,
    READ,
    UNBOUND,
    action,
    bounds,
    jobs,
    modules_behind,
    runbooks,
)
from tests.unit.environments.conftest import ROOT, allowed, names

OURS = {"aws:ResourceTag/app": "daily-emr", "aws:ResourceTag/Environment": "staging"}
AUDIT = "arn:aws:s3:::daily-emr-staging-audit-123456789012"
# Their names begin as READ says, and they read; one of them as a user of the database.
LOGINS = {"rds-db:connect", "elasticache:Connect"}


def equals(statement: dict) -> dict:
    return statement.get("Condition", {}).get("StringEquals", {})


@pytest.mark.parametrize("name", ["diagnose", "readiness", "approver", "bootstrap-read"])
def test_who_looks_changes_nothing_and_reads_no_secret(made, name):
    for statement in allowed(made[name]):
        if ":table/" in str(statement["Resource"]) and name == "approver":
            continue
        for one in set(statement["Action"]) - LOGINS - {"kms:Decrypt"}:
            assert READ.match(one.partition(":")[2]), one
            assert one != "secretsmanager:GetSecretValue"


def test_who_diagnoses_reads_no_object(made):
    assert "s3:GetObject" not in names(made["diagnose"])


def test_readiness_reads_objects_of_our_own_buckets_alone(filled):
    found = [one for one in allowed(filled["readiness"]) if "s3:GetObject" in one["Action"]]
    assert [one["Resource"] for one in found] == [["arn:aws:s3:::daily-emr-staging-*"]]


def test_each_runbook_and_each_other_playbook_has_a_policy_of_its_own(made):
    assert {name for name in made if name.startswith("act-")} == {f"act-{name}" for name in runbooks(ROOT)}
    assert {name for name in made if name.startswith("job-")} == {f"job-{name}" for name in jobs(ROOT)}
    assert {"backup", "restore_check", "secrets"} <= set(jobs(ROOT))


def test_a_write_is_bounded_by_the_tags_of_the_environment_wherever_there_are_some(filled):
    for name, document in filled.items():
        if not name.startswith(("act-", "job-")):
            continue
        for statement in allowed(document):
            for one in statement["Action"]:
                if (READ.match(one.partition(":")[2]) and one != "secretsmanager:GetSecretValue") or one in LOGINS:
                    continue
                if one in METRIC:
                    assert METRIC[one].items() <= equals(statement).items()
                elif one == "sts:AssumeRole":
                    role = "act" if name.startswith("act-") else name.removeprefix("job-").replace("_", "-")
                    assert statement["Resource"] == [
                        f"arn:aws:iam::123456789012:role/daily-emr-staging-runbook-{role}"
                    ], "a role narrows itself, and becomes no other"
                elif one in NAMED or one.startswith(("s3:", "dynamodb:")):
                    assert all("daily-emr" in arn or one.startswith("application-") for arn in statement["Resource"])
                else:
                    assert bounds(one).tags, one
                    assert OURS.items() <= equals(statement).items(), (name, one)


def test_every_statement_knows_its_account_or_its_region(filled):
    for name, document in filled.items():
        for statement in allowed(document):
            arns = statement["Resource"]
            if arns == "*":
                services = {one.partition(":")[0] for one in statement["Action"]}
                is_global = services <= {"account", "cloudfront", "iam", "organizations", "route53", "sts"}
                assert is_global or "aws:RequestedRegion" in equals(statement), (name, statement["Action"])
            else:
                named = ("arn:aws:s3:::daily-emr-", "arn:aws:route53:::hostedzone/Z1", "arn:aws:route53:::healthcheck/")
                assert all(":123456789012:" in arn or arn.startswith(named) for arn in arns)


def test_bootstrap_makes_secrets_under_a_lease_in_the_table_of_the_runbooks_and_writes_items_nowhere_else(filled):
    items = {f"dynamodb:{name}" for name in ("ConditionCheckItem", "GetItem", "PutItem", "Query", "UpdateItem")}
    building = [one for name in filled if name.startswith("bootstrap-") for one in allowed(filled[name])]
    (statement,) = [one for one in building if items & set(one["Action"])]
    assert set(statement["Action"]) == items
    assert statement["Resource"] == [
        f"arn:aws:dynamodb:{region}:123456789012:table/daily-emr-staging-runbooks"
        for region in ("af-south-1", "eu-west-1")
    ]


def test_bootstrap_touches_nothing_of_another_environment(filled):
    lent = (["iam:PassRole"], ["iam:CreateServiceLinkedRole"])
    for name in filled:
        if name.startswith("bootstrap-write"):
            for statement in allowed(filled[name]):
                if statement["Action"] in lent or "dynamodb:GetItem" in statement["Action"]:
                    continue
                if all(arn.startswith(AUDIT) for arn in statement["Resource"]):
                    continue  # the head of the journal of a secret that it makes
                if {"kms:Decrypt", "kms:CreateGrant"} & set(statement["Action"]):
                    assert OURS.items() <= equals(statement).items()
                    assert "kms:ViaService" in equals(statement)
                else:
                    assert statement["Condition"]["StringEqualsIfExists"] == {
                        "aws:RequestTag/Environment": "staging",
                        "aws:ResourceTag/Environment": "staging",
                    }


def test_bootstrap_reads_the_values_that_it_hands_on_and_no_others(filled):
    found = [one for name in filled if name.startswith("bootstrap-") for one in allowed(filled[name])]
    read = [one["Resource"] for one in found if "secretsmanager:GetSecretValue" in one["Action"]]
    assert read == [
        [
            f"arn:aws:secretsmanager:af-south-1:123456789012:secret:daily-emr/staging/{name}-*"
            for name in ("ORIGIN_HEADER", "QUEUE_PASSWORD", "SESSION_PASSWORD")
        ]
    ]


def test_bootstrap_hands_its_roles_to_the_services_that_they_trust_and_to_nobody_else(filled):
    (statement,) = [one for one in allowed(filled["bootstrap-write-1"]) if "iam:PassRole" in one["Action"]]
    assert statement["Resource"] == ["arn:aws:iam::123456789012:role/daily-emr-staging-*"]
    assert {"ecs-tasks.amazonaws.com", "s3.amazonaws.com"} <= set(equals(statement)["iam:PassedToService"])


def test_a_grant_on_our_key_is_given_to_services_of_aws_alone(filled):
    found = [
        one for name in filled if name.startswith("bootstrap-") for one in allowed(filled[name])
        if "kms:CreateGrant" in one["Action"]
    ]  # fmt: skip
    (statement,) = found
    assert statement["Condition"]["Bool"] == {"kms:GrantIsForAWSResource": "true"}
    assert {"rds.af-south-1.amazonaws.com", "rds.eu-west-1.amazonaws.com"} <= set(equals(statement)["kms:ViaService"])


def test_teardown_may_remove_only_what_an_ephemeral_environment_has(filled):
    for statement in allowed(filled["teardown"]):
        for one in statement["Action"]:
            if READ.match(one.partition(":")[2]) or one in UNBOUND:
                continue
            if one.startswith("s3:"):
                assert all(arn.split("-")[2] in EPHEMERAL for arn in statement["Resource"])
            else:
                assert equals(statement)["aws:ResourceTag/Environment"] == list(EPHEMERAL), one
    assert "rds:DeleteDBInstance" in names(filled["teardown"])


def test_only_the_runbook_that_fails_over_may(made):
    assert [name for name, document in made.items() if "rds:RebootDBInstance" in names(document)] == [
        "act-database_failover"
    ]


def test_a_runbook_has_no_write_that_only_a_neighbour_needs(made):
    assert sorted(name for name in made if name.startswith("act-") and "wafv2:UpdateWebACL" in names(made[name])) == [
        "act-app_outage",
        "act-error_spike",
    ]


def test_every_policy_denies_what_nobody_may(made):
    for name, document in made.items():
        (denied,) = [one for one in document["Statement"] if one["Effect"] == "Deny" and one["Resource"] == "*"]
        assert "Condition" not in denied
        missing = set(DENIED) - set(denied["Action"])
        assert missing == (set() if name != "teardown" else names(document) & set(DENIED)), name
        assert not names(document) & set(denied["Action"]), name


def test_no_policy_has_a_wildcard_in_an_action(made):
    assert [one for document in made.values() for one in names(document) if "*" in one] == []


def test_every_policy_fits_what_iam_takes(filled):
    sizes = {name: len(json.dumps(document, separators=(",", ":"))) for name, document in filled.items()}
    assert {name: size for name, size in sizes.items() if size >= 6144} == {}
    # AWS attaches ten to a role, and one is that of who diagnoses.
    assert len(runbooks(ROOT)) < 10


def test_a_call_whose_action_has_another_name_is_translated():
    assert action("elbv2", "ModifyListener") == ["elasticloadbalancing:ModifyListener"]
    assert action("s3", "HeadBucket") == ["s3:ListBucket"]
    with pytest.raises(ValueError, match="s3:HeadNothing is no action of IAM"):
        bounds("s3:HeadNothing")


@pytest.mark.parametrize("environment", ["development", "staging", "production"])
def test_runbooks_log_in_as_the_user_that_the_policies_name(filled, environment):
    found = yaml.safe_load((ROOT / f"inventories/{environment}/group_vars/all/environment.yml").read_text())
    assert (found["emr_database_login"]["user"], found["emr_queue_login"]["user"]) == (
        LOGIN,
        "{{ emr_prefix }}-runbook",
    )
    (login,) = [one for one in allowed(filled["diagnose"]) if "elasticache:Connect" in one["Action"]]
    assert "arn:aws:elasticache:af-south-1:123456789012:user:daily-emr-staging-runbook" in login["Resource"]


def test_backups_log_in_as_the_user_that_only_reads(filled):
    user = yaml.safe_load((ROOT / "roles/backup/defaults/main.yml").read_text())["backup_user"]
    (login,) = [one for one in allowed(filled["job-backup"]) if "rds-db:connect" in one["Action"]]
    assert login["Resource"] == [
        f"arn:aws:rds-db:{region}:123456789012:dbuser:*/{user}" for region in ("af-south-1", "eu-west-1")
    ]


def test_only_the_failover_of_a_region_promotes_and_it_acts_in_the_second_region_alone(filled):
    may = [name for name, document in filled.items() if "rds:PromoteReadReplica" in names(document)]
    assert may == ["job-region_failover"]
    for statement in allowed(filled[may[0]]):
        if not all(READ.match(one.partition(":")[2]) or one in LOGINS for one in statement["Action"]):
            if statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]:
                continue  # the head of its journal is kept in the first region, as long as that answers
            assert "af-south-1" not in json.dumps(statement), statement


def test_who_acts_adds_heads_of_journals_and_who_audits_reads_them_and_nothing_else_of_that_bucket(filled):
    heads = f"{AUDIT}/heads/*"
    adds = {name for name, document in filled.items() for one in allowed(document) if one["Resource"] == [heads]}
    acting = {name for name in filled if name.startswith("act-")}
    assert acting | {"job-undo", "job-audit", "job-region_failover"} <= adds
    assert adds.isdisjoint({"approver", "diagnose", "readiness", "job-stop", "teardown"})
    for name in sorted(acting | {"job-undo"}):
        objects = [one for one in allowed(filled[name]) if any("Object" in action for action in one["Action"])]
        put = {"Effect": "Allow", "Action": ["s3:PutObject", "s3:PutObjectRetention"], "Resource": [heads]}
        look = {"Effect": "Allow", "Action": ["s3:GetBucketObjectLockConfiguration"], "Resource": [AUDIT]}
        assert [one for one in objects if "s3:" in str(one["Action"])] == [put, look]
    reads = [one for one in allowed(filled["job-audit"]) if "s3:" in str(one["Action"])]
    lists = {"Action": ["s3:ListBucketVersions"], "Resource": [AUDIT]}
    assert reads == [
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectVersion"], "Resource": [heads]},
        {"Effect": "Allow", **lists, "Condition": {"StringLike": {"s3:prefix": "heads/*"}}},
    ]


def test_a_metric_moves_the_traffic_so_only_its_namespace_may_be_written(filled):
    (statement,) = [
        one for one in allowed(filled["job-region_failover"]) if "cloudwatch:PutMetricData" in one["Action"]
    ]
    assert statement["Condition"]["StringEquals"]["cloudwatch:namespace"] == "DailyEMR/Region"


def test_who_acts_is_denied_to_write_approvals_and_who_approves_writes_nothing_else(filled):
    keys = [f"{PREFIX}*"]
    (denied,) = [
        one
        for one in filled["job-region_failover"]["Statement"]
        if "dynamodb:LeadingKeys" in str(one) and one["Effect"] == "Deny"
    ]
    assert denied["Condition"] == {"ForAnyValue:StringLike": {"dynamodb:LeadingKeys": keys}}
    assert {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"} <= set(denied["Action"])
    (may,) = [one for one in allowed(filled["approver"]) if "dynamodb:PutItem" in one["Action"]]
    assert may["Condition"]["ForAllValues:StringLike"] == {"dynamodb:LeadingKeys": keys}
    # Without it, a request that names no key would match every one of its keys.
    assert may["Condition"]["Null"] == {"dynamodb:LeadingKeys": "false"}
    (denied_here,) = [
        one
        for one in filled["act-app_outage"]["Statement"]
        if "dynamodb:LeadingKeys" in str(one) and one["Effect"] == "Deny"
    ]
    assert denied_here["Condition"] == denied["Condition"]
    assert sorted([*denied["Resource"], *denied_here["Resource"]]) == sorted(may["Resource"])


def runs_with_a_plan() -> dict[str, set[str]]:
    """Policy -> the modules of its role, for the roles whose runs make a plan."""
    return {
        policy: modules
        for policy, modules in modules_behind(ROOT).items()
        if "plan_contract" in modules and policy.startswith(("act-", "job-"))
    }


def changes_in(module: str) -> list[type[Change]]:
    if not (ROOT / PLUGINS / "modules" / f"{module}.py").is_file():
        return []
    found = importlib.import_module(f"ansible_collections.daily_emr.ops.plugins.modules.{module}")
    kinds = (one for one in vars(found).values() if inspect.isclass(one) and issubclass(one, Change))
    return [one for one in kinds if one.__module__ == found.__name__]


def test_a_change_says_which_calls_its_source_makes(sources):
    """What a plan is looked at for before its first change is what the changes then send: no more and no less."""
    modules = {module for some in runs_with_a_plan().values() for module in some}
    said = {(module, kind): set(kind.sends) for module in modules for kind in changes_in(module)}
    assert len([1 for sends in said.values() if sends]) > 20
    for (module, kind), sends in said.items():
        # Those to the table of the runbooks are the bookkeeping of every change.
        made = {site.call for site in sources.calls(module) if site.gate == "write" and site.service != "dynamodb"}
        assert sends == made, f"{kind.__name__} of {module}"


def something_of(name: str, region: str) -> list[str]:
    """ARNs of something that an action is about, named as that of staging is."""
    kinds = NAMED[name] if name in NAMED else [f"{service}:thing/x" for service in bounds(name).services]
    texts = (kind.replace("{{ runbook_support_prefix }}", "daily-emr-staging") for kind in kinds)
    places = (text.replace("{{ runbook_support_environment }}", "staging").partition(":") for text in texts)
    return [f"arn:aws:{service}:{region}:123456789012:{rest}" for service, _, rest in places]


def test_the_look_ahead_of_each_role_finds_all_that_its_policies_give(filled):
    """The policies, and what a run asks of IAM before its first change, come from the same map."""
    for policy, modules in runs_with_a_plan().items():
        region = "eu-west-1" if policy == "job-region_failover" else "af-south-1"
        for call in {call for module in modules for kind in changes_in(module) for call in kind.sends}:
            (first, *_keys) = needs_of(*call.split(":"), [], region, "123456789012")
            known = {key: [value] for key, value in {**OURS, **first.request}.items()}
            for name in first.actions:
                for arn in something_of(name, region):
                    assert decided([filled[policy]], name, arn, known) == ("allowed", set()), (policy, name, arn)


def test_a_run_asks_what_its_own_role_may_do_and_of_no_other(filled):
    for policy in runs_with_a_plan():
        (statement,) = [one for one in allowed(filled[policy]) if "iam:SimulatePrincipalPolicy" in one["Action"]]
        (role,) = statement["Resource"]
        assert role.startswith("arn:aws:iam::123456789012:role/daily-emr-staging-runbook-")
        assert "*" not in role
