"""Who may log in at the caches: users, groups, and a standing cache that begins to ask; four steps each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.daily_emr.ops.plugins.module_utils._resources_login import CacheLogin

from tests.sandbox.building import NAME, Builder, building

SECRET = "daily-emr/sandbox/QUEUE_PASSWORD"
RUNBOOK = {"user_name": f"{NAME}-runbook", "proof": "iam", "access": "on ~bull:* -@all +get"}
APPLICATION = {"user_name": "emr_application", "proof": "password", "secret": SECRET, "access": "on ~* &* +@all"}
NOBODY = {"user_name": "default", "proof": "nobody", "access": "off ~* -@all"}


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    with building(tmp_path_factory.mktemp("login")) as made:
        yield made


@pytest.fixture(scope="module")
def cache(builder: Builder) -> Any:
    return builder.aws.client("elasticache")


@pytest.fixture(scope="module")
def users(builder: Builder) -> list[str]:
    """Ids of three users, made in four steps each."""
    builder.have("secret_value", SECRET, kms_key="alias/aws/secretsmanager")
    made = {f"{NAME}-runbook": RUNBOOK, f"{NAME}-queues": APPLICATION, f"{NAME}-nobody": NOBODY}
    for name, settings in made.items():
        builder.four_steps("cache_user", name, "CreateUser", **settings)
    return list(made)


@pytest.fixture(scope="module")
def group(builder: Builder, users: list[str]) -> str:
    builder.four_steps("cache_user_group", f"{NAME}-queues", "CreateUserGroup", users=users)
    return f"{NAME}-queues"


@pytest.mark.usefixtures("users")
def test_nobody_has_a_password_that_nobody_knows_and_is_off(cache):
    (found,) = cache.describe_users(UserId=f"{NAME}-nobody")["Users"]
    assert (found["UserName"], found["Authentication"]["Type"]) == ("default", "password")
    assert found["AccessString"].split()[0] == "off"


@pytest.mark.usefixtures("users")
def test_a_user_that_may_more_is_shown_and_mended(builder, cache):
    cache.modify_user(UserId=f"{NAME}-runbook", AccessString="on ~* +@all")
    assert builder.steps("cache_user", f"{NAME}-runbook", **RUNBOOK)[:3] == [
        ("planned", []), ("ok", ["ModifyUser"]), ("noop", []),
    ]  # fmt: skip


@pytest.mark.usefixtures("users")
def test_passwords_are_sent_again_when_that_is_asked_for_and_are_in_no_result(builder):
    value = builder.aws.client("secretsmanager").get_secret_value(SecretId=SECRET)["SecretString"]
    outcome, result, sent = builder.have("cache_user", f"{NAME}-queues", **APPLICATION, set_passwords=True)
    assert (outcome, sent, value in str(result)) == ("ok", ["ModifyUser"], False)
    builder.aws.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString="n" * 20)
    builder.have("cache_user", f"{NAME}-queues", **APPLICATION, set_passwords=True)
    with builder.aws.server.mutex:
        kept = builder.aws.server.backend("elasticache").users[f"{NAME}-queues"].passwords
    assert kept == ["n" * 20, value]


def test_a_user_of_iam_has_to_be_called_as_its_id(builder):
    outcome, result, sent = builder.have("cache_user", f"{NAME}-other", **{**RUNBOOK, "user_name": "emr_runbook"})
    assert (outcome, sent) == ("refused", [])
    assert f"call it {NAME}-other" in result["msg"]


def test_a_password_needs_a_secret_with_a_value(builder):
    outcome, result, sent = builder.have("cache_user", "empty", **{**APPLICATION, "secret": "daily-emr/sandbox/NONE"})
    assert (outcome, sent) == ("refused", [])
    assert "has no value" in result["msg"]


def test_a_user_that_somebody_let_in_is_taken_out(builder, cache, users, group):
    cache.create_user(
        UserId="stranger", UserName="stranger", Engine="valkey", AccessString="on ~* +@all", Passwords=["x" * 16]
    )
    cache.modify_user_group(UserGroupId=group, UserIdsToAdd=["stranger"])
    assert builder.steps("cache_user_group", group, users=users)[:3] == [
        ("planned", []), ("ok", ["ModifyUserGroup"]), ("noop", []),
    ]  # fmt: skip


def test_a_standing_cache_begins_to_ask_and_a_group_of_somebody_else_is_left(builder, cache, users, group):
    cache.create_replication_group(
        ReplicationGroupId="queues", ReplicationGroupDescription="queues", NumCacheClusters=1, Engine="valkey"
    )
    allowed = {"user_group": group, "allow_lockout": True}
    builder.four_steps("cache_login", "queues", "ModifyReplicationGroup", **allowed)
    builder.have("cache_user_group", "others", users=users)
    outcome, result, sent = builder.have("cache_login", "queues", user_group="others")
    assert (outcome, sent) == ("refused", [])
    assert group in result["msg"]


def test_a_cache_that_lets_everybody_in_does_not_begin_to_ask_by_itself(builder, cache, group):
    """Tasks that run without a log-in would be locked out."""
    cache.create_replication_group(
        ReplicationGroupId="standing", ReplicationGroupDescription="queues", NumCacheClusters=1, Engine="valkey"
    )
    for check in (True, False):
        outcome, result, sent = builder.have("cache_login", "standing", check=check, user_group=group)
        assert (outcome, sent) == ("refused", [])
        assert "set cache_allow_lockout for this run" in result["msg"]


@pytest.mark.parametrize(("status", "reasons"), [("creating", 0), ("available", 1), ("modifying", 1)])
def test_nobody_is_locked_out_of_a_cache_that_is_just_being_made(status, reasons):
    change = CacheLogin({"name": "new", "settings": {"user_group": "new", "allow_lockout": False}}, None)
    assert len(change.refusals({"present": True, "user_group": "", "context": {"status": status}})) == reasons


def test_a_cache_that_is_not_there_cannot_ask(builder, group):
    assert builder.have("cache_login", "missing", user_group=group)[0] == "failed"
