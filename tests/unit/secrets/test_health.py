"""Every question has an answer that is ok, one that is a finding, and one that is unknown; unknown is never ok."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.daily_emr.ops.plugins.module_utils._errors import CallFailed, CallUnknown
from ansible_collections.daily_emr.ops.plugins.module_utils._secrets_findings import (
    CHECKS,
    Book,
    Known,
    healthy,
    judge_aws,
    judge_held,
    judge_recipients,
    moment,
    sentence,
)
from ansible_collections.daily_emr.ops.plugins.module_utils._secrets_options import ENTRY_SPEC
from ansible_collections.daily_emr.ops.plugins.module_utils._web_service_changes import iso, parse_utc
from ansible_collections.daily_emr.ops.plugins.modules.secrets_health import may_read
from botocore.stub import Stubber

Json = dict[str, Any]

NOW = "2026-11-30T06:00:00.000Z"
OURS = "123456789012"
STORE = {"prefix": "daily-emr/staging", "copy_region": "eu-west-1", "strangers": ["diagnose"], "account_id": OURS}


def ago(**span: float) -> str:
    return str(iso(parse_utc(NOW) - timedelta(**span)))


def entry(**given: Any) -> Json:
    checked = ArgumentSpecValidator(ENTRY_SPEC).validate({"name": "MFL_API_KEY", "readers": ["web"], **given})
    assert not checked.error_messages
    return dict(checked.validated_parameters)


def secret(**given: Any) -> Json:
    return {
        "arn": "arn:aws:secretsmanager:af-south-1:123456789012:secret:x",
        "kms_key": "arn:aws:kms:af-south-1:123456789012:key/1",
        "deleted": False,
        "rotates": False,
        "rotation_days": None,
        "replicas": {"eu-west-1": "InSync"},
        **given,
    }


def known(**given: Any) -> Known:
    versions = {"AWSCURRENT": {"id": "v2", "at": ago(days=30)}, "AWSPREVIOUS": {"id": "v1", "at": ago(days=60)}}
    about: Json = {"secret": secret(), "versions": versions, "allowed": {"web": True, "diagnose": False}}
    return Known(**{**about, **given})


def look(known_: Known, entry_: Json | None = None, checks: tuple[str, ...] = CHECKS) -> dict[str, tuple[str, str]]:
    book = Book(NOW)
    judge_aws(book, entry_ or entry(), STORE, known_, set(checks))
    return {item["name"]: (item["status"], item["seen"]) for item in book.observations}


def test_a_sound_secret_is_ok_in_every_question() -> None:
    seen = look(known())

    assert {name: status for name, (status, _seen) in seen.items()} == dict.fromkeys(
        [check for check in CHECKS if check != "recipients"], "ok"
    )


def pending(age_days: float, current_days: float = 30) -> Json:
    return {
        "AWSCURRENT": {"id": "v2", "at": ago(days=current_days)},
        "AWSPENDING": {"id": "v3", "at": ago(days=age_days)},
    }


def allow(principal: Any) -> str:
    return json.dumps(
        {"Statement": {"Effect": "Allow", "Principal": principal, "Action": "secretsmanager:GetSecretValue"}}
    )


FINDINGS = [
    ("present", known(secret=None), {}, "it does not exist"),
    ("present", known(secret=secret(deleted=True)), {}, "scheduled for deletion"),
    ("value", known(versions={}), {}, "it has no value yet"),
    ("encrypted", known(secret=secret(kms_key="")), {}, "by the key of AWS"),
    ("encrypted", known(secret=secret(kms_key="arn:aws:kms:x:1:alias/aws/secretsmanager")), {}, "by the key of AWS"),
    ("shape", known(shape="is not JSON"), {}, "its value is not JSON"),
    ("age", known(versions={"AWSCURRENT": {"id": "v", "at": ago(days=91)}}), {}, "its value is 91 days old"),
    ("age", known(), {"max_age_days": 29}, "its value is 30 days old"),
    ("rotation", known(versions=pending(8)), {}, "a new value waits since 8 days"),
    ("rotation", known(versions=pending(3, current_days=2)), {}, "a new value waits"),
    ("rotation", known(secret=secret(rotates=True)), {}, "the inventory says that we do"),
    ("rotation", known(), {"rotated_by_aws": True}, "AWS does not rotate it"),
    ("rotation", known(secret=secret(rotates=True, rotation_days=99)), {"rotated_by_aws": True}, "every 99 days only"),
    ("replica", known(secret=secret(replicas={})), {}, "it has no replica in eu-west-1"),
    ("replica", known(secret=secret(replicas={"eu-west-1": "Failed"})), {}, "is Failed"),
    ("replica", known(secret=secret(replicas={"eu-west-1": "InProgress"})), {}, "is InProgress"),
    ("policy", known(policy=allow("*")), {}, "lets in everybody"),
    ("policy", known(policy=allow({"AWS": ["arn:aws:iam::999999999999:root"]})), {}, "999999999999"),
    ("policy", known(policy=allow(OURS).replace("Principal", "NotPrincipal")), {}, "everybody but some"),
    ("readers", known(allowed={"web": False, "diagnose": False}), {}, "web cannot read it"),
    ("readers", known(allowed={"web": True, "diagnose": True}), {}, "diagnose can read it"),
    ("readers", known(allowed={"web": CallFailed("x"), "diagnose": True}), {}, "diagnose can read it"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "known_", "more", "said"), FINDINGS)
def test_a_finding_is_found(name: str, known_: Known, more: Json, said: str) -> None:
    status, seen = look(known_, entry(**more))[name]

    assert status == "finding"
    assert said in seen


UNKNOWNS = [
    ("present", known(secret=CallUnknown("no answer."))),
    ("replica", known(secret=CallFailed("not allowed."))),
    ("age", known(versions=CallUnknown("no answer."))),
    ("shape", known(shape=CallFailed("not allowed."))),
    ("policy", known(policy=CallUnknown("no answer."))),
    ("policy", known(policy="no policy")),
    ("readers", known(allowed={"web": CallFailed("no such role."), "diagnose": False})),
]


@pytest.mark.parametrize(("name", "known_"), UNKNOWNS)
def test_what_was_not_read_is_unknown_and_never_ok(name: str, known_: Known) -> None:
    book = Book(NOW)
    judge_aws(book, entry(), STORE, known_, {name})

    assert [item["status"] for item in book.observations] == ["unknown"]
    assert healthy(book.observations) is None
    assert "(unknown)" in sentence(book.observations)


def test_nothing_asked_is_not_healthy() -> None:
    assert healthy([]) is None


def test_who_may_read_is_unknown_where_nobody_is_named() -> None:
    book = Book(NOW)
    judge_aws(book, entry(readers=[]), {**STORE, "strangers": []}, known(), {"readers"})

    assert book.observations[0]["status"] == "unknown"


def test_a_value_that_just_waits_to_be_promoted_is_no_finding() -> None:
    assert look(known(versions=pending(1)))["rotation"][0] == "ok"


def test_a_policy_of_our_own_account_is_ok() -> None:
    for ours in (OURS, f"arn:aws:iam::{OURS}:role/daily-emr-staging-web-execution"):
        assert look(known(policy=allow({"AWS": ours})))["policy"][0] == "ok"


def test_vault_and_sops_are_judged_alike() -> None:
    book = Book(NOW)
    judge_held(book, entry(name="A"), "", "2026-11-01T08:00:00.123456789Z", "Vault: read", set(CHECKS))
    judge_held(book, entry(name="B"), "is empty", "", "Vault: read", set(CHECKS))
    judge_held(book, entry(name="C"), CallFailed("C is not in Vault."), "", "Vault: read", set(CHECKS))
    judge_held(book, entry(name="D"), CallFailed("Vault is sealed."), "", "Vault: read", set(CHECKS))
    judge_recipients(book, "file", ["age1a", "age1a", "age1b"])
    judge_recipients(book, "file", ["age1a", "age1b", "age1c"])

    seen = [(item["subject"], item["name"], item["status"]) for item in book.observations]
    assert seen == [
        ("A", "present", "ok"), ("A", "shape", "ok"), ("A", "age", "ok"),
        ("B", "present", "ok"), ("B", "shape", "finding"), ("B", "age", "unknown"),
        ("C", "present", "finding"), ("D", "present", "unknown"),
        ("file", "recipients", "finding"), ("file", "recipients", "ok"),
    ]  # fmt: skip


def test_dates_of_every_store_are_read() -> None:
    for text in ("2026-11-01T08:00:00.123456789Z", "2026-11-01T08:00:00Z", "2026-11-01T08:00:00.123Z"):
        assert moment(text).isoformat().startswith("2026-11-01T08:00:00")


@pytest.mark.parametrize(("decision", "allowed"), [("allowed", True), ("implicitDeny", False), ("explicitDeny", False)])
def test_iam_is_asked_whether_a_role_may_read(decision: str, allowed: bool) -> None:
    arn = f"arn:aws:secretsmanager:af-south-1:{OURS}:secret:daily-emr/staging/MFL_API_KEY-AbCdEf"
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    iam = botocore.session.get_session().create_client("iam", region_name="af-south-1", **keys)
    asked = {
        "PolicySourceArn": f"arn:aws:iam::{OURS}:role/web",
        "ActionNames": ["secretsmanager:GetSecretValue"],
        "ResourceArns": [arn],
    }
    answer = {"EvaluationResults": [{"EvalActionName": "secretsmanager:GetSecretValue", "EvalDecision": decision}]}
    clients: Any = SimpleNamespace(environment=SimpleNamespace(account_id=OURS), read={"iam": iam}.__getitem__)
    with Stubber(iam) as stub:
        stub.add_response("simulate_principal_policy", answer, asked)
        assert may_read(clients, arn, "web") is allowed
